//! Payload is data, from one end to the other: an event that holds every
//! hostile value goes in over the command line, through real Ansible with a
//! vault secret at hand and through a command, and comes out of files, output,
//! results, logs, terminals and pages as the text and the numbers it was.

use std::path::Path;

use serde_json::{Map, Value, json};
use testkit::{
    TempProject,
    corpus::{CANARY, VALUES, VAULT_PASSWORD, VAULT_PLAINTEXT, same::same},
    tools::{Ansible, ansible},
};

use crate::harness::{Service, run_with_input};

const RULES: &str = r#"rules:
  - name: playbook
    on: org.example.payload
    when: msg.values == event.body.values and msg.values.jinja_arithmetic != 49
    key: "{{ msg.values.jinja_lookup_pipe }}"
    run:
      playbook: payload.yml
      inventory: localhost,
      vars:
        given: "{{ msg.values }}"
        text: "text {{ msg.values.jinja_lookup_pipe }}{{ msg.values.jinja_statement }}"
        list: ["{{ msg.values.vault_object }}", {"{{ 1 }}": "{{ msg.values.unsafe_object }}"}]
  - name: command
    on: org.example.payload
    key: "{{ msg.values.quotes }}"
    run:
      command: [python3, ../payload.py, --, "{{ msg.values.option_rm }}", "{{ msg.values.shell_dollar }}", "{{ msg.values.ansi_clear }}", "{{ msg.values.key_controls }}"]
      chdir: out
      env: {VALUE: "{{ msg.values.shell_shock }}"}
"#;

/// What the places saw is written down, told as the result, and printed.
const PLAYBOOK: &str = r#"- hosts: all
  connection: local
  gather_facts: false
  tasks:
    - copy: {content: "{{ event.body['values'] | to_json }}", dest: "{{ playbook_dir }}/../out/event.json"}
    - copy: {content: "{{ msg['values'] | to_json }}", dest: "{{ playbook_dir }}/../out/msg.json"}
    - copy: {content: "{{ given | to_json }}", dest: "{{ playbook_dir }}/../out/given.json"}
    - set_fact: {kept: "{{ given }}"}
    - copy: {content: "{{ kept | to_json }}", dest: "{{ playbook_dir }}/../out/fact.json"}
    - copy: {content: "{{ [text, list] | to_json }}", dest: "{{ playbook_dir }}/../out/text.json"}
    - command: {argv: [printf, "%s", "{{ text }}"]}
    - name: "printed {{ text }}"
      debug: {msg: "{{ item.key }} {{ item.value }}"}
      loop: "{{ msg['values'] | dict2items }}"
    - debug: {var: event}
    - set_stats: {data: {values: "{{ given }}"}}
"#;

const COMMAND: &str = r#"
import json, os, sys
event = json.load(sys.stdin, parse_float=str, parse_int=str)
with os.fdopen(int(os.environ["LARIAT_RESULT_FD"]), "w") as out:
    json.dump({"arguments": sys.argv[1:], "value": os.environ["VALUE"], "count": len(event["body"]["values"])}, out)
print(event["body"]["values"])
sys.stdout.flush()
for value in event["body"]["values"].values():
    if isinstance(value, str):
        sys.stdout.buffer.write(value.encode("utf-8") + b"\n")
"#;

fn values() -> Map<String, Value> {
    VALUES
        .iter()
        .map(|(name, text)| ((*name).to_owned(), serde_json::from_str(text).unwrap()))
        .collect()
}

#[track_caller]
fn check_values(place: &str, got: &Value) {
    let sent = values();
    assert_eq!(Some(sent.len()), got.as_object().map(Map::len), "{place}");
    for (name, sent) in &sent {
        let got = &got[name];
        assert!(
            same(sent, got),
            "`{name}` in {place}: {sent:.300} became {got:.300}"
        );
    }
}

/// Nothing was decrypted or run on the way to here, and nothing that is meant
/// for eyes can steer a terminal.
#[track_caller]
fn check_quiet(place: &str, text: &str) {
    assert!(!text.contains(VAULT_PLAINTEXT), "{place} was decrypted");
    let bad = text
        .chars()
        .find(|c| c.is_control() && !matches!(c, '\n' | '\t'));
    assert_eq!(None, bad, "{place}");
}

async fn check(version: Ansible) {
    let Some(playbook) = ansible(version) else {
        return;
    };
    let project = TempProject::new(&[
        ("lariat.yml", "{}\n"),
        ("rules/payload.yml", RULES),
        ("playbooks/payload.yml", PLAYBOOK),
        ("payload.py", COMMAND),
        ("ansible.cfg", "[defaults]\nvault_password_file = secret\n"),
        ("secret", VAULT_PASSWORD),
        ("out/empty", ""),
    ]);
    let service = Service::start_with_ansible(project.path(), &playbook).await;
    let body = json!({ "values": values() }).to_string();
    let env = [("LARIAT_URL", service.url.as_str())];
    let publish = [
        "publish",
        "org.example.payload",
        "-",
        "--id",
        "payload",
        "--wait",
    ];
    let ran = run_with_input(&publish, &env, &body).await;
    let jobs = service.json(&["jobs", "list", "--event", "payload"]).await;
    assert_eq!(Some(0), ran.code, "{}\n{jobs:#}", ran.stderr);
    assert!(
        !Path::new(CANARY).exists(),
        "a value was run: `{CANARY}` exists"
    );
    assert!(
        !ran.stdout.contains(VAULT_PLAINTEXT),
        "the output was decrypted"
    );

    for place in ["event", "msg", "given", "fact"] {
        let text = project.read(&format!("out/{place}.json"));
        assert!(!text.contains(VAULT_PLAINTEXT), "{place} was decrypted");
        check_values(place, &serde_json::from_str(&text).unwrap());
    }
    let sent = values();
    let text = |name: &str| sent[name].as_str().unwrap();
    let rendered: Value = serde_json::from_str(&project.read("out/text.json")).unwrap();
    let joined = format!(
        "text {}{}",
        text("jinja_lookup_pipe"),
        text("jinja_statement")
    );
    assert_eq!(
        json!([joined, [sent["vault_object"], {"{{ 1 }}": sent["unsafe_object"]}]]),
        rendered
    );

    for job in jobs["items"].as_array().unwrap() {
        let id = job["id"].as_str().unwrap();
        match job["rule"].as_str().unwrap() {
            "playbook" => check_values("the result", &job["result"]["values"]),
            _ => {
                let arguments = &job["result"]["arguments"];
                assert_eq!("--", arguments[0]);
                assert_eq!(sent["option_rm"], arguments[1]);
                assert_eq!(sent["shell_dollar"], arguments[2]);
                assert_eq!(sent["ansi_clear"], arguments[3]);
                let object: Value = serde_json::from_str(arguments[4].as_str().unwrap()).unwrap();
                assert_eq!(sent["key_controls"], object);
                assert_eq!(sent["shell_shock"], job["result"]["value"]);
                assert_eq!(sent.len(), job["result"]["count"]);
            }
        }
        let show = service.lariat(&["jobs", "show", id]).await.expect(0);
        check_quiet("jobs show", &show.stdout);
        for path in ["", "events/payload", &format!("jobs/{id}")] {
            let page = get(&service.url, path).await;
            check_quiet(path, &page);
            assert!(
                !page.contains("<script") && !page.contains("<img src=x"),
                "{path}"
            );
        }
    }
    for args in [
        &["explain", "payload"][..],
        &["events", "show", "payload"],
        &["jobs", "list"],
        &["events", "list"],
    ] {
        let shown = service.lariat(args).await.expect(0);
        check_quiet(args[0], &shown.stdout);
    }
    let shown = service.json(&["events", "show", "payload"]).await;
    assert_eq!(Value::Object(sent), shown["body"]["values"]);
    check_quiet("the log", &service.program.stderr());
}

async fn get(url: &str, path: &str) -> String {
    // The client wants to know one, also for plain HTTP.
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
    let response = reqwest::get(format!("{url}/{path}")).await.unwrap();
    assert!(
        response.status().is_success(),
        "{path}: {}",
        response.status()
    );
    response.text().await.unwrap()
}

#[tokio::test]
async fn every_hostile_value_stays_data_with_the_oldest_ansible() {
    check(Ansible::Oldest).await;
}

#[tokio::test]
async fn every_hostile_value_stays_data_with_the_newest_ansible() {
    check(Ansible::Newest).await;
}
