//! Tokens from the command line, with and without a service, and from other
//! machines.

use std::os::unix::fs::PermissionsExt;

use testkit::TempProject;

use crate::harness::{Ran, Service, example, run};

/// `lariat token … --project DIR`.
async fn token(project: &TempProject, args: &[&str], env: &[(&str, &str)]) -> Ran {
    let place = ["--project", project.path().to_str().unwrap()];
    run(&[&["token"], args, &place].concat(), env).await
}

/// Makes a token and gives its secret.
async fn create(project: &TempProject, role: &str, env: &[(&str, &str)]) -> String {
    let args = ["create", "--role", role, "--name", role];
    let made = token(project, &args, env).await.expect(0);
    let secret = made.stdout.trim().to_owned();
    assert!(secret.starts_with("lariat_"), "{}", made.stdout);
    assert!(!made.stderr.contains(&secret), "it is shown once");
    secret
}

#[tokio::test]
async fn tokens_are_made_on_the_store_and_asked_of_the_service_that_has_it() {
    let project = example("hello");
    // The project that was named goes before an address in the environment.
    let elsewhere = [("LARIAT_URL", "http://127.0.0.1:1")];
    let admin = create(&project, "admin", &elsewhere).await;
    token(
        &project,
        &["create", "--role", "viewer", "--name", "admin"],
        &[],
    )
    .await
    .expect(1)
    .says("is there already");
    token(
        &project,
        &["create", "--role", "viewer", "--name", "api"],
        &[],
    )
    .await
    .expect(2);
    let service = Service::start(project.path()).await;

    // The store is the service's now, which wants to see a token.
    token(&project, &["list"], &[])
        .await
        .expect(1)
        .says("LARIAT_TOKEN");
    let env = [("LARIAT_TOKEN", admin.as_str())];
    let viewer = create(&project, "viewer", &env).await;
    let listed = token(&project, &["list", "--json"], &env).await.expect(0);
    assert!(!listed.stdout.contains(&viewer));
    let names: Vec<_> = listed.json()["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|token| token["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["viewer", "admin"]);

    // A role may do so much and no more, and the file does as the variable.
    let file = project.path().join("viewer.token");
    fs_err::write(&file, format!("{viewer}\n")).unwrap();
    let file = ["--token-file", file.to_str().unwrap()];
    let ask = async |args: &[&str]| service.lariat(&[&file, args].concat()).await;
    ask(&["events", "list"]).await.expect(0);
    ask(&["reload"])
        .await
        .expect(1)
        .says("needs the role `operator`");
    service
        .lariat(&["events", "list"])
        .await
        .expect(1)
        .says("needs a token");
    let url = [("LARIAT_URL", service.url.as_str()), env[0]];
    run(&["token", "revoke", "viewer"], &url).await.expect(0);
    ask(&["events", "list"])
        .await
        .expect(1)
        .says("was revoked at");
    let audit = run(&["audit", "--json"], &url).await.expect(0).json();
    let shown: Vec<String> = audit["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| entry["action"] != "login_failed")
        .map(|entry| format!("{} {} {}", entry["by"], entry["action"], entry["target"]))
        .collect();
    assert_eq!(
        shown,
        [
            r#""admin" "token_revoke" "viewer""#,
            r#""admin" "token_create" "viewer""#,
            r#""local" "token_create" "admin""#,
        ]
    );
    run(&["status"], &[url[0], ("LARIAT_TOKEN", "lariat_")])
        .await
        .expect(2)
        .says("LARIAT_TOKEN");
}

#[tokio::test]
async fn another_machine_comes_in_with_a_token_over_tls() {
    let project = example("hello");
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    project.write("cert.pem", &made.cert.pem());
    project.write("key.pem", &made.signing_key.serialize_pem());
    project.write("lariat.yml", "listen_tls: {cert: cert.pem, key: key.pem}\n");
    let dir = project.path().to_str().unwrap();
    let key = project.path().join("key.pem");
    let allow = |mode| fs_err::set_permissions(&key, PermissionsExt::from_mode(mode)).unwrap();
    let serve = ["serve", "--project", dir, "--listen", "0.0.0.0:0"];
    allow(0o644);
    run(&serve, &[]).await.expect(3).says("mode 0644");
    allow(0o600);
    run(&serve, &[]).await.expect(3).says("there is no token");

    let admin = create(&project, "admin", &[]).await;
    let service = Service::start_with(project.path(), &[], &[]).await;
    assert!(service.url.starts_with("https://"), "{}", service.url);
    let ca = project.path().join("cert.pem");
    let ca = ca.to_str().unwrap();
    let env = [
        ("LARIAT_URL", service.url.as_str()),
        ("LARIAT_TOKEN", admin.as_str()),
    ];
    run(&["--ca", ca, "status"], &env).await.expect(0);
    run(&["status"], &[&env[..], &[("LARIAT_CA", ca)]].concat())
        .await
        .expect(0);
    run(&["status"], &env).await.expect(4);

    // A certificate of an authority is none of a service.
    let mut authority = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let signing_key = rcgen::KeyPair::generate().unwrap();
    let made = authority.self_signed(&signing_key).unwrap();
    let other = example("hello");
    other.write("cert.pem", &made.pem());
    other.write("key.pem", &signing_key.serialize_pem());
    other.write("lariat.yml", "listen_tls: {cert: cert.pem, key: key.pem}\n");
    let key = other.path().join("key.pem");
    fs_err::set_permissions(&key, PermissionsExt::from_mode(0o600)).unwrap();
    let misused = Service::start_with(other.path(), &[], &[]).await;
    let ca = other.path().join("cert.pem");
    let asked = [
        "--url",
        &misused.url,
        "--ca",
        ca.to_str().unwrap(),
        "status",
    ];
    run(&asked, &env[1..]).await.expect(4).says("CA:FALSE");

    let plain = service.url.replace("https://", "http://");
    run(&["--url", &plain, "status"], &env).await.expect(4);
}
