//! `cargo xtask fuzz condition`.
#![no_main]

libfuzzer_sys::fuzz_target!(
    init: fuzz::seed(fuzz::condition::SEEDS),
    |data: &[u8]| fuzz::condition::check(data)
);
