//! Whether two patterns have a topic in common.

use super::{PatternWord, RESERVED, TopicPattern};

/// Longest topic, in bytes.
const LONGEST: usize = 255;

impl TopicPattern {
    /// Whether there is a topic that both match.
    pub fn meets(&self, other: &Self) -> bool {
        let may_be_reserved = self.names_reserved() && other.names_reserved();
        shortest(&self.words, &other.words, may_be_reserved)
            // Each word is counted with a dot.
            .is_some_and(|bytes| bytes <= LONGEST + 1)
    }
}

/// Bytes of the shortest topic that both match, a dot behind each word. 0 when
/// none is needed: then both have a `#`, and any word will do.
fn shortest(left: &[PatternWord], right: &[PatternWord], may_be_reserved: bool) -> Option<usize> {
    let columns = right.len() + 1;
    let cells = (left.len() + 1) * columns;
    // By what is left of both: within a topic, and at its first word.
    let (mut within, mut first) = (vec![None; cells], vec![None; cells]);
    for i in (0..=left.len()).rev() {
        for j in (0..=right.len()).rev() {
            let at = |i: usize, j: usize| i * columns + j;
            for is_first in [false, true] {
                let here = if is_first { &first } else { &within };
                let skip = |i: usize, j: usize| here[at(i, j)];
                let word = |word: &PatternWord, i: usize, j: usize| {
                    let is_refused = is_first && !may_be_reserved && is_reserved(word);
                    let rest: Option<usize> = within[at(i, j)];
                    rest.filter(|_| !is_refused).map(|rest| rest + bytes(word))
                };
                let found = match (left.get(i), right.get(j)) {
                    (None, None) => Some(0),
                    (Some(PatternWord::Any), Some(PatternWord::Any)) => {
                        let skipped = least(skip(i + 1, j), skip(i, j + 1));
                        // Before a word that may not be the first there is one more.
                        let taken = word(&PatternWord::One, i, j).filter(|_| is_first);
                        least(skipped, taken)
                    }
                    (Some(PatternWord::Any), Some(taken)) => {
                        least(skip(i + 1, j), word(taken, i, j + 1))
                    }
                    (Some(taken), Some(PatternWord::Any)) => {
                        least(skip(i, j + 1), word(taken, i + 1, j))
                    }
                    (Some(PatternWord::Any), None) => skip(i + 1, j),
                    (None, Some(PatternWord::Any)) => skip(i, j + 1),
                    (Some(PatternWord::One), Some(taken))
                    | (Some(taken), Some(PatternWord::One)) => word(taken, i + 1, j + 1),
                    (Some(a @ PatternWord::Literal(_)), Some(b @ PatternWord::Literal(_))) => {
                        (a == b).then(|| word(a, i + 1, j + 1)).flatten()
                    }
                    (Some(PatternWord::One | PatternWord::Literal(_)), None)
                    | (None, Some(PatternWord::One | PatternWord::Literal(_))) => None,
                };
                let table = if is_first { &mut first } else { &mut within };
                table[at(i, j)] = found;
            }
        }
    }
    first[0]
}

fn least(left: Option<usize>, right: Option<usize>) -> Option<usize> {
    match (left, right) {
        (Some(left), Some(right)) => Some(left.min(right)),
        (found, None) | (None, found) => found,
    }
}

fn is_reserved(word: &PatternWord) -> bool {
    matches!(word, PatternWord::Literal(text) if text == RESERVED)
}

fn bytes(word: &PatternWord) -> usize {
    match word {
        PatternWord::Literal(text) => text.len() + 1,
        PatternWord::One => 2,
        PatternWord::Any => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Topic, TopicPattern};

    fn texts(words: &[&str], most: usize) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        let mut last = vec![String::new()];
        for _ in 0..most {
            last = last
                .iter()
                .flat_map(|before| {
                    words.iter().map(move |word| match before.as_str() {
                        "" => (*word).to_owned(),
                        before => format!("{before}.{word}"),
                    })
                })
                .collect();
            all.extend(last.iter().cloned());
        }
        all
    }

    #[test]
    fn patterns_meet_where_a_topic_matches_both() {
        let patterns: Vec<TopicPattern> = texts(&["a", "lariat", "*", "#"], 3)
            .iter()
            .map(|text| text.parse().unwrap())
            .collect();
        // Longer topics match no pair of such patterns that these do not.
        let topics: Vec<Topic> = texts(&["a", "b", "lariat"], 4)
            .iter()
            .map(|text| text.parse().unwrap())
            .collect();
        let matched: Vec<Vec<bool>> = patterns
            .iter()
            .map(|pattern| topics.iter().map(|topic| pattern.matches(topic)).collect())
            .collect();
        for (left, of_left) in patterns.iter().zip(&matched) {
            for (right, of_right) in patterns.iter().zip(&matched) {
                let expected = of_left.iter().zip(of_right).any(|(a, b)| *a && *b);
                assert_eq!(expected, left.meets(right), "{left} and {right}");
            }
        }
    }

    #[test]
    fn topics_that_would_be_too_long_do_not_count() {
        let long = "x".repeat(126);
        let begins: TopicPattern = format!("{long}.#").parse().unwrap();
        let ends = |word: &str| -> TopicPattern { format!("#.{word}").parse().unwrap() };
        assert!(begins.meets(&ends(&"y".repeat(128))));
        assert!(!begins.meets(&ends(&"y".repeat(129))));
        let many: TopicPattern = ["*"; 128].join(".").parse().unwrap();
        assert!(many.meets(&many));
        assert!(many.meets(&"#".parse().unwrap()));
    }
}
