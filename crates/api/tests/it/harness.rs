//! A served engine, and a client without opinions.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use api::ApiSettings;
use async_trait::async_trait;
use engine::{Engine, EngineParts, Settings};
use model::{
    action::{StepCall, StepContext, StepControl, StepReport},
    clock::{Clock, Timestamp},
    diagnostic::Diagnostic,
    fault::NoFaults,
    id::Principal,
    job::{Exit, Outcome, Retry, StepKind},
    ports::{
        Action, ProjectSource, ProjectText,
        transport::{Sink, Source},
    },
    route::Route,
    task::{
        HostRecap, ItemFailure, Items, PlayStart, TaskEvent, TaskResult, TaskStart, TaskStatus,
    },
};
use serde_json::Value;
use testkit::{MemoryStore, TestClock};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

pub(crate) const RULES: &str = r#"
rules:
  - name: greet
    on: org.example.hello
    when: event.body.name is defined and event.body.name != "nobody"
    run:
      - command: [ok, "--", "{{ event.body.name }}"]
      - command: [result]
  - name: break
    on: org.example.broken
    retry: {attempts: 1}
    run: {command: [fail]}
  - name: bytes
    on: org.example.bytes
    run: {command: [bytes]}
  - name: wait
    on: org.example.wait
    run: {command: [wait]}
  - name: one-by-one
    on: org.example.keyed
    key: "{{ event.body.key }}"
    run: {command: [wait]}
"#;

/// Not UTF-8, and full of what a terminal or a browser would obey.
pub(crate) const BYTES: &[u8] = b"\xff\xfe half \xe2\x82 \x1b[31m <b>\0</b>\n";

pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) store: Arc<MemoryStore>,
    project: Arc<Project>,
    stop: Option<oneshot::Sender<()>>,
    server: Option<JoinHandle<()>>,
}

struct Project(Mutex<ProjectText>);

#[async_trait]
impl ProjectSource for Project {
    async fn read(&self) -> Result<ProjectText, Vec<Diagnostic>> {
        Ok(self.0.lock().unwrap().clone())
    }
}

fn project_text(rules: &str) -> ProjectText {
    ProjectText {
        files: BTreeMap::from([("rules/test.yml".to_owned(), rules.to_owned())]),
        listing: vec!["rules/test.yml".to_owned()],
        commit: Some("0123456789abcdef0123456789abcdef01234567".to_owned()),
    }
}

/// What a playbook tells that changes something on one host and fails on
/// another; names may be anything.
pub(crate) fn told() -> Vec<TaskEvent> {
    let result = |host: &str, status| TaskResult {
        play: "web <servers>".to_owned(),
        task: "copy <b>it</b>".to_owned(),
        host: host.to_owned(),
        status,
        handler: false,
        duration_ms: Some(1_234),
        message: None,
        diff: None,
        censored: false,
        delegated_to: None,
        tries: None,
        items: None,
    };
    let changed = TaskResult {
        diff: Some("--- before\n+++ after\n-<one>\n+<two>\n".to_owned()),
        delegated_to: Some("localhost".to_owned()),
        tries: Some(2),
        ..result("web1", TaskStatus::Changed)
    };
    let failed = TaskResult {
        message: Some("<script>no</script> room\n\u{fffd}[31m".to_owned()),
        items: Some(Items {
            ok: 1,
            failed: 2,
            failures: vec![
                ItemFailure {
                    item: Some("x".to_owned()),
                    message: Some("full".to_owned()),
                    censored: false,
                },
                ItemFailure {
                    censored: true,
                    ..ItemFailure::default()
                },
            ],
            ..Items::default()
        }),
        ..result("db<1>", TaskStatus::Failed)
    };
    let hidden = TaskResult {
        censored: true,
        handler: true,
        duration_ms: None,
        ..result("web1", TaskStatus::Ok)
    };
    let recap = |host: &str, changed, failed| {
        TaskEvent::Recap(HostRecap {
            ok: 2,
            changed,
            failed,
            ..HostRecap::of(host)
        })
    };
    vec![
        TaskEvent::Play(PlayStart {
            play: "web <servers>".to_owned(),
        }),
        TaskEvent::Task(TaskStart {
            play: "web <servers>".to_owned(),
            task: "copy <b>it</b>".to_owned(),
            action: "copy".to_owned(),
            role: Some("web".to_owned()),
            handler: false,
        }),
        TaskEvent::Result(changed),
        TaskEvent::Result(failed),
        TaskEvent::Result(hidden),
        recap("db<1>", 0, 1),
        recap("web1", 1, 0),
        TaskEvent::LeftOut { count: 3 },
    ]
}

/// Runs no program: what a command would do is said by its first word.
struct Scripted;

#[async_trait]
impl Action for Scripted {
    fn kind(&self) -> StepKind {
        StepKind::Command
    }

    async fn run(&self, call: StepCall, _context: StepContext, control: StepControl) -> StepReport {
        let StepCall::Command(call) = call else {
            panic!("the rules of these tests have commands only");
        };
        let mut control = control;
        let mut result = None;
        let outcome = match call.argv[0].as_str() {
            "fail" => Outcome::Failed {
                exit: Some(Exit::Code(2)),
                summary: "exit code 2".to_owned(),
                retry: Retry::Worthwhile,
            },
            "wait" => {
                let by = control.stop.wait_for(Option::is_some).await.is_ok();
                assert!(by, "the engine holds the other end");
                Outcome::Cancelled {
                    by: Principal("api".to_owned()),
                }
            }
            "play" => {
                let now = Timestamp::from_millis(1_790_000_000_000);
                let told = told().into_iter().map(|event| (now, event));
                control.tasks.tell(told.collect()).await;
                Outcome::Failed {
                    exit: Some(Exit::Code(2)),
                    summary: "exit code 2: failed on 1 of 2 hosts".to_owned(),
                    retry: Retry::Worthwhile,
                }
            }
            word => {
                if word == "bytes" {
                    control.output.write(BYTES.to_vec()).await;
                } else {
                    let line = format!("{}\n", call.argv.join(" "));
                    control.output.write(line.into_bytes()).await;
                }
                if word == "result" {
                    result = serde_json::json!({"greeted": true}).as_object().cloned();
                }
                Outcome::Succeeded {
                    summary: "exit code 0".to_owned(),
                }
            }
        };
        let exit = match &outcome {
            Outcome::Failed { exit, .. } => *exit,
            Outcome::Succeeded { .. } => Some(Exit::Code(0)),
            Outcome::TimedOut { .. }
            | Outcome::Cancelled { .. }
            | Outcome::Unstartable { .. }
            | Outcome::Lost { .. } => Some(Exit::Signal(15)),
        };
        StepReport {
            outcome,
            exit,
            result,
        }
    }

    async fn preflight(&self) -> Vec<Diagnostic> {
        Vec::new()
    }
}

pub(crate) async fn serve() -> Served {
    serve_with(1_000, |_| {}).await
}

/// `adjust` changes the settings of the API.
pub(crate) async fn serve_with(
    queue_limit: usize,
    adjust: impl FnOnce(&mut ApiSettings),
) -> Served {
    serve_linked(queue_limit, Links::default(), adjust).await
}

/// What the engine connects to; nothing by default.
#[derive(Default)]
pub(crate) struct Links {
    pub(crate) sources: Vec<Arc<dyn Source>>,
    pub(crate) sinks: Vec<Arc<dyn Sink>>,
    pub(crate) routes: Vec<Route>,
}

pub(crate) async fn serve_linked(
    queue_limit: usize,
    links: Links,
    adjust: impl FnOnce(&mut ApiSettings),
) -> Served {
    let clock = Arc::new(TestClock::following());
    let store = Arc::new(MemoryStore::new(
        Arc::clone(&clock) as Arc<dyn Clock>,
        queue_limit,
    ));
    let project = Arc::new(Project(Mutex::new(project_text(RULES))));
    let engine = Engine::start(EngineParts {
        intake: Arc::clone(&store) as _,
        queue: Arc::clone(&store) as _,
        control: Arc::clone(&store) as _,
        history: Arc::clone(&store) as _,
        upkeep: Arc::clone(&store) as _,
        custody: Arc::clone(&store) as _,
        outbox: Arc::clone(&store) as _,
        tokens: Arc::clone(&store) as _,
        audit: Arc::clone(&store) as _,
        chains: Arc::clone(&store) as _,
        lifecycle: Arc::clone(&store) as _,
        task_log: Arc::clone(&store) as _,
        sources: links.sources,
        sinks: links.sinks,
        routes: links.routes,
        actions: vec![Arc::new(Scripted)],
        project: Arc::clone(&project) as _,
        project_dir: PathBuf::from("/nowhere"),
        clock: Arc::clone(&clock) as _,
        faults: Arc::new(NoFaults),
        settings: Settings {
            worker: "test-worker".parse().unwrap(),
            poll: Duration::from_millis(20),
            ..Settings::default()
        },
    })
    .await
    .unwrap();

    let mut settings = ApiSettings::new(Arc::clone(&clock) as _);
    adjust(&mut settings);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let server = tokio::spawn(async move {
        let stopping = engine.clone();
        let stopped = async {
            // A dropped sender ends it as well.
            if stopped.await.is_err() {}
        };
        api::serve(listener, engine, settings, stopped)
            .await
            .unwrap();
        stopping.stop().await;
    });
    Served {
        address,
        clock,
        store,
        project,
        stop: Some(stop),
        server: Some(server),
    }
}

/// An answer as it came.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// The only value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(known, _)| known == name);
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "`{name}` stands twice");
        value
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }
}

impl Served {
    pub(crate) fn set_rules(&self, rules: &str) {
        *self.project.0.lock().unwrap() = project_text(rules);
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.request("GET", path, &[], b"").await
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> Reply {
        let json = [("Content-Type", "application/json")];
        let headers: &[(&str, &str)] = if body.is_empty() { &[] } else { &json };
        self.request("POST", path, headers, body.as_bytes()).await
    }

    /// With the right `Host`, unless `headers` has one.
    pub(crate) async fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Reply {
        let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
        if !headers.iter().any(|(name, _)| *name == "Host") {
            write!(head, "Host: {}\r\n", self.address).unwrap();
        }
        for (name, value) in headers {
            write!(head, "{name}: {value}\r\n").unwrap();
        }
        if !body.is_empty() {
            write!(head, "Content-Length: {}\r\n", body.len()).unwrap();
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(body);
        let replies = self.raw(&bytes).await;
        match <[Reply; 1]>::try_from(replies) {
            Ok([reply]) => reply,
            Err(replies) => panic!("{} replies to {method} {path}", replies.len()),
        }
    }

    /// Sends bytes and reads until the server closes.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> Vec<Reply> {
        let (mut reader, mut writer) = self.connect().await.into_split();
        let sent = bytes.to_vec();
        let writing = tokio::spawn(async move {
            // The server may answer and close before it has read everything.
            if writer.write_all(&sent).await.is_ok() {
                std::future::pending::<()>().await;
            }
        });
        let mut received = Vec::new();
        let reading = reader.read_to_end(&mut received);
        // An answer followed by a reset is still an answer.
        if timeout(Duration::from_secs(20), reading).await.is_err() {
            panic!(
                "the server did not close: {}",
                String::from_utf8_lossy(&received)
            );
        }
        writing.abort();
        replies(&received)
    }

    pub(crate) async fn publish(&self, event: &str) -> Value {
        let reply = self.post("/api/v1/events", event).await;
        assert_eq!(202, reply.status, "{}", reply.text());
        reply.json()
    }

    /// Waits until the job is in a state.
    pub(crate) async fn job_in(&self, id: &str, state: &str) -> Value {
        self.until(&format!("/api/v1/jobs/{id}"), |job| job["state"] == state)
            .await
    }

    /// Waits until what stands at `path` is as it should be.
    pub(crate) async fn until(&self, path: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let until = Instant::now() + Duration::from_secs(10);
        loop {
            let found = self.get(path).await.json();
            if is_so(&found) {
                return found;
            }
            assert!(Instant::now() < until, "{path} stayed as it was: {found}");
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Ends the server and waits for it.
    pub(crate) async fn end(mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        let server = self.server.take().unwrap();
        timeout(Duration::from_secs(20), server)
            .await
            .expect("the server ends")
            .unwrap();
    }

    /// Asks the server to end without waiting for it.
    pub(crate) fn ask_to_end(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    pub(crate) async fn ended(mut self) {
        let server = self.server.take().unwrap();
        timeout(Duration::from_secs(20), server)
            .await
            .expect("the server ends")
            .unwrap();
    }
}

/// Cuts a stream into the replies that it holds.
fn replies(mut bytes: &[u8]) -> Vec<Reply> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let end = bytes
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .unwrap_or_else(|| panic!("no head in {}", String::from_utf8_lossy(bytes)));
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap();
        let status: u16 = status.parse().unwrap();
        let headers: Vec<(String, String)> = lines
            .map(|line| {
                let (name, value) = line.split_once(": ").unwrap();
                (name.to_owned(), value.to_owned())
            })
            .collect();
        let length = headers
            .iter()
            .find(|(name, _)| name == "content-length")
            .map_or(0, |(_, value)| value.parse().unwrap());
        bytes = &bytes[end + 4..];
        // The answer to HEAD says a length that it has not.
        let length = std::cmp::min(length, bytes.len());
        let body = bytes[..length].to_vec();
        bytes = &bytes[length..];
        if status >= 200 {
            found.push(Reply {
                status,
                headers,
                body,
            });
        }
    }
    found
}
