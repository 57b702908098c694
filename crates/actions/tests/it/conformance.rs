//! Every playbook of the matrix, cold and warm, in random order, several at a
//! time: nobody may be able to tell one from the other.
//!
//! `LARIAT_CONFORMANCE=full` takes every supported version of ansible-core and
//! more rounds. The seed of the order is printed and can be given in
//! `LARIAT_CONFORMANCE_SEED`.

mod case;
mod changes;
mod leaks;
mod seen;
mod shadows;
mod theatre;

use std::{cell::RefCell, collections::BTreeMap};

use testkit::tools::{self, Ansible};

use self::{
    case::Case,
    seen::Seen,
    theatre::{Theatre, Way},
};

/// How often each case runs warm.
fn rounds() -> usize {
    if is_full() { 3 } else { 1 }
}

fn is_full() -> bool {
    std::env::var("LARIAT_CONFORMANCE").is_ok_and(|word| word == "full")
}

fn seed() -> u64 {
    let given = std::env::var("LARIAT_CONFORMANCE_SEED").ok();
    let given = given.and_then(|text| text.parse().ok());
    given.unwrap_or_else(|| u64::from(std::process::id()))
}

/// Numbers by chance, the same for the same seed (splitmix64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        usize::try_from(mixed % u64::try_from(bound).unwrap()).unwrap()
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

#[tokio::test]
async fn the_oldest_ansible_is_the_same_cold_and_warm() {
    check(Ansible::Oldest).await;
}

#[tokio::test]
async fn ansible_2_16_is_the_same_cold_and_warm() {
    check_if_full(Ansible::V2_16).await;
}

#[tokio::test]
async fn ansible_2_17_is_the_same_cold_and_warm() {
    check(Ansible::V2_17).await;
}

#[tokio::test]
async fn ansible_2_18_is_the_same_cold_and_warm() {
    check_if_full(Ansible::V2_18).await;
}

#[tokio::test]
async fn ansible_2_19_is_the_same_cold_and_warm() {
    check_if_full(Ansible::V2_19).await;
}

#[tokio::test]
async fn the_newest_ansible_is_the_same_cold_and_warm() {
    check(Ansible::Newest).await;
}

async fn check_if_full(version: Ansible) {
    if is_full() {
        check(version).await;
    } else {
        tools::skip(&format!(
            "{} is compared with `LARIAT_CONFORMANCE=full`",
            version.as_str()
        ));
    }
}

/// Runs every case cold once and warm as often as asked, all in one random
/// order, and compares each with the cold run.
async fn check(version: Ansible) {
    let Some(theatre) = Theatre::open(version).await else {
        return;
    };
    let seed = seed();
    let mut chance = Chance(seed);
    let cases = case::all();
    let mut runs: Vec<(usize, Way)> = Vec::new();
    for index in 0..cases.len() {
        runs.push((index, Way::Cold));
        runs.extend((0..rounds()).map(|_| (index, Way::Warm)));
    }
    chance.shuffle(&mut runs);
    let before = theatre.warm_starts();
    let at_once = 2 + chance.below(3);
    let order = format!(
        "{}, LARIAT_CONFORMANCE_SEED={seed}, {at_once} at a time",
        version.as_str()
    );

    let queue = RefCell::new(runs);
    let done: RefCell<Vec<(usize, Way, Seen)>> = RefCell::default();
    let work = || async {
        loop {
            let next = queue.borrow_mut().pop();
            let Some((index, way)) = next else { break };
            let seen = theatre.run(&cases[index], way).await;
            done.borrow_mut().push((index, way, seen));
        }
    };
    match at_once {
        2 => drop(tokio::join!(work(), work())),
        3 => drop(tokio::join!(work(), work(), work())),
        _ => drop(tokio::join!(work(), work(), work(), work())),
    }
    let mut done = done.into_inner();
    for (first, second) in leaks::pairs(is_full()) {
        for name in [first, second] {
            let index = cases.iter().position(|case| case.name == name);
            let index = index.expect("a pair is of two cases");
            let seen = theatre.run(&cases[index], Way::Warm).await;
            done.push((index, Way::Warm, seen));
        }
    }
    // Also those in which no play began.
    let warm = done
        .iter()
        .filter(|(_, way, seen)| *way == Way::Warm && seen.has_started())
        .count();
    let started = theatre.warm_starts() - before;
    assert_eq!(started, u64::try_from(warm).unwrap(), "{order}: warm runs");
    let problems = compare(&cases, done);
    assert!(
        problems.is_empty(),
        "{order}: {} differences\n{}",
        problems.len(),
        problems.join("\n")
    );
}

/// Each warm run beside the cold one of its case, and each against what the
/// case says of itself.
fn compare(cases: &[Case], done: Vec<(usize, Way, Seen)>) -> Vec<String> {
    let mut cold: BTreeMap<usize, Seen> = BTreeMap::new();
    let mut warm = Vec::new();
    for (index, way, seen) in done {
        match way {
            Way::Cold => drop(cold.insert(index, seen)),
            Way::Warm => warm.push((index, seen)),
        }
    }
    let mut problems = Vec::new();
    for (index, seen) in &cold {
        let case = &cases[*index];
        let expected = format!("code {} |", case.exit);
        if !seen.end.starts_with(&expected) {
            problems.push(format!(
                "`{}` was to end with {expected} but: {}\n{}",
                case.name, seen.end, seen.output
            ));
        }
    }
    for (index, seen) in &warm {
        if let Some(difference) = cold[index].difference(seen) {
            problems.push(format!(
                "`{}` differs, - cold, + warm\n{difference}",
                cases[*index].name
            ));
        }
    }
    problems
}
