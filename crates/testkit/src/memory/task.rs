//! What playbooks tell about their tasks: see [`TaskLog`].

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use model::{
    clock::Timestamp,
    id::{JobId, LeaseId},
    page::{Cursor, Page},
    ports::{Fenced, StoreError, task::TaskLog},
    task::{HostRecap, MOST_NAMES, Recap, RecordedTask, TaskEvent, TaskPage, TaskQuery},
};

use super::{MemoryStore, job::JobRow};

#[async_trait]
impl TaskLog for MemoryStore {
    async fn append_tasks(
        &self,
        lease: &LeaseId,
        step: usize,
        events: Vec<(Timestamp, TaskEvent)>,
    ) -> Result<Fenced, StoreError> {
        self.enter().await?;
        let now = self.now();
        let mut state = self.lock();
        let Some(job) = state.leased(lease, &now.boot) else {
            return Ok(Fenced::Stale);
        };
        if let Some(attempt) = job.attempts.last_mut() {
            for (at, event) in events {
                let place = i64::try_from(attempt.tasks.len()).expect("tests are small") + 1;
                attempt.tasks.push(RecordedTask {
                    place: Cursor(place),
                    attempt: lease.attempt,
                    step,
                    at,
                    event,
                });
            }
        }
        Ok(Fenced::Recorded)
    }

    async fn tasks(&self, query: &TaskQuery) -> Result<Option<TaskPage>, StoreError> {
        self.enter().await?;
        let state = self.lock();
        let Some(job) = state.job(&query.job) else {
            return Ok(None);
        };
        let attempt = match query.attempt {
            None => job.attempts.last(),
            Some(number) => {
                let mut attempts = job.attempts.iter();
                let Some(found) = attempts.find(|one| one.record.number == number) else {
                    return Ok(None);
                };
                Some(found)
            }
        };
        let after = query.after.unwrap_or(Cursor(0));
        let Some(attempt) = attempt else {
            return Ok(Some(TaskPage {
                attempt: 0,
                page: Page {
                    items: Vec::new(),
                    next: Some(after),
                },
                is_open: !job.state.is_ended(),
            }));
        };
        let asked_for = attempt
            .tasks
            .iter()
            .filter(|one| one.place > after && is_asked_for(&one.event, query));
        let items: Vec<RecordedTask> = asked_for.take(query.limit).cloned().collect();
        Ok(Some(TaskPage {
            attempt: attempt.record.number,
            is_open: attempt.record.finished.is_none() || items.len() >= query.limit,
            page: Page {
                next: Some(items.last().map_or(after, |last| last.place)),
                items,
            },
        }))
    }

    async fn recaps(&self, jobs: &[JobId]) -> Result<HashMap<JobId, Recap>, StoreError> {
        self.enter().await?;
        let state = self.lock();
        let asked = jobs.iter().filter_map(|id| state.job(id));
        Ok(asked
            .filter_map(|job| Some((job.id.clone(), recap(job)?)))
            .collect())
    }
}

fn is_asked_for(event: &TaskEvent, query: &TaskQuery) -> bool {
    query.kind.is_none_or(|kind| kind == event.kind())
        && query
            .status
            .is_none_or(|status| Some(status) == event.status())
        && query
            .host
            .as_deref()
            .is_none_or(|host| Some(host) == event.host())
}

fn recap(job: &JobRow) -> Option<Recap> {
    // By step and attempt.
    let mut told: BTreeMap<usize, BTreeMap<u32, BTreeMap<&str, &HostRecap>>> = BTreeMap::new();
    for one in job.attempts.iter().flat_map(|attempt| &attempt.tasks) {
        let TaskEvent::Recap(recap) = &one.event else {
            continue;
        };
        let attempts = told.entry(one.step).or_default();
        let hosts = attempts.entry(one.attempt).or_default();
        hosts.entry(&recap.host).or_insert(recap);
    }
    let mut hosts: BTreeMap<&str, (bool, bool)> = BTreeMap::new();
    for attempts in told.values() {
        let last = attempts.keys().next_back();
        for (attempt, recaps) in attempts {
            let is_last = Some(attempt) == last;
            for (name, recap) in recaps {
                if !is_last && !recap.has_changed() {
                    continue;
                }
                let (failed, changed) = hosts.entry(name).or_default();
                *failed |= is_last && recap.has_failed();
                *changed |= recap.has_changed();
            }
        }
    }
    if hosts.is_empty() {
        return None;
    }
    let named = |is_so: fn(&(bool, bool)) -> bool| -> Vec<String> {
        let found = hosts.iter().filter(|(_, is)| is_so(is));
        found.map(|(name, _)| (*name).to_owned()).collect()
    };
    let mut failed_names = named(|(failed, _)| *failed);
    let mut changed_names = named(|(_, changed)| *changed);
    let recap = Recap {
        hosts: hosts.len() as u64,
        failed: failed_names.len() as u64,
        changed: changed_names.len() as u64,
        failed_names: failed_names
            .drain(..failed_names.len().min(MOST_NAMES))
            .collect(),
        changed_names: changed_names
            .drain(..changed_names.len().min(MOST_NAMES))
            .collect(),
    };
    Some(recap)
}
