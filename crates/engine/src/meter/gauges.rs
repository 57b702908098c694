//! How things stand, read from the status of the engine.

use std::{sync::Arc, time::Duration};

use model::{
    clock::Timestamp,
    job::JobState,
    link::{LinkState, LinkStatus},
    warm::{Starts, WarmState},
};
use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge, info::Info},
    registry::{Registry, Unit},
};
use tokio::{sync::Mutex, time::Instant};

use super::{Labels, count};
use crate::{
    shared::Shared,
    status::{self, SinkReport, SourceReport, Status, StoreReport},
};

/// How old a status may be that is shown again.
const FRESH: Duration = Duration::from_secs(1);

/// The last status that was read for somebody.
#[derive(Debug, Default)]
pub(crate) struct Cache(Mutex<Option<(Instant, Option<Arc<Status>>)>>);

impl Cache {
    /// The status, at most a second old: however many ask, the store is asked
    /// once. `None`: it did not answer.
    pub(crate) async fn status(&self, shared: &Shared) -> Option<Arc<Status>> {
        let mut kept = self.0.lock().await;
        if let Some((read, status)) = kept.as_ref()
            && read.elapsed() < FRESH
        {
            return status.clone();
        }
        let status = status::status(shared).await.ok().map(Arc::new);
        *kept = Some((Instant::now(), status.clone()));
        status
    }
}

/// A registry with what `status` says.
pub(super) fn registry(status: Option<&Status>, now: Timestamp) -> Registry {
    let mut into = Registry::with_prefix("lariat");
    let up = i64::from(status.is_some());
    gauge(&mut into, "store_up", "Whether the store answers", up);
    let Some(status) = status else {
        return into;
    };
    let version = Info::new([("version", status.version.clone())]);
    into.register("build", "The version of Lariat", version);
    let revision = Info::new([("revision", status.revision.to_string())]);
    into.register("rules", "The revision of the rules in force", revision);
    gauge(
        &mut into,
        "rules_in_force",
        "Rules in force",
        size(status.rules),
    );
    let help = "Jobs that may run at once";
    gauge(
        &mut into,
        "worker_slots",
        help,
        size(status.worker.concurrency),
    );
    let help = "Jobs that run now, here";
    gauge(
        &mut into,
        "worker_running",
        help,
        size(status.worker.running),
    );
    store(&mut into, &status.store, now);
    sources(&mut into, &status.sources);
    sinks(&mut into, &status.sinks, now);
    playbooks(&mut into, &status.playbooks);
    into
}

fn playbooks(into: &mut Registry, starts: &Starts) {
    let started = Family::<Labels<1>, Counter>::default();
    for (how, count) in [("warm", starts.warm), ("cold", starts.cold)] {
        let label = [("start", how.to_owned())];
        started.get_or_create(&label).inc_by(count);
    }
    let help = "Playbooks that were started, by how";
    into.register("playbooks_started", help, started);
    let servers = Family::<Labels<1>, Gauge>::default();
    for state in WarmState::ALL {
        let of_it = starts.servers.iter().filter(|one| one.state == state);
        servers
            .get_or_create(&[("state", state.as_str().to_owned())])
            .set(size(of_it.count()));
    }
    let help = "Fork servers of playbooks, by state";
    into.register("warm_servers", help, servers);
}

fn store(into: &mut Registry, store: &StoreReport, now: Timestamp) {
    let jobs = Family::<Labels<1>, Gauge>::default();
    for state in JobState::ALL {
        let known = store.jobs.get(state.as_str()).copied().unwrap_or(0);
        jobs.get_or_create(&[("state", state.as_str().to_owned())])
            .set(signed(known));
    }
    into.register("jobs", "Jobs in the store, by state", jobs);
    let help = "Age of the oldest job that is queued";
    age(into, "queue_oldest_age", help, store.oldest_queued, now);
    let help = "Dead letters that are open";
    gauge(
        into,
        "dead_letters_open",
        help,
        signed(store.open_dead_letters),
    );
    let size = Gauge::<i64>::default();
    size.set(signed(store.size_bytes));
    into.register_with_unit("store_size", "Size of the store", Unit::Bytes, size);
    let help = "Events in the history";
    gauge(into, "store_events", help, signed(store.events));
    let commits = Counter::<u64>::default();
    commits.inc_by(store.accept_commits);
    let help = "Transactions that accepted events";
    into.register("accept_commits", help, commits);
}

fn sources(into: &mut Registry, reports: &[SourceReport]) {
    let links = Links::default();
    let held = Family::<Labels<1>, Gauge>::default();
    for report in reports {
        let label = [("source", report.name.to_string())];
        links.add("source", report.name.as_str(), &report.link);
        held.get_or_create(&label).set(size(report.held));
    }
    links.register(into, "source");
    let help = "Deliveries that are not acknowledged yet";
    into.register("source_held_deliveries", help, held);
}

fn sinks(into: &mut Registry, reports: &[SinkReport], now: Timestamp) {
    let links = Links::default();
    let backlog = Family::<Labels<1>, Gauge>::default();
    let oldest = Family::<Labels<1>, Gauge<f64, std::sync::atomic::AtomicU64>>::default();
    for report in reports {
        let label = [("sink", report.name.to_string())];
        links.add("sink", report.name.as_str(), &report.link);
        backlog
            .get_or_create(&label)
            .set(signed(report.backlog.events));
        oldest
            .get_or_create(&label)
            .set(seconds(report.backlog.oldest, now));
    }
    links.register(into, "sink");
    into.register("outbox_events", "Events that wait for a sink", backlog);
    let help = "Age of the oldest event that waits for a sink";
    into.register_with_unit("outbox_oldest_age", help, Unit::Seconds, oldest);
}

/// What sources and sinks have in common.
#[derive(Default)]
struct Links {
    states: Family<Labels<2>, Gauge>,
    messages: Family<Labels<1>, Counter>,
    losses: Family<Labels<1>, Counter>,
}

impl Links {
    fn add(&self, what: &'static str, name: &str, link: &LinkStatus) {
        for state in LinkState::ALL {
            let labels = [
                (what, name.to_owned()),
                ("state", state.as_str().to_owned()),
            ];
            let is_it = i64::from(state == link.state);
            self.states.get_or_create(&labels).set(is_it);
        }
        let label = [(what, name.to_owned())];
        self.messages.get_or_create(&label).inc_by(link.messages);
        self.losses.get_or_create(&label).inc_by(link.losses);
    }

    fn register(self, into: &mut Registry, what: &str) {
        let help = "1 for the state that its connection is in, 0 for the others";
        into.register(format!("{what}_link"), help, self.states);
        let help = "Messages received or published since the start";
        into.register(format!("{what}_messages"), help, self.messages);
        let help = "Connections lost since the start";
        into.register(format!("{what}_connections_lost"), help, self.losses);
    }
}

fn gauge(into: &mut Registry, name: &str, help: &str, value: i64) {
    let gauge = Gauge::<i64>::default();
    gauge.set(value);
    into.register(name, help, gauge);
}

fn age(into: &mut Registry, name: &str, help: &str, since: Option<Timestamp>, now: Timestamp) {
    let age = Gauge::<f64, std::sync::atomic::AtomicU64>::default();
    age.set(seconds(since, now));
    into.register_with_unit(name, help, Unit::Seconds, age);
}

/// Seconds from then till now; none when the clock says that it has yet to be.
fn seconds(since: Option<Timestamp>, now: Timestamp) -> f64 {
    let millis = since.map_or(0, |since| now.as_millis() - since.as_millis());
    let millis = u64::try_from(millis).unwrap_or(0);
    Duration::from_millis(millis).as_secs_f64()
}

fn size(number: usize) -> i64 {
    signed(count(number))
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
