//! Filters and methods on strings.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{Filter, Given, Method, part, text_of};
use crate::value::{Text, Trouble, Val, failed};

pub(super) fn filter<'a>(
    filter: Filter,
    value: &Val<'a>,
    given: &Given<'a, '_>,
) -> Result<Val<'a>, Trouble> {
    let text = text_of(value, given.budget)?;
    given.budget.steps(text.len() / 64)?;
    match filter {
        Filter::B64Encode => {
            given.budget.bytes(text.len())?;
            given.string(STANDARD.encode(text.as_bytes()))
        }
        Filter::B64Decode => match STANDARD.decode(text.trim().as_bytes()) {
            Ok(bytes) => match String::from_utf8(bytes) {
                Ok(text) => given.string(text),
                Err(_) => failed("the decoded bytes are not UTF-8"),
            },
            Err(error) => failed(format!("this is not base64: {error}")),
        },
        Filter::Basename => {
            let start = text.rfind('/').map_or(0, |index| index + 1);
            Ok(sub(&text, start..text.len()))
        }
        Filter::Dirname => {
            let end = text.rfind('/').map_or(0, |index| index + 1);
            let head = text.get(..end).unwrap_or_default();
            let trimmed = head.trim_end_matches('/');
            let end = if trimmed.is_empty() {
                end
            } else {
                trimmed.len()
            };
            Ok(sub(&text, 0..end))
        }
        Filter::Capitalize => given.string(capitalize(&text)),
        Filter::Lower => given.string(text.to_lowercase()),
        Filter::Upper => given.string(text.to_uppercase()),
        Filter::Title => given.string(title(&text)),
        Filter::Replace => replace(&text, given),
        Filter::Split => split(&text, given),
        Filter::Trim => strip(&text, given, true, true),
        _ => failed("this is no filter on strings"),
    }
}

pub(super) fn method<'a>(
    method: Method,
    value: &Val<'a>,
    given: &Given<'a, '_>,
) -> Result<Val<'a>, Trouble> {
    let text = match value {
        Val::Str(text) => text.clone(),
        other => {
            return failed(format!(
                "`{}` needs a string, this is {}",
                method.spec().name,
                other.kind()
            ));
        }
    };
    given.budget.steps(text.len() / 64)?;
    match method {
        Method::Capitalize => given.string(capitalize(&text)),
        Method::Lower => given.string(text.to_lowercase()),
        Method::Upper => given.string(text.to_uppercase()),
        Method::Title => given.string(title(&text)),
        Method::Count => {
            let wanted = given.text(0)?;
            Ok(Val::count(if wanted.is_empty() {
                text.chars().count() + 1
            } else {
                text.matches(&*wanted).count()
            }))
        }
        Method::StartsWith => one_of(given, |prefix| text.starts_with(prefix)),
        Method::EndsWith => one_of(given, |suffix| text.ends_with(suffix)),
        Method::Join => super::lists::join(given.need(0)?, &text, given),
        Method::Replace => replace(&text, given),
        Method::Split => split(&text, given),
        Method::Strip => strip(&text, given, true, true),
        Method::LStrip => strip(&text, given, true, false),
        Method::RStrip => strip(&text, given, false, true),
        Method::Get | Method::Items | Method::Keys | Method::Values => {
            failed("this is no method of strings")
        }
    }
}

/// Python's `startswith` also takes several to choose from.
fn one_of<'a>(given: &Given<'a, '_>, fits: impl Fn(&str) -> bool) -> Result<Val<'a>, Trouble> {
    if let Val::List(choices) = given.need(0)? {
        for choice in choices.iter() {
            given.budget.steps(1)?;
            if fits(&text_of(&choice, given.budget)?) {
                return Ok(Val::Bool(true));
            }
        }
        return Ok(Val::Bool(false));
    }
    Ok(Val::Bool(fits(&given.text(0)?)))
}

fn sub<'a>(text: &Text<'a>, range: std::ops::Range<usize>) -> Val<'a> {
    part(text, range).map_or_else(|| Val::str(""), Val::Str)
}

fn capitalize(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_uppercase().collect::<String>() + &chars.as_str().to_lowercase(),
        None => String::new(),
    }
}

fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut is_start = true;
    for c in text.chars() {
        if is_start {
            out.extend(c.to_uppercase());
        } else {
            out.extend(c.to_lowercase());
        }
        is_start = !c.is_alphanumeric() && c != '\'';
    }
    out
}

fn replace<'a>(text: &Text<'a>, given: &Given<'a, '_>) -> Result<Val<'a>, Trouble> {
    let (old, new) = (given.text(0)?, given.text(1)?);
    let limit = match given.integer(2)? {
        Some(count) if count >= 0 => usize::try_from(count).unwrap_or(usize::MAX),
        Some(_) | None => usize::MAX,
    };
    let found = text.matches(&*old).take(limit).count();
    given
        .budget
        .bytes(found.saturating_mul(new.len()).saturating_add(text.len()))?;
    Ok(Val::string(text.replacen(&*old, &new, limit)))
}

fn split<'a>(text: &Text<'a>, given: &Given<'a, '_>) -> Result<Val<'a>, Trouble> {
    given.budget.steps(text.len())?;
    let limit = match given.integer(1)? {
        Some(count) if count >= 0 => usize::try_from(count).unwrap_or(usize::MAX - 1),
        Some(_) | None => usize::MAX - 1,
    };
    let separator = match given.get(0) {
        None | Some(Val::None) => None,
        Some(_) => Some(given.text(0)?),
    };
    let whole: &str = text;
    let parts: Vec<&str> = match &separator {
        Some(separator) if separator.is_empty() => return failed("the separator is empty"),
        Some(separator) => whole.splitn(limit + 1, &**separator).collect(),
        None => split_words(whole, limit),
    };
    let start = whole.as_ptr() as usize;
    Ok(Val::list(
        parts
            .into_iter()
            .map(|part| {
                let from = part.as_ptr() as usize - start;
                sub(text, from..from + part.len())
            })
            .collect(),
    ))
}

fn split_words(text: &str, limit: usize) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        if parts.len() == limit {
            parts.push(rest);
            break;
        }
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        parts.push(word);
        rest = after.trim_start();
    }
    parts
}

fn strip<'a>(
    text: &Text<'a>,
    given: &Given<'a, '_>,
    left: bool,
    right: bool,
) -> Result<Val<'a>, Trouble> {
    let chars = match given.get(0) {
        None | Some(Val::None) => None,
        Some(_) => Some(given.text(0)?),
    };
    if let Some(chars) = &chars {
        given
            .budget
            .steps((text.len() / 16).saturating_mul(chars.len() / 16))?;
    }
    let is_stripped = |c: char| match &chars {
        Some(chars) => chars.contains(c),
        None => c.is_whitespace(),
    };
    let end = if right {
        text.trim_end_matches(is_stripped).len()
    } else {
        text.len()
    };
    let rest = text.get(..end).unwrap_or_default();
    let start = if left {
        end - rest.trim_start_matches(is_stripped).len()
    } else {
        0
    };
    Ok(sub(text, start..end))
}
