use model::ports::Output;

use super::*;

#[track_caller]
fn check_ago(seconds: i64, expect: &str) {
    let now = Timestamp::from_millis(1_795_214_580_000);
    let at = Timestamp::from_millis(now.as_millis() - seconds * 1_000);
    assert_eq!(expect, ago(at, now), "{seconds}");
}

#[test]
fn a_moment_is_said_as_people_say_it() {
    check_ago(0, "now");
    check_ago(1, "1 s ago");
    check_ago(59, "59 s ago");
    check_ago(60, "1 min ago");
    check_ago(7_199, "1 h ago");
    check_ago(86_400 * 3, "3 d ago");
    check_ago(86_400 * 30, "2026-10-21");
    check_ago(-30, "in 30 s");
}

#[track_caller]
fn check_between(millis: i64, expect: &str) {
    let from = Timestamp::from_millis(1_000);
    assert_eq!(
        expect,
        between(from, Timestamp::from_millis(1_000 + millis))
    );
}

#[test]
fn a_duration_is_as_exact_as_it_is_short() {
    check_between(0, "0.00 s");
    check_between(125, "0.12 s");
    check_between(9_990, "9.99 s");
    check_between(48_900, "48 s");
    check_between(185_000, "3 min 5 s");
    check_between(7_620_000, "2 h 7 min");
    check_between(-5_000, "0.00 s");
}

#[test]
fn the_shown_output_is_the_end_of_it_from_a_line_on() {
    let mut bytes = b"first line\n".to_vec();
    bytes.extend(std::iter::repeat_n(b"0123456789abcde\n", 5_000).flatten());
    bytes.extend_from_slice(b"half a character \xc3");
    let shown = job::output_view(&Output {
        attempt: 1,
        next: bytes.len() as u64,
        bytes,
        is_open: false,
    });
    assert!(shown.text.len() <= job::MAX_OUTPUT_TAIL + 3);
    assert!(shown.text.starts_with("0123456789abcde\n"));
    assert!(shown.text.ends_with("half a character \u{fffd}"));
    assert_eq!(Some("15 KiB".to_owned()), shown.skipped);
}

#[test]
fn links_carry_topics_as_they_are() {
    assert_eq!("/", home_link("", None, None));
    assert_eq!(
        "/?topic=org.%2A.%23%26x%3Dž".replace('ž', "%C5%BE"),
        home_link("org.*.#&x=ž", None, None)
    );
    assert_eq!(
        "/?topic=a&cursor=c1f&refresh=5",
        home_link("a", Some(Cursor(31)), Some(5))
    );
}
