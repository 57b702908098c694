//! Migrations: numbered, forward only, never edited after a release.
//!
//! The number of the last one is the file's `user_version`. Each runs in a
//! transaction of its own together with that number, so a process that dies
//! on the way leaves a file of one schema or the other.

use sqlx::{AssertSqlSafe, SqliteConnection};

use super::failure::Failure;

/// In order; the first brings an empty file to schema 1.
const MIGRATIONS: &[&str] = &[
    include_str!("../../migrations/sqlite/0001_spine.sql"),
    include_str!("../../migrations/sqlite/0002_custody.sql"),
    include_str!("../../migrations/sqlite/0003_chains.sql"),
    include_str!("../../migrations/sqlite/0004_storms.sql"),
    include_str!("../../migrations/sqlite/0005_access.sql"),
    include_str!("../../migrations/sqlite/0006_tasks.sql"),
];

/// Marks a file as ours: `Lari` in the header.
pub(crate) const APPLICATION_ID: i64 = 0x4c61_7269;

/// The schema that this version writes.
pub(crate) fn newest() -> u32 {
    u32::try_from(MIGRATIONS.len()).expect("migrations are few")
}

/// What the header of a file says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing is in it.
    Empty,
    Schema(u32),
    /// A database of another program.
    Foreign,
}

pub(crate) async fn found(conn: &mut SqliteConnection) -> Result<Found, Failure> {
    let version: i64 = sqlx::query_scalar("PRAGMA user_version")
        .fetch_one(&mut *conn)
        .await?;
    let application: i64 = sqlx::query_scalar("PRAGMA application_id")
        .fetch_one(&mut *conn)
        .await?;
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema")
        .fetch_one(&mut *conn)
        .await?;
    if application == APPLICATION_ID && version > 0 {
        return Ok(u32::try_from(version).map_or(Found::Foreign, Found::Schema));
    }
    if tables == 0 && version == 0 && application == 0 {
        return Ok(Found::Empty);
    }
    Ok(Found::Foreign)
}

/// Brings a file of schema `from` to the newest.
pub(crate) async fn migrate(conn: &mut SqliteConnection, from: u32) -> Result<(), Failure> {
    let done = usize::try_from(from).expect("a schema number is small");
    for (index, migration) in MIGRATIONS.iter().enumerate().skip(done) {
        let number = index + 1;
        let script = format!(
            "BEGIN IMMEDIATE;\n{migration}\nPRAGMA application_id = {APPLICATION_ID};\n\
             PRAGMA user_version = {number};\nCOMMIT;"
        );
        if let Err(error) = sqlx::raw_sql(AssertSqlSafe(script))
            .execute(&mut *conn)
            .await
        {
            // Without a transaction there is nothing to roll back.
            sqlx::raw_sql("ROLLBACK").execute(&mut *conn).await.ok();
            return Err(error.into());
        }
    }
    Ok(())
}
