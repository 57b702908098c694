//! `cargo xtask fuzz event_json`.
#![no_main]

libfuzzer_sys::fuzz_target!(
    init: fuzz::seed(fuzz::event_json::SEEDS),
    |data: &[u8]| fuzz::event_json::check(data)
);
