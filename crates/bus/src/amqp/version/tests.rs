//! Versions as servers write them.

use super::*;

#[test]
fn versions_are_read_and_compared() {
    assert_eq!(Some(Version::new(3, 10)), Version::read("3.10.8"));
    assert_eq!(Some(Version::new(4, 0)), Version::read("4.0-beta.1"));
    assert_eq!(None, Version::read("unknown"));
    assert!(Version::new(3, 13) < Version::new(4, 0));
    assert!(Version::new(3, 9) < Version::new(3, 12));
}

#[test]
fn what_is_no_start_is_refused() {
    assert_eq!(None, version_in(b""));
    assert_eq!(
        None,
        version_in(b"\x00\x0a\x00\x0a\x00\x09\x00\x00\x00\x00")
    );
}
