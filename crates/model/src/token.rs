//! Tokens: who may ask the service for what.
//!
//! A token is a secret that is shown once; what is kept of it is a hash. Its
//! text says which token it is and ends with a checksum, so that one that
//! leaked can be found by a pattern, `lariat_[0-9a-f]{12}_[0-9a-f]{72}`, and a
//! slip of the pen is told apart from a token that is not known.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    clock::Timestamp,
    id::{Principal, TokenId, TokenName},
    ports::WordError,
};

/// What a token may do. Each may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads everything except tokens and the audit.
    Viewer,
    /// Publishes events.
    Publisher,
    /// Cancels, retries, discards, reloads.
    Operator,
    /// Manages tokens and reads the audit.
    Admin,
}

impl Role {
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Publisher, Self::Operator, Self::Admin];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Publisher => "publisher",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = WordError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or(WordError {
                expected: "viewer, publisher, operator, admin",
            })
    }
}

/// A token as it is kept, without anything that would let one in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub id: TokenId,
    pub name: TokenName,
    pub role: Role,
    pub created: Timestamp,
    pub created_by: Principal,
    /// From this moment on it lets nobody in.
    pub expires: Option<Timestamp>,
    /// Coarse: written at most once a minute.
    pub last_used: Option<Timestamp>,
    pub revoked: Option<(Timestamp, Principal)>,
}

/// Names that say who asks without a token, so no token may have them.
pub const RESERVED_NAMES: [&str; 4] = ["api", "lariat", "local", "signal"];

impl TokenName {
    pub fn is_reserved(&self) -> bool {
        // `Lariat` is no better to read in a log.
        RESERVED_NAMES
            .iter()
            .any(|name| name.eq_ignore_ascii_case(self.as_str()))
    }

    /// Who asks with the token.
    pub fn principal(&self) -> Principal {
        Principal(self.as_str().to_owned())
    }
}

/// Whether a token lets somebody in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Live,
    Expired,
    Revoked,
}

impl Standing {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

impl Token {
    /// What the audit says of it beside its name.
    pub fn described(&self) -> String {
        let Self { id, role, .. } = self;
        match self.expires {
            Some(end) => format!("{role}, id {id}, until {end}"),
            None => format!("{role}, id {id}, without end"),
        }
    }

    pub fn standing(&self, now: Timestamp) -> Standing {
        if self.revoked.is_some() {
            return Standing::Revoked;
        }
        match self.expires {
            Some(end) if end <= now => Standing::Expired,
            Some(_) | None => Standing::Live,
        }
    }
}

const PREFIX: &str = "lariat_";
const SECRET_BYTES: usize = 32;
/// The id, an underscore, and the secret with its checksum.
const DIGITS_OF_ID: usize = 12;
const DIGITS_OF_CHECKSUM: usize = 8;
const LENGTH: usize = PREFIX.len() + DIGITS_OF_ID + 1 + 2 * SECRET_BYTES + DIGITS_OF_CHECKSUM;

/// The text of a token. It is printed by [`Secret::reveal`] only.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// A text that no token can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    #[error("a token begins with `lariat_` and has {LENGTH} characters")]
    Form,
    #[error("the token is mistyped or cut off: its checksum is wrong")]
    Checksum,
}

/// The operating system gave no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("the operating system gave no random bytes: {0}")]
pub struct NoRandomness(getrandom::Error);

impl Secret {
    /// A new one, with 256 random bits.
    pub fn generate() -> Result<Self, NoRandomness> {
        let mut random = [0; DIGITS_OF_ID / 2 + SECRET_BYTES];
        getrandom::fill(&mut random).map_err(NoRandomness)?;
        let (id, secret) = random.split_at(DIGITS_OF_ID / 2);
        let body = format!("{PREFIX}{}_{}", hex(id), hex(secret));
        let checksum = checksum(&body);
        Ok(Self(body + &checksum))
    }

    pub fn id(&self) -> TokenId {
        self.0
            .get(PREFIX.len()..PREFIX.len() + DIGITS_OF_ID)
            .and_then(|id| id.parse().ok())
            .expect("the form was checked")
    }

    /// What is kept of it. The secret is random and long, so nothing slower
    /// than a plain hash is needed to keep it from being guessed.
    pub fn hash(&self) -> SecretHash {
        SecretHash(Sha256::digest(self.0.as_bytes()).into())
    }

    /// For the one moment in which it is shown, and for sending it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl FromStr for Secret {
    type Err = SecretError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rest = text.strip_prefix(PREFIX).ok_or(SecretError::Form)?;
        let (id, secret) = rest.split_once('_').ok_or(SecretError::Form)?;
        let is_hex = |text: &str| {
            text.bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        };
        if text.len() != LENGTH || id.len() != DIGITS_OF_ID || !is_hex(id) || !is_hex(secret) {
            return Err(SecretError::Form);
        }
        let (body, found) = text
            .split_at_checked(LENGTH - DIGITS_OF_CHECKSUM)
            .ok_or(SecretError::Form)?;
        if checksum(body) != found {
            return Err(SecretError::Checksum);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

fn checksum(body: &str) -> String {
    let digest = Sha256::digest(body.as_bytes());
    hex(&digest[..DIGITS_OF_CHECKSUM / 2])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What is kept of a [`Secret`].
#[derive(Clone, Copy)]
pub struct SecretHash(pub [u8; 32]);

impl SecretHash {
    /// Takes the same time wherever the two differ.
    pub fn is(&self, other: &Self) -> bool {
        use subtle::ConstantTimeEq;
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hash]")
    }
}

#[cfg(test)]
mod tests;
