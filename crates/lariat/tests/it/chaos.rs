//! Chaos: three instances of the real binary work off one quorum queue of a
//! real broker with `ack: done`, while the broker, the network and they
//! themselves break. Nothing that the broker has accepted may be lost, nothing
//! may run twice at once, and all flows again soon after each fault.
//!
//! `LARIAT_CHAOS=full` takes 5,000 events, the default times of leases and
//! heartbeats, and faults that last as long as in life; without it all of that
//! is smaller. The seed is printed and can be given in `LARIAT_CHAOS_SEED`.

mod account;
mod faults;
mod fleet;
mod journal;
mod load;
mod pair;
mod rolling;
mod single;
mod tap;

use std::time::{Duration, Instant};

use account::{Account, Evidence, Kept};
use fleet::{Instance, OUT, QUEUE, Root, Shape};
use journal::{Journal, WORK, boot_seconds};
use load::Publisher;
use tap::Tap;
use testkit::{
    broker::{Broker, BrokerOptions, Vhost},
    process::wait_until,
};

/// How long it may take until things flow again after a fault has ended.
const RECOVERY: Duration = Duration::from_secs(30);

/// How long anything here may take before it counts as never.
const NEVER: Duration = Duration::from_secs(150);

/// How much, and how long.
#[derive(Debug, Clone)]
pub(crate) struct Scale {
    /// At least so many events.
    events: usize,
    per_second: f64,
    /// How long jobs of the rules `plain` and `slow` take.
    work: [&'static str; 2],
    concurrency: usize,
    /// Of workers and source: what the manual calls defaults, or shorter.
    lease: &'static str,
    source: &'static str,
    /// How long the road of one instance is dark, then that of all.
    dark: Duration,
    all_dark: Duration,
    revoked: Duration,
    alarm: Duration,
    /// Longer than a lease, and than the broker waits for a heartbeat.
    stopped: Duration,
}

impl Scale {
    fn quick() -> Self {
        Self {
            events: 600,
            per_second: 4.0,
            work: ["1", "4"],
            concurrency: 4,
            lease: "9s",
            source: ", heartbeat: 4s, takeover: 8s",
            dark: Duration::from_secs(20),
            all_dark: Duration::from_secs(10),
            revoked: Duration::from_secs(5),
            alarm: Duration::from_secs(5),
            stopped: Duration::from_secs(15),
        }
    }

    fn full() -> Self {
        Self {
            events: 5000,
            per_second: 8.0,
            work: ["0.3", "4"],
            concurrency: 4,
            lease: "30s",
            source: "",
            dark: Duration::from_secs(60),
            all_dark: Duration::from_secs(30),
            revoked: Duration::from_secs(20),
            alarm: Duration::from_secs(20),
            stopped: Duration::from_secs(50),
        }
    }

    fn files(&self, journal: &Journal) -> Vec<(&'static str, String)> {
        vec![
            ("rules/chaos.yml", rules(self.work, journal)),
            ("work.sh", WORK.to_owned()),
        ]
    }

    fn settings(&self) -> String {
        let Self {
            concurrency, lease, ..
        } = self;
        format!(
            "workers: {{concurrency: {concurrency}, lease: {lease}}}\n\
             retention: {{every: 5s}}\n"
        )
    }
}

fn rules(work: [&str; 2], journal: &Journal) -> String {
    let runs = journal.runs().display();
    let [plain, slow] = work;
    let retry = "retry: {attempts: 2, delay: 300ms}";
    let step = |args: &str| {
        format!(
            "{{command: [sh, work.sh, {args}], env: {{RUNS: \"{runs}\"}}, \
             idempotent: true, grace: 1s}}"
        )
    };
    let rule = |name: &str, args: &str, more: &str| {
        format!(
            "\x20 - {{name: {name}, on: chaos.{name}, {more}{retry}, run: {}}}\n",
            step(args)
        )
    };
    [
        "rules:\n".to_owned(),
        rule("plain", &format!("work, \"{plain}\", \"\""), ""),
        rule("slow", &format!("work, \"{slow}\", \"\""), ""),
        rule("flaky", "flaky, \"0.5\", \"\"", ""),
        rule("failing", "fail, \"0.2\", \"\"", ""),
        rule(
            "keyed",
            "work, \"0.2\", \"{{ msg.key }}\"",
            "key: \"{{ msg.key }}\", ",
        ),
    ]
    .concat()
}

/// How one fault went.
#[derive(Debug)]
struct Fault {
    name: &'static str,
    /// On the clock of the jobs.
    began: f64,
    lasted: Duration,
    flowed_after: Duration,
}

/// A broker, a fleet on it, and what is done to them.
pub(crate) struct Chaos {
    scale: Scale,
    broker: Broker,
    vhost: Vhost,
    user: String,
    instances: Vec<Instance>,
    journal: Journal,
    publisher: Publisher,
    tap: Tap,
    faults: Vec<Fault>,
    /// Last, since what the instances hold lies there.
    _root: Root,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fleet_chaos() {
    let is_full = is_full();
    let seed = number_from("LARIAT_CHAOS_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    let scale = if is_full {
        Scale::full()
    } else {
        Scale::quick()
    };
    let Some(mut chaos) = Chaos::start(scale, seed).await else {
        return;
    };
    println!("chaos: 3 instances on a quorum queue, ack: done; seed {seed}; full: {is_full}");
    chaos.every_fault().await;
    let account = chaos.settle().await;
    chaos.print(&account);
    account.assert_clean();
    chaos.assert_recovered();
    assert!(
        !account.run_again().is_empty(),
        "no kill fell into a running job: this shows nothing"
    );
}

pub(crate) fn is_full() -> bool {
    std::env::var("LARIAT_CHAOS").is_ok_and(|word| word == "full")
}

fn number_from(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

impl Chaos {
    /// `None`, and said, without a broker.
    pub(crate) async fn start(scale: Scale, seed: u64) -> Option<Self> {
        let broker = Broker::start(&BrokerOptions::default()).await?;
        let vhost = broker.vhost("chaos").await;
        let user = vhost.user("fleet").await;
        vhost.declare(OUT, "quorum").await;
        vhost.bind(OUT, "amq.topic", "out.#").await;
        let root = Root::new();
        let journal = Journal::new(root.path());
        let shape = Shape {
            files: scale.files(&journal),
            settings: scale.settings(),
            source: scale.source.to_owned(),
            port: broker.port(),
            vhost: vhost.name().to_owned(),
            user: user.clone(),
            has_proxy: true,
            has_route: true,
        };
        let mut instances = Vec::new();
        for name in ["1", "2", "3"] {
            let mut instance = Instance::prepare(root.path(), name, &shape).await;
            instance.start().await;
            instances.push(instance);
        }
        vhost
            .wait_queue(QUEUE, "all instances consume", NEVER, |queue| {
                queue.consumers == 3
            })
            .await;
        let queue = vhost.queue(QUEUE).await.expect("an instance declared it");
        assert_eq!("quorum", queue.kind, "what an instance declares");
        // A heartbeat, or the publisher would wait for a dead broker for ever.
        let url = format!("{}?heartbeat=5", vhost.url());
        Some(Self {
            publisher: Publisher::start(url.clone(), seed),
            tap: Tap::start(url),
            scale,
            broker,
            vhost,
            user,
            instances,
            journal,
            faults: Vec::new(),
            _root: root,
        })
    }

    /// Lets the load run on without an end.
    pub(crate) fn load(&self) {
        self.publisher.go_on(self.scale.per_second, usize::MAX);
    }

    /// Waits until all instances begin jobs, the broker takes events and the
    /// sink sends them on: all since now, which is when the fault has ended.
    pub(crate) async fn flows(&mut self, name: &'static str, began: f64) {
        let mended = Instant::now();
        let at = boot_seconds();
        self.load();
        let mut missing = String::new();
        while mended.elapsed() < NEVER {
            missing = self.what_does_not_flow(mended, at);
            if missing.is_empty() {
                break;
            }
            let pause = Instant::now();
            wait_until("a moment has passed", NEVER, async || {
                pause.elapsed() > Duration::from_millis(50)
            })
            .await;
        }
        assert!(missing.is_empty(), "after `{name}`: {missing}");
        self.faults.push(Fault {
            name,
            began,
            lasted: Duration::from_secs_f64((at - began).max(0.0)),
            flowed_after: mended.elapsed(),
        });
    }

    fn what_does_not_flow(&self, since: Instant, at: f64) -> String {
        let mut missing = Vec::new();
        if !self.publisher.has_answered_since(since) {
            missing.push("the broker takes no events".to_owned());
        }
        if !self.tap.has_received_since(since) {
            missing.push("nothing comes out of the sink".to_owned());
        }
        let entries = self.journal.entries();
        for instance in &self.instances {
            let name = &instance.name;
            let has_begun = entries
                .iter()
                .any(|entry| entry.is_beginning() && entry.instance == *name && entry.at > at);
            if !has_begun {
                missing.push(format!("instance {name} begins nothing"));
            }
        }
        missing.join(", ")
    }

    /// Publishes what is left, lets everything end, and counts.
    pub(crate) async fn settle(&mut self) -> Account {
        let target = self.scale.events.max(self.publisher.accepted());
        self.publisher.go_on(self.scale.per_second * 3.0, target);
        let name = format!("{target} events are accepted");
        wait_until(&name, Duration::from_secs(1200), async || {
            self.publisher.accepted() >= target
        })
        .await;
        self.publisher.hold();
        self.wait_settled().await;
        let mut kept = Vec::new();
        for instance in &self.instances {
            kept.push(Kept::by(instance).await);
        }
        let ledger = self.publisher.ledger();
        Account::new(&Evidence {
            accepted: ledger.accepted(),
            unanswered: ledger.unanswered(),
            kept: &kept,
            entries: &self.journal.entries(),
            received: &self.tap.events(),
        })
    }

    /// Until the broker holds nothing, no job is open, and the sink has all.
    async fn wait_settled(&self) {
        self.vhost
            .wait_queue(QUEUE, "the queue is empty", NEVER, |queue| {
                queue.ready == 0 && queue.unacknowledged == 0
            })
            .await;
        for instance in &self.instances {
            let name = format!("all jobs of instance {} have ended", instance.name);
            wait_until(&name, NEVER, async || {
                instance
                    .open_jobs()
                    .await
                    .is_some_and(|open| open.is_empty())
            })
            .await;
            let name = format!("instance {} has sent all on", instance.name);
            wait_until(&name, NEVER, async || instance.backlog().await == Some(0)).await;
        }
        self.vhost
            .wait_queue(OUT, "the sink's queue is empty", NEVER, |queue| {
                queue.ready == 0 && queue.unacknowledged == 0
            })
            .await;
    }

    /// What is shown: a line for each fault, and the account.
    fn print(&self, account: &Account) {
        println!(
            "{:<44} {:>9} {:>12} {:>10}",
            "fault", "lasted", "flows after", "run again"
        );
        for (index, fault) in self.faults.iter().enumerate() {
            let end = self
                .faults
                .get(index + 1)
                .map_or(f64::MAX, |next| next.began);
            let run_again = account
                .run_again()
                .values()
                .filter(|at| (fault.began..end).contains(*at))
                .count();
            println!(
                "{:<44} {:>7.1} s {:>10.1} s {run_again:>10}",
                fault.name,
                fault.lasted.as_secs_f64(),
                fault.flowed_after.as_secs_f64(),
            );
        }
        println!("{account}");
    }

    fn assert_recovered(&self) {
        for fault in &self.faults {
            assert!(
                fault.flowed_after <= RECOVERY,
                "after `{}` it took {:?} until things flowed again",
                fault.name,
                fault.flowed_after
            );
        }
    }
}
