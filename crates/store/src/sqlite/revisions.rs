//! The text behind each revision, deflated.

use std::io::Read;

use async_trait::async_trait;
use flate2::read::DeflateDecoder;
use model::{id::Revision, ports::ProjectText};
use sqlx::SqliteConnection;

use super::{
    failure::Failure,
    output::pack,
    rows::{from_json, to_json},
    writer::{Tx, Write},
};

/// Text of a project at most, inflated.
const MOST_BYTES: u64 = 256 << 20;

/// See `Upkeep::save_revision`.
pub(crate) struct Save {
    id: Revision,
    text: Vec<u8>,
}

impl Save {
    pub(crate) fn new(id: &Revision, text: &ProjectText) -> Self {
        Self {
            id: id.clone(),
            text: pack(to_json(text).as_bytes()),
        }
    }
}

#[async_trait]
impl Write for Save {
    type Answer = ();

    async fn write(&self, tx: &mut Tx<'_>) -> Result<(), Failure> {
        sqlx::query(
            "INSERT INTO revisions (id, text, saved) VALUES (?, ?, ?)
             ON CONFLICT (id) DO UPDATE SET text = excluded.text, saved = excluded.saved
             WHERE text IS NULL",
        )
        .bind(self.id.as_str().to_owned())
        .bind(self.text.clone())
        .bind(tx.now.wall.as_millis())
        .execute(&mut *tx.conn)
        .await?;
        Ok(())
    }
}

/// See `Upkeep::revision`.
pub(crate) async fn get(
    conn: &mut SqliteConnection,
    id: &Revision,
) -> Result<Option<ProjectText>, Failure> {
    let stored: Option<Option<Vec<u8>>> =
        sqlx::query_scalar("SELECT text FROM revisions WHERE id = ?")
            .bind(id.as_str().to_owned())
            .fetch_optional(conn)
            .await?;
    let Some(packed) = stored.flatten() else {
        return Ok(None);
    };
    let mut text = String::new();
    DeflateDecoder::new(packed.as_slice())
        .take(MOST_BYTES)
        .read_to_string(&mut text)
        .map_err(|error| Failure::corrupt(format!("text of revision `{id}`: {error}")))?;
    from_json(&text, "text of a revision").map(Some)
}
