//! What changes in the project between two runs counts in the second, cold or
//! warm: nothing of the project is kept in memory.

use std::path::Path;

use testkit::tools::Ansible;

use super::{
    case::{self, Case},
    theatre::{Theatre, Way},
};

/// A file, what it says first, and what it says then; lengths differ, since
/// Python takes a file of the same second and length for the same.
struct Change {
    path: &'static str,
    text: &'static str,
    /// What stands in `text` for the word that changes.
    first: &'static str,
    then: &'static str,
}

const CHANGES: [Change; 12] = [
    change(
        "filter_plugins/changing.py",
        "class FilterModule:\n    def filters(self):\n        return {'changing': lambda text: 'WORD'}\n",
    ),
    change(
        "test_plugins/changing.py",
        "class TestModule:\n    def tests(self):\n        return {'changing': lambda text: text == 'WORD'}\n",
    ),
    change(
        "lookup_plugins/changing.py",
        "from ansible.plugins.lookup import LookupBase\nclass LookupModule(LookupBase):\n    def run(self, terms, variables=None, **kwargs):\n        return ['WORD']\n",
    ),
    change(
        "library/changing.py",
        "#!/usr/bin/python\nfrom ansible.module_utils.basic import AnsibleModule\nfrom ansible.module_utils.changing import word\nAnsibleModule(argument_spec={}).exit_json(word='WORD ' + word)\n",
    ),
    change("module_utils/changing.py", "word = 'WORD'\n"),
    change(
        "callback_plugins/changing.py",
        "from ansible.plugins.callback import CallbackBase\nclass CallbackModule(CallbackBase):\n    CALLBACK_VERSION = 2.0\n    CALLBACK_TYPE = 'aggregate'\n    CALLBACK_NAME = 'changing'\n    CALLBACK_NEEDS_ENABLED = False\n    def v2_playbook_on_stats(self, stats):\n        self._display.display('callback WORD')\n",
    ),
    change(
        "roles/changing/tasks/main.yml",
        "- debug: {msg: 'role WORD'}\n",
    ),
    change("group_vars/all/changing.yml", "of_group: WORD\n"),
    change("host_vars/alpha.yml", "of_host: WORD\n"),
    change("vars/changing.yml", "of_file: WORD\n"),
    change(
        "collections/ansible_collections/acme/tools/plugins/filter/changing.py",
        "class FilterModule:\n    def filters(self):\n        return {'changing': lambda text: 'WORD'}\n",
    ),
    change(
        "changing-hosts",
        "[WORD]\nalpha ansible_connection=local ansible_python_interpreter='{{ ansible_playbook_python }}'\n",
    ),
];

const PLAYBOOK: &str = r#"
- hosts: alpha
  gather_facts: false
  vars_files: [vars/changing.yml]
  roles: [changing]
  tasks:
    - changing:
      register: module
    - debug:
        msg:
          - "filter {{ 'x' | changing }}"
          - "test {{ 'before' is changing }} {{ 'afterwards' is changing }}"
          - "lookup {{ lookup('changing') }}"
          - "module {{ module.word }}"
          - "variables {{ of_group }} {{ of_host }} {{ of_file }}"
          - "collection {{ 'x' | acme.tools.changing }}"
          - "groups {{ group_names }}"
"#;

const fn change(path: &'static str, text: &'static str) -> Change {
    Change {
        path,
        text,
        first: "before",
        then: "afterwards",
    }
}

impl Change {
    fn write(&self, project: &Path, word: &str) {
        let path = project.join(self.path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, self.text.replace("WORD", word)).unwrap();
    }
}

async fn check(version: Ansible) {
    let Some(theatre) = Theatre::open(version).await else {
        return;
    };
    // `group_vars/all` is a file in the project as it comes.
    fs_err::remove_file(theatre.project.join("group_vars/all.yml")).unwrap();
    for change in &CHANGES {
        change.write(&theatre.project, change.first);
    }
    fs_err::write(theatre.project.join("changing.yml"), PLAYBOOK).unwrap();
    let case = Case::of("changing").with_inventory("changing-hosts");
    let first = theatre.run_some_way(&case).await;
    assert!(!first.output.contains("afterwards"), "{}", first.output);

    for change in &CHANGES {
        change.write(&theatre.project, change.then);
        let warm = theatre.run_some_way(&case).await;
        let cold = theatre.run(&case, Way::Cold).await;
        if let Some(difference) = cold.difference(&warm) {
            panic!(
                "{}: `{}` changed, - cold, + warm\n{difference}",
                version.as_str(),
                change.path
            );
        }
    }
    let last = theatre.run_some_way(&case).await;
    let without_test = last.output.replace("test False True", "");
    assert!(!without_test.contains("before"), "{}", last.output);
}

#[tokio::test]
async fn what_changes_in_the_project_counts_in_the_next_run() {
    check(Ansible::Oldest).await;
    check(Ansible::Newest).await;
}

#[tokio::test]
async fn another_configuration_is_the_same_cold_and_warm() {
    let Some(theatre) = Theatre::open(Ansible::Newest).await else {
        return;
    };
    let text = "[defaults]\ncollections_path = collections\nstdout_callback = minimal\nforks = 1\n";
    fs_err::write(theatre.project.join("ansible.cfg"), text).unwrap();
    theatre.warm_up().await;
    for name in ["failing", "ignored", "variables", "warnings"] {
        let case = case::named(name);
        let cold = theatre.run(&case, Way::Cold).await;
        let warm = theatre.run(&case, Way::Warm).await;
        if let Some(difference) = cold.difference(&warm) {
            panic!("`{name}` with another configuration, - cold, + warm\n{difference}");
        }
    }
}

/// Whatever makes a process of many alike must not make their chance alike.
#[tokio::test]
async fn no_two_runs_have_the_same_chance() {
    for version in Ansible::ENDS {
        let Some(theatre) = Theatre::open(version).await else {
            continue;
        };
        let case = Case::of("chance");
        let one = theatre.run(&case, Way::Warm).await;
        let two = theatre.run(&case, Way::Warm).await;
        let drawn = [&one, &two].map(|seen| {
            assert!(seen.end.starts_with("code 0 |"), "{}", seen.output);
            let words: Vec<&str> = seen.files.split(' ').collect();
            // The file, its mode, and what was drawn in three ways.
            assert_eq!((words.len(), words[0]), (5, "drawn"), "{}", seen.files);
            words[2..].to_vec()
        });
        for (one, two) in drawn[0].iter().zip(&drawn[1]) {
            assert_ne!(one, two, "{}", version.as_str());
        }
    }
}
