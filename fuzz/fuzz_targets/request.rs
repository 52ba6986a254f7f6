//! See `belljar_proxy::check::request`, which the tests run too.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| belljar_proxy::check::request(bytes));
