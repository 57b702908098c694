//! Files are read apart, in pieces and at the same time; nobody can tell.

use std::{collections::BTreeMap, fmt::Write as _, sync::Arc};

use model::ports::ProjectText;

use super::each;
use crate::ruleset::compile;

/// What is found in these files, or the names of the rules.
fn read(files: &[(&str, &str)]) -> String {
    let files = files
        .iter()
        .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
    let project = ProjectText {
        files: files.collect::<BTreeMap<_, _>>(),
        listing: Vec::new(),
        commit: None,
    };
    let lines: Vec<String> = match compile(Arc::new(project)) {
        Ok(checked) => {
            let rules = checked.rules.rules();
            rules.map(|rule| rule.name().to_string()).collect()
        }
        Err(findings) => findings
            .iter()
            .map(|it| format!("{}:{}:{} {}", it.file, it.line, it.column, it.code))
            .collect(),
    };
    lines.join(", ")
}

const RULE: &str = "  - {name: a, on: a, run: {command: [x]}}\n";

#[test]
fn text_that_is_no_yaml_has_one_error_whatever_stood_before_it() {
    let text = format!("rules:\n  - {{nane: x}}\n{RULE}  - [\n");
    let found = read(&[
        ("rules/x.yml", &text),
        ("rules/y.yml", &format!("rules:\n{RULE}")),
    ]);
    assert_eq!("rules/x.yml:5:1 yaml-syntax", found);
}

#[test]
fn problems_of_the_file_and_of_its_rules_are_reported_together() {
    let text = format!("rules:\n  - {{nane: x, nane: y}}\n{RULE}also: 1\n");
    let found = read(&[("rules/x.yml", &text)]);
    assert_eq!(
        "rules/x.yml:2:5 missing-key, rules/x.yml:2:5 missing-key, rules/x.yml:2:5 missing-key, \
         rules/x.yml:2:6 unknown-key, rules/x.yml:2:15 duplicate-key, rules/x.yml:4:1 unknown-key",
        found
    );
}

#[test]
fn a_list_of_rules_may_have_an_anchor() {
    let text = format!("rules: &all\n{RULE}  - {{name: b, on: a, run: &r {{command: [x]}}}}\n");
    assert_eq!("a, b", read(&[("rules/x.yml", &text)]));
    let text = format!("rules:\n{RULE}  - {{name: b, on: &on [a], run: {{command: *on}}}}\n");
    assert_eq!("a, b", read(&[("rules/x.yml", &text)]));
}

#[test]
fn only_the_list_of_rules_is_taken_apart() {
    let text = "rules: {rules: [a]}\n";
    assert_eq!("rules/x.yml:1:8 wrong-type", read(&[("rules/x.yml", text)]));
    let text = "rules: 1\n";
    assert_eq!("rules/x.yml:1:8 wrong-type", read(&[("rules/x.yml", text)]));
}

#[test]
fn many_files_read_at_once_keep_their_order_and_their_names_apart() {
    let files: Vec<(String, String)> = (0..60)
        .map(|file| {
            let mut text = String::from("rules:\n");
            for rule in 0..120 {
                writeln!(
                    text,
                    "  - {{name: r{file}-{rule}, on: a.b.c, run: {{command: [echo, x]}}}}"
                )
                .unwrap();
            }
            (format!("rules/{file:03}.yml"), text)
        })
        .collect();
    let mut texts: Vec<(&str, &str)> = files
        .iter()
        .map(|(path, text)| (path.as_str(), text.as_str()))
        .collect();
    let expect: Vec<String> = (0..60)
        .flat_map(|file| (0..120).map(move |rule| format!("r{file}-{rule}")))
        .collect();
    assert_eq!(expect.join(", "), read(&texts));
    let again = "rules:\n  - {name: r59-3, on: a, run: {command: [x]}}\n";
    texts.push(("rules/b.yml", again));
    assert_eq!("rules/b.yml:2:12 duplicate-rule", read(&texts));
}

#[test]
fn work_is_done_once_for_each_item_in_order() {
    let items: Vec<usize> = (0..1_000).collect();
    let twice: Vec<usize> = items.iter().map(|item| item * 2).collect();
    for threads in [1, 2, 7] {
        assert_eq!(twice, each(&items, threads, |item| item * 2), "{threads}");
    }
    assert!(each(&[], 4, |item: &usize| *item).is_empty());
}

#[test]
#[should_panic(expected = "item 700")]
fn a_panic_in_a_thread_is_a_panic_here() {
    let items: Vec<usize> = (0..1_000).collect();
    each(&items, 3, |item| assert!(*item != 700, "item {item}"));
}
