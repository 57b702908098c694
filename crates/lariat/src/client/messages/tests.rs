//! The same messages, however the bytes are cut.

use super::{Message, Messages, MessagesError};

const STREAM: &str = "retry: 2000\nid: c1\n\n: alive\n: alive\nid: c2\n\n\
    id: c3\nevent: event\ndata: {\"a\":\"ö\"}\n\n\
    event: gap\r\ndata:x\r\ndata:  y\r\nunknown: z\r\n\r\n\
    id: c4\ndata: half";

#[test]
fn a_stream_is_the_same_however_it_is_cut() {
    for size in 1..STREAM.len() {
        let mut messages = Messages::default();
        let mut found = Vec::new();
        for piece in STREAM.as_bytes().chunks(size) {
            messages.take(piece).unwrap();
            while let Some(Message { event, data }) = messages.next() {
                found.push(format!("{event}={data}"));
            }
        }
        assert_eq!(["event={\"a\":\"ö\"}", "gap=x\n y"], *found, "by {size}");
        // What is not whole does not count.
        assert_eq!(Some("c3"), messages.into_last_id().as_deref());
    }
}

#[test]
fn a_place_without_a_message_counts() {
    let mut messages = Messages::default();
    messages.take(b"id: c7\n\n").unwrap();
    assert_eq!(None, messages.next());
    assert_eq!(Some("c7"), messages.into_last_id().as_deref());
}

#[test]
fn what_is_no_text_is_no_stream() {
    let mut messages = Messages::default();
    assert_eq!(Err(MessagesError::NotText), messages.take(b"data: \xff\n"));
}
