//! Accounts, with real system users that a test makes: who steps run as, what
//! they can reach, and what is said where it is not allowed.
//!
//! A service that is root changes the user itself; any other asks sudo.

use std::os::unix::fs::PermissionsExt;

use nix::{sys::signal::Signal, unistd::User};
use serde_json::Value;
use testkit::{process::wait_until, tools};

use self::world::{Place, Service, Sudoers, Users, ansible_for, private_of, processes_of};
use crate::harness::{PATIENCE, run};

mod world;

const RULES: &str = "rules:
  - name: ann
    on: test.ann
    account: ann
    run: {command: [programs/probe]}
  - name: bob
    on: test.bob
    account: bob
    run: {command: [programs/probe]}
  - name: sleeper
    on: test.sleep
    account: ann
    run: {command: [programs/sleeper]}
    on_lost: fail
  - name: spy
    on: test.spy
    account: bob
    run: {command: [programs/spy, --, '{{ msg.uid }}', '{{ msg.home }}', '{{ msg.private }}']}
  - name: playbook
    on: test.playbook
    account: ann
    run: {playbook: who.yml, inventory: ['localhost,']}
";

/// Who it is, and everything that it was given.
const PROBE: &str = "#!/bin/sh
echo \"user=$(id --user --name) uid=$(id --user) groups=$(id --groups --name)\"
echo \"directory=$(pwd) umask=$(umask)\"
echo \"event=$(cat \"$LARIAT_EVENT_FILE\" | cmp - /dev/stdin && echo same)\"
env --null | tr '\\0' '\\n' | sed 's/^/env /'
ls /proc/self/fd | tr '\\n' ' ' | sed 's/^/descriptors /'
";

const SLEEPER: &str = "#!/bin/sh
echo secret > \"$HOME/private\"
chmod 600 \"$HOME/private\"
(setsid sleep 300 &)
echo asleep
exec sleep 300
";

/// Tries to reach what is another user's; says what it got.
const SPY: &str = "#!/bin/sh
shift
uid=$1 home=$2 private=$3
cat \"$home/private\" 2>/dev/null && echo 'REACHED a private file'
ls \"$private\" 2>/dev/null && echo 'REACHED the private directory of a step'
touch \"$private/mine\" 2>/dev/null && echo 'REACHED it for writing'
seen=0
for process in /proc/[0-9]*; do
  [ \"$(stat --format=%u \"$process\" 2>/dev/null)\" = \"$uid\" ] || continue
  seen=$((seen + 1))
  cat \"$process/environ\" >/dev/null 2>&1 && echo \"REACHED the environment of $process\"
  ls \"$process/fd/0\" >/dev/null 2>&1 && echo \"REACHED a descriptor of $process\"
  ls \"$process/fd\" >/dev/null 2>&1 && echo \"REACHED the descriptors of $process\"
  kill -0 \"${process#/proc/}\" 2>/dev/null && echo \"REACHED $process with a signal\"
done
echo \"processes $seen\"
";

const WHO: &str = "- hosts: all
  gather_facts: false
  connection: local
  tasks:
    - command: id --user --name
      register: found
    - copy: {content: '{{ found.stdout }} {{ event.id }}', dest: '{{ dest }}', mode: '0600'}
      vars: {dest: \"{{ lookup('env', 'HOME') }}/written\"}
    - debug: {msg: \"runs as {{ found.stdout }} with {{ lookup('env', 'GREETING') }}\"}
    - command: sleep 301
      when: msg.sleeps is defined
";

fn place(users: &Users, service: Option<&User>) -> Place {
    let accounts = format!(
        "accounts:
  ann: {{user: {}, env: {{GREETING: hello}}, rules: [rules/test.yml]}}
  bob: {{user: {}, rules: [rules/test.yml], limits: {{timeout: 1m}}}}
",
        users.ann.name, users.bob.name
    );
    let files = [
        ("rules/test.yml", RULES),
        ("playbooks/who.yml", WHO),
        ("accounts.yml", &accounts),
    ];
    let place = Place::new(service, &files);
    for (path, text) in [
        ("programs/probe", PROBE),
        ("programs/sleeper", SLEEPER),
        ("programs/spy", SPY),
    ] {
        place.project.write_program(path, text);
    }
    place
}

/// What a probe said about one thing.
#[track_caller]
fn line<'t>(said: &'t str, start: &str) -> &'t str {
    said.lines()
        .find(|line| line.starts_with(start))
        .unwrap_or_else(|| panic!("`{start}` is missing: {said}"))
}

/// A step is its user and has nothing of the service's.
#[track_caller]
fn check_probe(said: &str, user: &User) {
    let (name, uid) = (&user.name, user.uid);
    let expected = format!("user={name} uid={uid} groups={name}");
    assert_eq!(line(said, "user="), expected);
    assert!(line(said, "directory=").ends_with("umask=0022"), "{said}");
    assert_eq!(line(said, "event="), "event=same");
    let names: Vec<&str> = said
        .lines()
        .filter_map(|line| line.strip_prefix("env ")?.split('=').next())
        .collect();
    let known = [
        "GREETING",
        "HOME",
        "LANG",
        "LARIAT_ATTEMPT",
        "LARIAT_EVENT_FILE",
        "LARIAT_EVENT_ID",
        "LARIAT_JOB",
        "LARIAT_LEASE",
        "LARIAT_RESULT_FD",
        "LARIAT_RULE",
        "LOGNAME",
        "PATH",
        "PWD",
        "USER",
    ];
    for name in &names {
        assert!(known.contains(name), "`{name}` in {said}");
    }
    let home = format!("env HOME={}", user.dir.display());
    assert!(said.lines().any(|line| line == home), "{said}");
    // Three, the one for the result, and that of the listing.
    assert_eq!(
        line(said, "descriptors"),
        "descriptors 0 1 2 3 4 ",
        "{said}"
    );
}

/// Nothing of a step that has ended is left.
async fn nothing_is_left_of(user: &User) {
    wait_until("nothing runs as the account", PATIENCE, async || {
        processes_of(user).is_empty()
    })
    .await;
    let private = private_of(user);
    wait_until("its private files are gone", PATIENCE, async || {
        fs_err::read_dir(&private).map_or(true, |entries| entries.count() == 0)
    })
    .await;
}

/// Everything that holds whether the service is root or asks sudo.
async fn check_service(users: &Users, place: &Place, token: &str) {
    let mut service = place.serve(token).await;
    let ann = service.output_of("test.ann", "{}").await;
    check_probe(&ann, &users.ann);
    assert!(ann.contains("env GREETING=hello"), "{ann}");
    let bob = service.output_of("test.bob", "{}").await;
    check_probe(&bob, &users.bob);
    assert!(!bob.contains("GREETING"), "{bob}");
    let job = service.newest_job().await;
    assert_eq!(job["account"], "bob");
    let shown = service
        .lariat(&["jobs", "show", job["id"].as_str().unwrap()])
        .await
        .expect(0);
    shown.says("account    bob");
    nothing_is_left_of(&users.bob).await;

    check_spy(users, &service).await;
    // A killed service leaves nothing running, whosever it is.
    service.program.signal(Signal::SIGKILL);
    service.program.wait(PATIENCE).await;
    nothing_is_left_of(&users.ann).await;
}

/// While a step of one runs, one of the other reaches nothing of it.
async fn check_spy(users: &Users, service: &Service) {
    service.lariat(&["publish", "test.sleep"]).await.expect(0);
    let secret = users.ann.dir.join("private");
    wait_until("the step has begun to sleep", PATIENCE, async || {
        processes_of(&users.ann).len() >= 2 && fs_err::read(&secret).is_ok()
    })
    .await;
    let body = serde_json::json!({
        "uid": users.ann.uid.to_string(),
        "home": users.ann.dir,
        "private": private_of(&users.ann),
    });
    let spied = service.output_of("test.spy", &body.to_string()).await;
    assert!(!spied.contains("REACHED"), "{spied}");
    assert!(!line(&spied, "processes").ends_with(" 0"), "{spied}");
}

/// Once it is proven, the fork server of an account stands ready for it.
async fn check_warm(service: &Service) {
    let mut servers = Vec::new();
    wait_until("the fork server has been proven", PATIENCE, async || {
        let status = service.lariat(&["status", "--json"]).await.expect(0).json();
        servers = status["playbooks"]["servers"].as_array().unwrap().clone();
        let is_open = |server: &Value| server["state"] == "proving";
        !servers.is_empty() && !servers.iter().any(is_open)
    })
    .await;
    assert_eq!(servers.len(), 1, "{servers:?}");
    assert_eq!(servers[0]["account"], "ann");
    assert_eq!(servers[0]["state"], "ready", "{servers:?}");
}

/// A playbook runs as its account, in the account's home.
async fn check_playbook(users: &Users, place: &Place, token: &str) {
    let Some(ansible) = ansible_for(&users.ann, &place.project) else {
        return;
    };
    let config = place.project.read("lariat.yml");
    let ansible = ansible.display();
    place.project.write(
        "lariat.yml",
        &format!("{config}ansible: {{playbook_command: {ansible}}}\n"),
    );
    let mut service = place.serve(token).await;
    // Twice: what is kept for the second run is the account's as well.
    for is_warm in [false, true] {
        if is_warm {
            check_warm(&service).await;
        }
        let said = service.output_of("test.playbook", "{}").await;
        let told = format!("runs as {} with hello", users.ann.name);
        assert!(said.contains(&told), "{said}");
        let written = fs_err::read_to_string(users.ann.dir.join("written")).unwrap();
        let job = service.newest_job().await;
        let event = job["event_id"].as_str().unwrap();
        assert_eq!(written, format!("{} {event}", users.ann.name));
    }
    check_spy(users, &service).await;
    // A forked run, too, is gone with its service, and so are its files.
    let sleeps = ["publish", "test.playbook", r#"{"sleeps": true}"#];
    service.lariat(&sleeps).await.expect(0);
    wait_until("the forked playbook sleeps", PATIENCE, async || {
        let runs = |words: &str| {
            processes_of(&users.ann)
                .into_iter()
                .any(|pid| says(pid, words))
        };
        runs("--adopt") && runs("sleep\u{0}301")
    })
    .await;
    service.program.signal(Signal::SIGKILL);
    service.program.wait(PATIENCE).await;
    nothing_is_left_of(&users.ann).await;
}

/// Whether the command line of a process has these words.
fn says(pid: u32, words: &str) -> bool {
    let line = fs_err::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&line).contains(words)
}

#[tokio::test]
async fn a_service_that_is_root_runs_each_rule_as_its_account() {
    let Some(users) = Users::make("r") else {
        return;
    };
    let place = place(&users, None);
    let token = place.token();
    check_service(&users, &place, &token).await;
    check_playbook(&users, &place, &token).await;
}

#[tokio::test]
async fn a_service_that_is_not_root_asks_sudo_and_says_what_it_has_to_allow() {
    let Some(users) = Users::make("u") else {
        return;
    };
    let place = place(&users, Some(&users.service));
    let line = |user: &User| {
        format!(
            "{} ALL=({}) NOPASSWD: {} guard-exec",
            users.service.name,
            user.name,
            place.binary()
        )
    };
    let lines = [line(&users.ann), line(&users.bob)];
    let token = place.token();
    let mut service = place.serve(&token).await;
    let refused = service
        .lariat(&["publish", "test.ann", "{}", "--wait"])
        .await
        .expect(5);
    refused.says(&lines[0]);
    let job = service.newest_job().await;
    assert_eq!(job["attempts"][0]["outcome"], "unstartable");
    assert!(processes_of(&users.ann).is_empty());
    service.program.signal(Signal::SIGTERM);
    service.program.wait(PATIENCE).await;

    // What the auditor is shown is what sudo is given.
    let project = place.project.path().to_str().unwrap();
    let accounts = place.accounts();
    let args = [
        "accounts",
        "--project",
        project,
        "--accounts",
        &accounts,
        "--service-user",
        &users.service.name,
        "--json",
    ];
    let listed = run(&args, &[]).await.expect(0).json();
    let rows = listed["rows"].as_array().unwrap();
    let said: Vec<&str> = rows
        .iter()
        .map(|row| row["user"].as_str().unwrap())
        .collect();
    let (ann, bob) = (users.ann.name.as_str(), users.bob.name.as_str());
    assert_eq!(said, [ann, bob, ann, bob, ann]);

    let Some(_sudoers) = Sudoers::allow(&lines) else {
        return;
    };
    check_service(&users, &place, &token).await;
    check_playbook(&users, &place, &token).await;
}

#[tokio::test]
async fn accounts_are_not_within_reach_of_a_service_that_is_open() {
    if !nix::unistd::geteuid().is_root() {
        tools::lacking("only root can write a file that grants accounts");
        return;
    }
    let project = crate::harness::project(
        "rules: [{name: a, on: test.a, account: other, run: {command: [id]}}]",
        &[],
    );
    let root = project.path().to_str().unwrap();
    let accounts = project.join("accounts.yml");
    let accounts = accounts.to_str().unwrap();
    let grant = |file: &str| {
        project.write(
            "accounts.yml",
            &format!("accounts: {{other: {{user: daemon, rules: [{file}]}}}}"),
        );
    };
    let args = ["--project", root, "--accounts", accounts];
    let serve = [&["serve", "--listen", "127.0.0.1:0"], &args[..]].concat();
    let check = [&["check"], &args[..]].concat();
    grant("rules/test.yml");
    run(&check, &[])
        .await
        .expect(0)
        .says("as account other")
        .says("`lariat serve` will not start so");
    run(&serve, &[])
        .await
        .expect(3)
        .says("there is no token")
        .says("lariat token create");

    // The same is said to whoever starts the service and to whoever asks.
    grant("rules/other.yml");
    let not_granted = "account `other` is not granted to `rules/test.yml`";
    run(&check, &[]).await.expect(3).says(not_granted);
    run(&serve, &[]).await.expect(3).says(not_granted);
    let listed = [&["accounts"], &args[..]].concat();
    run(&listed, &[]).await.expect(3).says(not_granted);

    // A variable names the file as well, and it has to be root's alone.
    grant("rules/test.yml");
    let path = project.join("accounts.yml");
    fs_err::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
    run(
        &["check", "--project", root],
        &[("LARIAT_ACCOUNTS", accounts)],
    )
    .await
    .expect(3)
    .says("unsafe-file");
}

/// A reload takes rules and grants together, or neither.
#[tokio::test]
async fn a_reload_reads_the_accounts_again() {
    let Some(users) = Users::make("l") else {
        return;
    };
    let place = place(&users, None);
    let token = place.token();
    let service = place.serve(&token).await;
    service.output_of("test.ann", "{}").await;

    let granted = place.project.read("accounts.yml");
    place.project.write("accounts.yml", "accounts: {}");
    service.lariat(&["reload"]).await.expect(3);
    // Those of before are still in force.
    service.output_of("test.ann", "{}").await;

    // Rules that ask for nothing need nothing.
    let plain = RULES
        .replace("    account: ann\n", "")
        .replace("    account: bob\n", "");
    place.project.write("rules/test.yml", &plain);
    service.lariat(&["reload"]).await.expect(0);
    let said = service.output_of("test.ann", "{}").await;
    assert_eq!(line(&said, "user="), "user=root uid=0 groups=root");
    assert_eq!(service.newest_job().await["account"], Value::Null);

    place.project.write("accounts.yml", &granted);
    place.project.write("rules/test.yml", RULES);
    service.lariat(&["reload"]).await.expect(0);
    let said = service.output_of("test.ann", "{}").await;
    check_probe(&said, &users.ann);
}
