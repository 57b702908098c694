//! The key `account`: what is granted to the file of a rule, and what is not.

use std::{path::PathBuf, time::Duration};

use insta::assert_snapshot;
use model::account::{Account, Grant, Grants, SystemUser};

use super::*;
use crate::Surroundings;

fn grants() -> Grants {
    let account = Account {
        name: "releng".parse().unwrap(),
        user: SystemUser {
            name: "releng".to_owned(),
            uid: 1_001,
            gid: 1_001,
            home: PathBuf::from("/home/releng"),
        },
        env: BTreeMap::new(),
        ssh_key: None,
        vault: Vec::new(),
        timeout: Some(Duration::from_secs(60)),
    };
    let grant = Grant {
        account: Arc::new(account),
        rules: ["rules/compose.yml".to_owned()].into(),
    };
    Grants::new(PathBuf::from("/etc/lariat/accounts.yml"), vec![grant])
}

fn checked(file: &str, lines: &str) -> Result<Checked, Vec<Diagnostic>> {
    let text = rule(&format!("{lines}\nrun: {{playbook: site.yml}}"));
    let around = Surroundings {
        grants: Some(grants()),
        ..Surroundings::default()
    };
    crate::check(project(&[(file, &text)]), around)
}

fn told(file: &str, lines: &str) -> String {
    let findings = checked(file, lines).unwrap_err();
    crate::render::diagnostics(&findings, false)
}

#[test]
fn a_rule_runs_as_what_its_file_is_granted() {
    let rules = checked("rules/compose.yml", "account: releng")
        .unwrap()
        .rules;
    let rule = rules.rule(&"r".parse().unwrap()).unwrap();
    assert_eq!(rule.account().map(ToString::to_string).unwrap(), "releng");
    let plain = checked("rules/compose.yml", "").unwrap().rules;
    let rule = plain.rule(&"r".parse().unwrap()).unwrap();
    assert_eq!(rule.account(), None);
}

#[test]
fn what_is_not_granted_says_what_a_grant_looks_like() {
    assert_snapshot!(told("rules/other.yml", "account: releng"), @"
    error[not-granted]: account `releng` is not granted to `rules/other.yml` in `/etc/lariat/accounts.yml`
     --> rules/other.yml:4:14
      |
    4 |     account: releng
      |              ^^^^^^
      |
      = help: an administrator grants it there: `rules/other.yml` in the list `accounts.releng.rules`

    1 error
    ");
    assert_snapshot!(told("rules/compose.yml", "account: infra"), @"
    error[unknown-account]: there is no account `infra` in `/etc/lariat/accounts.yml`
     --> rules/compose.yml:4:14
      |
    4 |     account: infra
      |              ^^^^^
      |
      = help: an administrator grants it there: `accounts: {infra: {user: USER, rules: [rules/compose.yml]}}`

    1 error
    ");
    assert_snapshot!(told("rules/compose.yml", "account: relang"), @"
    error[unknown-account]: there is no account `relang` in `/etc/lariat/accounts.yml`
     --> rules/compose.yml:4:14
      |
    4 |     account: relang
      |              ^^^^^^
      |
      = help: did you mean `releng`?

    1 error
    ");
}

#[test]
fn who_a_job_runs_as_is_never_computed() {
    assert_snapshot!(told("rules/compose.yml", "account: '{{ msg.account }}'"), @"
    error[bad-value]: an account name may not contain '{'; allowed are letters, digits and `_-`
     --> rules/compose.yml:4:14
      |
    4 |     account: '{{ msg.account }}'
      |              ^^^^^^^^^^^^^^^^^^^
      |
      = help: who a job runs as cannot be computed; write a rule for each

    1 error
    ");
    for wrong in ["account:", "account: [releng]", "account: true"] {
        assert!(checked("rules/compose.yml", wrong).is_err(), "{wrong}");
    }
}

/// A job of before may run when the rules have been replaced; whether it still
/// may run as somebody is asked when it does.
#[test]
fn rules_of_before_are_compiled_whatever_is_granted_now() {
    let text = rule("account: gone\nrun: {playbook: site.yml}");
    let rules = rules(&text);
    let rule = rules.rule(&"r".parse().unwrap()).unwrap();
    let event = event("org.example.a", "{}");
    let model::verdict::Firing::Fire(plan) = rule.fire(&event) else {
        panic!("it fires");
    };
    assert_eq!(plan.account, rule.account().cloned());
}

#[test]
fn an_account_that_nothing_runs_as_is_worth_a_word() {
    let text = rule("account: releng\nrun: {publish: {topic: a.b}}");
    let checked = compile_one(&text).unwrap();
    let codes: Vec<&str> = checked.warnings.iter().map(|it| it.code.as_str()).collect();
    assert_eq!(codes, ["unused-account"]);
}
