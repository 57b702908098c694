//! Every example is a project that works.

use std::{collections::BTreeMap, path::Path};

use serde_json::{Value, json};
use testkit::{
    Broker, TempProject, Vhost,
    broker::Outgoing,
    process::wait_until,
    tools::{Ansible, CloudEvents, ansible},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::timeout,
};

use crate::{
    harness::{PATIENCE, Service, client, example, examples, path_with, run},
    interop::cloudevents::Server,
};

#[tokio::test]
async fn every_example_passes_the_check() {
    let mut names = Vec::new();
    for entry in fs_err::read_dir(examples()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let project = example(&name);
        run(
            &["check", "--project", project.path().to_str().unwrap()],
            &[],
        )
        .await
        .expect(0);
        names.push(name);
    }
    for expected in [
        "chain",
        "cloudevents",
        "debounce",
        "demo",
        "deploy",
        "hello",
        "hosts",
        "loopabull",
        "releng",
        "throttle",
    ] {
        assert!(names.iter().any(|name| name == expected), "{names:?}");
    }
}

#[tokio::test]
async fn loopabull_runs_the_playbook_named_like_the_topic() {
    for version in Ansible::ENDS {
        let Some(playbook) = ansible(version) else {
            continue;
        };
        let project = example("loopabull");
        let service = Service::start_with_ansible(project.path(), &playbook).await;
        service
            .lariat(&[
                "publish",
                "org.example.compose.finished",
                r#"{"compose_id": "F-1", "mirrors": ["a", "b"]}"#,
                "--id",
                "c",
                "--wait",
            ])
            .await
            .expect(0)
            .says("syncing F-1 to a, b");
        let jobs = service.json(&["jobs", "list", "--event", "c"]).await;
        assert_eq!(
            r#"{"synced":"F-1"}"#,
            jobs["items"][0]["result"].to_string()
        );
        service
            .lariat(&[
                "publish",
                "org.example.git.receive",
                r#"{"commit": {"username": "mary", "repo": "rpms/x", "summary": "fix {{ it }}"}}"#,
                "--wait",
            ])
            .await
            .expect(0)
            .says("mary pushed to rpms/x: fix {{ it }}");
        service
            .lariat(&["publish", "org.example.no.playbook", "--id", "n", "--wait"])
            .await
            .expect(0);
        let verdict = service.json(&["explain", "n"]).await;
        assert_eq!("suppressed", verdict["items"][0]["verdict"]);
    }
}

#[tokio::test]
async fn hosts_come_with_the_event() {
    for version in Ansible::ENDS {
        let Some(playbook) = ansible(version) else {
            continue;
        };
        let project = example("hosts");
        let service = Service::start_with_ansible(project.path(), &playbook).await;
        let publish = async |topic: &str, body: &str| {
            let topic = format!("org.example.{topic}");
            service.lariat(&["publish", &topic, body, "--wait"]).await
        };
        let advisory = |web: &str| {
            format!(
                r#"{{"id": "EX-1", "severity": "critical", "packages": ["a", "{{{{ b }}}}"], "web": {web}}}"#
            )
        };
        publish("advisory.published", &advisory(r#"["web1", "web2"]"#))
            .await
            .expect(0)
            .says("web1 gets a, {{ b }} of EX-1")
            .says("web2 gets a, {{ b }} of EX-1");
        for hostile in ["[]", r#"["all"]"#, r#"["web1 ansible_connection=ssh"]"#] {
            publish("advisory.published", &advisory(hostile))
                .await
                .expect(5)
                .says("`hosts`: ");
        }
        let dead = service.json(&["dead", "list"]).await;
        assert_eq!(3, dead["items"].as_array().unwrap().len(), "{dead}");
        let machine = r#"{"address": "192.0.2.7", "serial": "A-17"}"#;
        publish("machine.installed", machine).await.expect(0);
        let jobs = service
            .json(&["jobs", "list", "--rule", "enrol-machine"])
            .await;
        assert_eq!(
            json!({"enrolled": "A-17 at 192.0.2.7"}),
            jobs["items"][0]["result"]
        );
    }
}

#[tokio::test]
async fn deploy_runs_its_steps_in_order() {
    let Some(playbook) = ansible(Ansible::Newest) else {
        return;
    };
    let project = example("deploy");
    let service = Service::start_with_ansible(project.path(), &playbook).await;
    let body =
        r#"{"service": "web", "version": "1.2", "environment": "staging", "previous": "1.1"}"#;
    let ran = service
        .lariat(&[
            "publish",
            "org.example.release.published",
            body,
            "--id",
            "d",
            "--wait",
        ])
        .await
        .expect(0);
    let place = |text: &str| {
        ran.stdout
            .find(text)
            .unwrap_or_else(|| panic!("`{text}` is missing: {}", ran.stdout))
    };
    assert!(place("fetching web 1.2") < place("rolling out web 1.2"));
    assert!(place("rolling out web 1.2") < place("announcing "));
    let jobs = service.json(&["jobs", "list", "--event", "d"]).await;
    assert_eq!("web", jobs["items"][0]["key"]);
    assert_eq!(
        3,
        jobs["items"][0]["attempts"][0]["steps"]
            .as_array()
            .unwrap()
            .len()
    );
    service
        .lariat(&["publish", "org.example.release.withdrawn", body, "--wait"])
        .await
        .expect(0)
        .says("rolling out web 1.1");
}

/// The verdicts on an event, by rule.
async fn verdicts(service: &Service, event: &str) -> BTreeMap<String, (String, String)> {
    let explained = service.json(&["explain", event]).await;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let items = explained["items"].as_array().unwrap().iter();
    items
        .map(|it| {
            (
                text(&it["rule"]),
                (text(&it["verdict"]), text(&it["reason"])),
            )
        })
        .collect()
}

#[tokio::test]
async fn throttle_tells_at_most_two_and_gives_each_ticket_its_time() {
    let project = example("throttle");
    let service = Service::start(project.path()).await;
    let alert = r#"{"host": "db1", "level": "critical", "text": "out of memory"}"#;
    let topic = "org.example.alert.raised";
    for id in ["a1", "a2", "a3"] {
        service
            .lariat(&["publish", topic, alert, "--id", id, "--wait"])
            .await
            .expect(0)
            .says("to tickets: db1: out of memory");
    }
    let second = verdicts(&service, "a2").await;
    assert_eq!("fired", second["page-somebody"].0);
    let third = verdicts(&service, "a3").await;
    let (verdict, reason) = &third["page-somebody"];
    assert_eq!("suppressed", verdict);
    let expect = "suppressed by throttle: 2 in 1h for `db1`, the next at ";
    assert!(reason.starts_with(expect), "{reason}");
    let (verdict, reason) = &third["restart-host"];
    assert_eq!("shadow", verdict);
    assert!(reason.starts_with("would have fired: command "), "{reason}");

    // Another host is counted apart, and a ticket waits for its time.
    let other = r#"{"host": "db2", "level": "critical", "text": "disk full"}"#;
    let batch = json!([
        {"id": "b1", "topic": topic, "body": serde_json::from_str::<Value>(other).unwrap()},
        {"id": "b2", "topic": topic, "body": serde_json::from_str::<Value>(other).unwrap()},
    ]);
    post(&service, &batch).await;
    let last = verdicts(&service, "b2").await;
    assert_eq!("fired", last["page-somebody"].0);
    let (verdict, reason) = &last["open-ticket"];
    assert_eq!("fired", verdict);
    assert!(reason.ends_with(" by throttle: 1 in 2s"), "{reason}");
    service
        .lariat(&["publish", topic, other, "--id", "b2", "--wait"])
        .await
        .expect(0);
}

async fn post(service: &Service, events: &Value) {
    let url = format!("{}/api/v1/events", service.url);
    let answer = client().post(url).json(events).send().await.unwrap();
    assert_eq!(202, answer.status());
}

#[tokio::test]
async fn debounce_builds_the_last_push_and_tests_the_newest_that_waits() {
    let project = example("debounce");
    fs_err::write(project.path().join("hold"), "").unwrap();
    let service = Service::start(project.path()).await;
    let push = |n: u32| {
        let body = json!({"repo": "lariat", "commit": format!("c{n}")});
        json!({"id": format!("p{n}"), "topic": "org.example.git.push", "body": body})
    };
    post(&service, &json!([push(1), push(2), push(3)])).await;
    let reason = &verdicts(&service, "p3").await["build-docs"].1;
    assert!(
        reason.contains(" (debounce: 2s); it takes the place of job "),
        "{reason}"
    );
    let reason = &verdicts(&service, "p3").await["run-tests"].1;
    assert!(
        reason.starts_with("waiting for key `tests-lariat` held by job "),
        "{reason}"
    );
    fs_err::remove_file(project.path().join("hold")).unwrap();
    let body = push(3)["body"].to_string();
    service
        .lariat(&[
            "publish",
            "org.example.git.push",
            &body,
            "--id",
            "p3",
            "--wait",
        ])
        .await
        .expect(0)
        .says("built docs of lariat at c3")
        .says("built tests of lariat at c3");
    let jobs = service.json(&["jobs", "list"]).await;
    let mut states: Vec<(String, String, bool)> = Vec::new();
    for job in jobs["items"].as_array().unwrap() {
        let text = |key: &str| job[key].as_str().unwrap_or_default().to_owned();
        let is_superseded = text("reason").starts_with("superseded by job ");
        assert_eq!(text("state") == "cancelled", is_superseded, "{job:#}");
        states.push((text("event_id"), text("rule"), !is_superseded));
    }
    states.sort_unstable();
    let expect = [
        ("p1", "build-docs", false),
        ("p1", "run-tests", true),
        ("p2", "build-docs", false),
        ("p2", "run-tests", false),
        ("p3", "build-docs", true),
        ("p3", "run-tests", true),
    ];
    let states: Vec<(&str, &str, bool)> = states
        .iter()
        .map(|(event, rule, ran)| (event.as_str(), rule.as_str(), *ran))
        .collect();
    assert_eq!(expect, states.as_slice());
}

/// One of the instances that serve a copy of `releng`.
async fn instance(project: &Path, name: &str, playbook: &Path) -> Service {
    let store = format!("sqlite:{}", project.join(name).display());
    let path = path_with(playbook);
    let env = [("PATH", path.as_str()), ("RABBITMQ_PASSWORD", "guest")];
    Service::start_with(project, &["--store", &store], &env).await
}

async fn announce(vhost: &Vhost, topic: &str, id: &str, body: &Value) {
    let body = body.to_string();
    let message = Outgoing {
        exchange: "amq.topic",
        routing_key: topic,
        body: body.as_bytes(),
        properties: json!({"message_id": id, "delivery_mode": 2}),
    };
    assert!(vhost.publish(&message).await, "{topic} reaches a queue");
}

#[tokio::test]
async fn releng_works_off_one_queue_with_two_instances_and_answers_on_the_bus() {
    let (Some(broker), Some(playbook)) = (Broker::shared().await, ansible(Ansible::Newest)) else {
        return;
    };
    let vhost = broker.vhost("releng").await;
    let project = example("releng");
    let config = project.path().join("lariat.yml");
    let here = format!("127.0.0.1:{}/{}", broker.port(), vhost.name());
    let text = fs_err::read_to_string(&config).unwrap();
    assert_eq!(2, text.matches("127.0.0.1:5672/%2F").count());
    fs_err::write(&config, text.replace("127.0.0.1:5672/%2F", &here)).unwrap();
    vhost.declare("answers", "classic").await;
    for key in [
        "org.example.releng.compose.#",
        "org.example.releng.answer.#",
    ] {
        vhost.bind("answers", "amq.topic", key).await;
    }
    let instances = [
        instance(project.path(), "1.db", &playbook).await,
        instance(project.path(), "2.db", &playbook).await,
    ];
    vhost
        .wait_queue("releng.workers", "both consume", PATIENCE, |queue| {
            queue.consumers == 2 && queue.kind == "quorum"
        })
        .await;

    for number in 0..4 {
        let body = json!({
            "status": "FINISHED", "release": format!("f4{number}"), "files": ["a", "b"],
            "compose_id": format!("Fedora-4{number}"),
        });
        let id = format!("compose-{number}");
        announce(&vhost, "org.example.compose.finished", &id, &body).await;
    }
    let asked = "org.example.releng.request.unretire";
    let wanted = json!({"package": "mutt", "branch": "f43"});
    announce(&vhost, asked, "good", &wanted).await;
    let refused = json!({"package": "../mutt", "branch": "f43"});
    announce(&vhost, asked, "bad", &refused).await;
    // No rule wants it.
    announce(&vhost, "org.example.compose.doomed", "none", &json!({})).await;

    vhost
        .wait_queue("answers", "all good ones are answered", PATIENCE, |queue| {
            queue.ready == 5
        })
        .await;
    let answers = vhost.take("answers", 9).await;
    let bodies: Vec<Value> = answers
        .iter()
        .map(|answer| serde_json::from_slice(&answer.body).unwrap())
        .collect();
    let answer = json!({"request": "good", "done": "mutt is back in f43"});
    assert!(bodies.contains(&answer), "{bodies:?}");
    let synced = json!({"compose": "Fedora-42", "files": 2, "request": "compose-2"});
    assert!(bodies.contains(&synced), "{bodies:?}");
    vhost
        .wait_queue("releng.workers", "all is acknowledged", PATIENCE, |queue| {
            queue.ready + queue.unacknowledged == 0
        })
        .await;

    let mut events = Vec::new();
    for instance in &instances {
        let jobs = instance.json(&["jobs", "list"]).await;
        let jobs = jobs["items"].as_array().unwrap();
        assert!(!jobs.is_empty(), "both have had work");
        for job in jobs {
            let event = job["event_id"].as_str().unwrap();
            let state = if event == "bad" {
                "failed"
            } else {
                "succeeded"
            };
            assert_eq!(state, job["state"], "{job:#}");
            events.push(event.to_owned());
        }
    }
    events.sort_unstable();
    let all = [
        "bad",
        "compose-0",
        "compose-1",
        "compose-2",
        "compose-3",
        "good",
    ];
    assert_eq!(all, events.as_slice(), "each ran once, on one of them");
}

#[tokio::test]
async fn cloudevents_packs_an_order_and_passes_it_on() {
    let Some(mut books) = Server::start(CloudEvents::Newest).await else {
        return;
    };
    let project = example("cloudevents");
    let rules = project.path().join("rules/orders.yml");
    let text = fs_err::read_to_string(&rules).unwrap();
    let there = "http://127.0.0.1:8999/orders";
    assert_eq!(1, text.matches(there).count());
    fs_err::write(&rules, text.replace(there, &books.url)).unwrap();
    let service = Service::start(project.path()).await;
    let events = format!("{}/api/v1/events", service.url);
    let order = json!({"items": ["lamp", "chair"], "total": 149.9});
    let structured = client()
        .post(&events)
        .header("Content-Type", "application/cloudevents+json")
        .body(
            json!({
                "specversion": "1.0", "id": "order 7", "type": "org.example.order.placed",
                "source": "https://shop.example.org/orders", "subject": "customer/mary", "data": order,
            })
            .to_string(),
        );
    let binary = client()
        .post(&events)
        .header("Content-Type", "application/json")
        .header("ce-specversion", "1.0")
        .header("ce-id", "order%207")
        .header("ce-type", "org.example.order.placed")
        .header("ce-source", "https://shop.example.org/orders")
        .header("ce-subject", "customer/mary")
        .body(order.to_string());
    let mut answers = Vec::new();
    for request in [structured, binary] {
        let reply = request.send().await.unwrap();
        assert_eq!(202, reply.status());
        let text = reply.text().await.unwrap();
        let answer: Value = serde_json::from_str(&text).unwrap();
        answers.push(answer["events"][0].clone());
    }
    assert_eq!(answers[0]["id"], answers[1]["id"]);
    assert_eq!(true, answers[1]["duplicate"]);
    let job = answers[0]["jobs"][0].as_str().unwrap();
    let seen = books.seen().await;
    assert_eq!("order 7", seen["attributes"]["id"], "{seen:#}");
    assert_eq!(order, seen["data"], "{seen:#}");
    wait_until("the order is packed", PATIENCE, async || {
        service.json(&["jobs", "show", job]).await["state"] == "succeeded"
    })
    .await;
    service
        .lariat(&["jobs", "output", job])
        .await
        .expect(0)
        .says("packing order 7: lamp, chair");
    assert_eq!(
        "customer/mary",
        service.json(&["jobs", "show", job]).await["key"]
    );
}

/// The example with the other service at `port`.
fn chain_to(port: u16) -> TempProject {
    let project = example("chain");
    let rules = project.path().join("rules/chain.yml");
    let text = fs_err::read_to_string(&rules).unwrap();
    let there = "http://127.0.0.1:9099/";
    assert_eq!(1, text.matches(there).count());
    let here = format!("http://127.0.0.1:{port}/");
    fs_err::write(&rules, text.replace(there, &here)).unwrap();
    project
}

/// The jobs of the chain of `event`, as `rule state`.
async fn chain_jobs(service: &Service, event: &str) -> Vec<String> {
    let url = format!("{}/api/v1/events/{event}/chain", service.url);
    let reply = client().get(&url).send().await.unwrap();
    let chain: Value = reply.json().await.unwrap();
    let events = chain["events"].as_array().unwrap().clone();
    let jobs = events
        .iter()
        .flat_map(|event| event["jobs"].as_array().unwrap().clone());
    jobs.map(|job| {
        format!(
            "{} {}",
            job["rule"].as_str().unwrap(),
            job["state"].as_str().unwrap()
        )
    })
    .collect()
}

async fn commit(service: &Service) {
    service
        .lariat(&[
            "publish",
            "org.example.commit",
            r#"{"package": "kernel"}"#,
            "--id",
            "c1",
            "--wait",
        ])
        .await
        .expect(0)
        .says("building kernel");
}

#[tokio::test]
async fn chain_builds_announces_and_tells_of_what_failed() {
    // Nobody listens there: a port that was free a moment ago.
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let project = chain_to(port);
    let service = Service::start(project.path()).await;
    commit(&service).await;
    let expect = [
        "build succeeded",
        "announce failed",
        "notify-failures succeeded",
    ];
    wait_until("somebody was told", PATIENCE, async || {
        chain_jobs(&service, "c1").await == expect
    })
    .await;
    service
        .lariat(&["events", "chain", "c1"])
        .await
        .expect(0)
        .says("org.example.build.done")
        .says("lariat.job.failed");
}

/// Takes one request, answers it, and gives it back.
async fn take_request(listener: TcpListener) -> String {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut request = Vec::new();
    // The body is one flat object.
    while !request.ends_with(b"}") {
        assert_ne!(0, stream.read_buf(&mut request).await.unwrap());
    }
    let answer = b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";
    stream.write_all(answer).await.unwrap();
    String::from_utf8(request).unwrap()
}

#[tokio::test]
async fn chain_announces_what_was_built_under_a_key_of_its_own() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let project = chain_to(listener.local_addr().unwrap().port());
    let service = Service::start(project.path()).await;
    commit(&service).await;
    let request = timeout(PATIENCE, take_request(listener)).await.unwrap();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert!(
        head.starts_with("PUT /packages/kernel HTTP/1.1\r\n"),
        "{head}"
    );
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(json!({"state": "built", "commit": "c1"}), body);
    wait_until("it was announced", PATIENCE, async || {
        chain_jobs(&service, "c1").await == ["build succeeded", "announce succeeded"]
    })
    .await;
    let jobs = service.json(&["jobs", "list", "--rule", "announce"]).await;
    let key = format!(
        "idempotency-key: {}",
        jobs["items"][0]["id"].as_str().unwrap()
    );
    assert!(head.lines().any(|line| line == key), "{key}: {head}");
}
