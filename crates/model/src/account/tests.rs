use super::*;

fn grants() -> Grants {
    let account = Account {
        name: "releng".parse().unwrap(),
        user: SystemUser {
            name: "releng".to_owned(),
            uid: 1_001,
            gid: 1_002,
            home: PathBuf::from("/home/releng"),
        },
        env: BTreeMap::from([("TOKEN".to_owned(), "hunter2".to_owned())]),
        ssh_key: None,
        vault: Vec::new(),
        timeout: Some(Duration::from_secs(60)),
    };
    let grant = Grant {
        account: Arc::new(account),
        rules: BTreeSet::from(["rules/compose.yml".to_owned()]),
    };
    Grants::new(PathBuf::from("/etc/lariat/accounts.yml"), vec![grant])
}

#[track_caller]
fn check(account: &str, rule_file: &str, expect: &str) {
    let grants = grants();
    let said = match grants.get(&account.parse().unwrap(), rule_file) {
        Ok(account) => format!("runs as {}", account.user.name),
        Err(error) => error.to_string(),
    };
    assert_eq!(said, expect);
}

#[test]
fn an_account_is_had_by_the_files_that_it_is_granted_to() {
    check("releng", "rules/compose.yml", "runs as releng");
    check(
        "releng",
        "rules/other.yml",
        "account `releng` is not granted to `rules/other.yml` in `/etc/lariat/accounts.yml`",
    );
    check(
        "releng",
        "rules/../rules/compose.yml",
        "account `releng` is not granted to `rules/../rules/compose.yml` in `/etc/lariat/accounts.yml`",
    );
    check(
        "root",
        "rules/compose.yml",
        "there is no account `root` in `/etc/lariat/accounts.yml`",
    );
    assert!(Grants::default().is_empty());
}

#[test]
fn an_account_caps_what_a_step_may_take() {
    let grants = grants();
    let grant = grants.iter().next().unwrap();
    let capped = |secs| grant.account.capped(Duration::from_secs(secs)).as_secs();
    assert_eq!((capped(30), capped(90)), (30, 60));
}

#[test]
fn what_an_account_puts_into_the_environment_is_not_shown() {
    let shown = format!("{:?}", grants());
    assert!(
        shown.contains("TOKEN") && !shown.contains("hunter2"),
        "{shown}"
    );
}

#[test]
fn a_sudoers_line_allows_one_program_with_one_argument() {
    let line = |service, user, binary: &str| sudoers_line(service, user, Path::new(binary));
    assert_eq!(
        line("lariat", "releng", "/usr/bin/lariat"),
        "lariat ALL=(releng) NOPASSWD: /usr/bin/lariat guard-exec"
    );
    assert_eq!(
        line("#1234", "#x", "/usr/bin/lariat"),
        r"#1234 ALL=(\#x) NOPASSWD: /usr/bin/lariat guard-exec"
    );
    assert_eq!(
        line("lariat", r"corp\a,b", "/opt/la riat/lariat*"),
        r"lariat ALL=(corp\\a\,b) NOPASSWD: /opt/la\ riat/lariat\* guard-exec"
    );
}
