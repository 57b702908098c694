use sqlx::{ConnectOptions, Connection};

use super::connect_options;

/// What makes a commit durable is said to each connection anew, and an answer
/// that was given too early shows only when the power fails.
#[tokio::test]
async fn whoever_writes_waits_for_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    fs_err::File::create(&path).unwrap();
    let mut conn = connect_options(&path, None).connect().await.unwrap();
    let journal: String = sqlx::query_scalar("PRAGMA journal_mode")
        .fetch_one(&mut conn)
        .await
        .unwrap();
    let synchronous: i64 = sqlx::query_scalar("PRAGMA synchronous")
        .fetch_one(&mut conn)
        .await
        .unwrap();
    assert_eq!(("wal", 2), (journal.as_str(), synchronous), "2 is FULL");
    conn.close().await.unwrap();
}
