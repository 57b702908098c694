//! `cargo xtask fuzz cloud_event`.
#![no_main]

libfuzzer_sys::fuzz_target!(
    init: fuzz::seed(fuzz::cloud_event::SEEDS),
    |data: &[u8]| fuzz::cloud_event::check(data)
);
