//! `cargo xtask fuzz rule_file`.
#![no_main]

libfuzzer_sys::fuzz_target!(
    init: fuzz::seed(fuzz::rule_file::SEEDS),
    |data: &[u8]| fuzz::rule_file::check(data)
);
