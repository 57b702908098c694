use proptest::prelude::*;

use super::*;

#[track_caller]
fn check(pattern: &str, topic: &str, expect: bool) {
    let pattern: TopicPattern = pattern.parse().unwrap();
    let topic: Topic = topic.parse().unwrap();
    assert_eq!(expect, pattern.matches(&topic), "`{pattern}` on `{topic}`");
}

#[track_caller]
fn check_refused(topic: &str, expect: &str) {
    let error = Topic::from_outside(topic).unwrap_err();
    assert_eq!(expect, error.to_string());
}

#[test]
fn a_literal_pattern_matches_only_itself() {
    check("a.b", "a.b", true);
    check("a.b", "a.b.c", false);
    check("a.b", "a", false);
}

#[test]
fn a_star_is_exactly_one_word() {
    check("a.*.c", "a.b.c", true);
    check("a.*.c", "a.c", false);
    check("*", "a.b", false);
}

#[test]
fn a_hash_is_any_number_of_words() {
    check("a.#", "a", true);
    check("a.#", "a.b.c", true);
    check("#.c", "a.b.c", true);
    check("#.c.#", "a.c.d", true);
    check("a.#.#.b", "a.b", true);
    check("#.b.#.d", "a.b.c.c", false);
}

#[test]
fn the_engines_own_topics_are_matched_by_name_only() {
    check("#", "lariat.job.failed", false);
    check("*.job.failed", "lariat.job.failed", false);
    check("lariat.#", "lariat.job.failed", true);
    check("lariat.job.*", "lariat.job.failed", true);
}

#[test]
fn topics_from_outside_are_checked() {
    check_refused("", "a topic has 1 to 255 bytes, this has 0");
    check_refused("a..b", "word 2 of the topic is empty");
    check_refused(".a", "word 1 of the topic is empty");
    check_refused("a.b/../c", "the word \"b/\" may not contain '/'");
    check_refused("a b", "the word \"a b\" may not contain ' '");
    check_refused(
        "a.\u{1b}[31m",
        r#"the word "\u{1b}[31m" may not contain '\u{1b}'"#,
    );
    check_refused(
        "a.\u{202e}b",
        r#"the word "\u{202e}b" may not contain '\u{202e}'"#,
    );
    check_refused("a.*", "the word \"*\" may not contain '*'");
    check_refused(
        "lariat.job.failed",
        "topics that start with `lariat` are the engine's own",
    );
    assert!(Topic::from_outside("lariatx.job").is_ok());
    assert!(Topic::from_outside("org.example.ünïcode").is_ok());
}

/// The definition, without any cleverness.
fn matches_slowly(pattern: &[PatternWord], words: &[&str]) -> bool {
    match pattern.split_first() {
        None => words.is_empty(),
        Some((PatternWord::Any, rest)) => {
            (0..=words.len()).any(|skip| matches_slowly(rest, &words[skip..]))
        }
        Some((PatternWord::One, rest)) => !words.is_empty() && matches_slowly(rest, &words[1..]),
        Some((PatternWord::Literal(word), rest)) => {
            words.first() == Some(&word.as_str()) && matches_slowly(rest, &words[1..])
        }
    }
}

proptest! {
    #[test]
    fn matching_agrees_with_its_definition(
        pattern in prop::collection::vec(prop::sample::select(vec!["a", "b", "*", "#"]), 1..7),
        topic in prop::collection::vec(prop::sample::select(vec!["a", "b"]), 1..8),
    ) {
        let pattern: TopicPattern = pattern.join(".").parse().unwrap();
        let joined = topic.join(".");
        let parsed: Topic = joined.parse().unwrap();
        prop_assert_eq!(matches_slowly(pattern.words(), &topic), pattern.matches(&parsed));
    }

    #[test]
    fn a_pattern_prints_as_it_was_written(text in "[a-z*#.]{1,20}") {
        if let Ok(pattern) = text.parse::<TopicPattern>() {
            prop_assert_eq!(text, pattern.to_string());
        }
    }
}
