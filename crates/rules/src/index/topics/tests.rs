use model::topic::{Topic, TopicPattern};
use proptest::prelude::*;

use super::Topics;

/// The numbers of the patterns that match, ascending.
fn find(patterns: &[TopicPattern], topic: &Topic) -> Vec<u32> {
    let mut topics = Topics::new();
    let ends: Vec<u32> = patterns
        .iter()
        .map(|pattern| topics.insert(pattern))
        .collect();
    let found = topics.find(topic);
    (0_u32..)
        .zip(ends)
        .filter(|(_, end)| found.contains(end))
        .map(|(number, _)| number)
        .collect()
}

#[track_caller]
fn check(patterns: &[&str], topic: &str, expect: &[u32]) {
    let patterns: Vec<TopicPattern> = patterns.iter().map(|text| text.parse().unwrap()).collect();
    let topic: Topic = topic.parse().unwrap();
    assert_eq!(expect, find(&patterns, &topic), "{topic}");
}

#[test]
fn words_and_wildcards_find_their_topics() {
    let patterns = ["a.b", "a.*", "a.#", "#", "#.b", "*.*", "a.#.b", "#.#", "c"];
    check(&patterns, "a.b", &[0, 1, 2, 3, 4, 5, 6, 7]);
    check(&patterns, "a", &[2, 3, 7]);
    check(&patterns, "c", &[3, 7, 8]);
    check(&patterns, "a.x.y.b", &[2, 3, 4, 6, 7]);
}

#[test]
fn the_engines_topics_are_found_by_name_only() {
    let patterns = [
        "#",
        "*.job",
        "lariat.#",
        "#.lariat.job",
        "lariat.*",
        "#.job",
    ];
    check(&patterns, "lariat.job", &[2, 4]);
    check(&patterns, "x.lariat.job", &[0, 3, 5]);
}

#[test]
fn many_hashes_cost_little() {
    let pattern: TopicPattern = vec!["#.a"; 60].join(".").parse().unwrap();
    let topic: Topic = "a.".repeat(126).trim_end_matches('.').parse().unwrap();
    assert_eq!(Vec::from([0]), find(&[pattern], &topic));
}

fn word() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "b", "lariat"])
}

fn pattern_word() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "b", "lariat", "*", "#", "#"])
}

proptest! {
    #[test]
    fn the_index_agrees_with_the_pattern(
        patterns in prop::collection::vec(prop::collection::vec(pattern_word(), 1..6), 1..12),
        topic in prop::collection::vec(word(), 1..7),
    ) {
        let patterns: Vec<TopicPattern> = patterns
            .iter()
            .map(|words| words.join(".").parse().unwrap())
            .collect();
        let topic: Topic = topic.join(".").parse().unwrap();
        let naive: Vec<u32> = (0_u32..)
            .zip(&patterns)
            .filter(|(_, pattern)| pattern.matches(&topic))
            .map(|(number, _)| number)
            .collect();
        prop_assert_eq!(naive, find(&patterns, &topic));
    }
}
