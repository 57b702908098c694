//! The bare limit of durable intake: a loop that inserts the rows of events,
//! verdicts and jobs with sqlx, several rows a statement, one transaction for
//! each array, into the same tables with the same settings. It decodes,
//! matches and decides nothing.
//!
//! `bare_insert FILE ARRAYS EVENTS FIRING` prints events per second.
#![expect(
    clippy::print_stdout,
    reason = "a program that measures and prints one number"
)]

use std::{error::Error, time::Instant};

use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, QueryBuilder, Sqlite, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

/// SQLite takes 32,766 variables a statement.
const ROWS: usize = 1_000;

/// The plan that the store keeps for a rule with one command.
const PLAN: &str = r#"{"key":null,"retry":{"attempts":3,"delay":{"secs":30,"nanos":0},"backoff":"exponential","max_delay":{"secs":600,"nanos":0}},"steps":[{"kind":"command","on_lost":"hold"}]}"#;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [file, arrays, events, firing] = args.as_slice() else {
        return Err("usage: bare_insert FILE ARRAYS EVENTS FIRING".into());
    };
    let (arrays, events, firing): (i64, i64, i64) =
        (arrays.parse()?, events.parse()?, firing.parse()?);
    let mut conn = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .connect()
        .await?;
    let schema = include_str!("../migrations/sqlite/0001_spine.sql");
    sqlx::raw_sql(AssertSqlSafe(schema))
        .execute(&mut conn)
        .await?;

    let body = format!(
        r#"{{"status":"FINISHED","number":5000,"release":"f43","padding":"{}"}}"#,
        "x".repeat(800)
    );
    let start = Instant::now();
    for array in 0..arrays {
        insert(&mut conn, &body, array * events, events, firing).await?;
    }
    let count = f64::from(u32::try_from(arrays * events)?);
    println!("{:.0}", count / start.elapsed().as_secs_f64());
    conn.close().await?;
    Ok(())
}

/// One array of events with what they caused, in one transaction.
async fn insert(
    conn: &mut SqliteConnection,
    body: &str,
    first: i64,
    events: i64,
    firing: i64,
) -> Result<(), sqlx::Error> {
    let mut tx = conn.begin_with("BEGIN IMMEDIATE").await?;
    let numbers: Vec<i64> = (first..first + events).collect();
    let mut insert = QueryBuilder::<Sqlite>::new(
        "INSERT INTO events (seq, id, topic, time, accepted, source, severity, revision, hash, \
         origin, headers, body) ",
    );
    insert.push_values(&numbers, |mut row, number| {
        row.push_bind(number + 1)
            .push_bind(format!("bench-0-0-{number}"))
            .push_bind("org.example.prod.compose.status")
            .push_bind(1_795_000_000_000_i64)
            .push_bind(1_795_000_000_000_i64)
            .push_bind("api")
            .push_bind(1_i64)
            .push_bind(1_i64)
            .push_bind(vec![7_u8; 32])
            .push_bind(r#"{"verified":false,"by":null,"via":"http"}"#)
            .push_bind("{}")
            .push_bind(body);
    });
    insert.build().execute(&mut *tx).await?;

    let fired: Vec<(i64, i64)> = numbers
        .iter()
        .flat_map(|number| (0..firing).map(move |rule| (*number, rule)))
        .collect();
    for chunk in fired.chunks(ROWS) {
        let mut insert = QueryBuilder::<Sqlite>::new(
            "INSERT INTO jobs (seq, id, event, rule, revision, state, created, plan) ",
        );
        insert.push_values(chunk, |mut row, (number, rule)| {
            row.push_bind(number * firing + rule + 1)
                .push_bind(uuid::Uuid::now_v7().to_string())
                .push_bind(number + 1)
                .push_bind(format!("rule-{rule}"))
                .push_bind(1_i64)
                .push_bind("queued")
                .push_bind(1_795_000_000_000_i64)
                .push_bind(PLAN);
        });
        insert.build().execute(&mut *tx).await?;
        let mut insert = QueryBuilder::<Sqlite>::new(
            "INSERT INTO verdicts (event, n, rule, revision, verdict, reason, job) ",
        );
        insert.push_values(chunk, |mut row, (number, rule)| {
            row.push_bind(number + 1)
                .push_bind(*rule)
                .push_bind(format!("rule-{rule}"))
                .push_bind(1_i64)
                .push_bind("fired")
                .push_bind("")
                .push_bind(number * firing + rule + 1);
        });
        insert.build().execute(&mut *tx).await?;
    }
    tx.commit().await
}
