//! What each operation takes and answers. Problems that follow from the route,
//! its path or its body are added by `openapi.rs`; here stand its own.

use serde_json::{Value, json};

use crate::{
    jobs::{NEXT_OFFSET, OUTPUT_ATTEMPT, OUTPUT_OPEN},
    json::{self, schema},
    problem::ProblemCode as Code,
    query::MAX_LIMIT,
};

use super::Schemas;

/// One operation.
pub(crate) struct Operation {
    pub(crate) tag: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) body: Body,
    pub(crate) answers: Vec<Success>,
    pub(crate) codes: Vec<Code>,
}

/// One parameter beside the id in the path; none is required.
pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    /// `query` or `header`.
    pub(crate) place: &'static str,
    pub(crate) text: &'static str,
    pub(crate) schema: Value,
}

pub(crate) enum Body {
    /// A method that has none.
    None,
    /// None that says anything.
    Nothing,
    Of(Vec<(&'static str, Value)>),
}

/// An answer that is no problem.
pub(crate) struct Success {
    pub(crate) status: u16,
    pub(crate) text: &'static str,
    pub(crate) content: Vec<(&'static str, Value)>,
    pub(crate) headers: Vec<(&'static str, Value)>,
}

const JSON: &str = "application/json";

impl Operation {
    /// Reads something.
    fn read(tag: &'static str, summary: &'static str, schema: Value) -> Self {
        Self {
            tag,
            summary,
            parameters: Vec::new(),
            body: Body::None,
            answers: vec![success(200, "It.", schema)],
            codes: Vec::new(),
        }
    }

    /// Does something that says everything in its address.
    fn act(tag: &'static str, summary: &'static str, answer: (u16, Value)) -> Self {
        let (status, schema) = answer;
        Self {
            body: Body::Nothing,
            answers: vec![success(status, "Done.", schema)],
            ..Self::read(tag, summary, Value::Null)
        }
    }

    fn with(mut self, parameters: impl IntoIterator<Item = Parameter>) -> Self {
        self.parameters.extend(parameters);
        self
    }

    fn or(mut self, codes: impl IntoIterator<Item = Code>) -> Self {
        self.codes.extend(codes);
        self
    }
}

fn success(status: u16, text: &'static str, schema: Value) -> Success {
    Success {
        status,
        text,
        content: vec![(JSON, schema)],
        headers: Vec::new(),
    }
}

fn query(name: &'static str, text: &'static str, schema: Value) -> Parameter {
    Parameter {
        name,
        place: "query",
        text,
        schema,
    }
}

fn text() -> Value {
    json!({"type": "string"})
}

fn event_id() -> Value {
    json!({"type": "string", "pattern": "^[A-Za-z0-9._:@-]{1,200}$"})
}

fn rule_name() -> Value {
    json!({"type": "string", "pattern": "^[A-Za-z0-9._-]{1,100}$"})
}

fn whole(most: u64) -> Value {
    json!({"type": "integer", "minimum": 0, "maximum": most})
}

/// An age or a moment.
fn moment(name: &'static str) -> Parameter {
    let text = "An age such as `10m`, or an RFC 3339 time.";
    let schema = json!({"anyOf": [
        {"type": "string", "pattern": "^[0-9]{1,9}[smhd]$"},
        {"type": "string", "format": "date-time"},
    ]});
    query(name, text, schema)
}

fn window() -> [Parameter; 2] {
    [moment("since"), moment("until")]
}

/// What every list takes.
fn page() -> [Parameter; 3] {
    let limit = json!({"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": 50});
    let cursor = json!({"type": "string", "pattern": "^c[0-9a-f]{1,15}$"});
    [
        query("limit", "How many items at most.", limit),
        query("cursor", "Where the page before ended.", cursor.clone()),
        query("after", "Forward from here, instead.", cursor),
    ]
}

/// Which bytes of an output.
fn part() -> [Parameter; 3] {
    [
        query(
            "attempt",
            "Instead of the last one.",
            whole(u64::from(u32::MAX)),
        ),
        query("step", "Instead of all; counts from 0.", whole(u64::MAX)),
        query(
            "offset",
            "Bytes to leave out from the start.",
            whole(u64::MAX),
        ),
    ]
}

fn topic() -> Parameter {
    let text = "A topic pattern: `*` is one word, `#` any number.";
    query("topic", text, json!({"type": "string", "maxLength": 255}))
}

fn last_event_id() -> Parameter {
    Parameter {
        name: "Last-Event-ID",
        place: "header",
        text: "The id of the last message, to go on behind it.",
        schema: text(),
    }
}

/// A stream of server-sent events.
fn stream(tag: &'static str, summary: &'static str) -> Operation {
    let mut operation = Operation::read(tag, summary, Value::Null);
    operation.answers = vec![Success {
        status: 200,
        text: "Messages, until either side ends it.",
        content: vec![("text/event-stream", text())],
        headers: Vec::new(),
    }];
    operation.with([last_event_id()]).or([Code::Overloaded])
}

/// A stream that ends with what it is about.
fn stream_to_its_end(tag: &'static str, summary: &'static str) -> Operation {
    let mut operation = stream(tag, summary);
    operation.answers.push(Success {
        status: 204,
        text: "There is nothing behind the last message.",
        content: Vec::new(),
        headers: Vec::new(),
    });
    operation
}

/// Which of the task events of a job.
fn task_filters() -> [Parameter; 4] {
    let attempt = whole(u64::from(u32::MAX));
    let kind = schemas_of_words::<schema::TaskEventKind>();
    let status = schemas_of_words::<schema::TaskStatus>();
    [
        query("attempt", "Instead of the last one.", attempt),
        query("kind", "Of this kind only.", kind),
        query("status", "Results with this status only.", status),
        query("host", "About this host only.", text()),
    ]
}

/// The operation of a name; pages have none.
pub(crate) fn find(name: &str, schemas: &mut Schemas) -> Option<Operation> {
    let found = match name {
        "list_events" | "publish_events" | "stream_events" | "show_event" | "show_chain"
        | "list_verdicts" => events(name, schemas)?,
        "list_jobs" | "show_job" | "read_output" | "stream_output" | "list_tasks"
        | "stream_tasks" | "retry_job" | "cancel_job" => jobs(name, schemas)?,
        "list_dead_letters" | "show_dead_letter" | "retry_dead_letter" | "discard_dead_letter" => {
            dead(name, schemas)?
        }
        "list_tokens" | "create_token" | "revoke_token" | "list_audit" => access(name, schemas)?,
        _ => service(name, schemas)?,
    };
    Some(found)
}

fn events(name: &str, schemas: &mut Schemas) -> Option<Operation> {
    const TAG: &str = "events";
    let severity = || schemas_of_words::<schema::Severity>();
    Some(match name {
        "list_events" => {
            let list = schemas.of::<json::List<json::Event>>();
            Operation::read(TAG, "The history of events, newest first.", list)
                .with([topic()])
                .with(window())
                .with([
                    query("source", "Of this source only.", text()),
                    query("severity", "Of this severity only.", severity()),
                ])
                .with(page())
        }
        "publish_events" => {
            let draft = schemas.of::<schema::Draft>();
            let cloud = schemas.of::<schema::CloudEvent>();
            let many = |one: &Value, least: u32| json!({"type": "array", "items": one, "minItems": least, "maxItems": 1000});
            let accepted = schemas.of::<json::AcceptedEvents>();
            Operation {
                body: Body::Of(vec![
                    (JSON, json!({"anyOf": [draft, many(&draft, 1)]})),
                    (wire::cloudevents::MEDIA_TYPE, cloud.clone()),
                    (wire::cloudevents::BATCH_MEDIA_TYPE, many(&cloud, 0)),
                ]),
                answers: vec![success(202, "They are durable.", accepted)],
                ..Operation::read(TAG, "Publish one event, or up to 1,000.", Value::Null)
            }
            .or([Code::QueueFull, Code::StoreFull])
        }
        "stream_events" => stream(TAG, "Events as they are accepted.").with([
            topic(),
            query("source", "Of this source only.", text()),
            query("severity", "Of this severity only.", severity()),
            query("where", "A condition, as rules have it.", text()),
            query("after", "From behind this cursor on.", text()),
            moment("since"),
        ]),
        "show_event" => Operation::read(TAG, "One event.", schemas.of::<json::Event>()),
        "show_chain" => Operation::read(
            TAG,
            "What it comes of, and what came of it.",
            schemas.of::<json::Chain>(),
        ),
        "list_verdicts" => {
            let list = schemas.of::<json::List<json::Explanation>>();
            Operation::read(TAG, "What each rule decided about it, and why.", list).with([query(
                "rule",
                "This rule only.",
                text(),
            )])
        }
        _ => return None,
    })
}

/// The words, in place: parameters are read where they stand.
fn schemas_of_words<T: schemars::JsonSchema>() -> Value {
    T::json_schema(&mut schemars::SchemaGenerator::default()).to_value()
}

fn jobs(name: &str, schemas: &mut Schemas) -> Option<Operation> {
    const TAG: &str = "jobs";
    let job = schemas.of::<json::Job>();
    Some(match name {
        "list_jobs" => {
            let list = schemas.of::<json::List<json::Job>>();
            let state = schemas_of_words::<schema::JobState>();
            Operation::read(TAG, "Jobs, newest first.", list)
                .with([
                    query("event", "Of this event only.", event_id()),
                    query("rule", "Of this rule only.", rule_name()),
                    query("state", "In this state only.", state),
                ])
                .with(window())
                .with(page())
        }
        "show_job" => Operation::read(TAG, "One job with its attempts.", job),
        "read_output" => {
            let mut operation = Operation::read(TAG, "What a job printed.", Value::Null);
            operation.answers = vec![Success {
                status: 200,
                text: "The bytes as the program wrote them.",
                content: vec![("text/plain", text())],
                headers: vec![
                    (NEXT_OFFSET, json!({"type": "integer"})),
                    (OUTPUT_OPEN, json!({"enum": ["true", "false"]})),
                    (OUTPUT_ATTEMPT, json!({"type": "integer"})),
                ],
            }];
            operation.with(part())
        }
        "stream_output" => stream_to_its_end(TAG, "What a job prints, as it does.").with(part()),
        "list_tasks" => {
            let list = schemas.of::<json::List<json::TaskEvent>>();
            let place = json!({"type": "string", "pattern": "^[0-9]{1,9}\\.[0-9]{1,18}$"});
            let limit = page().into_iter().filter(|one| one.name == "limit");
            Operation::read(TAG, "What playbooks did to which hosts.", list)
                .with(task_filters())
                .with(limit)
                .with([query("after", "Where the page before ended.", place)])
        }
        "stream_tasks" => {
            stream_to_its_end(TAG, "What playbooks do, as they do it.").with(task_filters())
        }
        "retry_job" => Operation::act(TAG, "Try a job again.", (202, job)).or([Code::WrongState]),
        "cancel_job" => Operation::act(TAG, "End a job.", (202, job)).or([Code::WrongState]),
        _ => return None,
    })
}

fn dead(name: &str, schemas: &mut Schemas) -> Option<Operation> {
    const TAG: &str = "dead letters";
    let letter = schemas.of::<json::DeadLetter>();
    Some(match name {
        "list_dead_letters" => {
            let list = schemas.of::<json::List<json::DeadLetter>>();
            let kind = schemas_of_words::<schema::DeadKind>();
            let state = schemas_of_words::<schema::DeadState>();
            Operation::read(TAG, "What gave up, newest first.", list)
                .with([
                    query("kind", "Of this kind only.", kind),
                    query("rule", "Of this rule only.", rule_name()),
                    query("state", "In this state; open ones when absent.", state),
                ])
                .with(page())
        }
        "show_dead_letter" => Operation::read(TAG, "One, with what arrived.", letter),
        "retry_dead_letter" => {
            let retried = schemas.of::<json::DeadRetried>();
            Operation::act(TAG, "Try again what gave up.", (202, retried)).or([
                Code::WrongState,
                Code::NotRetryable,
                Code::QueueFull,
            ])
        }
        "discard_dead_letter" => {
            Operation::act(TAG, "Close it.", (200, letter)).or([Code::WrongState])
        }
        _ => return None,
    })
}

fn access(name: &str, schemas: &mut Schemas) -> Option<Operation> {
    const TAG: &str = "access";
    Some(match name {
        "list_tokens" => {
            let list = schemas.of::<json::List<json::Token>>();
            Operation::read(TAG, "All tokens, without their secrets.", list)
        }
        "create_token" => {
            let request = schemas.of::<json::TokenRequest>();
            let made = schemas.of::<json::NewToken>();
            Operation {
                body: Body::Of(vec![(JSON, request)]),
                answers: vec![success(201, "With its secret, this once.", made)],
                ..Operation::read(TAG, "Make a token.", Value::Null)
            }
            .or([Code::NameTaken, Code::TooManyTokens])
        }
        "revoke_token" => {
            let token = schemas.of::<json::Token>();
            Operation::act(TAG, "End a token, by its id or its name.", (200, token))
        }
        "list_audit" => {
            let list = schemas.of::<json::List<json::AuditEntry>>();
            let action = schemas_of_words::<schema::AuditAction>();
            Operation::read(TAG, "Who did what, newest first.", list)
                .with([
                    query("by", "What this one did only.", text()),
                    query("action", "This kind only.", action),
                ])
                .with(window())
                .with(page())
        }
        _ => return None,
    })
}

fn service(name: &str, schemas: &mut Schemas) -> Option<Operation> {
    const TAG: &str = "service";
    Some(match name {
        "reload_rules" => {
            let reloaded = schemas.of::<json::Reloaded>();
            Operation::act(TAG, "Put the project's rules in force.", (200, reloaded))
                .or([Code::InvalidRules])
        }
        "list_rules" => {
            let list = schemas.of::<json::List<json::Rule>>();
            Operation::read(TAG, "The rules in force.", list)
        }
        "show_status" => Operation::read(TAG, "How it stands.", schemas.of::<json::Status>()),
        "list_workers" => {
            let list = schemas.of::<json::List<json::Worker>>();
            Operation::read(TAG, "Who runs the jobs of this store.", list)
        }
        "list_sources" => {
            let list = schemas.of::<json::List<json::Source>>();
            Operation::read(TAG, "Where events come from.", list)
        }
        "list_sinks" => {
            let list = schemas.of::<json::List<json::Sink>>();
            Operation::read(TAG, "Where events are published.", list)
        }
        "show_openapi" => Operation::read(TAG, "This document.", json!({"type": "object"})),
        "show_metrics" => {
            let mut operation = Operation::read(TAG, "Metrics.", Value::Null);
            operation.answers = vec![Success {
                status: 200,
                text: "In the form that `Accept` asks for.",
                content: vec![
                    ("text/plain", text()),
                    ("application/openmetrics-text", text()),
                ],
                headers: Vec::new(),
            }];
            operation
        }
        "is_live" => {
            let health = schemas.of::<json::Readiness>();
            Operation::read(TAG, "Whether the process answers.", health)
        }
        "is_ready" => {
            let health = schemas.of::<json::Readiness>();
            Operation::read(TAG, "Whether events would be accepted.", health)
        }
        _ => return None,
    })
}
