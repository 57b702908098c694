//! Regular expressions and globs, in time that is linear in the text, and paid
//! for by their size.
//!
//! A constant pattern is compiled when the expression is parsed. One that is
//! computed is compiled when it is used, under the same limits on its size, and
//! its length is limited besides, since it can come from an event.

mod cost;

use std::borrow::Cow;

use regex::{Captures, Regex, RegexBuilder};

pub(crate) use cost::Cost;

use super::{Filter, Given, part, text_of};
use crate::{
    expr::tree::Pattern,
    value::{Text, Trouble, Val, failed},
};

/// How an argument is used as a pattern. It is always the first parameter;
/// the numbers are the parameters of its flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PatternUse {
    Regex { ignorecase: usize, multiline: usize },
    Glob,
}

/// Room for `\w{20}`: Unicode has many letters.
const COMPILED_SIZE_LIMIT: usize = 1 << 20;
const COMPUTED_LENGTH_LIMIT: usize = 1000;
const DEEPEST: u32 = 50;

/// Compiles a regular expression or says what is wrong with it.
pub(crate) fn compile(pattern: &str, ignorecase: bool, multiline: bool) -> Result<Pattern, String> {
    let regex = RegexBuilder::new(pattern)
        .case_insensitive(ignorecase)
        .multi_line(multiline)
        .size_limit(COMPILED_SIZE_LIMIT)
        .dfa_size_limit(COMPILED_SIZE_LIMIT)
        .nest_limit(DEEPEST)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => "the regular expression is too large".to_owned(),
            other => {
                let text = other.to_string();
                let reason = text.lines().last().unwrap_or_default().trim();
                let reason = reason.strip_prefix("error: ").unwrap_or(reason);
                format!("the regular expression is not valid: {reason}")
            }
        })?;
    let cost = Cost::of(pattern, ignorecase, multiline);
    let cost = cost.ok_or("the regular expression is not valid")?;
    Ok(Pattern { regex, cost })
}

/// Compiles a glob: `*`, `?`, `[abc]`, `[!abc]`.
pub(crate) fn compile_glob(pattern: &str) -> Result<Pattern, String> {
    compile(&regex_of_glob(pattern)?, false, false)
}

fn regex_of_glob(pattern: &str) -> Result<String, String> {
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
    Ok(regex)
}

/// The pattern of a call: the one compiled at parse, or the computed one.
pub(super) fn of_call<'a>(
    given: &Given<'a, '_>,
    usage: PatternUse,
) -> Result<Cow<'a, Pattern>, Trouble> {
    if let Some(pattern) = given.pattern {
        return Ok(Cow::Borrowed(pattern));
    }
    let text = given.text(0)?;
    if text.len() > COMPUTED_LENGTH_LIMIT {
        return failed(format!(
            "a computed pattern has at most {COMPUTED_LENGTH_LIMIT} bytes"
        ));
    }
    // Compiling is dear; a list of items must not repeat it without end.
    given.budget.steps(500 + text.len() * 4)?;
    let (regex, ignorecase, multiline) = match usage {
        PatternUse::Regex {
            ignorecase,
            multiline,
        } => (
            Cow::Borrowed(&*text),
            given.flag(ignorecase),
            given.flag(multiline),
        ),
        PatternUse::Glob => {
            let regex = regex_of_glob(&text).map_err(Trouble::Failed)?;
            (Cow::Owned(regex), false, false)
        }
    };
    if let Some(cost) = Cost::of(&regex, ignorecase, multiline) {
        given.budget.steps(cost.compiling())?;
    }
    let compiled = compile(&regex, ignorecase, multiline);
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
    let pattern = of_call(given, usage)?;
    let groups = pattern.regex.captures_len();
    given
        .budget
        .steps(pattern.cost.grouping(text.len(), groups))?;
    match filter {
        Filter::RegexSearch => search(&text, &pattern.regex, given),
        Filter::RegexFindall => find_all(&text, &pattern, given),
        _ => replace(&text, &pattern, given),
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
fn find_all<'a>(
    text: &Text<'a>,
    pattern: &Pattern,
    given: &Given<'a, '_>,
) -> Result<Val<'a>, Trouble> {
    let mut out = Vec::new();
    let group = |captures: &Captures<'_>, index: usize| match captures.get(index) {
        Some(found) => matched(text, Some(found)),
        None => Val::str(""),
    };
    for captures in pattern.regex.captures_iter(text) {
        pay_for_next(&captures, text, pattern, given)?;
        out.push(match captures.len() {
            1 => group(&captures, 0),
            2 => group(&captures, 1),
            count => Val::list((1..count).map(|index| group(&captures, index)).collect()),
        });
    }
    Ok(Val::list(out))
}

/// What it costs to go on behind a match.
fn pay_for_next(
    captures: &Captures<'_>,
    text: &str,
    pattern: &Pattern,
    given: &Given<'_, '_>,
) -> Result<(), Trouble> {
    let end = captures.get(0).map_or(0, |whole| whole.end());
    let left = text.len().saturating_sub(end);
    given.budget.steps(captures.len())?;
    given.budget.steps(pattern.cost.further(left))
}

fn replace<'a>(
    text: &Text<'a>,
    pattern: &Pattern,
    given: &Given<'a, '_>,
) -> Result<Val<'a>, Trouble> {
    let replacement = given.text(1)?;
    let limit = match given.integer(4)? {
        Some(count) if count > 0 => usize::try_from(count).unwrap_or(usize::MAX),
        Some(_) | None => usize::MAX,
    };
    let mut out = String::new();
    let mut copied = 0;
    for captures in pattern.regex.captures_iter(text).take(limit) {
        let Some(whole) = captures.get(0) else {
            continue;
        };
        pay_for_next(&captures, text, pattern, given)?;
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
