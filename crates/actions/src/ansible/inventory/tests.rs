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
