//! Retention: what is old and ended goes, in small steps, and its room is
//! given back to the file system.

use async_trait::async_trait;
use model::{
    fault::FaultPoint,
    ports::{Cutoffs, Pruned},
};
use sqlx::SqliteConnection;

use super::{
    audit,
    failure::Failure,
    output::{self, Piece},
    rows::{list, signed, unsigned},
    writer::{Tx, Write},
};

/// Pages that one step gives back to the file system at most.
const MOST_PAGES: u32 = 2_000;

/// Bytes of output that one step deflates at most, the first attempt aside.
const MOST_PACKED: i64 = 32 << 20;

/// See `Upkeep::prune`, the part that removes.
pub(crate) struct Prune {
    pub(crate) cutoffs: Cutoffs,
    pub(crate) max: usize,
}

#[async_trait]
impl Write for Prune {
    type Answer = Pruned;

    async fn write(&self, tx: &mut Tx<'_>) -> Result<Pruned, Failure> {
        audit::forget(tx, self.max).await?;
        let pruned = Pruned {
            outputs: outputs(tx, self).await?,
            events: events(tx, self).await?,
            dead: dead(tx, self).await?,
        };
        if pruned != Pruned::default() {
            give_back(tx.conn).await?;
            tx.before_commit(FaultPoint::DuringRetention);
        }
        Ok(pruned)
    }
}

async fn outputs(tx: &mut Tx<'_>, prune: &Prune) -> Result<u64, Failure> {
    let old: Vec<(i64, i64)> = sqlx::query_as(
        "SELECT job, number FROM attempts
         WHERE output > 0 AND output IN (1, 2) AND finished < ? LIMIT ?",
    )
    .bind(prune.cutoffs.output.as_millis())
    .bind(signed(prune.max))
    .fetch_all(&mut *tx.conn)
    .await?;
    for &(job, attempt) in &old {
        for delete in [
            "DELETE FROM output WHERE job = ? AND attempt = ?",
            "DELETE FROM task_events WHERE job = ? AND attempt = ?",
            "DELETE FROM task_recaps WHERE job = ? AND attempt = ?",
        ] {
            sqlx::query(delete)
                .bind(job)
                .bind(attempt)
                .execute(&mut *tx.conn)
                .await?;
        }
        set_output(tx, (job, attempt), 0).await?;
    }
    Ok(old.len() as u64)
}

async fn set_output(tx: &mut Tx<'_>, (job, attempt): (i64, i64), to: i64) -> Result<(), Failure> {
    sqlx::query("UPDATE attempts SET output = ? WHERE job = ? AND number = ?")
        .bind(to)
        .bind(job)
        .bind(attempt)
        .execute(&mut *tx.conn)
        .await?;
    Ok(())
}

/// Events go with their verdicts, jobs, attempts, steps and output, by the
/// foreign keys. One whose job has not ended stays whole, and one that a sink
/// has not taken.
async fn events(tx: &mut Tx<'_>, prune: &Prune) -> Result<u64, Failure> {
    let cutoff = prune.cutoffs.events.as_millis();
    let end: Option<i64> =
        sqlx::query_scalar("SELECT max(last_seq) FROM event_minutes WHERE minute <= ?")
            .bind(cutoff.div_euclid(60_000))
            .fetch_one(&mut *tx.conn)
            .await?;
    let Some(end) = end else {
        return Ok(0);
    };
    let old: Vec<(i64, i64)> = sqlx::query_as(
        "SELECT seq, accepted FROM events
         WHERE seq <= ? AND accepted < ?
         AND NOT EXISTS (
             SELECT 1 FROM jobs WHERE jobs.event = events.seq
             AND state NOT IN ('succeeded', 'failed', 'cancelled', 'returned'))
         AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.event = events.seq)
         ORDER BY seq LIMIT ?",
    )
    .bind(end)
    .bind(cutoff)
    .bind(signed(prune.max))
    .fetch_all(&mut *tx.conn)
    .await?;
    if old.is_empty() {
        return Ok(0);
    }
    let seqs: Vec<i64> = old.iter().map(|(seq, _)| *seq).collect();
    let seqs = list(&seqs);
    if tx.state.returned_jobs > 0 {
        let returned: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM jobs
             WHERE event IN (SELECT value FROM json_each(?)) AND +state = 'returned'",
        )
        .bind(seqs.clone())
        .fetch_one(&mut *tx.conn)
        .await?;
        let gone: usize = unsigned(returned, "count of jobs")?;
        tx.state.returned_jobs = tx.state.returned_jobs.saturating_sub(gone);
    }
    sqlx::query("DELETE FROM events WHERE seq IN (SELECT value FROM json_each(?))")
        .bind(seqs)
        .execute(&mut *tx.conn)
        .await?;
    let minutes: Vec<i64> = old
        .iter()
        .map(|(_, accepted)| accepted.div_euclid(60_000))
        .collect();
    sqlx::query(
        "UPDATE event_minutes SET events = events - gone.count
         FROM (SELECT value AS minute, count(*) AS count FROM json_each(?) GROUP BY value) AS gone
         WHERE event_minutes.minute = gone.minute",
    )
    .bind(list(&minutes))
    .execute(&mut *tx.conn)
    .await?;
    sqlx::query("DELETE FROM event_minutes WHERE events <= 0")
        .execute(&mut *tx.conn)
        .await?;
    sqlx::query(
        "DELETE FROM job_minutes
         WHERE last_seq < coalesce((SELECT min(seq) FROM jobs), 9223372036854775807)",
    )
    .execute(&mut *tx.conn)
    .await?;
    Ok(old.len() as u64)
}

async fn dead(tx: &mut Tx<'_>, prune: &Prune) -> Result<u64, Failure> {
    let gone = sqlx::query(
        "DELETE FROM dead_letters WHERE seq IN (
             SELECT seq FROM dead_letters WHERE created < ? ORDER BY created LIMIT ?)",
    )
    .bind(prune.cutoffs.dead.as_millis())
    .bind(signed(prune.max))
    .execute(&mut *tx.conn)
    .await?;
    Ok(gone.rows_affected())
}

/// Moves free pages to the end of the file and cuts them off.
async fn give_back(conn: &mut SqliteConnection) -> Result<(), Failure> {
    let sql = format!("PRAGMA incremental_vacuum({MOST_PAGES})");
    sqlx::query(sqlx::AssertSqlSafe(sql))
        .fetch_all(conn)
        .await?;
    Ok(())
}

/// The output of one step, deflated, and what it replaces.
#[derive(Debug)]
pub(crate) struct Packed {
    step: i64,
    size: i64,
    bytes: Vec<u8>,
}

/// An attempt whose output is to be packed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    job: i64,
    attempt: i64,
}

/// Attempts that have ended and whose output is still in pieces.
pub(crate) async fn unpacked(
    conn: &mut SqliteConnection,
    max: usize,
) -> Result<Vec<Target>, Failure> {
    let rows: Vec<(i64, i64, i64)> = sqlx::query_as(
        "SELECT job, number, coalesce((
             SELECT sum(size) FROM output
             WHERE output.job = attempts.job AND output.attempt = attempts.number), 0)
         FROM attempts WHERE output > 0 AND output = 1 AND finished IS NOT NULL LIMIT ?",
    )
    .bind(signed(max))
    .fetch_all(conn)
    .await?;
    let mut bytes = 0;
    let mut targets = Vec::with_capacity(rows.len());
    for (job, attempt, size) in rows {
        if bytes > 0 && bytes + size > MOST_PACKED {
            break;
        }
        bytes += size;
        targets.push(Target { job, attempt });
    }
    Ok(targets)
}

/// What an attempt printed, each step's in one piece, not deflated yet.
pub(crate) async fn whole(
    conn: &mut SqliteConnection,
    target: Target,
) -> Result<Vec<(i64, Vec<u8>)>, Failure> {
    let pieces: Vec<Piece> = output::pieces(conn, (target.job, target.attempt), None).await?;
    let mut steps: Vec<(i64, Vec<u8>)> = Vec::new();
    for piece in pieces {
        let max: usize = unsigned(piece.size, "size of output")?;
        let bytes = output::bytes(conn, piece, (0, max)).await?;
        match steps.last_mut() {
            Some((step, whole)) if *step == piece.step => whole.extend(bytes),
            Some(_) | None => steps.push((piece.step, bytes)),
        }
    }
    Ok(steps)
}

/// Deflates; blocks.
pub(crate) fn pack(steps: Vec<(i64, Vec<u8>)>) -> Vec<Packed> {
    steps
        .into_iter()
        .map(|(step, bytes)| Packed {
            step,
            size: signed(bytes.len()),
            bytes: output::pack(&bytes),
        })
        .collect()
}

/// Puts the packed output of an attempt in the place of its pieces.
pub(crate) struct Replace {
    pub(crate) target: Target,
    pub(crate) steps: Vec<Packed>,
}

#[async_trait]
impl Write for Replace {
    type Answer = ();

    async fn write(&self, tx: &mut Tx<'_>) -> Result<(), Failure> {
        let Target { job, attempt } = self.target;
        // Retention may have been here in the meantime.
        let is_there: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM attempts
             WHERE job = ? AND number = ? AND output = 1 AND finished IS NOT NULL)",
        )
        .bind(job)
        .bind(attempt)
        .fetch_one(&mut *tx.conn)
        .await?;
        if !is_there {
            return Ok(());
        }
        sqlx::query("DELETE FROM output WHERE job = ? AND attempt = ?")
            .bind(job)
            .bind(attempt)
            .execute(&mut *tx.conn)
            .await?;
        for step in &self.steps {
            sqlx::query(
                "INSERT INTO output (job, attempt, step, start, size, packed, bytes)
                 VALUES (?, ?, ?, 0, ?, 1, ?)",
            )
            .bind(job)
            .bind(attempt)
            .bind(step.step)
            .bind(step.size)
            .bind(step.bytes.clone())
            .execute(&mut *tx.conn)
            .await?;
        }
        set_output(tx, (job, attempt), 2).await?;
        tx.before_commit(FaultPoint::DuringRetention);
        Ok(())
    }
}
