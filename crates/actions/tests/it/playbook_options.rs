//! What a step says about its playbook reaches Ansible, on the oldest and the
//! newest: hosts, secrets, collections, settings, who and how.

use std::{collections::BTreeMap, os::unix::fs::PermissionsExt};

use model::{
    action::PlaybookCall,
    json::Object,
    playbook::{Connection, Escalation, HostGroup, SecretPlace, VaultIdentity},
};
use serde_json::{Value, json};

use crate::{
    playbook::{BOTH, call, stage},
    stage::{Stage, say},
};

const HERE: &str = "ansible_connection";

fn object(value: Value) -> Object {
    serde_json::from_value(value).unwrap()
}

fn execute(stage: &Stage, path: &str) {
    let path = stage.project().join(path);
    fs_err::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// What the playbook said with `set_stats`.
async fn stats(stage: &Stage, call: PlaybookCall) -> Value {
    let report = stage.playbook(call).await;
    let text = stage.output.text();
    assert!(
        say(&report).starts_with("code 0"),
        "{}: {text}",
        say(&report)
    );
    json!(report.result.unwrap_or_default())
}

/// A play whose tasks end with a `set_stats` of `data`.
fn play(head: &str, data: &str) -> String {
    format!(
        "- hosts: all\n  gather_facts: false\n{head}  tasks:\n    - set_stats:\n        data: {data}\n"
    )
}

#[tokio::test]
async fn hosts_of_the_step_have_their_groups_and_variables_as_data() {
    for which in BOTH {
        let Some(mut stage) = stage(which) else {
            continue;
        };
        stage.set_body(json!({"say": "{{ 7 * 7 }}"}));
        stage.write(
            "play.yml",
            &play(
                "  run_once: true\n",
                "{groups: '{{ groups }}', say: '{{ hostvars.web1.say }}', \
                 types: '{{ hostvars.web1.types }}', port: '{{ hostvars.web1.ansible_port }}', \
                 tier: '{{ hostvars[\"db-01\"].tier }}', six: '{{ hostvars[\"2001:db8::7\"].inventory_hostname }}'}",
            ),
        );
        let host = |name: &str, vars: Value| (name.to_owned(), object(vars));
        let groups = vec![
            HostGroup {
                hosts: vec![host("2001:db8::7", json!({})), host("192.0.2.7", json!({}))],
                vars: object(json!({HERE: "local"})),
                ..HostGroup::default()
            },
            HostGroup {
                name: Some("web".to_owned()),
                hosts: vec![host(
                    "web1",
                    json!({"say": "{{ 7 * 7 }}", "ansible_port": 2222,
                           "types": {"n": 1.5, "i": 2, "b": true, "z": null, "l": ["a", 1], "t": "yes"}}),
                )],
                vars: Object::new(),
            },
            HostGroup {
                name: Some("db".to_owned()),
                hosts: vec![host("db-01", json!({}))],
                vars: object(json!({"tier": "back"})),
            },
        ];
        let found = stats(
            &stage,
            PlaybookCall {
                inventory: Vec::new(),
                hosts: groups,
                ..call("play.yml")
            },
        )
        .await;
        let mut all = found["groups"]["all"].as_array().unwrap().clone();
        all.sort_by_key(ToString::to_string);
        assert_eq!(
            json!(["192.0.2.7", "2001:db8::7", "db-01", "web1"]),
            json!(all),
            "{which:?}"
        );
        assert_eq!(json!(["web1"]), found["groups"]["web"]);
        assert_eq!(json!(["db-01"]), found["groups"]["db"]);
        assert_eq!("{{ 7 * 7 }}", found["say"], "{which:?}");
        assert_eq!(
            json!({"n": 1.5, "i": 2, "b": true, "z": null, "l": ["a", 1], "t": "yes"}),
            found["types"]
        );
        assert_eq!("back", found["tier"]);
        assert_eq!("2001:db8::7", found["six"]);
    }
}

#[tokio::test]
async fn an_inventory_may_be_a_program_and_stands_beside_hosts_of_the_step() {
    for which in BOTH {
        let Some(stage) = stage(which) else { continue };
        stage.write(
            "inventory/found.sh",
            "#!/bin/sh\necho '{\"dynamic\": {\"hosts\": [\"made\"]}, \"_meta\": {\"hostvars\": {\"made\": {\"ansible_connection\": \"local\"}}}}'\n",
        );
        execute(&stage, "inventory/found.sh");
        let seen = "{seen: '{{ groups.all | sort }}'}";
        stage.write("play.yml", &play("  run_once: true\n", seen));
        let found = stats(
            &stage,
            PlaybookCall {
                inventory: vec!["inventory".to_owned()],
                hosts: vec![HostGroup {
                    hosts: vec![("named".to_owned(), object(json!({HERE: "local"})))],
                    ..HostGroup::default()
                }],
                ..call("play.yml")
            },
        )
        .await;
        assert_eq!(json!({"seen": ["made", "named"]}), found, "{which:?}");
    }
}

/// `hosts` of a step beside the group `all` of its `inventory`: neither takes
/// the place of the other.
#[tokio::test]
async fn hosts_of_the_step_stand_beside_its_group_of_all_hosts() {
    for which in BOTH {
        let Some(stage) = stage(which) else { continue };
        let seen = "{seen: '{{ groups.all | sort }}', tier: '{{ hostvars.x1.tier }}'}";
        stage.write("play.yml", &play("  run_once: true\n", seen));
        let group = |host: &str, vars: Value| HostGroup {
            name: None,
            hosts: vec![(host.to_owned(), object(json!({HERE: "local"})))],
            vars: object(vars),
        };
        let found = stats(
            &stage,
            PlaybookCall {
                inventory: Vec::new(),
                hosts: vec![
                    group("x1", json!({})),
                    group("inv1", json!({"tier": "front"})),
                ],
                ..call("play.yml")
            },
        )
        .await;
        let expected = json!({"seen": ["inv1", "x1"], "tier": "front"});
        assert_eq!(expected, found, "{which:?}");
    }
}

/// Types of variables arrive as AWX hands them over.
#[tokio::test]
async fn variables_keep_their_types() {
    let vars = json!({"n": 1, "f": 0.5, "yes": true, "no": false, "nothing": null,
                      "list": [1, "1", null], "map": {"a": {"b": []}}, "text": "true"});
    for which in BOTH {
        let Some(stage) = stage(which) else { continue };
        let data: Vec<String> = vars
            .as_object()
            .unwrap()
            .keys()
            .map(|name| format!("{name}_: \"{{{{ [{name}] }}}}\""))
            .collect();
        stage.write("play.yml", &play("", &format!("{{{}}}", data.join(", "))));
        let found = stats(
            &stage,
            PlaybookCall {
                vars: object(vars.clone()),
                ..call("play.yml")
            },
        )
        .await;
        for (name, value) in vars.as_object().unwrap() {
            assert_eq!(
                json!([value]),
                found[format!("{name}_")],
                "{which:?} {name}"
            );
        }
    }
}

/// The texts `one` and `two`, encrypted under the ids `first` and `second`
/// with the passwords `alpha` and `beta`.
fn encrypted(stage: &Stage, id: &str, password: &str, text: &str) -> String {
    let program = stage
        .settings
        .playbook_command
        .replace("-playbook", "-vault");
    stage.write(".password", password);
    let made = std::process::Command::new(program)
        .args(["encrypt_string", "--name", id, text, "--vault-id"])
        .arg(format!(
            "{id}@{}",
            stage.project().join(".password").display()
        ))
        .output()
        .unwrap();
    fs_err::remove_file(stage.project().join(".password")).unwrap();
    assert!(made.status.success(), "{made:?}");
    String::from_utf8(made.stdout).unwrap() + "\n"
}

/// A variable of the service that tests know.
fn variable(name: &str) -> Option<String> {
    (name == "BETA").then(|| "beta".to_owned())
}

#[tokio::test]
async fn vaults_are_opened_by_secrets_that_no_task_sees() {
    for which in BOTH {
        let Some(mut stage) = stage(which) else {
            continue;
        };
        stage.settings.variable = variable;
        let vars = encrypted(&stage, "first", "alpha", "one")
            + &encrypted(&stage, "second", "beta", "two");
        stage.write("vars.yml", &vars);
        stage.write(
            "play.yml",
            "- hosts: all\n  gather_facts: false\n  vars_files: [vars.yml]\n  tasks:\n    \
                 - shell: 'cat /proc/*/environ /proc/*/cmdline 2>/dev/null | tr \"\\0\" \"\\n\" | grep -c -e ^alpha -e [=]alpha -e ^beta -e [=]beta'\n      \
                 register: seen\n      failed_when: false\n    - set_stats: {data: {first: '{{ first }}', second: '{{ second }}', seen: '{{ seen.stdout }}'}}\n",
        );
        let identity = |id: &str, secret| VaultIdentity {
            id: id.to_owned(),
            secret,
        };
        let found = stats(
            &stage,
            PlaybookCall {
                vault: vec![
                    identity(
                        "first",
                        SecretPlace::Command(
                            ["printf", "al\\160ha\\n"].map(str::to_owned).to_vec(),
                        ),
                    ),
                    identity("second", SecretPlace::Variable("BETA".to_owned())),
                ],
                ..call("play.yml")
            },
        )
        .await;
        assert_eq!(
            json!({"first": "one", "second": "two", "seen": "0"}),
            found,
            "{which:?}"
        );
    }
}

#[tokio::test]
async fn a_secret_that_cannot_be_read_is_named() {
    let mut stage = Stage::new();
    stage.settings.playbook_command = "/bin/true".to_owned();
    stage.write("play.yml", "[]");
    let vault = |secret| PlaybookCall {
        inventory: Vec::new(),
        vault: vec![VaultIdentity {
            id: "prod".to_owned(),
            secret,
        }],
        ..call("play.yml")
    };
    for (secret, expect) in [
        (
            SecretPlace::Variable("NONE".to_owned()),
            "vault secret `prod`: the variable `NONE` is not set, or is not UTF-8",
        ),
        (
            SecretPlace::Command(vec!["false".to_owned()]),
            "vault secret `prod`: `false`: it ended with exit status: 1",
        ),
        (
            SecretPlace::Command(vec!["true".to_owned()]),
            "vault secret `prod`: it is empty",
        ),
        (
            SecretPlace::File("/nonexistent".into()),
            "vault secret `prod`: failed to open file `/nonexistent`: No such file or directory (os error 2)",
        ),
    ] {
        let report = stage.playbook(vault(secret)).await;
        assert_eq!(format!("- | unstartable: {expect}"), say(&report));
    }
}

#[tokio::test]
async fn collections_of_the_project_come_first() {
    for which in BOTH {
        let Some(stage) = stage(which) else { continue };
        let root = "vendor/ansible_collections/acme/tools";
        stage.write(
            &format!("{root}/plugins/filter/shout.py"),
            "class FilterModule:\n    def filters(self):\n        return {'shout': str.upper}\n",
        );
        stage.write(
            "play.yml",
            &play(
                "",
                "{said: \"{{ 'hi' | acme.tools.shout }}\", path: \"{{ lookup('config', 'COLLECTIONS_PATHS') | length }}\"}",
            ),
        );
        let found = stats(
            &stage,
            PlaybookCall {
                collections: vec!["vendor".to_owned()],
                ..call("play.yml")
            },
        )
        .await;
        assert_eq!("HI", found["said"], "{which:?}");
        assert_eq!(
            "3",
            found["path"].to_string().trim_matches('"'),
            "{which:?}"
        );
    }
}

#[tokio::test]
async fn what_stands_for_an_option_reaches_ansible() {
    for which in BOTH {
        let Some(stage) = stage(which) else { continue };
        stage.write(
            "play.yml",
            &format!(
                "{}    - name: second one\n      set_stats: {{data: {{place: second, env: \"{{{{ lookup('env', 'COLOUR') }}}}\", \
                 forks: '{{{{ ansible_forks }}}}', check: '{{{{ ansible_check_mode }}}}', user: '{{{{ ansible_user | default(\"-\") }}}}', \
                 retries: \"{{{{ lookup('config', 'DEFAULT_TIMEOUT') }}}}\"}}}}\n",
                play("", "{place: first}").replace("- set_stats", "- name: first one\n      set_stats").replace("        data: {place: first}", "        data: {skipped: no}")
            ),
        );
        let found = stats(
            &stage,
            PlaybookCall {
                start_at_task: Some("second one".to_owned()),
                forks: Some(3),
                flush_cache: true,
                force_handlers: true,
                connection: Connection {
                    timeout: Some(42),
                    ..Connection::default()
                },
                env: BTreeMap::from([("COLOUR".to_owned(), "red".to_owned())]),
                ..call("play.yml")
            },
        )
        .await;
        assert_eq!("second", found["place"], "{which:?}: {found}");
        assert_eq!(Value::Null, found["skipped"]);
        assert_eq!("red", found["env"]);
        assert_eq!("3", found["forks"].to_string().trim_matches('"'));
    }
}

/// A program in the place of `ansible-playbook` that says what it was given.
#[tokio::test]
async fn secrets_stand_in_private_files_and_everything_else_in_options() {
    let mut stage = Stage::new();
    stage.settings.variable = variable;
    stage.write("play.yml", "[]");
    stage.write(
        "ansible-playbook",
        "#!/bin/sh\nfor it; do case $it in\n  --extra-vars=*|--) ;;\n  --*=*/run/*) file=${it#*=}; file=${file#*@}; echo \"${it%%=*} $(stat -c %a $file) $(cat $file)\";;\n  *) echo \"$it\";;\nesac; done\n",
    );
    execute(&stage, "ansible-playbook");
    let program = stage.project().join("ansible-playbook");
    stage.settings.playbook_command = program.display().to_string();
    let secret = || Some(SecretPlace::Variable("BETA".to_owned()));
    stage
        .playbook(PlaybookCall {
            inventory: Vec::new(),
            escalation: Escalation {
                always: true,
                user: Some("app".to_owned()),
                method: Some("sudo".to_owned()),
                password: secret(),
            },
            connection: Connection {
                user: Some("deploy".to_owned()),
                plugin: Some("ssh".to_owned()),
                timeout: Some(7),
                private_key: secret(),
                password: secret(),
            },
            vault: vec![VaultIdentity {
                id: "prod".to_owned(),
                secret: SecretPlace::Variable("BETA".to_owned()),
            }],
            ..call("play.yml")
        })
        .await;
    assert_eq!(
        "--vault-id 600 beta\n--user=deploy\n--connection=ssh\n--become-user=app\n\
         --become-method=sudo\n--timeout=7\n--private-key 600 beta\n\
         --connection-password-file 600 beta\n--become-password-file 600 beta\n--become\nplay.yml\n",
        stage.output.text()
    );
}
