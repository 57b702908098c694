//! What holds for every expression: it prints to a text of the same tree, and
//! the short way of judging agrees with the long one.

use proptest::prelude::*;

use super::{BODY, event};
use crate::expr::{Condition, Scope};

/// Texts of leaves, with undefined and impossible ones among them.
fn leaf() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "1",
        "0",
        "-2",
        "1.50",
        "1e400",
        "'a'",
        "''",
        "true",
        "false",
        "none",
        "[1, 2]",
        "[]",
        "{'a': 1}",
        "msg",
        "msg.n",
        "msg.state",
        "msg.tags",
        "msg.jobs",
        "msg.nope",
        "msg.a.b",
        "event.topic",
        "result",
        "msg['x y']",
        "1 / 0",
        "\"q\\\"\\\\\\n\\u00e4\"",
        "(1 if false)",
    ])
    .prop_map(str::to_owned)
}

fn expression() -> impl Strategy<Value = String> {
    leaf().prop_recursive(5, 40, 3, |inner| {
        let binary = prop::sample::select(vec![
            "and", "or", "and", "or", "==", "!=", "<", "<=", ">", ">=", "in", "not in", "+", "-", "*", "/", "//",
            "%", "**", "~",
        ]);
        let suffix = prop::sample::select(vec![
            " is defined", " is not defined", " is none", " is not match('a')", " is in([1])", " is select('eq', 1)",
            " is not selectattr('id', '>', 1)", " | default(3)", " | length", " | map('upper') | list",
            " | map(attribute='id.0') | list", " | selectattr('a.b') | list", " | reject('odd') | list",
            " | sort(reverse=true, attribute='x')", " | replace('a', 'b')", ".a", "['x-y']", "[0]", "[1:]", "[:-1]",
            "[::2]", ".get('a')", ".items()", " | regex_search('(a)', '\\\\1', ignorecase=true)", " | int",
        ]);
        prop_oneof![
            4 => (inner.clone(), binary, inner.clone()).prop_map(|(a, op, b)| format!("({a}) {op} ({b})")),
            2 => inner.clone().prop_map(|a| format!("not ({a})")),
            1 => inner.clone().prop_map(|a| format!("-({a})")),
            3 => (inner.clone(), suffix).prop_map(|(a, suffix)| format!("({a}){suffix}")),
            1 => (inner.clone(), inner.clone(), inner.clone()).prop_map(|(a, b, c)| format!("({a}) if ({b}) else ({c})")),
            1 => (inner.clone(), inner.clone(), inner.clone()).prop_map(|(a, b, c)| format!("({a}) < ({b}) <= ({c})")),
            1 => (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("[({a}), ({b})]")),
            1 => (inner.clone(), inner).prop_map(|(a, b)| format!("{{'k': ({a}), 'x y': ({b})}}")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn a_printed_expression_parses_to_the_same_tree(text in expression()) {
        let parsed = Condition::parse(&text).unwrap();
        let printed = parsed.to_string();
        let again = Condition::parse(&printed);
        prop_assert!(again.is_ok(), "{text}\n{printed}\n{again:?}");
        prop_assert_eq!(&parsed, &again.unwrap(), "{}\n{}", text, printed);
    }

    #[test]
    fn the_short_way_agrees_with_the_trace(text in expression()) {
        let event = event(BODY);
        let scope = Scope::of_event(&event, "r");
        let parsed = Condition::parse(&text).unwrap();
        let (truth, traces) = parsed.trace(&scope);
        prop_assert_eq!(parsed.holds(&scope), truth, "{} {:#?}", text, traces);
        prop_assert_eq!(traces[0].result, truth);
        // Whatever is unknown says why, and only the parts are known by their depth.
        prop_assert!(traces.iter().skip(1).all(|trace| trace.depth > 0));
    }

    #[test]
    fn any_text_is_an_expression_or_an_error_inside_it(text in "\\PC{0,40}|[a-z0-9.()\\[\\]{}'\"|!&=<> ,:%#-]{0,40}") {
        if let Err(error) = Condition::parse(&text) {
            prop_assert!(text.get(error.offset..error.offset + error.len).is_some(), "{:?}", error);
        }
    }
}
