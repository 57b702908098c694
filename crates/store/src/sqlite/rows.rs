//! Between values and columns: many rows in one statement, and back.

use std::str::FromStr;

use model::{
    clock::Timestamp,
    event::{Event, RecordedEvent, Severity},
    id::{EventId, Principal},
    job::{JobState, Outcome},
    json::{ContentHash, Object},
    page::{Cursor, List},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use sqlx::{
    AssertSqlSafe, Row, Sqlite, SqliteConnection,
    query::Query,
    sqlite::{SqliteArguments, SqliteRow},
};

use super::failure::Failure;

pub(crate) type Statement<'q> = Query<'q, Sqlite, SqliteArguments>;

/// Behind everything that a list has ever had: its rows are counted once, and
/// never again when they are gone.
pub(crate) async fn end(conn: &mut SqliteConnection, list: List) -> Result<Cursor, Failure> {
    let table = match list {
        List::Events => "events",
        List::Jobs => "jobs",
        List::DeadLetters => "dead_letters",
        List::Audit => "audit",
    };
    let last: Option<i64> = sqlx::query_scalar("SELECT seq FROM sqlite_sequence WHERE name = ?")
        .bind(table)
        .fetch_optional(conn)
        .await?;
    Ok(Cursor(last.unwrap_or(0)))
}

/// Rows in one statement. Fewer are cut into powers of two, so that a handful
/// of prepared statements serves every number.
const MOST_ROWS: usize = 128;

/// Inserts rows, many in a statement: a statement of its own for each takes
/// ten times as long. `head` ends with `VALUES`. Returns how many were taken.
pub(crate) async fn insert<T: Sync>(
    conn: &mut SqliteConnection,
    (head, columns, tail): (&str, usize, &str),
    rows: &[T],
    bind: impl for<'q> Fn(Statement<'q>, &T) -> Statement<'q>,
) -> Result<u64, Failure> {
    let mut taken = 0;
    let mut rest = rows;
    while !rest.is_empty() {
        let count = MOST_ROWS.min(1 << rest.len().ilog2());
        let (chunk, others) = rest.split_at(count);
        rest = others;
        let sql = insert_sql((head, columns, tail), count);
        let mut statement = sqlx::query(AssertSqlSafe(sql));
        for row in chunk {
            statement = bind(statement, row);
        }
        taken += statement.execute(&mut *conn).await?.rows_affected();
    }
    Ok(taken)
}

fn insert_sql((head, columns, tail): (&str, usize, &str), count: usize) -> String {
    let mut sql = String::with_capacity(head.len() + tail.len() + count * (columns * 2 + 4));
    sql.push_str(head);
    for row in 0..count {
        sql.push_str(if row == 0 { " (" } else { ", (" });
        for column in 0..columns {
            sql.push_str(if column == 0 { "?" } else { ",?" });
        }
        sql.push(')');
    }
    sql.push(' ');
    sql.push_str(tail);
    sql
}

/// Plain data as JSON text.
pub(crate) fn to_json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("plain data has a JSON form")
}

/// JSON text of ours as a value; `what` names it when it is not.
pub(crate) fn from_json<T: DeserializeOwned>(text: &str, what: &str) -> Result<T, Failure> {
    serde_json::from_str(text).map_err(|error| Failure::corrupt(format!("{what}: {error}")))
}

/// JSON text of a sender, with the text of its numbers.
fn exact_json(text: &str, what: &str) -> Result<Value, Failure> {
    model::json::parse(text).map_err(|error| Failure::corrupt(format!("{what}: {error}")))
}

fn exact_object(text: &str, what: &str) -> Result<Object, Failure> {
    match exact_json(text, what)? {
        Value::Object(object) => Ok(object),
        _ => Err(Failure::corrupt(format!("{what} is not an object"))),
    }
}

/// A word or an id of ours as a value.
pub(crate) fn parse<T: FromStr>(text: &str, what: &str) -> Result<T, Failure> {
    text.parse()
        .map_err(|_| Failure::corrupt(format!("{what} `{text}`")))
}

/// A list of row numbers or texts for `json_each`.
pub(crate) fn list<T: Serialize>(values: &[T]) -> String {
    to_json(&values)
}

/// A hash in half the bytes of its text.
pub(crate) fn pack_hash(hash: &ContentHash) -> Vec<u8> {
    let text = hash.0.as_bytes();
    let digits: Option<Vec<u8>> = text
        .iter()
        .map(|byte| char::from(*byte).to_digit(16))
        .map(|digit| digit.and_then(|digit| u8::try_from(digit).ok()))
        .collect();
    match digits {
        Some(digits) if digits.len() % 2 == 0 => digits
            .chunks_exact(2)
            .map(|pair| pair[0] << 4 | pair[1])
            .collect(),
        Some(_) | None => text.to_vec(),
    }
}

/// The number of a severity in the table, in order of weight.
pub(crate) fn severity_number(severity: Severity) -> i64 {
    match severity {
        Severity::Debug => 0,
        Severity::Info => 1,
        Severity::Warning => 2,
        Severity::Error => 3,
    }
}

fn severity(number: i64) -> Result<Severity, Failure> {
    usize::try_from(number)
        .ok()
        .and_then(|index| Severity::ALL.get(index).copied())
        .ok_or_else(|| Failure::corrupt(format!("severity {number}")))
}

/// The columns that [`event`] reads, of `events e JOIN revisions r`.
pub(crate) const EVENT_COLUMNS: &str = "e.id AS event_id, e.topic, e.time, e.accepted, e.source,
     e.severity, e.origin, e.headers, e.body,
     (SELECT json_object('event', c.cause, 'job', c.job, 'hops', c.hops)
      FROM causes c WHERE c.event = e.seq) AS cause";

pub(crate) fn event(row: &SqliteRow) -> Result<Event, Failure> {
    let id: String = row.try_get("event_id")?;
    let what = |part: &str| format!("{part} of event `{id}`");
    Ok(Event {
        topic: parse(row.try_get("topic")?, &what("topic"))?,
        time: Timestamp::from_millis(row.try_get("time")?),
        accepted: Timestamp::from_millis(row.try_get("accepted")?),
        source: row.try_get("source")?,
        severity: severity(row.try_get("severity")?)?,
        headers: exact_object(row.try_get("headers")?, &what("headers"))?,
        body: exact_json(row.try_get("body")?, &what("body"))?,
        origin: from_json(row.try_get("origin")?, &what("origin"))?,
        cause: row
            .try_get::<Option<&str>, _>("cause")?
            .map(|text| from_json(text, &what("cause")))
            .transpose()?,
        id: parse::<EventId>(&id, "event id")?,
    })
}

/// As [`event`], with `r.id AS revision_id` and `e.seq AS place`.
pub(crate) fn recorded_event(row: &SqliteRow) -> Result<RecordedEvent, Failure> {
    Ok(RecordedEvent {
        event: event(row)?,
        revision: parse(row.try_get("revision_id")?, "revision")?,
        place: Cursor(row.try_get("place")?),
    })
}

pub(crate) fn time(millis: Option<i64>) -> Option<Timestamp> {
    millis.map(Timestamp::from_millis)
}

pub(crate) fn job_state(word: &str) -> Result<JobState, Failure> {
    parse(word, "state of a job")
}

pub(crate) fn object(text: Option<&str>) -> Result<Option<Object>, Failure> {
    text.map(|text| exact_object(text, "result of a job"))
        .transpose()
}

pub(crate) fn outcome(text: Option<&str>) -> Result<Option<Outcome>, Failure> {
    text.map(|text| from_json(text, "outcome of an attempt"))
        .transpose()
}

pub(crate) fn principal(text: Option<String>) -> Option<Principal> {
    text.map(Principal)
}

/// A count or a number that is never negative.
pub(crate) fn unsigned<T: TryFrom<i64>>(number: i64, what: &str) -> Result<T, Failure> {
    T::try_from(number).map_err(|_| Failure::corrupt(format!("{what} {number}")))
}

/// A number of ours in a column.
pub(crate) fn signed(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
