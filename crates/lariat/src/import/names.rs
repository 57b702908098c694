//! Which of an envelope's names playbooks use as variables.
//!
//! Loopabull made a variable of every key of the envelope. Only those that a
//! playbook really uses become `vars`, since such a variable goes before any
//! that the playbook has itself. This reads expressions roughly: a name too
//! many is in the notes, and does no harm that Loopabull did not do.

use std::collections::BTreeSet;

use rules::yaml::{Data, Node, Reader};

/// Names beside `msg`, each with the template that gives its value.
pub(super) const NAMES: [(&str, &str); 10] = [
    ("topic", "{{ event.topic }}"),
    ("msg_id", "{{ event.id }}"),
    ("timestamp", "{{ event.headers.timestamp | default(none) }}"),
    ("i", "{{ event.headers.i | default(none) }}"),
    ("username", "{{ event.headers.username | default(none) }}"),
    ("crypto", "{{ event.headers.crypto | default(none) }}"),
    (
        "certificate",
        "{{ event.headers.certificate | default(none) }}",
    ),
    ("signature", "{{ event.headers.signature | default(none) }}"),
    (
        "source_name",
        "{{ event.headers.source_name | default(none) }}",
    ),
    (
        "source_version",
        "{{ event.headers.source_version | default(none) }}",
    ),
];

/// Keys whose values are expressions without braces.
const EXPRESSIONS: [&str; 6] = [
    "when",
    "failed_when",
    "changed_when",
    "until",
    "that",
    "var",
];
/// Keys whose keys are variables.
const BLOCKS: [&str; 3] = ["vars", "set_fact", "ansible.builtin.set_fact"];
/// Keys whose value is the name of a variable.
const NAMING: [&str; 3] = ["register", "loop_var", "index_var"];

/// What files do with the names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Uses {
    pub(super) used: BTreeSet<&'static str>,
    /// A playbook gives them a value of its own.
    pub(super) defined: BTreeSet<&'static str>,
}

impl Uses {
    /// Adds what a playbook, a task file or a template does.
    pub(super) fn add(&mut self, text: &str) {
        for (open, close) in [("{{", "}}"), ("{%", "%}")] {
            for piece in text.split(open).skip(1) {
                let expression = piece.split_once(close).map_or(piece, |(inner, _)| inner);
                self.add_expression(expression);
            }
        }
        if let Some(root) = Reader::new("", text).parse() {
            self.walk(&root);
        }
    }

    fn walk(&mut self, node: &Node) {
        match &node.data {
            Data::Null | Data::Bool(_) | Data::Number(_) | Data::Text(_) => {}
            Data::List(items) => {
                for item in items {
                    self.walk(item);
                }
            }
            Data::Mapping(entries) => {
                for entry in entries {
                    let key = entry.key.as_str();
                    if EXPRESSIONS.contains(&key) {
                        self.add_expressions(&entry.value);
                    } else if BLOCKS.contains(&key)
                        && let Data::Mapping(inner) = &entry.value.data
                    {
                        self.defined
                            .extend(inner.iter().filter_map(|entry| known(&entry.key)));
                    } else if let Data::Text(text) = &entry.value.data {
                        if NAMING.contains(&key) {
                            self.defined.extend(known(text));
                        } else if let Some((_, name)) = text.split_once("var=") {
                            self.add_expression(name);
                        }
                    }
                    self.walk(&entry.value);
                }
            }
        }
    }

    fn add_expressions(&mut self, node: &Node) {
        match &node.data {
            Data::Text(text) => self.add_expression(text),
            Data::List(items) => {
                for item in items {
                    self.add_expressions(item);
                }
            }
            Data::Null | Data::Bool(_) | Data::Number(_) | Data::Mapping(_) => {}
        }
    }

    fn add_expression(&mut self, text: &str) {
        let mut before = Before::Nothing;
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let len = match c {
                '"' | '\'' => {
                    before = Before::Nothing;
                    let inner = rest.get(1..).unwrap_or_default();
                    inner.find(c).map_or(rest.len(), |end| end + 2)
                }
                _ if is_word(c) => {
                    let len = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                    let (word, after) = rest.split_at_checked(len).unwrap_or((rest, ""));
                    before = self.add_word(word, after.trim_start(), before);
                    len
                }
                _ if c.is_whitespace() => c.len_utf8(),
                _ => {
                    before = if c == '.' || c == '|' {
                        Before::Member
                    } else {
                        Before::Nothing
                    };
                    c.len_utf8()
                }
            };
            rest = rest.get(len..).unwrap_or_default();
        }
    }

    fn add_word(&mut self, word: &str, after: &str, before: Before) -> Before {
        if let Some(name) = known(word) {
            let is_keyword = after.starts_with('=') && !after.starts_with("==");
            match before {
                Before::Binding => {
                    self.defined.insert(name);
                }
                Before::Nothing if !is_keyword && !after.starts_with('(') => {
                    self.used.insert(name);
                }
                Before::Nothing | Before::Member => {}
            }
        }
        match word {
            "for" | "set" => Before::Binding,
            "is" => Before::Member,
            _ => Before::Nothing,
        }
    }
}

/// What stands before a word.
#[derive(Debug, Clone, Copy)]
enum Before {
    Nothing,
    /// The word is part of something, a filter or a test.
    Member,
    /// The word becomes a variable of the template.
    Binding,
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn known(word: &str) -> Option<&'static str> {
    NAMES
        .iter()
        .map(|(name, _)| *name)
        .find(|name| *name == word)
}

#[cfg(test)]
mod tests;
