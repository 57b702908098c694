//! Regular expressions and globs, in time that is linear in the text.
//!
//! A constant pattern is compiled when the expression is parsed. One that is
//! computed is compiled when it is used, under the same limits on its size, and
//! its length is limited besides, since it can come from an event.

use std::borrow::Cow;

use regex::{Captures, Regex, RegexBuilder};

use super::{Filter, Given, part, text_of};
use crate::value::{Text, Trouble, Val, failed};

/// How an argument is used as a pattern. It is always the first parameter;
/// the numbers are the parameters of its flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PatternUse {
    Regex { ignorecase: usize, multiline: usize },
    Glob,
}

const COMPILED_SIZE_LIMIT: usize = 1 << 20;
const COMPUTED_LENGTH_LIMIT: usize = 1000;

/// Compiles a regular expression or says what is wrong with it.
pub(crate) fn compile(pattern: &str, ignorecase: bool, multiline: bool) -> Result<Regex, String> {
    RegexBuilder::new(pattern)
        .case_insensitive(ignorecase)
        .multi_line(multiline)
        .size_limit(COMPILED_SIZE_LIMIT)
        .dfa_size_limit(COMPILED_SIZE_LIMIT)
        .nest_limit(50)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => "the regular expression is too large".to_owned(),
            other => {
                let text = other.to_string();
                let reason = text.lines().last().unwrap_or_default().trim();
                let reason = reason.strip_prefix("error: ").unwrap_or(reason);
                format!("the regular expression is not valid: {reason}")
            }
        })
}

/// Compiles a glob: `*`, `?`, `[abc]`, `[!abc]`.
pub(crate) fn compile_glob(pattern: &str) -> Result<Regex, String> {
    let mut regex = String::from(r"(?s)\A");
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '*' => regex.push_str(".*"),
            '?' => regex.push('.'),
            '[' => {
                let mut class = String::new();
                let mut is_closed = false;
                let is_negated = chars.next_if(|c| *c == '!' || *c == '^').is_some();
                for c in chars.by_ref() {
                    if c == ']' && !class.is_empty() {
                        is_closed = true;
                        break;
                    }
                    if matches!(c, '\\' | '[' | ']' | '^' | '&' | '~') {
                        class.push('\\');
                    }
                    class.push(c);
                }
                if !is_closed {
                    return Err("the glob has a `[` without `]`".to_owned());
                }
                regex.push_str(if is_negated { "[^" } else { "[" });
                regex.push_str(&class);
                regex.push(']');
            }
            other => regex.push_str(&regex::escape(other.encode_utf8(&mut [0; 4]))),
        }
    }
    regex.push_str(r"\z");
    compile(&regex, false, false)
}

/// The pattern of a call: the one compiled at parse, or the computed one.
pub(super) fn of_call<'a>(
    given: &Given<'a, '_>,
    usage: PatternUse,
) -> Result<Cow<'a, Regex>, Trouble> {
    if let Some(pattern) = given.pattern {
        return Ok(Cow::Borrowed(&pattern.0));
    }
    let text = given.text(0)?;
    if text.len() > COMPUTED_LENGTH_LIMIT {
        return failed(format!(
            "a computed pattern has at most {COMPUTED_LENGTH_LIMIT} bytes"
        ));
    }
    // Compiling is dear; a list of items must not repeat it without end.
    given.budget.steps(500 + text.len() * 4)?;
    let compiled = match usage {
        PatternUse::Regex {
            ignorecase,
            multiline,
        } => compile(&text, given.flag(ignorecase), given.flag(multiline)),
        PatternUse::Glob => compile_glob(&text),
    };
    compiled.map(Cow::Owned).map_err(Trouble::Failed)
}

pub(super) fn filter<'a>(
    filter: Filter,
    value: &Val<'a>,
    given: &Given<'a, '_>,
) -> Result<Val<'a>, Trouble> {
    let Some(usage) = filter.pattern_use() else {
        return failed("this filter has no pattern");
    };
    let text = text_of(value, given.budget)?;
    let regex = of_call(given, usage)?;
    given.budget.steps(text.len() / 16)?;
    match filter {
        Filter::RegexSearch => search(&text, &regex, given),
        Filter::RegexFindall => find_all(&text, &regex, given),
        _ => replace(&text, &regex, given),
    }
}

fn matched<'a>(text: &Text<'a>, found: Option<regex::Match<'_>>) -> Val<'a> {
    found
        .and_then(|found| part(text, found.range()))
        .map_or(Val::None, Val::Str)
}

/// The match, or the groups that are asked for as `\1` or `\g<name>`; none
/// without a match.
fn search<'a>(text: &Text<'a>, regex: &Regex, given: &Given<'a, '_>) -> Result<Val<'a>, Trouble> {
    let Some(captures) = regex.captures(text) else {
        return Ok(Val::None);
    };
    if given.get(1).is_none() {
        return Ok(matched(text, captures.get(0)));
    }
    let mut groups = Vec::new();
    for slot in 1..=3 {
        if given.get(slot).is_none() {
            continue;
        }
        let wanted = given.text(slot)?;
        let Some((group, "")) = read_group(&wanted) else {
            return failed(format!("`{}` names no group; write `\\\\1`", &*wanted));
        };
        let found = match group {
            Group::Index(index) if index < captures.len() => captures.get(index),
            Group::Name(name) if regex.capture_names().flatten().any(|known| known == name) => {
                captures.name(name)
            }
            Group::Index(_) | Group::Name(_) => {
                return failed(format!(
                    "the regular expression has no group `{}`",
                    &*wanted
                ));
            }
        };
        groups.push(matched(text, found));
    }
    Ok(Val::list(groups))
}

/// As Python's `findall`: matches, or the group, or lists of the groups.
fn find_all<'a>(text: &Text<'a>, regex: &Regex, given: &Given<'a, '_>) -> Result<Val<'a>, Trouble> {
    let mut out = Vec::new();
    let group = |captures: &Captures<'_>, index: usize| match captures.get(index) {
        Some(found) => matched(text, Some(found)),
        None => Val::str(""),
    };
    for captures in regex.captures_iter(text) {
        given.budget.steps(captures.len())?;
        out.push(match captures.len() {
            1 => group(&captures, 0),
            2 => group(&captures, 1),
            count => Val::list((1..count).map(|index| group(&captures, index)).collect()),
        });
    }
    Ok(Val::list(out))
}

fn replace<'a>(text: &Text<'a>, regex: &Regex, given: &Given<'a, '_>) -> Result<Val<'a>, Trouble> {
    let replacement = given.text(1)?;
    let limit = match given.integer(4)? {
        Some(count) if count > 0 => usize::try_from(count).unwrap_or(usize::MAX),
        Some(_) | None => usize::MAX,
    };
    let mut out = String::new();
    let mut copied = 0;
    for captures in regex.captures_iter(text).take(limit) {
        let Some(whole) = captures.get(0) else {
            continue;
        };
        given.budget.steps(1)?;
        let before = out.len();
        out.push_str(text.get(copied..whole.start()).unwrap_or_default());
        expand(&replacement, &captures, &mut out)?;
        copied = whole.end();
        given.budget.bytes(out.len() - before)?;
    }
    out.push_str(text.get(copied..).unwrap_or_default());
    given.budget.bytes(text.len().saturating_sub(copied))?;
    Ok(Val::string(out))
}

enum Group<'t> {
    Index(usize),
    Name(&'t str),
}

/// A group at the start of a text, and what follows it.
fn read_group(text: &str) -> Option<(Group<'_>, &str)> {
    let rest = text.strip_prefix('\\')?;
    if let Some(rest) = rest.strip_prefix("g<") {
        let (name, after) = rest.split_once('>')?;
        let group = name.parse().map_or(Group::Name(name), Group::Index);
        return Some((group, after));
    }
    let digits = rest.bytes().take(2).take_while(u8::is_ascii_digit).count();
    let (number, after) = rest.split_at_checked(digits)?;
    Some((Group::Index(number.parse().ok()?), after))
}

/// Python's replacement text: `\1`, `\g<name>`, `\n`, `\\`.
fn expand(replacement: &str, captures: &Captures<'_>, out: &mut String) -> Result<(), Trouble> {
    let mut rest = replacement;
    while let Some(at) = rest.find('\\') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        if let Some((group, after)) = read_group(from) {
            let found = match group {
                Group::Index(index) if index < captures.len() => captures.get(index),
                Group::Name(name) => captures.name(name),
                Group::Index(index) => {
                    return failed(format!("the regular expression has no group {index}"));
                }
            };
            out.push_str(found.map_or("", |found| found.as_str()));
            rest = after;
            continue;
        }
        let mut chars = from.chars();
        chars.next();
        match chars.next() {
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('r') => out.push('\r'),
            Some('\\') | None => out.push('\\'),
            Some(other) => {
                out.push('\\');
                out.push(other);
            }
        }
        rest = chars.as_str();
    }
    out.push_str(rest);
    Ok(())
}
