//! One instance, one job, and a broker that does not stay as it is.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::{
    broker::{Broker, BrokerOptions, Outgoing, Vhost},
    process::{processes_with, wait_until},
    tools::{Ansible, ansible},
};

use super::{
    NEVER,
    faults::lasts,
    fleet::{Instance, QUEUE, Root, Shape},
    is_full,
};

/// Goes on until the file `go` is there, and notes how often it was begun.
const WAIT: &str = r#"
echo begin >>begun
while [ ! -e go ]; do sleep 0.05; done
"#;

const COMMAND: &str = "rules:\n\
    \x20 - {name: wait, on: chaos.wait, run: {command: [sh, wait.sh]}}\n";

const PLAYBOOK_RULE: &str = "rules:\n\
    \x20 - {name: wait, on: chaos.wait, run: {playbook: wait.yml}}\n";

const PLAYBOOK: &str = "- hosts: localhost\n\
    \x20 gather_facts: false\n\
    \x20 tasks:\n\
    \x20   - command: sh wait.sh\n\
    \x20     args: {chdir: \"{{ playbook_dir }}/..\"}\n";

/// An instance with a direct road to a broker, and one event for it.
struct Single {
    vhost: Vhost,
    instance: Instance,
    root: Root,
    event: String,
}

impl Single {
    async fn start(broker: &Broker, name: &str, shape: Shape) -> Self {
        let vhost = broker.vhost(name).await;
        let user = vhost.user("single").await;
        let shape = Shape {
            vhost: vhost.name().to_owned(),
            user,
            ..shape
        };
        let root = Root::new();
        let mut instance = Instance::prepare(root.path(), "1", &shape).await;
        instance.start().await;
        let single = Self {
            event: format!("{name}-{}", std::process::id()),
            vhost,
            instance,
            root,
        };
        single.consumes().await;
        single
    }

    async fn consumes(&self) {
        self.vhost
            .wait_queue(QUEUE, "the instance consumes", NEVER, |queue| {
                queue.consumers == 1
            })
            .await;
    }

    /// Publishes the event and waits until its job runs.
    async fn begin(&self) -> Vec<u32> {
        let is_routed = self
            .vhost
            .publish(&Outgoing {
                exchange: "amq.topic",
                routing_key: "chaos.wait",
                body: b"{}",
                properties: json!({"message_id": self.event, "delivery_mode": 2,
                                   "content_type": "application/json"}),
            })
            .await;
        assert!(is_routed, "a queue takes the event");
        wait_until("the job runs", NEVER, async || self.begun() == 1).await;
        self.processes()
    }

    fn begun(&self) -> usize {
        let path = self.root.path().join("1/begun");
        let text = fs_err::read_to_string(path).unwrap_or_default();
        text.lines().count()
    }

    /// Those of the job, but for the short ones that it waits with.
    fn processes(&self) -> Vec<u32> {
        let marker = format!("LARIAT_EVENT_ID={}", self.event);
        // Its children, which are not yet called `sleep` when they begin.
        let waits_for = |pid: u32| {
            let line = fs_err::read_to_string(format!("/proc/{pid}/cmdline"));
            line.is_ok_and(|line| line == "sh\0wait.sh\0")
        };
        let mut found = processes_with(&marker);
        found.retain(|pid| parent(*pid).is_some_and(|parent| !waits_for(parent)));
        found
    }

    /// Lets the job end; it has run once, and the broker has nothing left.
    async fn end(&self) -> Value {
        fs_err::write(self.root.path().join("1/go"), "").unwrap();
        let list = format!("/api/v1/jobs?event={}", self.event);
        let job = async || {
            let jobs = self.instance.get(&list).await?;
            jobs["items"].get(0).cloned()
        };
        wait_until("the job has succeeded", NEVER, async || {
            job().await.is_some_and(|job| job["state"] == "succeeded")
        })
        .await;
        self.vhost
            .wait_queue(QUEUE, "the broker has nothing left", NEVER, |queue| {
                queue.ready == 0 && queue.unacknowledged == 0
            })
            .await;
        let job = job().await.expect("it was there");
        assert_eq!(1, self.begun(), "{job:#}");
        assert_eq!(Some(1), job["attempts"].as_array().map(Vec::len), "{job:#}");
        job
    }

    async fn losses(&self) -> u64 {
        let sources = self.instance.get("/api/v1/sources").await;
        let sources = sources.expect("the list of sources");
        let losses = sources["items"][0]["losses"].as_u64();
        losses.unwrap_or_else(|| panic!("no count of losses: {sources:#}"))
    }
}

fn shape(broker: &Broker, rules: &str) -> Shape {
    Shape {
        files: vec![
            ("rules/chaos.yml", rules.to_owned()),
            ("wait.sh", WAIT.to_owned()),
            ("playbooks/wait.yml", PLAYBOOK.to_owned()),
        ],
        settings: String::new(),
        source: String::new(),
        port: broker.port(),
        vhost: String::new(),
        user: String::new(),
        has_proxy: false,
        has_route: false,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_job_does_not_notice_that_the_broker_restarts() {
    let Some(broker) = Broker::start(&BrokerOptions::default()).await else {
        return;
    };
    let single = Single::start(&broker, "restart", shape(&broker, COMMAND)).await;
    let processes = single.begin().await;
    assert!(!processes.is_empty());

    broker.ctl(&["stop_app"]).await;
    broker.ctl(&["start_app"]).await;
    single.consumes().await;
    assert_eq!(processes, single.processes());

    broker.stop_hard().await;
    broker.start_again().await;
    single.consumes().await;
    assert_eq!(processes, single.processes());

    single.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_that_comes_again_joins_the_job_that_runs() {
    let Some(broker) = Broker::shared().await else {
        return;
    };
    let single = Single::start(broker, "join", shape(broker, COMMAND)).await;
    let processes = single.begin().await;
    for connection in broker.admin().connections().await {
        if connection.vhost == single.vhost.name() {
            broker.admin().close(&connection).await;
        }
    }
    wait_until("the connection was lost", NEVER, async || {
        single.losses().await >= 1
    })
    .await;
    single
        .vhost
        .wait_queue(QUEUE, "it was delivered again", NEVER, |queue| {
            queue.consumers == 1 && queue.unacknowledged == 1
        })
        .await;
    assert_eq!(processes, single.processes());
    single.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_job_does_not_notice_that_the_queue_is_deleted() {
    let Some(broker) = Broker::shared().await else {
        return;
    };
    let single = Single::start(broker, "delete", shape(broker, COMMAND)).await;
    let processes = single.begin().await;
    broker
        .admin()
        .delete_queue(single.vhost.name(), QUEUE)
        .await;
    single.consumes().await;
    assert_eq!(processes, single.processes());
    single.end().await;
}

/// How long a delivery may be held at the broker, and how long the job takes.
#[derive(Clone, Copy)]
struct Times {
    timeout: Duration,
    job: Duration,
}

impl Times {
    /// As in life when that is asked for.
    fn or_full(timeout: u64, job: u64) -> Self {
        let (timeout, job) = if is_full() { (60, 240) } else { (timeout, job) };
        Self {
            timeout: Duration::from_secs(timeout),
            job: Duration::from_secs(job),
        }
    }
}

/// Nobody told Lariat: it learns from what the broker says when it closes the
/// channel.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_playbook_runs_once_on_a_broker_with_a_short_timeout() {
    let times = Times::or_full(10, 40);
    if let Some((_broker, single)) = long_playbook("unknown", times, "").await {
        assert!(single.losses().await >= 1, "the timeout was never hit");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_playbook_is_parked_before_a_timeout_that_is_known() {
    // One minute is the least that can be said.
    let times = Times::or_full(60, 75);
    let told = ", consumer_timeout: 60s";
    if let Some((_broker, single)) = long_playbook("known", times, told).await {
        assert_eq!(0, single.losses().await, "it was not parked in time");
    }
}

/// Absent: it has ended.
fn parent(pid: u32) -> Option<u32> {
    let status = fs_err::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
    line.trim().parse().ok()
}

/// A playbook that takes longer than a delivery may be held.
async fn long_playbook(name: &str, times: Times, source: &str) -> Option<(Broker, Single)> {
    let playbook = ansible(Ansible::Newest)?;
    let broker = Broker::start(&BrokerOptions {
        consumer_timeout: Some(times.timeout),
        ..BrokerOptions::default()
    })
    .await?;
    let shape = Shape {
        source: source.to_owned(),
        settings: format!("ansible: {{playbook_command: {}}}\n", playbook.display()),
        ..shape(&broker, PLAYBOOK_RULE)
    };
    let single = Single::start(&broker, name, shape).await;
    let processes = single.begin().await;
    lasts("the playbook has run", times.job).await;
    let still = single.processes();
    assert_eq!(processes, still, "the job's processes");
    let job = single.end().await;
    assert_eq!("succeeded", job["state"], "{job:#}");
    Some((broker, single))
}
