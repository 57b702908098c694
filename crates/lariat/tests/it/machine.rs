//! What `lariat check` says of the machine, and that `lariat serve` says the
//! same.

use nix::sys::signal::Signal;
use testkit::TempProject;

use crate::harness::{PATIENCE, Service, run};

fn certificate() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

async fn check(dir: &TempProject, code: i32) -> String {
    let project = dir.path().to_str().unwrap();
    let ran = run(&["check", "--project", project], &[]).await;
    ran.expect(code).stderr
}

fn keep_to_the_owner(dir: &TempProject, file: &str) {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::Permissions::from_mode(0o600);
    fs_err::set_permissions(dir.join(file), mode).unwrap();
}

#[tokio::test]
async fn check_says_what_serve_ends_for_because_of_its_certificate() {
    let (cert, key) = certificate();
    let (_, other) = certificate();
    let config = "listen: 127.0.0.1:0\nlisten_tls: {cert: c.pem, key: k.pem}\n";
    let dir = TempProject::new(&[
        ("lariat.yml", config),
        ("c.pem", &cert),
        ("k.pem", &key),
        ("other.pem", &other),
        ("rules/none.yml", "rules: []\n"),
    ]);
    let project = dir.path().to_str().unwrap().to_owned();
    let serve = async || run(&["serve", "--project", project.as_str()], &[]).await;

    let text = check(&dir, 3).await;
    assert!(text.contains("everybody on this machine may use"), "{text}");
    serve().await.expect(3).says("everybody on this machine");

    keep_to_the_owner(&dir, "k.pem");
    let text = check(&dir, 0).await;
    assert!(!text.contains("listen_tls"), "{text}");

    fs_err::rename(dir.join("other.pem"), dir.join("k.pem")).unwrap();
    keep_to_the_owner(&dir, "k.pem");
    let text = check(&dir, 3).await;
    assert!(text.contains("cannot be used together"), "{text}");
    serve().await.expect(3).says("cannot be used together");

    fs_err::write(dir.join("c.pem"), "nonsense").unwrap();
    let text = check(&dir, 3).await;
    assert!(text.contains("holds no certificate"), "{text}");
    serve().await.expect(3).says("holds no certificate");

    // It may be there in a moment.
    fs_err::remove_file(dir.join("c.pem")).unwrap();
    let text = check(&dir, 0).await;
    assert!(text.contains("there is no file"), "{text}");
    serve().await.expect(4).says("cannot read the certificate");
}

#[tokio::test]
async fn check_looks_at_programs_and_secrets_of_steps() {
    let rules = "rules:
  - name: r
    on: a.b
    run:
      - command: [bin/missing]
      - command: [bin/plain]
      - command: [lariat-has-no-such-program]
      - http:
          url: https://host.example/
          headers: {X-A: {file: /nowhere/token}}
";
    let dir = TempProject::new(&[
        ("lariat.yml", ""),
        ("rules/r.yml", rules),
        ("bin/plain", ""),
    ]);
    let text = check(&dir, 0).await;
    for expected in [
        "`bin/missing` is not there",
        "rules/r.yml:5:19",
        "`bin/plain` is not executable",
        "`lariat-has-no-such-program` was not found on the path",
        "cannot find `/nowhere/token`",
        "rules/r.yml:10:33",
        "4 warnings",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
}

#[tokio::test]
async fn check_looks_for_directories_of_collections() {
    let rules = "rules:
  - name: r
    on: a.b
    run:
      playbook: site.yml
      collections: [./vendor/, nowhere, site.yml, out]
";
    let dir = TempProject::new(&[
        ("lariat.yml", ""),
        ("rules/r.yml", rules),
        ("site.yml", "[]"),
        ("vendor/README", ""),
    ]);
    std::os::unix::fs::symlink("/tmp", dir.join("out")).unwrap();
    let text = check(&dir, 0).await;
    for expected in [
        "there is no directory `nowhere` in the project",
        "rules/r.yml:6:32",
        "`site.yml` is not a directory",
        "`out` leads out of the project",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    assert!(!text.contains("`vendor`"), "{text}");
}

#[tokio::test]
async fn check_warns_of_an_address_that_everybody_could_use() {
    let config = "listen: 0.0.0.0:0\n";
    let rules = "rules:\n  - {name: r, on: a.b, run: {command: [/bin/true]}}\n";
    let dir = TempProject::new(&[("lariat.yml", config), ("rules/r.yml", rules)]);
    let text = check(&dir, 0).await;
    assert!(text.contains("open-to-all"), "{text}");
    assert!(!dir.join("lariat.db").exists(), "check makes no store");

    let project = dir.path().to_str().unwrap();
    let mut service = Service::start(dir.path()).await;
    service.program.signal(Signal::SIGTERM);
    service.program.wait(PATIENCE).await;
    let text = check(&dir, 0).await;
    assert!(text.contains("its store has no token"), "{text}");

    let create = ["token", "create", "--role", "admin", "--name", "ann"];
    let place = ["--project", project];
    run(&[&create[..], &place].concat(), &[]).await.expect(0);
    let text = check(&dir, 0).await;
    assert!(!text.contains("open-to-all"), "{text}");
}

#[tokio::test]
async fn a_directory_of_the_store_is_not_made() {
    let config = "listen: 127.0.0.1:0\nstore: sqlite:mistyped/x.db\n";
    let dir = TempProject::new(&[("lariat.yml", config), ("rules/r.yml", "rules: []\n")]);
    let text = check(&dir, 3).await;
    assert!(text.contains("there is no directory"), "{text}");
    let project = dir.path().to_str().unwrap();
    run(&["serve", "--project", project], &[])
        .await
        .expect(3)
        .says("there is no directory for the store");
    assert!(!dir.join("mistyped").exists());
}

#[tokio::test]
async fn a_project_without_rule_files_is_told_so() {
    let dir = TempProject::new(&[("lariat.yml", "")]);
    let text = check(&dir, 0).await;
    assert!(text.contains("there is no rule file in"), "{text}");
    assert!(text.contains("0 rules checked"), "{text}");
}

#[tokio::test]
async fn doubts_about_some_rules_are_told_beside_errors_of_others() {
    let rules =
        "rules:\n  - {name: r, on: lariat.job.faild, run: {command: [bin/x]}}\n  - {name: s}\n";
    let dir = TempProject::new(&[("lariat.yml", ""), ("rules/r.yml", rules)]);
    let text = check(&dir, 3).await;
    for expected in ["no-source", "`bin` is not there", "missing-key"] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
}
