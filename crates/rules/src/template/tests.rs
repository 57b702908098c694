//! Templates as tables: text, event, what is rendered.

mod payload;
mod statements;

use model::id::JobId;

use super::Template;
use crate::expr::{Scope, tests::event};

const BODY: &str = r#"{
    "release": "f42", "n": 3, "price": 1.10, "big": 123456789012345678901234567890, "huge": 1e400,
    "flag": true, "none": null, "empty": "", "list": [1, 1.50, "x"], "map": {"z": 1, "a": [2.0]},
    "users": [{"name": "ann", "age": 3}, {"name": "bob", "age": 5}]
}"#;

pub(super) fn render(template: &str, body: &str) -> Result<String, String> {
    let event = event(body);
    let job: JobId = "0192-1".parse().unwrap();
    let result = serde_json::from_str(r#"{"id": 7}"#).unwrap();
    let scope = Scope {
        event: &event,
        rule: "sync",
        job: Some(&job),
        attempt: Some(2),
        result: Some(&result),
    };
    let parsed = Template::parse(template).map_err(|error| error.message)?;
    match parsed.render(&scope) {
        Ok(value) => Ok(value.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

/// `expect` is JSON.
#[track_caller]
pub(super) fn check(template: &str, expect: &str) {
    assert_eq!(Ok(expect.to_owned()), render(template, BODY), "{template}");
}

#[track_caller]
pub(super) fn check_error(template: &str, expect: &str) {
    assert_eq!(Err(expect.to_owned()), render(template, BODY), "{template}");
}

#[test]
fn a_single_expression_keeps_its_type() {
    check("{{ event.body.n }}", "3");
    check("{{msg.flag}}", "true");
    check("{{ msg.none }}", "null");
    check("{{ msg.empty }}", "\"\"");
    check("{{ msg.price }}", "1.10");
    check("{{ msg.big }}", "123456789012345678901234567890");
    // serde_json writes the sign of an exponent.
    check("{{ msg.huge }}", "1e+400");
    check("{{ msg.list }}", r#"[1,1.50,"x"]"#);
    check("{{ msg.map }}", r#"{"z":1,"a":[2.0]}"#);
    check("{{ msg.list | last }}", "\"x\"");
    check("{{ [msg.price, msg.n + 1] }}", "[1.10,4]");
    check("{{ {'r': msg.release} }}", r#"{"r":"f42"}"#);
    check("{{ msg.n / 2 }}", "1.5");
    check("{{ msg.n == 3 }}", "true");
    check("{{ 1.10 }}", "1.10");
    check("{{ event.time }}", "\"1970-01-01T00:00:00.000Z\"");
    check("{{ job }}", "\"0192-1\"");
    check("{{ attempt }}", "2");
    check("{{ result.id }}", "7");
    check(
        "{{ event.origin }}",
        r#"{"verified":false,"by":null,"via":"http"}"#,
    );
}

#[test]
fn everything_else_is_text() {
    check("plain", "\"plain\"");
    check("", "\"\"");
    check("a {b} %} }} #}", "\"a {b} %} }} #}\"");
    check("{{ msg.release }}-x", "\"f42-x\"");
    check(" {{ msg.n }}", "\" 3\"");
    check("{{ msg.n }}{{ msg.n }}", "\"33\"");
    check("{{ msg.n }}\n", "\"3\\n\"");
    check(
        "n={{ msg.price }} {{ msg.big }}",
        "\"n=1.10 123456789012345678901234567890\"",
    );
    check("{{ msg.flag }} {{ msg.none }}", "\"true none\"");
    check("-{{ msg.list }}", r#""-[1,1.50,\"x\"]""#);
    check("-{{ msg.map }}", r#""-{\"z\":1,\"a\":[2.0]}""#);
    check("a{# {{ msg.nope }} #}b", "\"ab\"");
    check("{% raw %}{{ x }}{% endraw %}", "\"{{ x }}\"");
    check("{{ '{{' }} x {{ '}}' }}", "\"{{ x }}\"");
    check("<{{ '<b>&\"' }}>", r#""<<b>&\">""#);
    check("a  {{- msg.n -}}  b", "\"a3b\"");
}

#[test]
fn undefined_is_an_error_that_names_it() {
    check_error("{{ msg.nope }}", "`msg.nope` is undefined");
    check_error("x{{ msg.a.b.c }}", "`msg.a` is undefined");
    check_error("x{{ msg.nope ~ 'a' }}", "`msg.nope` is undefined");
    check_error("x{{ msg.nope | lower }}", "`msg.nope` is undefined");
    check_error("{{ msg.nope or 'x' }}", "`msg.nope` is undefined");
    check_error("{{ msg.list[7] }}", "`msg.list[7]` is undefined");
    check_error("{{ [msg.nope] }}", "`msg.nope` is undefined");
    check_error("{% if msg.nope %}x{% endif %}", "`msg.nope` is undefined");
    check_error(
        "{% for x in msg.nope %}x{% endfor %}",
        "`msg.nope` is undefined",
    );
    check_error(
        "{{ msg.users | map(attribute='x') | list }}",
        "`item.x` is undefined",
    );
    check_error(
        "{{ msg.release < 3 }}",
        "cannot compute `msg.release < 3`: cannot order a string and a number",
    );
    check_error("{{ 1 / 0 }}", "cannot compute `1 / 0`: division by zero");
    check_error(
        "{{ 'a' if false }}",
        "cannot compute `\"a\" if false`: an `if` without `else` gave nothing",
    );
    check("{{ msg.nope | default('x') }}", "\"x\"");
    check("{{ msg.nope is defined }}", "false");
}

#[test]
fn unknown_names_are_found_when_parsed() {
    check_error("{{ evnt.id }}", "there is no `evnt` here");
    check_error("a {{ msg.x | uper }}", "there is no filter `uper`");
    check_error(
        "{{ lookup('pipe', 'id') }}",
        "there is no function `lookup`",
    );
    let error = Template::parse("ab {{ msg.x | uper }} {{").unwrap_err();
    assert_eq!(
        (None, "unexpected end of input, expected expression"),
        (error.hint.as_deref(), error.message.as_str())
    );
    let error = Template::parse("äb {{ msg.x | uper }}").unwrap_err();
    assert_eq!((15, 4), (error.offset, error.len));
    assert_eq!(Some("did you mean `upper`?"), error.hint.as_deref());
}

#[test]
fn payload_stays_text() {
    for hostile in [
        "{{ 1 + 1 }}",
        "{% for x in range(9) %}",
        "{# x #}",
        "{{",
        "}}",
        "{%",
        "{% raw %}",
        "{% endraw %}",
        "{{ '{{' }}",
        "{{ lookup('pipe', 'id') }}",
        "!unsafe x",
        "$ANSIBLE_VAULT;1.1;AES256",
        "\u{1b}[31m",
        "<script>",
        "\"'`",
        "a\nb\0",
        "\u{202e}x",
        "#{x}",
        "${x}",
        "%(x)s",
        "%s",
        "`id`",
        "$(id)",
        "; rm -rf",
        "--help",
        "~root",
        "../../x",
    ] {
        let body =
            serde_json::json!({"x": hostile, "l": [hostile], "m": {hostile: hostile}}).to_string();
        let json = serde_json::to_string(hostile).unwrap();
        assert_eq!(Ok(json.clone()), render("{{ msg.x }}", &body));
        assert_eq!(Ok(json.clone()), render("{{ msg.x }}{{ '' }}", &body));
        assert_eq!(Ok(json.clone()), render("{{ msg['x'] ~ '' }}", &body));
        assert_eq!(Ok(json.clone()), render("{{ msg.l | join }}", &body));
        assert_eq!(
            Ok(json.clone()),
            render(
                "{% set y = msg.x %}{% for z in [y] %}{{ z }}{% endfor %}",
                &body
            )
        );
        assert_eq!(
            Ok(json.clone()),
            render("{{ 'A' | replace('A', msg.x) }}", &body)
        );
        assert_eq!(
            Ok(json),
            render("{{ (msg.l | to_json | from_json)[0] }}", &body)
        );
        let map = serde_json::json!({hostile: hostile}).to_string();
        assert_eq!(Ok(map), render("{{ msg.m }}", &body));
    }
}

#[test]
fn bombs_are_errors() {
    let body = serde_json::json!({"s": "x".repeat(300), "n": 1_000_000_000_000_u64, "p": "(a*)*b".repeat(50), "b": "big", "l": vec!["y".repeat(1000); 900]}).to_string();
    for bomb in [
        "{{ 'a' * 10 ** 9 }}",
        "{{ msg.s * msg.n }}",
        "{{ msg.l * msg.n }}",
        "{{ [msg.s] * 100000 }}",
        "{{ [[msg.s] * 1000] * 1000 }}",
        "{{ [msg.s] * 100000 | join }}",
        "{{ ([msg.s] * 100000) | join }}",
        "{{ ([msg.b] * 190000) | unique }}",
        "{{ ([msg.l] * 1000) | flatten | join(msg.s) }}",
        "{{ (msg.s * 1000) | replace('x', msg.s) }}",
        "{{ (msg.s * 1000) | regex_replace('x', msg.s) }}",
        "{% for a in msg.s %}{% for b in msg.s %}{% for c in msg.s %}{{ a }}{% endfor %}{% endfor %}{% endfor %}",
        "{% for a in msg.l %}{% for b in msg.l %}{{ msg.l }}{% endfor %}{% endfor %}",
        "{{ [[[[[[msg.l] * 999] * 999] * 999] * 999] * 999] == [] }}x{{ [[[[[[msg.l] * 999] * 999] * 999] * 999] * 999] }}",
        "{% for a in msg.l * 100 %}{{ msg.s is match(msg.p ~ a) }}{% endfor %}",
        "{{ (msg.l * 2000) | unique | length }}",
        "{{ 7 ** 77 ** 7 }}",
    ] {
        let body = body.replace("\"big\"", &"9".repeat(100_000));
        let result = render(bomb, &body);
        assert!(
            result.is_err(),
            "{bomb}: {} bytes",
            result.unwrap_or_default().len()
        );
    }
}

#[test]
fn a_template_knows_what_it_uses() {
    let uses = |text: &str| Template::parse(text).unwrap().uses_event();
    assert!(uses("{{ event.topic }}.yml"));
    assert!(uses("a{% if msg.x %}b{% endif %}"));
    assert!(uses("{% for x in [1] %}{{ x }}{{ result }}{% endfor %}"));
    assert!(uses("{% set x = msg.y %}{{ x }}"));
    assert!(!uses("{{ rule }}-{{ job }}-{{ attempt }}"));
    assert!(!uses("plain"));
    assert_eq!(Some("a } b"), Template::parse("a } b").unwrap().is_static());
    assert_eq!(
        Some("a {{ b"),
        Template::parse("a {% raw %}{{ b{% endraw %}")
            .unwrap()
            .is_static()
    );
    assert_eq!(Some(""), Template::parse("").unwrap().is_static());
    assert_eq!(None, Template::parse("{{ 1 }}").unwrap().is_static());
    assert_eq!(
        vec!["event.topic", "msg.a"],
        Template::parse("{{ event.topic }}{{ msg.a }}")
            .unwrap()
            .paths()
    );
}

#[test]
fn parsed_texts_are_shared_by_threads() {
    fn check<T: Send + Sync + 'static>() {}
    check::<Template>();
    check::<crate::expr::Condition>();
}
