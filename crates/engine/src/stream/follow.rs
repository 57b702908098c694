//! Wakes those who follow a job.
//!
//! A wake-up says nothing but "look again", and one may be missing: a job also
//! changes in ways that are not told here. Who follows looks again anyway.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use model::id::JobId;
use tokio::sync::Notify;

/// The jobs that somebody follows.
#[derive(Default)]
pub(crate) struct Followers(Mutex<HashMap<JobId, Followed>>);

#[derive(Default)]
struct Followed {
    changed: Arc<Notify>,
    by: usize,
}

impl Followers {
    pub(crate) fn follow(self: &Arc<Self>, job: &JobId) -> Following {
        let mut jobs = self.jobs();
        let followed = jobs.entry(job.clone()).or_default();
        followed.by += 1;
        Following {
            job: job.clone(),
            changed: Arc::clone(&followed.changed),
            followers: Arc::clone(self),
        }
    }

    /// The job has changed, or printed something.
    pub(crate) fn changed(&self, job: &JobId) {
        if let Some(followed) = self.jobs().get(job) {
            followed.changed.notify_waiters();
        }
    }

    fn jobs(&self) -> MutexGuard<'_, HashMap<JobId, Followed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A job that is followed.
pub struct Following {
    job: JobId,
    changed: Arc<Notify>,
    followers: Arc<Followers>,
}

impl fmt::Debug for Following {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Following")
            .field("job", &self.job)
            .finish_non_exhaustive()
    }
}

impl Following {
    /// Ends when the job has changed since this was called. To miss nothing,
    /// call it before looking and wait for it afterwards.
    pub fn changed(&self) -> impl std::future::Future<Output = ()> + Send + 'static {
        Arc::clone(&self.changed).notified_owned()
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let mut jobs = self.followers.jobs();
        if let Some(followed) = jobs.get_mut(&self.job) {
            followed.by -= 1;
            if followed.by == 0 {
                jobs.remove(&self.job);
            }
        }
    }
}
