use std::collections::BTreeMap;

use model::ports::ProjectText;

use serde_json::json;

use super::{Doubt, Feeds, Need, lint, needs, unseen};
use crate::code::Code;

#[track_caller]
fn check(files: &[(&str, &str)], feeds: &[&str], expected: &[&str]) {
    let text = ProjectText {
        files: files
            .iter()
            .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
            .collect::<BTreeMap<_, _>>(),
        listing: Vec::new(),
        commit: None,
    };
    let feeds = match feeds {
        [] => Feeds::Any,
        some => Feeds::Bound(some.iter().map(|feed| feed.parse().unwrap()).collect()),
    };
    let told: Vec<String> = lint(&text, &feeds)
        .into_iter()
        .map(|found| {
            let hint = found.hint.unwrap_or_default();
            format!(
                "{}:{}:{} {}: {}; {hint}",
                found.file, found.line, found.column, found.code, found.message
            )
        })
        .collect();
    assert_eq!(expected, told);
}

fn rule(name: &str, on: &str) -> String {
    format!("rules:\n- name: {name}\n  on: {on}\n  run: {{playbook: x.yml}}\n")
}

#[test]
fn names_that_differ_in_case_and_marks_only_are_similar() {
    let (one, two) = (rule("sync-compose", "a"), rule("Sync_Compose", "a"));
    let other = rule("sync-composes", "a");
    check(
        &[
            ("rules/a.yml", &one),
            ("rules/b.yml", &two),
            ("rules/c.yml", &other),
        ],
        &[],
        &[
            "rules/b.yml:2:9 similar-name: `Sync_Compose` is easily taken for the rule `sync-compose`; \
           `sync-compose` is at rules/a.yml:2; rename one of them",
        ],
    );
}

#[test]
fn a_pattern_that_no_binding_meets_has_no_source() {
    let bound = ["org.example.#", "*.news"];
    for on in [
        "org.example.x",
        "org.#",
        "#",
        "'*.*'",
        "a.news",
        "[org.example]",
    ] {
        check(&[("rules/a.yml", &rule("r", on))], &bound, &[]);
    }
    check(
        &[("rules/a.yml", &rule("r", "[org.example.x, org.exmaple.x]"))],
        &bound,
        &[
            "rules/a.yml:3:23 no-source: no configured source delivers such topics; only HTTP can; \
           the sources are bound to `org.example.#`, `*.news`",
        ],
    );
    check(&[("rules/a.yml", &rule("r", "org.exmaple.x"))], &[], &[]);
}

#[test]
fn what_rules_publish_is_delivered() {
    let publishes = |topic: &str| {
        format!(
            "rules:\n- name: p\n  on: org.example.x\n  run: {{publish: {{topic: \"{topic}\"}}}}\n"
        )
    };
    for topic in [
        "com.example.done",
        "com.{{ msg.a }}.{{ msg.b }}.done",
        "{{ msg.a }}",
        "com.x{{ msg.a }}",
    ] {
        let files = [
            ("rules/a.yml", publishes(topic)),
            ("rules/b.yml", rule("r", "com.#.done")),
        ];
        let files = files.each_ref().map(|(path, text)| (*path, text.as_str()));
        check(&files, &["org.example.#"], &[]);
    }
}

#[test]
fn the_engine_has_only_its_own_topics() {
    for on in [
        "lariat.job.failed",
        "lariat.#",
        "lariat.job.*",
        "lariat.*.held",
    ] {
        check(&[("rules/a.yml", &rule("r", on))], &["org.#"], &[]);
    }
    check(
        &[("rules/a.yml", &rule("r", "lariat.job.faild"))],
        &[],
        &[
            "rules/a.yml:3:7 no-source: the engine makes no such events; \
           did you mean `lariat.job.failed`?",
        ],
    );
    check(
        &[("rules/a.yml", &rule("r", "lariat.jobs.#"))],
        &[],
        &[
            "rules/a.yml:3:7 no-source: the engine makes no such events; \
           the engine's topics are `lariat.job.STATE`",
        ],
    );
}

#[test]
fn a_field_that_no_event_has_is_told_with_a_similar_one() {
    let rules = "rules:
- name: r
  on: org.example.#
  when:
  - msg.stauts == 1 and msg.owner is defined
  - event.body.zzz or
    event.body.build.sate
  run: {playbook: x.yml}
";
    let text = ProjectText {
        files: BTreeMap::from([("rules/a.yml".to_owned(), rules.to_owned())]),
        listing: Vec::new(),
        commit: None,
    };
    let event = |topic: &str, body: serde_json::Value| {
        let (id, time) = crate::cases::usual();
        model::event::Event {
            id,
            topic: topic.parse().unwrap(),
            time,
            accepted: time,
            source: "api".to_owned(),
            severity: model::event::Severity::Info,
            headers: serde_json::Map::new(),
            body,
            origin: model::event::Origin::open_http(),
            cause: None,
        }
    };
    let told = |events: &[model::event::Event]| -> Vec<String> {
        unseen(&text, events)
            .into_iter()
            .map(|found| {
                let hint = found.hint.unwrap_or_default();
                format!("{}:{} {}; {hint}", found.line, found.column, found.message)
            })
            .collect()
    };
    let seen = event("org.example.a", json!({"status": 1, "build": {"state": 2}}));
    let other = event("com.example", json!({"stauts": 1, "build": {"sate": 2}}));
    assert_eq!(
        [
            "5:5 `msg.stauts` is not in the one event that this rule was about lately; did you mean `msg.status`?",
            "7:5 `event.body.build.sate` is not in the one event that this rule was about lately; did you mean `event.body.build.state`?",
        ],
        *told(&[seen.clone(), other.clone()])
    );
    let proof = event("org.example.b", json!({"stauts": 1, "build": {"sate": 2}}));
    assert_eq!(Vec::<String>::new(), told(&[seen, other, proof]));
    assert_eq!(Vec::<String>::new(), told(&[]));
}

#[test]
fn what_steps_need_is_found_where_they_name_it() {
    let rules = r#"
rules:
- name: tell
  on: a
  run:
    - command: [bin/fetch, "{{ msg.x }}"]
    - command: [curl, x]
      env: {PATH: /opt/bin}
    - command: [git, status]
    - http:
        url: {file: /etc/lariat/hook}
        headers: {Accept: a/b, Authorization: {prefix: "Bearer ", file: /etc/lariat/token}}
    - http: {url: "https://example.org/"}
    - playbook: x.yml
      vault: [{id: a, file: /etc/lariat/vault}, {command: [pass, show]}, {env: VAULT}]
      private_key: {file: /etc/lariat/key}
      collections: [./vendor/, ../out]
"#;
    let text = ProjectText {
        files: BTreeMap::from([("rules/a.yml".to_owned(), rules.to_owned())]),
        listing: Vec::new(),
        commit: None,
    };
    let told: Vec<String> = needs(&text, &|need| {
        Some(Doubt {
            code: Code::MissingFile,
            message: match need {
                Need::Secret(path) => format!("secret {path}"),
                Need::Program(name) => format!("program {name}"),
                Need::Collections(path) => format!("collections {path}"),
            },
            hint: None,
        })
    })
    .into_iter()
    .map(|found| format!("{}:{} {}", found.line, found.column, found.message))
    .collect();
    assert_eq!(
        vec![
            "6:17 program bin/fetch",
            "9:17 program git",
            "11:21 secret /etc/lariat/hook",
            "12:73 secret /etc/lariat/token",
            "15:29 secret /etc/lariat/vault",
            "15:60 program pass",
            "16:27 secret /etc/lariat/key",
            "17:21 collections vendor",
        ],
        told
    );
    assert!(needs(&text, &|_| None).is_empty());
}

fn when(on: &str, when: &str) -> String {
    format!("rules:\n- name: r\n  on: {on}\n  when: {when}\n  run: {{playbook: x.yml}}\n")
}

#[test]
fn what_can_never_be_true_is_a_warning() {
    let two = "one field would have to be two things at once";
    for (text, why) in [
        ("msg.a == 1 and msg.a == 2", two),
        ("msg.a == 'x' and event.body.a in ['y', 'z']", two),
        ("[\"msg.a == 1\", \"msg.b == 1 and msg.a == 'x'\"]", two),
        (
            "event.severity == 'fatal'",
            "the severity of an event is `debug`, `info`, `warning`, `error`",
        ),
    ] {
        let rule = when("a.b", text);
        let column = if text.starts_with('[') { 24 } else { 9 };
        let expected =
            format!("rules/a.yml:4:{column} constant-condition: this can never be true; {why}");
        check(&[("rules/a.yml", &rule)], &[], &[&expected]);
    }
    for text in [
        "msg.a == 1 or msg.a == 2",
        "msg.a == 1 and msg.a == 1.0",
        "msg.a == 1 and msg.b == 2",
        "msg.a in [1, 2] and msg.a in [2, 3]",
        "msg.a == 'xy' and msg.a is match('x')",
        "event.severity in ['error', 'fatal']",
        "event.severity != 'fatal'",
    ] {
        let rule = when("a.b", &format!("{text:?}"));
        check(&[("rules/a.yml", &rule)], &[], &[]);
    }
}

#[test]
fn fields_of_the_engines_own_events_are_known() {
    let rule = when(
        "lariat.job.failed",
        "event.body.rul == 'x' and msg.event.topik == 'y'",
    );
    check(
        &[("rules/a.yml", &rule)],
        &[],
        &[
            "rules/a.yml:4:9 unseen-field: `event.body.rul` is in no event that is about a job; did you mean `event.body.rule`?",
            "rules/a.yml:4:35 unseen-field: `msg.event.topik` is in no event that is about a job; did you mean `msg.event.topic`?",
        ],
    );
    for text in ["event.body.rul == 'x'", "event.body.result.hosts == 1"] {
        let on = if text.contains("result") {
            "lariat.job.#"
        } else {
            "'#'"
        };
        check(&[("rules/a.yml", &when(on, text))], &[], &[]);
    }
}
