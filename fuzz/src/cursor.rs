//! Cursors: whatever a client sends, it names a place or is refused, and the
//! place is written so that it is read again.

use model::page::Cursor;

pub const SEEDS: &[&str] = &[
    "c0",
    "c1a2b",
    "c7fffffffffffffff",
    "c-1",
    "c8000000000000000",
];

pub fn check(data: &[u8]) {
    if let Ok(bytes) = data.try_into() {
        let place = i64::from_le_bytes(bytes);
        // A list has no places before its first.
        if place >= 0 {
            round(Cursor(place));
        }
    }
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(cursor) = text.parse::<Cursor>() {
        assert!(cursor.0 >= 0, "{text}");
        round(cursor);
    }
}

fn round(cursor: Cursor) {
    assert_eq!(Ok(cursor), cursor.to_string().parse());
}
