use super::{Utf8Pieces, block, json, line};

#[track_caller]
fn check(input: &str, expected: &str) {
    assert_eq!(expected, line(input));
    assert_eq!(expected, block(input));
}

#[test]
fn text_stays_what_it_is() {
    check("plain", "plain");
    check("grüße 日本 😀", "grüße 日本 😀");
    check("{{ lookup('pipe', 'id') }}", "{{ lookup('pipe', 'id') }}");
    check("a\\nb", "a\\nb");
}

#[test]
fn control_sequences_are_shown() {
    check("\u{1b}[31mred\u{1b}[0m", "\\x1b[31mred\\x1b[0m");
    check("\u{1b}]0;title\u{7}", "\\x1b]0;title\\x07");
    check("\u{9b}31m", "\\x9b31m");
    check("nul\0del\u{7f}", "nul\\x00del\\x7f");
    check("back\u{8}space", "back\\x08space");
}

#[test]
fn characters_that_reorder_or_hide_are_shown() {
    check("a\u{202e}b", "a\\u{202e}b");
    check("\u{2066}x\u{2069}", "\\u{2066}x\\u{2069}");
    check("zero\u{200b}width", "zero\\u{200b}width");
    check("tag\u{e0041}", "tag\\u{e0041}");
    check("line\u{2028}break", "line\\u{2028}break");
}

#[test]
fn a_line_has_no_breaks_and_a_block_keeps_them() {
    assert_eq!("a\\nb\\tc\\rd", line("a\nb\tc\rd"));
    assert_eq!("a\nb\tc\nd\\re", block("a\nb\tc\r\nd\re"));
}

#[test]
fn a_json_document_stays_the_same_document() {
    for hostile in [
        "\u{9b}31m",
        "\u{202e}",
        "\u{e0041}",
        "\u{1b}[0m",
        "\u{feff}",
    ] {
        let document = serde_json::json!({ "k": hostile });
        let printed = json(&format!("{document:#}"));
        assert!(printed.is_ascii(), "{printed}");
        let read: serde_json::Value = serde_json::from_str(&printed).unwrap();
        assert_eq!(document, read);
    }
}

#[test]
fn characters_cut_in_two_arrive_whole() {
    let bytes = "a日😀é".as_bytes();
    for cut in 0..=bytes.len() {
        let mut pieces = Utf8Pieces::default();
        let mut text = pieces.decode(&bytes[..cut]);
        text.push_str(&pieces.decode(&bytes[cut..]));
        assert_eq!("a日😀é", text, "cut at {cut}");
    }
    let mut pieces = Utf8Pieces::default();
    assert_eq!("\u{fffd}", pieces.decode(b"\xff"));
    assert_eq!("\u{fffd}x", pieces.decode(b"\xe6x"));
}
