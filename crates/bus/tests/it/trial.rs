//! What is found out without changing anything.

use bus::amqp::{Declare, QueueSettings, try_sink, try_source};

use crate::{shared, sink_settings, source_settings};

#[tokio::test]
async fn a_trial_says_what_is_there_and_makes_nothing() {
    let Some((broker, vhost)) = shared("trial").await else {
        return;
    };
    let mut settings = source_settings(&vhost, broker.port());
    settings.queue = QueueSettings::named("work");
    settings.bindings = vec!["org.#".to_owned()];
    let tried = try_source(&settings).await.unwrap();
    assert_eq!(broker.port(), tried.peer.port);
    assert_eq!(
        ["queue `work` will be made", "exchange `amq.topic` is there"],
        *tried.found
    );
    assert!(vhost.queue("work").await.is_none());

    settings.queue.declare = Declare::Passive;
    let error = try_source(&settings).await.unwrap_err().to_string();
    assert!(error.contains("queue `work` does not exist"), "{error}");
    vhost.declare("work", "quorum").await;
    let tried = try_source(&settings).await.unwrap();
    assert_eq!("queue `work` is there", tried.found[0]);

    let mut settings = sink_settings(&vhost, broker.port());
    settings.encoding.exchange = "nowhere".to_owned();
    let error = try_sink(&settings).await.unwrap_err().to_string();
    assert!(error.contains("cannot find exchange `nowhere`"), "{error}");
    settings.connection.vhost = "gone".to_owned();
    let error = try_sink(&settings).await.unwrap_err().to_string();
    assert!(error.contains("no host can be used"), "{error}");
    assert!(error.contains("virtual host `gone`"), "{error}");
}
