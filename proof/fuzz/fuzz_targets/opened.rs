#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ddes_fuzz_harness::opened(data));
