//! Events in files: as the API takes them, or as it prints them.
//!
//! What only Lariat knows of an event may stand in such a file, so that what
//! was printed can be judged again. Nothing of this is for what a sender says.

use std::ops::ControlFlow;

use model::{
    clock::Timestamp,
    event::{Cause, Event, Origin},
    id::EventId,
    json::Object,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Limits, Problems, Refusal, RefusalKind, fields, text, whole};

/// What an event has that does not say so itself.
#[derive(Debug, Clone)]
pub struct Usual {
    pub id: EventId,
    pub time: Timestamp,
}

/// Reads one event.
pub fn read_recorded(bytes: &[u8], limits: &Limits, usual: Usual) -> Result<Event, Refusal> {
    let text = text(bytes)?;
    if text.starts_with('[') {
        let message = "this is a list; one event is an object".to_owned();
        return Err(whole(RefusalKind::Invalid, message));
    }
    let mut problems = Problems::default();
    let ControlFlow::Continue(mut value) = problems.value(text, limits) else {
        return Err(refusal(problems));
    };
    let ours = take_ours(&mut value);
    let accepted: Option<Timestamp> = ours.read("accepted", &mut problems);
    let source: Option<String> = ours.read("source", &mut problems);
    let origin: Option<Origin> = ours.read("origin", &mut problems);
    let cause: Option<Cause> = ours.read("cause", &mut problems);
    let read = fields::read_any(value, &mut problems);
    let (ControlFlow::Continue(fields), 0) = (read, problems.count()) else {
        return Err(refusal(problems));
    };
    let draft = fields.into_draft(&origin.unwrap_or_else(Origin::open_http));
    let time = draft.time.or(accepted).unwrap_or(usual.time);
    Ok(Event {
        id: draft.id.unwrap_or(usual.id),
        topic: draft.topic,
        time,
        accepted: accepted.unwrap_or(time),
        source: source.unwrap_or_else(|| "api".to_owned()),
        severity: draft.severity,
        headers: draft.headers,
        body: draft.body,
        origin: draft.origin,
        cause,
    })
}

fn refusal(problems: Problems) -> Refusal {
    let message = "this is not an event".to_owned();
    let told = problems.into_result(Vec::new());
    told.err()
        .unwrap_or_else(|| whole(RefusalKind::Invalid, message))
}

/// Fields that a sender may not bring.
struct Ours(Object);

fn take_ours(value: &mut Value) -> Ours {
    let mut ours = Object::new();
    if let Value::Object(fields) = value {
        for name in fields::OURS {
            if let Some(found) = fields.shift_remove(name) {
                ours.insert(name.to_owned(), found);
            }
        }
    }
    Ours(ours)
}

impl Ours {
    fn read<T: DeserializeOwned>(&self, name: &str, problems: &mut Problems) -> Option<T> {
        let found = self.0.get(name).filter(|value| !value.is_null())?;
        match T::deserialize(found) {
            Ok(value) => Some(value),
            Err(error) => {
                let field = Some(name.to_owned());
                problems.add(RefusalKind::Invalid, field, error.to_string());
                None
            }
        }
    }
}

#[cfg(test)]
mod tests;
