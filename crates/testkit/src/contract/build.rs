//! Values that the suites are made of, with as little said as possible.

use std::{num::NonZeroU32, time::Duration};

use model::{
    clock::Timestamp,
    custody::Custody,
    event::{Event, Origin, Severity},
    flow::{Debounce, FlowPlan},
    id::{LeaseId, Principal, Revision, RuleName, SinkName, WorkerId},
    job::{
        Backoff, Exit, JobPlan, Lease, NextState, OnLost, Outcome, Retry, RetryPolicy, StepEnd,
        StepKind, StepPlan,
    },
    json::{ContentHash, Object},
    ports::{Claimant, Judged},
    verdict::{Decision, Firing},
};
use serde_json::{Value, json};

/// Longer than anything that a suite does between two lines.
pub const LEASE: Duration = Duration::from_secs(30);

pub fn rule(name: &str) -> RuleName {
    name.parse().unwrap()
}

pub fn worker(name: &str) -> WorkerId {
    name.parse().unwrap()
}

/// A claimant without deliveries.
pub fn claimant(name: &str) -> Claimant {
    Claimant {
        worker: worker(name),
        deliveries: false,
    }
}

/// A claimant that may begin the jobs of its deliveries.
pub fn delivering(name: &str) -> Claimant {
    Claimant {
        deliveries: true,
        ..claimant(name)
    }
}

/// A delivery that this worker holds and nobody had before.
pub fn delivered(worker_name: &str) -> Custody {
    Custody::Broker {
        worker: worker(worker_name),
        taken_over: false,
    }
}

/// A delivery that this worker holds and another had before.
pub fn taken_over(worker_name: &str) -> Custody {
    Custody::Broker {
        worker: worker(worker_name),
        taken_over: true,
    }
}

pub fn sink(name: &str) -> SinkName {
    name.parse().unwrap()
}

pub fn by(name: &str) -> Principal {
    Principal(name.to_owned())
}

pub fn revision() -> Revision {
    "cafe01".parse().unwrap()
}

pub fn object(value: Value) -> Object {
    match value {
        Value::Object(fields) => fields,
        other => panic!("{other} is not an object"),
    }
}

/// An event of the topic `org.example.<id>`, accepted at `accepted`.
pub fn event(id: &str, accepted: Timestamp) -> Event {
    Event {
        id: id.parse().unwrap(),
        topic: format!("org.example.{id}").parse().unwrap(),
        time: accepted,
        accepted,
        source: "api".to_owned(),
        severity: Severity::Info,
        headers: Object::new(),
        body: json!({"name": id}),
        origin: Origin::open_http(),
        cause: None,
    }
}

/// An event with what its rules decided.
pub fn judged(event: Event, decisions: Vec<Decision>) -> Judged {
    Judged {
        hash: ContentHash::of(event.topic.as_str(), &event.body),
        revision: revision(),
        event: event.into(),
        decisions,
        custody: Custody::Store,
        routes: Vec::new(),
    }
}

/// One playbook step, retried when lost, three attempts, no key.
pub fn plan() -> JobPlan {
    JobPlan {
        key: None,
        account: None,
        retry: RetryPolicy {
            attempts: NonZeroU32::new(3).unwrap(),
            delay: Duration::from_secs(30),
            backoff: Backoff::Fixed,
            max_delay: Duration::from_secs(600),
        },
        steps: steps(1, OnLost::Retry),
        flow: FlowPlan::default(),
    }
}

pub fn steps(count: usize, on_lost: OnLost) -> Vec<StepPlan> {
    let step = StepPlan {
        kind: StepKind::Playbook,
        on_lost,
    };
    vec![step; count]
}

pub fn keyed(key: &str) -> JobPlan {
    JobPlan {
        key: Some(key.to_owned()),
        ..plan()
    }
}

pub fn debounced(quiet: Duration) -> JobPlan {
    JobPlan {
        flow: FlowPlan {
            debounce: Some(Debounce { quiet, max: None }),
            ..FlowPlan::default()
        },
        ..plan()
    }
}

pub fn fire(rule_name: &str, plan: JobPlan) -> Decision {
    Decision {
        rule: rule(rule_name),
        firing: Firing::Fire(plan),
    }
}

pub fn succeeded() -> Outcome {
    Outcome::Succeeded {
        summary: "all is well".to_owned(),
    }
}

pub fn failed() -> Outcome {
    Outcome::Failed {
        exit: Some(Exit::Code(2)),
        summary: "exit code 2".to_owned(),
        retry: Retry::Worthwhile,
    }
}

pub fn end(index: usize, outcome: Outcome) -> StepEnd {
    let exit = match &outcome {
        Outcome::Succeeded { .. } => Some(Exit::Code(0)),
        Outcome::Failed { exit, .. } => *exit,
        Outcome::TimedOut { .. }
        | Outcome::Cancelled { .. }
        | Outcome::Unstartable { .. }
        | Outcome::Lost { .. } => None,
    };
    StepEnd {
        index,
        outcome,
        exit,
        skipped: false,
        result: None,
    }
}

pub fn retrying(delay: Duration) -> NextState {
    NextState::Retrying {
        delay,
        reason: "exit code 2".to_owned(),
    }
}

pub fn gave_up() -> NextState {
    NextState::Failed {
        cause: "exit code 2; gave up after 3 attempts".to_owned(),
    }
}

pub fn held() -> NextState {
    NextState::Held {
        reason: "interrupted".to_owned(),
    }
}

/// The ids of leases, for `renew`.
pub fn ids(leases: &[Lease]) -> Vec<LeaseId> {
    leases.iter().map(|lease| lease.id.clone()).collect()
}
