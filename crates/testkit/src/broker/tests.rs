use nix::sys::signal::Signal;
use serde_json::json;

use super::*;
use crate::{
    Program,
    process::{processes_with, wait_gone},
};

const DEADLINE: Duration = Duration::from_secs(30);

/// Makes a run of this binary hold a server until it is killed.
const HOLD: &str = "LARIAT_HOLD_A_BROKER";

#[tokio::test]
async fn a_message_goes_in_and_comes_out() {
    let Some(broker) = Broker::shared().await else {
        return;
    };
    let vhost = broker.vhost("round").await;
    vhost.declare("q", "quorum").await;
    vhost.bind("q", "amq.topic", "a.#").await;
    let message = Outgoing {
        exchange: "amq.topic",
        routing_key: "a.b",
        body: b"\xff{}",
        properties: json!({"message_id": "m", "headers": {"k": "v"}}),
    };
    assert!(vhost.publish(&message).await);
    let other = Outgoing {
        routing_key: "b",
        ..message
    };
    assert!(!vhost.publish(&other).await);
    vhost
        .wait_queue("q", "a message is ready", DEADLINE, |queue| {
            queue.ready == 1 && queue.kind == "quorum"
        })
        .await;
    let taken = vhost.take("q", 5).await;
    assert_eq!(1, taken.len());
    assert_eq!(b"\xff{}", taken[0].body.as_slice());
    assert_eq!("m", taken[0].properties["message_id"]);
    assert_eq!("a.b", taken[0].routing_key);
}

#[tokio::test]
async fn users_and_queues_come_and_go() {
    let Some(broker) = Broker::shared().await else {
        return;
    };
    let (vhost, admin) = (broker.vhost("rights").await, broker.admin());
    let user = vhost.user("mary").await;
    admin.put_user(&user, "changed").await;
    admin.permit(vhost.name(), &user, ["^$", "^$", ".*"]).await;
    admin.delete_user(&user).await;
    vhost.declare("q", "classic").await;
    admin.purge(vhost.name(), "q").await;
    admin.delete_queue(vhost.name(), "q").await;
    assert_eq!(None, vhost.queue("q").await);
    assert!(admin.connections().await.is_empty());
    assert!(broker.ctl(&["list_vhosts"]).await.contains(vhost.name()));
    admin.delete_vhost(vhost.name()).await;
}

#[tokio::test]
async fn a_killed_server_comes_back_with_its_data() {
    let options = BrokerOptions {
        tls: true,
        consumer_timeout: Some(Duration::from_secs(60)),
        ..BrokerOptions::default()
    };
    let Some(broker) = Broker::start(&options).await else {
        return;
    };
    assert!(broker.is_open(broker.tls_port()).await);
    let (certificate, key) = broker.certificates().client("mary");
    assert!(certificate.is_file() && key.is_file());
    let vhost = broker.vhost("again").await;
    vhost.declare("q", "quorum").await;
    let message = Outgoing {
        routing_key: "q",
        ..Outgoing::default()
    };
    assert!(vhost.publish(&message).await);
    broker.stop_hard().await;
    assert!(!broker.is_open(broker.port()).await);
    broker.start_again().await;
    vhost
        .wait_queue("q", "the message is there again", DEADLINE, |queue| {
            queue.ready == 1
        })
        .await;
    let marker = broker.marker().to_owned();
    drop(broker);
    wait_gone(&marker, DEADLINE).await;
    assert!(!Path::new(&marker).exists());
}

/// Only of use to the test below, which runs it in a process of its own.
#[tokio::test]
async fn holds_a_server_for_another_test() {
    if std::env::var_os(HOLD).is_none() {
        return;
    }
    let broker = Broker::shared().await.expect("the other test has looked");
    crate::tools::say(&format!("listening on {}", broker.marker()));
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_server_dies_with_the_process_that_started_it() {
    if Broker::shared().await.is_none() {
        return;
    }
    let this = std::env::current_exe().unwrap();
    let args = [
        "--exact",
        "--nocapture",
        "broker::tests::holds_a_server_for_another_test",
    ];
    let mut program = Program::start(&this, &args, &[(HOLD, "1")]);
    let marker = program.wait_listening(START).await;
    assert!(!processes_with(&marker).is_empty());
    program.signal(Signal::SIGKILL);
    program.wait(DEADLINE).await;
    wait_gone(&marker, DEADLINE).await;
    assert!(!Path::new(&marker).exists());
}
