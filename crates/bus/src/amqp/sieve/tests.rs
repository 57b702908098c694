//! What is clean passes unchanged in any pieces, and what is not is cleaned.

use super::*;

fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind, 0, 1];
    bytes.extend(u32::try_from(payload.len()).unwrap().to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes.push(0xce);
    bytes
}

fn short(text: &[u8]) -> Vec<u8> {
    [&[u8::try_from(text.len()).unwrap()], text].concat()
}

fn deliver(routing_key: &[u8]) -> Vec<u8> {
    let payload = [
        [0, 60, 0, 60].as_slice(),
        &short(b"consumer"),
        &[0; 9],
        &short(b"amq.topic"),
        &short(routing_key),
    ]
    .concat();
    frame(METHOD, &payload)
}

fn content(headers: &[u8], message_id: &[u8]) -> Vec<u8> {
    let payload = [
        [0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2].as_slice(),
        &(0x2000_u16 | 0x1000 | 0x0080).to_be_bytes(),
        &u32::try_from(headers.len()).unwrap().to_be_bytes(),
        headers,
        &[2],
        &short(message_id),
    ]
    .concat();
    frame(HEADER, &payload)
}

fn entry(name: &[u8], kind: u8, value: &[u8]) -> Vec<u8> {
    [short(name), vec![kind], value.to_vec()].concat()
}

fn nested(depth: usize) -> Vec<u8> {
    let mut table = entry(b"a", b't', &[1]);
    for _ in 0..depth {
        let size = u32::try_from(table.len()).unwrap().to_be_bytes();
        table = entry(b"a", b'F', &[&size, table.as_slice()].concat());
    }
    table
}

/// Passes the bytes in pieces of each size.
#[track_caller]
fn check(bytes: &[u8], expect: &[u8]) {
    for size in [1, 2, 3, 7, 64, bytes.len()] {
        let mut sieve = Sieve::default();
        let mut out = Vec::new();
        for piece in bytes.chunks(size) {
            sieve.pass(piece, &mut out);
        }
        assert_eq!(expect, out, "in pieces of {size}");
    }
}

#[test]
fn clean_frames_pass_unchanged() {
    let all_kinds = [
        entry(b"t", b't', &[1]),
        entry(b"s", b's', &[0, 5]),
        entry(b"I", b'I', &[0, 0, 0, 5]),
        entry(b"D", b'D', &[2, 0, 0, 0, 5]),
        entry(b"T", b'T', &[0; 8]),
        entry(b"S", b'S', &[0, 0, 0, 2, 0xff, 0xfe]),
        entry(b"x", b'x', &[0, 0, 0, 1, 0]),
        entry(b"V", b'V', &[]),
        entry(b"A", b'A', &[0, 0, 0, 3, b't', 1, b'V']),
    ]
    .concat();
    let frames = [
        deliver("org.example.café".as_bytes()),
        content(&all_kinds, b"2026-1"),
        frame(BODY, b"{}"),
        frame(HEARTBEAT, b""),
        content(&nested(NESTING), b""),
        frame(BODY, &[0xff; 300]),
    ]
    .concat();
    check(&frames, &frames);
}

#[test]
fn texts_that_are_not_utf_8_get_question_marks() {
    check(&deliver(b"org.caf\xe9.x"), &deliver(b"org.caf?.x"));
    check(&content(b"", b"\xff-\xf0\x9f\x90"), &content(b"", b"?-???"));
}

#[test]
fn headers_that_cannot_be_read_are_replaced_by_the_reason() {
    let cases = [
        (nested(NESTING + 1), "the headers are nested too deeply"),
        (
            entry(b"na\xefve", b't', &[1]),
            "the name of a header is not UTF-8",
        ),
        (
            entry(b"a", b'?', &[1]),
            "a header is of a type that does not exist",
        ),
        (
            entry(b"a", b'S', &[0, 0, 0, 9, 1]),
            "the headers end in the middle of a value",
        ),
    ];
    for (headers, cause) in cases {
        let expect = content(&marked(cause), b"2026-1");
        check(&content(&headers, b"2026-1"), &expect);
    }
}

#[test]
fn what_is_no_frame_passes_as_it_is() {
    // A server that speaks another version answers with its own greeting.
    check(b"AMQP\x00\x00\x09\x01", b"AMQP\x00\x00\x09\x01");
    check(&frame(METHOD, &[0, 60]), &frame(METHOD, &[0, 60]));
    check(&frame(HEADER, &[0; 3]), &frame(HEADER, &[0; 3]));
}
