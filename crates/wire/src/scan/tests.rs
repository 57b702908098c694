use super::*;

#[track_caller]
fn check_outline(text: &str, depth: usize, commas: usize) {
    assert_eq!(
        Outline { depth, commas },
        outline(text.as_bytes()),
        "{text}"
    );
}

#[test]
fn an_outline_counts_brackets_outside_of_strings() {
    check_outline("", 0, 0);
    check_outline("1", 0, 0);
    check_outline("[]", 1, 0);
    check_outline("[1,2,[3,4]]", 2, 2);
    check_outline(r#"{"[[[": "]]],,,\"[["}"#, 1, 0);
    check_outline(r#"["\\", "\\\"["]"#, 1, 1);
    check_outline("]]]][", 1, 0);
    check_outline(&"[".repeat(100_000), 100_000, 0);
}

#[track_caller]
fn check_keys(text: &str, expect: &[(&str, KeyFault)]) {
    let found: Vec<(String, KeyFault)> = keys(text, 10)
        .into_iter()
        .map(|bad| (bad.path.join("."), bad.fault))
        .collect();
    let expect: Vec<(String, KeyFault)> = expect
        .iter()
        .map(|(path, fault)| ((*path).to_owned(), fault.clone()))
        .collect();
    assert_eq!(expect, found, "{text}");
}

#[test]
fn a_key_that_stands_twice_is_found_however_it_is_written() {
    check_keys(r#"{"a": 1, "b": "a", "c": ["a", "a"]}"#, &[]);
    check_keys(r#"{"a": {"a": {"a": 1}}, "b": {"a": 1}}"#, &[]);
    check_keys(r#"{"a": 1, "a": 2}"#, &[("a", KeyFault::Repeated)]);
    check_keys(r#"{"a": 1, "\u0061": 2}"#, &[("a", KeyFault::Repeated)]);
    check_keys(
        r#"{"x": [{"y": 1, "y": [], "y": {}}]}"#,
        &[("x.y", KeyFault::Repeated), ("x.y", KeyFault::Repeated)],
    );
    check_keys(r#"{"\"": 1, "\\": 2}"#, &[]);
    check_keys(r#"{"": 1, "": 2}"#, &[("", KeyFault::Repeated)]);
}

#[test]
fn a_key_that_stands_twice_is_found_among_many() {
    let keys: Vec<String> = (0..100).map(|n| format!("\"k{n}\": 0")).collect();
    check_keys(&format!("{{{}}}", keys.join(",")), &[]);
    check_keys(
        &format!("{{{}, \"k3\": 1, \"k99\": 1}}", keys.join(",")),
        &[("k3", KeyFault::Repeated), ("k99", KeyFault::Repeated)],
    );
}

#[test]
fn a_mark_of_the_json_library_is_found() {
    check_keys(
        r#"{"body": {"$serde_json::private::Number": "1"}}"#,
        &[("body.$serde_json::private::Number", KeyFault::Reserved)],
    );
    check_keys(
        r#"{"body": {"\u0024serde_json::private::RawValue": "[[["}}"#,
        &[("body.$serde_json::private::RawValue", KeyFault::Reserved)],
    );
}
