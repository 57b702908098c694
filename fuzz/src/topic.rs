//! Topic patterns: matching is what the simplest matcher says, and what is
//! printed is the same pattern.

use model::topic::{PatternWord, Topic, TopicPattern};

use crate::halves;

/// A pattern, a line break, and a topic.
pub const SEEDS: &[&str] = &[
    "org.example.#\norg.example.build.done",
    "#.a.*.b.#\nx.a.y.b",
    "*.*\na.b",
    "#.#.#\na",
    "lariat.#\nlariat.job.failed",
    "#\nlariat.job.failed",
];

pub fn check(data: &[u8]) {
    let Some((pattern, topic)) = halves(data) else {
        return;
    };
    let topic = topic.parse::<Topic>();
    if let Ok(topic) = &topic {
        assert_eq!(Ok(topic), topic.to_string().parse().as_ref());
    }
    let Ok(pattern) = pattern.parse::<TopicPattern>() else {
        return;
    };
    assert_eq!(Ok(&pattern), pattern.to_string().parse().as_ref());
    let Ok(topic) = topic else { return };
    let words: Vec<&str> = topic.words().collect();
    let is_kept_apart = topic.is_reserved() && !pattern.names_reserved();
    let expected = !is_kept_apart && matches(pattern.words(), &words);
    assert_eq!(expected, pattern.matches(&topic), "`{pattern}`, `{topic}`");
    if pattern.matches_everything() {
        assert!(expected || topic.is_reserved());
    }
}

/// Row by row: which beginnings of the topic this beginning of the pattern
/// matches.
fn matches(pattern: &[PatternWord], words: &[&str]) -> bool {
    let mut row: Vec<bool> = (0..=words.len()).map(|count| count == 0).collect();
    for word in pattern {
        let mut next = vec![false; row.len()];
        for count in 0..row.len() {
            next[count] = match word {
                PatternWord::Any => row[count] || count > 0 && next[count - 1],
                PatternWord::One => count > 0 && row[count - 1],
                PatternWord::Literal(text) => {
                    count > 0 && row[count - 1] && text == words[count - 1]
                }
            };
        }
        row = next;
    }
    row[words.len()]
}
