//! Follows jobs until they have ended, printing their output as it comes.
//!
//! It asks again and again rather than holding a connection, so a restart of
//! the service in between is only a pause.

use std::{collections::VecDeque, time::Duration};

use api::json::Job;
use model::{
    id::{JobId, RuleName},
    job::JobState,
};
use tokio::time::{Instant, sleep};

use crate::{
    client::{Client, Refusal},
    commands::Query,
    console::Console,
    exit::Exit,
    failure::Failure,
};

const POLL: Duration = Duration::from_millis(200);
/// How long a service may be away before it counts as unreachable.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where output goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Show {
    Output,
    /// Standard output is taken by something else.
    Nothing,
}

/// How following ended.
#[derive(Debug)]
pub(crate) enum Followed {
    /// In the order in which they were asked for.
    Ended(Vec<Job>),
    TimedOut,
}

/// One job that is followed.
struct Follower {
    id: JobId,
    /// The attempt whose output is printed, and how much of it was.
    attempt: u32,
    offset: u64,
    step: Option<usize>,
    /// The part of a line that has come so far.
    partial: Vec<u8>,
    said: Option<(JobState, Option<String>)>,
    ended: Option<Job>,
}

impl Follower {
    fn new(id: JobId, step: Option<usize>) -> Self {
        Self {
            id,
            attempt: 0,
            offset: 0,
            step,
            partial: Vec::new(),
            said: None,
            ended: None,
        }
    }
}

/// `lariat jobs output --follow`.
pub(crate) async fn output(
    client: &Client,
    console: &mut Console,
    id: &JobId,
    step: Option<usize>,
) -> Result<Exit, Failure> {
    let mut session = Session {
        client,
        console,
        show: Show::Output,
        is_alone: true,
        last_seen: Instant::now(),
    };
    let follower = Follower::new(id.clone(), step);
    match session.run(vec![follower], None).await? {
        Followed::Ended(_) | Followed::TimedOut => Ok(Exit::Ok),
    }
}

/// Follows `jobs` until all have ended or are held, or `timeout` has passed.
pub(crate) async fn jobs(
    client: &Client,
    console: &mut Console,
    jobs: &[JobId],
    (show, timeout): (Show, Option<Duration>),
) -> Result<Followed, Failure> {
    let followers: Vec<Follower> = jobs
        .iter()
        .map(|id| Follower::new(id.clone(), None))
        .collect();
    let mut session = Session {
        client,
        console,
        show,
        is_alone: followers.len() == 1,
        last_seen: Instant::now(),
    };
    session.run(followers, timeout).await
}

struct Session<'a> {
    client: &'a Client,
    console: &'a mut Console,
    show: Show,
    is_alone: bool,
    last_seen: Instant,
}

impl Session<'_> {
    async fn run(
        &mut self,
        mut followers: Vec<Follower>,
        timeout: Option<Duration>,
    ) -> Result<Followed, Failure> {
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        loop {
            for follower in followers.iter_mut().filter(|one| one.ended.is_none()) {
                self.look(follower).await?;
            }
            if followers.iter().all(|follower| follower.ended.is_some()) {
                let ended = followers.into_iter().filter_map(|one| one.ended);
                return Ok(Followed::Ended(ended.collect()));
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Ok(Followed::TimedOut);
            }
            sleep(POLL).await;
        }
    }

    /// Prints what is new of one job.
    async fn look(&mut self, follower: &mut Follower) -> Result<(), Failure> {
        let path = ["jobs", follower.id.as_str()];
        let answer = self.client.try_get(&path, &[]).await;
        let Some(answer) = self.answered(answer)? else {
            return Ok(());
        };
        let job: Job = answer.read()?;
        // The state was read before the output: what an ended job printed is
        // all there.
        let mut attempts: VecDeque<u32> = job
            .attempts
            .iter()
            .map(|attempt| attempt.number)
            .filter(|number| *number >= follower.attempt)
            .collect();
        while let Some(number) = attempts.pop_front() {
            if number != follower.attempt {
                self.flush(follower, &job.rule)?;
                if follower.attempt != 0 {
                    let rule = &job.rule;
                    self.console.say(&format!("attempt {number} of `{rule}`"));
                }
                follower.attempt = number;
                follower.offset = 0;
            }
            if !self.drain(follower, &job.rule).await? {
                return Ok(());
            }
        }
        if is_over(job.state) {
            self.flush(follower, &job.rule)?;
            self.tell(follower, &job);
            follower.ended = Some(job);
        } else {
            self.tell(follower, &job);
        }
        Ok(())
    }

    /// Prints the output of the current attempt as far as it goes; `false`
    /// when the service went away meanwhile.
    async fn drain(&mut self, follower: &mut Follower, rule: &RuleName) -> Result<bool, Failure> {
        if self.show == Show::Nothing {
            return Ok(true);
        }
        loop {
            let query = Query::new()
                .add("attempt", Some(&follower.attempt))
                .add("step", follower.step.as_ref())
                .add("offset", Some(&follower.offset));
            let path = ["jobs", follower.id.as_str(), "output"];
            let answer = self.client.try_get(&path, query.pairs()).await;
            let Some(answer) = self.answered(answer)? else {
                return Ok(false);
            };
            let bytes = answer.bytes();
            if bytes.is_empty() {
                return Ok(true);
            }
            follower.offset = answer.next_offset(follower.offset);
            if self.is_alone {
                self.console.output(bytes)?;
                if let Some(last) = bytes.last() {
                    follower.partial.clear();
                    follower.partial.push(*last);
                }
            } else {
                self.print_lines(follower, rule, bytes)?;
            }
        }
    }

    fn print_lines(
        &mut self,
        follower: &mut Follower,
        rule: &RuleName,
        bytes: &[u8],
    ) -> Result<(), Failure> {
        /// Longer lines are printed in parts.
        const LONGEST: usize = 64 * 1024;
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            follower.partial.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                follower.partial.pop();
            } else if follower.partial.len() < LONGEST {
                continue;
            }
            let line = std::mem::take(&mut follower.partial);
            self.console.prefixed_output(rule.as_str(), &line)?;
        }
        Ok(())
    }

    /// Ends a line that the program did not end.
    fn flush(&mut self, follower: &mut Follower, rule: &RuleName) -> Result<(), Failure> {
        let partial = std::mem::take(&mut follower.partial);
        match partial.as_slice() {
            [] => Ok(()),
            [b'\n'] if self.is_alone => Ok(()),
            _ if self.is_alone => self.console.output(b"\n"),
            line => self.console.prefixed_output(rule.as_str(), line),
        }
    }

    /// Says what a job has come to, once for each state.
    fn tell(&mut self, follower: &mut Follower, job: &Job) {
        let now = (job.state, job.reason.clone());
        if follower.said.as_ref() == Some(&now) {
            return;
        }
        let is_first = follower.said.is_none();
        follower.said = Some(now);
        let is_worth_saying = match job.state {
            JobState::Queued | JobState::Running => false,
            JobState::Waiting | JobState::Delayed => is_first,
            JobState::Retrying
            | JobState::Succeeded
            | JobState::Failed
            | JobState::Cancelled
            | JobState::Held
            | JobState::Returned => true,
        };
        if is_worth_saying {
            let Job { id, rule, .. } = job;
            let became = became(job.state, job.reason.as_deref());
            self.console.say(&format!("job {id} of `{rule}` {became}"));
        }
    }

    /// The answer, or nothing when the service is away for a moment.
    fn answered<T>(&mut self, answer: Result<T, Refusal>) -> Result<Option<T>, Failure> {
        match answer {
            Ok(answer) => {
                self.last_seen = Instant::now();
                Ok(Some(answer))
            }
            Err(Refusal::Unreachable(failure)) if self.last_seen.elapsed() > PATIENCE => {
                Err(failure)
            }
            Err(Refusal::Unreachable(_)) => Ok(None),
            Err(Refusal::Problem(status, _)) if status.as_u16() == 503 => {
                if self.last_seen.elapsed() > PATIENCE {
                    let message = "the service cannot answer now";
                    return Err(Failure::message(Exit::Unreachable, message));
                }
                Ok(None)
            }
            Err(refusal @ (Refusal::Problem(..) | Refusal::Other(_))) => Err(refusal.into()),
        }
    }
}

/// The end of a sentence about a job: what it has come to, and why.
fn became(state: JobState, reason: Option<&str>) -> String {
    let word = match state {
        JobState::Waiting
        | JobState::Delayed
        | JobState::Queued
        | JobState::Running
        | JobState::Retrying
        | JobState::Held => format!("is {state}"),
        JobState::Succeeded | JobState::Failed => state.to_string(),
        JobState::Cancelled | JobState::Returned => format!("was {state}"),
    };
    let reason = reason.unwrap_or_default();
    match reason.strip_prefix(state.as_str()) {
        _ if reason.is_empty() => word,
        // "cancelled by", "waiting for": it says the state itself.
        Some(rest) => format!("{word}{rest}"),
        None => format!("{word}: {reason}"),
    }
}

/// Whether nothing more happens to a job by itself.
pub(crate) fn is_over(state: JobState) -> bool {
    match state {
        JobState::Succeeded
        | JobState::Failed
        | JobState::Cancelled
        | JobState::Held
        | JobState::Returned => true,
        JobState::Waiting
        | JobState::Delayed
        | JobState::Queued
        | JobState::Running
        | JobState::Retrying => false,
    }
}

#[cfg(test)]
mod tests {
    use model::job::JobState;

    use super::became;

    #[test]
    fn a_job_comes_to_something_in_words() {
        for (state, reason, expect) in [
            (JobState::Succeeded, None, "succeeded"),
            (JobState::Succeeded, Some(""), "succeeded"),
            (JobState::Failed, Some("exit code 3"), "failed: exit code 3"),
            (
                JobState::Cancelled,
                Some("cancelled by api"),
                "was cancelled by api",
            ),
            (
                JobState::Held,
                Some("its worker vanished"),
                "is held: its worker vanished",
            ),
            (
                JobState::Waiting,
                Some("waiting for key `k`"),
                "is waiting for key `k`",
            ),
            (
                JobState::Retrying,
                Some("exit code 1"),
                "is retrying: exit code 1",
            ),
        ] {
            assert_eq!(expect, became(state, reason));
        }
    }
}
