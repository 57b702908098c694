use super::Clean;

#[track_caller]
fn check(text: &str, expect: &str) {
    assert_eq!(expect, Clean(text).to_string());
}

#[test]
fn text_from_outside_stays_on_one_line_and_moves_no_cursor() {
    check("plain ünïcode 字", "plain ünïcode 字");
    check("a\nb", r"a\u{a}b");
    check("\x1b[31mred\x1b[0m", r"\u{1b}[31mred\u{1b}[0m");
    check("a\rb\u{7f}", r"a\u{d}b\u{7f}");
    check("c1 \u{9b}31m", r"c1 \u{9b}31m");
    check("\u{202e}gnp.exe", r"\u{202e}gnp.exe");
    check("a\u{2028}b", r"a\u{2028}b");
}
