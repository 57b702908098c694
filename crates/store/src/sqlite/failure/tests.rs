use testkit::disk::SmallDisk;

use super::Failure;

#[track_caller]
fn check(failure: Failure, disk: &SmallDisk, expect: &str) {
    let store = disk.path().join("store.db");
    let failure = failure.named_by_the_disk(&store);
    assert_eq!(expect, format!("{failure:?}"));
    let left = fs_err::read_dir(disk.path()).unwrap().flatten();
    let left: Vec<_> = left.map(|entry| entry.file_name()).collect();
    assert!(left.iter().all(|name| name == "ballast"), "{left:?}");
}

fn broken() -> Failure {
    Failure::Broken("disk I/O error".to_owned())
}

#[test]
fn a_write_that_failed_is_named_after_its_disk() {
    let Some(disk) = SmallDisk::mount() else {
        return;
    };
    check(broken(), &disk, r#"Broken("disk I/O error")"#);

    let ballast = disk.path().join("ballast");
    fs_err::write(&ballast, vec![0; 4 << 20]).unwrap_err();
    check(broken(), &disk, r#"Full("disk I/O error")"#);

    disk.make_read_only();
    check(broken(), &disk, r#"ReadOnly("disk I/O error")"#);
    let statement = Failure::Statement("no such column".to_owned());
    check(statement, &disk, r#"Statement("no such column")"#);
}
