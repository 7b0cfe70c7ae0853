//! `evaluate` under libFuzzer; what it does is in `src/evaluate.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| headwater_fuzz::evaluate::run(data));
