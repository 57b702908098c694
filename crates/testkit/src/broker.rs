//! Private RabbitMQ servers: the installed one, started with its own name,
//! ports and directory, on the loopback only. Whatever happens to the test's
//! process, `kill -9` included, the server and its helpers die with it.
//!
//! One server for each test binary ([`Broker::shared`]), a virtual host for
//! each test ([`Broker::vhost`]); a test that breaks its server starts one of
//! its own ([`Broker::start`]).

mod admin;
mod certificates;
mod node;
mod ports;

use std::{
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::{process::Command, sync::OnceCell};

pub use self::{
    admin::{Admin, ConnectionInfo, Message, Outgoing, QueueInfo},
    certificates::Certificates,
};
use self::{node::Node, ports::Ports};
use crate::{process::wait_until, tools};

/// Its programs, as the package installs them. The ones on `PATH` are no use:
/// they switch to a user of their own.
const PROGRAMS: &str = "/usr/lib/rabbitmq/bin";

/// How long a start may take on a machine that is busy with other tests.
const START: Duration = Duration::from_secs(120);

/// The administrator that a new server has.
pub const USER: &str = "guest";

/// What is not as usual about a server.
#[derive(Debug, Clone, Default)]
pub struct BrokerOptions {
    /// How long a delivery may stay unacknowledged; the server's own default
    /// when it is not given. It is looked at every second.
    pub consumer_timeout: Option<Duration>,
    /// Listens with TLS as well, and lets in whoever has a certificate of the
    /// private authority, as the user that the certificate names.
    pub tls: bool,
    /// Further lines of `rabbitmq.conf`.
    pub config: String,
}

/// A running server.
#[derive(Debug)]
pub struct Broker {
    dir: PathBuf,
    ports: Ports,
    name: String,
    certificates: Option<Certificates>,
    /// `None` while it is stopped.
    node: Mutex<Option<Node>>,
}

static SHARED: OnceCell<Option<Broker>> = OnceCell::const_new();

/// Makes the names of virtual hosts unique within one process.
static VHOSTS: AtomicU32 = AtomicU32::new(0);

impl Broker {
    /// The server that the tests of this binary share. `None`, said on
    /// standard error, when RabbitMQ is not installed; a panic in CI.
    pub async fn shared() -> Option<&'static Self> {
        let start = async || Self::start(&BrokerOptions::default()).await;
        SHARED.get_or_init(start).await.as_ref()
    }

    /// A server of the test's own, ended when the value is dropped. `None` as
    /// for [`Broker::shared`].
    pub async fn start(options: &BrokerOptions) -> Option<Self> {
        let server = Path::new(PROGRAMS).join("rabbitmq-server");
        if !server.is_file() {
            tools::missing("rabbitmq-server", &server, tools::is_ci());
            return None;
        }
        // A free port may be taken between choosing and using it.
        for _ in 0..3 {
            let broker = Self::prepare(options);
            match broker.boot().await {
                Ok(()) => return Some(broker),
                Err(said) if said.contains("eaddrinuse") => {}
                Err(said) => panic!("RabbitMQ does not start; it said:\n{said}"),
            }
        }
        panic!("RabbitMQ found its ports taken three times");
    }

    fn prepare(options: &BrokerOptions) -> Self {
        // The node's guardian removes it, since it outlives this process.
        let dir = tempfile::Builder::new()
            .prefix("lariat-rabbitmq-")
            .tempdir()
            .unwrap()
            .keep();
        let ports = Ports::choose();
        let certificates = options.tls.then(|| Certificates::make(&dir));
        node::write_config(&dir, &ports, options, certificates.as_ref());
        Self {
            name: format!("lariat-{}@localhost", ports.amqp),
            dir,
            ports,
            certificates,
            node: Mutex::new(None),
        }
    }

    /// Starts the node in its directory and waits until it serves.
    async fn boot(&self) -> Result<(), String> {
        let node = Node::start(&self.dir, &self.name, &self.ports);
        *self.node.lock().unwrap() = Some(node);
        let begin = std::time::Instant::now();
        let mut tick = tokio::time::interval(Duration::from_millis(50));
        loop {
            tick.tick().await;
            if node::has_ended(&self.dir) {
                self.end_node();
                return Err(node::output(&self.dir));
            }
            if self.admin().is_serving().await && self.is_open(self.ports.amqp).await {
                return Ok(());
            }
            if begin.elapsed() > START {
                return Err(format!(
                    "nothing for {START:?}\n{}",
                    node::output(&self.dir)
                ));
            }
        }
    }

    async fn is_open(&self, port: u16) -> bool {
        tokio::net::TcpStream::connect(("127.0.0.1", port))
            .await
            .is_ok()
    }

    /// `kill -9`. What it has stored stays.
    ///
    /// Except that RabbitMQ 3.10 writes down only every few seconds which
    /// quorum queues have had a leader, and one that was declared just before
    /// the kill never finds a leader again. No test is about that, so it is
    /// written down first.
    pub async fn stop_hard(&self) {
        self.ctl(&["eval", "[dets:sync(Table) || Table <- dets:all()]."])
            .await;
        self.kill().await;
    }

    async fn kill(&self) {
        let node = self.node.lock().unwrap().take();
        let mut node = node.expect("it is stopped already");
        node.kill();
        wait_until("the killed node is gone", START, async || {
            node.is_killed() && !self.is_open(self.ports.amqp).await
        })
        .await;
    }

    /// Starts the same node again: same data, same ports.
    pub async fn start_again(&self) {
        assert!(
            self.node.lock().unwrap().is_none(),
            "it runs; `stop_hard` comes first"
        );
        if let Err(said) = self.boot().await {
            panic!("RabbitMQ does not start again; it said:\n{said}");
        }
    }

    /// Ends the node for good, and its directory with it.
    fn end_node(&self) {
        match self.node.lock().unwrap().take() {
            Some(node) => node.end(),
            None => node::remove(&self.dir),
        }
    }

    /// A new virtual host, with all rights for [`USER`]. Its name is `name`
    /// and a number.
    pub async fn vhost(&self, name: &str) -> Vhost {
        let number = VHOSTS.fetch_add(1, Ordering::Relaxed);
        let name = format!("{name}-{number}");
        let admin = self.admin();
        admin.put_vhost(&name).await;
        admin.permit(&name, USER, [".*", ".*", ".*"]).await;
        Vhost {
            name,
            port: self.ports.amqp,
            admin,
        }
    }

    /// The port of the protocol without TLS.
    pub fn port(&self) -> u16 {
        self.ports.amqp
    }

    /// The port of the protocol with TLS.
    pub fn tls_port(&self) -> u16 {
        assert!(self.certificates.is_some(), "it is started without TLS");
        self.ports.amqps
    }

    /// What its clients need, when it is started with TLS.
    pub fn certificates(&self) -> &Certificates {
        self.certificates
            .as_ref()
            .expect("it is started without TLS")
    }

    pub fn admin(&self) -> Admin {
        Admin::new(self.ports.management)
    }

    /// What is unique to its processes, for `process::processes_with`.
    pub fn marker(&self) -> &str {
        self.dir.to_str().expect("the name is ASCII")
    }

    /// Runs `rabbitmqctl`; what it prints.
    pub async fn ctl(&self, args: &[&str]) -> String {
        let output = Command::new(Path::new(PROGRAMS).join("rabbitmqctl"))
            .args(args)
            .envs(node::environment(&self.dir, &self.name, &self.ports))
            .stdin(std::process::Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .unwrap();
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(
            output.status.success(),
            "`rabbitmqctl {}` failed:\n{}{}",
            args.join(" "),
            said(&output.stdout),
            said(&output.stderr)
        );
        said(&output.stdout)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.end_node();
    }
}

/// A virtual host of one test.
#[derive(Debug, Clone)]
pub struct Vhost {
    name: String,
    port: u16,
    admin: Admin,
}

impl Vhost {
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `amqp://…` for the administrator.
    pub fn url(&self) -> String {
        self.url_for(USER, USER)
    }

    /// `amqp://…` for a user.
    pub fn url_for(&self, user: &str, password: &str) -> String {
        format!(
            "amqp://{user}:{password}@127.0.0.1:{}/{}",
            self.port, self.name
        )
    }

    /// [`Vhost::url`] through another port: a proxy's.
    pub fn url_at(&self, port: u16) -> String {
        format!("amqp://{USER}:{USER}@127.0.0.1:{port}/{}", self.name)
    }

    /// A new user with all rights here and a name like the password.
    pub async fn user(&self, name: &str) -> String {
        let name = format!("{name}-{}", self.name);
        self.admin.put_user(&name, &name).await;
        self.admin
            .permit(&self.name, &name, [".*", ".*", ".*"])
            .await;
        name
    }

    /// What the server says of a queue. `None` when there is none.
    pub async fn queue(&self, queue: &str) -> Option<QueueInfo> {
        self.admin.queue(&self.name, queue).await
    }

    /// Declares a durable queue of a type: `quorum` or `classic`.
    pub async fn declare(&self, queue: &str, kind: &str) {
        self.admin.declare(&self.name, queue, kind).await;
    }

    pub async fn bind(&self, queue: &str, exchange: &str, key: &str) {
        self.admin.bind(&self.name, queue, exchange, key).await;
    }

    /// Publishes one message; whether a queue has taken it.
    pub async fn publish(&self, message: &Outgoing<'_>) -> bool {
        self.admin.publish(&self.name, message).await
    }

    /// Takes up to `max` messages from a queue.
    pub async fn take(&self, queue: &str, max: usize) -> Vec<Message> {
        self.admin.take(&self.name, queue, max).await
    }

    /// Waits until the queue is as `condition` says.
    pub async fn wait_queue(
        &self,
        queue: &str,
        name: &str,
        deadline: Duration,
        condition: impl Fn(&QueueInfo) -> bool,
    ) {
        wait_until(name, deadline, async || {
            self.queue(queue).await.as_ref().is_some_and(&condition)
        })
        .await;
    }
}

#[cfg(test)]
mod tests;
