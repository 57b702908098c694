//! How values of the model look in JSON, for the OpenAPI document.
//!
//! The types of this crate describe themselves (`JsonSchema`). Those of the
//! model know nothing of schemas, so that each has a stand-in of its name here;
//! a test compares what the API answers with what this says.

use std::borrow::Cow;

use model::{audit, event, job, link, ports, task, token, verdict, warm};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

/// A stand-in that is one of a few words.
macro_rules! words {
    ($($name:ident = $words:expr;)*) => {
        $(
            pub(crate) struct $name;

            impl JsonSchema for $name {
                fn schema_name() -> Cow<'static, str> {
                    stringify!($name).into()
                }

                fn json_schema(_: &mut SchemaGenerator) -> Schema {
                    json_schema!({"type": "string", "enum": $words})
                }
            }
        )*
    };
}

words! {
    Severity = event::Severity::ALL.map(event::Severity::as_str);
    JobState = job::JobState::ALL.map(job::JobState::as_str);
    StepKind = job::StepKind::ALL.map(job::StepKind::as_str);
    StepState = job::StepState::ALL.map(job::StepState::as_str);
    OnLost = ["retry", "hold", "fail"];
    Backoff = ["exponential", "fixed"];
    Verdict = verdict::Verdict::ALL.map(verdict::Verdict::as_str);
    Truth = ["true", "false", "unknown"];
    DeadKind = ports::DeadKind::ALL.map(ports::DeadKind::as_str);
    DeadState = ports::DeadState::ALL.map(ports::DeadState::as_str);
    LinkState = link::LinkState::ALL.map(link::LinkState::as_str);
    AckMode = ["stored", "done"];
    WarmState = warm::WarmState::ALL.map(warm::WarmState::as_str);
    TaskEventKind = task::TaskEventKind::ALL.map(task::TaskEventKind::as_str);
    TaskStatus = task::TaskStatus::ALL.map(task::TaskStatus::as_str);
    Role = token::Role::ALL.map(token::Role::as_str);
    AuditAction = audit::AuditAction::ALL.map(audit::AuditAction::as_str);
}

/// A stand-in that is described here.
macro_rules! described {
    ($($(#[$doc:meta])* $name:ident = $schema:tt;)*) => {
        $(
            $(#[$doc])*
            pub(crate) struct $name;

            impl JsonSchema for $name {
                fn schema_name() -> Cow<'static, str> {
                    stringify!($name).into()
                }

                fn json_schema(_: &mut SchemaGenerator) -> Schema {
                    json_schema!($schema)
                }
            }
        )*
    };
}

described! {
    /// A moment.
    Time = {"type": "string", "format": "date-time"};
    /// The name of a token, in a request.
    TokenName = {"type": "string", "pattern": "^[A-Za-z0-9._@-]{1,64}$"};
    /// How a process ended.
    Exit = {
        "type": "object",
        "properties": {"code": {"type": "integer"}, "signal": {"type": "integer"}},
    };
    /// Who sent an event.
    Origin = {
        "type": "object",
        "properties": {
            "verified": {"type": "boolean"},
            "by": {"type": ["string", "null"]},
            "via": {"type": "string"},
        },
        "required": ["verified", "by", "via"],
    };
    /// What an event follows from.
    Cause = {
        "type": "object",
        "properties": {
            "event": {"type": "string"},
            "job": {"type": "string"},
            "hops": {"type": "integer", "minimum": 0},
        },
        "required": ["event", "job", "hops"],
    };
    /// What became of a published event.
    Accepted = {
        "type": "object",
        "properties": {
            "id": {"type": "string"},
            "duplicate": {"type": "boolean"},
            "conflict": {"type": "boolean"},
            "jobs": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["id", "duplicate", "conflict", "jobs"],
    };
    /// A finding in the project.
    Diagnostic = {
        "type": "object",
        "properties": {
            "level": {"enum": ["error", "warning", "note"]},
            "code": {"type": "string"},
            "message": {"type": "string"},
            "file": {"type": "string"},
            "line": {"type": "integer", "minimum": 0},
            "column": {"type": "integer", "minimum": 0},
            "width": {"type": "integer", "minimum": 0},
            "source": {"type": "string"},
            "hint": {"type": ["string", "null"]},
        },
        "required": ["level", "code", "message", "file", "line", "column", "width", "source"],
    };
    /// An event as it is published.
    Draft = {
        "type": "object",
        "properties": {
            "id": {"type": "string", "pattern": "^[A-Za-z0-9._:@-]{1,200}$"},
            "topic": {"type": "string", "minLength": 1, "maxLength": 255},
            "time": {"type": "string", "format": "date-time"},
            "severity": {"enum": ["debug", "info", "warning", "error"]},
            "headers": {"type": "object"},
            "body": {},
        },
        "required": ["topic"],
        "additionalProperties": false,
    };
    /// An event as CloudEvents 1.0 writes it.
    CloudEvent = {
        "type": "object",
        "properties": {
            "specversion": {"const": "1.0"},
            "id": {"type": "string", "minLength": 1},
            "source": {"type": "string", "minLength": 1},
            "type": {"type": "string", "minLength": 1},
        },
        "required": ["specversion", "id", "source", "type"],
    };
}
