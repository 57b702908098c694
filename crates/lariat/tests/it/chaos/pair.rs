//! Two instances, one job that runs, and a connection that is lost: the other
//! instance gets the delivery and must not begin, though it cannot ask.

use std::time::Duration;

use serde_json::json;
use testkit::{
    broker::{Broker, BrokerOptions, Outgoing, USER, Vhost},
    process::wait_until,
};

use super::{
    NEVER,
    faults::{LITTLE, TOO_MUCH, lasts},
    fleet::{Instance, QUEUE, Root, Shape},
    journal::{Journal, Mark, WORK},
};

/// What the instances are told, and three times that.
const TAKEOVER: &str = ", heartbeat: 2s, takeover: 4s";
const LONG: Duration = Duration::from_secs(12);

struct Pair {
    broker: Broker,
    vhost: Vhost,
    user: String,
    instances: Vec<Instance>,
    journal: Journal,
    _root: Root,
}

impl Pair {
    /// With these rights for the user: configure, write, read.
    async fn start(rights: [&str; 3]) -> Option<Self> {
        let broker = Broker::start(&BrokerOptions::default()).await?;
        let vhost = broker.vhost("pair").await;
        let user = vhost.user("pair").await;
        broker.admin().permit(vhost.name(), &user, rights).await;
        let root = Root::new();
        let journal = Journal::new(root.path());
        let runs = journal.runs().display();
        let rules = format!(
            "rules:\n\
             \x20 - name: hold\n\
             \x20   on: chaos.hold\n\
             \x20   run: {{command: [sh, work.sh, hold, \"0\", \"\"], env: {{RUNS: \"{runs}\"}}, \
             idempotent: true}}\n"
        );
        let shape = Shape {
            files: vec![("rules/chaos.yml", rules), ("work.sh", WORK.to_owned())],
            settings: "workers: {concurrency: 2, lease: 6s}\n".to_owned(),
            source: TAKEOVER.to_owned(),
            port: broker.port(),
            vhost: vhost.name().to_owned(),
            user: user.clone(),
            has_proxy: false,
            has_route: false,
        };
        let mut instances = Vec::new();
        for name in ["1", "2"] {
            let mut instance = Instance::prepare(root.path(), name, &shape).await;
            instance.start().await;
            instances.push(instance);
        }
        let pair = Self {
            broker,
            vhost,
            user,
            instances,
            journal,
            _root: root,
        };
        pair.consume().await;
        Some(pair)
    }

    async fn consume(&self) {
        self.vhost
            .wait_queue(QUEUE, "both instances consume", NEVER, |queue| {
                queue.consumers == 2
            })
            .await;
    }

    async fn begin(&self) {
        let is_routed = self
            .vhost
            .publish(&Outgoing {
                exchange: "amq.topic",
                routing_key: "chaos.hold",
                body: b"{}",
                properties: json!({"message_id": "pair-1", "delivery_mode": 2,
                                   "content_type": "application/json"}),
            })
            .await;
        assert!(is_routed, "a queue takes the event");
        wait_until("the job runs", NEVER, async || {
            self.journal.count(Mark::Begin) == 1
        })
        .await;
    }

    /// Closes the connections that deliveries come by; whoever is first gets
    /// the delivery. Those for notes stay: a blocked one does not hear it.
    async fn cut(&self) {
        let admin = self.broker.admin();
        for connection in admin.connections().await {
            let is_for_notes = connection.name.ends_with("(fleet)");
            if connection.user == self.user && !is_for_notes {
                admin.close(&connection).await;
            }
        }
        lasts("the connections are cut", Duration::from_secs(1)).await;
        self.consume().await;
    }

    /// Lets the job end; it is nobody's any more, and never ran twice at once.
    async fn end(&self) {
        self.journal.go();
        self.vhost
            .wait_queue(QUEUE, "the broker has nothing left", NEVER, |queue| {
                queue.ready == 0 && queue.unacknowledged == 0
            })
            .await;
        for instance in &self.instances {
            let name = format!("all jobs of instance {} have ended", instance.name);
            wait_until(&name, NEVER, async || {
                let open = instance.open_jobs().await;
                open.is_some_and(|open| open.is_empty())
            })
            .await;
        }
        let entries = self.journal.entries();
        assert_eq!(0, self.journal.count(Mark::Overlap), "{entries:#?}");
        assert!(self.journal.count(Mark::End) >= 1, "{entries:#?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_job_whose_connection_is_lost_is_answered_for() {
    let Some(pair) = Pair::start([".*", ".*", ".*"]).await else {
        return;
    };
    pair.begin().await;
    for _ in 0..3 {
        pair.cut().await;
    }
    lasts("nobody takes the job over", LONG).await;
    pair.end().await;
    assert_eq!(1, pair.journal.count(Mark::Begin));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_of_a_killed_instance_is_taken_over() {
    let Some(mut pair) = Pair::start([".*", ".*", ".*"]).await else {
        return;
    };
    pair.begin().await;
    let first = pair.journal.entries()[0].instance.clone();
    let mut all = pair.instances.iter_mut();
    let killed = all.find(|instance| instance.name == first);
    let killed = killed.expect("it is one of the two");
    killed.kill().await;
    wait_until("the other has taken over", NEVER, async || {
        pair.journal.count(Mark::Begin) == 2
    })
    .await;
    killed.start().await;
    pair.end().await;
    assert_eq!(2, pair.journal.count(Mark::Begin));
}

/// During the alarm the broker reads nothing from those who publish, and so
/// not what instances ask each other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_job_runs_twice_at_once_while_the_disk_is_full() {
    let Some(pair) = Pair::start([".*", ".*", ".*"]).await else {
        return;
    };
    pair.begin().await;
    pair.broker.ctl(&["set_disk_free_limit", TOO_MUCH]).await;
    for _ in 0..3 {
        pair.cut().await;
        lasts("the alarm", LONG).await;
    }
    pair.broker.ctl(&["set_disk_free_limit", LITTLE]).await;
    pair.end().await;
}

/// Without rights for private queues and `amq.direct` there is no talk.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_job_runs_twice_at_once_where_instances_may_not_talk() {
    let rights = ["^chaos$", "^chaos$", "^(chaos|amq.topic)$"];
    let Some(pair) = Pair::start(rights).await else {
        return;
    };
    assert_ne!(USER, pair.user, "the administrator may do everything");
    pair.begin().await;
    for _ in 0..3 {
        pair.cut().await;
        lasts("nobody can ask", LONG).await;
    }
    pair.end().await;
}
