//! Where a piece of output may be cut, and what a place in it looks like.

use super::{At, whole_characters};

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

#[test]
fn a_place_is_an_attempt_and_an_offset() {
    let at = At {
        attempt: 2,
        offset: 4096,
    };
    assert_eq!("2.4096", at.to_string());
    assert_eq!(Some(at), "2.4096".parse().ok());
    for bad in [
        "",
        "2",
        "2.",
        ".1",
        "-1.0",
        "+1.0",
        "1.0.0",
        "c5",
        "99999999999.0",
        "1.99999999999999999999999",
    ] {
        assert!(bad.parse::<At>().is_err(), "{bad}");
    }
}
