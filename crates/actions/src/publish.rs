//! Steps of kind `publish`: an event for a sink, or a follow-up that goes back
//! into the intake.
//!
//! Nothing is started on this machine, so there is no guard: what ends the
//! step early is that it stops waiting. The event may have arrived then. It
//! has the same id at every try, so whoever receives it can tell. Each names
//! its cause, and after so many hops there are no more: a rule that is fed by
//! what it publishes ends, also when a broker lies between.

use std::{collections::BTreeMap, fmt, sync::Arc};

use async_trait::async_trait;
use model::{
    action::{PublishCall, StepCall, StepContext, StepControl, StepReport},
    clock::{Clock, Timestamp},
    diagnostic::Diagnostic,
    event::{Cause, Event, EventDraft, Origin, TooManyHops},
    id::{EventId, SinkName},
    job::{Outcome, Retry, StepKind},
    json::Object,
    ports::{
        Action,
        chain::{FollowUpError, FollowUps},
        transport::{PublishError, Sink},
    },
    topic::Topic,
};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::time::timeout;

use crate::{asked::asked_to_end, step};

/// What events of the engine name as their source and as the way they came.
const SOURCE: &str = "lariat";

/// Publishes events for steps of kind `publish`.
pub struct PublishAction {
    sinks: BTreeMap<SinkName, Arc<dyn Sink>>,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for PublishAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublishAction")
            .field("sinks", &self.sinks.keys())
            .finish_non_exhaustive()
    }
}

impl PublishAction {
    pub fn new(sinks: BTreeMap<SinkName, Arc<dyn Sink>>, clock: Arc<dyn Clock>) -> Self {
        Self { sinks, clock }
    }

    /// Waits until the sink has answered.
    async fn send(&self, sink: &dyn Sink, draft: EventDraft, context: &StepContext) -> Outcome {
        let event = Arc::new(event(draft, self.clock.now(), context));
        let events = [Arc::clone(&event)];
        // The sink says what it waited for. One that does not keep the time
        // is not waited for much longer.
        let limit = context.timeout.saturating_add(context.grace);
        match timeout(limit, sink.publish(&events, context.timeout)).await {
            Ok(answers) => conclude(answers, &format!("`{}` to `{}`", event.topic, sink.name())),
            Err(_) => timed_out(context),
        }
    }

    /// Waits until the event has been accepted, or the step has to end.
    async fn publish(
        &self,
        sink: Option<&dyn Sink>,
        draft: EventDraft,
        (context, control): (&StepContext, &mut StepControl),
    ) -> Outcome {
        let follow_ups = Arc::clone(&control.follow_ups);
        let publishing = async {
            match sink {
                Some(sink) => self.send(sink, draft, context).await,
                None => hand_back(follow_ups.as_ref(), draft, context).await,
            }
        };
        tokio::select! {
            biased;
            outcome = asked_to_end(control, self.clock.as_ref()) => outcome,
            outcome = publishing => outcome,
        }
    }
}

/// What is published for a job. There is none at the end of a long chain.
fn draft(call: PublishCall, context: &StepContext) -> Result<EventDraft, TooManyHops> {
    Ok(EventDraft {
        id: Some(event_id(context)),
        topic: call.topic,
        time: None,
        severity: call.severity,
        headers: call.headers,
        body: call.body,
        origin: Origin {
            verified: false,
            by: None,
            via: SOURCE.to_owned(),
        },
        cause: Some(Cause::of(&context.event, &context.job)?),
    })
}

/// A draft as sinks take it.
fn event(draft: EventDraft, now: Timestamp, context: &StepContext) -> Event {
    let EventDraft {
        id,
        topic,
        time,
        severity,
        headers,
        body,
        origin,
        cause,
    } = draft;
    Event {
        id: id.unwrap_or_else(|| event_id(context)),
        topic,
        time: time.unwrap_or(now),
        accepted: now,
        source: SOURCE.to_owned(),
        severity,
        headers,
        body,
        origin,
        cause,
    }
}

async fn hand_back(
    follow_ups: &dyn FollowUps,
    draft: EventDraft,
    context: &StepContext,
) -> Outcome {
    let topic = draft.topic.clone();
    match timeout(context.timeout, follow_ups.follow_up(draft)).await {
        Ok(Ok(())) => Outcome::Succeeded {
            summary: format!("published `{topic}` as a follow-up"),
        },
        Ok(Err(error)) => refused(&topic, &error),
        Err(_) => timed_out(context),
    }
}

fn refused(topic: &Topic, error: &FollowUpError) -> Outcome {
    let retry = if error.is_retryable() {
        Retry::Worthwhile
    } else {
        Retry::Pointless
    };
    Outcome::Failed {
        exit: None,
        summary: format!("cannot publish `{topic}`: {error}"),
        retry,
    }
}

fn timed_out(context: &StepContext) -> Outcome {
    Outcome::TimedOut {
        after: context.timeout,
        killed: true,
    }
}

/// The year of the job's event, and a UUID of the event, the rule and the
/// step: the same at every try on every instance, and no other's.
fn event_id(context: &StepContext) -> EventId {
    let year = context.event.time.year();
    let uuid = uuid_of(context);
    format!("{year}-{uuid}")
        .parse()
        .expect("a year and a UUID are an event id")
}

fn uuid_of(context: &StepContext) -> uuid::Uuid {
    let (event, rule, step) = (&context.event.id, &context.rule, context.step);
    let text = format!("lariat publish {event} {rule} {step}");
    let hash = Sha256::digest(text.as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

fn failed(summary: String) -> Outcome {
    Outcome::Failed {
        exit: None,
        summary,
        retry: Retry::Worthwhile,
    }
}

/// `what` names the topic and the sink.
fn conclude(answers: Vec<Result<(), PublishError>>, what: &str) -> Outcome {
    match answers.into_iter().next() {
        Some(Ok(())) => Outcome::Succeeded {
            summary: format!("published {what}"),
        },
        Some(Err(error)) => {
            let retry = match error {
                // A queue may be bound by the next try.
                PublishError::Unconfirmed { .. }
                | PublishError::Refused { .. }
                | PublishError::Unroutable { .. } => Retry::Worthwhile,
                PublishError::Impossible { .. } => Retry::Pointless,
            };
            Outcome::Failed {
                exit: None,
                summary: format!("cannot publish {what}: {error}"),
                retry,
            }
        }
        None => failed(format!("cannot publish {what}: the sink gave no answer")),
    }
}

/// What the next steps may name as `result`.
fn result(id: &EventId, topic: &Topic, sink: Option<&SinkName>) -> Object {
    let mut fields = Object::new();
    for (name, value) in [
        ("id", Some(id.as_str())),
        ("topic", Some(topic.as_str())),
        ("sink", sink.map(SinkName::as_str)),
    ] {
        if let Some(value) = value {
            fields.insert(name.to_owned(), Value::String(value.to_owned()));
        }
    }
    fields
}

#[async_trait]
impl Action for PublishAction {
    fn kind(&self) -> StepKind {
        StepKind::Publish
    }

    async fn run(
        &self,
        call: StepCall,
        context: StepContext,
        mut control: StepControl,
    ) -> StepReport {
        let StepCall::Publish(call) = call else {
            return step::unstartable(format!("a {} step does not publish", call.kind()));
        };
        let sink = match &call.sink {
            Some(name) => match self.sinks.get(name) {
                Some(sink) => Some(Arc::clone(sink)),
                None => {
                    let reason = format!("there is no sink `{name}` in lariat.yml");
                    return step::unstartable(reason);
                }
            },
            None => None,
        };
        let (topic, name) = (call.topic.clone(), call.sink.clone());
        let outcome = match draft(call, &context) {
            Ok(draft) => {
                self.publish(sink.as_deref(), draft, (&context, &mut control))
                    .await
            }
            Err(TooManyHops) => refused(&topic, &FollowUpError::TooManyHops),
        };
        let is_published = matches!(outcome, Outcome::Succeeded { .. });
        let id = event_id(&context);
        if is_published {
            let place = name
                .as_ref()
                .map_or_else(|| "the intake".to_owned(), ToString::to_string);
            let line = format!("published {topic} as {id} to {place}\n");
            control.output.write(line.into_bytes()).await;
        }
        StepReport {
            outcome,
            exit: None,
            result: is_published.then(|| result(&id, &topic, name.as_ref())),
        }
    }

    async fn preflight(&self) -> Vec<Diagnostic> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests;
