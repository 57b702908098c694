//! Dead letters: what gave up, kept with its cause.

use std::sync::Arc;

use async_trait::async_trait;
use model::{
    audit::{AuditAction, AuditDraft},
    clock::Timestamp,
    id::{DeadLetterId, JobId, Principal},
    page::{DeadQuery, Page},
    ports::{DeadKind, DeadLetter, DeadLetterDraft, DeadState},
};
use sha2::{Digest, Sha256};
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use super::{
    audit,
    failure::Failure,
    rows::{self, list, parse, time},
    scan::{Bind, Scan},
    writer::{Tx, Write},
};

/// A dead letter to be kept.
#[derive(Debug)]
pub(crate) struct Letter {
    id: DeadLetterId,
    draft: DeadLetterDraft,
    /// Of the content of a refused event, or of bytes that are kept.
    hash: Option<Arc<[u8]>>,
    /// A refused event: at most one open letter for an id and a content.
    is_refused: bool,
}

impl Letter {
    pub(crate) fn new(draft: DeadLetterDraft) -> Self {
        Self {
            id: DeadLetterId::generate(),
            draft,
            hash: None,
            is_refused: false,
        }
    }

    pub(crate) fn refused(draft: DeadLetterDraft, hash: Arc<[u8]>) -> Self {
        Self {
            hash: Some(hash),
            is_refused: true,
            ..Self::new(draft)
        }
    }
}

/// Keeps letters, except a refused event that an open one is about already.
pub(crate) async fn insert(tx: &mut Tx<'_>, letters: &[Letter]) -> Result<(), Failure> {
    for letter in letters {
        let Letter {
            id,
            draft:
                DeadLetterDraft {
                    kind,
                    cause,
                    event_id,
                    rule,
                    job_id,
                    source,
                    raw,
                },
            hash,
            is_refused,
        } = letter;
        sqlx::query(
            "INSERT INTO dead_letters
                 (id, kind, state, created, event_id, rule, job_id, source, cause, hash, raw)
             SELECT ?1, ?2, 'open', ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10
             WHERE NOT ?11 OR NOT EXISTS (
                 SELECT 1 FROM dead_letters
                 WHERE event_id = ?4 AND hash = ?9 AND state = 'open' AND kind = ?2)",
        )
        .bind(id.as_str().to_owned())
        .bind(kind.as_str())
        .bind(tx.now.wall.as_millis())
        .bind(event_id.as_ref().map(|id| id.as_str().to_owned()))
        .bind(rule.as_ref().map(|rule| rule.as_str().to_owned()))
        .bind(job_id.as_ref().map(|job| job.as_str().to_owned()))
        .bind(source.clone())
        .bind(cause.clone())
        .bind(hash.clone())
        .bind(raw.clone())
        .bind(*is_refused)
        .execute(&mut *tx.conn)
        .await?;
    }
    Ok(())
}

/// Keeps a letter, unless an open one of its kind and source holds the same
/// bytes for the same cause: that one is the answer then.
pub(crate) async fn keep(tx: &mut Tx<'_>, draft: DeadLetterDraft) -> Result<DeadLetterId, Failure> {
    let hash: Option<Arc<[u8]>> = draft
        .raw
        .as_ref()
        .map(|raw| content_hash(raw, &draft.cause));
    if let Some(hash) = &hash {
        let open: Option<String> = sqlx::query_scalar(
            "SELECT id FROM dead_letters
             WHERE hash = ? AND state = 'open' AND kind = ? AND source = ?",
        )
        .bind(Arc::clone(hash))
        .bind(draft.kind.as_str())
        .bind(draft.source.clone())
        .fetch_optional(&mut *tx.conn)
        .await?;
        if let Some(id) = open {
            return parse(&id, "dead letter id");
        }
    }
    let letter = Letter {
        hash,
        ..Letter::new(draft)
    };
    insert(tx, std::slice::from_ref(&letter)).await?;
    Ok(letter.id)
}

/// The cause names the message that the bytes came in.
fn content_hash(raw: &[u8], cause: &str) -> Arc<[u8]> {
    let mut hasher = Sha256::new();
    hasher.update(cause.as_bytes());
    hasher.update([0]);
    hasher.update(raw);
    Arc::from(&hasher.finalize()[..])
}

/// Closes the open letters of a job that is tried again.
pub(crate) async fn close_of_job(
    tx: &mut Tx<'_>,
    job: &JobId,
    by: &Principal,
) -> Result<(), Failure> {
    sqlx::query(
        "UPDATE dead_letters SET state = 'retried', closed = ?, closed_by = ?
         WHERE job_id = ? AND state = 'open'",
    )
    .bind(tx.now.wall.as_millis())
    .bind(by.0.clone())
    .bind(job.as_str().to_owned())
    .execute(&mut *tx.conn)
    .await?;
    Ok(())
}

/// See `JobControl::keep_dead`.
pub(crate) struct Keep(pub(crate) DeadLetterDraft);

#[async_trait]
impl Write for Keep {
    type Answer = DeadLetterId;

    async fn write(&self, tx: &mut Tx<'_>) -> Result<DeadLetterId, Failure> {
        keep(tx, self.0.clone()).await
    }
}

/// See `JobControl::close_dead`.
pub(crate) struct Close {
    pub(crate) id: DeadLetterId,
    pub(crate) how: DeadState,
    pub(crate) by: Principal,
}

#[async_trait]
impl Write for Close {
    type Answer = bool;

    async fn write(&self, tx: &mut Tx<'_>) -> Result<bool, Failure> {
        if self.how == DeadState::Open {
            return Ok(false);
        }
        let closed = sqlx::query(
            "UPDATE dead_letters SET state = ?, closed = ?, closed_by = ?
             WHERE id = ? AND state = 'open'",
        )
        .bind(self.how.as_str())
        .bind(tx.now.wall.as_millis())
        .bind(self.by.0.clone())
        .bind(self.id.as_str().to_owned())
        .execute(&mut *tx.conn)
        .await?;
        if closed.rows_affected() == 0 {
            return Ok(false);
        }
        let action = match self.how {
            DeadState::Discarded => AuditAction::DeadDiscard,
            DeadState::Open | DeadState::Retried => AuditAction::DeadRetry,
        };
        let draft = AuditDraft {
            by: self.by.clone(),
            action,
            target: self.id.to_string(),
            detail: None,
        };
        audit::record(tx, &draft).await?;
        Ok(true)
    }
}

const COLUMNS: &str = "SELECT seq, id, kind, state, created, closed, closed_by, event_id, rule,
     job_id, source, cause, raw FROM dead_letters";

/// See `History::dead_letters`.
pub(crate) async fn page(
    conn: &mut SqliteConnection,
    query: &DeadQuery,
) -> Result<Page<DeadLetter>, Failure> {
    let state = query.state.unwrap_or(DeadState::Open);
    let mut scan = Scan::new("dead_letters", query.position, query.limit);
    match query.kind {
        Some(kind) => scan.along(
            "state = ? AND kind = ?",
            vec![Bind::word(state.as_str()), Bind::word(kind.as_str())],
        ),
        None => scan.along("state = ?", vec![Bind::word(state.as_str())]),
    }
    if let Some(rule) = &query.rule {
        scan.filter("rule = ?", vec![Bind::text(rule.as_str())]);
    }
    let found = scan.run(conn).await?;
    let sql = format!("{COLUMNS} WHERE seq IN (SELECT value FROM json_each(?)) ORDER BY seq");
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(list(&found.seqs))
        .fetch_all(conn)
        .await?;
    found.page(&rows, letter)
}

/// See `History::dead_letter`.
pub(crate) async fn get(
    conn: &mut SqliteConnection,
    id: &DeadLetterId,
) -> Result<Option<DeadLetter>, Failure> {
    let sql = format!("{COLUMNS} WHERE id = ?");
    let row = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(id.as_str().to_owned())
        .fetch_optional(conn)
        .await?;
    row.as_ref().map(letter).transpose()
}

fn letter(row: &SqliteRow) -> Result<DeadLetter, Failure> {
    let closed = time(row.try_get("closed")?).zip(rows::principal(row.try_get("closed_by")?));
    let event_id: Option<&str> = row.try_get("event_id")?;
    let rule: Option<&str> = row.try_get("rule")?;
    let job_id: Option<&str> = row.try_get("job_id")?;
    Ok(DeadLetter {
        id: parse(row.try_get("id")?, "dead letter id")?,
        created: Timestamp::from_millis(row.try_get("created")?),
        state: parse::<DeadState>(row.try_get("state")?, "state of a dead letter")?,
        closed,
        content: DeadLetterDraft {
            kind: parse::<DeadKind>(row.try_get("kind")?, "kind of a dead letter")?,
            cause: row.try_get("cause")?,
            event_id: event_id.map(|it| parse(it, "event id")).transpose()?,
            rule: rule.map(|it| parse(it, "rule name")).transpose()?,
            job_id: job_id.map(|it| parse(it, "job id")).transpose()?,
            source: row.try_get("source")?,
            raw: row.try_get("raw")?,
        },
    })
}
