//! What the instances on one queue tell each other.

use std::time::Duration;

use bus::amqp::{AmqpSource, AmqpSourceSettings, Auth, Secret};
use model::{
    id::EventId,
    link::{AckMode, FleetNote, FleetWord, LinkState, Received, Talk},
    ports::transport::Source,
};
use testkit::{Vhost, process::wait_until};

use crate::{SOON, receive, shared, source, source_is, source_settings};

fn member(vhost: &Vhost, port: u16, worker: &str) -> AmqpSourceSettings {
    AmqpSourceSettings {
        worker: worker.parse().unwrap(),
        ack: AckMode::Done,
        takeover: Duration::from_secs(20),
        ..source_settings(vhost, port)
    }
}

fn ids(count: usize) -> Vec<EventId> {
    (0..count)
        .map(|number| format!("2026-{number}").parse().unwrap())
        .collect()
}

async fn talk_is(source: &AmqpSource, talk: Talk) {
    let name = format!("talk is {talk:?}");
    wait_until(&name, SOON, async || source.talk() == talk).await;
}

#[tokio::test]
async fn instances_on_one_queue_hear_each_other() {
    let Some((broker, vhost)) = shared("fleet").await else {
        return;
    };
    let first = source(member(&vhost, broker.port(), "first"));
    let second = source(member(&vhost, broker.port(), "second"));
    for member in [&first, &second] {
        source_is(member, LinkState::Connected, SOON).await;
    }
    wait_until("both listen", SOON, async || {
        broker
            .admin()
            .bindings_of(vhost.name(), "lariat.fleet.work")
            .await
            == 2
    })
    .await;
    for member in [&first, &second] {
        talk_is(member, Talk::Heard).await;
    }
    // More than fit into one message.
    let note = FleetNote {
        from: "first".parse().unwrap(),
        about: FleetWord::Ask,
        events: ids(250),
    };
    first.tell(note.clone()).await;
    for member in [&first, &second] {
        let mut heard = Vec::new();
        while heard.len() < 250 {
            let Received::Note(part) = receive(member).await else {
                panic!("something else than a note");
            };
            assert_eq!(note.from, part.from);
            assert_eq!(FleetWord::Ask, part.about);
            heard.extend(part.events);
        }
        assert_eq!(note.events, heard);
    }
    first.close().await;
    second.close().await;
}

/// Whoever may not hear cannot be asked, and whoever may not speak cannot
/// answer.
#[tokio::test]
async fn a_source_works_where_notes_are_forbidden() {
    let nothing = ["work", "work", "work|amq.topic"];
    let not_speaking = [
        "work|amq.gen",
        "work|amq.gen",
        "work|amq.gen|amq.topic|amq.direct",
    ];
    for rights in [nothing, not_speaking] {
        let Some((broker, vhost)) = shared("forbidden").await else {
            return;
        };
        let user = vhost.user("worker").await;
        broker.admin().permit(vhost.name(), &user, rights).await;
        let mut settings = member(&vhost, broker.port(), "lonely");
        settings.connection.auth = Auth::Plain {
            username: user.clone(),
            password: Secret::new(user.clone()),
        };
        let source = source(settings);
        source_is(&source, LinkState::Connected, SOON).await;
        talk_is(&source, Talk::Refused).await;
        let note = FleetNote {
            from: "lonely".parse().unwrap(),
            about: FleetWord::Mine,
            events: ids(1),
        };
        source.tell(note).await;
        source.close().await;
        assert_eq!(0, source.status().losses);
        broker.admin().delete_user(&user).await;
    }
}

#[tokio::test]
async fn nothing_is_heard_while_there_is_no_connection() {
    let Some((broker, vhost)) = shared("mute").await else {
        return;
    };
    let source = source(member(&vhost, broker.port(), "only"));
    assert_eq!(Talk::Silent, source.talk());
    talk_is(&source, Talk::Heard).await;
    broker.admin().delete_vhost(vhost.name()).await;
    talk_is(&source, Talk::Silent).await;
    source.close().await;
}
