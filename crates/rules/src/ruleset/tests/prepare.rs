//! Steps as workers get them.

use std::time::Duration;

use model::{
    action::{CommandCall, PlaybookCall, PublishCall, StepCall},
    event::Severity,
    id::JobId,
    json::Object,
    playbook::{Connection, Escalation, SecretPlace, VaultIdentity},
    topic::Topic,
};
use serde_json::{Value, json};

use super::{event, rule, rules};
use crate::{Prepared, StepScope};

#[track_caller]
pub(super) fn prepare(run: &str, body: &str) -> Result<Prepared, String> {
    let rules = rules(&rule(&format!("run: {run}")));
    let event = event("org.example.hello", body);
    let job: JobId = "0192-ab".parse().unwrap();
    let result: Object = serde_json::from_value(json!({"host": "web7"})).unwrap();
    let scope = StepScope {
        event: &event,
        job: &job,
        attempt: 2,
        result: Some(&result),
    };
    rules
        .rules()
        .next()
        .unwrap()
        .prepare(0, &scope)
        .map_err(|error| error.to_string())
}

#[track_caller]
pub(super) fn call(run: &str, body: &str) -> StepCall {
    match prepare(run, body) {
        Ok(Prepared::Run { call, .. }) => call,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_playbook_keeps_types_and_resolves_names() {
    let run = "{playbook: '{{ event.topic }}.yml', inventory: [inventory/prod/, web1], \
               limit: '{{ msg.hosts }}', tags: [a, '{{ msg.tag }}'], check: true, forks: 5, \
               verbosity: 2, vault_password_file: vault.txt, warm: false, \
               vars: {n: '{{ msg.n }}', s: 'n={{ msg.n }}', j: '{{ job }}/{{ attempt }}', \
               r: '{{ result.host }}', whole: '{{ msg }}'}}";
    let run = run.replace("web1", "'web1,web2'");
    let body = r#"{"hosts": ["web1", "web2"], "tag": "b", "n": 1.50}"#;
    let expect = PlaybookCall {
        playbook: "playbooks/org.example.hello.yml".to_owned(),
        inventory: vec!["inventory/prod".to_owned(), "web1,web2,".to_owned()],
        limit: Some("web1,web2".to_owned()),
        tags: vec!["a".to_owned(), "b".to_owned()],
        check: true,
        forks: Some(5),
        verbosity: 2,
        vault_password_files: vec!["vault.txt".to_owned()],
        cold: true,
        vars: serde_json::from_str(
            r#"{"n": 1.50, "s": "n=1.50", "j": "0192-ab/2", "r": "web7",
                "whole": {"hosts": ["web1", "web2"], "tag": "b", "n": 1.50}}"#,
        )
        .unwrap(),
        ..PlaybookCall::default()
    };
    assert_eq!(StepCall::Playbook(expect), call(&run, body));
}

/// Why a step with these keys cannot be rendered for this body.
#[track_caller]
fn refused(keys: &str, body: &str) -> String {
    prepare(&format!("{{playbook: site.yml, {keys}}}"), body).unwrap_err()
}

#[test]
fn a_step_names_its_hosts_itself() {
    let hosts = |keys: &str, body: &str| {
        let run = format!("{{playbook: site.yml, {keys}}}");
        let StepCall::Playbook(found) = call(&run, body) else {
            panic!("no playbook");
        };
        let groups = found.hosts.into_iter().map(|group| {
            let name = group.name.unwrap_or_default();
            let hosts = group.hosts.into_iter();
            let hosts = hosts.map(|(name, vars)| format!("{name}{}", json!(vars)));
            let hosts: Vec<String> = hosts.collect();
            format!("{name}[{}]{}", hosts.join(" "), json!(group.vars))
        });
        groups.collect::<Vec<String>>().join(" ")
    };
    let body = r#"{"all": ["web1", "2001:db8::7"], "one": "db1", "ip": "192.0.2.7", "port": 2222}"#;
    assert_eq!(
        "[web1{} 2001:db8::7{} fixed{}]{}",
        hosts("hosts: ['{{ msg.all }}', fixed, 'web1']", body)
    );
    assert_eq!(
        "[web1{} db1{}]{}",
        hosts("hosts: '{{ msg.all[0] }},{{ msg.one }},'", body)
    );
    assert_eq!(
        r#"[a{} b{"ansible_host":"192.0.2.7","ansible_port":2222,"n":[1,"db1"]}]{}"#,
        hosts(
            "hosts: {a: , b: {ansible_host: '{{ msg.ip }}', ansible_port: '{{ msg.port }}', \
             n: [1, '{{ msg.one }}']}}",
            body
        )
    );
    assert_eq!(
        r#"[x{}]{} web[web1{} 2001:db8::7{}]{"tier":"db1"} [y{}]{"z":1}"#,
        hosts(
            "hosts: x, inventory: [inventory/test, \
             {web: {hosts: '{{ msg.all }}', vars: {tier: '{{ msg.one }}'}}, \
             all: {hosts: y, vars: {z: 1}}}]",
            body
        )
    );
}

/// None of these may become a host, and none may become every host.
#[test]
fn hosts_of_an_event_are_names_and_nothing_else() {
    for host in [
        "-x",
        "a b",
        "@file",
        "{{ x }}",
        "../x",
        "a;b",
        "web[1:9]",
        "~re",
        "!x",
        "ünï",
        "all",
        "ungrouped",
        "",
        ",",
        "a\nb",
    ] {
        let body = json!({"h": host}).to_string();
        let why = refused("hosts: ['{{ msg.h }}']", &body);
        assert!(why.starts_with("`hosts`: "), "{host:?}: {why}");
    }
    let empty = r#"{"h": [], "ip": "x;y", "two": "a,b", "port": 70000}"#;
    assert_eq!(
        "`hosts`: there is no host in it",
        refused("hosts: '{{ msg.h }}'", empty)
    );
    for (key, why) in [
        ("ansible_host: '{{ msg.ip }}'", "`ansible_host`"),
        ("ansible_host: '{{ msg.two }}'", "`ansible_host`"),
        ("ansible_port: '{{ msg.port }}'", "`ansible_port`"),
    ] {
        let found = refused(&format!("hosts: {{a: {{{key}}}}}"), empty);
        assert!(found.contains(why), "{found}");
    }
}

/// `--limit=` and no `--tags` mean everything.
#[test]
fn an_empty_list_narrows_nothing_and_is_refused() {
    for key in ["limit", "tags"] {
        assert_eq!(
            format!("`{key}`: the list is empty, which Ansible would take for everything"),
            refused(&format!("{key}: '{{{{ msg.x }}}}'"), r#"{"x": []}"#)
        );
    }
}

#[test]
fn what_is_fixed_reaches_the_call() {
    let run = "{playbook: site.yml, become: true, become_user: app, become_method: sudo, \
               become_password: {env: BECOME}, user: deploy, 'connection': ssh, \
               connection_timeout: 30, private_key: {command: [pass, show, key]}, \
               connection_password: {file: /etc/lariat/password}, start_at_task: 'third one', \
               flush_cache: true, force_handlers: true, collections: [./vendor/, collections], \
               vault: [{id: prod, file: /etc/lariat/vault}, {env: VAULT}], \
               env: {ANSIBLE_PIPELINING: 'True', HTTP_PROXY: 'http://proxy:3128'}}";
    let file = |path: &str| SecretPlace::File(path.into());
    let variable = |name: &str| SecretPlace::Variable(name.to_owned());
    let command = ["pass", "show", "key"].map(str::to_owned).to_vec();
    let expect = PlaybookCall {
        playbook: "playbooks/site.yml".to_owned(),
        start_at_task: Some("third one".to_owned()),
        flush_cache: true,
        force_handlers: true,
        escalation: Escalation {
            always: true,
            user: Some("app".to_owned()),
            method: Some("sudo".to_owned()),
            password: Some(variable("BECOME")),
        },
        connection: Connection {
            user: Some("deploy".to_owned()),
            plugin: Some("ssh".to_owned()),
            timeout: Some(30),
            private_key: Some(SecretPlace::Command(command)),
            password: Some(file("/etc/lariat/password")),
        },
        vault: vec![
            VaultIdentity {
                id: "prod".to_owned(),
                secret: file("/etc/lariat/vault"),
            },
            VaultIdentity {
                id: "default".to_owned(),
                secret: variable("VAULT"),
            },
        ],
        collections: vec!["vendor".to_owned(), "collections".to_owned()],
        env: [
            ("ANSIBLE_PIPELINING", "True"),
            ("HTTP_PROXY", "http://proxy:3128"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into(),
        ..PlaybookCall::default()
    };
    assert_eq!(StepCall::Playbook(expect), call(run, "{}"));
}

#[test]
fn a_command_keeps_its_arguments_apart() {
    let run = "{command: [scripts/run.sh, '{{ msg.a }}', 'x={{ msg.a }}'], \
               env: {A: '{{ msg.a }}', B: plain}, chdir: scripts, detach: true}";
    let hostile = "$(id); `id` {{ 7*7 }} 'x\" \\n";
    let body = json!({"a": hostile}).to_string();
    let StepCall::Command(CommandCall {
        argv,
        env,
        chdir,
        detach,
    }) = call(run, &body)
    else {
        panic!("no command")
    };
    assert_eq!(
        vec![
            "scripts/run.sh".to_owned(),
            hostile.to_owned(),
            format!("x={hostile}")
        ],
        argv
    );
    assert_eq!(hostile, env["A"]);
    assert_eq!("plain", env["B"]);
    assert_eq!(Some("scripts"), chdir.as_deref());
    assert!(detach);
}

#[test]
fn what_is_published_keeps_its_types() {
    let run = "{publish: {sink: bus, topic: 'org.example.{{ msg.state }}', severity: '{{ msg.how }}', \
               headers: {n: '{{ msg.n }}', job: '{{ job }}', fixed: true}, \
               body: {n: '{{ msg.n }}', text: 'n={{ msg.n }}', all: ['{{ msg }}'], r: '{{ result.host }}', f: 2.50}}}";
    let body = r#"{"state": "done", "how": "error", "n": 1.50}"#;
    let expect = PublishCall {
        sink: Some("bus".parse().unwrap()),
        topic: "org.example.done".parse().unwrap(),
        severity: Severity::Error,
        headers: serde_json::from_str(r#"{"n": 1.50, "job": "0192-ab", "fixed": true}"#).unwrap(),
        body: serde_json::from_str(
            r#"{"n": 1.50, "text": "n=1.50", "all": [{"state": "done", "how": "error", "n": 1.50}],
                "r": "web7", "f": 2.50}"#,
        )
        .unwrap(),
    };
    assert_eq!(StepCall::Publish(expect), call(run, body));
}

#[test]
fn publishing_has_defaults() {
    let Ok(Prepared::Run { call, timeout, .. }) =
        prepare("{publish: {sink: bus, topic: a.b}}", "[1]")
    else {
        panic!("no call")
    };
    let expect = PublishCall {
        sink: Some("bus".parse().unwrap()),
        topic: "a.b".parse().unwrap(),
        severity: Severity::Info,
        headers: Object::new(),
        body: json!({}),
    };
    assert_eq!(StepCall::Publish(expect.clone()), call);
    assert_eq!(Duration::from_secs(60), timeout);
    let follow_up = PublishCall {
        sink: None,
        ..expect
    };
    let Ok(Prepared::Run { call, .. }) = prepare("{publish: {topic: a.b}}", "[1]") else {
        panic!("no call")
    };
    assert_eq!(StepCall::Publish(follow_up), call);
}

#[track_caller]
fn check_refused(keys: &str, body: &str, expect: &str) {
    let run = format!("{{publish: {{sink: bus, {keys}}}}}");
    assert_eq!(Err(expect.to_owned()), prepare(&run, body));
}

#[test]
fn what_an_event_says_is_restricted_where_it_means_something() {
    check_refused(
        "topic: '{{ msg }}'",
        r#""lariat.job.done""#,
        "`topic`: \"lariat.job.done\" is refused: topics that start with `lariat` are the engine's own",
    );
    check_refused(
        "topic: 'a.{{ msg }}'",
        r#""x y""#,
        "`topic`: \"a.x y\" is refused: the word \"x y\" may not contain ' '",
    );
    check_refused(
        "topic: a, severity: '{{ msg }}'",
        r#""loud""#,
        "`severity`: \"loud\" is refused: severity is one of debug, info, warning, error",
    );
    check_refused(
        "topic: a, headers: {x: '{{ msg }}'}",
        "[1]",
        "`headers`: `x`: expected text, a number or a boolean",
    );
    check_refused(
        "topic: a, body: {x: '{{ msg.none }}'}",
        "{}",
        "`body`: `x`: `msg.none` is undefined",
    );
}

#[test]
fn limits_have_defaults_and_are_kept() {
    let Ok(Prepared::Run {
        timeout,
        grace,
        output_cap,
        ..
    }) = prepare("{playbook: site.yml}", "{}")
    else {
        panic!("no call")
    };
    assert_eq!(
        (
            Duration::from_secs(3_600),
            Duration::from_secs(10),
            10 << 20
        ),
        (timeout, grace, output_cap)
    );
    let own = "{playbook: site.yml, timeout: 90s, grace: 1s, output_cap: 1KiB}";
    let Ok(Prepared::Run {
        timeout,
        grace,
        output_cap,
        ..
    }) = prepare(own, "{}")
    else {
        panic!("no call")
    };
    assert_eq!(
        (Duration::from_secs(90), Duration::from_secs(1), 1 << 10),
        (timeout, grace, output_cap)
    );
}

#[test]
fn what_cannot_start_says_what_was_looked_for() {
    assert_eq!(
        Err("there is no playbook `none.yml`: neither `playbooks/none.yml` nor `none.yml` is in the project".to_owned()),
        prepare("{playbook: '{{ msg.p }}'}", r#"{"p": "none.yml"}"#)
    );
    assert!(matches!(
        prepare(
            "{playbook: '{{ msg.p }}', missing: skip}",
            r#"{"p": "none.yml"}"#
        ),
        Ok(Prepared::Skip { .. })
    ));
    assert!(prepare("{playbook: site.yml, vars: {a: '{{ result.none }}'}}", "{}").is_err());
}

#[test]
fn every_value_is_published_as_it_is() {
    let run = "{publish: {sink: bus, topic: '{{ msg.topic }}', headers: {h: 'h {{ msg.text }}'}, \
               body: {plain: '{{ msg.value }}', text: 't {{ msg.text }}', '{{ 7 }}': 1}}}";
    for (name, text) in testkit::corpus::VALUES {
        let value: Value = serde_json::from_str(text).unwrap();
        let text = value.as_str().unwrap_or("none");
        let topic = Topic::from_outside(text);
        let usable = topic.clone().unwrap_or_else(|_| "a.b".parse().unwrap());
        let body = json!({"topic": usable, "value": value, "text": text}).to_string();
        let StepCall::Publish(call) = call(run, &body) else {
            panic!("{name}")
        };
        assert_eq!(usable, call.topic, "{name}");
        assert_eq!(
            json!({"h": format!("h {text}")}),
            Value::Object(call.headers),
            "{name}"
        );
        let expect = json!({"plain": value, "text": format!("t {text}"), "{{ 7 }}": 1});
        assert_eq!(expect, call.body, "{name}");

        let body = json!({"topic": text}).to_string();
        let prepared = prepare("{publish: {sink: bus, topic: '{{ msg.topic }}'}}", &body);
        assert_eq!(topic.is_ok(), prepared.is_ok(), "{name}: {prepared:?}");
    }
}
