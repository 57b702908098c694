use serde_json::Value;

use super::document;

#[track_caller]
fn check(value: &str, expect: &str) {
    let value: Value = serde_json::from_str(value).unwrap();
    let mut top = model::json::Object::new();
    top.insert("v".to_owned(), value);
    assert_eq!(format!("---\n\"v\":{expect}\n"), document(&top));
}

#[test]
fn texts_are_quoted_ascii_and_unsafe() {
    check(r#""plain""#, r#" !unsafe "plain""#);
    check(r#""{{ x }}""#, r#" !unsafe "{{ x }}""#);
    check(r#""a\"b\\c""#, r#" !unsafe "a\"b\\c""#);
    check(
        r#""a\nb\u0000\u007f\u0085""#,
        r#" !unsafe "a\x0ab\x00\x7f\x85""#,
    );
    check(
        r#""\u2028\ufeff\ud83d\ude00""#,
        r#" !unsafe "\u2028\ufeff\U0001f600""#,
    );
    check(r#""""#, r#" """#);
}

#[test]
fn numbers_are_those_of_yaml_1_1() {
    check("1", " 1");
    check("-0", " -0");
    check(
        "123456789012345678901234567890",
        " 123456789012345678901234567890",
    );
    check("1.10", " 1.10");
    check("1e3", " 1.0e+3");
    check("1E+2", " 1.0e+2");
    check("-2.5e-7", " -2.5e-7");
    check("1e+400", r#" "1e+400""#);
    check("1e-400", " 1.0e-400");
}

#[test]
fn texts_that_look_like_something_else_stay_texts() {
    for text in [
        "yes",
        "No",
        "~",
        "null",
        "=",
        "<<",
        "012",
        "0o17",
        "1_000",
        "1:30",
        "0x1F",
        ".inf",
        "-.INF",
        ".nan",
        "1e3",
        "1.5",
        "+1",
        "-0",
        "2001-01-01",
        "2001-12-14t21:59:43.10-05:00",
        "2001-12-14 21:59:43Z",
        "0b1010",
        ".5",
    ] {
        check(&format!("\"{text}\""), &format!(" \"{text}\""));
    }
    for text in [
        "yes x", "a", "1 y", "- x", "1{", "12(3)", ".info", "1.0.y", "e3",
    ] {
        check(&format!("\"{text}\""), &format!(" !unsafe \"{text}\""));
    }
}

#[test]
fn words_are_words() {
    check("null", " null");
    check("true", " true");
    check("false", " false");
    check("[]", " []");
    check("{}", " {}");
}

#[test]
fn containers_are_blocks_and_keys_are_unsafe() {
    check("[1, [2, []]]", "\n - 1\n -\n  - 2\n  - []");
    check(
        r#"{"a": {"{{ k }}": 1}, "": "x"}"#,
        "\n !unsafe \"a\":\n  !unsafe \"{{ k }}\": 1\n \"\": !unsafe \"x\"",
    );
}

#[test]
fn a_long_key_is_announced() {
    let key = "k".repeat(600);
    check(
        &format!(r#"{{"{key}": [1]}}"#),
        &format!("\n ? !unsafe \"{key}\"\n :\n  - 1"),
    );
}
