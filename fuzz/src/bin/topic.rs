//! `cargo xtask fuzz topic`.
#![no_main]

libfuzzer_sys::fuzz_target!(
    init: fuzz::seed(fuzz::topic::SEEDS),
    |data: &[u8]| fuzz::topic::check(data)
);
