//! Reading a step of a rule file: which kind it is, and what all kinds share.

use std::{sync::OnceLock, time::Duration};

use model::{job::StepKind, suggest::nearest};

use super::{
    Body, Field, NoCall, Step, command::Command, http::Http, playbook::Playbook, publish::Publish,
};
use crate::{
    code::Code,
    listing::{Listing, check_name},
    yaml::{Data, Mapping, Node, Reader, shorten},
};

/// Kinds of steps that a later version has.
const LATER: [&str; 2] = ["celery", "notify"];

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const MONTH: Duration = Duration::from_secs(30 * 86_400);
const DEFAULT_GRACE: Duration = Duration::from_secs(10);
const DEFAULT_CAP: u64 = 10 << 20;
const MAX_CAP: u64 = 1 << 30;

/// Reads one step; what is wrong with it is recorded and gives `None`.
pub(crate) fn read_step(reader: &mut Reader<'_>, node: &Node, listing: &Listing) -> Option<Step> {
    let mut keys = reader.mapping(node, "a step")?;
    let mut kinds = StepKind::ALL
        .map(|kind| keys.entry(kind.as_str()).map(|entry| (kind, entry)))
        .into_iter()
        .flatten();
    let (first, second) = (kinds.next(), kinds.next());
    let timeout = keys
        .stated(reader, "timeout")
        .and_then(|node| reader.duration(node, Duration::from_millis(1)..=MONTH));
    let grace = keys
        .stated(reader, "grace")
        .and_then(|node| reader.duration(node, Duration::ZERO..=HOUR));
    let output_cap = keys
        .stated(reader, "output_cap")
        .and_then(|node| reader.size(node, 0..=MAX_CAP));
    let idempotent = keys
        .stated(reader, "idempotent")
        .and_then(|node| reader.bool(node));
    let (kind, entry) = match (first, second) {
        (Some(found), None) => found,
        (Some(_), Some((_, second))) => {
            reader.error(
                Code::BadValue,
                second.key_span,
                format!("a step is one of {}", kind_words()),
                Some("make a list of two steps".to_owned()),
            );
            return None;
        }
        (None, _) => {
            no_kind(reader, &keys);
            return None;
        }
    };
    let node = &entry.value;
    let body = match kind {
        StepKind::Playbook => Playbook::read(reader, &mut keys, node, listing)
            .map(|body| Body::Playbook(Box::new(body))),
        StepKind::Command => Command::read(reader, &mut keys, node, listing)
            .map(|body| Body::Command(Box::new(body))),
        StepKind::Publish => {
            Publish::read(reader, node, listing).map(|body| Body::Publish(Box::new(body)))
        }
        StepKind::Http => Http::read(reader, node, listing).map(|body| Body::Http(Box::new(body))),
    };
    keys.finish(reader, &LATER);
    let body = body?;
    Some(Step {
        rehearsed: body.is_fixed().then(OnceLock::new),
        body,
        timeout: timeout.unwrap_or(usual_timeout(kind)),
        grace: grace.unwrap_or(DEFAULT_GRACE),
        output_cap: output_cap.unwrap_or(DEFAULT_CAP),
        idempotent,
    })
}

fn usual_timeout(kind: StepKind) -> Duration {
    match kind {
        StepKind::Playbook | StepKind::Command => HOUR,
        StepKind::Publish | StepKind::Http => MINUTE,
    }
}

fn kind_words() -> String {
    StepKind::ALL.map(|kind| format!("`{kind}`")).join(", ")
}

fn no_kind(reader: &mut Reader<'_>, keys: &Mapping<'_>) {
    let later = keys
        .entries()
        .iter()
        .find(|entry| LATER.contains(&entry.key.as_str()));
    if let Some(entry) = later {
        reader.error(
            Code::LaterVersion,
            entry.key_span,
            format!("this version does not have `{}` steps yet", entry.key),
            Some(format!("use one of {}", kind_words())),
        );
        return;
    }
    let meant = keys.entries().iter().find_map(|entry| {
        nearest(&entry.key, StepKind::ALL.map(StepKind::as_str)).map(|word| (entry, word))
    });
    match meant {
        Some((entry, word)) => reader.error(
            Code::UnknownKey,
            entry.key_span,
            format!("a step has no key `{}`", shorten(&entry.key)),
            Some(format!("did you mean `{word}`?")),
        ),
        None => reader.error(
            Code::MissingKey,
            keys.span(),
            format!("a step needs one of the keys {}", kind_words()),
            None,
        ),
    }
}

/// One value or a list of them. An empty list is recorded and gives `None`: it
/// narrows nothing, so a playbook would do everything, everywhere.
pub(super) fn filled<'n>(reader: &mut Reader<'_>, node: &'n Node) -> Option<&'n [Node]> {
    let items = reader.one_or_list(node);
    if items.is_empty() {
        let hint = "leave the key out, or write what is meant".to_owned();
        let message = "the list is empty".to_owned();
        reader.error(Code::BadValue, node.span, message, Some(hint));
        return None;
    }
    Some(items)
}

/// Reads a key that has one text or a list of them; `check` sees those that
/// nothing is computed in. `None` when one of them is wrong.
pub(super) fn read_fields(
    reader: &mut Reader<'_>,
    keys: &mut Mapping<'_>,
    key: &'static str,
    check: impl Fn(&mut Reader<'_>, &Node, &str),
) -> Option<Vec<Field>> {
    let Some(node) = keys.stated(reader, key) else {
        return Some(Vec::new());
    };
    let items = filled(reader, node)?;
    let mut fields = Some(Vec::new());
    for item in items {
        if let Data::Mapping(_) | Data::List(_) = item.data {
            reader.wrong_type(item, "a string");
            fields = None;
            continue;
        }
        let field = Field::read(reader, item);
        if let Some(text) = field.as_ref().and_then(Field::fixed) {
            check(reader, item, text);
        }
        match (field, &mut fields) {
            (Some(field), Some(fields)) => fields.push(field),
            (Some(_) | None, _) => fields = None,
        }
    }
    fields
}

/// Records it when a static text is not a path inside the project.
pub(super) fn read_path(reader: &mut Reader<'_>, node: &Node, path: &str) -> bool {
    let Err(error) = check_name(path) else {
        return true;
    };
    let code = if error.is_escape() {
        Code::PathEscape
    } else {
        Code::BadValue
    };
    reader.error(
        code,
        node.span,
        format!("`{}` is not a path in the project: {error}", shorten(path)),
        None,
    );
    false
}

/// Goes on where a rehearsal lacks the job or a file is missing, so that what
/// is wrong for good is found first.
#[derive(Debug, Default)]
pub(super) struct Tally {
    is_later: bool,
    missing: Option<String>,
}

impl Tally {
    pub(super) fn take<T>(
        &mut self,
        key: &str,
        result: Result<T, NoCall>,
    ) -> Result<Option<T>, NoCall> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(NoCall::Later) => {
                self.is_later = true;
                Ok(None)
            }
            Err(NoCall::Missing(message)) => {
                self.missing.get_or_insert(message);
                Ok(None)
            }
            Err(error @ (NoCall::Skip(_) | NoCall::Bad(_))) => Err(error.of(key)),
        }
    }

    pub(super) fn into_no_call(self) -> NoCall {
        match self.missing {
            Some(message) => NoCall::Missing(message),
            None => NoCall::Later,
        }
    }

    pub(super) fn finish(self) -> Result<(), NoCall> {
        if self.is_later || self.missing.is_some() {
            return Err(self.into_no_call());
        }
        Ok(())
    }
}
