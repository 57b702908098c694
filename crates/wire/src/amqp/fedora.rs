//! What fedora-messaging's headers mean, and the types that they must have.

use std::{borrow::Cow, collections::BTreeMap};

use model::{clock::Timestamp, event::Severity};

use super::{HeaderValue, headers};
use crate::shown;

pub(super) const SEVERITY: &str = "fedora_messaging_severity";
pub(super) const SENT_AT: &str = "sent-at";
pub(super) const SCHEMA: &str = "fedora_messaging_schema";
pub(super) const SCHEMA_PACKAGE: &str = "fedora_messaging_schema_package";
/// The schema of messages that have none of their own, and its package.
pub(super) const BASE_SCHEMA: (&str, &str) = ("base.message", "fedora_messaging");
/// Not fedora-messaging's alone: AMQP's property, mirrored in the headers.
pub(super) const PRIORITY: &str = "priority";

/// Each stands before a name, and the header then is `true`: headers exchanges
/// route by them.
const ABOUT: [&str; 6] = [
    "fedora_messaging_user_",
    "fedora_messaging_group_",
    "fedora_messaging_rpm_",
    "fedora_messaging_container_",
    "fedora_messaging_module_",
    "fedora_messaging_flatpak_",
];

/// Whether a header says whom or what a message is about.
pub(super) fn is_about(name: &str) -> bool {
    ABOUT.iter().any(|prefix| name.starts_with(prefix))
}

pub(super) fn severity_number(severity: Severity) -> i32 {
    match severity {
        Severity::Debug => 10,
        Severity::Info => 20,
        Severity::Warning => 30,
        Severity::Error => 40,
    }
}

/// What the headers say about the event itself.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) severity: Severity,
    pub(super) sent_at: Option<Timestamp>,
}

/// Reads the headers that have a meaning. All that is wrong is in the error.
pub(super) fn read(table: &BTreeMap<String, HeaderValue>) -> Result<Said, Vec<String>> {
    let mut said = Said::default();
    let mut wrong = Vec::new();
    for (name, value) in table {
        let problem = match name.as_str() {
            SEVERITY => severity(value).map(|severity| said.severity = severity),
            SENT_AT => sent_at(value).map(|time| said.sent_at = Some(time)),
            SCHEMA | SCHEMA_PACKAGE => text(value).map(drop),
            about if is_about(about) && *value != HeaderValue::Bool(true) => {
                Err(format!("must be true, not {}", headers::kind_of(value)))
            }
            _ => Ok(()),
        };
        if let Err(what) = problem {
            wrong.push(format!("{} {what}", shown::code(name, 80)));
        }
    }
    if wrong.is_empty() {
        Ok(said)
    } else {
        Err(wrong)
    }
}

fn severity(value: &HeaderValue) -> Result<Severity, String> {
    const FORM: &str = "must be one of the integers 10, 20, 30, 40";
    let number = headers::integer(value)
        .ok_or_else(|| format!("{FORM}, not {}", headers::kind_of(value)))?;
    Severity::ALL
        .into_iter()
        .find(|severity| i64::from(severity_number(*severity)) == number)
        .ok_or_else(|| format!("{FORM}, not {number}"))
}

fn sent_at(value: &HeaderValue) -> Result<Timestamp, String> {
    let text = text(value)?;
    iso_time(&text).ok_or_else(|| {
        let shown = shown::code(&text, 40);
        format!("must be a time such as `2026-11-20T22:43:00+00:00`, not {shown}")
    })
}

fn text(value: &HeaderValue) -> Result<Cow<'_, str>, String> {
    if let HeaderValue::Text(bytes) = value {
        Ok(String::from_utf8_lossy(bytes))
    } else {
        Err(format!("must be text, not {}", headers::kind_of(value)))
    }
}

/// Python's `isoformat`, with or without a zone; without one it is UTC.
fn iso_time(text: &str) -> Option<Timestamp> {
    let is_plain = |c: char| c.is_ascii_digit() || "-+:.TtZz ".contains(c);
    if text.len() > 40 || !text.chars().all(is_plain) {
        return None;
    }
    let (_, clock) = text.split_once(['T', 't', ' '])?;
    if clock.contains(['Z', 'z', '+', '-']) {
        text.parse().ok()
    } else {
        format!("{text}Z").parse().ok()
    }
}

/// A time as fedora-messaging writes it, to the second.
pub(super) fn iso_text(time: Timestamp) -> String {
    let text = time.to_string();
    format!("{}+00:00", text.get(..19).unwrap_or(&text))
}
