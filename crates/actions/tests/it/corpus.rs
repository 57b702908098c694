//! Every hostile value, in every place of a step that a value can reach: it
//! comes out as it went in, and nothing of it is run or decrypted.

use std::path::Path;

use model::action::CommandCall;
use serde_json::{Map, Value, json};
use testkit::corpus::{CANARY, VALUES, VAULT_PASSWORD, VAULT_PLAINTEXT, same::same};

use crate::{
    playbook::{BOTH, call, stage},
    stage::{Stage, say},
};

fn values() -> Map<String, Value> {
    VALUES
        .iter()
        .map(|(name, text)| ((*name).to_owned(), serde_json::from_str(text).unwrap()))
        .collect()
}

/// Nothing of the corpus was run.
fn assert_nothing_ran() {
    assert!(
        !Path::new(CANARY).exists(),
        "a value was run: `{CANARY}` exists (remove it after mending this)"
    );
}

fn assert_same(place: &str, name: &str, sent: &Value, got: &Value) {
    assert!(
        same(sent, got),
        "`{name}` in {place}: sent {sent:.300}, got {got:.300}"
    );
}

/// Tasks that hand every value to a place of its own; what came out there is
/// written as JSON to `out/<place>.json`.
const PLAY: &str = r#"- hosts: all
  gather_facts: false
  vars:
    in_vars: "{{ event.body['values'] }}"
    again: "{{ in_vars }}"
  tasks:
    - name: a module argument
      copy: {content: "{{ event.body['values'] | to_json }}", dest: "{{ playbook_dir }}/out/direct.json"}
    - name: a variable of the play
      copy: {content: "{{ again | to_json }}", dest: "{{ playbook_dir }}/out/vars.json"}
    - name: the body by its other name
      copy: {content: "{{ msg['values'] | to_json }}", dest: "{{ playbook_dir }}/out/msg.json"}
    - name: the step's own variables
      copy: {content: "{{ given | to_json }}", dest: "{{ playbook_dir }}/out/given.json"}
    - name: a fact
      set_fact: {kept: "{{ event.body['values'] }}"}
    - copy: {content: "{{ kept | to_json }}", dest: "{{ playbook_dir }}/out/fact.json"}
    - name: a template
      template: {src: all.j2, dest: "{{ playbook_dir }}/out/template.json"}
    - name: text made of values and keys
      set_fact:
        joined: "text {{ given | to_json }}"
        keys: "text {{ given.values() | select('mapping') | map('list') | list | to_json }}"
        from_vars: "text {{ in_vars | to_json }}"
        one_key: "{{ given.key_jinja | list | first }}"
        one_object: "text {{ in_vars.key_jinja | to_json }}"
        by_host: "text {{ hostvars[inventory_hostname].event.body['values'] | to_json }}"
        by_lookup: "text {{ lookup('vars', 'given') | to_json }}"
    - debug: {msg: "{{ joined }} {{ keys }} {{ from_vars }} {{ one_key }} {{ one_object }} {{ by_host }} {{ by_lookup }}"}
    - copy: {content: "{{ one_key }}", dest: "{{ playbook_dir }}/out/one_key"}
    - name: a condition
      debug: {msg: "{{ item.key }} says {{ item.value }}"}
      when: item.value == given[item.key] and (item.value | string | length) >= 0
      loop: "{{ event.body['values'] | dict2items }}"
      loop_control: {label: "{{ item.key }}"}
    - name: "a task's name {{ event.body['values'].jinja_lookup_pipe }}"
      debug: {var: event}
    - debug: {var: msg}
    - name: arguments of a command
      command:
        argv: [printf, "%s", "{{ item }}"]
      loop: "{{ [given.jinja_lookup_pipe, given.shell_dollar, given.newline, given.quotes] }}"
      register: printed
    - copy: {content: "{{ printed.results | map(attribute='stdout') | list | to_json }}", dest: "{{ playbook_dir }}/out/printed.json"}
    - name: every value as text
      set_stats: {data: {values: "{{ given }}"}}
"#;

/// What Ansible says went wrong, in an output full of hostile values.
fn complaints(output: &str) -> String {
    output
        .lines()
        .filter(|line| line.contains("fatal:") || line.contains("ERROR") || line.contains("FAILED"))
        .map(|line| line.chars().take(2_000).collect::<String>())
        .collect::<Vec<_>>()
        .join("\n")
}

#[tokio::test]
async fn every_value_stays_data_in_a_playbook() {
    for which in BOTH {
        let Some(mut stage) = stage(which) else {
            continue;
        };
        let values = values();
        // More than one place may be wrong: the cap may not hide it.
        stage.context.output_cap = 64 * 1024 * 1024;
        stage.context.timeout = std::time::Duration::from_secs(300);
        stage.set_body(json!({"values": values}));
        stage.deadline.send_modify(|deadline| {
            *deadline = deadline.plus(std::time::Duration::from_secs(600));
        });
        fs_err::create_dir(stage.project().join("out")).unwrap();
        stage.write("secret", VAULT_PASSWORD);
        stage.write("ansible.cfg", "[defaults]\nvault_password_file = secret\n");
        stage.write("all.j2", "{{ event.body['values'] | to_json }}");
        stage.write("play.yml", PLAY);
        let mut call = call("play.yml");
        call.vault_password_files = vec!["secret".to_owned()];
        call.vars
            .insert("given".to_owned(), Value::Object(values.clone()));
        let report = stage.playbook(call).await;
        let output = stage.output.text();
        assert!(
            say(&report).starts_with("code 0 | succeeded"),
            "{which:?}: {}: {}",
            say(&report),
            complaints(&output)
        );
        assert_nothing_ran();
        assert!(!output.contains(VAULT_PLAINTEXT), "{which:?} decrypted");

        for place in ["direct", "vars", "msg", "given", "fact", "template"] {
            let text =
                fs_err::read_to_string(stage.project().join(format!("out/{place}.json"))).unwrap();
            assert!(
                !text.contains(VAULT_PLAINTEXT),
                "{which:?} decrypted in {place}"
            );
            let got: Map<String, Value> = serde_json::from_str(&text).unwrap();
            assert_eq!(values.len(), got.len(), "{which:?} {place}");
            for (name, sent) in &values {
                assert_same(&format!("{which:?} {place}"), name, sent, &got[name]);
            }
        }
        let text = fs_err::read_to_string(stage.project().join("out/one_key")).unwrap();
        let key = values["key_jinja"]
            .as_object()
            .unwrap()
            .keys()
            .next()
            .unwrap();
        assert_eq!(*key, text, "{which:?}");
        let text = fs_err::read_to_string(stage.project().join("out/printed.json")).unwrap();
        let printed: Vec<String> = serde_json::from_str(&text).unwrap();
        assert_eq!(values["jinja_lookup_pipe"], printed[0]);
        assert_eq!(values["shell_dollar"], printed[1]);
        assert_eq!(values["quotes"], printed[3]);
        let result = report.result.unwrap();
        for (name, sent) in &values {
            assert_same(
                &format!("{which:?} result"),
                name,
                sent,
                &result["values"][name],
            );
        }
    }
}

/// Prints what it was given: arguments, environment, standard input, file.
const ECHO: &str = "
import json, os, sys
with open(os.environ['LARIAT_EVENT_FILE'], encoding='utf-8') as file:
    event = json.load(file, parse_float=str, parse_int=str)
with os.fdopen(int(os.environ['LARIAT_RESULT_FD']), 'w') as out:
    json.dump({
        'arguments': [os.fsencode(one).decode('utf-8') for one in sys.argv[1:]],
        'environment': os.environb[b'VALUE'].decode('utf-8'),
        'stdin': json.load(sys.stdin, parse_float=str, parse_int=str)['body'],
        'file': event['body'],
    }, out)
";

/// As Python was told to read it: numbers as their text.
fn with_number_texts(value: &Value) -> Value {
    match value {
        Value::Number(number) => Value::String(number.as_str().to_owned()),
        Value::Array(items) => items.iter().map(with_number_texts).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(key, value)| (key.clone(), with_number_texts(value)))
            .collect(),
        other => other.clone(),
    }
}

#[tokio::test]
async fn every_value_stays_data_in_a_command() {
    let texts: Vec<(String, String)> = values()
        .into_iter()
        .map(|(name, value)| match value {
            Value::String(text) => (name, text),
            other => (name, other.to_string()),
        })
        .filter(|(_, text)| !text.contains('\0') && text.len() < 100_000)
        .collect();
    assert!(texts.len() + 5 > VALUES.len(), "too few: {}", texts.len());
    let mut stage = Stage::new();
    stage.set_body(Value::Object(values()));
    let mut argv: Vec<String> = ["python3", "-c", ECHO, "--"].map(str::to_owned).to_vec();
    argv.extend(texts.iter().map(|(_, text)| text.clone()));
    let all: String = texts.iter().map(|(_, text)| text.as_str()).collect();
    let report = stage
        .command(CommandCall {
            argv,
            env: [("VALUE".to_owned(), all.chars().take(30_000).collect())].into(),
            ..CommandCall::default()
        })
        .await;
    assert_eq!(
        "code 0 | succeeded: exit code 0",
        say(&report),
        "{}",
        stage.output.text()
    );
    let result = report.result.unwrap();
    assert_eq!("--", result["arguments"][0]);
    for (index, (name, text)) in texts.iter().enumerate() {
        assert_eq!(
            *text,
            result["arguments"][index + 1],
            "`{name}` as argument"
        );
    }
    let environment: String = all.chars().take(30_000).collect();
    assert_eq!(environment, result["environment"]);
    let body = with_number_texts(&stage.context.event.body);
    assert_eq!(body, result["stdin"]);
    assert_eq!(body, result["file"]);
    assert_nothing_ran();
}
