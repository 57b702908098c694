//! Finds the place in the file of a part of a scalar's text.
//!
//! The parser gives the text as it is meant, without escapes, folding and
//! indentation. This walks the file and the text side by side. Where the two
//! cannot be matched the place is that of the scalar itself.

use super::{Data, Node, Reader, Span, Style};

/// Behind this column nothing is looked for: nobody reads such a line, and many
/// problems on it would take too long.
const MAX_COLUMN: u32 = 10_000;

pub(super) fn locate(reader: &Reader<'_>, node: &Node, offset: usize, len: usize) -> Span {
    let Data::Text(text) = &node.data else {
        return node.span;
    };
    if node.span.column > MAX_COLUMN || reader.is_full() {
        return node.span;
    }
    let Some(before) = text.get(..offset) else {
        return node.span;
    };
    let meant = text.get(offset..offset + len).unwrap_or("");
    let mut walk = Walk::new(reader, node);
    for c in before.chars() {
        walk.pass(c);
    }
    if meant.chars().next().is_some_and(|c| !c.is_whitespace()) {
        walk.skip_blank();
    }
    let start = (walk.line, walk.column);
    for c in meant.chars() {
        walk.pass(c);
    }
    let end = if walk.line == start.0 {
        walk.column
    } else {
        reader.line(start.0).chars().count()
    };
    let small = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    Span {
        line: small(start.0),
        column: small(start.1 + 1),
        width: small(end.saturating_sub(start.1).max(1)),
    }
}

/// A position in the file that follows the meant text.
struct Walk<'r, 't> {
    reader: &'r Reader<'t>,
    style: Style,
    /// Counts from 1.
    line: usize,
    /// Counts from 0, in characters.
    column: usize,
    /// What is left of the line.
    rest: &'t str,
}

impl<'r, 't> Walk<'r, 't> {
    fn new(reader: &'r Reader<'t>, node: &Node) -> Self {
        let line = usize::try_from(node.span.line).unwrap_or(usize::MAX);
        let mut walk = Self {
            reader,
            style: node.style,
            line,
            column: 0,
            rest: reader.line(line),
        };
        for _ in 1..node.span.column {
            walk.step();
        }
        match node.style {
            Style::SingleQuoted | Style::DoubleQuoted => walk.step(),
            Style::Literal | Style::Folded => {
                if walk.rest.starts_with(['|', '>']) {
                    walk.next_line();
                }
            }
            Style::Plain | Style::Collection => {}
        }
        walk
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn step(&mut self) {
        let mut chars = self.rest.chars();
        if chars.next().is_some() {
            self.column += 1;
            self.rest = chars.as_str();
        }
    }

    fn next_line(&mut self) {
        self.line += 1;
        self.column = 0;
        self.rest = self.reader.line(self.line);
    }

    fn is_last_line(&self) -> bool {
        self.line >= self.reader.line_count()
    }

    /// Over blanks and line breaks to the next visible character.
    fn skip_blank(&mut self) {
        loop {
            while self.peek().is_some_and(char::is_whitespace) {
                self.step();
            }
            let is_joined = self.style == Style::DoubleQuoted && self.rest == "\\";
            if (self.rest.is_empty() || is_joined) && !self.is_last_line() {
                self.next_line();
            } else {
                return;
            }
        }
    }

    /// Over what stands in the file for `c` of the meant text.
    fn pass(&mut self, c: char) {
        if c.is_whitespace() && self.peek() != Some('\\') {
            if self.rest.trim_start().is_empty() {
                self.skip_blank();
            } else if self.peek().is_some_and(char::is_whitespace) {
                self.step();
            }
            return;
        }
        self.skip_blank();
        match (self.style, self.peek()) {
            (Style::SingleQuoted, Some('\'')) => {
                self.step();
                self.step();
            }
            (Style::DoubleQuoted, Some('\\')) => {
                self.step();
                let digits = match self.peek() {
                    Some('x') => 2,
                    Some('u') => 4,
                    Some('U') => 8,
                    Some(_) | None => 0,
                };
                self.step();
                for _ in 0..digits {
                    self.step();
                }
            }
            (_, Some(_)) => self.step(),
            (_, None) => {}
        }
    }
}
