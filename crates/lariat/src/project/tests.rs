use std::{os::unix::fs::symlink, path::Path};

use fs_err as fs;
use model::ports::ProjectText;

use super::DirectoryProject;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

fn write(root: &Path, files: &[(&str, &str)]) {
    for (path, text) in files {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

fn project(root: &Path) -> DirectoryProject {
    let root = fs::canonicalize(root).unwrap();
    let store = root.join("lariat.db");
    DirectoryProject::new(root, store)
}

#[track_caller]
fn read(root: &Path) -> ProjectText {
    let (text, findings) = project(root).read_now();
    assert_eq!(Vec::<model::diagnostic::Diagnostic>::new(), findings);
    text.unwrap()
}

#[test]
fn rules_and_paths_are_found() {
    let dir = tempfile::tempdir().unwrap();
    write(
        dir.path(),
        &[
            ("lariat.yml", ""),
            ("rules/b.yml", "b"),
            ("rules/a.yaml", "a"),
            ("rules/.hidden.yml", "no"),
            ("rules/notes.txt", "no"),
            ("playbooks/deep/one.yml", ""),
            ("inventory/hosts", ""),
            ("bin/tool", ""),
            (".vault_pass", ""),
            (".cache/x", ""),
            ("roles/r/tasks/main.yml", ""),
            ("lariat.db", ""),
            ("lariat.db-wal", ""),
            ("lariat.db.run/step-1/event.yml", ""),
            ("playbooks/one.yml~", ""),
        ],
    );
    let text = read(dir.path());
    let files: Vec<(&str, &str)> = text
        .files
        .iter()
        .map(|(path, text)| (path.as_str(), text.as_str()))
        .collect();
    assert_eq!([("rules/a.yaml", "a"), ("rules/b.yml", "b")], *files);
    let expected = [
        ".vault_pass",
        "bin/tool",
        "inventory/hosts",
        "lariat.yml",
        "playbooks/deep/one.yml",
    ];
    assert_eq!(expected, *text.listing);
    assert_eq!(None, text.commit);
}

#[test]
fn links_do_not_lead_out_of_the_project() {
    let dir = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    write(outside.path(), &[("secret.yml", ""), ("d/x.yml", "")]);
    write(dir.path(), &[("playbooks/real.yml", "")]);
    let playbooks = dir.path().join("playbooks");
    symlink(outside.path().join("secret.yml"), playbooks.join("out.yml")).unwrap();
    symlink(outside.path().join("d"), playbooks.join("out")).unwrap();
    symlink("real.yml", playbooks.join("in.yml")).unwrap();
    symlink("..", playbooks.join("round")).unwrap();
    symlink("nowhere", playbooks.join("dangling")).unwrap();
    let expected = ["playbooks/in.yml", "playbooks/real.yml"];
    assert_eq!(expected, *read(dir.path()).listing);
}

#[test]
fn rule_files_that_cannot_be_rules_are_all_reported() {
    let dir = tempfile::tempdir().unwrap();
    let outside = tempfile::NamedTempFile::new().unwrap();
    write(
        dir.path(),
        &[
            (
                "rules/good.yml",
                "rules: [{name: a, on: a, run: {command: [a]}}]",
            ),
            ("rules/bad.yml", "rule: []"),
        ],
    );
    let rules = dir.path().join("rules");
    symlink(outside.path(), rules.join("out.yml")).unwrap();
    fs::write(rules.join("latin.yml"), b"a\nb\xff").unwrap();
    fs::create_dir(rules.join("dir.yml")).unwrap();
    nix::unistd::mkfifo(&rules.join("pipe.yml"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut found: Vec<String> = project(dir.path())
        .checked(rules::Surroundings::default())
        .unwrap_err()
        .into_iter()
        .map(|finding| format!("{}: {}", finding.file, finding.message))
        .collect();
    found.sort_unstable();
    let expected = [
        "rules/bad.yml: a rule file has no key `rule`",
        "rules/bad.yml: a rule file needs the key `rules`",
        "rules/dir.yml: this is not a file",
        "rules/latin.yml: line 2 is not UTF-8",
        "rules/out.yml: this is a link that leaves the project",
        "rules/pipe.yml: this is not a file",
    ];
    assert_eq!(expected, *found);
}

#[track_caller]
fn check_reload(files: &[(&str, &str)], expected: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), files);
    let findings = project(dir.path()).read_sound().err().unwrap_or_default();
    let found: Vec<String> = findings
        .into_iter()
        .map(|finding| format!("{} {}", finding.file, finding.code))
        .collect();
    assert_eq!(expected, found);
}

#[test]
fn a_project_that_could_not_be_started_is_not_reloaded() {
    check_reload(&[("lariat.yml", "")], &[]);
    check_reload(&[("lariat.yml", "workers: {concurrency: 1}")], &[]);
    check_reload(
        &[("rules/a.yml", ""), ("playbooks/a.yml", "")],
        &["lariat.yml missing-file"],
    );
    check_reload(
        &[("lariat.yml", "workers: {concurrency: 0}\nworker: 1")],
        &["lariat.yml bad-value", "lariat.yml unknown-key"],
    );
    check_reload(
        &[("lariat.yml", "worker: 1"), ("rules/a.yml", "rules: 1")],
        &["lariat.yml unknown-key", "rules/a.yml wrong-type"],
    );
}

#[test]
fn a_project_that_is_gone_is_not_reloaded() {
    let dir = tempfile::tempdir().unwrap();
    let gone = project(dir.path());
    drop(dir);
    let findings = gone.read_sound().unwrap_err();
    assert_eq!(findings[0].code, "missing-file");
}

#[track_caller]
fn check_commit(files: &[(&str, &str)], expected: Option<&str>) {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), files);
    let inside = dir.path().join("sub/project");
    fs::create_dir_all(&inside).unwrap();
    let commit = read(&inside).commit;
    assert_eq!(expected, commit.as_deref());
}

#[test]
fn the_commit_is_read_without_git() {
    let line = format!("{COMMIT}\n");
    let packed = format!("# pack-refs with: peeled\n{COMMIT} refs/heads/main\n^{COMMIT}\n");
    check_commit(&[(".git/HEAD", &line)], Some(COMMIT));
    check_commit(
        &[
            (".git/HEAD", "ref: refs/heads/main\n"),
            (".git/refs/heads/main", &line),
        ],
        Some(COMMIT),
    );
    check_commit(
        &[
            (".git/HEAD", "ref: refs/heads/main\n"),
            (".git/packed-refs", &packed),
        ],
        Some(COMMIT),
    );
    check_commit(
        &[
            ("sub/.git", "gitdir: ../main/.git/worktrees/sub\n"),
            ("main/.git/worktrees/sub/HEAD", "ref: refs/heads/topic\n"),
            ("main/.git/worktrees/sub/commondir", "../..\n"),
            ("main/.git/refs/heads/topic", &line),
        ],
        Some(COMMIT),
    );
}

#[test]
fn a_strange_repository_has_no_commit() {
    check_commit(&[(".git/HEAD", "ref: refs/heads/unborn\n")], None);
    check_commit(
        &[
            (".git/HEAD", "ref: refs/../../secret\n"),
            ("secret", COMMIT),
        ],
        None,
    );
    check_commit(&[(".git/HEAD", "ref: /etc/passwd\n")], None);
    check_commit(&[(".git/HEAD", "rubbish\n")], None);
    check_commit(&[(".git", "gitdir: /nowhere\n")], None);
}
