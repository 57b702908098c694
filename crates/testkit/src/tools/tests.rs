use super::*;

#[test]
fn the_workspace_is_found() {
    assert!(workspace().join("Cargo.lock").is_file());
    assert!(workspace().join("crates/testkit").is_dir());
}

#[test]
fn a_missing_tool_is_a_skip_at_home() {
    missing("ansible-0", Path::new("/nowhere"), false);
}

#[test]
#[should_panic(expected = "`cargo xtask services` installs it")]
fn a_missing_tool_is_a_failure_in_ci() {
    missing("ansible-0", Path::new("/nowhere"), true);
}
