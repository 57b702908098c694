//! Inventories that a step names itself, as they are written.

use insta::assert_snapshot;
use model::{json::Object, playbook::HostGroup};
use serde_json::json;

use super::write;

fn vars(value: serde_json::Value) -> Object {
    serde_json::from_value(value).unwrap()
}

#[test]
fn hosts_and_groups_have_their_variables_and_nothing_is_templated() {
    let groups = [
        HostGroup {
            name: None,
            hosts: vec![
                ("a".to_owned(), Object::new()),
                ("192.0.2.1".to_owned(), Object::new()),
            ],
            vars: Object::new(),
        },
        HostGroup {
            name: Some("web".to_owned()),
            hosts: vec![(
                "web1".to_owned(),
                vars(json!({"ansible_port": 2222, "list": ["a", null], "say": "{{ 7 * 7 }}"})),
            )],
            vars: vars(json!({"is_on": true, "tier": "front"})),
        },
    ];
    assert_snapshot!(write(&groups), @r#"
    ---
    "all":
     "hosts":
      "a": {}
      "192.0.2.1": {}
     "vars": {}
     "children":
      "web":
       "hosts":
        "web1":
         "ansible_port": 2222
         "list":
          - !unsafe "a"
          - null
         "say": !unsafe "{{ 7 * 7 }}"
       "vars":
        "is_on": true
        "tier": !unsafe "front"
    "#);
}

/// YAML would keep the last of two keys, and Ansible would know none of the
/// hosts of the first.
#[test]
fn groups_of_one_name_are_written_once_with_the_hosts_of_all() {
    let group = |name: Option<&str>, hosts: serde_json::Value, own: serde_json::Value| HostGroup {
        name: name.map(str::to_owned),
        hosts: vars(hosts)
            .into_iter()
            .map(|(host, own)| (host, vars(own)))
            .collect(),
        vars: vars(own),
    };
    let groups = [
        group(None, json!({"x1": {}, "both": {"n": 1, "m": 1}}), json!({})),
        group(Some("web"), json!({"web1": {}}), json!({"n": 1})),
        group(None, json!({"inv1": {}, "both": {"n": 2}}), json!({"n": 3})),
        group(Some("web"), json!({"web2": {}}), json!({"n": 2})),
    ];
    assert_snapshot!(write(&groups), @r#"
    ---
    "all":
     "hosts":
      "x1": {}
      "both":
       "n": 2
       "m": 1
      "inv1": {}
     "vars":
      "n": 3
     "children":
      "web":
       "hosts":
        "web1": {}
        "web2": {}
       "vars":
        "n": 2
    "#);
}
