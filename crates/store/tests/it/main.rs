//! The store as its callers see it: the contracts of the ports, and bad days.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests panic to say what is wrong, and read and write files as they need"
)]

mod bad_days;
mod commits;
mod contract;
mod history;
mod opening;
mod released;

use std::{path::Path, sync::Arc, time::Duration};

use model::fault::NoFaults;
use store::{SqliteOptions, SqliteStore};
use testkit::TestClock;

fn options(clock: &Arc<TestClock>) -> SqliteOptions {
    SqliteOptions {
        clock: Arc::clone(clock) as Arc<dyn model::clock::Clock>,
        faults: Arc::new(NoFaults),
        queue_limit: 10_000,
        owner: "the first one".to_owned(),
        deadline: Duration::from_secs(20),
    }
}

async fn open(path: &Path) -> SqliteStore {
    let clock = Arc::new(TestClock::by_hand());
    SqliteStore::open(path, options(&clock)).await.unwrap()
}
