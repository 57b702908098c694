//! What playbooks tell about their tasks, kept and read.

use std::{collections::HashMap, fmt};

use async_trait::async_trait;

use crate::{
    clock::Timestamp,
    id::{JobId, LeaseId},
    ports::{Fenced, StoreError},
    task::{Recap, TaskEvent, TaskPage, TaskQuery},
};

/// Keeps task events of attempts, with the output of these attempts and as long.
///
/// Contract:
/// - `task_events_are_kept_in_order_and_refused_from_a_stale_lease`
/// - `task_events_are_read_by_attempt_kind_status_and_host`
/// - `pages_of_task_events_cover_them_while_they_grow`
/// - `the_recap_of_a_job_is_of_the_last_attempt_of_each_step`
/// - `the_recap_of_a_job_forgets_no_change_of_an_earlier_attempt`
/// - `task_events_go_with_the_output_of_their_attempt`
#[async_trait]
pub trait TaskLog: Send + Sync {
    /// Keeps what a step told, in order and all at once.
    async fn append_tasks(
        &self,
        lease: &LeaseId,
        step: usize,
        events: Vec<(Timestamp, TaskEvent)>,
    ) -> Result<Fenced, StoreError>;

    /// `None` when there is no such job, or not that attempt of it. A job
    /// without any attempt has an empty attempt 0 when none was named.
    async fn tasks(&self, query: &TaskQuery) -> Result<Option<TaskPage>, StoreError>;

    /// The recaps of those of these jobs that have one.
    async fn recaps(&self, jobs: &[JobId]) -> Result<HashMap<JobId, Recap>, StoreError>;
}

/// Where the task events of a running step go. Returns when they are kept, or
/// when it is known that they will not be.
#[async_trait]
pub trait TaskSink: Send + Sync + fmt::Debug {
    async fn tell(&self, events: Vec<(Timestamp, TaskEvent)>);
}
