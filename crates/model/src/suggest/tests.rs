use super::nearest;

#[track_caller]
fn check(word: &str, expect: Option<&str>) {
    let keys = [
        "name",
        "on",
        "when",
        "run",
        "retry",
        "on_lost",
        "description",
    ];
    assert_eq!(expect, nearest(word, keys), "nearest to {word:?}");
}

#[test]
fn a_near_miss_finds_the_word() {
    check("nmae", Some("name"));
    check("Name", Some("name"));
    check("whn", Some("when"));
    check("rtery", Some("retry"));
    check("onlost", Some("on_lost"));
    check("discription", Some("description"));
}

#[test]
fn a_strange_word_finds_nothing() {
    check("throttle", None);
    check("x", None);
    check("", None);
    check("descriptions-of-everything", None);
    check(&"x".repeat(10_000), None);
}
