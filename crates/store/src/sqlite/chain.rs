//! What events are the follow-ups of.

use super::{accept::Kept, failure::Failure, writer::Tx};

/// Notes the causes of new events. Few events have one, so each is a
/// statement of its own; the chain goes on from the cause's own first event.
pub(crate) async fn keep_causes(tx: &mut Tx<'_>, kept: &[Kept<'_>]) -> Result<(), Failure> {
    for it in kept {
        let Some(cause) = &it.row.judged.event.cause else {
            continue;
        };
        sqlx::query(
            "INSERT INTO causes (event, cause, job, hops, root)
             SELECT ?1, ?2, ?3, ?4, coalesce(
                 (SELECT c.root FROM causes c JOIN events e ON e.seq = c.event WHERE e.id = ?2),
                 ?2)",
        )
        .bind(it.seq)
        .bind(cause.event.as_str())
        .bind(cause.job.as_str())
        .bind(i64::from(cause.hops))
        .execute(&mut *tx.conn)
        .await?;
    }
    Ok(())
}
