//! The corpus of hostile values: every one comes out of a template as it went
//! in, and a condition compares it as the data that it is.

use model::verdict::Truth;
use serde_json::Value;

use crate::{
    expr::{Condition, Scope, tests::event},
    template::Template,
};

#[test]
fn every_value_of_the_corpus_is_data() {
    assert!(testkit::corpus::VALUES.len() >= 60);
    for (name, json) in testkit::corpus::VALUES {
        let value: Value = serde_json::from_str(json).unwrap();
        let event = event(&format!(r#"{{"x": {json}, "list": [{json}]}}"#));
        let scope = Scope::of_event(&event, "r");
        let render = |template: &str| {
            let parsed = Template::parse(template).unwrap();
            parsed
                .render(&scope)
                .unwrap_or_else(|error| panic!("{name}: {error}"))
        };
        // The text of a number is part of the value: compare what is written.
        let same = |found: Value, what: &str| {
            assert_eq!(value.to_string(), found.to_string(), "{name} {what}");
        };
        same(render("{{ msg.x }}"), "alone");
        same(render("{{ msg.list[0] }}"), "as an item");
        same(render("{{ msg.list | first }}"), "through a filter");
        same(render("{{ {'k': msg.x}.k }}"), "in a mapping");
        let text = match &value {
            Value::String(text) => text.clone(),
            Value::Null => "none".to_owned(),
            other => other.to_string(),
        };
        for template in [
            "{{ msg.x }}{{ '' }}",
            "{{ msg.x ~ '' }}",
            "{{ msg.list | join }}",
            "{% for x in msg.list %}{{ x }}{% endfor %}",
            "{% set x = msg.x %}{% if true %}{{ x }}{% endif %}",
            "{{ msg.x | string }}",
        ] {
            assert_eq!(
                Value::String(text.clone()),
                render(template),
                "{name} {template}"
            );
        }
        let equal = Condition::parse("msg.x == msg.list[0] and msg.x in msg.list").unwrap();
        assert_eq!(Truth::True, equal.holds(&scope), "{name}");
        let (truth, traces) = equal.trace(&scope);
        assert_eq!((Truth::True, 3), (truth, traces.len()), "{name}");
        // A person writes no condition of more than 64 KiB.
        if let Value::String(text) = &value
            && json.len() < 10_000
        {
            let literal = Value::String(text.clone()).to_string();
            let written = Condition::parse(&format!("msg.x == {literal}")).unwrap();
            assert_eq!(Truth::True, written.holds(&scope), "{name}");
            assert_eq!(
                written,
                Condition::parse(&written.to_string()).unwrap(),
                "{name}"
            );
        }
    }
}
