//! `if`, `for`, `set`, `with`, and the refusal of the others.

use super::{check, check_error};
use crate::template::Template;

#[test]
fn statements_choose_and_repeat() {
    check("{% if msg.flag %}a{% else %}b{% endif %}", "\"a\"");
    check(
        "{% if msg.n > 3 %}a{% elif msg.n == 3 %}b{% else %}c{% endif %}",
        "\"b\"",
    );
    check(
        "{% if msg.x is defined and msg.x.y == 1 %}a{% endif %}",
        "\"\"",
    );
    check(
        "{% for x in msg.list %}[{{ x }}]{% endfor %}",
        "\"[1][1.50][x]\"",
    );
    check(
        "{% for u in msg.users if u.age > 3 %}{{ u.name }}{% endfor %}",
        "\"bob\"",
    );
    check("{% for x in [] %}x{% else %}none{% endfor %}", "\"none\"");
    check(
        "{% for k, v in msg.map.items() %}{{ k }}={{ v }};{% endfor %}",
        "\"z=1;a=[2.0];\"",
    );
    check("{% for k in msg.map %}{{ k }}{% endfor %}", "\"za\"");
    check(
        "{% for x in msg.list %}{{ loop.index }}{{ ',' if not loop.last else '' }}{% endfor %}",
        "\"1,2,3\"",
    );
    check("{% set a = msg.n + 1 %}{{ a }}", "\"4\"");
    check(
        "{% set a = 1 %}{% for x in [1] %}{% set a = 2 %}{% endfor %}{{ a }}",
        "\"1\"",
    );
    check(
        "{% set a = 1 %}{% if true %}{% set a = 2 %}{% endif %}{{ a }}",
        "\"2\"",
    );
    check("{% with a = 1, b = 2 %}{{ a + b }}{% endwith %}", "\"3\"");
    check(
        "{% for x in [1, 2] %}{% for x in [3] %}{{ x }}{% endfor %}{{ x }}{% endfor %}",
        "\"3132\"",
    );
}

#[test]
fn variables_end_with_their_block() {
    check_error(
        "{% for x in [1] %}{% endfor %}{{ x }}",
        "there is no `x` here",
    );
    check_error(
        "{% with x = 1 %}{% endwith %}{{ x }}",
        "there is no `x` here",
    );
    check_error("{{ loop.index }}", "there is no `loop` here");
    check_error(
        "{% if false %}{% set x = 1 %}{% endif %}{{ x }}",
        "`x` is undefined",
    );
    check_error(
        "{% set event = 1 %}",
        "`event` cannot be set: it is the rule's own",
    );
    check_error(
        "{% for a, b in [[1]] %}{% endfor %}",
        "cannot compute `[[1]]`: an item is a list and does not come apart into 2 variables",
    );
    check_error(
        "{% for a in 3 %}{% endfor %}",
        "cannot compute `3`: expected a list, found a number",
    );
}

#[test]
fn other_statements_are_refused() {
    for text in [
        "{% include 'x' %}",
        "{% import 'x' as y %}",
        "{% extends 'x' %}",
        "{% block x %}{% endblock %}",
        "{% macro x() %}{% endmacro %}",
        "{% autoescape true %}{% endautoescape %}",
        "{% filter upper %}x{% endfilter %}",
        "{% set x %}y{% endset %}",
        "{% do msg.get('x') %}",
        "{% for x in msg recursive %}{% endfor %}",
        "{% for x in msg %}",
        "{% endfor %}",
        "{% if %}",
        "{{ }}",
        "{{ msg.a",
        "{% raw %}",
        "{# open",
        "{{ msg.a }",
    ] {
        assert!(Template::parse(text).is_err(), "{text}");
    }
}

#[test]
fn deep_statements_are_refused_without_harm() {
    for text in [
        "{% if 1 %}".repeat(6_000),
        "{% for x in msg %}".repeat(3_000),
        "{% if 1 %}".to_owned() + &"{% elif 1 %}".repeat(5_000) + "{% endif %}",
        "{{ ".repeat(20_000),
        "{% if 1 %}".repeat(90) + &"{% endif %}".repeat(90),
    ] {
        assert!(Template::parse(&text).is_err(), "{}", text.len());
    }
    let fine = "{% if 1 %}".repeat(20) + &"{% endif %}".repeat(20);
    assert!(Template::parse(&fine).is_ok());
}
