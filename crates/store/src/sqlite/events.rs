//! The history of events and of what rules said about them.

use model::{
    event::{RecordedEvent, Severity},
    id::EventId,
    page::{EventQuery, Page},
    topic::{PatternWord, TopicPattern},
    verdict::{StoredVerdict, Verdict},
};
use sqlx::{AssertSqlSafe, Row, SqliteConnection};

use super::{
    failure::Failure,
    rows::{self, EVENT_COLUMNS, list, parse, recorded_event, severity_number},
    scan::{Bind, Found, Scan},
};

/// Topics that a pattern may match for their lists to be merged; beyond, the
/// events themselves are looked through.
const MOST_TOPICS: usize = 100;

/// Topics that are looked at to find those.
const MOST_LOOKED_AT: i64 = 1_000;

/// Bytes of headers and bodies on one page, the first event aside.
const MOST_BYTES: i64 = 8 << 20;

/// See `History::events`.
pub(crate) async fn page(
    conn: &mut SqliteConnection,
    query: &EventQuery,
) -> Result<Page<RecordedEvent>, Failure> {
    let mut found = find(conn, query).await?;
    cut_to_bytes(conn, &mut found).await?;
    let sql = format!(
        "SELECT {EVENT_COLUMNS}, r.id AS revision_id, e.seq AS place
         FROM events e JOIN revisions r ON r.seq = e.revision
         WHERE e.seq IN (SELECT value FROM json_each(?)) ORDER BY e.seq"
    );
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(list(&found.seqs))
        .fetch_all(conn)
        .await?;
    found.page(&rows, recorded_event)
}

async fn find(conn: &mut SqliteConnection, query: &EventQuery) -> Result<Found, Failure> {
    let mut scan = Scan::new("events", query.position, query.limit);
    scan.within(
        conn,
        ("event_minutes", "accepted"),
        (query.since, query.until),
    )
    .await?;
    let Some(pattern) = &query.topic else {
        along_source_or_severity(&mut scan, query);
        return scan.run(conn).await;
    };
    if let Some(topic) = literal(pattern) {
        scan.along("topic = ?", vec![Bind::Text(topic)]);
        filter_source(&mut scan, query);
        filter_severity(&mut scan, query.severity);
        return scan.run(conn).await;
    }
    if pattern.matches_everything() {
        along_source_or_severity(&mut scan, query);
        scan.filter(
            "NOT (+topic = 'lariat' OR substr(topic, 1, 7) = 'lariat.')",
            Vec::new(),
        );
        return scan.run(conn).await;
    }
    filter_source(&mut scan, query);
    filter_severity(&mut scan, query.severity);
    match topics(conn, pattern).await? {
        Some(topics) if !scan.has_filter() => scan.run_merged(conn, "topic", &topics).await,
        Some(topics) => {
            scan.filter(
                "+topic IN (SELECT value FROM json_each(?))",
                vec![Bind::Text(list(&topics))],
            );
            scan.run(conn).await
        }
        None => {
            let matches = |text: &str| text.parse().is_ok_and(|topic| pattern.matches(&topic));
            scan.run_checked(conn, "topic", matches).await
        }
    }
}

/// Without a topic the source leads, then a severity that is rare.
fn along_source_or_severity(scan: &mut Scan, query: &EventQuery) {
    if let Some(source) = &query.source {
        scan.along("source = ?", vec![Bind::text(source)]);
        filter_severity(scan, query.severity);
        return;
    }
    match query.severity {
        None => {}
        Some(Severity::Info) => filter_severity(scan, query.severity),
        Some(severity @ (Severity::Debug | Severity::Warning | Severity::Error)) => scan.along(
            "severity = ? AND severity <> 1",
            vec![Bind::Int(severity_number(severity))],
        ),
    }
}

fn filter_source(scan: &mut Scan, query: &EventQuery) {
    if let Some(source) = &query.source {
        scan.filter("+source = ?", vec![Bind::text(source)]);
    }
}

fn filter_severity(scan: &mut Scan, severity: Option<Severity>) {
    if let Some(severity) = severity {
        scan.filter("+severity = ?", vec![Bind::Int(severity_number(severity))]);
    }
}

/// The one topic of a pattern without wildcards.
fn literal(pattern: &TopicPattern) -> Option<String> {
    let prefix = literal_words(pattern);
    (prefix.len() == pattern.words().len()).then(|| prefix.join("."))
}

fn literal_words(pattern: &TopicPattern) -> Vec<&str> {
    pattern
        .words()
        .iter()
        .map_while(|word| match word {
            PatternWord::Literal(word) => Some(word.as_str()),
            PatternWord::One | PatternWord::Any => None,
        })
        .collect()
}

/// The topics that a pattern matches among those that occur, `None` when they
/// are too many. Goes from topic to topic in the index, whatever the number
/// of events, within the range of the words before the first wildcard.
async fn topics(
    conn: &mut SqliteConnection,
    pattern: &TopicPattern,
) -> Result<Option<Vec<String>>, Failure> {
    let prefix = literal_words(pattern).join(".");
    // `/` follows `.` and occurs in no topic.
    let (low, high) = if prefix.is_empty() {
        (String::new(), "\u{10ffff}".to_owned())
    } else {
        (prefix.clone(), format!("{prefix}/"))
    };
    let found: Vec<(String,)> = sqlx::query_as(
        "WITH RECURSIVE found (topic) AS (
             SELECT min(topic) FROM events WHERE topic >= ?1 AND topic < ?2
             UNION ALL
             SELECT (SELECT min(topic) FROM events WHERE topic > found.topic AND topic < ?2)
             FROM found WHERE found.topic IS NOT NULL
         )
         SELECT topic FROM found WHERE topic IS NOT NULL LIMIT ?3",
    )
    .bind(low)
    .bind(high)
    .bind(MOST_LOOKED_AT)
    .fetch_all(conn)
    .await?;
    let is_all = rows::signed(found.len()) < MOST_LOOKED_AT;
    let matching: Vec<String> = found
        .into_iter()
        .map(|(topic,)| topic)
        .filter(|topic| topic.parse().is_ok_and(|topic| pattern.matches(&topic)))
        .collect();
    Ok((is_all && matching.len() <= MOST_TOPICS).then_some(matching))
}

/// Ends a page early when its events are large.
async fn cut_to_bytes(conn: &mut SqliteConnection, found: &mut Found) -> Result<(), Failure> {
    if found.seqs.len() <= 8 {
        return Ok(());
    }
    let sizes: Vec<(i64, i64)> = sqlx::query_as(
        "SELECT seq, octet_length(body) + octet_length(headers) FROM events
         WHERE seq IN (SELECT value FROM json_each(?))",
    )
    .bind(list(&found.seqs))
    .fetch_all(conn)
    .await?;
    let sizes: std::collections::HashMap<i64, i64> = sizes.into_iter().collect();
    let mut bytes = 0_i64;
    let fits = found
        .seqs
        .iter()
        .take_while(|seq| {
            bytes = bytes.saturating_add(sizes.get(*seq).copied().unwrap_or(0));
            bytes <= MOST_BYTES
        })
        .count();
    found.cut(fits.max(1));
    Ok(())
}

/// See `History::event`.
pub(crate) async fn get(
    conn: &mut SqliteConnection,
    id: &EventId,
) -> Result<Option<RecordedEvent>, Failure> {
    let sql = format!(
        "SELECT {EVENT_COLUMNS}, r.id AS revision_id, e.seq AS place
         FROM events e JOIN revisions r ON r.seq = e.revision WHERE e.id = ?"
    );
    let row = sqlx::query(AssertSqlSafe(sql))
        .bind(id.as_str().to_owned())
        .fetch_optional(conn)
        .await?;
    row.as_ref().map(recorded_event).transpose()
}

/// See `History::verdicts`.
pub(crate) async fn verdicts(
    conn: &mut SqliteConnection,
    event: &EventId,
) -> Result<Vec<StoredVerdict>, Failure> {
    let rows = sqlx::query(
        "SELECT v.rule, r.id AS revision, v.verdict, v.reason, j.id AS job
         FROM events e
         JOIN verdicts v ON v.event = e.seq
         JOIN revisions r ON r.seq = v.revision
         LEFT JOIN jobs j ON j.seq = v.job
         WHERE e.id = ? ORDER BY v.n",
    )
    .bind(event.as_str().to_owned())
    .fetch_all(conn)
    .await?;
    rows.iter()
        .map(|row| {
            let word: &str = row.try_get("verdict")?;
            let job: Option<&str> = row.try_get("job")?;
            Ok(StoredVerdict {
                event_id: event.clone(),
                rule: parse(row.try_get("rule")?, "rule name")?,
                revision: parse(row.try_get("revision")?, "revision")?,
                verdict: Verdict::ALL
                    .into_iter()
                    .find(|verdict| verdict.as_str() == word)
                    .ok_or_else(|| Failure::corrupt(format!("verdict `{word}`")))?,
                reason: row.try_get("reason")?,
                job_id: job.map(|id| parse(id, "job id")).transpose()?,
            })
        })
        .collect()
}
