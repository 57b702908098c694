use std::path::Path;

use super::callback_plugins;

#[track_caller]
fn check(config: &str, given: Option<&str>, expect: &str) {
    let project = tempfile::tempdir().unwrap();
    if !config.is_empty() {
        fs_err::write(project.path().join("ansible.cfg"), config).unwrap();
    }
    let found = callback_plugins(
        project.path(),
        Path::new("/no-home"),
        given,
        Path::new("/ours"),
    );
    let root = project.path().display().to_string();
    assert_eq!(expect, found.replace(&root, "PROJECT"));
}

#[test]
fn the_projects_own_callbacks_stay() {
    let default = "~/.ansible/plugins/callback:/usr/share/ansible/plugins/callback:/ours";
    check("[defaults]\nforks = 3\n", None, default);
    check("[other]\ncallback_plugins = x\n", None, default);
    check("[defaults]\n# callback_plugins = x\n", None, default);
    check(
        "[defaults]\ncallback_plugins = cb:/abs:~/x ; why\n[ssh]\n",
        None,
        "PROJECT/cb:/abs:~/x:/ours",
    );
    check(
        "[defaults]\ncallback_plugins: cb\n",
        Some("/given"),
        "/given:/ours",
    );
}
