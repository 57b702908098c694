//! Conditions as tables: text, event, answer.

mod errors;
mod patterns;
mod properties;

use model::{
    clock::Timestamp,
    event::{Event, Origin, Severity},
    verdict::Truth,
};
use serde_json::Value;

use super::{Condition, Scope};

pub(crate) fn event(body: &str) -> Event {
    Event {
        id: "2026-1".parse().unwrap(),
        topic: "org.example.build.done".parse().unwrap(),
        time: Timestamp::from_millis(0),
        accepted: Timestamp::from_millis(1000),
        source: "api".to_owned(),
        severity: Severity::Warning,
        headers: serde_json::from_str(r#"{"x-kind": "nightly"}"#).unwrap(),
        body: serde_json::from_str(body).unwrap(),
        origin: Origin::open_http(),
        cause: None,
    }
}

pub(super) fn parse(text: &str) -> Condition {
    Condition::parse(text).unwrap_or_else(|error| panic!("`{text}`: {error:?}"))
}

#[track_caller]
fn check(condition: &str, body: &str, expect: &str) {
    let event = event(body);
    let scope = Scope::of_event(&event, "some-rule");
    let parsed = parse(condition);
    let holds = parsed.holds(&scope);
    let (traced, traces) = parsed.trace(&scope);
    assert_eq!(expect, holds.to_string(), "{condition}: {traces:#?}");
    assert_eq!(holds, traced, "{condition}");
    assert_eq!(holds, traces[0].result, "{condition}");
    assert_eq!(parsed, parse(&parsed.to_string()), "{condition}");
}

/// One line for each part: depth, result, text, value, note.
#[track_caller]
fn explain(condition: &str, body: &str, expect: &str) {
    let event = event(body);
    let (_, traces) = parse(condition).trace(&Scope::of_event(&event, "some-rule"));
    let lines: Vec<String> = traces
        .into_iter()
        .map(|trace| {
            let mut line = format!(
                "{}{} {}",
                "  ".repeat(trace.depth),
                trace.result,
                trace.expr
            );
            if let Some(value) = trace.value {
                line.push_str(" <- ");
                line.push_str(&value.to_string());
            }
            if let Some(note) = trace.note {
                line.push_str(" # ");
                line.push_str(&note);
            }
            line
        })
        .collect();
    let expect: Vec<&str> = expect
        .trim_matches('\n')
        .lines()
        .map(|line| line.strip_prefix("        ").unwrap_or(line))
        .collect();
    assert_eq!(expect.join("\n"), lines.join("\n"));
}

const BODY: &str = r#"{
    "state": "failed", "n": 3, "f": 1.0, "neg": -7, "t": true, "none": null, "empty": "",
    "big": 123456789012345678901234567890123456789012345678901234567890,
    "big2": 123456789012345678901234567890123456789012345678901234567891,
    "huge": 1e400, "name": "Kernel-6.1", "tags": ["a", "b", "C"], "nums": [3, 1, 2],
    "jobs": [{"id": 1, "state": "ok", "deep": {"x": 1}}, {"id": 2, "state": "failed", "deep": {"x": 5}}],
    "mixed": [{"id": 1}, {"name": "x"}], "map": {"k": "v", "x-y": 1}, "json": "{\"a\": [1.10]}"
}"#;

#[test]
fn values_are_compared() {
    let yes = [
        "event.body.state == 'failed'",
        "msg.state == \"failed\"",
        "event.body['state'] != 'ok'",
        "msg.f == 1 and msg.f == 1.0 and 1.0 == 1",
        "msg.n > 2 and msg.n >= 3 and msg.n < 3.5 and msg.n <= 3",
        "1 < msg.n < 5",
        "msg.big == msg.big and msg.big < msg.big2 and msg.big != msg.big2",
        "msg.huge > msg.big",
        "msg.huge == 1e400 and 0.1e401 == msg.huge",
        "msg.neg < -6.5 and -7.5 < msg.neg",
        "'a' < 'b'",
        "msg.state in ['failed', 'error']",
        "msg.state not in ['ok']",
        "'ail' in msg.state",
        "'k' in msg.map and 'v' not in msg.map",
        "3 in msg.nums and 9 not in msg.nums",
        "msg.nums == [3, 1, 2]",
        "(1, 2) == [1, 2]",
        "{'k': 'v', 'x-y': 1} == msg.map",
        "msg.map['x-y'] == 1",
        "msg.jobs[1].id == 2 and msg.jobs[-1].id == 2 and msg.jobs.0.id == 1",
        "msg.none == none and msg.none == None",
        "msg.t == true and msg.t",
        "event.topic == 'org.example.build.done'",
        "event.severity == 'warning' and event.source == 'api'",
        "event.headers['x-kind'] == 'nightly'",
        "event.time < event.accepted",
        "event.origin.via == 'http' and event.origin.by is none and not event.origin.verified",
        "rule == 'some-rule'",
        "event.id is startswith('2026')",
    ];
    for condition in yes {
        check(condition, BODY, "true");
        check(&format!("not ({condition})"), BODY, "false");
    }
}

#[test]
fn different_kinds_are_unequal_and_have_no_order() {
    check("true == 1", BODY, "false");
    check("msg.t == 1", BODY, "false");
    check("msg.n == '3'", BODY, "false");
    check("msg.none == ''", BODY, "false");
    check("msg.tags == 'a'", BODY, "false");
    check("msg.n != '3'", BODY, "true");
    check("msg.state < 3", BODY, "unknown");
    check("not msg.state < 3", BODY, "unknown");
    check("msg.none < 1", BODY, "unknown");
    check("msg.map < msg.map", BODY, "unknown");
    check("[1, 'a'] < [1, 2]", BODY, "unknown");
    check("3 in msg.state", BODY, "unknown");
    check("3 in msg.n", BODY, "unknown");
}

#[test]
fn undefined_is_unknown_wherever_it_stands() {
    for unknown in [
        "msg.nope",
        "msg.nope == 1",
        "msg.nope != 1",
        "msg.nope == msg.nope",
        "msg.a.b.c.d == 1",
        "1 < msg.nope",
        "msg.nope in [1]",
        "1 in msg.nope",
        "1 not in msg.nope",
        "msg.nope + 1 == 2",
        "msg.nope ~ 'x' == 'x'",
        "msg.nope | lower == ''",
        "msg.nope | length == 0",
        "msg.nope is none",
        "msg.nope is not none",
        "msg.nope is match('x')",
        "msg.state is match(msg.nope)",
        "msg.jobs[9].id == 1",
        "msg.state.nope == 1",
        "msg.tags['a'] == 1",
        "[msg.nope] == [1]",
        "{'a': msg.nope} == {'a': 1}",
        "msg.nope.startswith('a')",
        "(1 if msg.nope else 1) == 1",
        "job == 'x'",
        "attempt > 1",
        "result.x == 1",
        "-msg.nope < 1",
        "msg.tags[msg.nope] == 1",
        "msg.tags[msg.nope:] == []",
        "1 if false",
        "[] | first == 1",
        "[] | max == 1",
    ] {
        check(unknown, BODY, "unknown");
        check(&format!("not ({unknown})"), BODY, "unknown");
        check(&format!("({unknown}) or true"), BODY, "true");
        check(&format!("true or ({unknown})"), BODY, "true");
        check(&format!("({unknown}) and false"), BODY, "false");
        check(&format!("false and ({unknown})"), BODY, "false");
        check(&format!("({unknown}) or false"), BODY, "unknown");
        check(&format!("({unknown}) and true"), BODY, "unknown");
        check(&format!("(({unknown}) or true) == true"), BODY, "true");
        check(&format!("(({unknown}) and false) == false"), BODY, "true");
    }
}

#[test]
fn what_cannot_be_computed_is_unknown() {
    for unknown in [
        "1 / 0 == 1",
        "1 // 0 == 1",
        "1 % 0 == 1",
        "msg.big + 1 == 1",
        "2 ** 1000 > 1",
        "10.0 ** 400 > 1",
        "'a' + 1 == 'a1'",
        "-'a' == 1",
        "'x' | from_json == 1",
        "[1, 'a'] | sort == []",
        "msg.state | b64decode == ''",
        "'a' * 1000000000 == ''",
        "[0] * 1000000000 == []",
        "([[[[1] * 999] * 999] * 999] * 999) | to_json == ''",
        "msg.n is divisibleby(0)",
        "msg.n.startswith('3')",
        "msg.tags is even",
        "msg.state is match('(' ~ '(')",
    ] {
        check(unknown, BODY, "unknown");
        check(&format!("{unknown} or true"), BODY, "true");
    }
}

#[test]
fn undefined_can_be_asked_for() {
    check("msg.state is defined", BODY, "true");
    check("msg.a.b.c is defined", BODY, "false");
    check("msg.a.b.c is not defined", BODY, "true");
    check("msg.a.b.c is undefined", BODY, "true");
    check("not msg.a.b.c is defined", BODY, "true");
    check("msg.none is defined", BODY, "true");
    check("result is defined", BODY, "false");
    check("msg.a.b.c | default('x') == 'x'", BODY, "true");
    check("msg.a.b.c | d('x') == 'x'", BODY, "true");
    check("msg.a | default == ''", BODY, "true");
    check("msg.empty | default('x') == ''", BODY, "true");
    check("msg.empty | default('x', true) == 'x'", BODY, "true");
    check(
        "msg.empty | default('x', boolean=true) == 'x'",
        BODY,
        "true",
    );
    check("(msg.a.b | default({})).c is undefined", BODY, "true");
    check("msg.state | default(msg.nope) == 'failed'", BODY, "true");
    check("msg.nope | default(msg.nope2) is undefined", BODY, "true");
    check("msg.map.get('zz') is none", BODY, "true");
    check("msg.map.get('zz', 3) == 3", BODY, "true");
}

#[test]
fn other_values_count_as_in_jinja() {
    for (condition, expect) in [
        ("msg.state", "true"),
        ("msg.empty", "false"),
        ("msg.n", "true"),
        ("0", "false"),
        ("0.0", "false"),
        ("-0.0e5", "false"),
        ("[]", "false"),
        ("{}", "false"),
        ("msg.none", "false"),
        ("msg", "true"),
        ("event", "true"),
        ("not msg.empty", "true"),
        ("msg.state and msg.n", "true"),
    ] {
        check(condition, BODY, expect);
    }
}

#[test]
fn arithmetic_is_pythons() {
    for yes in [
        "1 + 2 * 3 == 7",
        "(1 + 2) * 3 == 9",
        "7 / 2 == 3.5",
        "7 // 2 == 3",
        "-7 // 2 == -4",
        "-7 % 3 == 2",
        "7 % -3 == -2",
        "7.5 % 2 == 1.5",
        "2 ** 10 == 1024",
        "2 ** -1 == 0.5",
        "'a' ~ 1 ~ true ~ none == 'a1truenone'",
        "'ab' * 2 == 'abab'",
        "[1] + [2] == [1, 2]",
        "[1] * 3 == [1, 1, 1]",
        "170141183460469231731687303715884105727 - 1 == 170141183460469231731687303715884105726",
        "'abcdef'[1:3] == 'bc'",
        "msg.nums[::-1] == [2, 1, 3]",
        "msg.nums[-2:] == [1, 2]",
        "msg.nums[:10] == msg.nums",
        "'äöü'[1] == 'ö'",
        "('yes' if msg.t else 'no') == 'yes'",
    ] {
        check(yes, BODY, "true");
    }
}

#[test]
fn filters_do_what_ansible_users_expect() {
    for yes in [
        "msg.name | lower == 'kernel-6.1'",
        "msg.name | upper == 'KERNEL-6.1'",
        "' x ' | trim == 'x'",
        "'xxaxx' | trim('x') == 'a'",
        "msg.name | replace('-', '_') == 'Kernel_6.1'",
        "'a,b,c' | split(',') == ['a', 'b', 'c']",
        "' a  b ' | split == ['a', 'b']",
        "'a,b,c'.split(',', 1) == ['a', 'b,c']",
        "msg.tags | join('-') == 'a-b-C'",
        "msg.jobs | join(',', attribute='state') == 'ok,failed'",
        "', '.join(msg.tags) == 'a, b, C'",
        "msg.tags | length == 3 and msg.tags | count == 3 and msg.state | length == 6",
        "msg.tags | first == 'a' and msg.tags | last == 'C'",
        "'42' | int == 42 and 'x' | int == 0 and 'x' | int(7) == 7 and '3.9' | int == 3",
        "'1.5' | float == 1.5",
        "3 | string == '3'",
        "'yes' | bool and not ('no' | bool) and 1 | bool",
        "'abc' | list == ['a', 'b', 'c']",
        "[1, 2, 1] | unique == [1, 2]",
        "['a', 'A'] | unique == ['a']",
        "['a', 'A'] | unique(case_sensitive=true) == ['a', 'A']",
        "msg.nums | sort == [1, 2, 3]",
        "msg.nums | sort(reverse=true) == [3, 2, 1]",
        "msg.jobs | sort(attribute='deep.x', reverse=true) | first == msg.jobs[1]",
        "msg.nums | min == 1 and msg.nums | max == 3 and msg.nums | sum == 6",
        "msg.jobs | sum(attribute='id') == 3",
        "(msg.jobs | max(attribute='id')).state == 'failed'",
        "msg.tags | map('upper') | list == ['A', 'B', 'C']",
        "msg.jobs | map(attribute='deep.x') | list == [1, 5]",
        "msg.mixed | map(attribute='id', default=0) | list == [1, 0]",
        "msg.nums | select('>', 1) | list == [3, 2]",
        "msg.nums | select('odd') | list == [3, 1]",
        "msg.nums | reject('in', [1]) | list == [3, 2]",
        "[0, 1, ''] | select | list == [1]",
        "msg.jobs | selectattr('state', 'eq', 'failed') | map(attribute='id') | list == [2]",
        "msg.jobs | selectattr('state', '==', 'failed') | list | length == 1",
        "msg.jobs | rejectattr('state', 'equalto', 'failed') | list | length == 1",
        "msg.mixed | selectattr('id', 'defined') | list == [{'id': 1}]",
        "msg.mixed | rejectattr('id', 'defined') | list == [{'name': 'x'}]",
        "msg.name | regex_search('[0-9]+') == '6'",
        "msg.name | regex_search('zzz') is none",
        "msg.name | regex_search('(\\w+)-(\\d)', '\\\\2', '\\\\1') == ['6', 'Kernel']",
        "msg.name | regex_replace('^(\\w+)-', '\\\\1/') == 'Kernel/6.1'",
        "msg.name | regex_replace('(?P<n>k)', '<\\\\g<n>>', ignorecase=true) == '<K>ernel-6.1'",
        "'a1b22' | regex_findall('[0-9]+') == ['1', '22']",
        "'a1b2' | regex_findall('([a-z])([0-9])') == [['a', '1'], ['b', '2']]",
        "'/a/b.txt' | basename == 'b.txt' and '/a/b.txt' | dirname == '/a' and '/a' | dirname == '/'",
        "(msg.json | from_json).a | to_json == '[1.10]'",
        "{'a': 1} | to_json == '{\"a\":1}'",
        "'hi' | b64encode == 'aGk=' and 'aGk=' | b64decode == 'hi'",
        "msg.t | ternary('y', 'n') == 'y' and msg.none | ternary(1, 2, 3) == 3",
        "[1, [2, [3]]] | flatten == [1, 2, 3] and [1, [2, [3]]] | flatten(1) == [1, 2, [3]]",
        "[1, 2] | difference([2]) == [1]",
        "[1, 2] | intersect([2, 3]) == [2]",
        "[1, 2] | union([2, 3]) == [1, 2, 3]",
        "msg.map | dict2items | first == {'key': 'k', 'value': 'v'}",
        "msg.map.keys() == ['k', 'x-y'] and msg.map.values() == ['v', 1]",
        "msg.map.items() | first == ['k', 'v']",
        "msg.name.lower().startswith('kernel') and msg.name.endswith(('.1', '.2'))",
        "msg.name.replace('e', 'E', 1) == 'KErnel-6.1' and ' x '.strip() == 'x'",
        "-3 | abs == 3 and 3.14159 | round(2) == 3.14",
        "msg.name | ansible.builtin.lower == 'kernel-6.1'",
    ] {
        check(yes, BODY, "true");
    }
}

#[test]
fn tests_do_what_ansible_users_expect() {
    for (condition, expect) in [
        ("msg.none is none and msg.state is not none", "true"),
        (
            "msg.t is boolean and msg.t is true and msg.t is not false",
            "true",
        ),
        ("1 is not boolean and msg.state is string", "true"),
        (
            "msg.n is number and msg.n is integer and msg.f is float and msg.t is not number",
            "true",
        ),
        (
            "msg.map is mapping and msg.tags is sequence and msg.tags is iterable",
            "true",
        ),
        ("msg.tags is not mapping and msg.n is not iterable", "true"),
        (
            "4 is even and 3 is odd and 9 is divisibleby(3) and 9 is divisibleby 3",
            "true",
        ),
        (
            "msg.n is eq(3) and msg.n is ne(4) and msg.n is lt(4) and msg.n is ge(3)",
            "true",
        ),
        ("msg.n is in [1, 3]", "true"),
        (
            "msg.tags is contains('a') and msg.state is contains('ail')",
            "true",
        ),
        ("msg.tags is not contains('z')", "true"),
        ("msg.name is match('Kernel')", "true"),
        ("msg.name is match('ernel')", "false"),
        ("msg.name is search('ernel')", "true"),
        ("msg.name is regex('^Kernel-\\d')", "true"),
        ("msg.name is match('kernel')", "false"),
        ("msg.name is match('kernel', ignorecase=true)", "true"),
        ("msg.name is not match('kernel', ignorecase=true)", "false"),
        ("'a\nb' is search('^b', multiline=true)", "true"),
        ("'a\nb' is search('^b')", "false"),
        ("msg.n is match('3')", "true"),
        ("msg.none is match('x')", "unknown"),
        ("msg.name is glob('Kernel-*')", "true"),
        ("msg.name is glob('kernel-?')", "false"),
        ("'a.b' is glob('[!b].[ab]')", "true"),
        ("msg.nums is select('>', 2)", "true"),
        ("msg.nums is select('>', 3)", "false"),
        ("msg.nums is not select('>', 3)", "true"),
        ("msg.jobs is selectattr('state', '==', 'failed')", "true"),
        ("msg.jobs is selectattr('deep.x', '>=', 6)", "false"),
        ("msg.jobs is not selectattr('deep.x', '>=', 6)", "true"),
        ("msg.mixed is selectattr('id', '==', 1)", "true"),
        ("msg.mixed is selectattr('id', '==', 2)", "unknown"),
        (
            "msg.jobs is selectattr('state', 'not in', ['ok', 'failed'])",
            "false",
        ),
        (
            "msg.mixed | selectattr('id', '==', 1) | list | length > 0",
            "unknown",
        ),
        (
            "msg.name is startswith('Ker') and msg.name is endswith('.1')",
            "true",
        ),
        ("'abc' is lower and 'ABC' is upper", "true"),
        ("[1] is subset([1, 2]) and [1, 2] is superset([1])", "true"),
        (
            "[0, 1] is any and [1, 1] is all and not ([0, 1] is all)",
            "true",
        ),
    ] {
        check(condition, BODY, expect);
    }
}

#[test]
fn every_part_is_explained() {
    explain("event.body.n > 2", BODY, "true event.body.n > 2 <- 3");
    explain(
        "event.body.statsu == 'x'",
        BODY,
        "unknown event.body.statsu == \"x\" # `event.body.statsu` is undefined",
    );
    explain(
        "event.body.a.b.c is defined",
        BODY,
        "false event.body.a.b.c is defined # `event.body.a` is undefined",
    );
    explain(
        "event.body.state < 3",
        BODY,
        "unknown event.body.state < 3 <- \"failed\" # cannot order a string and a number",
    );
    explain("1/0 == 1", BODY, "unknown 1 / 0 == 1 # division by zero");
    explain(
        "event.body.state == 'failed' and (msg.n == 4 or not msg.nope.x) and event.body.map",
        BODY,
        r#"
        unknown event.body.state == "failed" and (msg.n == 4 or not msg.nope.x) and event.body.map
          true event.body.state == "failed" <- "failed"
          unknown msg.n == 4 or not msg.nope.x
            false msg.n == 4 <- 3
            unknown not msg.nope.x
              unknown msg.nope.x # `msg.nope` is undefined
          true event.body.map <- {"k":"v","x-y":1}
"#,
    );
    explain(
        "msg.mixed is selectattr('id', '==', 2)",
        BODY,
        r#"unknown msg.mixed is selectattr("id", "eq", 2) <- [{"id":1},{"name":"x"}] # `item.id` is undefined"#,
    );
}

#[test]
fn a_trace_shows_the_beginning_of_a_huge_value() {
    let body = format!(
        r#"{{"text": "{}", "list": {}}}"#,
        "ä".repeat(100_000),
        Value::from(vec![7; 10_000])
    );
    let event = event(&body);
    let scope = Scope::of_event(&event, "r");
    let (_, traces) = parse("msg.text == 'x' and msg.list == [] and msg == 1").trace(&scope);
    for trace in &traces[1..] {
        let text = trace.value.as_ref().unwrap().to_string();
        assert!(text.len() < 2_000, "{}: {} bytes", trace.expr, text.len());
    }
    assert!(
        traces[1]
            .value
            .as_ref()
            .unwrap()
            .to_string()
            .contains("(200000 bytes in all)")
    );
}

#[test]
fn a_condition_knows_its_names() {
    let paths = |text: &str| parse(text).paths().join(" ");
    assert_eq!(
        "event.body.a.b rule",
        paths("event.body.a.b == rule and event.body.a.b")
    );
    assert_eq!(
        "msg.list msg.i",
        paths("msg.list[msg.i].x | default(msg.i)")
    );
    assert_eq!("", paths("1 == 1"));
    assert_eq!(Some(Truth::True), parse("1 + 1 == 2 or 1 / 0").constant());
    assert_eq!(Some(Truth::Unknown), parse("1 / 0").constant());
    // What uses no name may decide alone.
    assert_eq!(
        Some(Truth::True),
        parse("event.id == 1 or 1 == 1").constant()
    );
    assert_eq!(
        Some(Truth::False),
        parse("not (msg.a or not (msg.b and 1 == 2))").constant()
    );
    assert_eq!(None, parse("event.id == 1 and 1 == 1").constant());
    assert_eq!(None, parse("msg.a or 1 / 0").constant());
    assert_eq!(None, parse("event.id == 1").constant());
    assert_eq!(None, parse("msg | default(1)").constant());
}

#[test]
fn payload_is_never_evaluated() {
    for hostile in [
        "{{ 1 + 1 }}",
        "{% raw %}",
        "' or true or '",
        "\" == \"\" or \"",
        "event.body.secret",
        "${jndi:ldap://x}",
        "!unsafe",
        "\u{0}\u{1b}[31m",
    ] {
        let body = serde_json::json!({"x": hostile, "list": [hostile]}).to_string();
        let literal = serde_json::to_string(hostile).unwrap();
        check(&format!("msg.x == {literal}"), &body, "true");
        check("msg.x == ''", &body, "false");
        check(&format!("{literal} in msg.list"), &body, "true");
        check("msg.x is match('2$')", &body, "false");
    }
}
