use std::time::Duration;

use proptest::prelude::*;

use super::{Data, Node, Reader, parse_duration, parse_size};

fn problems(reader: Reader<'_>) -> String {
    let lines: Vec<String> = reader
        .finish()
        .into_iter()
        .map(|found| format!("{}:{} {}", found.line, found.column, found.code))
        .collect();
    lines.join(", ")
}

/// `text` is this JSON.
#[track_caller]
fn means(text: &str, json: &str) {
    let mut reader = Reader::new("x.yml", text);
    let node = reader.parse();
    assert_eq!("", problems(reader), "problems in {text:?}");
    assert_eq!(json, node.unwrap().to_json().to_string(), "{text:?}");
}

/// `text` has exactly these problems.
#[track_caller]
fn refused(text: &str, expect: &str) {
    let mut reader = Reader::new("x.yml", text);
    reader.parse();
    assert_eq!(expect, problems(reader), "problems in {text:?}");
}

#[test]
fn scalars_follow_the_core_schema() {
    means("on: yes", r#"{"on":"yes"}"#);
    means(
        "[no, off, y, True, ~, null, '1']",
        r#"["no","off","y",true,null,null,"1"]"#,
    );
    means(
        "[1, 007, +3, -0, 0x1F, 0o17, 1.50, .5, 1e3]",
        "[1,7,3,-0,31,15,1.50,0.5,1e+3]",
    );
    means(
        "[1_000, 2026-01-01, 12:30, 1.2.3]",
        r#"["1_000","2026-01-01","12:30","1.2.3"]"#,
    );
    means(
        "123456789012345678901234567890",
        "123456789012345678901234567890",
    );
    means("a: !!str 1", r#"{"a":"1"}"#);
    means("", "null");
    means("\u{feff}a: 1", r#"{"a":1}"#);
    means("a: |\n  x\n  y\n", r#"{"a":"x\ny\n"}"#);
    means("a: &x [1]\nb: *x\n", r#"{"a":[1],"b":[1]}"#);
}

#[test]
fn what_reads_differently_elsewhere_is_refused() {
    refused("a: 1\na: 2\n", "2:1 duplicate-key");
    refused("a: &x {b: 1}\nc:\n  <<: *x\n", "3:3 yaml-feature");
    refused("1: x\n", "1:1 yaml-feature");
    refused("true: x\n[a]: y\n", "1:1 yaml-feature, 2:1 yaml-feature");
    refused("a: !vault x\n", "1:4 yaml-feature");
    refused("a: 1\n---\nb: 2\n", "2:1 yaml-feature");
    refused("a: .inf\n", "1:4 bad-value");
    refused("a: &x [*x]\n", "1:8 yaml-feature");
}

#[test]
fn broken_text_says_where() {
    refused("a: [1\n", "2:1 yaml-syntax");
    refused("a:\n\tb: 1\n", "2:2 yaml-syntax");
    refused("a: \"\u{1b}[31m\"\n", "1:5 yaml-syntax");
    refused("a: *nothing\n", "1:4 yaml-syntax");
    refused("a: b: c\n", "1:5 yaml-syntax");
}

#[track_caller]
fn hinted(text: &str, expect: &str) {
    let mut reader = Reader::new("x.yml", text);
    if let Some(node) = reader.parse()
        && let Some(mut fields) = reader.mapping(&node, "a rule")
    {
        fields.required(&mut reader, "on");
    }
    let found = reader.finish();
    let hint = found[0].hint.as_deref().unwrap_or("no hint");
    assert!(hint.contains(expect), "{text:?} is told `{hint}`");
}

#[test]
fn what_yaml_reads_differently_has_a_hint() {
    hinted("on: *.b\n", "starts with `*` must stand in quotes");
    hinted("on: #\n", "`#` begins a comment");
    hinted("on:   #.x\n", "`#` begins a comment");
    hinted("on:\n", "no hint");
    hinted("when: \"a\" == msg.x\n", "quotes of the other kind");
    hinted("when: 'a' == msg.x\n", "quotes of the other kind");
    hinted(
        "when: msg.x == \"a: b\"\n",
        "holds `: ` must stand in quotes",
    );
    hinted("- a: 1\n  b: 2\n c: 3\n", "begin in one column");
    hinted("rules: [\n", "no hint");
    hinted("a: 1\n  b: 2\n", "begin in one column");
    hinted("a:\n\t- b\n", "indent with spaces");
}

#[test]
fn nothing_makes_the_tree_explode() {
    refused(&"[".repeat(200), "1:65 yaml-limit");
    refused(&"- ".repeat(100_000), "1:129 yaml-limit");
    let levels = (1..12).map(|level| {
        let below = format!("*a{},", level - 1).repeat(10);
        format!("a{level}: &a{level} [{below}]\n")
    });
    let laughs: String = std::iter::once("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned())
        .chain(levels)
        .collect();
    let mut reader = Reader::new("x.yml", &laughs);
    assert!(reader.parse().is_none());
    assert!(problems(reader).ends_with("yaml-limit"));
    let mut reader = Reader::new("x.yml", "a: &a {a: &b {b: x}}\nc: [*a, *b]\n");
    assert!(reader.parse().is_some());
    let huge = "#".repeat((10 << 20) + 1);
    refused(&huge, "1:1 yaml-limit");
}

#[test]
fn problems_in_one_file_are_bounded() {
    let text = "1: x\n".repeat(5_000);
    let mut reader = Reader::new("x.yml", &text);
    reader.parse();
    let found = reader.finish();
    assert_eq!(1_001, found.len());
    assert_eq!("too-many", found.last().unwrap().code);
}

fn find<'n>(node: &'n Node, key: &str) -> &'n Node {
    match &node.data {
        Data::Mapping(entries) => &entries.iter().find(|e| e.key == key).unwrap().value,
        _ => panic!("no mapping"),
    }
}

/// Where `needle` of the text of key `a` is found in `text`.
#[track_caller]
fn located(text: &str, needle: &str, expect: &str) {
    let mut reader = Reader::new("x.yml", text);
    let node = reader.parse().unwrap();
    let node = find(&node, "a");
    let Data::Text(value) = &node.data else {
        panic!("no text")
    };
    let offset = value.find(needle).unwrap();
    let span = reader.locate(node, offset, needle.len());
    assert_eq!(
        expect,
        format!("{}:{}+{}", span.line, span.column, span.width),
        "{needle:?} in {text:?}"
    );
}

#[test]
fn a_part_of_a_scalar_is_found_in_the_file() {
    located("a: x == yy\n", "yy", "1:9+2");
    located("a: 'it''s == yy'\n", "yy", "1:14+2");
    located("a: \"\\u0041\\n\\\"b\\\" == yy\"\n", "yy", "1:22+2");
    located("a: x and\n  yy\n", "yy", "2:3+2");
    located("b: 1\na: |\n  x ==\n    yy\n", "yy", "4:5+2");
    located("a: >\n  x\n  == yy\n", "yy", "3:6+2");
    located("a: >-\n\n  x\n  == yy\n", "x", "3:3+1");
    located("{a: é == yy}\n", "yy", "1:10+2");
}

#[track_caller]
fn typed(text: &str, take: impl Fn(&mut Reader<'_>, &Node), expect: &str) {
    let mut reader = Reader::new("x.yml", text);
    let node = reader.parse().unwrap();
    take(&mut reader, &node);
    let found: Vec<String> = reader
        .finish()
        .into_iter()
        .map(|f| match f.hint {
            Some(hint) => format!("{} ({hint})", f.message),
            None => f.message,
        })
        .collect();
    assert_eq!(expect, found.join("; "));
}

#[test]
fn a_value_of_another_type_is_named() {
    typed(
        "x",
        |r, n| assert!(r.list(n).is_none()),
        "expected a list, found a string",
    );
    typed(
        "5",
        |r, n| assert!(r.string(n).is_none()),
        "expected a string, found a number (write it in quotes)",
    );
    typed(
        "yes",
        |r, n| assert!(r.bool(n).is_none()),
        "expected a boolean, found a string (write `true`)",
    );
    typed(
        "{{ x }}: 1",
        |r, n| assert!(r.string(n).is_none()),
        "a key must be text, found a mapping \
         (a value that starts with `{{` must stand in quotes); \
         expected a string, found a mapping \
         (a value that starts with `{{` must stand in quotes); \
         a key must be text, found a mapping \
         (a value that starts with `{{` must stand in quotes)",
    );
    typed(
        "30",
        |r, n| assert!(r.duration(n, Duration::ZERO..=Duration::MAX).is_none()),
        "expected a duration such as `90s`, found the number 30 (add the unit)",
    );
    typed(
        "11",
        |r, n| assert!(r.integer(n, 1..=10).is_none()),
        "expected a whole number from 1 to 10, found 11",
    );
    typed(
        "lvie",
        |r, n| assert!(r.word(n, &[("live", 1), ("off", 2)]).is_none()),
        "expected `live` or `off`, found `lvie` (did you mean `live`?)",
    );
}

#[test]
fn keys_that_nobody_asked_for_are_reported_together() {
    typed(
        "{nmae: x, zzz: 1, throttle: 3}",
        |r, n| {
            let mut keys = r.mapping(n, "a rule").unwrap();
            assert!(keys.required(r, "name").is_none());
            keys.finish(r, &["throttle"]);
        },
        "a rule needs the key `name`; a rule has no key `nmae` (did you mean `name`?); \
         a rule has no key `zzz` (known here: `name`); \
         this version does not have `throttle` yet (remove it; a later version will have it)",
    );
}

#[test]
fn durations_and_sizes_have_units() {
    for (text, millis) in [
        ("500ms", 500),
        ("90s", 90_000),
        ("10m", 600_000),
        ("30d", 2_592_000_000),
    ] {
        assert_eq!(Ok(Duration::from_millis(millis)), parse_duration(text));
    }
    for text in [
        "",
        "s",
        "10",
        "1.5h",
        "-1s",
        "10 s",
        "1h30m",
        "99999999999999999999s",
        "40000d",
    ] {
        assert!(parse_duration(text).is_err(), "{text:?}");
    }
    assert_eq!(Ok(1 << 20), parse_size("1MiB"));
    assert_eq!(Ok(5_000), parse_size("5kB"));
    for text in ["1", "1mib", "MiB", "18446744073709551615GiB"] {
        assert!(parse_size(text).is_err(), "{text:?}");
    }
}

/// Pieces of which YAML is made, and what breaks it.
const PIECES: [&str; 40] = [
    "a",
    "b: ",
    "- ",
    "? ",
    ": ",
    "\n",
    "\n  ",
    "\n    ",
    "\t",
    "\"",
    "'",
    "[",
    "]",
    "{",
    "}",
    ",",
    "|",
    ">",
    "|-2",
    "&x ",
    "*x",
    "!t ",
    "!!str ",
    "<<: ",
    "#",
    " #",
    "---",
    "...",
    "%YAML 1.2\n",
    "%TAG ! x\n",
    "\\",
    "\\x4",
    "\\u00e9",
    "é",
    "\r",
    "\u{85}",
    "\u{2028}",
    "1e5",
    "~",
    "{{ x }}",
];

proptest! {
    #[test]
    fn no_text_breaks_the_reader(picks in prop::collection::vec(0..PIECES.len(), 0..40)) {
        let text: String = picks.iter().map(|pick| PIECES[*pick]).collect();
        let mut reader = Reader::new("x.yml", &text);
        let node = reader.parse();
        if let Some(node) = &node {
            walk(&reader, node);
        }
        prop_assert_eq!(node.is_none(), node.is_none() && reader.has_errors());
    }
}

/// Every part of every scalar has a place in the file.
fn walk(reader: &Reader<'_>, node: &Node) {
    match &node.data {
        Data::Null | Data::Bool(_) | Data::Number(_) => {}
        Data::Text(text) => {
            for (at, c) in text.char_indices() {
                let span = reader.locate(node, at, c.len_utf8());
                assert!(span.line >= node.span.line && span.width >= 1);
            }
        }
        Data::List(items) => items.iter().for_each(|item| walk(reader, item)),
        Data::Mapping(entries) => entries.iter().for_each(|entry| walk(reader, &entry.value)),
    }
}
