//! `expression` under libFuzzer; what it does is in `src/expression.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| headwater_fuzz::expression::run(data));
