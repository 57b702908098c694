//! Instances of the real binary that share one queue.
//!
//! Each has a directory of its own with the same rules, since each has its own
//! road to the broker: a proxy that a fault can break.

use std::{
    collections::BTreeSet,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;
use testkit::proxy::Proxy;

use crate::harness::{PATIENCE, Service, client};

/// The queue that they share, and the one that their routes end in.
pub(crate) const QUEUE: &str = "chaos";
pub(crate) const OUT: &str = "chaos-out";

/// What is the same for all instances.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    /// Files of the project, with their texts.
    pub(crate) files: Vec<(&'static str, String)>,
    /// Lines of `lariat.yml` before `sources`.
    pub(crate) settings: String,
    /// Further keys of the source.
    pub(crate) source: String,
    /// The broker's port, a virtual host, and a user with a password that is
    /// the same as its name.
    pub(crate) port: u16,
    pub(crate) vhost: String,
    pub(crate) user: String,
    /// Whether there is a proxy on the road.
    pub(crate) has_proxy: bool,
    pub(crate) has_route: bool,
}

impl Shape {
    fn config(&self, port: u16) -> String {
        let Self {
            settings,
            source,
            user,
            vhost,
            ..
        } = self;
        let url = format!("amqp://{user}@127.0.0.1:{port}/{vhost}");
        let link = format!("kind: amqp, url: \"{url}\", password: {{file: broker.secret}}");
        let routes = if self.has_route {
            format!(
                "sinks:\n\
                 \x20 out: {{{link}, exchange: amq.topic, topic_prefix: out}}\n\
                 routes:\n\
                 \x20 - {{from: work, to: out, topics: [\"#\"]}}\n"
            )
        } else {
            String::new()
        };
        format!(
            "{settings}\
             sources:\n\
             \x20 work: {{{link}, queue: {QUEUE}, bindings: [\"chaos.#\"], ack: done{source}}}\n\
             {routes}"
        )
    }
}

/// One instance, whether it runs or not.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) name: String,
    dir: PathBuf,
    pub(crate) proxy: Proxy,
    service: Option<Service>,
    client: reqwest::Client,
    /// What those before it have said.
    said: String,
}

impl Instance {
    /// Prepares its directory below `root`; it does not run yet.
    pub(crate) async fn prepare(root: &Path, name: &str, shape: &Shape) -> Self {
        let proxy = Proxy::start(shape.port).await;
        let dir = root.join(name);
        let port = if shape.has_proxy {
            proxy.port()
        } else {
            shape.port
        };
        let own = [
            ("lariat.yml", shape.config(port)),
            ("broker.secret", shape.user.clone()),
        ];
        for (file, text) in own.iter().chain(&shape.files) {
            let path = dir.join(file);
            fs_err::create_dir_all(path.parent().expect("it is below `dir`")).unwrap();
            fs_err::write(path, text).unwrap();
        }
        let private = std::fs::Permissions::from_mode(0o600);
        fs_err::set_permissions(dir.join("broker.secret"), private).unwrap();
        Self {
            name: name.to_owned(),
            dir,
            proxy,
            service: None,
            client: client(),
            said: String::new(),
        }
    }

    pub(crate) async fn start(&mut self) {
        assert!(self.service.is_none(), "instance {} runs", self.name);
        self.service = Some(Service::start(&self.dir).await);
    }

    fn service(&self) -> &Service {
        self.service.as_ref().expect("the instance runs")
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.service().program.signal(signal);
    }

    /// `kill -9`.
    pub(crate) async fn kill(&mut self) {
        let mut service = self.service.take().expect("the instance runs");
        service.program.kill().await;
        self.keep(&service);
    }

    /// SIGTERM, and waits for its end.
    pub(crate) async fn drain(&mut self) {
        let mut service = self.service.take().expect("the instance runs");
        service.program.signal(Signal::SIGTERM);
        let status = service.program.wait(PATIENCE).await;
        self.keep(&service);
        let name = &self.name;
        assert_eq!(Some(0), status.code(), "instance {name}:\n{}", self.said);
    }

    fn keep(&mut self, service: &Service) {
        self.said.push_str(&service.program.stderr());
        self.said.push_str("---- ended ----\n");
    }

    pub(crate) fn said(&self) -> String {
        let now = self
            .service
            .as_ref()
            .map(|service| service.program.stderr());
        format!("{}{}", self.said, now.unwrap_or_default())
    }

    /// What the API answers. `None` when it does not, or not well.
    pub(crate) async fn get(&self, path: &str) -> Option<Value> {
        let url = format!("{}{path}", self.service().url);
        let answer = self.client.get(url).send().await.ok()?;
        if !answer.status().is_success() {
            return None;
        }
        answer.json().await.ok()
    }

    /// All items of a list, such as `/api/v1/dead?limit=500`, oldest first.
    pub(crate) async fn all(&self, list: &str) -> Vec<Value> {
        let mut items = Vec::new();
        let mut path = list.to_owned();
        loop {
            let Some(page) = self.get(&path).await else {
                panic!("instance {}: no page of {list}", self.name);
            };
            items.extend(page["items"].as_array().expect("items").iter().cloned());
            match page["next"].as_str() {
                Some(next) => path = format!("{list}&cursor={next}"),
                None => break,
            }
        }
        items.reverse();
        items
    }

    /// Jobs that have not ended.
    pub(crate) async fn open_jobs(&self) -> Option<BTreeSet<String>> {
        let mut open = BTreeSet::new();
        for state in ["waiting", "queued", "running", "retrying", "held"] {
            let path = format!("/api/v1/jobs?limit=500&since=30d&state={state}");
            let page = self.get(&path).await?;
            for job in page["items"].as_array()? {
                open.insert(format!("{} is {state}", job["event_id"]));
            }
        }
        Some(open)
    }

    /// How many of its jobs run now.
    pub(crate) async fn running(&self) -> usize {
        let page = self.get("/api/v1/jobs?limit=500&state=running").await;
        page.map_or(0, |page| page["items"].as_array().map_or(0, Vec::len))
    }

    /// Events that wait for the sink.
    pub(crate) async fn backlog(&self) -> Option<u64> {
        let sinks = self.get("/api/v1/sinks").await?;
        let sinks = sinks["items"].as_array()?.clone();
        sinks
            .iter()
            .map(|sink| sink["backlog"]["events"].as_u64())
            .sum()
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if std::thread::panicking() {
            fs_err::write(self.dir.join("said"), self.said()).ok();
        }
    }
}

/// The directory that everything of a test lies in. It stays when the test
/// fails: the stores, what the instances have said, and what the jobs noted.
#[derive(Debug)]
pub(crate) struct Root {
    dir: TempDir,
}

impl Root {
    pub(crate) fn new() -> Self {
        let dir = tempfile::Builder::new()
            .prefix("chaos-")
            .tempdir_in(env!("CARGO_TARGET_TMPDIR"))
            .unwrap();
        Self { dir }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.dir.disable_cleanup(true);
            println!(
                "stores, logs and notes are in {}",
                self.dir.path().display()
            );
        }
    }
}
