//! `mapping` under libFuzzer; what it does is in `src/mapping.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| headwater_fuzz::mapping::run(data));
