//! The complete state as text, for snapshots.
//!
//! Built by destructuring: a field that is added and forgotten here does not
//! compile. Ids become `job-1`, `dead-1` in order of creation, so a snapshot
//! is the same on every run.

use std::fmt::{self, Write as _};

use model::{
    id::JobId,
    job::{Attempt, StepRecord, Tries},
    ports::{DeadLetter, DeadLetterDraft},
    verdict::StoredVerdict,
};

use super::{
    job::{AttemptRow, Due, JobRow},
    state::{EventRow, Place, State},
};

pub(super) fn dump(state: &State) -> String {
    let mut text = String::new();
    write_state(&mut text, state).expect("a String takes everything");
    for (number, job) in state.jobs.values().enumerate() {
        text = text.replace(job.id.as_str(), &format!("job-{}", number + 1));
    }
    for (number, letter) in state.dead.values().enumerate() {
        text = text.replace(letter.id.as_str(), &format!("dead-{}", number + 1));
    }
    text
}

fn write_state(out: &mut String, state: &State) -> fmt::Result {
    let State {
        last_seq: _,
        events,
        event_seqs: _,
        verdicts,
        jobs,
        job_seqs: _,
        dead,
        outbox,
        lifecycle: _,
        revisions,
        // Of people, not of the engine.
        tokens: _,
        audit: _,
        // Of the clock.
        steady: _,
        accept_commits,
        accepted_events,
    } = state;
    writeln!(
        out,
        "events {} in {accept_commits} commits of {accepted_events}, revisions {}",
        events.len(),
        revisions.len()
    )?;
    for row in events.values() {
        let EventRow {
            event,
            hash: _,
            revision: _,
        } = row;
        writeln!(out, "  {}  {}  {}", event.id, event.topic, event.body)?;
    }
    writeln!(out, "verdicts {}", verdicts.len())?;
    for verdict in verdicts.values() {
        write_verdict(out, verdict)?;
    }
    writeln!(out, "jobs {}", jobs.len())?;
    for job in jobs.values() {
        write_job(out, job)?;
    }
    writeln!(out, "dead letters {}", dead.len())?;
    for letter in dead.values() {
        write_letter(out, letter)?;
    }
    if !outbox.is_empty() {
        writeln!(out, "outbox {}", outbox.len())?;
    }
    for Place { sink, event } in outbox.values() {
        writeln!(out, "  {sink}  {event}")?;
    }
    Ok(())
}

fn write_verdict(out: &mut String, verdict: &StoredVerdict) -> fmt::Result {
    let StoredVerdict {
        event_id,
        rule,
        revision: _,
        verdict,
        reason,
        job_id,
    } = verdict;
    write!(out, "  {event_id}  {rule}  {verdict}")?;
    if let Some(job) = job_id {
        write!(out, "  {job}")?;
    }
    write_note(out, Some(reason).filter(|reason| !reason.is_empty()))
}

fn write_job(out: &mut String, job: &JobRow) -> fmt::Result {
    let JobRow {
        id,
        rule,
        revision: _,
        event_id,
        plan,
        state,
        reason,
        result,
        next_step,
        due,
        // Shown as `due`.
        due_tick: _,
        latest: _,
        place,
        tries: Tries { failed, lost },
        cancel,
        delivery,
        lease_end,
        attempts,
        created,
        started: _,
        finished,
    } = job;
    write!(
        out,
        "  {id}  {rule}  {event_id}  {state}  step {next_step}/{}  tries {failed}+{lost}",
        plan.steps.len()
    )?;
    if let Some(key) = &plan.key {
        write!(out, "  key {key}")?;
    }
    if let Some(result) = result {
        let result = serde_json::Value::Object(result.clone());
        write!(out, "  result {result}")?;
    }
    if let Some(Due { boot: _, wall }) = due {
        let delay = wall.as_millis() - created.as_millis();
        write!(out, "  due {delay} ms after creation")?;
    }
    if place.is_some() {
        write!(out, "  counted by its throttle")?;
    }
    if let Some(by) = cancel {
        write!(out, "  cancel asked by {by}")?;
    }
    if let Some(worker) = delivery {
        write!(out, "  delivered to {worker}")?;
    }
    if lease_end.is_some() {
        write!(out, "  leased")?;
    }
    if finished.is_some() {
        write!(out, "  finished")?;
    }
    write_note(out, reason.as_ref())?;
    for attempt in attempts {
        write_attempt(out, attempt)?;
    }
    Ok(())
}

fn write_attempt(out: &mut String, attempt: &AttemptRow) -> fmt::Result {
    let AttemptRow {
        record:
            Attempt {
                number,
                worker,
                started: _,
                finished: _,
                outcome,
                steps,
            },
        output,
        tasks,
    } = attempt;
    let word = outcome.as_ref().map_or("running", |it| it.as_str());
    write!(out, "    {number}  {worker}  {word}")?;
    if !tasks.is_empty() {
        write!(out, "  {} task events", tasks.len())?;
    }
    writeln!(out)?;
    for step in steps {
        let StepRecord {
            index,
            kind,
            state,
            started: _,
            finished: _,
            exit,
            summary,
        } = step;
        write!(out, "      {index}  {kind}  {}", state.as_str())?;
        if let Some(exit) = exit {
            write!(out, "  {exit}")?;
        }
        if let Some(bytes) = output.get(index) {
            write!(out, "  {} bytes", bytes.len())?;
        }
        write_note(out, summary.as_ref().filter(|note| !note.is_empty()))?;
    }
    Ok(())
}

fn write_letter(out: &mut String, letter: &DeadLetter) -> fmt::Result {
    let DeadLetter {
        id,
        created: _,
        state,
        closed,
        content:
            DeadLetterDraft {
                kind,
                cause,
                event_id,
                rule,
                job_id,
                source,
                raw,
            },
    } = letter;
    write!(out, "  {id}  {kind}  {state}  from {source}")?;
    if let Some((_, by)) = closed {
        write!(out, "  closed by {by}")?;
    }
    if let Some(event) = event_id {
        write!(out, "  {event}")?;
    }
    if let Some(rule) = rule {
        write!(out, "  {rule}")?;
    }
    if let Some(job) = job_id.as_ref().map(JobId::as_str) {
        write!(out, "  {job}")?;
    }
    if let Some(raw) = raw {
        write!(out, "  {} bytes", raw.len())?;
    }
    write_note(out, Some(cause))
}

/// Ends the line, with what it says for people.
fn write_note(out: &mut String, note: Option<&String>) -> fmt::Result {
    match note {
        Some(note) => writeln!(out, "  ({note})"),
        None => writeln!(out),
    }
}
