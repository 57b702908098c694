//! What became of everything that the broker had accepted.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde_json::Value;

use super::{
    fleet::Instance,
    journal::{Entry, Mark},
    load::Kind,
};

/// What one instance keeps.
#[derive(Debug)]
pub(crate) struct Kept {
    events: BTreeSet<String>,
    jobs: Vec<Value>,
    dead: Vec<Value>,
}

impl Kept {
    pub(crate) async fn by(instance: &Instance) -> Self {
        let events = instance.all("/api/v1/events?limit=500&since=30d").await;
        let mut dead = instance.all("/api/v1/dead?limit=500").await;
        for letter in dead
            .iter_mut()
            .filter(|letter| letter["event_id"].is_null())
        {
            // The list does not show what arrived.
            let path = format!("/api/v1/dead/{}", text(letter, "id"));
            *letter = instance.get(&path).await.expect("a letter of the list");
        }
        Self {
            events: events.iter().map(|event| text(event, "id")).collect(),
            jobs: instance.all("/api/v1/jobs?limit=500&since=30d").await,
            dead,
        }
    }
}

/// What is to be accounted for.
#[derive(Debug)]
pub(crate) struct Evidence<'a> {
    pub(crate) accepted: &'a BTreeMap<String, Kind>,
    /// Published without an answer: they may have arrived.
    pub(crate) unanswered: &'a BTreeMap<String, Kind>,
    pub(crate) kept: &'a [Kept],
    pub(crate) entries: &'a [Entry],
    /// What came out of the sink, and how often.
    pub(crate) received: &'a BTreeMap<String, u64>,
}

#[derive(Debug, Default)]
pub(crate) struct Account {
    accepted: usize,
    unanswered: usize,
    ended: usize,
    unmatched: usize,
    routed: usize,
    received_again: u64,
    /// Begun once more than their attempts explain.
    run_again: BTreeMap<String, f64>,
    /// … of them, after they had ended.
    repeated: BTreeSet<String>,
    dead: BTreeMap<String, BTreeSet<String>>,
    lost: BTreeSet<String>,
    overlapping: BTreeSet<String>,
    wrongly_ended: BTreeSet<String>,
    not_received: BTreeSet<String>,
}

impl Account {
    pub(crate) fn new(evidence: &Evidence<'_>) -> Self {
        let mut account = Self {
            accepted: evidence.accepted.len(),
            unanswered: evidence.unanswered.len(),
            ..Self::default()
        };
        account.read_dead(evidence);
        account.read_stores(evidence);
        account.read_sink(evidence);
        account.read_journal(evidence.entries);
        account.check_dead(evidence);
        account
    }

    /// Events of each kind of dead letter: in a fleet one may be kept by two
    /// instances.
    fn read_dead(&mut self, evidence: &Evidence<'_>) {
        for letter in evidence.kept.iter().flat_map(|kept| &kept.dead) {
            let kind = text(letter, "kind");
            let what = match letter["event_id"].as_str() {
                Some(event) => event.to_owned(),
                // What cannot be decoded begins with the id it would have had.
                None => undecodable_id(letter),
            };
            self.dead.entry(kind).or_default().insert(what);
        }
    }

    fn read_stores(&mut self, evidence: &Evidence<'_>) {
        let mut states: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for job in evidence.kept.iter().flat_map(|kept| &kept.jobs) {
            let (Some(event), Some(state)) = (job["event_id"].as_str(), job["state"].as_str())
            else {
                panic!("not a job: {job}");
            };
            states.entry(event).or_default().insert(state);
        }
        for (event, kind) in evidence.accepted {
            let found = states.get(event.as_str()).cloned().unwrap_or_default();
            self.judge(event, *kind, &found, evidence);
        }
    }

    fn judge(&mut self, event: &str, kind: Kind, states: &BTreeSet<&str>, of: &Evidence<'_>) {
        let expected = match kind {
            Kind::Plain | Kind::Keyed | Kind::Slow | Kind::Flaky => "succeeded",
            Kind::Failing => "failed",
            Kind::Unmatched => {
                if of.kept.iter().any(|kept| kept.events.contains(event)) {
                    self.unmatched += 1;
                } else {
                    self.lost.insert(event.to_owned());
                }
                return;
            }
            // Looked for among the dead letters.
            Kind::Undecodable => return,
        };
        // What is `returned` in one store has ended in another.
        if states.contains(expected) {
            self.ended += 1;
        } else {
            self.lost
                .insert(format!("{event} ({}) is {states:?}", kind.as_str()));
        }
        for state in states {
            if *state != expected && *state != "returned" {
                self.wrongly_ended
                    .insert(format!("{event} ({}) is {state}", kind.as_str()));
            }
        }
    }

    fn read_sink(&mut self, evidence: &Evidence<'_>) {
        for (event, kind) in evidence.accepted {
            if *kind == Kind::Undecodable {
                continue;
            }
            self.routed += 1;
            if !evidence.received.contains_key(event) {
                self.not_received.insert(event.clone());
            }
        }
        self.received_again = evidence.received.values().map(|times| times - 1).sum();
    }

    fn read_journal(&mut self, entries: &[Entry]) {
        /// How one event has gone so far.
        #[derive(Default)]
        struct Course {
            begun: u64,
            failed: u64,
            has_ended: bool,
        }
        let mut courses: BTreeMap<(&str, &str), Course> = BTreeMap::new();
        for entry in entries {
            let Entry {
                event, rule, at, ..
            } = entry;
            let course = courses.entry((event, rule)).or_default();
            match entry.mark {
                Mark::Begin => {
                    // An attempt that failed explains the next one.
                    if course.begun > course.failed {
                        self.run_again.insert(event.clone(), *at);
                    }
                    if course.has_ended {
                        self.repeated.insert(event.clone());
                    }
                    course.begun += 1;
                }
                Mark::Fail => course.failed += 1,
                Mark::End => course.has_ended = true,
                Mark::Overlap => {
                    self.overlapping.insert(format!("{event} of {rule}"));
                }
                Mark::KeyOverlap => {
                    let instance = &entry.instance;
                    self.overlapping
                        .insert(format!("{event} and its key on {instance}"));
                }
            }
        }
    }

    /// Each kind of dead letter has its events: all that were accepted, and
    /// none but those that may have been.
    fn check_dead(&mut self, evidence: &Evidence<'_>) {
        let expected = [
            ("job_failed", Kind::Failing),
            ("undecodable", Kind::Undecodable),
        ];
        for (word, kind) in expected {
            let found = self.dead.get(word).cloned().unwrap_or_default();
            for (event, _) in evidence.accepted.iter().filter(|(_, of)| **of == kind) {
                if !found.contains(event) {
                    self.lost
                        .insert(format!("{event} is no dead letter {word}"));
                }
            }
            for event in &found {
                let of = evidence.accepted.get(event);
                let of = of.or_else(|| evidence.unanswered.get(event));
                if of != Some(&kind) {
                    self.wrongly_ended
                        .insert(format!("{event} is a dead letter {word}"));
                }
            }
        }
        for word in self.dead.keys() {
            if expected.iter().all(|(known, _)| known != word) {
                self.wrongly_ended
                    .insert(format!("there are dead letters {word}"));
            }
        }
    }

    /// Events that were begun again, and when.
    pub(crate) fn run_again(&self) -> &BTreeMap<String, f64> {
        &self.run_again
    }

    pub(crate) fn assert_clean(&self) {
        assert!(self.lost.is_empty(), "lost: {:#?}", self.lost);
        assert!(
            self.overlapping.is_empty(),
            "run twice at once: {:#?}",
            self.overlapping
        );
        assert!(
            self.wrongly_ended.is_empty(),
            "ended otherwise than it should: {:#?}",
            self.wrongly_ended
        );
        assert!(
            self.not_received.is_empty(),
            "routed and never received: {:#?}",
            self.not_received
        );
    }
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

fn undecodable_id(letter: &Value) -> String {
    let raw = letter["raw"].as_str().unwrap_or_default();
    raw.split(':').next().unwrap_or_default().to_owned()
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "accepted {} (and {} without an answer), ended {}, matched by no rule {}, lost {}, \
             run twice at once {}, run again after a kill {} (of them after their end {}), \
             dead letters",
            self.accepted,
            self.unanswered,
            self.ended,
            self.unmatched,
            self.lost.len(),
            self.overlapping.len(),
            self.run_again.len(),
            self.repeated.len(),
        )?;
        for (kind, events) in &self.dead {
            write!(f, " {kind} {}", events.len())?;
        }
        write!(
            f,
            "; routed {}, received {}, lost {}, received again {}",
            self.routed,
            self.routed - self.not_received.len(),
            self.not_received.len(),
            self.received_again,
        )
    }
}
