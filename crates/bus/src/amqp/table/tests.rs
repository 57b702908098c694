//! Values keep their types on the way out and back.

use super::*;

#[test]
fn header_values_keep_their_types() {
    let headers = BTreeMap::from([
        ("severity".to_owned(), HeaderValue::Int32(20)),
        ("big".to_owned(), HeaderValue::Integer(1 << 40)),
        ("user".to_owned(), HeaderValue::Bool(true)),
        ("ratio".to_owned(), HeaderValue::Float(0.5)),
        (
            "price".to_owned(),
            HeaderValue::Decimal {
                scale: 2,
                value: -1999,
            },
        ),
        ("text".to_owned(), HeaderValue::Text(vec![0xff, b'a'])),
        ("bytes".to_owned(), HeaderValue::Bytes(vec![0, 1])),
        ("at".to_owned(), HeaderValue::Timestamp(1_700_000_000)),
        (
            "list".to_owned(),
            HeaderValue::Array(vec![HeaderValue::Void, HeaderValue::Bool(false)]),
        ),
        (
            "table".to_owned(),
            HeaderValue::Table(BTreeMap::from([("a".to_owned(), HeaderValue::Int32(-1))])),
        ),
    ]);
    let message = Message {
        headers: headers.clone(),
        message_id: Some("2026-1".to_owned()),
        ..Message::default()
    };
    let properties = properties(&message).unwrap();
    assert_eq!(
        headers,
        super::headers(properties.headers().as_ref().unwrap())
    );
    assert_eq!(&Some(PERSISTENT), properties.delivery_mode());
}

#[test]
fn a_text_that_does_not_fit_is_named() {
    let message = Message {
        content_type: Some("x".repeat(256)),
        ..Message::default()
    };
    assert_eq!(
        "its content type has 256 bytes, 255 is the most",
        properties(&message).unwrap_err().to_string()
    );
}
