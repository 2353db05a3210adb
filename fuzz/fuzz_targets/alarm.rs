#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| rollbackd_fuzz::alarm(bytes));
