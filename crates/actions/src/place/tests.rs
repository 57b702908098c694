use std::os::unix::fs::symlink;

use super::{inside, on_path, program_inside};

fn project() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    fs_err::create_dir_all(root.join("bin")).unwrap();
    fs_err::create_dir_all(root.join("outside")).unwrap();
    fs_err::write(root.join("bin/run"), "").unwrap();
    symlink("/bin/sh", root.join("bin/sh")).unwrap();
    symlink("/etc", root.join("etc")).unwrap();
    symlink("bin/run", root.join("alias")).unwrap();
    dir
}

#[track_caller]
fn check(path: &str, expect: &str) {
    let project = project();
    let found = match inside(project.path(), path) {
        Ok(found) => found
            .strip_prefix(fs_err::canonicalize(project.path()).unwrap())
            .unwrap()
            .display()
            .to_string(),
        Err(error) => error.to_string(),
    };
    assert_eq!(expect, found);
}

#[test]
fn a_path_stays_inside() {
    check("bin/run", "bin/run");
    check("./bin/run", "bin/run");
    check("alias", "bin/run");
    check("bin/none", "`bin/none` is not there");
    check(
        "bin/sh",
        "`bin/sh` leads out of the project through a symbolic link",
    );
    check(
        "etc/passwd",
        "`etc/passwd` leads out of the project through a symbolic link",
    );
    let refused = "is not a path inside the project: it may not be absolute nor contain `..`";
    check("bin/../bin/run", &format!("`bin/../bin/run` {refused}"));
    check("../x", &format!("`../x` {refused}"));
    check("/etc/passwd", &format!("`/etc/passwd` {refused}"));
    check("", &format!("`` {refused}"));
}

#[test]
fn a_program_may_be_a_link_its_directory_may_not_lead_out() {
    let project = project();
    assert!(program_inside(project.path(), "bin/sh").is_ok());
    assert!(program_inside(project.path(), "./bin/sh").is_ok());
    assert!(program_inside(project.path(), "etc/passwd").is_err());
    assert!(program_inside(project.path(), "bin/..").is_err());
    assert!(program_inside(project.path(), "/bin/sh").is_err());
}

#[test]
fn a_search_path_is_searched_in_order_and_only_where_it_is_absolute() {
    assert!(on_path("relative::/usr/bin:/bin", "sh").is_some());
    assert_eq!(None, on_path("/usr/bin:/bin", "no-such-program-anywhere"));
    assert_eq!(None, on_path("", "sh"));
}
