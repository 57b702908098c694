//! A worker in a process of its own, so that others can kill or stop it: this
//! test binary started again with [`ROLE_VARIABLE`] set. Without it, the test
//! here has nothing to do.

use std::time::Duration;

use crate::stage::Stage;

pub(crate) const ROLE_VARIABLE: &str = "LARIAT_TEST_WORKER";
/// Where the private directories of its steps are made; empty: anywhere.
pub(crate) const RUNTIME_VARIABLE: &str = "LARIAT_TEST_RUNTIME";
pub(crate) const TEST_NAME: &str = "worker::works_when_it_is_told_to";

#[tokio::test]
async fn works_when_it_is_told_to() {
    let Ok(role) = std::env::var(ROLE_VARIABLE) else {
        return;
    };
    let (job, lease_ms) = role.split_once(' ').unwrap();
    let lease = Duration::from_millis(lease_ms.parse().unwrap());
    let mut stage = Stage::for_job(job.parse().unwrap(), lease);
    if let Some(dir) = std::env::var_os(RUNTIME_VARIABLE).filter(|dir| !dir.is_empty()) {
        stage.settings.runtime_dir = dir.into();
    }
    stage
        .script("trap '' TERM HUP; (setsid sleep 1000 &) ; sleep 1000; sleep 1000")
        .await;
}
