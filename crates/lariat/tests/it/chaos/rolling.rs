//! A new version is rolled out over the fleet, one instance after the other,
//! while events keep coming.

use std::collections::BTreeMap;

use super::{Chaos, Scale};

/// What was delivered to an instance that ends is begun elsewhere long before
/// anybody would take it over from a dead one.
const SOON: f64 = 15.0;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_loses_nothing_and_waits_for_nobody() {
    // The default times: 20 s until a dead instance's work is taken over.
    let scale = Scale {
        events: 120,
        per_second: 5.0,
        ..Scale::full()
    };
    let Some(mut chaos) = Chaos::start(scale, 1).await else {
        return;
    };
    for index in 0..chaos.instances.len() {
        let began = chaos.under_load().await;
        chaos.instances[index].drain().await;
        chaos.instances[index].start().await;
        chaos
            .flows("an instance is drained and started", began)
            .await;
    }
    let account = chaos.settle().await;
    chaos.print(&account);
    account.assert_clean();
    chaos.assert_recovered();
    assert!(
        account.run_again().is_empty(),
        "nobody was killed, and run again were {:?}",
        account.run_again()
    );
    let waits = chaos.waits();
    let longest = waits.iter().max_by(|one, other| one.1.total_cmp(other.1));
    let (event, wait) = longest.expect("jobs have begun");
    println!("the longest wait for a job to begin: {wait:.1} s");
    assert!(*wait < SOON, "`{event}` waited for {wait} s");
}

impl Chaos {
    /// How long each event waited until its first job began.
    fn waits(&self) -> BTreeMap<String, f64> {
        let ledger = self.publisher.ledger();
        let mut waits = BTreeMap::new();
        for entry in self.journal.entries() {
            if entry.is_beginning()
                && let Some(published) = ledger.published().get(&entry.event)
            {
                let wait = entry.at - published;
                waits.entry(entry.event).or_insert(wait);
            }
        }
        waits
    }
}
