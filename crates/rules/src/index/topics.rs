//! Finds the patterns that match a topic without looking at the others.
//!
//! Patterns are a trie over words. A topic is followed through it as a set of
//! states, so that the cost is bounded by states times words however many `#`
//! there are. It answers exactly what `TopicPattern::matches` answers: a
//! pattern leads to one state, and equal patterns lead to the same.

use std::collections::HashMap;

use model::topic::{PatternWord, Topic, TopicPattern};

const ROOT: u32 = 0;
const NONE: u32 = u32::MAX;

#[derive(Debug)]
struct State {
    /// Where `*` leads.
    one: u32,
    /// Where `#` leads.
    any: u32,
    /// Whether this state stands for a `#` and stays where it is on any word.
    is_any: bool,
}

impl State {
    fn new(is_any: bool) -> Self {
        Self {
            one: NONE,
            any: NONE,
            is_any,
        }
    }
}

/// Topic patterns.
#[derive(Debug)]
pub(super) struct Topics {
    words: HashMap<Box<str>, u32>,
    edges: HashMap<(u32, u32), u32>,
    states: Vec<State>,
}

impl Topics {
    pub(super) fn new() -> Self {
        Self {
            words: HashMap::new(),
            edges: HashMap::new(),
            states: vec![State::new(false)],
        }
    }

    /// The state in which a topic ends that the pattern matches.
    pub(super) fn insert(&mut self, pattern: &TopicPattern) -> u32 {
        let mut at = ROOT;
        for word in pattern.words() {
            at = match word {
                PatternWord::Literal(word) => self.literal(at, word),
                PatternWord::One => match self.state(at).one {
                    NONE => {
                        let next = self.add(State::new(false));
                        self.state_mut(at).one = next;
                        next
                    }
                    next => next,
                },
                // `#.#` means `#`.
                PatternWord::Any if self.state(at).is_any => at,
                PatternWord::Any => match self.state(at).any {
                    NONE => {
                        let next = self.add(State::new(true));
                        self.state_mut(at).any = next;
                        next
                    }
                    next => next,
                },
            };
        }
        at
    }

    /// The states of all patterns that match, each once.
    pub(super) fn find(&self, topic: &Topic) -> Vec<u32> {
        let mut states = vec![ROOT];
        // The engine's own topics are reached by their literal word only.
        let mut is_closed = topic.is_reserved();
        if !is_closed {
            self.close(&mut states);
        }
        let mut next = Vec::new();
        for word in topic.words() {
            let word = self.words.get(word).copied();
            for at in states.drain(..) {
                let state = self.state(at);
                if let Some(target) = word.and_then(|word| self.edges.get(&(at, word))) {
                    next.push(*target);
                }
                if is_closed {
                    continue;
                }
                if state.one != NONE {
                    next.push(state.one);
                }
                if state.is_any {
                    next.push(at);
                }
            }
            is_closed = false;
            self.close(&mut next);
            std::mem::swap(&mut states, &mut next);
            if states.is_empty() {
                break;
            }
        }
        states
    }

    /// Adds what is reached without a word, and removes repetitions.
    fn close(&self, states: &mut Vec<u32>) {
        let mut index = 0;
        while let Some(at) = states.get(index) {
            let any = self.state(*at).any;
            if any != NONE {
                states.push(any);
            }
            index += 1;
        }
        states.sort_unstable();
        states.dedup();
    }

    fn literal(&mut self, at: u32, word: &str) -> u32 {
        let word = match self.words.get(word) {
            Some(number) => *number,
            None => {
                let number = small(self.words.len());
                self.words.insert(word.into(), number);
                number
            }
        };
        if let Some(next) = self.edges.get(&(at, word)) {
            return *next;
        }
        let next = self.add(State::new(false));
        self.edges.insert((at, word), next);
        next
    }

    fn add(&mut self, state: State) -> u32 {
        self.states.push(state);
        small(self.states.len() - 1)
    }

    fn state(&self, at: u32) -> &State {
        &self.states[at as usize]
    }

    fn state_mut(&mut self, at: u32) -> &mut State {
        &mut self.states[at as usize]
    }
}

/// Rule files are far too small for four thousand million words.
fn small(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(NONE - 1)
}

#[cfg(test)]
mod tests;
