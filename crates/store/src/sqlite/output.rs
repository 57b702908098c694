//! What steps print: kept in pieces as it comes, deflated into one piece a
//! step when the attempt has ended.

use std::io::{Read, Write as _};

use async_trait::async_trait;
use flate2::{Compression, read::DeflateDecoder, write::DeflateEncoder};
use model::{
    fault::FaultPoint,
    id::LeaseId,
    job::JobState,
    ports::{Fenced, Output, OutputQuery},
};
use sqlx::{Row, SqliteConnection};

use super::{
    claim::held,
    failure::Failure,
    rows::{job_state, signed, unsigned},
    writer::{Tx, Write},
};

/// Bytes that one answer holds at most, whatever was asked for.
const MOST_BYTES: usize = 16 << 20;

/// See `JobQueue::append_output`.
pub(crate) struct Append {
    pub(crate) lease: LeaseId,
    pub(crate) step: usize,
    pub(crate) bytes: Vec<u8>,
}

#[async_trait]
impl Write for Append {
    type Answer = Fenced;

    async fn write(&self, tx: &mut Tx<'_>) -> Result<Fenced, Failure> {
        let Some(job) = held(tx, &self.lease).await? else {
            return Ok(Fenced::Stale);
        };
        if self.bytes.is_empty() {
            return Ok(Fenced::Recorded);
        }
        let attempt = i64::from(self.lease.attempt);
        sqlx::query(
            "INSERT INTO output (job, attempt, step, start, size, bytes)
             SELECT ?1, ?2, ?3, coalesce((
                 SELECT start + size FROM output WHERE job = ?1 AND attempt = ?2 AND step = ?3
                 ORDER BY start DESC LIMIT 1), 0), ?4, ?5",
        )
        .bind(job)
        .bind(attempt)
        .bind(signed(self.step))
        .bind(signed(self.bytes.len()))
        .bind(self.bytes.clone())
        .execute(&mut *tx.conn)
        .await?;
        sqlx::query("UPDATE attempts SET output = 1 WHERE job = ? AND number = ? AND output = 0")
            .bind(job)
            .bind(attempt)
            .execute(&mut *tx.conn)
            .await?;
        tx.after_commit(FaultPoint::AfterOutputAppended);
        Ok(Fenced::Recorded)
    }
}

/// One piece of the output of an attempt, without its bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Piece {
    pub(crate) seq: i64,
    pub(crate) step: i64,
    pub(crate) size: i64,
    pub(crate) is_packed: bool,
}

/// The pieces of an attempt, in the order in which they are read.
pub(crate) async fn pieces(
    conn: &mut SqliteConnection,
    (job, attempt): (i64, i64),
    step: Option<usize>,
) -> Result<Vec<Piece>, Failure> {
    let rows = sqlx::query(
        "SELECT seq, step, size, packed FROM output
         WHERE job = ?1 AND attempt = ?2 AND (?3 IS NULL OR step = ?3) ORDER BY step, start",
    )
    .bind(job)
    .bind(attempt)
    .bind(step.map(signed))
    .fetch_all(conn)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Piece {
                seq: row.try_get("seq")?,
                step: row.try_get("step")?,
                size: row.try_get("size")?,
                is_packed: row.try_get::<i64, _>("packed")? != 0,
            })
        })
        .collect()
}

/// The bytes of a piece from `skip` on, at most `max`.
pub(crate) async fn bytes(
    conn: &mut SqliteConnection,
    piece: Piece,
    (skip, max): (u64, usize),
) -> Result<Vec<u8>, Failure> {
    let stored: Vec<u8> = sqlx::query_scalar("SELECT bytes FROM output WHERE seq = ?")
        .bind(piece.seq)
        .fetch_one(conn)
        .await?;
    let mut part = Vec::new();
    let read = if piece.is_packed {
        take(
            DeflateDecoder::new(stored.as_slice()),
            (skip, max),
            &mut part,
        )
    } else {
        take(stored.as_slice(), (skip, max), &mut part)
    };
    read.map_err(|error| Failure::corrupt(format!("output of step {}: {error}", piece.step)))?;
    Ok(part)
}

fn take(mut from: impl Read, (skip, max): (u64, usize), into: &mut Vec<u8>) -> std::io::Result<()> {
    std::io::copy(&mut from.by_ref().take(skip), &mut std::io::sink())?;
    from.take(max as u64).read_to_end(into)?;
    Ok(())
}

/// Deflates what a step printed. Blocks: call it where that is allowed.
pub(crate) fn pack(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder
        .write_all(bytes)
        .and_then(|()| encoder.finish())
        .expect("a Vec takes everything")
}

/// See `History::output`.
pub(crate) async fn read(
    conn: &mut SqliteConnection,
    query: &OutputQuery,
) -> Result<Option<Output>, Failure> {
    let job: Option<(i64, String)> = sqlx::query_as("SELECT seq, state FROM jobs WHERE id = ?")
        .bind(query.job.as_str().to_owned())
        .fetch_optional(&mut *conn)
        .await?;
    let Some((job, state)) = job else {
        return Ok(None);
    };
    let attempt: Option<(i64, Option<i64>)> = sqlx::query_as(
        "SELECT number, finished FROM attempts
         WHERE job = ?1 AND (?2 IS NULL OR number = ?2) ORDER BY number DESC LIMIT 1",
    )
    .bind(job)
    .bind(query.attempt.map(i64::from))
    .fetch_optional(&mut *conn)
    .await?;
    let Some((attempt, finished)) = attempt else {
        let state: JobState = job_state(&state)?;
        return Ok(query.attempt.is_none().then(|| Output {
            attempt: 0,
            bytes: Vec::new(),
            next: query.offset,
            is_open: !state.is_ended(),
        }));
    };
    let pieces = pieces(conn, (job, attempt), query.step).await?;
    let (bytes, has_rest) = part(conn, &pieces, query).await?;
    Ok(Some(Output {
        attempt: unsigned(attempt, "attempt")?,
        next: query.offset.saturating_add(bytes.len() as u64),
        bytes,
        is_open: finished.is_none() || has_rest,
    }))
}

/// The part that was asked for, and whether more bytes follow it.
async fn part(
    conn: &mut SqliteConnection,
    pieces: &[Piece],
    query: &OutputQuery,
) -> Result<(Vec<u8>, bool), Failure> {
    let max = query.max.min(MOST_BYTES);
    let mut part = Vec::new();
    let mut start = 0_u64;
    for piece in pieces {
        let size: u64 = unsigned(piece.size, "size of output")?;
        let end = start.saturating_add(size);
        let at = query.offset.saturating_add(part.len() as u64);
        if end > at {
            let room = max - part.len();
            if room == 0 {
                return Ok((part, true));
            }
            let skip = at.saturating_sub(start);
            part.extend(bytes(conn, *piece, (skip, room)).await?);
        }
        start = end;
    }
    let at = query.offset.saturating_add(part.len() as u64);
    Ok((part, at < start))
}
