//! The contracts of the ports.

use std::sync::Arc;

use store::{SqliteOptions, SqliteStore};
use testkit::{TestClock, contract::Fixture};

async fn fixture(clock: Arc<TestClock>, queue_limit: usize) -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let options = SqliteOptions {
        queue_limit,
        ..super::options(&clock)
    };
    let store = SqliteStore::open(&dir.path().join("store.db"), options)
        .await
        .unwrap();
    Fixture::new(Arc::new(store), clock, dir)
}

testkit::contract_suite!(fixture);
