//! Takes typed values out of a tree and writes down everything that is wrong
//! with them, instead of stopping at the first.
//!
//! A method that returns `None` has recorded why.

use std::{ops::RangeInclusive, time::Duration};

use model::{
    diagnostic::{Diagnostic, Level},
    suggest::nearest,
};

use super::{
    Data, Entry, Node, QuantityError, Span, locate, parse_duration, parse_size,
    tree::{self, Items},
};
use crate::code::Code;

/// Findings that are kept of one file.
const MAX_FINDINGS: usize = 1_000;
/// Findings for which similar names are looked for in a large project.
const MAX_HINTS: usize = 100;
/// Characters of a source line that a finding carries.
const MAX_SOURCE: usize = 1_000;

/// One file under examination.
#[derive(Debug)]
pub struct Reader<'t> {
    file: &'t str,
    text: &'t str,
    /// Byte offsets at which lines begin.
    lines: Vec<usize>,
    findings: Vec<Diagnostic>,
}

impl<'t> Reader<'t> {
    pub fn new(file: &'t str, text: &'t str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let bytes = text.as_bytes();
        let mut lines = vec![0];
        for (index, byte) in bytes.iter().enumerate() {
            let is_break = match byte {
                b'\n' => true,
                b'\r' => bytes.get(index + 1) != Some(&b'\n'),
                _ => false,
            };
            if is_break {
                lines.push(index + 1);
            }
        }
        Self {
            file,
            text,
            lines,
            findings: Vec::new(),
        }
    }

    pub fn file(&self) -> &'t str {
        self.file
    }

    pub fn text(&self) -> &'t str {
        self.text
    }

    /// A line without its break; empty when there is none of that number.
    pub fn line(&self, number: usize) -> &'t str {
        let Some(start) = number
            .checked_sub(1)
            .and_then(|index| self.lines.get(index))
        else {
            return "";
        };
        let end = self.lines.get(number).copied().unwrap_or(self.text.len());
        self.text
            .get(*start..end)
            .unwrap_or("")
            .trim_end_matches(['\n', '\r'])
    }

    /// The first line with more than `limit` bytes.
    pub(super) fn first_longer_than(&self, limit: usize) -> Option<usize> {
        (1..=self.lines.len()).find(|number| self.line(*number).len() > limit)
    }

    pub(super) fn line_count(&self) -> usize {
        self.lines.len()
    }

    /// Parses the whole text; `None` when it is no usable YAML.
    pub fn parse(&mut self) -> Option<Node> {
        tree::parse(self, None)
    }

    /// Parses the whole text and hands over each item of the list that the root
    /// mapping has under `key`, so that the tree of a large file is never there
    /// at once; the list is then empty. When the text turns out to be no YAML,
    /// what was found in items is forgotten.
    pub(crate) fn parse_items(
        &mut self,
        key: &'static str,
        take: &mut dyn FnMut(&mut Self, &Node),
    ) -> Option<Node> {
        let mut items = Items {
            key,
            take,
            findings: Vec::new(),
        };
        let root = tree::parse(self, Some(&mut items))?;
        for finding in items.findings {
            self.keep(finding);
        }
        Some(root)
    }

    /// Sets the findings aside, or gets them back.
    pub(super) fn swap_findings(&mut self, other: &mut Vec<Diagnostic>) {
        std::mem::swap(&mut self.findings, other);
    }

    /// Everything that was found, in the order of the file.
    pub fn finish(mut self) -> Vec<Diagnostic> {
        self.findings
            .sort_by_key(|finding| (finding.line, finding.column));
        self.findings
    }

    /// Whether it is still worth looking for a similar name.
    pub(crate) fn wants_hints(&self) -> bool {
        self.findings.len() < MAX_HINTS
    }

    /// Whether further findings would not be kept, so that looking for hints
    /// is in vain.
    pub(crate) fn is_full(&self) -> bool {
        self.findings.len() > MAX_FINDINGS
    }

    pub fn has_errors(&self) -> bool {
        self.findings
            .iter()
            .any(|finding| finding.level == Level::Error)
    }

    pub fn error(&mut self, code: Code, span: Span, message: String, hint: Option<String>) {
        self.report(Level::Error, code, span, (message, hint));
    }

    pub fn warning(&mut self, code: Code, span: Span, message: String, hint: Option<String>) {
        self.report(Level::Warning, code, span, (message, hint));
    }

    pub fn note(&mut self, code: Code, span: Span, message: String, hint: Option<String>) {
        self.report(Level::Note, code, span, (message, hint));
    }

    /// Masks a text in the line that the last finding shows; the whole line
    /// when it stands there in another spelling.
    pub(crate) fn hide_in_last(&mut self, secret: &str) {
        let Some(finding) = self.findings.last_mut() else {
            return;
        };
        if secret.is_empty() {
            return;
        }
        let mask = |text: &str| -> String {
            let masked = text.chars().map(|c| if c == ' ' { c } else { '*' });
            masked.collect()
        };
        finding.source = if finding.source.contains(secret) {
            finding.source.replace(secret, &mask(secret))
        } else {
            mask(&finding.source)
        };
    }

    fn report(
        &mut self,
        level: Level,
        code: Code,
        span: Span,
        (message, hint): (String, Option<String>),
    ) {
        if self.findings.len() > Self::limit(level) {
            return;
        }
        let line = usize::try_from(span.line).unwrap_or(usize::MAX);
        self.keep(Diagnostic {
            level,
            code: code.as_str().to_owned(),
            message,
            file: self.file.to_owned(),
            line,
            column: usize::try_from(span.column).unwrap_or(usize::MAX),
            width: usize::try_from(span.width.max(1)).unwrap_or(usize::MAX),
            source: self.line(line).chars().take(MAX_SOURCE).collect(),
            hint,
        });
    }

    /// Notes and warnings may not push an error out.
    fn limit(level: Level) -> usize {
        match level {
            Level::Error => MAX_FINDINGS,
            Level::Warning | Level::Note => MAX_FINDINGS / 2,
        }
    }

    fn keep(&mut self, finding: Diagnostic) {
        match self.findings.len().cmp(&Self::limit(finding.level)) {
            std::cmp::Ordering::Less => self.findings.push(finding),
            std::cmp::Ordering::Equal if finding.level == Level::Error => {
                self.findings.push(Diagnostic {
                    code: Code::TooMany.as_str().to_owned(),
                    message: format!(
                        "there are more problems in this file than the {MAX_FINDINGS} shown"
                    ),
                    hint: None,
                    ..finding
                });
            }
            std::cmp::Ordering::Equal | std::cmp::Ordering::Greater => {}
        }
    }

    /// Where `len` bytes from `offset` of a scalar's text stand in the file.
    pub fn locate(&self, node: &Node, offset: usize, len: usize) -> Span {
        locate::locate(self, node, offset, len)
    }

    pub(crate) fn wrong_type(&mut self, node: &Node, expected: &str) {
        let hint = match &node.data {
            Data::Bool(_) | Data::Number(_) if expected == "a string" => {
                Some("write it in quotes".to_owned())
            }
            Data::Text(text) if expected == "a boolean" => match text.to_lowercase().as_str() {
                "yes" | "on" | "y" | "true" => Some("write `true`".to_owned()),
                "no" | "off" | "n" | "false" => Some("write `false`".to_owned()),
                _ => None,
            },
            Data::Text(text) if expected == "a number" && text.parse::<f64>().is_ok() => {
                Some("write it without quotes".to_owned())
            }
            Data::Mapping(_) if expected == "a string" && is_unquoted_template(node) => {
                Some("a value that starts with `{{` must stand in quotes".to_owned())
            }
            Data::Null
            | Data::Bool(_)
            | Data::Number(_)
            | Data::Text(_)
            | Data::List(_)
            | Data::Mapping(_) => None,
        };
        self.error(
            Code::WrongType,
            node.span,
            format!("expected {expected}, found {}", node.kind()),
            hint,
        );
    }

    /// The keys of a mapping; `what` names it in messages, with its article.
    pub fn mapping<'n>(&mut self, node: &'n Node, what: &'static str) -> Option<Mapping<'n>> {
        match &node.data {
            Data::Mapping(entries) => Some(Mapping {
                what,
                span: node.span,
                entries,
                known: Vec::new(),
            }),
            Data::Null | Data::Bool(_) | Data::Number(_) | Data::Text(_) | Data::List(_) => {
                self.error(
                    Code::WrongType,
                    node.span,
                    format!("expected {what}, which is a mapping, found {}", node.kind()),
                    None,
                );
                None
            }
        }
    }

    pub fn list<'n>(&mut self, node: &'n Node) -> Option<&'n [Node]> {
        match &node.data {
            Data::List(items) => Some(items),
            Data::Null | Data::Bool(_) | Data::Number(_) | Data::Text(_) | Data::Mapping(_) => {
                self.wrong_type(node, "a list");
                None
            }
        }
    }

    /// The items of a list, or the one value that stands in place of a list.
    pub fn one_or_list<'n>(&mut self, node: &'n Node) -> &'n [Node] {
        match &node.data {
            Data::List(items) => items,
            Data::Null | Data::Bool(_) | Data::Number(_) | Data::Text(_) | Data::Mapping(_) => {
                std::slice::from_ref(node)
            }
        }
    }

    pub fn string<'n>(&mut self, node: &'n Node) -> Option<&'n str> {
        match &node.data {
            Data::Text(text) => Some(text),
            Data::Null | Data::Bool(_) | Data::Number(_) | Data::List(_) | Data::Mapping(_) => {
                self.wrong_type(node, "a string");
                None
            }
        }
    }

    pub fn bool(&mut self, node: &Node) -> Option<bool> {
        match node.data {
            Data::Bool(value) => Some(value),
            Data::Null | Data::Number(_) | Data::Text(_) | Data::List(_) | Data::Mapping(_) => {
                self.wrong_type(node, "a boolean");
                None
            }
        }
    }

    pub fn integer(&mut self, node: &Node, range: RangeInclusive<u64>) -> Option<u64> {
        let Data::Number(number) = &node.data else {
            self.wrong_type(node, "a number");
            return None;
        };
        match number.as_u64() {
            Some(value) if range.contains(&value) => Some(value),
            Some(_) | None => {
                self.error(
                    Code::BadValue,
                    node.span,
                    format!(
                        "expected a whole number from {} to {}, found {number}",
                        range.start(),
                        range.end()
                    ),
                    None,
                );
                None
            }
        }
    }

    /// A duration such as `90s`, within `range`.
    pub fn duration(&mut self, node: &Node, range: RangeInclusive<Duration>) -> Option<Duration> {
        let found = self.quantity(node, "a duration such as `90s`", parse_duration)?;
        if range.contains(&found) {
            return Some(found);
        }
        self.error(
            Code::BadValue,
            node.span,
            format!(
                "expected a duration from {} to {}",
                show_duration(*range.start()),
                show_duration(*range.end())
            ),
            None,
        );
        None
    }

    /// A size such as `10MiB`, within `range` of bytes.
    pub fn size(&mut self, node: &Node, range: RangeInclusive<u64>) -> Option<u64> {
        let found = self.quantity(node, "a size such as `10MiB`", parse_size)?;
        if range.contains(&found) {
            return Some(found);
        }
        self.error(
            Code::BadValue,
            node.span,
            format!(
                "expected a size from {} to {} bytes, found {found}",
                range.start(),
                range.end()
            ),
            None,
        );
        None
    }

    fn quantity<T>(
        &mut self,
        node: &Node,
        expected: &str,
        parse: fn(&str) -> Result<T, QuantityError>,
    ) -> Option<T> {
        match &node.data {
            Data::Text(text) => match parse(text) {
                Ok(value) => Some(value),
                Err(error) => {
                    self.error(Code::BadValue, node.span, error.to_string(), None);
                    None
                }
            },
            Data::Number(number) => {
                self.error(
                    Code::WrongType,
                    node.span,
                    format!("expected {expected}, found the number {number}"),
                    Some("add the unit".to_owned()),
                );
                None
            }
            Data::Null | Data::Bool(_) | Data::List(_) | Data::Mapping(_) => {
                self.wrong_type(node, expected);
                None
            }
        }
    }

    /// One of a few words.
    pub fn word<T: Copy>(&mut self, node: &Node, words: &[(&'static str, T)]) -> Option<T> {
        let text = self.string(node)?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let all: Vec<String> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
        let hint = nearest(text, words.iter().map(|(word, _)| *word))
            .map(|word| format!("did you mean `{word}`?"));
        self.error(
            Code::BadValue,
            node.span,
            format!("expected {}, found `{}`", all.join(" or "), shorten(text)),
            hint,
        );
        None
    }
}

/// `{{ x }}` without quotes is a mapping in a mapping to YAML.
fn is_unquoted_template(node: &Node) -> bool {
    match &node.data {
        Data::Mapping(entries) => entries.len() <= 1,
        Data::Null | Data::Bool(_) | Data::Number(_) | Data::Text(_) | Data::List(_) => false,
    }
}

/// A name from a file, short enough for a message.
pub(crate) fn shorten(text: &str) -> String {
    let mut short: String = text.chars().take(60).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

fn no_value(reader: &mut Reader<'_>, entry: &Entry) {
    let key = &entry.key;
    let line = reader.line(usize::try_from(entry.key_span.line).unwrap_or(0));
    let is_commented = line
        .split_once(key.as_str())
        .is_some_and(|(_, rest)| rest.trim_start_matches([':', ' ']).starts_with('#'));
    let hint = is_commented
        .then_some("`#` begins a comment; a value that starts with it must stand in quotes");
    reader.error(
        Code::MissingKey,
        entry.key_span,
        format!("`{key}` has no value"),
        hint.map(str::to_owned),
    );
}

fn show_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    for (unit, each) in [
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
    ] {
        if millis >= each && millis.is_multiple_of(each) {
            return format!("{}{unit}", millis / each);
        }
    }
    format!("{millis}ms")
}

/// The keys of one mapping. Asking for a key makes it known; [`Self::finish`]
/// reports those that nobody asked for.
#[derive(Debug)]
pub struct Mapping<'n> {
    what: &'static str,
    span: Span,
    entries: &'n [Entry],
    known: Vec<&'static str>,
}

impl<'n> Mapping<'n> {
    pub fn span(&self) -> Span {
        self.span
    }

    /// A key that may be absent. A key without a value counts as absent.
    pub fn optional(&mut self, key: &'static str) -> Option<&'n Node> {
        self.entry(key)
            .map(|entry| &entry.value)
            .filter(|node| node.data != Data::Null)
    }

    /// A key that may be absent but not empty: a condition that somebody has
    /// begun to write must not become a rule without one.
    pub fn stated(&mut self, reader: &mut Reader<'_>, key: &'static str) -> Option<&'n Node> {
        let entry = self.entry(key)?;
        if entry.value.data == Data::Null {
            no_value(reader, entry);
            return None;
        }
        Some(&entry.value)
    }

    pub fn required(&mut self, reader: &mut Reader<'_>, key: &'static str) -> Option<&'n Node> {
        match self.entry(key) {
            Some(entry) if entry.value.data != Data::Null => Some(&entry.value),
            Some(entry) => {
                no_value(reader, entry);
                None
            }
            None => {
                reader.error(
                    Code::MissingKey,
                    self.span,
                    format!("{} needs the key `{key}`", self.what),
                    None,
                );
                None
            }
        }
    }

    /// A key with its place; known from now on.
    pub fn entry(&mut self, key: &'static str) -> Option<&'n Entry> {
        if !self.known.contains(&key) {
            self.known.push(key);
        }
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// Every key, known or not, in the order of the file.
    pub fn entries(&self) -> &'n [Entry] {
        self.entries
    }

    /// Reports keys that nobody asked for; `later` are those that a later
    /// version will have.
    pub fn finish(self, reader: &mut Reader<'_>, later: &[&str]) {
        for entry in self.entries {
            let key = entry.key.as_str();
            if reader.is_full() {
                return;
            }
            if self.known.contains(&key) {
                continue;
            }
            if later.contains(&key) {
                reader.error(
                    Code::LaterVersion,
                    entry.key_span,
                    format!("this version does not have `{key}` yet"),
                    Some("remove it; a later version will have it".to_owned()),
                );
                continue;
            }
            let hint = match nearest(key, self.known.iter().copied()) {
                Some(word) => format!("did you mean `{word}`?"),
                None => {
                    let words: Vec<String> =
                        self.known.iter().map(|word| format!("`{word}`")).collect();
                    format!("known here: {}", words.join(", "))
                }
            };
            reader.error(
                Code::UnknownKey,
                entry.key_span,
                format!("{} has no key `{}`", self.what, shorten(key)),
                Some(hint),
            );
        }
    }
}
