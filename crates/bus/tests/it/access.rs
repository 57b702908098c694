//! Who may connect, and what is said to who may not.

use std::path::Path;

use bus::amqp::{AmqpTls, Auth, Identity, Secret};
use model::{link::LinkState, ports::transport::Source};
use testkit::{Broker, BrokerOptions};

use crate::{
    SOON, at, deliveries, publish, shared, sink, sink_settings, source, source_is, source_says,
    source_settings,
};

fn plain(username: &str, password: &str) -> Auth {
    Auth::Plain {
        username: username.to_owned(),
        password: Secret::new(password),
    }
}

#[tokio::test]
async fn a_wrong_password_is_named_and_tried_until_it_is_right() {
    let Some((broker, vhost)) = shared("password").await else {
        return;
    };
    let user = vhost.user("fedora").await;
    let mut settings = source_settings(&vhost, broker.port());
    settings.connection.auth = plain(&user, "tomorrow");
    let source = source(settings);
    let port = broker.port();
    let words = format!("`127.0.0.1:{port}` refused the credentials of `{user}`");
    source_says(&source, &words).await;
    let status = source.status();
    let detail = status.detail.unwrap();
    assert!(
        detail.contains("check `username` and `password`"),
        "{detail}"
    );
    assert!(!detail.contains("tomorrow"), "{detail}");
    assert_eq!(0, status.losses);
    broker.admin().put_user(&user, "tomorrow").await;
    source_is(&source, LinkState::Connected, SOON).await;
    broker.admin().delete_user(&user).await;
}

#[tokio::test]
async fn a_virtual_host_that_is_missing_is_named() {
    let Some((broker, vhost)) = shared("vhost").await else {
        return;
    };
    let mut settings = source_settings(&vhost, broker.port());
    settings.connection.vhost = "nowhere".to_owned();
    let source = source(settings);
    source_says(&source, "virtual host `nowhere`").await;
}

#[tokio::test]
async fn a_permission_that_is_missing_is_named() {
    let Some((broker, vhost)) = shared("permission").await else {
        return;
    };
    let user = vhost.user("reader").await;
    broker
        .admin()
        .permit(vhost.name(), &user, ["", "", ".*"])
        .await;
    let mut settings = source_settings(&vhost, broker.port());
    settings.connection.auth = plain(&user, &user);
    let source = source(settings);
    source_says(&source, "the user needs the `configure` permission").await;
    vhost.declare("work", "quorum").await;
    source_says(&source, "not allow to bind queue `work`").await;
    vhost.bind("work", "amq.topic", "org.example.#").await;
    broker
        .admin()
        .permit(vhost.name(), &user, ["", "work", ".*"])
        .await;
    source_is(&source, LinkState::Connected, SOON).await;
    broker.admin().delete_user(&user).await;
}

#[tokio::test]
async fn hosts_are_tried_in_their_order() {
    let Some((broker, vhost)) = shared("hosts").await else {
        return;
    };
    let mut settings = source_settings(&vhost, broker.port());
    // Nothing listens on port 1.
    settings.connection.hosts = vec![at(1), at(broker.port()), at(2)];
    let source = source(settings);
    source_is(&source, LinkState::Connected, SOON).await;
    let peer = source.status().peer;
    assert_eq!(Some(format!("127.0.0.1:{}", broker.port())), peer);
}

fn read(path: &Path) -> Vec<u8> {
    fs_err::read(path).unwrap()
}

#[tokio::test]
async fn a_client_certificate_is_enough_and_a_foreign_server_is_refused() {
    let options = BrokerOptions {
        tls: true,
        ..BrokerOptions::default()
    };
    let Some(broker) = Broker::start(&options).await else {
        return;
    };
    let vhost = broker.vhost("tls").await;
    broker.admin().put_user("robot", "unused").await;
    let all = [".*", ".*", ".*"];
    broker.admin().permit(vhost.name(), "robot", all).await;
    let (cert, key) = broker.certificates().client("robot");
    let tls = AmqpTls {
        ca: Some(read(&broker.certificates().ca)),
        identity: Some(Identity {
            cert: read(&cert),
            key: Secret::new(String::from_utf8(read(&key)).unwrap()),
        }),
    };

    let mut settings = source_settings(&vhost, broker.tls_port());
    settings.connection.auth = Auth::External;
    settings.connection.tls = Some(tls.clone());
    let trusting = source(settings.clone());
    source_is(&trusting, LinkState::Connected, SOON).await;
    let mut out = sink_settings(&vhost, broker.tls_port());
    out.connection = settings.connection.clone();
    publish(&sink(out), 0..3).await;
    deliveries(&trusting, 3).await;
    let connections = broker.admin().connections().await;
    assert!(connections.iter().all(|one| one.user == "robot"));

    // What the system trusts does not include this authority; nor does a
    // certificate that is not an authority's vouch for the server.
    for ca in [None, Some(read(&cert))] {
        let mut settings = settings.clone();
        settings.connection.tls = Some(AmqpTls { ca, ..tls.clone() });
        let doubting = source(settings);
        source_says(&doubting, "the TLS handshake with").await;
    }

    // Without a certificate there is nothing to take the name from.
    let mut settings = source_settings(&vhost, broker.tls_port());
    settings.connection.auth = plain("guest", "wrong");
    settings.connection.tls = Some(AmqpTls {
        identity: None,
        ..tls
    });
    let nobody = source(settings);
    let words = "refused the credentials of `guest`";
    source_says(&nobody, words).await;
}
