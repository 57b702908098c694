use std::os::unix::fs::{PermissionsExt, chown, symlink};

use fs_err as fs;
use nix::unistd::geteuid;

use super::*;

/// What a file grants, or everything that is wrong with it.
fn said(text: &str) -> String {
    let project = tempfile::tempdir().unwrap();
    fs::create_dir(project.path().join("rules")).unwrap();
    fs::write(project.path().join("rules/a.yml"), "").unwrap();
    let mut reader = Reader::new("accounts.yml", text);
    let grants = parse(&mut reader, project.path());
    let findings = reader.finish();
    if !findings.is_empty() {
        let lines: Vec<String> = findings
            .iter()
            .map(|found| format!("{}:{} {}", found.line, found.column, found.code))
            .collect();
        return lines.join(", ");
    }
    let lines: Vec<String> = grants
        .iter()
        .map(|grant| {
            let rules: Vec<&str> = grant.rules.iter().map(String::as_str).collect();
            let Account {
                name, user, env, ..
            } = grant.account.as_ref();
            format!("{name}: {} {env:?} {}", user.name, rules.join(" "))
        })
        .collect();
    lines.join("; ")
}

#[track_caller]
fn check(text: &str, expect: &str) {
    assert_eq!(said(text), expect, "{text}");
}

#[track_caller]
fn check_account(lines: &str, expect: &str) {
    let lines = lines.replace('\n', "\n    ");
    check(
        &format!("accounts:\n  x:\n    rules: [rules/a.yml]\n    {lines}\n"),
        expect,
    );
}

#[test]
fn accounts_are_granted_to_rule_files() {
    check("", "");
    check("accounts: {}", "");
    check(
        "accounts:\n  releng: {user: daemon, env: {A: b}, rules: [rules/a.yml], limits: {timeout: 2h}}\n  infra: {user: nobody, rules: [rules/a.yml, rules/a.yml]}\n",
        r#"releng: daemon {"A": "b"} rules/a.yml; infra: nobody {} rules/a.yml"#,
    );
    check_account("user: daemon\nssh_key: /etc/passwd", "5:14 exposed-secret");
    // Another project on this machine may have it.
    check(
        "accounts: {x: {user: daemon, rules: [rules/b.yml]}}",
        "1:38 missing-file",
    );
}

#[test]
fn everything_that_is_wrong_with_accounts_is_reported_at_once() {
    check(
        "account: {}\naccounts:\n  a b: {user: daemon, rules: [rules/a.yml]}\n  c: {usr: x}\n  d: 5\n",
        "1:1 unknown-key, 3:3 bad-value, 4:6 missing-key, 4:6 missing-key, 4:7 unknown-key, 5:6 wrong-type",
    );
    check("[]", "1:1 wrong-type");
    check("accounts: [", "2:1 yaml-syntax");
}

#[test]
fn users_are_those_of_this_machine_and_never_root() {
    check_account("user: root", "4:11 bad-value");
    check_account("user: no-such-user-here", "4:11 unknown-user");
    check_account("user: ''", "4:11 bad-value");
    check_account("user: '#0'", "4:11 bad-value");
    check_account("user: '-u'", "4:11 bad-value");
    check_account("user: 0", "4:11 wrong-type");
}

#[test]
fn what_an_account_has_is_checked() {
    check_account("user: daemon\nenv: {A=B: c}", "5:11 bad-variable");
    check_account("user: daemon\nenv: {LARIAT_JOB: c}", "5:11 bad-variable");
    check_account("user: daemon\nenv: {A: 1}", "5:14 wrong-type");
    check_account("user: daemon\nssh_key: keys/x", "5:14 bad-value");
    check_account("user: daemon\nssh_key: /no/such/key", "5:14 missing-file");
    check_account("user: daemon\nssh_key: /etc", "5:14 missing-file");
    check_account("user: daemon\nvault: {prod: {}}", "5:19 missing-key");
    check_account(
        "user: daemon\nvault: {'a@b': {file: /etc/passwd}}",
        "5:13 bad-value, 5:27 exposed-secret",
    );
    check_account("user: daemon\nlimits: {timeout: 1ms}", "5:23 bad-value");
    check_account("user: daemon\nlimits: {memory: 1GiB}", "5:14 unknown-key");
    for path in [
        "a.yml",
        "rules/../a.yml",
        "rules/.yml",
        "/rules/a.yml",
        "rules/a.txt",
        "rules/",
    ] {
        check(
            &format!("accounts: {{x: {{user: daemon, rules: [{path}]}}}}"),
            "1:38 bad-value",
        );
    }
    check("accounts: {x: {user: daemon, rules: []}}", "1:37 bad-value");
}

#[test]
fn a_key_that_its_user_cannot_read_is_refused() {
    if !geteuid().is_root() {
        testkit::tools::skip("only root can give a file to somebody");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("key");
    fs::write(&key, "").unwrap();
    let set = |path: &Path, owner: &str, mode: u32| {
        let user = User::from_name(owner).unwrap().unwrap();
        chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw())).unwrap();
        fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let account = format!("user: daemon\nssh_key: {}", key.display());
    let denied = "5:14 unsafe-file";
    let granted = "x: daemon {} rules/a.yml";
    for (directory, file, expect) in [
        (("root", 0o700), ("daemon", 0o600), denied),
        (("root", 0o755), ("daemon", 0o600), granted),
        (("root", 0o755), ("nobody", 0o600), denied),
        (("root", 0o755), ("nobody", 0o640), denied),
        (("daemon", 0o700), ("daemon", 0o400), granted),
        (("daemon", 0o700), ("daemon", 0o044), denied),
        (("root", 0o711), ("daemon", 0o640), granted),
    ] {
        set(dir.path(), directory.0, directory.1);
        set(&key, file.0, file.1);
        check_account(&account, expect);
    }
}

/// What becomes of a file that was named.
#[track_caller]
fn check_file(path: &Path, expect: &str) {
    let place = Place::new(Some(path), None);
    let loaded = place.load(Path::new("/nowhere"));
    let said = match (&loaded.grants, loaded.findings.first()) {
        (Some(_), None) => "read".to_owned(),
        (_, Some(found)) => found.code.clone(),
        (None, None) => "nothing".to_owned(),
    };
    assert_eq!(said, expect, "{:?}", loaded.findings);
}

#[test]
fn a_file_counts_when_only_root_can_have_written_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("accounts.yml");
    check_file(&path, "missing-file");
    fs::write(&path, "accounts: {}").unwrap();
    let mode = |path: &Path, mode: u32| {
        fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    if !geteuid().is_root() {
        check_file(&path, "unsafe-file");
        testkit::tools::skip("only root can write a file that counts");
        return;
    }
    let give = |path: &Path, uid: u32| chown(path, Some(uid), Some(uid)).unwrap();
    check_file(&path, "read");
    for (bad, good) in [(0o664, 0o640), (0o646, 0o644), (0o602, 0o600)] {
        mode(&path, bad);
        check_file(&path, "unsafe-file");
        mode(&path, good);
        check_file(&path, "read");
    }
    give(&path, 1);
    check_file(&path, "unsafe-file");
    give(&path, 0);
    for bad in [0o777, 0o770, 0o775] {
        mode(dir.path(), bad);
        check_file(&path, "unsafe-file");
    }
    // As /tmp, where this directory stands itself.
    mode(dir.path(), 0o1777);
    check_file(&path, "read");
    mode(dir.path(), 0o755);
    give(dir.path(), 1);
    check_file(&path, "unsafe-file");
    give(dir.path(), 0);
    check_file(&path, "read");
}

#[test]
fn every_link_on_the_way_to_the_file_is_looked_at() {
    if !geteuid().is_root() {
        testkit::tools::skip("only root can write a file that counts");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    for name in ["sound", "loose"] {
        fs::create_dir(at(name)).unwrap();
        fs::write(at(name).join("accounts.yml"), "accounts: {}").unwrap();
    }
    fs::set_permissions(at("loose"), std::fs::Permissions::from_mode(0o777)).unwrap();
    symlink("sound/accounts.yml", at("direct.yml")).unwrap();
    check_file(&at("direct.yml"), "read");
    // The link is sound, and leads through a directory where it is not.
    symlink(at("sound"), at("loose/back")).unwrap();
    symlink("loose/back/accounts.yml", at("detour.yml")).unwrap();
    check_file(&at("detour.yml"), "unsafe-file");
    symlink("sound/../loose/accounts.yml", at("up.yml")).unwrap();
    check_file(&at("up.yml"), "unsafe-file");
    symlink("loop.yml", at("loop.yml")).unwrap();
    check_file(&at("loop.yml"), "unreadable-file");
    // Somebody else's link, where everybody may make links.
    symlink("sound/accounts.yml", at("theirs.yml")).unwrap();
    std::os::unix::fs::lchown(at("theirs.yml"), Some(1), Some(1)).unwrap();
    check_file(&at("theirs.yml"), "unsafe-file");
    fs::create_dir(at("directory.yml")).unwrap();
    check_file(&at("directory.yml"), "unreadable-file");
    nix::unistd::mkfifo(&at("pipe.yml"), nix::sys::stat::Mode::S_IRUSR).unwrap();
    check_file(&at("pipe.yml"), "unreadable-file");
    fs::write(at("latin.yml"), b"\xff").unwrap();
    check_file(&at("latin.yml"), "unreadable-file");
}

#[test]
fn without_a_file_nothing_is_granted_unless_one_was_named() {
    let place = Place {
        path: PathBuf::from("/no/such/accounts.yml"),
        is_named: false,
    };
    let loaded = place.load(Path::new("/nowhere"));
    assert!(loaded.findings.is_empty());
    assert!(loaded.grants.is_some_and(|grants| grants.is_empty()));
    check_file(Path::new("/no/such/accounts.yml"), "missing-file");
    // What a flag says goes before what a variable says.
    let place = Place::new(Some(Path::new("/a")), Some(Path::new("/b")));
    assert_eq!(place, Place::new(Some(Path::new("/a")), None));
    assert_eq!(
        Place::new(None, None).path,
        Path::new("/etc/lariat/accounts.yml")
    );
}
