//! Opening: who may, what is refused, and what an earlier process left.

use std::{
    fs::{self, File},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use model::{
    job::JobState,
    ports::{History, Intake, JobQueue, StoreError, Upkeep},
};
use nix::fcntl::{Flock, FlockArg};
use store::{OpenError, SqliteStore};
use testkit::{
    TestClock,
    contract::build::{LEASE, claimant, event, fire, judged, plan},
    disk::SmallDisk,
};

use super::{open, options};

#[tokio::test]
async fn a_second_opener_is_refused_and_told_who_was_first() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    let first = open(&path).await;
    let clock = Arc::new(TestClock::by_hand());
    let error = SqliteStore::open(&path, options(&clock)).await.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, OpenError::Owned { .. }), "{text}");
    assert!(text.contains("the first one"), "{text}");
    first.close().await;
    open(&path).await;
}

/// Whatever name a store in use has, and whatever became of its lock file.
async fn check_second_name(make: fn(&Path) -> PathBuf, expect: &str) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    let first = open(&path).await;
    let clock = Arc::new(TestClock::by_hand());
    let error = SqliteStore::open(&make(&path), options(&clock))
        .await
        .unwrap_err();
    assert!(matches!(error, OpenError::Owned { .. }), "{error}");
    assert!(error.to_string().contains(expect), "{error}");
    first.probe().await.unwrap();
}

#[tokio::test]
async fn a_store_in_use_is_recognised_by_every_name() {
    let pid = format!("in use by pid {}", std::process::id());
    check_second_name(
        |path| {
            let other = path.with_file_name("link.db");
            std::os::unix::fs::symlink(path, &other).unwrap();
            other
        },
        "the first one",
    )
    .await;
    check_second_name(
        |path| {
            let other = path.with_file_name("hard.db");
            fs::hard_link(path, &other).unwrap();
            other
        },
        &pid,
    )
    .await;
    check_second_name(
        |path| {
            fs::remove_file(path.with_file_name("store.db.lock")).unwrap();
            path.to_owned()
        },
        &pid,
    )
    .await;
}

#[tokio::test]
async fn a_link_to_a_store_that_is_not_there_yet_makes_it_there() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("target.db");
    let link = dir.path().join("link.db");
    std::os::unix::fs::symlink(&target, &link).unwrap();
    let store = open(&link).await;
    assert_eq!(store.path(), fs::canonicalize(&target).unwrap());
    assert!(dir.path().join("target.db.lock").exists());
    assert!(!dir.path().join("link.db.lock").exists());
}

#[tokio::test]
async fn the_files_are_for_their_owner_only() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("store.db")).await;
    store.probe().await.unwrap();
    let mode = |name: &str| {
        let path = dir.path().join(name);
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    };
    for name in [
        "store.db",
        "store.db-wal",
        "store.db.lock",
        "store.db.guards",
    ] {
        assert_eq!(mode(name), 0o600, "{name}");
    }
}

async fn check_refused(content: Option<&[u8]>, expect: &str) {
    let dir = tempfile::tempdir().unwrap();
    let path = match content {
        Some(_) => dir.path().join("store.db"),
        None => dir.path().join("mistyped").join("store.db"),
    };
    if let Some(content) = content {
        fs::write(&path, content).unwrap();
    }
    let clock = Arc::new(TestClock::by_hand());
    let error = SqliteStore::open(&path, options(&clock)).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains(expect), "{text}");
    if let Some(content) = content {
        assert_eq!(fs::read(&path).unwrap(), content, "it was left as it was");
    } else {
        assert!(!path.parent().unwrap().exists(), "no directory was made");
    }
}

#[tokio::test]
async fn what_is_not_a_store_is_refused_and_left_alone() {
    let mut damaged = b"SQLite format 3\0".to_vec();
    damaged.extend([0x5a; 4_000]);
    check_refused(None, "there is no directory for the store").await;
    check_refused(
        Some(b"listen: 127.0.0.1:8470\n"),
        "is not a SQLite database",
    )
    .await;
    check_refused(Some(b"x"), "is not a SQLite database").await;
    check_refused(Some(&damaged), "is damaged").await;
}

/// A database that SQLite itself wrote, with these two numbers in its header.
async fn with_header(path: &Path, version: u32, application: u32) {
    open(path).await.close().await;
    let mut bytes = fs::read(path).unwrap();
    bytes[60..64].copy_from_slice(&version.to_be_bytes());
    bytes[68..72].copy_from_slice(&application.to_be_bytes());
    fs::write(path, bytes).unwrap();
}

async fn check_header(version: u32, application: u32, expect: &str) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    with_header(&path, version, application).await;
    let clock = Arc::new(TestClock::by_hand());
    let error = SqliteStore::open(&path, options(&clock)).await.unwrap_err();
    assert!(error.to_string().contains(expect), "{error}");
}

#[tokio::test]
async fn a_later_schema_and_another_programs_database_are_refused() {
    check_header(99, 0x4c61_7269, "has schema 99, this version knows ").await;
    check_header(1, 0, "is a database of another program").await;
    check_header(1, 7, "is a database of another program").await;
}

#[tokio::test]
async fn a_directory_in_the_place_of_the_store_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(TestClock::by_hand());
    let error = SqliteStore::open(dir.path(), options(&clock))
        .await
        .unwrap_err();
    assert!(matches!(error, OpenError::NotADatabase { .. }), "{error}");
}

async fn check_read_only(path: &Path) {
    let clock = Arc::new(TestClock::by_hand());
    let error = SqliteStore::open(path, options(&clock)).await.unwrap_err();
    assert!(matches!(error, OpenError::ReadOnly { .. }), "{error}");
}

#[tokio::test]
async fn a_directory_that_may_not_be_written_is_refused() {
    // Root may write anywhere, and has the test below.
    if nix::unistd::geteuid().is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o500)).unwrap();
    check_read_only(&dir.path().join("store.db")).await;
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
}

#[tokio::test]
async fn a_read_only_disk_is_refused() {
    let Some(disk) = SmallDisk::mount() else {
        return;
    };
    let path = disk.path().join("store.db");
    open(&path).await.close().await;
    disk.make_read_only();
    check_read_only(&path).await;
    check_read_only(&disk.path().join("another.db")).await;
}

#[tokio::test]
async fn a_closed_store_answers_closed_and_opens_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    let clock = Arc::new(TestClock::by_hand());
    let store = SqliteStore::open(&path, options(&clock)).await.unwrap();
    let sent = event("e1", model::clock::Clock::now(clock.as_ref()));
    store
        .accept(vec![judged(sent.clone(), vec![])])
        .await
        .unwrap();
    store.close().await;
    assert!(matches!(store.probe().await, Err(StoreError::Closed)));
    assert!(matches!(
        store.event(&sent.id).await,
        Err(StoreError::Closed)
    ));
    let claimed = store.claim(&claimant("w"), 1, LEASE, LEASE).await;
    assert!(matches!(claimed, Err(StoreError::Closed)));
    let again = SqliteStore::open(&path, options(&clock)).await.unwrap();
    assert_eq!(again.event(&sent.id).await.unwrap().unwrap().event, sent);
}

#[tokio::test]
async fn the_leases_of_a_process_that_ended_have_run_out() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    let clock = Arc::new(TestClock::by_hand());
    let job = leave_a_running_job(&path, &clock).await;
    let store = SqliteStore::open(&path, options(&clock)).await.unwrap();
    let recovered = store.recover(10, 0.5).await.unwrap();
    assert_eq!(recovered.len(), 1);
    assert_eq!(recovered[0].lease.job, job);
}

#[tokio::test]
async fn while_a_guard_lives_the_leases_stand_until_they_run_out() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    let clock = Arc::new(TestClock::by_hand());
    let job = leave_a_running_job(&path, &clock).await;
    // Nearly over, so that opening does not wait for long.
    clock.advance(LEASE - Duration::from_millis(60));
    let guards = File::open(dir.path().join("store.db.guards")).unwrap();
    let guard = Flock::lock(guards, FlockArg::LockShared).unwrap();
    let store = SqliteStore::open(&path, options(&clock)).await.unwrap();
    assert_eq!(store.recover(10, 0.5).await.unwrap(), []);
    let shown = store.job(&job).await.unwrap().unwrap();
    assert_eq!(shown.state, JobState::Running);
    clock.advance(Duration::from_millis(60));
    assert_eq!(store.recover(10, 0.5).await.unwrap().len(), 1);
    drop(guard);
}

/// Runs a job and goes away without closing, as a process that is killed.
async fn leave_a_running_job(path: &Path, clock: &Arc<TestClock>) -> model::id::JobId {
    let store = SqliteStore::open(path, options(clock)).await.unwrap();
    let sent = event("e1", model::clock::Clock::now(clock.as_ref()));
    store
        .accept(vec![judged(sent, vec![fire("r", plan())])])
        .await
        .unwrap();
    let leases = store
        .claim(&claimant("w"), 1, LEASE, Duration::ZERO)
        .await
        .unwrap();
    leases[0].id.job.clone()
}
