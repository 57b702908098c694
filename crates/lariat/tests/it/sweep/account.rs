//! What became of everything that was accepted.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde_json::Value;

pub(crate) struct Account {
    accepted: usize,
    ended: usize,
    run_again: usize,
    /// Jobs that lost so many workers that they count as what ends them: the
    /// one way to fail that the sweep itself brings about.
    gave_up: usize,
    orphans: usize,
    lost: BTreeSet<String>,
    doubled: BTreeSet<String>,
    overlapping: BTreeSet<String>,
    not_succeeded: BTreeSet<String>,
    out_of_order: BTreeSet<String>,
}

impl Account {
    /// `jobs` in the order of their acceptance; `log` as the jobs wrote it.
    pub(crate) fn new(
        accepted: &BTreeMap<String, Value>,
        by_event: &BTreeMap<String, Vec<Value>>,
        jobs: &[Value],
        log: &str,
        orphans: usize,
    ) -> Self {
        let mut account = Self {
            accepted: accepted.len(),
            ended: 0,
            run_again: 0,
            gave_up: 0,
            orphans,
            lost: BTreeSet::new(),
            doubled: BTreeSet::new(),
            overlapping: BTreeSet::new(),
            not_succeeded: BTreeSet::new(),
            out_of_order: BTreeSet::new(),
        };
        for event in accepted.keys() {
            match by_event.get(event).map_or(&[][..], Vec::as_slice) {
                [] => {
                    account.lost.insert(event.clone());
                }
                [job] if job["finished"].is_null() => {
                    account.lost.insert(format!("{event} is {}", job["state"]));
                }
                [_] => account.ended += 1,
                [_, _, ..] => {
                    account.doubled.insert(format!("{event} has two jobs"));
                }
            }
        }
        for job in jobs {
            if has_lost_too_many(job) {
                account.gave_up += 1;
            } else if job["state"] != "succeeded" {
                account
                    .not_succeeded
                    .insert(format!("{} is {}", job["id"], job["state"]));
            }
            if job["attempts"].as_array().is_some_and(|all| all.len() > 1) {
                account.run_again += 1;
            }
        }
        account.read_log(jobs, log);
        account
    }

    fn read_log(&mut self, jobs: &[Value], log: &str) {
        let mut starts: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
        let mut order: Vec<&str> = Vec::new();
        for line in log.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let [what, job, attempt] = words[..] else {
                continue;
            };
            let attempt: u64 = attempt.parse().unwrap_or_default();
            match what {
                "overlap" => {
                    self.overlapping.insert(format!("{job} attempt {attempt}"));
                }
                "start" => {
                    let all = starts.entry(job).or_default();
                    if all.is_empty() {
                        order.push(job);
                    }
                    all.push(attempt);
                }
                _ => {}
            }
        }
        for job in jobs {
            let id = job["id"].as_str().unwrap_or_default();
            let steps = if job["rule"] == "steps" { 2 } else { 1 };
            let last = job["attempts"].as_array().map_or(0, Vec::len);
            for attempt in starts.get(id).into_iter().flatten() {
                let same = starts[id].iter().filter(|other| *other == attempt).count();
                if same > steps {
                    self.doubled
                        .insert(format!("{id} attempt {attempt} ran {same} times"));
                }
                if *attempt > last as u64 {
                    self.doubled
                        .insert(format!("{id} ran after attempt {last}, its last"));
                }
            }
        }
        self.check_order(jobs, &order);
    }

    /// Jobs of one key begin in the order in which they were accepted.
    fn check_order(&mut self, jobs: &[Value], order: &[&str]) {
        let position: BTreeMap<&str, usize> = order
            .iter()
            .enumerate()
            .map(|(index, job)| (*job, index))
            .collect();
        let mut newest: BTreeMap<&str, (usize, &str)> = BTreeMap::new();
        for job in jobs {
            let (Some(key), Some(id)) = (job["key"].as_str(), job["id"].as_str()) else {
                continue;
            };
            let Some(index) = position.get(id) else {
                continue;
            };
            if let Some((before, other)) = newest.get(key)
                && before > index
            {
                self.out_of_order
                    .insert(format!("{id} began before {other}"));
            }
            newest.insert(key, (*index, id));
        }
    }

    pub(crate) fn assert_clean(&self) {
        assert!(self.lost.is_empty(), "lost: {:#?}", self.lost);
        assert!(self.doubled.is_empty(), "doubled: {:#?}", self.doubled);
        assert!(
            self.overlapping.is_empty(),
            "overlapping: {:#?}",
            self.overlapping
        );
        assert!(
            self.not_succeeded.is_empty(),
            "not succeeded: {:#?}",
            self.not_succeeded
        );
        assert!(
            self.out_of_order.is_empty(),
            "out of order: {:#?}",
            self.out_of_order
        );
        assert!(
            self.run_again > 0,
            "no kill fell into a running job: the sweep shows nothing"
        );
    }
}

/// Failed, and every attempt of it was lost, as often as is allowed.
fn has_lost_too_many(job: &Value) -> bool {
    let attempts = job["attempts"].as_array().map_or(&[][..], Vec::as_slice);
    let lost = attempts
        .iter()
        .filter(|attempt| attempt["outcome"] == "lost")
        .count();
    job["state"] == "failed"
        && lost == attempts.len()
        && u32::try_from(lost) == Ok(model::job::MAX_LOST)
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "accepted {}, ended {}, lost {}, doubled {}, overlapping {}, orphans {}, \
             out of key order {}, run again after a kill {}, \
             gave up after {} lost workers {}",
            self.accepted,
            self.ended,
            self.lost.len(),
            self.doubled.len(),
            self.overlapping.len(),
            self.orphans,
            self.out_of_order.len(),
            self.run_again,
            model::job::MAX_LOST,
            self.gave_up,
        )
    }
}
