//! Who jobs run as, when what is granted changes while they wait.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use engine::ReloadError;
use model::{
    account::{Account, Grant, Grants, SystemUser},
    job::{JobState, Outcome},
    ports::access::{TokenDraft, Tokens},
    token::{Role, SecretHash},
};
use serde_json::json;

use crate::harness::{TestEngine, ann};

/// One job at a time, and each asks for the account.
const RULES: &str = r#"
rules:
  - name: keyed
    on: a.one
    key: "{{ msg.key }}"
    account: releng
    run: {command: [work, "5000"], timeout: 1h}
"#;

fn grants(rule_file: &str) -> Grants {
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
        rules: [rule_file.to_owned()].into(),
    };
    Grants::new(PathBuf::from("/etc/lariat/accounts.yml"), vec![grant])
}

/// An engine that nobody may ask without a token.
async fn start() -> TestEngine {
    let engine = TestEngine::start("rules: []").await;
    let draft = TokenDraft {
        id: "000000000001".parse().unwrap(),
        hash: SecretHash([7; 32]),
        name: "ann".parse().unwrap(),
        role: Role::Admin,
        expires: None,
        by: ann(),
    };
    engine.store.create(draft).await.unwrap();
    engine
}

fn put(engine: &TestEngine, rules: &str, grants: Grants) {
    *engine.project.0.lock().unwrap() = rules.to_owned();
    *engine.project.1.lock().unwrap() = grants;
}

#[tokio::test(start_paused = true)]
async fn a_job_runs_as_its_account() {
    let engine = start().await;
    put(&engine, RULES, grants("rules/test.yml"));
    engine.engine.reload().await.unwrap();
    let job = engine.publish_job("e1", "a.one", json!({"key": "k"})).await;
    engine.until(&job, JobState::Succeeded).await;
    let account = engine.job(&job).await.account.unwrap();
    assert_eq!(account.as_str(), "releng");
    let run = engine.world.runs().remove(0);
    assert_eq!(run.account.as_deref(), Some("releng"));
    assert_eq!(run.timeout, Duration::from_secs(60), "the account's cap");
}

#[tokio::test(start_paused = true)]
async fn a_job_whose_account_was_withdrawn_runs_as_nobody() {
    for (rules, granted) in [
        // No rule asks for it any more.
        (
            RULES.replace("    account: releng\n", ""),
            Grants::default(),
        ),
        // It is granted to other rules now.
        ("rules: []".to_owned(), grants("rules/other.yml")),
    ] {
        let engine = start().await;
        put(&engine, RULES, grants("rules/test.yml"));
        engine.engine.reload().await.unwrap();
        let first = engine.publish_job("e1", "a.one", json!({"key": "k"})).await;
        let second = engine.publish_job("e2", "a.one", json!({"key": "k"})).await;
        engine.until_running(1).await;
        put(&engine, &rules, granted);
        engine.engine.reload().await.unwrap();
        engine.until_idle().await;

        // What runs has begun with every right.
        assert_eq!(engine.job(&first).await.state, JobState::Succeeded);
        let job = engine.job(&second).await;
        assert_eq!(job.state, JobState::Failed);
        let outcome = job.attempts[0].outcome.clone().unwrap();
        assert!(
            matches!(outcome, Outcome::Unstartable { .. }),
            "{outcome:?}"
        );
        let reason = outcome.summary();
        assert!(reason.contains("account `releng`"), "{reason}");
        assert!(reason.contains("/etc/lariat/accounts.yml"), "{reason}");
        assert_eq!(engine.world.runs().len(), 1, "nothing of it ran");
    }
}

#[tokio::test(start_paused = true)]
async fn a_reload_does_not_put_accounts_within_reach_of_everybody() {
    let engine = TestEngine::start("rules: []").await;
    put(&engine, RULES, grants("rules/test.yml"));
    match engine.engine.reload().await {
        Err(ReloadError::Diagnostics(problems)) => assert_eq!(problems[0].code, "no-token"),
        other => panic!("{other:?}"),
    }
    assert!(engine.engine.rules().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_reload_refuses_rules_that_were_not_granted_what_they_ask_for() {
    let engine = start().await;
    for (granted, expect) in [
        (Grants::default(), "unknown-account"),
        (grants("rules/other.yml"), "not-granted"),
    ] {
        put(&engine, RULES, granted);
        match engine.engine.reload().await {
            Err(ReloadError::Diagnostics(problems)) => assert_eq!(problems[0].code, expect),
            other => panic!("{other:?}"),
        }
        assert!(engine.engine.rules().is_empty());
    }
}
