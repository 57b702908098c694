//! Settings can be printed.

use super::*;

#[test]
fn a_secret_is_not_printed() {
    let auth = Auth::Plain {
        username: "fedora".to_owned(),
        password: Secret::new("hunter2"),
    };
    let shown = format!("{auth:?} {}", Secret::new("hunter2"));
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(shown.contains("[secret]"), "{shown}");
}

#[test]
fn an_ipv6_address_is_shown_in_brackets() {
    let host = HostPort {
        host: "::1".to_owned(),
        port: 5672,
    };
    assert_eq!("[::1]:5672", host.to_string());
}
