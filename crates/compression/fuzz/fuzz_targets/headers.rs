#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ruleiq_compression_fuzz::headers(data));
