//! Who has a key: of the jobs that share one, at most one is beyond waiting
//! and has not ended. A unique index holds the store to it.

use std::collections::HashMap;

use model::id::JobId;
use sqlx::SqliteConnection;

use super::{failure::Failure, rows, writer::Tx};

/// The job that has each of `keys`, where one has it.
pub(crate) async fn holders(
    conn: &mut SqliteConnection,
    keys: &[&str],
) -> Result<HashMap<String, JobId>, Failure> {
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let found: Vec<(String, String)> = sqlx::query_as(
        "SELECT key, id FROM jobs
         WHERE key IS NOT NULL AND state IN ('queued', 'running', 'retrying', 'held')
         AND key IN (SELECT value FROM json_each(?))",
    )
    .bind(rows::list(keys))
    .fetch_all(conn)
    .await?;
    found
        .into_iter()
        .map(|(key, id)| Ok((key, rows::parse(&id, "job id")?)))
        .collect()
}

/// Gives a key that nobody has to the job that has waited longest for it.
pub(crate) async fn hand_on(tx: &mut Tx<'_>, key: &str) -> Result<(), Failure> {
    let handed = sqlx::query(
        "UPDATE jobs SET state = 'queued', reason = NULL
         WHERE seq = (SELECT min(seq) FROM jobs WHERE key = ?1 AND state = 'waiting')
         AND NOT EXISTS (
             SELECT 1 FROM jobs
             WHERE key = ?1 AND key IS NOT NULL
             AND state IN ('queued', 'running', 'retrying', 'held'))",
    )
    .bind(key.to_owned())
    .execute(&mut *tx.conn)
    .await?;
    if handed.rows_affected() > 0 {
        tx.effects.wake = true;
    }
    Ok(())
}
