//! Decisions about storms, case by case. Times are seconds after [`NOON`].

use std::num::NonZeroU32;

use super::*;
use crate::{
    clock::BootTime,
    job::{RetryPolicy, StepKind, StepPlan},
};

const NOON: &str = "2026-11-20T12:00:00.000Z";

fn tick(secs: i64) -> Tick {
    Tick(secs * 1_000)
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn job(name: &str) -> JobId {
    name.parse().unwrap()
}

fn plan(flow: FlowPlan) -> JobPlan {
    JobPlan {
        key: Some("k".to_owned()),
        account: None,
        retry: RetryPolicy::default(),
        steps: vec![StepPlan {
            kind: StepKind::Playbook,
            on_lost: OnLost::Retry,
        }],
        flow,
    }
}

fn debounce(quiet: u64, max: Option<u64>) -> FlowPlan {
    FlowPlan {
        debounce: Some(Debounce {
            quiet: secs(quiet),
            max: max.map(secs),
        }),
        ..FlowPlan::default()
    }
}

fn throttle(limit: u32, per: u64, then: Excess) -> FlowPlan {
    FlowPlan {
        throttle: Some(Throttle {
            limit: NonZeroU32::new(limit).unwrap(),
            per: secs(per),
            by: None,
            then,
        }),
        ..FlowPlan::default()
    }
}

fn when_busy(when_busy: WhenBusy) -> FlowPlan {
    FlowPlan {
        when_busy,
        ..FlowPlan::default()
    }
}

/// What bears on a firing at noon.
#[derive(Default)]
struct Seen {
    holder: Option<&'static str>,
    /// With when it is due and when at the latest.
    pending: Vec<(&'static str, Option<i64>, Option<i64>)>,
    /// The places that were given away.
    places: Vec<i64>,
}

impl Seen {
    fn decide(&self, flow: &FlowPlan) -> Flow {
        let pending: Vec<Pending> = self
            .pending
            .iter()
            .map(|(name, due, latest)| Pending {
                job: job(name),
                due: due.map(tick),
                latest: latest.map(tick),
                begun: false,
            })
            .collect();
        let places = self.places.iter().enumerate();
        let window = Window::new(
            places
                .map(|(n, place)| (tick(*place), job(&format!("p{n}"))))
                .collect(),
        );
        let state = FlowState {
            key_holder: self.holder.map(job),
            pending: &pending,
            window: Some(&window),
            ..FlowState::empty(Moment {
                tick: tick(0),
                wall: NOON.parse().unwrap(),
            })
        };
        decide(&state, &Firing::Fire(plan(flow.clone())), &Custody::Store)
    }
}

#[track_caller]
fn check(seen: &Seen, flow: &FlowPlan, expect: &str) {
    let text = match seen.decide(flow) {
        Flow::Create(creation) => {
            let place = creation.place.map(|place| format!(" @{}", place.0 / 1_000));
            format!(
                "{}{}: {}",
                creation.state,
                place.unwrap_or_default(),
                creation.explained()
            )
        }
        Flow::Record {
            verdict, reason, ..
        } => format!("{verdict}: {reason}"),
    };
    assert_eq!(expect, text);
}

#[test]
fn a_busy_key_is_waited_for_or_not() {
    let busy = Seen {
        holder: Some("h"),
        pending: vec![("a", None, None), ("b", None, None)],
        ..Seen::default()
    };
    let waits = "waiting: waiting for key `k` held by job h";
    check(&busy, &when_busy(WhenBusy::Queue), waits);
    check(
        &busy,
        &when_busy(WhenBusy::Latest),
        &format!("{waits}; it takes the place of 2 jobs, the last is b"),
    );
    check(
        &busy,
        &when_busy(WhenBusy::Drop),
        "suppressed: key `k` is held by job h (when_busy: drop)",
    );
    check(&Seen::default(), &when_busy(WhenBusy::Drop), "queued: ");
}

#[test]
fn a_firing_takes_the_place_of_the_one_that_waits_for_quiet() {
    check(
        &Seen::default(),
        &debounce(30, None),
        "delayed: delayed until 2026-11-20T12:00:30.000Z (debounce: 30s)",
    );
    let burst = Seen {
        pending: vec![("a", Some(5), Some(20))],
        ..Seen::default()
    };
    check(
        &burst,
        &debounce(30, None),
        "delayed: delayed until 2026-11-20T12:00:30.000Z (debounce: 30s); it takes the place of \
         job a",
    );
    check(
        &burst,
        &debounce(30, Some(60)),
        "delayed: delayed until 2026-11-20T12:00:20.000Z (debounce: 30s); it takes the place of \
         job a",
    );
    // One that is due has begun as far as the rule is concerned.
    let due = Seen {
        pending: vec![("a", Some(0), Some(20)), ("w", None, None)],
        ..Seen::default()
    };
    check(
        &due,
        &debounce(30, Some(60)),
        "delayed: delayed until 2026-11-20T12:00:30.000Z (debounce: 30s)",
    );
}

#[test]
fn a_window_that_is_full_drops_or_delays() {
    let full = Seen {
        places: vec![-3_600, -50, -40, -1],
        ..Seen::default()
    };
    check(&full, &throttle(4, 3_600, Excess::Drop), "queued @0: ");
    check(
        &full,
        &throttle(3, 60, Excess::Drop),
        "suppressed: suppressed by throttle: 3 in 1m, the next at 2026-11-20T12:00:10.000Z",
    );
    check(
        &full,
        &throttle(3, 60, Excess::Queue),
        "delayed @10: delayed until 2026-11-20T12:00:10.000Z by throttle: 3 in 1m",
    );
    check(
        &full,
        &throttle(1, 90_000, Excess::Queue),
        "delayed @89999: delayed until 2026-11-21T12:59:59.000Z by throttle: 1 in 25h",
    );
    let far = Seen {
        places: vec![400 * 86_400],
        ..Seen::default()
    };
    check(
        &far,
        &throttle(1, 86_400, Excess::Queue),
        "suppressed: suppressed by throttle: 1 in 1d, the next at 2027-12-26T12:00:00.000Z",
    );
}

#[test]
fn the_place_of_a_job_that_gives_way_is_free() {
    let flow = FlowPlan {
        throttle: throttle(1, 60, Excess::Drop).throttle,
        ..debounce(30, None)
    };
    let burst = Seen {
        pending: vec![("p0", Some(10), None)],
        places: vec![10],
        ..Seen::default()
    };
    check(
        &burst,
        &flow,
        "delayed @30: delayed until 2026-11-20T12:00:30.000Z (debounce: 30s); it takes the place \
         of job p0",
    );
}

#[test]
fn places_keep_the_limit_however_jobs_come_and_go() {
    let limited = throttle(3, 60, Excess::Queue).throttle.unwrap();
    let mut window = Window::default();
    let mut places: Vec<(Tick, JobId)> = Vec::new();
    for n in 0..200_i64 {
        let place = window.place(&limited, tick(n * 7 % 300), &[]);
        let name = job(&format!("j{n}"));
        window.take(place, name.clone());
        places.push((place, name));
        if n % 5 == 3 {
            let (_, gone) = places.remove(places.len() / 2);
            window.give_back(&gone);
        }
        for (from, _) in &places {
            let inside = |place: Tick| place >= *from && place < from.plus(limited.per);
            let count = places.iter().filter(|(place, _)| inside(*place)).count();
            assert!(count <= 3, "{count} from {from:?} after {n}");
        }
    }
}

#[test]
fn a_boot_goes_on_where_the_wall_clock_says() {
    let at = |boot: &str, millis| BootTime {
        boot: boot.to_owned(),
        millis,
    };
    let noon: Timestamp = NOON.parse().unwrap();
    let first = Steady::begin(noon, &at("a", 5_000), None);
    assert_eq!(first.tick(&at("a", 5_000)), Some(Tick(noon.as_millis())));
    assert_eq!(
        first.tick(&at("a", 65_000)),
        Some(Tick(noon.as_millis() + 60_000))
    );
    assert_eq!(first.tick(&at("b", 5_000)), None);
    let unset = Steady::begin(Timestamp::default(), &at("b", 0), Some(noon));
    assert_eq!(unset.tick(&at("b", 0)), Some(Tick(noon.as_millis())));
}

#[test]
fn a_plan_of_before_reads_as_one_that_says_nothing() {
    let stored = serde_json::to_value(plan(FlowPlan::default())).unwrap();
    assert_eq!(stored.get("flow"), None, "nothing is stored for it");
    let read: JobPlan = serde_json::from_value(stored).unwrap();
    assert!(read.flow.is_plain());
    let full = FlowPlan {
        throttle: throttle(2, 60, Excess::Queue).throttle,
        when_busy: WhenBusy::Latest,
        ..debounce(30, Some(60))
    };
    let stored = serde_json::to_string(&plan(full.clone())).unwrap();
    let read: JobPlan = serde_json::from_str(&stored).unwrap();
    assert_eq!(read.flow, full);
}
