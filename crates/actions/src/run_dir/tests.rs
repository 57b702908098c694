use std::{io::Write, os::unix::fs::PermissionsExt};

use super::{ResultFile, RunDir, sweep};

#[test]
fn what_a_step_gets_is_private_and_goes_with_it() {
    let parent = tempfile::tempdir().unwrap();
    let runtime = parent.path().join("run");
    let dir = RunDir::make(&runtime).unwrap();
    let file = dir.file("event.json", b"{}").unwrap();
    let mode =
        |path: &std::path::Path| fs_err::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(0o700, mode(&runtime));
    assert_eq!(0o700, mode(dir.dir.path()));
    assert_eq!(0o600, mode(&file));
    drop(dir);
    assert!(!file.exists());
}

#[test]
fn a_sweep_takes_the_dead_and_leaves_the_living() {
    let runtime = tempfile::tempdir().unwrap();
    let living = RunDir::make(runtime.path()).unwrap();
    let dead = runtime.path().join("step-dead");
    fs_err::create_dir(&dead).unwrap();
    fs_err::write(dead.join("event.json"), "{}").unwrap();
    let foreign = runtime.path().join("other");
    fs_err::create_dir(&foreign).unwrap();
    sweep(runtime.path());
    assert!(living.dir.path().exists());
    assert!(foreign.exists());
    assert!(!dead.exists());
}

#[test]
fn a_result_that_is_too_long_is_none() {
    let runtime = tempfile::tempdir().unwrap();
    let result = ResultFile(tempfile::tempfile_in(&runtime).unwrap());
    let mut program = std::fs::File::from(result.descriptor().unwrap());
    program.write_all(&vec![b'x'; 1024 * 1024 + 1]).unwrap();
    assert_eq!(None, result.read().unwrap());
}

#[test]
fn a_result_is_read_from_its_beginning() {
    let runtime = tempfile::tempdir().unwrap();
    let result = ResultFile(tempfile::tempfile_in(&runtime).unwrap());
    let mut program = std::fs::File::from(result.descriptor().unwrap());
    program.write_all(b"{}").unwrap();
    assert_eq!(Some(b"{}".to_vec()), result.read().unwrap());
}
