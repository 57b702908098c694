//! What a place in what a job gives looks like.

use super::At;

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
