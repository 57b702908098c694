//! Topics and topic patterns, AMQP's: words between dots, `*` is one word,
//! `#` is zero or more.
//!
//! Topics whose first word is `lariat` are the engine's own. A pattern matches
//! them only when it names that word itself, so that a catch-all rule cannot
//! feed on its own jobs.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize};

mod meet;

const RESERVED: &str = "lariat";

/// A text that is not a topic or not a topic pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    #[error("a topic has 1 to 255 bytes, this has {len}")]
    Length { len: usize },
    #[error("word {number} of the topic is empty")]
    EmptyWord { number: usize },
    #[error("the word {word:?} may not contain {found:?}")]
    Character { word: String, found: char },
    #[error("`{word}` mixes a wildcard with other characters; `*` and `#` stand for whole words")]
    MixedWildcard { word: String },
    #[error("topics that start with `lariat` are the engine's own")]
    Reserved,
}

/// What an event is about: 1 to 255 bytes of non-empty words joined by dots.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Topic(String);

impl Topic {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.0.split('.')
    }

    /// Whether only the engine itself may publish this topic.
    pub fn is_reserved(&self) -> bool {
        self.words().next() == Some(RESERVED)
    }

    /// A topic from outside: as [`FromStr`], and not one of the engine's own.
    pub fn from_outside(text: &str) -> Result<Self, TopicError> {
        let topic: Self = text.parse()?;
        if topic.is_reserved() {
            return Err(TopicError::Reserved);
        }
        Ok(topic)
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Topic {
    type Err = TopicError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        check_words(text, check_characters)?;
        Ok(Self(text.to_owned()))
    }
}

impl<'de> Deserialize<'de> for Topic {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// One word of a pattern.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PatternWord {
    /// This very word.
    Literal(String),
    /// `*`: any one word.
    One,
    /// `#`: any number of words, none included.
    Any,
}

/// Which topics a rule or a query is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TopicPattern {
    words: Vec<PatternWord>,
}

impl TopicPattern {
    pub fn words(&self) -> &[PatternWord] {
        &self.words
    }

    /// Whether this pattern names the engine's own topics.
    pub fn names_reserved(&self) -> bool {
        matches!(self.words.first(), Some(PatternWord::Literal(word)) if word == RESERVED)
    }

    /// Whether every topic from outside matches.
    pub fn matches_everything(&self) -> bool {
        let mut singles = 0;
        let mut has_any = false;
        for word in &self.words {
            match word {
                PatternWord::Literal(_) => return false,
                PatternWord::One => singles += 1,
                PatternWord::Any => has_any = true,
            }
        }
        // Every topic has one word at least.
        has_any && singles <= 1
    }

    pub fn matches(&self, topic: &Topic) -> bool {
        if topic.is_reserved() && !self.names_reserved() {
            return false;
        }
        let words: Vec<&str> = topic.words().collect();
        matches_words(&self.words, &words)
    }
}

/// Greedy matching with one backtrack point, so the cost is at most the
/// product of the lengths, however many `#` a pattern has.
fn matches_words(pattern: &[PatternWord], words: &[&str]) -> bool {
    let (mut p, mut w) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while w < words.len() {
        match pattern.get(p) {
            Some(PatternWord::Any) => {
                retry = Some((p + 1, w));
                p += 1;
            }
            Some(PatternWord::One) => {
                p += 1;
                w += 1;
            }
            Some(PatternWord::Literal(word)) if word == words[w] => {
                p += 1;
                w += 1;
            }
            Some(PatternWord::Literal(_)) | None => match retry {
                Some((after, from)) => {
                    retry = Some((after, from + 1));
                    p = after;
                    w = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|word| *word == PatternWord::Any)
}

impl fmt::Display for TopicPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, word) in self.words.iter().enumerate() {
            if index > 0 {
                f.write_str(".")?;
            }
            f.write_str(match word {
                PatternWord::Literal(word) => word,
                PatternWord::One => "*",
                PatternWord::Any => "#",
            })?;
        }
        Ok(())
    }
}

impl FromStr for TopicPattern {
    type Err = TopicError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut words = Vec::new();
        check_words(text, |word| {
            words.push(match word {
                "*" => PatternWord::One,
                "#" => PatternWord::Any,
                _ if word.contains(['*', '#']) => {
                    return Err(TopicError::MixedWildcard {
                        word: word.to_owned(),
                    });
                }
                _ => {
                    check_characters(word)?;
                    PatternWord::Literal(word.to_owned())
                }
            });
            Ok(())
        })?;
        Ok(Self { words })
    }
}

fn check_words(
    text: &str,
    mut check: impl FnMut(&str) -> Result<(), TopicError>,
) -> Result<(), TopicError> {
    if text.is_empty() || text.len() > 255 {
        return Err(TopicError::Length { len: text.len() });
    }
    for (index, word) in text.split('.').enumerate() {
        if word.is_empty() {
            return Err(TopicError::EmptyWord { number: index + 1 });
        }
        check(word)?;
    }
    Ok(())
}

fn check_characters(word: &str) -> Result<(), TopicError> {
    match word.chars().find(|c| !is_word_char(*c)) {
        Some(found) => Err(TopicError::Character {
            word: word.to_owned(),
            found,
        }),
        None => Ok(()),
    }
}

/// Printable, and none of the characters that mean something in a pattern or
/// a path. Invisible formatting characters are refused with the control ones:
/// a topic is read by people before it is trusted.
fn is_word_char(c: char) -> bool {
    let is_invisible = matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}');
    !c.is_control() && !c.is_whitespace() && !is_invisible && !matches!(c, '/' | '*' | '#' | '.')
}

#[cfg(test)]
mod tests;
