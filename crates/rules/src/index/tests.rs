//! What is found through the index is what looking at every rule finds.

use std::{collections::BTreeMap, fmt::Write as _, sync::Arc};

use model::{event::Event, ports::ProjectText};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    expr::Condition,
    ruleset::{RuleSet, compile},
};

fn rules(rules: &[(String, Vec<String>)]) -> RuleSet {
    let mut text = String::from("rules:\n");
    for (number, (on, when)) in rules.iter().enumerate() {
        let quoted = |text: &String| format!("'{}'", text.replace('\'', "''"));
        let when: Vec<String> = when.iter().map(quoted).collect();
        let when = when.join(", ");
        writeln!(
            text,
            "  - {{name: r{number}, on: '{on}', when: [{when}], run: {{command: [x]}}}}"
        )
        .unwrap();
    }
    let project = ProjectText {
        files: BTreeMap::from([("rules/x.yml".to_owned(), text)]),
        listing: Vec::new(),
        commit: None,
    };
    match compile(Arc::new(project)) {
        Ok(checked) => checked.rules,
        Err(findings) => panic!("{}", crate::render::diagnostics(&findings, false)),
    }
}

fn event(topic: &str, body: Value) -> Event {
    let mut event: Event = serde_json::from_value(json!({
        "id": "e-1", "topic": topic, "time": "2026-11-20T22:43:00Z",
        "accepted": "2026-11-20T22:43:01Z", "source": "ab", "severity": "info",
        "headers": {"kind": "abc"}, "body": null,
        "origin": {"verified": false, "by": null, "via": "http"},
    }))
    .unwrap();
    event.body = body;
    event
}

fn found(rules: &RuleSet, event: &Event) -> Vec<String> {
    let judged = rules.judge(event).into_iter();
    judged.map(|decision| decision.rule.to_string()).collect()
}

fn by_looking_at_each(rules: &RuleSet, event: &Event) -> Vec<String> {
    rules
        .rules()
        .filter(|rule| rule.is_about(event) && rule.holds(event))
        .map(|rule| rule.name().to_string())
        .collect()
}

#[track_caller]
fn check_needs(condition: &str, expect: &str) {
    let needs = Condition::parse(condition).unwrap().needs();
    let shown: Vec<String> = needs
        .iter()
        .map(|need| {
            let facts = need.any.iter().map(|fact| fact.path.join("."));
            facts.collect::<Vec<_>>().join(" | ")
        })
        .collect();
    assert_eq!(expect, shown.join(", "), "{condition}");
}

#[test]
fn a_condition_needs_what_must_be_so() {
    check_needs("msg.a == 'x'", "body.a");
    check_needs("1 == event.body['a'].b", "body.a.b");
    check_needs(
        "event.source == 'x' and event.headers.kind in ['a', 'b']",
        "source, headers.kind | headers.kind",
    );
    check_needs(
        "msg.a is match '^ab+c' and msg.b is in [1]",
        "body.a, body.b",
    );
    check_needs("msg.a is match '(a|b)x.*'", "body.a | body.a");
    check_needs(
        "msg.a is search '^x' or msg.b.startswith('y')",
        "body.a | body.b",
    );
    check_needs(
        "(msg.a == 1 and msg.b > 2) or msg.c == 3",
        "body.a | body.c",
    );
}

#[test]
fn a_condition_does_not_need_what_may_be_otherwise() {
    for condition in [
        "msg.a != 'x'",
        "not msg.a == 'x'",
        "msg.a == 'x' or msg.b > 1",
        "msg.a == msg.b",
        "msg.a == ['x']",
        "msg.a in [1, ['x']]",
        "msg.a in msg.b",
        "msg.a not in ['x']",
        "msg.a is search 'x'",
        "msg.a is match '.*x'",
        "msg.a is match 'x*'",
        "msg.a is match('x', ignorecase=true)",
        "msg.a is not match 'x'",
        "(msg.a | default('x')) == 'x'",
        "event == 'x'",
        "(msg.a == 'x') == msg.b",
    ] {
        check_needs(condition, "");
    }
}

#[test]
fn rules_that_share_a_need_are_told_apart_by_another() {
    let rules = rules(
        &(0..400)
            .map(|number| {
                let (x, y) = (number / 20, number % 20);
                (
                    "a.#".to_owned(),
                    vec![format!("msg.x == {x} and msg.y == {y}")],
                )
            })
            .collect::<Vec<_>>(),
    );
    let event = event("a.b", json!({"x": 3, "y": 4.0}));
    assert_eq!(vec![64], rules.index().find(&event));
    assert_eq!(vec!["r64"], found(&rules, &event));
}

#[test]
fn what_is_found_does_not_grow_with_what_is_named() {
    let rules = rules(
        &(0..5_000)
            .map(|number| match number % 3 {
                0 => ("#".to_owned(), vec![format!("msg.f{number} == 1")]),
                1 => ("#".to_owned(), vec![format!("msg.p is match 'p{number}/'")]),
                _ => ("a.*".to_owned(), vec![format!("msg.v in [{number}, 'w']")]),
            })
            .collect::<Vec<_>>(),
    );
    let huge = Value::from_iter((0..50_000).map(|field| (format!("g{field}"), json!(1))));
    assert!(rules.index().find(&event("a.b", huge)).is_empty());
    let long = json!({"v": "w".repeat(1 << 20), "p": "p1".repeat(1 << 20), "f3": 2});
    assert!(rules.index().find(&event("a.b", long)).is_empty());
    let some = json!({"v": 2, "p": "p1/x", "f3": 1.0});
    assert_eq!(vec![1, 2, 3], rules.index().find(&event("a.b", some)));
}

const BIG: &str = "170141183460469231731687303715884105728";

fn literal() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "1", "1.0", "10e-1", "100", "1e2", "-0", "0", "0.0", "1.5", BIG, "1.7e38", "true", "false",
        "none", "''", "'a'", "'ab'", "'abc'", "'1'", "'true'", "'none'",
    ])
}

fn path() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "event.body.x",
        "msg.x",
        "msg.y",
        "msg.x.y",
        "msg['x']",
        "msg",
        "event.source",
        "event.severity",
        "event.headers.kind",
        "event.topic",
        "event.body.y.x",
        "event.cause.nothing",
        "event.origin.by",
    ])
}

fn pattern() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "a", "ab", "^ab", "a|b", "a*", "ab?c", "(?i)ab", "[ab]b", "1", "t", "$", "(?m)^ab",
    ])
}

fn atom() -> impl Strategy<Value = String> {
    prop_oneof![
        (path(), literal()).prop_map(|(path, to)| format!("{path} == {to}")),
        (path(), literal()).prop_map(|(path, to)| format!("{to} == {path}")),
        (path(), prop::collection::vec(literal(), 0..4))
            .prop_map(|(path, list)| format!("{path} in [{}]", list.join(", "))),
        (path(), literal()).prop_map(|(path, to)| format!("{path} is eq {to}")),
        (path(), literal()).prop_map(|(path, to)| format!("{path} is in [{to}, 'b']")),
        (path(), pattern()).prop_map(|(path, like)| format!("{path} is match '{like}'")),
        (path(), pattern()).prop_map(|(path, like)| format!("{path} is search '{like}'")),
        (path(), pattern()).prop_map(|(path, like)| format!("{path} is match('{like}', true)")),
        path().prop_map(|path| format!("{path} is glob 'ab*'")),
        path().prop_map(|path| format!("{path} is startswith 'a'")),
        path().prop_map(|path| format!("{path}.startswith('ab')")),
        (path(), literal()).prop_map(|(path, to)| format!("{path} != {to}")),
        (path(), literal()).prop_map(|(path, to)| format!("{path} < {to}")),
        (path(), literal()).prop_map(|(path, to)| format!("1 == {path} == {to}")),
        (path(), literal()).prop_map(|(path, to)| format!("({path} | default('a')) == {to}")),
        path().prop_map(|path| format!("{path} is defined")),
        path().prop_map(str::to_owned),
    ]
}

fn condition() -> impl Strategy<Value = String> {
    atom().prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(|all| {
                let all: Vec<String> = all.iter().map(|one| format!("({one})")).collect();
                all.join(" and ")
            }),
            prop::collection::vec(inner.clone(), 2..4).prop_map(|any| {
                let any: Vec<String> = any.iter().map(|one| format!("({one})")).collect();
                any.join(" or ")
            }),
            inner.prop_map(|one| format!("not ({one})")),
        ]
    })
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        literal().prop_map(|text| match text {
            "none" => Value::Null,
            text => match text.strip_prefix('\'') {
                Some(rest) => json!(rest.trim_end_matches('\'')),
                None => serde_json::from_str(text).unwrap(),
            },
        }),
        Just(json!("abx")),
        Just(json!([])),
        Just(json!(["a"])),
    ];
    leaf.prop_recursive(2, 6, 2, |inner| {
        prop::collection::vec((prop::sample::select(vec!["x", "y"]), inner), 0..3).prop_map(
            |fields| Value::from_iter(fields.into_iter().map(|(key, it)| (key.to_owned(), it))),
        )
    })
}

fn on() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["#", "a.*", "a.b", "*.b", "c"]).prop_map(str::to_owned)
}

proptest! {
    // Each case is a rule file.
    #![proptest_config(ProptestConfig::with_cases(50))]
    #[test]
    fn the_index_finds_what_looking_at_every_rule_finds(
        written in prop::collection::vec((on(), prop::collection::vec(condition(), 1..3)), 1..60),
        bodies in prop::collection::vec(value(), 1..8),
    ) {
        let rules = rules(&written);
        for body in bodies {
            let event = event("a.b", body);
            prop_assert_eq!(by_looking_at_each(&rules, &event), found(&rules, &event));
        }
    }
}
