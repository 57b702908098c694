use serde_json::Value;

use super::same;

#[test]
fn sameness_is_by_value() {
    let check = |expect: bool, sent: &str, got: &str| {
        let sent: Value = serde_json::from_str(sent).unwrap();
        let got: Value = serde_json::from_str(got).unwrap();
        assert_eq!(expect, same(&sent, &got), "{sent} {got}");
    };
    check(true, "1e3", "1000.0");
    check(true, "-0", "0");
    check(false, "9007199254740993", "9007199254740992");
    check(false, "1e3", "\"1e3\"");
    check(false, "1", "\"1\"");
    check(true, "{\"a\": [1.0]}", "{\"a\": [1]}");
    check(false, "{\"a\": 1}", "{\"a\": 1, \"b\": 2}");
}
