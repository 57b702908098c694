//! Conditions: what is printed is the same condition, a trace says what the
//! hot path says, and both end in time (libFuzzer's own limit).

use rules::expr::{Condition, Scope};
use serde_json::{Value, json};

use crate::event;

/// A condition, a line break, and the body of the event.
pub const SEEDS: &[&str] = &[
    "msg.state == 'failed' and msg.count > 3\n{\"state\": \"failed\", \"count\": 4}",
    "event.body.a.b[0] is defined or not msg.x\n{\"a\": {\"b\": [1]}}",
    "msg.name is match('^a+b') or msg.name is search('c$')\n{\"name\": \"aaab\"}",
    "msg.tags | select('match', 'f') | list | length > 0\n{\"tags\": [\"f1\"]}",
    "msg.n in [1, 2.0, 1e3] and msg.n * 2 // 3 % 2 == 0\n{\"n\": 1000}",
    "msg.text ~ 'x' == \"\\n\" or msg.m | default({'a': 1}) == {}\n{}",
    "(msg.a if msg.b else msg.c) is contains('x')\n{\"a\": [\"x\"], \"b\": true}",
    "event.topic is glob('org.*') and -msg.n < 12345678901234567890123\n{\"n\": 0.1}",
];

pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (text, body) = text.rsplit_once('\n').unwrap_or((text, ""));
    let Ok(condition) = Condition::parse(text) else {
        return;
    };
    let printed = condition.to_string();
    let again = Condition::parse(&printed);
    let again = again.unwrap_or_else(|error| panic!("`{printed}` cannot be read: {error}"));
    assert_eq!(printed, again.to_string(), "{text}");
    let body: Value = serde_json::from_str(body).unwrap_or_else(|_| json!({}));
    let event = event(&body);
    let scope = Scope::of_event(&event, "rule");
    let truth = condition.holds(&scope);
    let (traced, traces) = condition.trace(&scope);
    assert_eq!(truth, traced, "{text}");
    assert_eq!(truth, again.holds(&scope), "{text}, {printed}");
    assert!(!traces.is_empty(), "{text}");
    if let Some(constant) = condition.constant() {
        assert_eq!(constant, truth, "{text}");
    }
}
