//! `cargo xtask fuzz cursor`.
#![no_main]

libfuzzer_sys::fuzz_target!(
    init: fuzz::seed(fuzz::cursor::SEEDS),
    |data: &[u8]| fuzz::cursor::check(data)
);
