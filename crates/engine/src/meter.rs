//! What is counted and measured, under the names of the manual's *Metrics*.
//!
//! What happens is counted where it is logged, in `telemetry`; how things
//! stand is read from the status when somebody asks, at most once a second.
//! A name of a rule is a label for the first [`MAX_RULES`] rules that are
//! seen, then `other`: nobody can make the number of series grow without end.
//! All labels are names or words of ours: the library escapes nothing in them.

use std::{
    collections::HashSet,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use model::{
    id::{RuleName, SinkName},
    job::{Outcome, StepKind},
    verdict::Verdict,
};
use prometheus_client::{
    encoding::text::encode_registry,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

use crate::status::Status;

mod gauges;

pub(crate) use gauges::Cache;

/// Rules whose names are labels.
const MAX_RULES: usize = 1_000;
/// What stands for the names of the others.
const OTHER: &str = "other";

/// One label or two.
pub(crate) type Labels<const N: usize> = [(&'static str, String); N];
type Counters<const N: usize> = Family<Labels<N>, Counter>;
type Durations<const N: usize> = Family<Labels<N>, Histogram, fn() -> Histogram>;

/// The counters and histograms of one engine.
pub struct Meter {
    registry: Registry,
    rules: Mutex<HashSet<RuleName>>,
    accepted: Counters<1>,
    duplicates: Counters<1>,
    refused: Counters<2>,
    verdicts: Counters<1>,
    commits: Histogram,
    starts: Histogram,
    attempts: Counters<2>,
    attempt_durations: Histogram,
    steps: Durations<1>,
    ended: Counters<2>,
    leases_lost: Counter,
    sent: Counters<1>,
    given_up: Counters<1>,
    streams: Gauge,
    streams_dropped: Counters<1>,
    limited: Counters<1>,
}

impl Default for Meter {
    fn default() -> Self {
        let mut meter = Self {
            registry: Registry::with_prefix("lariat"),
            rules: Mutex::default(),
            accepted: Family::default(),
            duplicates: Family::default(),
            refused: Family::default(),
            verdicts: Family::default(),
            commits: Histogram::new(COMMITS),
            starts: Histogram::new(STARTS),
            attempts: Family::default(),
            attempt_durations: durations(),
            steps: Family::new_with_constructor(durations as fn() -> Histogram),
            ended: Family::default(),
            leases_lost: Counter::default(),
            sent: Family::default(),
            given_up: Family::default(),
            streams: Gauge::default(),
            streams_dropped: Family::default(),
            limited: Family::default(),
        };
        meter.register();
        meter.begin();
        meter
    }
}

/// Upper bounds in seconds.
const COMMITS: [f64; 12] = [
    0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0,
];
const STARTS: [f64; 14] = [
    0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0, 300.0, 3_600.0, 86_400.0,
];
const DURATIONS: [f64; 14] = [
    0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 21_600.0,
];

fn durations() -> Histogram {
    Histogram::new(DURATIONS)
}

impl Meter {
    fn register(&mut self) {
        let registry = &mut self.registry;
        let help = "Events that were accepted and are kept, by source";
        registry.register("events_accepted", help, self.accepted.clone());
        let help = "Events that were accepted and known already, by source";
        registry.register("events_duplicate", help, self.duplicates.clone());
        let help = "Requests and deliveries that were refused, by source and reason";
        registry.register("intake_refused", help, self.refused.clone());
        let help = "Verdicts of rules about accepted events, those that did not match left out";
        registry.register("verdicts", help, self.verdicts.clone());
        let help = "Time from judged to durable, of a batch of events";
        let commits = self.commits.clone();
        registry.register_with_unit("accept_commit", help, Unit::Seconds, commits);
        let help = "Time from accepting an event to the start of a job's first attempt";
        registry.register_with_unit("job_start", help, Unit::Seconds, self.starts.clone());
        let help = "Attempts that ended, by rule and outcome";
        registry.register("attempts", help, self.attempts.clone());
        let help = "How long attempts took";
        let attempts = self.attempt_durations.clone();
        registry.register_with_unit("attempt_duration", help, Unit::Seconds, attempts);
        let help = "How long steps took, by their kind";
        registry.register_with_unit("step_duration", help, Unit::Seconds, self.steps.clone());
        let help = "Jobs that an attempt or a lost worker ended, by rule and state";
        registry.register("jobs_ended", help, self.ended.clone());
        let help = "Leases that ran out before their attempt had ended";
        registry.register("leases_lost", help, self.leases_lost.clone());
        let help = "Events that a sink has taken";
        registry.register("outbox_sent", help, self.sent.clone());
        let help = "Events that a sink will never take";
        registry.register("outbox_given_up", help, self.given_up.clone());
        let help = "Streams that are open";
        registry.register("streams_open", help, self.streams.clone());
        let help = "Streams that the service ended before their time, by reason";
        registry.register("streams_dropped", help, self.streams_dropped.clone());
        let help = "Requests that were refused because they came too often, by limit";
        registry.register("requests_limited", help, self.limited.clone());
    }

    /// Series whose labels are known begin at nothing, so that their first
    /// change is seen as one.
    fn begin(&self) {
        for verdict in Verdict::ALL {
            if verdict != Verdict::NoMatch {
                self.verdict(verdict, 0);
            }
        }
        for kind in StepKind::ALL {
            drop(
                self.steps
                    .get_or_create(&[("kind", kind.as_str().to_owned())]),
            );
        }
        for limit in ["requests_per_token", "requests_per_address"] {
            drop(self.limited.get_or_create(&[("limit", limit.to_owned())]));
        }
        self.source("api");
    }

    /// A source from which events may come.
    pub(crate) fn source(&self, name: &str) {
        self.accepted(name, 0, 0);
    }

    /// A sink to which events may go.
    pub(crate) fn sink(&self, name: &SinkName) {
        self.sent(name, 0);
        self.given_up(name, 0);
    }

    pub(crate) fn accepted(&self, source: &str, events: usize, duplicates: usize) {
        let label = || [("source", source.to_owned())];
        self.accepted.get_or_create(&label()).inc_by(count(events));
        self.duplicates
            .get_or_create(&label())
            .inc_by(count(duplicates));
    }

    /// Something that `source` sent was not accepted. `reason` is one of a few
    /// words of our own.
    pub fn refused(&self, source: &str, reason: &'static str) {
        let labels = [("source", source.to_owned()), ("reason", reason.to_owned())];
        self.refused.get_or_create(&labels).inc();
    }

    pub(crate) fn verdict(&self, verdict: Verdict, times: usize) {
        let label = [("verdict", verdict.as_str().to_owned())];
        self.verdicts.get_or_create(&label).inc_by(count(times));
    }

    pub(crate) fn committed(&self, took: Duration) {
        self.commits.observe(took.as_secs_f64());
    }

    /// A first attempt began so long after its event was accepted.
    pub(crate) fn started(&self, after: Duration) {
        self.starts.observe(after.as_secs_f64());
    }

    pub(crate) fn attempt(&self, rule: &RuleName, outcome: &Outcome, took: Duration) {
        let outcome = ("outcome", outcome.as_str().to_owned());
        let labels = [("rule", self.label(rule)), outcome];
        self.attempts.get_or_create(&labels).inc();
        self.attempt_durations.observe(took.as_secs_f64());
    }

    pub(crate) fn step(&self, kind: StepKind, took: Duration) {
        let label = [("kind", kind.as_str().to_owned())];
        self.steps.get_or_create(&label).observe(took.as_secs_f64());
    }

    pub(crate) fn ended(&self, rule: &RuleName, state: &'static str) {
        let labels = [("rule", self.label(rule)), ("state", state.to_owned())];
        self.ended.get_or_create(&labels).inc();
    }

    pub(crate) fn lease_lost(&self) {
        self.leases_lost.inc();
    }

    pub(crate) fn sent(&self, sink: &SinkName, events: usize) {
        let label = [("sink", sink.to_string())];
        self.sent.get_or_create(&label).inc_by(count(events));
    }

    pub(crate) fn given_up(&self, sink: &SinkName, events: usize) {
        let label = [("sink", sink.to_string())];
        self.given_up.get_or_create(&label).inc_by(count(events));
    }

    pub fn stream_began(&self) {
        self.streams.inc();
    }

    pub fn stream_ended(&self) {
        self.streams.dec();
    }

    /// `reason` is one of a few words of our own, here and below.
    pub fn stream_may_be_dropped(&self, reason: &'static str) {
        let label = [("reason", reason.to_owned())];
        drop(self.streams_dropped.get_or_create(&label));
    }

    pub fn stream_dropped(&self, reason: &'static str) {
        let label = [("reason", reason.to_owned())];
        self.streams_dropped.get_or_create(&label).inc();
    }

    /// A request came more often than `limit` allows.
    pub fn limited(&self, limit: &'static str) {
        let label = [("limit", limit.to_owned())];
        self.limited.get_or_create(&label).inc();
    }

    /// The name of a rule, or what stands for it.
    fn label(&self, rule: &RuleName) -> String {
        let mut rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        if !rules.contains(rule) {
            if rules.len() >= MAX_RULES {
                return OTHER.to_owned();
            }
            rules.insert(rule.clone());
        }
        rule.to_string()
    }

    /// Everything in the text format of OpenMetrics, without its end. The
    /// status is absent when the store does not answer.
    pub(crate) fn text(
        &self,
        status: Option<&Arc<Status>>,
        now: model::clock::Timestamp,
    ) -> String {
        let mut text = String::new();
        let registries = [
            &self.registry,
            &gauges::registry(status.map(Arc::as_ref), now),
        ];
        for registry in registries {
            encode_registry(&mut text, registry).expect("writing to a string cannot fail");
        }
        text
    }
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meter").finish_non_exhaustive()
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
