//! Pages of lists, bounded in items and in bytes.
//!
//! Five hundred events may have a body of a mebibyte each. A page ends early
//! when it has grown large, and `next` goes on from there.

use axum::{http::StatusCode, response::Response};
use model::page::{Cursor, List, Position};
use serde::Serialize;

use crate::{
    app::App,
    json::ProblemError,
    problem::{Answer, Problem, ProblemCode},
    routes,
};

/// Asked of the store at once.
const CHUNK: usize = 50;

/// A page that has this many bytes is not continued.
const FULL_BYTES: usize = 4 * 1024 * 1024;

/// Refuses a cursor that no list of this store can have given: who asks for
/// what comes after it would never be told of anything. What lies behind the
/// oldest item is as good as any other, for retention removes items.
pub(crate) async fn check(app: &App, list: List, position: Position) -> Answer<()> {
    let (name, cursor) = match position {
        Position::Newest => return Ok(()),
        Position::Before(cursor) => ("cursor", cursor),
        Position::After(cursor) => ("after", cursor),
    };
    if cursor <= app.engine.history().end(list).await? {
        return Ok(());
    }
    let message = "lies beyond the end of the list; it is of another list or another store";
    let detail = format!("`{name}`: {message}");
    let error = ProblemError {
        index: None,
        field: Some(name.to_owned()),
        message: message.to_owned(),
    };
    Err(Problem::new(ProblemCode::InvalidParameter, detail).with_errors(vec![error]))
}

/// A page that is put together from what the store gives in parts.
#[derive(Debug)]
pub(crate) struct Listing {
    body: Vec<u8>,
    count: usize,
    limit: usize,
    position: Position,
    next: Option<Cursor>,
    is_done: bool,
}

impl Listing {
    pub(crate) fn new(position: Position, limit: usize) -> Self {
        Self {
            body: br#"{"items":["#.to_vec(),
            count: 0,
            limit,
            position,
            next: None,
            is_done: false,
        }
    }

    /// Which part to ask for next; `None` when the page is complete.
    pub(crate) fn wanted(&self) -> Option<(Position, usize)> {
        (!self.is_done).then(|| (self.position, CHUNK.min(self.limit - self.count)))
    }

    /// Takes the part that was asked for.
    pub(crate) fn add<T: Serialize>(
        &mut self,
        items: impl ExactSizeIterator<Item = T>,
        next: Option<Cursor>,
    ) {
        let has_all = items.len() < CHUNK.min(self.limit - self.count);
        for item in items {
            if self.count > 0 {
                self.body.push(b',');
            }
            serde_json::to_writer(&mut self.body, &item)
                .expect("items are made of strings, numbers and lists");
            self.count += 1;
        }
        self.next = next;
        self.is_done = has_all || self.count >= self.limit || self.body.len() >= FULL_BYTES;
        match next {
            None => self.is_done = true,
            Some(cursor) => {
                self.position = match self.position {
                    Position::Newest | Position::Before(_) => Position::Before(cursor),
                    Position::After(_) => Position::After(cursor),
                }
            }
        }
    }

    pub(crate) fn answer(mut self) -> Response {
        self.body.extend_from_slice(br#"],"next":"#);
        serde_json::to_writer(&mut self.body, &self.next).expect("a cursor is a string");
        self.body.push(b'}');
        routes::json_bytes(StatusCode::OK, self.body)
    }
}
