//! Where a piece of output may be cut.

use super::whole_characters;

#[track_caller]
fn check(bytes: &[u8], is_open: bool, expect: &[u8]) {
    assert_eq!(expect, whole_characters(bytes, is_open), "{bytes:?}");
}

#[test]
fn a_character_waits_for_its_end() {
    check("héllo".as_bytes(), true, "héllo".as_bytes());
    check(b"h\xc3", true, b"h");
    check(b"\xe2\x82", true, b"");
    // Nothing more comes: it is what it is.
    check(b"h\xc3", false, b"h\xc3");
    // Not the beginning of any character.
    check(b"h\xff", true, b"h\xff");
    check(b"\xff\xc3", true, b"\xff\xc3");
}
