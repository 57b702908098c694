use super::Uses;

#[track_caller]
fn check(text: &str, used: &[&str], defined: &[&str]) {
    let mut uses = Uses::default();
    uses.add(text);
    let found: Vec<&str> = uses.used.iter().copied().collect();
    assert_eq!(used, found, "{text}");
    let found: Vec<&str> = uses.defined.iter().copied().collect();
    assert_eq!(defined, found, "{text}");
}

#[test]
fn names_in_braces_are_used() {
    check(
        "- debug: {msg: '{{ topic }} by {{ username|upper }}'}",
        &["topic", "username"],
        &[],
    );
    check(
        "{% if i > 3 and timestamp == 4 %}x{% endif %}",
        &["i", "timestamp"],
        &[],
    );
    check(
        "{{ {'a': msg_id}['a'] ~ [certificate] }}",
        &["certificate", "msg_id"],
        &[],
    );
    check("{{ topic", &["topic"], &[]);
}

#[test]
fn names_that_are_no_variables_are_not() {
    check("{{ msg.topic }} {{ msg['topic'] }} {{ msg . i }}", &[], &[]);
    check(
        "{{ 'topic' }} {{ \"topic' i\" }} {{ topics }} {{ my_topic }}",
        &[],
        &[],
    );
    check(
        "{{ x | topic }} {{ x is topic }} {{ f(topic=1) }} {{ topic() }}",
        &[],
        &[],
    );
    check("topic: i am not an expression\n# topic", &[], &[]);
    check("{{ msg }}", &[], &[]);
}

#[test]
fn expressions_without_braces_are_read() {
    check("- when: topic == 'x'", &["topic"], &[]);
    check("- when:\n    - msg.x == 1\n    - i is defined", &["i"], &[]);
    check(
        "- assert:\n    that: [i > 1, \"username in ['a']\"]",
        &["i", "username"],
        &[],
    );
    check(
        "- debug: var=msg_id\n- debug:\n    var: certificate",
        &["certificate", "msg_id"],
        &[],
    );
}

#[test]
fn what_a_playbook_sets_itself_is_noticed() {
    check("- vars: {topic: a}\n  when: topic", &["topic"], &["topic"]);
    check("- set_fact:\n    username: x", &[], &["username"]);
    check("- command: x\n  register: timestamp", &[], &["timestamp"]);
    check("- loop: [1]\n  loop_control: {loop_var: i}", &[], &["i"]);
    check(
        "{% for i in [1] %}{{ i }}{% endfor %}{% set topic = 1 %}",
        &["i"],
        &["i", "topic"],
    );
    // A module's own key is no variable.
    check("- publish:\n    topic: '{{ topic }}'", &["topic"], &[]);
}

#[test]
fn a_file_that_is_no_yaml_of_ours_is_searched_for_braces() {
    check(
        "key: !vault |\n  abc\nx: '{{ topic }}'\n\ty: [",
        &["topic"],
        &[],
    );
    check("ä {{ 'ü' ~ i }} \u{1}", &["i"], &[]);
}
