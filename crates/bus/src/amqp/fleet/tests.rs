//! Notes are bounded, and what is not a note is refused.

use model::{
    id::{EventId, WorkerId},
    link::FleetWord,
};

use super::*;

#[test]
fn a_note_of_the_greatest_size_is_read() {
    let longest: EventId = "x".repeat(200).parse().unwrap();
    let from: WorkerId = "w".repeat(200).parse().unwrap();
    let note = FleetNote {
        from,
        about: FleetWord::Unbegun,
        events: vec![longest; EVENTS],
    };
    let text = serde_json::to_vec(&note).unwrap();
    assert_eq!(Ok(note), read(&text));
}

#[test]
fn what_is_no_note_is_refused() {
    assert!(read(b"{}").is_err());
    assert!(read(&vec![b' '; NOTE_BYTES + 1]).is_err());
    assert!(read(br#"{"from":"a b","about":"ask","events":[]}"#).is_err());
}
