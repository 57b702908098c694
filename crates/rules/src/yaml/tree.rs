//! Builds the located tree from parser events, with limits on everything that
//! a hostile text could make grow.
//!
//! The tree is built on a stack of our own, so nesting costs no stack space;
//! its depth is limited all the same, since whoever walks it recurses.

use std::collections::{HashMap, HashSet};

use model::diagnostic::Diagnostic;
use saphyr_parser::{Event, Parser, ScalarStyle, Span as RawSpan, Tag};
use serde_json::Number;

use super::{Data, Entry, Node, Reader, Span, Style};
use crate::code::Code;

/// A rule file may be this long.
const MAX_BYTES: usize = 10 << 20;
/// Levels of lists and mappings.
const MAX_DEPTH: usize = 64;
/// Values in one file.
const MAX_NODES: usize = 1_500_000;
/// Bytes of one line. The parser looks ahead as far as a line goes.
const MAX_LINE: usize = 1 << 20;
/// What anchors and aliases may copy, in bytes, roughly.
const MAX_COPIED: usize = 4 << 20;
/// From this many keys on, a mapping looks its keys up in a set.
const MANY_KEYS: usize = 24;
/// Keys among which the first of two equal ones is looked for.
const MAX_SEARCH: usize = 1_000;

/// Takes the items of a list as soon as they are read, instead of keeping them.
pub(super) struct Items<'i, 't> {
    /// Of the root mapping; the list is its value.
    pub(super) key: &'static str,
    pub(super) take: &'i mut dyn FnMut(&mut Reader<'t>, &Node),
    /// What was found in the items. It counts only when all of the text is YAML.
    pub(super) findings: Vec<Diagnostic>,
}

/// Parses the reader's text; `None` when it is no usable YAML, which is then
/// recorded. An empty document is [`Data::Null`]. A list whose items were taken
/// is empty.
pub(super) fn parse<'t>(
    reader: &mut Reader<'t>,
    items: Option<&mut Items<'_, 't>>,
) -> Option<Node> {
    let text = reader.text();
    if text.len() > MAX_BYTES {
        let message = format!("the file has {} bytes, more than {MAX_BYTES}", text.len());
        reader.error(
            Code::YamlLimit,
            START,
            message,
            Some("split it into several files".to_owned()),
        );
        return None;
    }
    if let Some(line) = reader.first_longer_than(MAX_LINE) {
        reader.error(
            Code::YamlLimit,
            span_at(line, 1, 1),
            format!("the line has more than {MAX_LINE} bytes"),
            Some("break it into several lines".to_owned()),
        );
        return None;
    }
    if let Some((span, found)) = find_control(text) {
        reader.error(
            Code::YamlSyntax,
            span,
            format!("the control character {found:?} may not stand in YAML"),
            Some("write it as an escape inside double quotes".to_owned()),
        );
        return None;
    }
    Builder::new(reader, items).run(text)
}

const START: Span = Span {
    line: 1,
    column: 1,
    width: 1,
};

fn find_control(text: &str) -> Option<(Span, char)> {
    let is_bad = |c: char| {
        (c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{85}'))
            || matches!(c, '\u{fffe}' | '\u{ffff}')
    };
    let at = text.find(is_bad)?;
    let (before, rest) = text.split_at(at);
    let line_start = before.rfind(['\n', '\r']).map_or(0, |index| index + 1);
    let line = before.matches('\n').count() + 1;
    let column = before.get(line_start..).map_or(0, |s| s.chars().count()) + 1;
    Some((span_at(line, column, 1), rest.chars().next()?))
}

fn span_at(line: usize, column: usize, width: usize) -> Span {
    let small = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    Span {
        line: small(line),
        column: small(column),
        width: small(width.max(1)),
    }
}

/// The part of a raw span on its first line. `line_chars` is that line's length.
fn span_of(raw: RawSpan, line_chars: impl Fn(usize) -> usize) -> Span {
    let (line, column) = (raw.start.line(), raw.start.col());
    let end = if raw.end.line() == line {
        raw.end.col()
    } else {
        line_chars(line)
    };
    span_at(line, column + 1, end.saturating_sub(column))
}

impl<'t> Items<'_, 't> {
    fn hand_over(&mut self, reader: &mut Reader<'t>, node: &Node) {
        reader.swap_findings(&mut self.findings);
        (self.take)(reader, node);
        reader.swap_findings(&mut self.findings);
    }
}

enum Frame {
    List {
        items: Vec<Node>,
        /// Whether the items are taken as they come.
        is_taken: bool,
        span: Span,
        anchor: usize,
        start: Cost,
    },
    Mapping {
        entries: Vec<Entry>,
        /// Filled when there are many keys.
        seen: HashSet<String>,
        key: Key,
        span: Span,
        anchor: usize,
        start: Cost,
    },
}

enum Key {
    /// The next node is a key.
    Awaited,
    Read {
        text: String,
        span: Span,
    },
    /// The next value belongs to a key that was refused.
    Refused,
}

/// How much was built so far; the difference of two is the weight of a node.
#[derive(Clone, Copy)]
struct Cost(usize);

struct Builder<'r, 'i, 't> {
    reader: &'r mut Reader<'t>,
    items: Option<&'r mut Items<'i, 't>>,
    stack: Vec<Frame>,
    root: Option<Node>,
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
    bytes: usize,
    copied: usize,
}

/// The text cannot be read any further; the reason is recorded.
struct Stop;

impl<'r, 'i, 't> Builder<'r, 'i, 't> {
    fn new(reader: &'r mut Reader<'t>, items: Option<&'r mut Items<'i, 't>>) -> Self {
        Self {
            reader,
            items,
            stack: Vec::new(),
            root: None,
            anchors: HashMap::new(),
            nodes: 0,
            bytes: 0,
            copied: 0,
        }
    }

    fn run(mut self, text: &str) -> Option<Node> {
        let mut parser = Parser::new_from_str(text);
        let mut documents = 0_usize;
        while let Some(next) = parser.next_event() {
            let (event, raw) = match next {
                Ok(next) => next,
                Err(error) => {
                    self.syntax_error(&error);
                    return None;
                }
            };
            let step = match event {
                Event::DocumentStart(_) => {
                    documents += 1;
                    if documents > 1 {
                        let span = self.span(raw);
                        self.reader.error(
                            Code::YamlFeature,
                            span,
                            "a second document starts here; a file holds one".to_owned(),
                            Some("remove the `---`, or make it a file of its own".to_owned()),
                        );
                        Err(Stop)
                    } else {
                        Ok(())
                    }
                }
                Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {
                    Ok(())
                }
                Event::Alias(id) => self.alias(id, raw),
                Event::Scalar(text, style, anchor, tag) => {
                    self.scalar(text.into_owned(), style, (anchor, tag.as_deref()), raw)
                }
                Event::SequenceStart(anchor, tag) => {
                    let is_taken = anchor == 0 && self.is_taken();
                    self.open(raw, tag.as_deref(), "seq", |span, start| Frame::List {
                        items: Vec::new(),
                        is_taken,
                        span,
                        anchor,
                        start,
                    })
                }
                Event::MappingStart(anchor, tag) => {
                    self.open(raw, tag.as_deref(), "map", |span, start| Frame::Mapping {
                        entries: Vec::new(),
                        seen: HashSet::new(),
                        key: Key::Awaited,
                        span,
                        anchor,
                        start,
                    })
                }
                Event::SequenceEnd | Event::MappingEnd => self.close(),
            };
            if step.is_err() {
                return None;
            }
        }
        Some(self.root.unwrap_or(Node {
            data: Data::Null,
            span: START,
            style: Style::Plain,
        }))
    }

    /// Whether the items of a list that begins here are taken as they come.
    fn is_taken(&self) -> bool {
        match (self.stack.as_slice(), &self.items) {
            (
                [
                    Frame::Mapping {
                        key: Key::Read { text, .. },
                        ..
                    },
                ],
                Some(items),
            ) => text == items.key,
            _ => false,
        }
    }

    fn span(&self, raw: RawSpan) -> Span {
        span_of(raw, |line| self.reader.line(line).chars().count())
    }

    fn syntax_error(&mut self, error: &saphyr_parser::ScanError) {
        let (line, column) = (error.marker().line(), error.marker().col() + 1);
        let text = self.reader.line(line);
        let hint = syntax_hint(error.info(), text, column);
        self.reader.error(
            Code::YamlSyntax,
            span_at(line.max(1), column, 1),
            error.info().to_owned(),
            hint.map(str::to_owned),
        );
    }

    fn open(
        &mut self,
        raw: RawSpan,
        tag: Option<&Tag>,
        expected: &str,
        frame: impl FnOnce(Span, Cost) -> Frame,
    ) -> Result<(), Stop> {
        let span = self.span(raw);
        self.check_tag(tag, expected, span);
        if self.stack.len() >= MAX_DEPTH {
            self.reader.error(
                Code::YamlLimit,
                span,
                format!("lists and mappings are nested more than {MAX_DEPTH} deep"),
                None,
            );
            return Err(Stop);
        }
        let start = self.cost();
        self.count(span, 0)?;
        self.stack.push(frame(Span { width: 1, ..span }, start));
        Ok(())
    }

    fn close(&mut self) -> Result<(), Stop> {
        let Some(frame) = self.stack.pop() else {
            return Ok(());
        };
        let (data, span, anchor, start) = match frame {
            Frame::List {
                items,
                span,
                anchor,
                start,
                ..
            } => (Data::List(items), span, anchor, start),
            Frame::Mapping {
                entries,
                span,
                anchor,
                start,
                ..
            } => (Data::Mapping(entries), span, anchor, start),
        };
        let weight = self.cost().0 - start.0;
        let node = Node {
            data,
            span,
            style: Style::Collection,
        };
        self.place(node, anchor, weight)
    }

    fn scalar(
        &mut self,
        text: String,
        style: ScalarStyle,
        (anchor, tag): (usize, Option<&Tag>),
        raw: RawSpan,
    ) -> Result<(), Stop> {
        let span = self.span(raw);
        let start = self.cost();
        self.count(span, text.len())?;
        let style = match style {
            ScalarStyle::Plain => Style::Plain,
            ScalarStyle::SingleQuoted => Style::SingleQuoted,
            ScalarStyle::DoubleQuoted => Style::DoubleQuoted,
            ScalarStyle::Literal => Style::Literal,
            ScalarStyle::Folded => Style::Folded,
        };
        let is_text = style != Style::Plain || tag.is_some_and(|tag| tag.suffix == "str");
        self.check_tag(tag, "str", span);
        let data = if is_text {
            Data::Text(text)
        } else {
            match resolve(text) {
                Ok(data) => data,
                Err(text) => {
                    self.reader.error(
                        Code::BadValue,
                        span,
                        format!("`{text}` is not a number that JSON can hold"),
                        Some(format!("write \"{text}\" if it is meant as text")),
                    );
                    Data::Null
                }
            }
        };
        let weight = self.cost().0 - start.0;
        self.place(Node { data, span, style }, anchor, weight)
    }

    fn alias(&mut self, id: usize, raw: RawSpan) -> Result<(), Stop> {
        let span = self.span(raw);
        let Some((node, weight)) = self.anchors.get(&id) else {
            self.reader.error(
                Code::YamlFeature,
                span,
                "an alias stands inside what it stands for".to_owned(),
                None,
            );
            return Err(Stop);
        };
        let (weight, deep) = (*weight, depth(node));
        self.copy(span, weight)?;
        if self.stack.len() + deep > MAX_DEPTH {
            self.reader.error(
                Code::YamlLimit,
                span,
                format!("lists and mappings are nested more than {MAX_DEPTH} deep"),
                None,
            );
            return Err(Stop);
        }
        let node = self.anchors.get(&id).map(|(node, _)| node.clone());
        // What stands behind an alias weighs again wherever it is copied to.
        self.bytes += weight;
        match node {
            Some(node) => self.place(node, 0, weight),
            None => Ok(()),
        }
    }

    /// Puts a finished node where it belongs.
    fn place(&mut self, node: Node, anchor: usize, weight: usize) -> Result<(), Stop> {
        if anchor > 0 {
            self.copy(node.span, weight)?;
            self.anchors.insert(anchor, (node.clone(), weight));
        }
        match self.stack.last_mut() {
            None => self.root = Some(node),
            Some(Frame::List { is_taken: true, .. }) => {
                if let Some(items) = &mut self.items {
                    items.hand_over(self.reader, &node);
                }
            }
            Some(Frame::List { items, .. }) => items.push(node),
            Some(Frame::Mapping {
                entries, seen, key, ..
            }) => match std::mem::replace(key, Key::Awaited) {
                Key::Awaited => *key = read_key(self.reader, node, entries, seen),
                Key::Read { text, span } => entries.push(Entry {
                    key: text,
                    key_span: span,
                    value: node,
                }),
                Key::Refused => {}
            },
        }
        Ok(())
    }

    fn check_tag(&mut self, tag: Option<&Tag>, expected: &str, span: Span) {
        let Some(tag) = tag else { return };
        if tag.is_yaml_core_schema() && tag.suffix == expected {
            return;
        }
        let shown = if tag.is_yaml_core_schema() {
            format!("!!{}", tag.suffix)
        } else {
            tag.to_string()
        };
        self.reader.error(
            Code::YamlFeature,
            span,
            format!("the tag `{shown}` means nothing here"),
            Some("remove it".to_owned()),
        );
    }

    fn cost(&self) -> Cost {
        Cost(self.bytes + self.nodes * size_of::<Entry>())
    }

    fn count(&mut self, span: Span, bytes: usize) -> Result<(), Stop> {
        self.nodes += 1;
        self.bytes += bytes;
        if self.nodes > MAX_NODES {
            self.reader.error(
                Code::YamlLimit,
                span,
                format!("the file holds more than {MAX_NODES} values"),
                Some("split it into several files".to_owned()),
            );
            return Err(Stop);
        }
        Ok(())
    }

    fn copy(&mut self, span: Span, weight: usize) -> Result<(), Stop> {
        self.copied = self.copied.saturating_add(weight);
        if self.copied > MAX_COPIED {
            self.reader.error(
                Code::YamlLimit,
                span,
                "anchors and aliases make the file grow too much".to_owned(),
                Some("write out what they stand for, or split the file".to_owned()),
            );
            return Err(Stop);
        }
        Ok(())
    }
}

fn read_key(
    reader: &mut Reader<'_>,
    node: Node,
    entries: &[Entry],
    seen: &mut HashSet<String>,
) -> Key {
    let span = node.span;
    let is_plain = node.style == Style::Plain;
    let Data::Text(text) = node.data else {
        refuse_key(reader, &node);
        return Key::Refused;
    };
    if text == "<<" && is_plain {
        reader.error(
            Code::YamlFeature,
            span,
            "merge keys (`<<`) are not supported".to_owned(),
            Some("write the keys out".to_owned()),
        );
        return Key::Refused;
    }
    let is_duplicate = if entries.len() < MANY_KEYS {
        entries.iter().any(|entry| entry.key == text)
    } else {
        if seen.is_empty() {
            seen.extend(entries.iter().map(|entry| entry.key.clone()));
        }
        !seen.insert(text.clone())
    };
    if is_duplicate {
        // In a mapping of a million keys the search would take too long.
        let first = entries
            .iter()
            .take(MAX_SEARCH)
            .find(|entry| entry.key == text);
        let hint = first.map(|entry| format!("it stands on line {} already", entry.key_span.line));
        reader.error(
            Code::DuplicateKey,
            span,
            format!("the key `{}` stands here twice", super::shorten(&text)),
            hint,
        );
        return Key::Refused;
    }
    Key::Read { text, span }
}

/// What people most often mean where YAML reads something else.
fn syntax_hint(message: &str, line: &str, column: usize) -> Option<&'static str> {
    let value: String = line.chars().skip(column.saturating_sub(1)).collect();
    if line.trim_start_matches(' ').starts_with('\t') {
        Some("indent with spaces; YAML does not allow tabs there")
    } else if message.contains("unknown anchor") && value.starts_with('*') {
        Some("a value that starts with `*` must stand in quotes")
    } else if message.contains("trailing content") {
        Some(
            "a value that starts with a quote ends at the next: put quotes of the other kind around all of it",
        )
    } else if line.contains("{{") && !line.contains(['"', '\'']) {
        Some("write a value that starts with `{{` in quotes")
    } else if message.contains("mapping values are not allowed") {
        Some(
            "a value that holds `: ` must stand in quotes; keys of one mapping begin in one column",
        )
    } else if message.contains("parsing a block") {
        Some("keys of one mapping begin in one column, and so do the `-` of one list")
    } else {
        None
    }
}

fn refuse_key(reader: &mut Reader<'_>, node: &Node) {
    let hint = match node.data {
        Data::Null | Data::Bool(_) | Data::Number(_) => Some("write it in quotes"),
        Data::Mapping(_) => Some("a value that starts with `{{` must stand in quotes"),
        Data::Text(_) | Data::List(_) => None,
    };
    reader.error(
        Code::YamlFeature,
        node.span,
        format!("a key must be text, found {}", node.kind()),
        hint.map(str::to_owned),
    );
}

fn depth(node: &Node) -> usize {
    match &node.data {
        Data::Null | Data::Bool(_) | Data::Number(_) | Data::Text(_) => 0,
        Data::List(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Data::Mapping(entries) => {
            1 + entries
                .iter()
                .map(|entry| depth(&entry.value))
                .max()
                .unwrap_or(0)
        }
    }
}

/// What a plain scalar means in the core schema. `Err` for numbers that JSON
/// does not have.
fn resolve(text: String) -> Result<Data, String> {
    match text.as_str() {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Data::Null),
        "true" | "True" | "TRUE" => return Ok(Data::Bool(true)),
        "false" | "False" | "FALSE" => return Ok(Data::Bool(false)),
        _ => {}
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(&text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(&*text, ".nan" | ".NaN" | ".NAN") {
        return Err(text);
    }
    let starts_like_number = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    if !starts_like_number {
        return Ok(Data::Text(text));
    }
    match number(&text) {
        Some(number) => Ok(Data::Number(number)),
        None => Ok(Data::Text(text)),
    }
}

fn number(text: &str) -> Option<Number> {
    let radix = |digits: &str, radix: u32| {
        let is_number = !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
        is_number
            .then(|| u128::from_str_radix(digits, radix).ok())
            .flatten()
            .and_then(|value| value.to_string().parse().ok())
    };
    if let Some(digits) = text.strip_prefix("0x") {
        return radix(digits, 16);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return radix(digits, 8);
    }
    let (sign, unsigned) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let is_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let has_digits = !whole.is_empty() || fraction.is_some_and(|digits| !digits.is_empty());
    if !has_digits || !is_digits(whole) || !fraction.is_none_or(is_digits) {
        return None;
    }
    let whole = match whole.trim_start_matches('0') {
        "" => "0",
        digits => digits,
    };
    let mut json = format!("{sign}{whole}");
    if let Some(fraction) = fraction {
        json.push('.');
        json.push_str(if fraction.is_empty() { "0" } else { fraction });
    }
    if let Some(exponent) = exponent {
        json.push('e');
        json.push_str(exponent);
    }
    json.parse().ok()
}
