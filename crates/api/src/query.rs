//! Query parameters, strictly: an unknown one, a repeated one and a bad value
//! are each named, all of them at once.

use std::{str::FromStr, time::Duration};

use axum::{extract::Query, http::Uri};
use model::{
    clock::Timestamp,
    page::{Cursor, Position},
    suggest::nearest,
};

use crate::{
    json::ProblemError,
    problem::{Answer, Problem, ProblemCode},
};

/// The parameters of one request. Take each with its type, then call
/// [`Params::finish`].
#[derive(Debug)]
pub(crate) struct Params {
    values: Vec<(String, String)>,
    errors: Vec<ProblemError>,
    now: Timestamp,
}

pub(crate) const DEFAULT_LIMIT: usize = 50;
pub(crate) const MAX_LIMIT: usize = 500;

const BOTH_WAYS: &str = "goes forward and `cursor` back; give one of them";

impl Params {
    /// `known` are the parameters that the address takes.
    pub(crate) fn new(uri: &Uri, known: &[&str], now: Timestamp) -> Self {
        Self::repeating(uri, known, &[], now)
    }

    /// As [`Params::new`]; those of `repeated` may be given more than once.
    pub(crate) fn repeating(uri: &Uri, known: &[&str], repeated: &[&str], now: Timestamp) -> Self {
        let values = Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map(|Query(values)| values)
            .unwrap_or_default();
        let mut params = Self {
            values: Vec::new(),
            errors: Vec::new(),
            now,
        };
        for (name, value) in values {
            if !known.contains(&name.as_str()) {
                params.refuse(&name, unknown(&name, known));
            } else if !repeated.contains(&name.as_str())
                && params.values.iter().any(|(other, _)| *other == name)
            {
                params.refuse(&name, "is given more than once".to_owned());
            } else if value.contains(char::REPLACEMENT_CHARACTER) {
                // What bytes that are no text have been decoded to.
                params.refuse(&name, "is not UTF-8".to_owned());
            } else {
                params.values.push((name, value));
            }
        }
        params
    }

    pub(crate) fn refuse(&mut self, name: &str, message: String) {
        let name: String = name.chars().take(64).collect();
        let is_known = self
            .errors
            .iter()
            .any(|error| error.field.as_deref() == Some(&name) && error.message == message);
        if !is_known && self.errors.len() < 100 {
            self.errors.push(ProblemError {
                index: None,
                field: Some(name),
                message,
            });
        }
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.values
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// A value of a type that knows how it is written.
    pub(crate) fn get<T: FromStr>(&mut self, name: &str) -> Option<T>
    where
        T::Err: ToString,
    {
        let text = self.text(name)?.to_owned();
        self.parse(name, &text)
    }

    /// Every value of a parameter that may be given more than once.
    pub(crate) fn all<T: FromStr>(&mut self, name: &str) -> Vec<T>
    where
        T::Err: ToString,
    {
        let given = self.values.iter().filter(|(known, _)| known == name);
        let texts: Vec<String> = given.map(|(_, text)| text.clone()).collect();
        texts
            .iter()
            .filter_map(|text| self.parse(name, text))
            .collect()
    }

    fn parse<T: FromStr>(&mut self, name: &str, text: &str) -> Option<T>
    where
        T::Err: ToString,
    {
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.refuse(name, error.to_string());
                None
            }
        }
    }

    /// One of the words of an enum.
    pub(crate) fn word<T: FromStr>(&mut self, name: &str, words: &[&str]) -> Option<T> {
        let text = self.text(name)?;
        if let Ok(value) = text.parse() {
            return Some(value);
        }
        let message = match nearest(text, words.iter().copied()) {
            Some(near) => format!("did you mean `{near}`? It is one of {}", words.join(", ")),
            None => format!("must be one of {}", words.join(", ")),
        };
        self.refuse(name, message);
        None
    }

    /// A whole number from 0.
    pub(crate) fn number<T: FromStr>(&mut self, name: &str) -> Option<T> {
        let text = self.text(name)?;
        let is_plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if let Some(value) = is_plain.then(|| text.parse().ok()).flatten() {
            return Some(value);
        }
        self.refuse(name, "must be a whole number".to_owned());
        None
    }

    /// A moment: RFC 3339, or an age such as `10m`.
    pub(crate) fn moment(&mut self, name: &str) -> Option<Timestamp> {
        let text = self.text(name)?;
        let moment = match age(text) {
            Some(age) => Some(self.now.minus(age)),
            None => text.parse().ok(),
        };
        if moment.is_none() {
            self.refuse(
                name,
                "must be an age such as `90s`, `10m`, `24h`, `30d`, or an RFC 3339 time such as \
                 `2026-11-20T22:43:00Z` (with `+` written as `%2B`)"
                    .to_owned(),
            );
        }
        moment
    }

    pub(crate) fn limit(&mut self) -> usize {
        if self.text("limit").is_none() {
            return DEFAULT_LIMIT;
        }
        match self.number("limit") {
            Some(limit) if (1..=MAX_LIMIT).contains(&limit) => limit,
            Some(_) => {
                self.refuse("limit", format!("must be 1 to {MAX_LIMIT}"));
                DEFAULT_LIMIT
            }
            None => DEFAULT_LIMIT,
        }
    }

    /// `after=now`: only where the list ends is asked for.
    pub(crate) fn is_from_now(&mut self) -> bool {
        let is_from_now = self.text("after") == Some("now");
        if is_from_now && self.text("cursor").is_some() {
            self.refuse("after", BOTH_WAYS.to_owned());
        }
        is_from_now
    }

    /// `cursor` goes back in time, `after` forward.
    pub(crate) fn position(&mut self) -> Position {
        let before = self.get::<Cursor>("cursor");
        let after = self.get::<Cursor>("after");
        match (before, after) {
            (Some(_), Some(_)) => {
                self.refuse("after", BOTH_WAYS.to_owned());
                Position::Newest
            }
            (Some(before), None) => Position::Before(before),
            (None, Some(after)) => Position::After(after),
            (None, None) => Position::Newest,
        }
    }

    /// All that was wrong, if anything was.
    pub(crate) fn finish(self) -> Answer<()> {
        let detail = match self.errors.as_slice() {
            [] => return Ok(()),
            [only] => format!(
                "`{}`: {}",
                only.field.as_deref().unwrap_or_default(),
                only.message
            ),
            many => format!("{} query parameters are wrong", many.len()),
        };
        Err(Problem::new(ProblemCode::InvalidParameter, detail).with_errors(self.errors))
    }
}

fn unknown(name: &str, known: &[&str]) -> String {
    if known.is_empty() {
        return "this address takes no query parameters".to_owned();
    }
    match nearest(name, known.iter().copied()) {
        Some(near) => format!("is not known here; did you mean `{near}`?"),
        None => format!("is not known here; known are {}", known.join(", ")),
    }
}

/// `90s`, `10m`, `24h`, `30d`.
fn age(text: &str) -> Option<Duration> {
    let (unit, seconds) = [('s', 1), ('m', 60), ('h', 3_600), ('d', 86_400)]
        .into_iter()
        .find(|(unit, _)| text.ends_with(*unit))?;
    let digits = text.strip_suffix(unit)?;
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(Duration::from_secs(count.checked_mul(seconds)?))
}

#[cfg(test)]
mod tests;
