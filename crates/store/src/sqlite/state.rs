//! What the writer remembers between transactions so as not to ask each time.
//!
//! It is true only together with the file: after a rollback it is thrown away
//! and read again.

use std::collections::HashMap;

use model::{flow::Steady, id::Revision};
use sqlx::SqliteConnection;

use super::failure::Failure;

#[derive(Debug, Default)]
pub(crate) struct State {
    /// Jobs that have not ended.
    pub(crate) open_jobs: usize,
    /// Jobs that are `returned`: as many may come back.
    pub(crate) returned_jobs: usize,
    /// Where the present boot lies; absent until it is asked for.
    pub(crate) steady: Option<Steady>,
    last_event: i64,
    last_job: i64,
    revisions: HashMap<Revision, i64>,
}

/// Revisions change with a reload; a few are in use at any time.
const MOST_REVISIONS: usize = 64;

impl State {
    pub(crate) async fn load(conn: &mut SqliteConnection) -> Result<Self, Failure> {
        let (open_jobs, returned_jobs): (i64, i64) = sqlx::query_as(
            "SELECT
                 (SELECT count(*) FROM jobs
                  WHERE state IN ('waiting', 'delayed', 'queued', 'running', 'retrying', 'held')),
                 (SELECT count(*) FROM jobs WHERE state = 'returned')",
        )
        .fetch_one(&mut *conn)
        .await?;
        let mut state = Self {
            open_jobs: usize::try_from(open_jobs).unwrap_or(0),
            returned_jobs: usize::try_from(returned_jobs).unwrap_or(0),
            ..Self::default()
        };
        let last: Vec<(String, i64)> = sqlx::query_as(
            "SELECT name, seq FROM sqlite_sequence WHERE name IN ('events', 'jobs')",
        )
        .fetch_all(&mut *conn)
        .await?;
        for (name, seq) in last {
            if name == "events" {
                state.last_event = seq;
            } else {
                state.last_job = seq;
            }
        }
        Ok(state)
    }

    pub(crate) fn next_event(&mut self) -> i64 {
        self.last_event += 1;
        self.last_event
    }

    pub(crate) fn next_job(&mut self) -> i64 {
        self.last_job += 1;
        self.last_job
    }

    /// The row of a revision, which is made when there is none: its text may
    /// be saved later.
    pub(crate) async fn revision(
        &mut self,
        conn: &mut SqliteConnection,
        id: &Revision,
    ) -> Result<i64, Failure> {
        if let Some(seq) = self.revisions.get(id) {
            return Ok(*seq);
        }
        sqlx::query("INSERT INTO revisions (id) VALUES (?) ON CONFLICT DO NOTHING")
            .bind(id.as_str().to_owned())
            .execute(&mut *conn)
            .await?;
        let seq: i64 = sqlx::query_scalar("SELECT seq FROM revisions WHERE id = ?")
            .bind(id.as_str().to_owned())
            .fetch_one(&mut *conn)
            .await?;
        if self.revisions.len() >= MOST_REVISIONS {
            self.revisions.clear();
        }
        self.revisions.insert(id.clone(), seq);
        Ok(seq)
    }
}
