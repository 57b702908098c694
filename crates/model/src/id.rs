//! Names of things, each a type of its own so that they cannot be confused.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize};

use crate::clock::Timestamp;

/// A text that is not a valid id or name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    #[error("{what} must have 1 to {max} characters, this has {len}")]
    Length {
        what: &'static str,
        max: usize,
        len: usize,
    },
    #[error("{what} may not contain {found:?}; allowed are letters, digits and `{extra}`")]
    Character {
        what: &'static str,
        found: char,
        extra: &'static str,
    },
}

fn check(
    text: &str,
    what: &'static str,
    max: usize,
    extra: &'static str,
) -> Result<String, IdError> {
    let len = text.chars().count();
    if len == 0 || len > max {
        return Err(IdError::Length { what, max, len });
    }
    match text
        .chars()
        .find(|c| !c.is_ascii_alphanumeric() && !extra.contains(*c))
    {
        Some(found) => Err(IdError::Character { what, found, extra }),
        None => Ok(text.to_owned()),
    }
}

macro_rules! checked_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $max:literal, $extra:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                check(text, $what, $max, $extra).map(Self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

checked_id! {
    /// The id of an event: 1 to 200 of `[A-Za-z0-9._:@-]`, the sender's or ours.
    EventId, "an event id", 200, "._:@-"
}
checked_id! {
    /// The id of a job, a UUID v7.
    JobId, "a job id", 64, "-"
}
checked_id! {
    /// The id of a dead letter, a UUID v7.
    DeadLetterId, "a dead letter id", 64, "-"
}
checked_id! {
    /// The name of a rule: 1 to 100 of `[A-Za-z0-9._-]`, unique in a project.
    RuleName, "a rule name", 100, "._-"
}
checked_id! {
    /// One worker: host name, process and start, unique among all that ever ran.
    WorkerId, "a worker id", 200, "._:@-"
}
checked_id! {
    /// The name of a source in `lariat.yml`: 1 to 64 of `[A-Za-z0-9_-]`.
    SourceName, "a source name", 64, "_-"
}
checked_id! {
    /// The name of a sink in `lariat.yml`: 1 to 64 of `[A-Za-z0-9_-]`.
    SinkName, "a sink name", 64, "_-"
}
checked_id! {
    /// The name of an account in `accounts.yml`: 1 to 64 of `[A-Za-z0-9_-]`.
    AccountName, "an account name", 64, "_-"
}
checked_id! {
    /// Which token: 12 hexadecimal digits, part of its text.
    TokenId, "a token id", 12, ""
}
checked_id! {
    /// The name of a token, and of who asks with it: 1 to 64 of
    /// `[A-Za-z0-9._@-]`.
    TokenName, "a token name", 64, "._@-"
}
checked_id! {
    /// The content hash of a project's rules and listing, in lower-case hex.
    Revision, "a revision", 64, ""
}

impl EventId {
    /// A new id, `<year>-<uuid v7>`.
    pub fn generate(now: Timestamp) -> Self {
        Self(format!("{}-{}", now.year(), uuid::Uuid::now_v7()))
    }
}

impl JobId {
    pub fn generate() -> Self {
        Self(uuid::Uuid::now_v7().to_string())
    }
}

impl DeadLetterId {
    pub fn generate() -> Self {
        Self(uuid::Uuid::now_v7().to_string())
    }
}

/// The right to work on a job: its id and the number of the attempt.
///
/// The number is the fencing token: a later claim has a higher one, and what
/// comes with a lower one is refused.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LeaseId {
    pub job: JobId,
    pub attempt: u32,
}

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.job, self.attempt)
    }
}

/// Who asked for something: a client of the API or the engine itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Principal(pub String);

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests;
