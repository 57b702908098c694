use std::{
    collections::VecDeque,
    io,
    net::IpAddr,
    sync::Mutex,
    time::{Duration, Instant},
};

use model::{
    action::{HttpBody, HttpText, HttpUrl, Stop},
    clock::{BootTime, Timestamp},
    event::{Event, EventDraft, Origin, Severity},
    id::Principal,
    ports::chain::{FollowUpError, FollowUps},
};
use serde_json::{Value, json};
use testkit::TestClock;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

use super::*;

mod tls;

/// What the server does with one request.
#[derive(Debug, Clone)]
enum Reply {
    /// The whole answer as it is on the wire.
    Says(String),
    /// Goes on without end, after this.
    Floods(String),
    /// Says this and nothing more, and stays.
    Stalls(String),
    HangsUp,
}

/// A server that answers by plan, the last reply again and again, and keeps
/// what was asked.
struct Server {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
    /// Told of each request.
    heard: watch::Receiver<usize>,
    _serving: JoinSet<()>,
}

impl Server {
    async fn new(replies: impl IntoIterator<Item = Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (tell, heard) = watch::channel(0);
        let mut replies: VecDeque<Reply> = replies.into_iter().collect();
        let mut serving = JoinSet::new();
        let log = Arc::clone(&asked);
        serving.spawn(async move {
            let mut held = Vec::new();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let Some(request) = read_request(&mut stream).await else {
                    continue;
                };
                log.lock().unwrap().push(request);
                tell.send_modify(|count| *count += 1);
                let reply = replies[0].clone();
                if replies.len() > 1 {
                    replies.pop_front();
                }
                match reply {
                    Reply::Says(text) => stream.write_all(text.as_bytes()).await.unwrap(),
                    Reply::Stalls(text) => {
                        stream.write_all(text.as_bytes()).await.unwrap();
                        held.push(stream);
                    }
                    Reply::Floods(text) => {
                        stream.write_all(text.as_bytes()).await.unwrap();
                        while stream.write_all(&[b'x'; 16 * 1024]).await.is_ok() {}
                    }
                    Reply::HangsUp => {}
                }
            }
        });
        Self {
            port,
            asked,
            heard,
            _serving: serving,
        }
    }

    async fn ok() -> Self {
        Self::new([reply("200 OK", "", "{}")]).await
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// Head and body, when there is a whole request.
async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(": ")?;
                name.eq_ignore_ascii_case("content-length")
                    .then(|| value.parse::<usize>().unwrap())
            });
            if body.len() >= length.unwrap_or(0) {
                return Some(text);
            }
        }
        let count = stream.read_buf(&mut bytes).await.ok()?;
        // TLS begins with this byte; nothing here speaks it.
        if count == 0 || bytes[0] == 0x16 {
            return None;
        }
    }
}

fn reply(status: &str, headers: &str, body: &str) -> Reply {
    let length = body.len();
    Reply::Says(format!(
        "HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\n\r\n{body}"
    ))
}

fn redirect(status: &str, to: &str) -> Reply {
    reply(status, &format!("location: {to}\r\n"), "")
}

/// Answers as planned, one after the other, then the last again.
#[derive(Debug)]
struct PlannedNames(Mutex<VecDeque<Vec<&'static str>>>);

impl PlannedNames {
    fn new(answers: impl IntoIterator<Item = Vec<&'static str>>) -> Arc<Self> {
        Arc::new(Self(Mutex::new(answers.into_iter().collect())))
    }
}

#[async_trait]
impl Names for PlannedNames {
    async fn addresses(&self, _host: &str) -> io::Result<Vec<IpAddr>> {
        let mut answers = self.0.lock().unwrap();
        let answer = answers[0].clone();
        if answers.len() > 1 {
            answers.pop_front();
        }
        Ok(answer.iter().map(|text| text.parse().unwrap()).collect())
    }
}

#[derive(Debug)]
struct NoFollowUps;

#[async_trait]
impl FollowUps for NoFollowUps {
    async fn follow_up(&self, event: EventDraft) -> Result<(), FollowUpError> {
        panic!("`{}` was published", event.topic);
    }
}

#[derive(Debug, Default)]
struct Kept(Mutex<Vec<u8>>);

#[async_trait]
impl OutputSink for Kept {
    async fn write(&self, bytes: Vec<u8>) {
        self.0.lock().unwrap().extend(bytes);
    }
}

struct Stage {
    action: HttpAction,
    context: StepContext,
    output: Arc<Kept>,
    stop: watch::Sender<Option<Stop>>,
    deadline: watch::Sender<BootTime>,
}

impl Stage {
    fn new() -> Self {
        Self::with_names(Arc::new(SystemNames))
    }

    fn with_names(names: Arc<dyn Names>) -> Self {
        let clock = Arc::new(TestClock::by_hand());
        let accepted: Timestamp = "2026-11-20T23:00:00Z".parse().unwrap();
        let event = Event {
            id: "e".parse().unwrap(),
            topic: "org.example.a".parse().unwrap(),
            time: accepted,
            accepted,
            source: "api".to_owned(),
            severity: Severity::Info,
            headers: Object::new(),
            body: json!({}),
            origin: Origin::open_http(),
            cause: None,
        };
        let deadline = clock.boot().plus(Duration::from_secs(3_600));
        Self {
            action: HttpAction::with_names(clock, names),
            context: StepContext {
                job: "0192-ab".parse().unwrap(),
                attempt: 1,
                step: 0,
                rule: "r".parse().unwrap(),
                event: Arc::new(event),
                project: "/nowhere".into(),
                account: None,
                timeout: Duration::from_secs(60),
                grace: Duration::from_secs(10),
                output_cap: 100_000,
            },
            output: Arc::default(),
            stop: watch::channel(None).0,
            deadline: watch::channel(deadline).0,
        }
    }

    async fn run(&self, call: HttpCall) -> StepReport {
        let control = StepControl {
            stop: self.stop.subscribe(),
            deadline: self.deadline.subscribe(),
            output: Arc::clone(&self.output) as _,
            tasks: Arc::new(testkit::told::Told::default()),
            follow_ups: Arc::new(NoFollowUps),
        };
        let call = StepCall::Http(call);
        self.action.run(call, self.context.clone(), control).await
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.output.0.lock().unwrap()).into_owned()
    }
}

fn get(url: &str) -> HttpCall {
    HttpCall {
        method: "GET",
        url: HttpUrl::Fixed(url.to_owned()),
        headers: Vec::new(),
        body: HttpBody::Empty,
        expect: vec![200..=299],
        follow_redirects: 0,
        ca: None,
    }
}

fn post(url: &str, body: Value) -> HttpCall {
    HttpCall {
        method: "POST",
        body: HttpBody::Json(body),
        ..get(url)
    }
}

fn computed(url: &str) -> HttpCall {
    HttpCall {
        url: HttpUrl::Computed(url.to_owned()),
        ..get("")
    }
}

/// A step that fails for a reason with `why` in it.
#[track_caller]
fn check_failed(report: &StepReport, expect: Retry, why: &str) {
    let Outcome::Failed { retry, summary, .. } = &report.outcome else {
        panic!("{report:?}")
    };
    assert_eq!(&expect, retry, "{summary}");
    assert!(summary.contains(why), "{summary}");
    assert_eq!(None, report.result);
}

#[tokio::test]
async fn a_reply_is_the_result_and_the_output() {
    let body = r#"{"id": 7, "price": 1.50}"#;
    let server = Server::new([reply(
        "201 Created",
        "content-type: application/json\r\n",
        body,
    )])
    .await;
    let stage = Stage::new();
    let call = HttpCall {
        headers: vec![("X-Mode".to_owned(), HttpText::Plain("fast".to_owned()))],
        ..post(&server.url("/builds?x=1"), json!({"name": "kernel"}))
    };
    let report = stage.run(call).await;
    let url = server.url("/builds?x=1");
    let expect = StepReport {
        outcome: Outcome::Succeeded {
            summary: format!("POST {url}: 201 Created"),
        },
        exit: None,
        result: Some(serde_json::from_str(body).unwrap()),
    };
    assert_eq!(expect, report);
    assert_eq!(
        format!("POST {url}\nHTTP/1.1 201 Created, application/json\n{body}\n"),
        stage.text()
    );
    let asked = &server.asked()[0];
    for part in [
        "POST /builds?x=1 HTTP/1.1\r\n",
        "content-type: application/json\r\n",
        "idempotency-key: 0192-ab\r\n",
        "x-mode: fast\r\n",
        "\r\n\r\n{\"name\":\"kernel\"}",
    ] {
        assert!(asked.contains(part), "{part:?} in {asked}");
    }
}

#[tokio::test]
async fn the_key_is_the_same_at_every_attempt_and_another_for_each_step() {
    let server = Server::ok().await;
    let mut stage = Stage::new();
    for (attempt, step) in [(1, 0), (2, 0), (1, 2)] {
        stage.context.attempt = attempt;
        stage.context.step = step;
        stage.run(post(&server.url("/"), json!(null))).await;
    }
    stage.run(get(&server.url("/"))).await;
    let keys: Vec<Option<String>> = server
        .asked()
        .iter()
        .map(|asked| {
            let line = asked
                .lines()
                .find(|line| line.starts_with("idempotency-key"))?;
            line.split_once(": ").map(|(_, key)| key.to_owned())
        })
        .collect();
    let key = |text: &str| Some(text.to_owned());
    assert_eq!(
        vec![key("0192-ab"), key("0192-ab"), key("0192-ab-3"), None],
        keys
    );
}

#[tokio::test]
async fn a_status_says_whether_another_try_can_help() {
    let later = Retry::After {
        least: Duration::from_secs(7),
    };
    let cases = [
        ("503 Service Unavailable", later),
        ("500 Internal Server Error", later),
        ("429 Too Many Requests", later),
        ("425 Too Early", later),
        ("408 Request Timeout", later),
        ("404 Not Found", Retry::Pointless),
        ("400 Bad Request", Retry::Pointless),
        ("204 No Content", Retry::Pointless),
    ];
    for (status, retry) in cases {
        let server = Server::new([reply(status, "retry-after: 7\r\n", "")]).await;
        let call = HttpCall {
            expect: vec![200..=200, 301..=302],
            ..get(&server.url("/"))
        };
        let report = Stage::new().run(call).await;
        let url = server.url("/");
        let expect = "expected 200, 301-302; ";
        let summary = format!("GET {url}: {status}, `Retry-After: 7`; {expect}");
        check_failed(&report, retry, &summary);
    }
    for (after, expect) in [
        ("soon", Retry::Worthwhile),
        (
            "Sun, 06 Nov 1994 08:49:37 GMT",
            Retry::After {
                least: Duration::ZERO,
            },
        ),
    ] {
        let header = format!("retry-after: {after}\r\n");
        let server = Server::new([reply("503 No", &header, "")]).await;
        let report = Stage::new().run(get(&server.url("/"))).await;
        check_failed(&report, expect, "`retry` says how often");
    }
    let server = Server::new([reply("404 Not Found", "", "gone")]).await;
    let call = HttpCall {
        expect: vec![200..=299, 404..=404],
        ..get(&server.url("/"))
    };
    assert_eq!("succeeded", Stage::new().run(call).await.outcome.as_str());
}

#[tokio::test]
async fn what_goes_wrong_on_the_way_is_tried_again() {
    let server = Server::new([Reply::HangsUp]).await;
    let report = Stage::new().run(get(&server.url("/"))).await;
    check_failed(&report, Retry::Worthwhile, "error sending request");

    let half = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{".to_owned();
    let server = Server::new([Reply::Says(half)]).await;
    let report = Stage::new().run(get(&server.url("/"))).await;
    check_failed(&report, Retry::Worthwhile, "the reply broke off");

    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap().port()
    };
    let report = Stage::new()
        .run(get(&format!("http://127.0.0.1:{port}/")))
        .await;
    check_failed(&report, Retry::Worthwhile, "refused");

    // What speaks no TLS.
    let server = Server::ok().await;
    let url = server.url("/").replace("http:", "https:");
    let report = Stage::new().run(get(&url)).await;
    check_failed(&report, Retry::Worthwhile, "error sending request");
    assert!(server.asked().is_empty());
}

#[tokio::test]
async fn a_redirect_is_not_followed_unless_asked() {
    let server = Server::new([redirect("302 Found", "/next"), reply("200 OK", "", "{}")]).await;
    let report = Stage::new().run(get(&server.url("/"))).await;
    check_failed(
        &report,
        Retry::Pointless,
        "302 Found, a redirect to /next that is not followed",
    );
    assert_eq!(1, server.asked().len());
}

#[tokio::test]
async fn a_redirect_on_the_same_host_is_followed_with_what_it_keeps() {
    for (status, method, body) in [
        ("301 Moved Permanently", "GET", ""),
        ("302 Found", "GET", ""),
        ("303 See Other", "GET", ""),
        ("307 Temporary Redirect", "POST", "{\"a\":1}"),
        ("308 Permanent Redirect", "POST", "{\"a\":1}"),
    ] {
        let server = Server::new([redirect(status, "next?y=2"), reply("200 OK", "", "{}")]).await;
        let call = HttpCall {
            follow_redirects: 1,
            ..post(&server.url("/a/b"), json!({"a": 1}))
        };
        let report = Stage::new().run(call).await;
        assert_eq!("succeeded", report.outcome.as_str(), "{report:?}");
        let asked = server.asked();
        assert!(
            asked[1].starts_with(&format!("{method} /a/next?y=2 ")),
            "{asked:?}"
        );
        assert!(asked[1].ends_with(&format!("\r\n\r\n{body}")), "{asked:?}");
    }
    let server = Server::new([redirect("302 Found", "/again")]).await;
    let call = HttpCall {
        follow_redirects: 3,
        ..get(&server.url("/"))
    };
    let report = Stage::new().run(call).await;
    check_failed(&report, Retry::Pointless, "not followed");
    assert_eq!(4, server.asked().len());
}

#[tokio::test]
async fn a_redirect_leads_to_nothing_private() {
    let inner = Server::ok().await;
    let to_port = format!("http://127.0.0.1:{}/", inner.port);
    let mapped = format!("http://[::ffff:127.0.0.1]:{}/", inner.port);
    let decimal = format!("http://2130706433:{}/", inner.port);
    let name = format!("http://localhost:{}/", inner.port);
    for to in [
        &to_port,
        &mapped,
        &decimal,
        &name,
        "http://169.254.169.254/latest/meta-data",
        "http://[fe80::1]/",
    ] {
        let server = Server::new([redirect("302 Found", to)]).await;
        let call = HttpCall {
            follow_redirects: 5,
            ..get(&server.url("/"))
        };
        let report = Stage::new().run(call).await;
        check_failed(&report, Retry::Pointless, "which is not a public address");
    }
    for to in [
        "file:///etc/passwd",
        "ftp://127.0.0.1/",
        "http://u:p@h/",
        "http://",
    ] {
        let server = Server::new([redirect("302 Found", to)]).await;
        let call = HttpCall {
            follow_redirects: 5,
            ..get(&server.url("/"))
        };
        check_failed(
            &Stage::new().run(call).await,
            Retry::Pointless,
            "302 redirects to",
        );
    }
    assert!(inner.asked().is_empty());
}

#[tokio::test]
async fn a_computed_host_leads_to_nothing_private() {
    let inner = Server::ok().await;
    let port = inner.port;
    for host in [
        "127.0.0.1",
        "0x7f.1",
        "2130706433",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "localhost",
        "0.0.0.0",
        "10.1.2.3",
        "100.64.1.1",
    ] {
        let call = computed(&format!("http://{host}:{port}/"));
        let report = Stage::new().run(call).await;
        check_failed(&report, Retry::Pointless, "which is not a public address");
    }
    // The rule's own text may say so.
    let report = Stage::new()
        .run(get(&format!("http://localhost:{port}/")))
        .await;
    assert_eq!("succeeded", report.outcome.as_str());
    assert_eq!(1, inner.asked().len());
}

#[tokio::test]
async fn a_name_that_changes_its_address_reaches_nothing_private() {
    let inner = Server::ok().await;
    let url = format!("http://rebind.example.org:{}/", inner.port);
    // At once, at the second look, and hidden behind a public one.
    for answers in [
        vec![vec!["127.0.0.1"]],
        vec![vec!["::ffff:127.0.0.1"]],
        vec![vec!["93.184.215.14", "127.0.0.1"]],
        vec![vec!["64:ff9b::7f00:1"]],
    ] {
        let stage = Stage::with_names(PlannedNames::new(answers));
        let report = stage.run(computed(&url)).await;
        check_failed(&report, Retry::Pointless, "`rebind.example.org` is at");
    }
    // What is looked up is what is connected to: there is no second look.
    let names = PlannedNames::new([vec!["240.0.0.1"], vec!["127.0.0.1"]]);
    let stage = Stage::with_names(names);
    let report = stage.run(computed(&url)).await;
    check_failed(&report, Retry::Pointless, "240.0.0.1");
    assert!(inner.asked().is_empty());
    let stage = Stage::with_names(PlannedNames::new([vec![]]));
    let report = stage.run(computed(&url)).await;
    check_failed(&report, Retry::Worthwhile, "has no address");
}

#[tokio::test]
async fn a_slow_reply_ends_with_the_timeout() {
    for head in ["", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc"] {
        let server = Server::new([Reply::Stalls(head.to_owned())]).await;
        let mut stage = Stage::new();
        stage.context.timeout = Duration::from_millis(300);
        let report = stage.run(get(&server.url("/"))).await;
        let expect = Outcome::TimedOut {
            after: Duration::from_millis(300),
            killed: false,
        };
        assert_eq!(expect, report.outcome);
    }
}

#[tokio::test]
async fn a_cancel_ends_a_request_at_once() {
    let server = Server::new([Reply::Stalls(String::new())]).await;
    let stage = Stage::new();
    let by = Principal("someone".to_owned());
    let cancel = async {
        server
            .heard
            .clone()
            .wait_for(|count| *count == 1)
            .await
            .unwrap();
        stage.stop.send_replace(Some(Stop::Cancel(by.clone())));
    };
    let begun = Instant::now();
    let (report, ()) = tokio::join!(stage.run(get(&server.url("/"))), cancel);
    assert_eq!(Outcome::Cancelled { by: by.clone() }, report.outcome);
    assert!(begun.elapsed() < Duration::from_secs(30));
}

#[tokio::test]
async fn a_reply_without_end_is_cut() {
    for head in [
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 9999999999\r\n\r\n",
    ] {
        let server = Server::new([Reply::Floods(head.to_owned())]).await;
        let report = Stage::new().run(get(&server.url("/"))).await;
        assert_eq!("succeeded", report.outcome.as_str());
        assert_eq!(None, report.result);
    }
    let server = Server::new([Reply::Floods("HTTP/1.1 500 No\r\n\r\n".to_owned())]).await;
    let stage = Stage::new();
    let report = stage.run(get(&server.url("/"))).await;
    check_failed(&report, Retry::Worthwhile, "500");
    let text = stage.text();
    assert!(text.len() < 101_000, "{}", text.len());
    assert!(text.ends_with("[lariat: the rest of the reply was left out]\n"));
}

#[tokio::test]
async fn where_a_secret_address_leads_is_not_shown() {
    let dir = tempfile::tempdir().unwrap();
    let address = dir.path().join("url");
    let location = "location: https://h.example/s3cret-path\r\n";
    let server = Server::new([reply("301 Moved", location, "/s3cret-path")]).await;
    fs_err::write(&address, server.url("/s3cret-path")).unwrap();
    let stage = Stage::new();
    let report = stage
        .run(HttpCall {
            url: HttpUrl::Secret(address),
            ..get("")
        })
        .await;
    check_failed(&report, Retry::Pointless, "a redirect that is not followed");
    let seen = format!("{}{:?}", stage.text(), report);
    assert!(!seen.contains("s3cret"), "{seen}");
}

#[tokio::test]
async fn secrets_are_sent_and_never_shown() {
    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("token");
    fs_err::write(&token, "s3cret\n").unwrap();
    let other = Server::ok().await;
    let server = Server::new([
        redirect("307 Go", &other.url("/")),
        reply("200 OK", "", "{}"),
    ])
    .await;
    let address = dir.path().join("url");
    fs_err::write(&address, server.url("/hooks/s3cret-path")).unwrap();
    let call = HttpCall {
        url: HttpUrl::Secret(address),
        headers: vec![(
            "Authorization".to_owned(),
            HttpText::Secret {
                prefix: "Bearer ".to_owned(),
                file: token.clone(),
            },
        )],
        follow_redirects: 1,
        ..post("", json!({}))
    };
    let stage = Stage::new();
    let report = stage.run(call).await;
    // To another port, it is another's word.
    check_failed(&report, Retry::Pointless, "which is not a public address");
    let asked = server.asked();
    assert!(
        asked[0].starts_with("POST /hooks/s3cret-path "),
        "{asked:?}"
    );
    assert!(
        asked[0].contains("authorization: Bearer s3cret\r\n"),
        "{asked:?}"
    );
    let seen = format!("{}{:?}", stage.text(), report);
    assert!(!seen.contains("s3cret"), "{seen}");
    assert!(
        stage.text().starts_with("POST http://127.0.0.1/…\n"),
        "{seen}"
    );

    fs_err::write(&token, "two\nlines").unwrap();
    let missing = dir.path().join("missing");
    for file in [token, missing, dir.path().to_owned()] {
        let call = HttpCall {
            headers: vec![(
                "X-Token".to_owned(),
                HttpText::Secret {
                    prefix: String::new(),
                    file,
                },
            )],
            ..get(&server.url("/"))
        };
        let report = stage.run(call).await;
        assert_eq!("unstartable", report.outcome.as_str(), "{report:?}");
        assert!(!format!("{report:?}").contains("two"));
    }
}

#[tokio::test]
async fn a_form_is_encoded() {
    let server = Server::ok().await;
    let fields = [("a", "1&b=2"), ("ü", "x y\r\n")];
    let call = HttpCall {
        method: "POST",
        body: HttpBody::Form(fields.map(|(k, v)| (k.to_owned(), v.to_owned())).into()),
        ..get(&server.url("/"))
    };
    Stage::new().run(call).await;
    let asked = &server.asked()[0];
    assert!(asked.contains("content-type: application/x-www-form-urlencoded\r\n"));
    assert!(
        asked.ends_with("\r\n\r\na=1%26b%3D2&%C3%BC=x+y%0D%0A"),
        "{asked}"
    );
}

#[tokio::test]
async fn every_value_stays_data() {
    for (name, text) in testkit::corpus::VALUES {
        let value: Value = serde_json::from_str(text).unwrap();
        let server = Server::ok().await;
        let report = Stage::new()
            .run(post(&server.url("/"), value.clone()))
            .await;
        assert_eq!("succeeded", report.outcome.as_str(), "`{name}`");
        let asked = server.asked();
        assert_eq!(1, asked.len(), "`{name}`");
        let (_, body) = asked[0].split_once("\r\n\r\n").unwrap();
        assert_eq!(
            value,
            serde_json::from_str::<Value>(body).unwrap(),
            "`{name}`"
        );
    }
}
