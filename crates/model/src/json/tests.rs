use super::*;

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[track_caller]
fn check_same(left: &str, right: &str, expect: bool) {
    let same = ContentHash::of("t", &json(left)) == ContentHash::of("t", &json(right));
    assert_eq!(expect, same, "{left} and {right}");
}

#[test]
fn the_hash_ignores_only_the_order_of_keys() {
    check_same(r#"{"a":1,"b":2}"#, r#"{"b":2,"a":1}"#, true);
    check_same(r#"[1,2]"#, r#"[2,1]"#, false);
    check_same(r#"["ab"]"#, r#"["a","b"]"#, false);
    check_same(r#""1""#, "1", false);
    check_same("1.0", "1", false);
}

#[test]
fn the_hash_covers_the_topic() {
    assert_ne!(
        ContentHash::of("a", &Value::Null),
        ContentHash::of("b", &Value::Null)
    );
}

#[test]
fn numbers_keep_their_text() {
    for text in [
        "1.10",
        "1e400",
        "123456789012345678901234567890",
        "-0",
        "0.1",
    ] {
        assert_eq!(text, json(text).to_string().replace("e+", "e"));
    }
}

#[test]
fn depth_counts_nesting() {
    assert_eq!(0, depth(&json("1")));
    assert_eq!(1, depth(&json("[]")));
    assert_eq!(3, depth(&json(r#"{"a":[{}]}"#)));
}

#[test]
fn parsing_keeps_the_text_of_exponents() {
    let check = |text: &str| assert_eq!(text, parse(text).unwrap().to_string());
    check("[1.0,1e2,1E+2,1e-05,-0,0.10,1e400,-1.50E-7]");
    check(r#"{"1e5":"1e5","a\"1e6":[1E7,{"b":"\\","c":1e8}],"d":123456789012345678901234567890}"#);
    check("1E2");
    check(r#"{"a":1,"b":"x"}"#);
    assert!(parse("1e").is_err());
    assert!(parse(r#"{"a": 1e5"#).is_err());
    assert_eq!(
        r#"{"a":1e+6,"b":1e+7}"#,
        parse(r#"{"a": 1E5, "a": 1E6, "b": 1E7}"#)
            .unwrap()
            .to_string()
    );
}
