//! What a rule says about storms: `when_busy`, `debounce` and `throttle`.
//!
//! Here they are read, and rendered for one event. What they mean for it is
//! `model::flow`'s, decided where the store can see other jobs.

use std::{num::NonZeroU32, ops::RangeInclusive, time::Duration};

use model::flow::{Debounce, Excess, FlowPlan, Throttle, WhenBusy};

use crate::{
    code::Code,
    step::Field,
    yaml::{Data, Mapping, Node, Reader},
};

/// How long a rule may be told to wait, and how long a window may be.
const SPANS: RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(30 * 86_400);

/// Every place in a window is looked at when an event is accepted.
const MOST_IN_A_WINDOW: u64 = 10_000;

/// The keys as the rule writes them.
#[derive(Debug, Default)]
pub(super) struct Flow {
    when_busy: WhenBusy,
    debounce: Option<Debounce>,
    throttle: Option<Limit>,
}

#[derive(Debug)]
struct Limit {
    limit: NonZeroU32,
    per: Duration,
    by: Option<Field>,
    then: Excess,
}

impl Flow {
    /// Reads the keys of a rule. Nothing comes out when there is a problem,
    /// and nothing inside when the rule says nothing of the kind.
    pub(super) fn read(
        reader: &mut Reader<'_>,
        keys: &mut Mapping<'_>,
    ) -> Option<Option<Box<Self>>> {
        let has_key = keys.entry("key").is_some();
        let when_busy = match keys.stated(reader, "when_busy") {
            Some(node) => read_when_busy(reader, node, has_key),
            None => Some(WhenBusy::default()),
        };
        let debounce = match keys.stated(reader, "debounce") {
            Some(node) => read_debounce(reader, node).map(Some),
            None => Some(None),
        };
        let throttle = match keys.stated(reader, "throttle") {
            Some(node) => read_throttle(reader, node).map(Some),
            None => Some(None),
        };
        let flow = Self {
            when_busy: when_busy?,
            debounce: debounce?,
            throttle: throttle?,
        };
        let is_plain =
            flow.when_busy == WhenBusy::Queue && flow.debounce.is_none() && flow.throttle.is_none();
        Some((!is_plain).then(|| Box::new(flow)))
    }

    /// For one event; `render` renders what windows are counted by.
    pub(super) fn plan(
        &self,
        render: impl FnOnce(&Field) -> Result<String, String>,
    ) -> Result<FlowPlan, String> {
        let throttle = match &self.throttle {
            Some(limit) => Some(Throttle {
                limit: limit.limit,
                per: limit.per,
                by: limit.by.as_ref().map(render).transpose()?,
                then: limit.then,
            }),
            None => None,
        };
        Ok(FlowPlan {
            when_busy: self.when_busy,
            debounce: self.debounce,
            throttle,
        })
    }
}

fn read_when_busy(reader: &mut Reader<'_>, node: &Node, has_key: bool) -> Option<WhenBusy> {
    let word = reader.word(
        node,
        &[
            ("queue", WhenBusy::Queue),
            ("latest", WhenBusy::Latest),
            ("drop", WhenBusy::Drop),
        ],
    )?;
    if !has_key {
        reader.error(
            Code::BadValue,
            node.span,
            "`when_busy` needs a `key`: without one no job waits for another".to_owned(),
            Some("add `key`, which names what jobs must not share".to_owned()),
        );
        return None;
    }
    Some(word)
}

fn read_debounce(reader: &mut Reader<'_>, node: &Node) -> Option<Debounce> {
    if !matches!(node.data, Data::Mapping(_)) {
        let quiet = reader.duration(node, SPANS)?;
        return Some(Debounce { quiet, max: None });
    }
    let mut keys = reader.mapping(node, "a debounce")?;
    let quiet = keys
        .required(reader, "quiet")
        .and_then(|node| reader.duration(node, SPANS));
    let max_node = keys.stated(reader, "max");
    let max = match max_node {
        Some(node) => reader.duration(node, SPANS).map(Some),
        None => Some(None),
    };
    keys.finish(reader, &[]);
    let (quiet, max) = (quiet?, max?);
    if let (Some(node), Some(max)) = (max_node, max)
        && max < quiet
    {
        reader.error(
            Code::BadValue,
            node.span,
            "`max` is shorter than `quiet`, so the rule would never wait for quiet".to_owned(),
            Some("`max` is how long after the first event a job begins at the latest".to_owned()),
        );
        return None;
    }
    Some(Debounce { quiet, max })
}

fn read_throttle(reader: &mut Reader<'_>, node: &Node) -> Option<Limit> {
    let mut keys = reader.mapping(node, "a throttle")?;
    let limit = keys.required(reader, "limit").and_then(|node| {
        let limit = reader.integer(node, 1..=MOST_IN_A_WINDOW)?;
        NonZeroU32::new(u32::try_from(limit).ok()?)
    });
    let per = keys
        .required(reader, "per")
        .and_then(|node| reader.duration(node, SPANS));
    let by = match keys.stated(reader, "by") {
        Some(node) => read_by(reader, node).map(Some),
        None => Some(None),
    };
    let then = match keys.stated(reader, "then") {
        Some(node) => reader.word(node, &[("drop", Excess::Drop), ("queue", Excess::Queue)]),
        None => Some(Excess::default()),
    };
    keys.finish(reader, &[]);
    Some(Limit {
        limit: limit?,
        per: per?,
        by: by?,
        then: then?,
    })
}

fn read_by(reader: &mut Reader<'_>, node: &Node) -> Option<Field> {
    let field = Field::read(reader, node)?;
    if field.needs_job() {
        reader.error(
            Code::BadTemplate,
            node.span,
            "a throttle cannot count by `job`, `attempt` or `result`: there is no job yet"
                .to_owned(),
            Some("name `event`, `msg` or `rule`".to_owned()),
        );
        return None;
    }
    if field.fixed().is_some() {
        reader.error(
            Code::BadValue,
            node.span,
            "`by` is the same for every event, so nothing is counted apart".to_owned(),
            Some("remove it, or name something of the event in `{{ … }}`".to_owned()),
        );
        return None;
    }
    Some(field)
}
