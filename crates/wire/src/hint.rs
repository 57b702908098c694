//! "Did you mean …?": the nearest of the words that exist.

/// The candidate that a person most likely meant, if one is near enough.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word: Vec<char> = word.chars().take(41).collect();
    if word.len() > 40 {
        return None;
    }
    let allowed = (word.len() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (distance(&word, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Insertions, removals, replacements and swaps of neighbours.
fn distance(word: &[char], candidate: &str) -> usize {
    let candidate: Vec<char> = candidate.chars().collect();
    let mut before = vec![0; candidate.len() + 1];
    let mut last: Vec<usize> = (0..=candidate.len()).collect();
    for (i, &a) in word.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, &b) in candidate.iter().enumerate() {
            let change = last[j] + usize::from(!a.eq_ignore_ascii_case(&b));
            let mut best = change.min(last[j + 1] + 1).min(row[j] + 1);
            let is_swap = i > 0 && j > 0 && a == candidate[j - 1] && word[i - 1] == b;
            if is_swap {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = last;
        last = row;
    }
    last[candidate.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[track_caller]
    fn check(word: &str, expect: Option<&str>) {
        assert_eq!(expect, nearest(word, ["topic", "time", "severity", "body"]));
    }

    #[test]
    fn a_slip_finds_the_word_that_was_meant() {
        check("topci", Some("topic"));
        check("Topic", Some("topic"));
        check("severty", Some("severity"));
        check("bdoy", Some("body"));
        check("t", None);
        check("", None);
        check("payload", None);
        check(&"x".repeat(10_000), None);
    }
}
