//! The audit: a row for each thing that somebody did. Rows are added by the
//! transaction that does it, and only retention removes them.

use async_trait::async_trait;
use model::{
    audit::{AuditAction, AuditDraft, AuditEntry, AuditQuery, KEPT_FOR},
    clock::Timestamp,
    id::Principal,
    page::Page,
    ports::{StoreError, access::Audit},
};
use sqlx::{AssertSqlSafe, Row, SqliteConnection, sqlite::SqliteRow};

use super::{
    SqliteStore,
    failure::Failure,
    rows::{list, parse, signed},
    scan::{Bind, Scan},
    writer::{Tx, Write},
};

#[async_trait]
impl Audit for SqliteStore {
    async fn record(&self, draft: AuditDraft) -> Result<(), StoreError> {
        self.write(Record(draft)).await
    }

    async fn entries(&self, query: &AuditQuery) -> Result<Page<AuditEntry>, StoreError> {
        self.read(async { page(&mut *self.reader().await?, query).await })
            .await
    }
}

/// Puts something into the audit, with the rest of the transaction.
pub(crate) async fn record(tx: &mut Tx<'_>, draft: &AuditDraft) -> Result<(), Failure> {
    let AuditDraft {
        by,
        action,
        target,
        detail,
    } = draft;
    sqlx::query("INSERT INTO audit (at, by, action, target, detail) VALUES (?, ?, ?, ?, ?)")
        .bind(tx.now.wall.as_millis())
        .bind(by.0.clone())
        .bind(action.as_str())
        .bind(target.clone())
        .bind(detail.clone())
        .execute(&mut *tx.conn)
        .await?;
    Ok(())
}

/// Removes what was done too long ago, of the oldest `max` entries.
pub(crate) async fn forget(tx: &mut Tx<'_>, max: usize) -> Result<(), Failure> {
    sqlx::query(
        "DELETE FROM audit WHERE at < ? AND seq IN (SELECT seq FROM audit ORDER BY seq LIMIT ?)",
    )
    .bind(tx.now.wall.minus(KEPT_FOR).as_millis())
    .bind(signed(max))
    .execute(&mut *tx.conn)
    .await?;
    Ok(())
}

/// See `Audit::record`.
struct Record(AuditDraft);

#[async_trait]
impl Write for Record {
    type Answer = ();

    async fn write(&self, tx: &mut Tx<'_>) -> Result<(), Failure> {
        record(tx, &self.0).await
    }
}

/// See `Audit::entries`.
async fn page(
    conn: &mut SqliteConnection,
    query: &AuditQuery,
) -> Result<Page<AuditEntry>, Failure> {
    let mut scan = Scan::new("audit", query.position, query.limit);
    match (&query.by, query.action) {
        (Some(by), None) => scan.along("by = ?", vec![Bind::text(&by.0)]),
        (None, Some(action)) => scan.along("action = ?", vec![Bind::word(action.as_str())]),
        (Some(by), Some(action)) => {
            scan.along("by = ?", vec![Bind::text(&by.0)]);
            scan.filter("+action = ?", vec![Bind::word(action.as_str())]);
        }
        (None, None) => {}
    }
    if let Some(since) = query.since {
        scan.filter("at >= ?", vec![Bind::Int(since.as_millis())]);
    }
    if let Some(until) = query.until {
        scan.filter("at < ?", vec![Bind::Int(until.as_millis())]);
    }
    let found = scan.run(conn).await?;
    let rows = sqlx::query(AssertSqlSafe(
        "SELECT seq, at, by, action, target, detail FROM audit
         WHERE seq IN (SELECT value FROM json_each(?)) ORDER BY seq",
    ))
    .bind(list(&found.seqs))
    .fetch_all(conn)
    .await?;
    found.page(&rows, entry)
}

fn entry(row: &SqliteRow) -> Result<AuditEntry, Failure> {
    Ok(AuditEntry {
        at: Timestamp::from_millis(row.try_get("at")?),
        content: AuditDraft {
            by: Principal(row.try_get("by")?),
            action: parse::<AuditAction>(row.try_get("action")?, "action of the audit")?,
            target: row.try_get("target")?,
            detail: row.try_get("detail")?,
        },
    })
}
