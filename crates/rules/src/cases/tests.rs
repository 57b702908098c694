//! Test files through the door that `lariat test` uses.

use std::{collections::BTreeMap, sync::Arc};

use model::ports::ProjectText;

use super::{About, Outcome, Unusable, read_cases};
use crate::{Code, RuleSet, compile, yaml::Reader};

const RULES: &str = r#"
rules:
  - name: sync
    on: org.example.compose.#
    when: msg.status == "FINISHED"
    key: "{{ msg.release }}"
    run:
      - playbook: site.yml
        vars: {release: "{{ msg.release }}", size: "{{ msg.size }}", of: "{{ job }}"}
  - name: named-like-the-topic
    on: org.example.named.*
    run: {playbook: "{{ event.topic }}.yml", missing: skip}
  - name: tell
    on: lariat.job.*
    when: event.source == "lariat" and event.severity == "error" and event.headers.a == 1
    run: {playbook: site.yml}
  - name: follow
    on: org.example.built
    when: event.cause is defined and event.cause.hops < 3
    key: "{{ event.cause.event }} {{ event.cause.job }}"
    run: {playbook: site.yml}
  - name: shade
    on: org.example.shade
    key: k
    mode: shadow
    run: {playbook: site.yml}
  - name: shade-of-vars
    on: org.example.dim
    mode: shadow
    run: {playbook: site.yml, vars: {release: "{{ msg.release }}"}}
  - name: shade-of-files
    on: org.example.dark.*
    mode: shadow
    run: {playbook: "{{ event.topic }}.yml", missing: skip}
  - name: nothing
    on: org.example.shade
    mode: off
    run: {playbook: site.yml}
"#;

fn rules() -> RuleSet {
    let text = ProjectText {
        files: BTreeMap::from([("rules/x.yml".to_owned(), RULES.to_owned())]),
        listing: vec!["playbooks/site.yml".to_owned()],
        commit: None,
    };
    compile(Arc::new(text)).unwrap().rules
}

fn no_file(_: &str) -> Result<model::event::Event, Unusable> {
    Err(Unusable {
        code: Code::MissingFile,
        messages: vec!["it is not there".to_owned()],
        hint: None,
    })
}

/// What is wrong with a file: `line:column code message; hint`.
fn problems(text: &str) -> Vec<String> {
    let rules = rules();
    let mut reader = Reader::new("tests/x.yml", text);
    read_cases(&mut reader, Some(&rules), &mut no_file);
    let told = |found: model::diagnostic::Diagnostic| {
        let hint = found.hint.map(|hint| format!("; {hint}"));
        let place = format!("{}:{}", found.line, found.column);
        let (code, message) = (found.code, found.message);
        format!("{place} {code} {message}{}", hint.unwrap_or_default())
    };
    reader.finish().into_iter().map(told).collect()
}

#[track_caller]
fn run(case: &str) -> Outcome {
    let rules = rules();
    let mut reader = Reader::new("tests/x.yml", case);
    let cases = read_cases(&mut reader, Some(&rules), &mut no_file);
    assert_eq!(
        Vec::<model::diagnostic::Diagnostic>::new(),
        reader.finish(),
        "{case}"
    );
    assert_eq!(1, cases.len());
    cases[0].run(&rules)
}

#[track_caller]
fn surprises(case: &str, expected: &[&str]) {
    let outcome = run(case);
    let told: Vec<String> = outcome
        .surprises
        .iter()
        .map(|surprise| match &surprise.about {
            About::Verdict { expected, got } => {
                format!("{}: {expected}, got {got}", surprise.rule)
            }
            About::Key { expected, got } => {
                format!("{}: key {expected}, got {got:?}", surprise.rule)
            }
            About::Variable {
                name,
                expected,
                got,
                note,
            } => {
                let got = got.as_ref().map_or("none".to_owned(), ToString::to_string);
                let note = note.as_deref().unwrap_or_default();
                format!("{}: {name} {expected}, got {got} {note}", surprise.rule)
            }
        })
        .collect();
    assert_eq!(expected, told, "{case}");
    let explained = outcome.explanations.len();
    assert_eq!(!expected.is_empty(), explained > 0, "{case}");
}

#[test]
fn a_rule_in_the_shadow_has_the_verdict_that_it_would_have() {
    let lit = "- event: {topic: org.example.dim, body: {release: f44}}\n";
    surprises(&format!("{lit}  fires: shade-of-vars\n"), &[]);
    let bad = "- event: {topic: org.example.dim, body: {}}\n";
    surprises(&format!("{bad}  fires: []\n  error: shade-of-vars\n"), &[]);
    surprises(
        &format!("{bad}  fires: shade-of-vars\n"),
        &["shade-of-vars: fired, got error"],
    );
    let dark = "- event: {topic: org.example.dark.x, body: {}}\n";
    surprises(
        &format!("{dark}  fires: []\n  suppressed: shade-of-files\n"),
        &[],
    );
    surprises(
        &format!("{dark}  fires: shade-of-files\n"),
        &["shade-of-files: fired, got suppressed"],
    );
}

const FINISHED: &str =
    "- event: {topic: org.example.compose.x, body: {status: FINISHED, release: f44, size: 1.0}}\n";

#[test]
fn what_is_as_expected_is_no_surprise() {
    for fires in [
        "sync",
        "[sync]",
        "[{rule: sync}]",
        "[{rule: sync, key: f44}]",
        "[{rule: sync, key: f44, vars: {release: f44}}]",
        "[{rule: sync, vars: {size: 1, release: f44}}]",
    ] {
        surprises(&format!("{FINISHED}  fires: {fires}\n"), &[]);
    }
    surprises("- {event: {topic: a}, fires: []}", &[]);
    // A rule may hold itself back without a word.
    let named = "- event: {topic: org.example.named.x}\n";
    surprises(&format!("{named}  fires: []"), &[]);
    surprises(
        &format!("{named}  fires: []\n  suppressed: named-like-the-topic"),
        &[],
    );
    let broken = "- event: {topic: org.example.compose.x, body: {status: FINISHED}}\n";
    surprises(&format!("{broken}  fires: []\n  error: [sync]"), &[]);
    // Events of the engine, and rules that are not live.
    surprises(
        "- event: {topic: lariat.job.failed, source: lariat, severity: error, headers: {a: 1}}
  fires: tell",
        &[],
    );
    // Follow-ups, and what is none.
    for (cause, fires) in [
        ("{event: c1}", "{rule: follow, key: c1 test}"),
        (
            "{event: c1, job: 01-a, hops: 2}",
            "{rule: follow, key: c1 01-a}",
        ),
        ("{event: c1, hops: 3}", "[]"),
    ] {
        let event = format!("{{topic: org.example.built, cause: {cause}}}");
        surprises(&format!("- {{event: {event}, fires: {fires}}}"), &[]);
    }
    surprises("- {event: {topic: org.example.built}, fires: []}", &[]);
    surprises(
        "- {event: {topic: org.example.shade}, fires: {rule: shade, key: k}}",
        &[],
    );
    surprises(
        "- {event: {topic: org.example.shade}, fires: [shade, nothing]}",
        &["nothing: fired, got no_match"],
    );
}

#[test]
fn what_is_not_as_expected_is_told() {
    surprises(
        &format!("{FINISHED}  fires: []"),
        &["sync: no_match, got fired"],
    );
    surprises(
        "- {event: {topic: a}, fires: sync}",
        &["sync: fired, got no_match"],
    );
    surprises(
        &format!(
            "{FINISHED}  fires: [{{rule: sync, key: f45, vars: {{release: 44, of: j, relaese: f44, x: 1}}}}]"
        ),
        &[
            "sync: key f45, got Some(\"f44\")",
            "sync: release 44, got \"f44\" ",
            "sync: of \"j\", got none it needs the job, so a test cannot know it; leave it out",
            "sync: relaese \"f44\", got none did you mean `release`?",
            "sync: x 1, got none ",
        ],
    );
    let broken = "- event: {topic: org.example.compose.x, body: {status: FINISHED}}\n";
    surprises(
        &format!("{broken}  fires: []"),
        &["sync: no_match, got error"],
    );
    let named = "- event: {topic: org.example.named.x}\n";
    surprises(
        &format!("{named}  fires: []\n  suppressed: []"),
        &["named-like-the-topic: no_match, got suppressed"],
    );
}

#[test]
fn a_rule_is_expected_to_do_one_thing() {
    for also in ["suppressed", "error"] {
        let text = format!("- event: {{topic: a}}\n  fires: [sync]\n  {also}: [sync]\n");
        assert_eq!(
            vec![
                "1:3 bad-value `sync` is expected to do two things; name a rule in one of `fires`, `suppressed` and `error`"
            ],
            problems(&text)
        );
    }
}

#[test]
fn each_rule_that_surprised_is_explained_once() {
    let outcome = run(&format!(
        "{FINISHED}  fires: [{{rule: sync, key: a, vars: {{release: b}}}}]"
    ));
    assert_eq!(2, outcome.surprises.len());
    assert_eq!(1, outcome.explanations.len());
    assert_eq!(1, outcome.explanations[0].conditions.len());
}

#[test]
fn everything_that_is_wrong_is_reported_at_once() {
    let text = "- event: {topic: a..b, bdy: {}, id: 'x y', time: never, severity: loud}
  fires: [{rule: snyc, keys: a}, sync, sync]
- file: ../outside.json
  fires: {rule: sync, key: 7, vars: [a]}
  name: ''
- event: {topic: a}
  file: here.json
  fire: []
- {fires: []}
- file: gone.json
  fires: []
  suppressed: other
- 7
- event: {topic: a}
  event: {topic: b}
  fires:
- event: {topic: a, cause: {jobs: 1, job: a/b, hops: 17}}
  fires: []
- event: {topic: a, cause: c1}
  fires: []
";
    insta::assert_snapshot!(problems(text).join("\n"), @r"
    1:18 bad-value word 2 of the topic is empty
    1:24 unknown-key an event has no key `bdy`; did you mean `body`?
    1:37 bad-value an event id may not contain ' '; allowed are letters, digits and `._:@-`
    1:50 bad-value `never` is not an RFC 3339 time such as `2026-11-20T22:43:00Z`
    1:67 bad-value expected `debug` or `info` or `warning` or `error`, found `loud`
    2:18 unknown-rule there is no rule `snyc`; did you mean `sync`?
    2:24 unknown-key a firing has no key `keys`; did you mean `key`?
    3:9 path-escape `../outside.json` is not a path in the project: it leaves the project with `..`
    4:28 wrong-type expected a string, found a number; write it in quotes
    4:37 wrong-type expected `vars`, which is a mapping, found a list
    5:9 bad-value the name of a case has 1 to 200 characters
    6:3 missing-key a case needs the key `fires`
    7:3 bad-value a case has one event: `event` or `file`; make two cases of it
    8:3 unknown-key a case has no key `fire`; did you mean `fires`?
    9:3 missing-key a case needs the key `event` or `file`; write `event: {topic: org.example.hello, body: {}}`
    10:9 missing-file it is not there
    12:15 unknown-rule there is no rule `other`; `lariat check` lists the rules
    13:3 wrong-type expected a case, which is a mapping, found a number
    15:3 duplicate-key the key `event` stands here twice; it stands on line 14 already
    16:3 missing-key `fires` has no value
    17:28 missing-key a cause needs the key `event`
    17:29 unknown-key a cause has no key `jobs`; did you mean `job`?
    17:43 bad-value a job id may not contain '/'; allowed are letters, digits and `-`
    17:54 bad-value expected a whole number from 1 to 16, found 17
    19:28 wrong-type expected a cause, which is a mapping, found a string
    ");
}

#[test]
fn what_is_no_list_of_cases_is_told() {
    for (text, expected) in [
        ("", "no-cases"),
        ("[]", "no-cases"),
        ("cases: []", "begin each case"),
        ("text", "expected a list"),
        ("[", "yaml-syntax"),
        ("- *x", "yaml-syntax"),
        ("- !!binary x", "yaml-feature"),
    ] {
        let found = problems(text);
        assert!(found[0].contains(expected), "{text}: {found:?}");
    }
}

#[test]
fn hostile_files_end() {
    let deep = format!("- event: {{topic: a, body: {}}}", "[".repeat(100_000));
    let nested = format!(
        "- event: {{topic: a, body: {}{}}}\n  fires: []",
        "[".repeat(70),
        "]".repeat(70)
    );
    let bomb = {
        let mut text = "- &a0 [x,x,x,x,x,x,x,x]\n".to_owned();
        for level in 1..12 {
            let before = format!("*a{},", level - 1).repeat(8);
            text.push_str(&["- &a", &level.to_string(), " [", &before, "]\n"].concat());
        }
        text
    };
    let many = "- {event: {topic: a}, fires: [gone]}\n".repeat(20_000);
    for text in [deep, nested, bomb, many] {
        let found = problems(&text);
        assert!(!found.is_empty() && found.len() <= 1_001);
    }
}
