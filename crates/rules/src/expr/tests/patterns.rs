//! Regular expressions that take long.

use model::verdict::Truth;

use super::{Scope, check, event, parse};

/// Minutes, were it paid for by the text alone.
#[test]
fn a_pattern_is_paid_for_by_its_size_and_the_text() {
    let large = "a".repeat(900_000);
    let body =
        format!(r#"{{"text": "{large}", "pattern": "(a{{100}}){{100}}b", "glob": "*a*a*b"}}"#);
    for condition in [
        "msg.text is search('(a{100}){100}b')",
        "msg.text is match('(a{100}){100}b')",
        "msg.text is search(msg.pattern)",
        "msg.text | regex_search('(a{100}){100}b') is none",
        "msg.text | regex_findall(msg.pattern) == []",
        "msg.text | regex_replace(msg.pattern, '') == ''",
        "msg.text is search('(a|b)*a(a|b){60}')",
        // Each match is certain only at the end of the text.
        "msg.text | regex_findall('a|a.*b') == []",
        "msg.text | regex_replace('a(.*b)?', '') == ''",
    ] {
        let event = event(&body);
        let scope = Scope::of_event(&event, "some-rule");
        let (truth, traces) = parse(condition).trace(&scope);
        assert_eq!(Truth::Unknown, truth, "{condition}");
        let told = format!("{traces:?}");
        assert!(
            told.contains("it takes too many steps"),
            "{condition}: {told}"
        );
    }
    // What people write.
    for (condition, expect) in [
        (
            r"msg.text is search('^ERROR .* timeout after \\d+ms')",
            "false",
        ),
        (r"msg.text is search('\\w+@\\w+[.]example[.]org')", "false"),
        ("msg.text is search('aaab', ignorecase=true)", "false"),
        ("msg.text is glob(msg.glob)", "false"),
        ("msg.text | regex_findall('a+') | length == 1", "true"),
    ] {
        check(condition, &body, expect);
    }
    let log = "17:04:01 warning: retry 12 of job\\n".repeat(1_000);
    let body = format!(r#"{{"log": "{log}", "id": "3f2b8c9e-1d4a-4b6f-9c7e-5a8d2e1f0b3c"}}"#);
    for condition in [
        r"msg.log | regex_findall('\\d+') | length == 4000",
        r"msg.log | regex_findall('(?m)^(\\S+) (\\w+):') | length == 1000",
        r"msg.id is match('[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}')",
        r"msg.id is search('(?i)^[\\w.+-]{1,12}[^@ ]')",
    ] {
        check(condition, &body, "true");
    }
}
