//! The arguments of those who say who may ask, and look who did what.

use std::{path::PathBuf, str::FromStr};

use clap::{Args, Subcommand, ValueHint};
use model::{
    audit::AuditAction,
    clock::Timestamp,
    id::{TokenId, TokenName},
    token::Role,
};
use rules::yaml::parse_duration;

use super::{Json, Window, words};

#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    /// Make a token and print its secret, this once.
    Create {
        /// viewer (reads), publisher (also publishes), operator (also cancels,
        /// retries, discards, reloads) or admin (also tokens and the audit).
        #[arg(long, value_parser = words::role(), hide_possible_values = true)]
        role: Role,
        /// Who will ask with it; stands in the audit and in jobs.
        #[arg(long)]
        name: TokenName,
        /// When it ends: after a time such as `90d`, or at a date such as
        /// `2027-01-31` or an RFC 3339 time.
        #[arg(long, value_name = "TIME|DATE")]
        expires: Option<Expiry>,
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        json: Json,
    },
    /// All tokens, newest first; never their secrets.
    List {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        json: Json,
    },
    /// End a token at once.
    Revoke {
        /// Its name, or its id.
        #[arg(value_name = "NAME|ID")]
        token: TokenName,
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        json: Json,
    },
}

impl Token {
    pub(crate) fn place(&self) -> &Place {
        match self {
            Self::Create { place, .. } | Self::List { place, .. } | Self::Revoke { place, .. } => {
                place
            }
        }
    }
}

/// Where the tokens are.
#[derive(Debug, Args)]
pub(crate) struct Place {
    /// The project whose store holds them [default: .]. A service that runs on
    /// it is asked instead. Goes before the address of a service.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) project: Option<PathBuf>,
    /// The store, instead of the file's, such as `sqlite:lariat.db`. Goes before
    /// the address of a service.
    #[arg(long, value_name = "URL")]
    pub(crate) store: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Audit {
    /// What was done with this token only, or by `api`, `local`, `signal`.
    #[arg(long, value_name = "NAME")]
    pub(crate) by: Option<String>,
    /// What was done, such as `job_cancel`.
    #[arg(long, value_parser = words::audit_action(), hide_possible_values = true)]
    pub(crate) action: Option<AuditAction>,
    #[command(flatten)]
    pub(crate) window: Window,
}

/// When a token ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expiry {
    After(std::time::Duration),
    At(Timestamp),
}

#[derive(Debug, thiserror::Error)]
#[error(
    "it ends after a time such as `90d`, or at a date such as `2027-01-31` or an RFC 3339 time"
)]
pub(crate) struct ExpiryError;

impl FromStr for Expiry {
    type Err = ExpiryError;

    fn from_str(text: &str) -> Result<Self, ExpiryError> {
        if let Ok(after) = parse_duration(text) {
            return Ok(Self::After(after));
        }
        let midnight = format!("{text}T00:00:00Z");
        text.parse()
            .or_else(|_| midnight.parse())
            .map(Self::At)
            .map_err(|_| ExpiryError)
    }
}

impl Expiry {
    pub(crate) fn at(self, now: Timestamp) -> Timestamp {
        match self {
            Self::After(time) => now.plus(time),
            Self::At(at) => at,
        }
    }
}

/// Whether a token is meant: by its id, or by its name the one that is live.
pub(crate) fn names(text: &TokenName, id: &TokenId, name: &TokenName, is_revoked: bool) -> bool {
    text.as_str() == id.as_str() || (text == name && !is_revoked)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Expiry;

    #[test]
    fn an_end_is_a_time_or_a_date() {
        let day = Duration::from_secs(86_400);
        assert_eq!(Expiry::After(90 * day), "90d".parse().unwrap());
        for (text, at) in [
            ("2027-01-31", "2027-01-31T00:00:00Z"),
            ("2027-01-31T12:00:00+02:00", "2027-01-31T10:00:00Z"),
        ] {
            let expected = Expiry::At(at.parse().unwrap());
            assert_eq!(expected, text.parse().unwrap(), "{text}");
        }
        for text in ["", "90", "soon", "2027-13-01", "-1d"] {
            assert!(text.parse::<Expiry>().is_err(), "{text}");
        }
    }
}
