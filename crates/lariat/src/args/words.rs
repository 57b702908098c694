//! Values that are one of a few words: help, completions and complaints name
//! the words.

use std::{fmt::Display, str::FromStr};

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use model::{
    audit::AuditAction,
    event::Severity,
    job::JobState,
    ports::{DeadKind, DeadState},
    task::TaskStatus,
    token::Role,
};

fn words<T>(all: impl IntoIterator<Item = T>) -> impl TypedValueParser<Value = T>
where
    T: FromStr + Display + Clone + Send + Sync + 'static,
{
    let words = all
        .into_iter()
        .map(|one| PossibleValue::new(one.to_string()));
    PossibleValuesParser::new(words.collect::<Vec<_>>()).map(|word| {
        let parsed = word.parse().ok();
        parsed.expect("a word that was made from a value can be read again")
    })
}

pub(super) fn severity() -> impl TypedValueParser<Value = Severity> {
    words(Severity::ALL)
}

pub(super) fn job_state() -> impl TypedValueParser<Value = JobState> {
    words(JobState::ALL)
}

pub(super) fn task_status() -> impl TypedValueParser<Value = TaskStatus> {
    words(TaskStatus::ALL)
}

pub(super) fn dead_kind() -> impl TypedValueParser<Value = DeadKind> {
    words(DeadKind::ALL)
}

pub(super) fn dead_state() -> impl TypedValueParser<Value = DeadState> {
    words(DeadState::ALL)
}

pub(super) fn role() -> impl TypedValueParser<Value = Role> {
    words(Role::ALL)
}

pub(super) fn audit_action() -> impl TypedValueParser<Value = AuditAction> {
    words(AuditAction::ALL)
}
