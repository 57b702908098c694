//! A project's plugin wins over the shipped one of the same name, also when it
//! comes after a fork server has loaded the shipped one, and no longer when it
//! has gone.

use testkit::tools::Ansible;

use super::{
    case::Case,
    theatre::{Theatre, Way},
};

/// A file that stands in front of a plugin that comes with ansible-core. What
/// it does is seen in the output as `SHADOW`.
struct Shadow {
    path: &'static str,
    text: &'static str,
}

const SHADOWS: [Shadow; 7] = [
    Shadow {
        path: "filter_plugins/core.py",
        text: "class FilterModule:\n    def filters(self):\n        return {'flatten': lambda items: 'SHADOW'}\n",
    },
    Shadow {
        path: "lookup_plugins/env.py",
        text: "from ansible.plugins.lookup import LookupBase\nclass LookupModule(LookupBase):\n    def run(self, terms, variables=None, **kwargs):\n        return ['SHADOW']\n",
    },
    Shadow {
        path: "action_plugins/debug.py",
        text: "from ansible.plugins.action import ActionBase\nclass ActionModule(ActionBase):\n    _VALID_ARGS = frozenset(('msg', 'var', 'verbosity'))\n    def run(self, tmp=None, task_vars=None):\n        return {'msg': 'SHADOW', '_ansible_verbose_always': True}\n",
    },
    Shadow {
        path: "callback_plugins/default.py",
        text: r"
from ansible.plugins.callback import CallbackBase
DOCUMENTATION = '''
    name: default
    type: stdout
    short_description: not the one that is shipped
    description: It has an option that the shipped one does not have.
    options:
      shadow:
        description: What is printed.
        type: str
        default: SHADOW
'''
class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = 'stdout'
    CALLBACK_NAME = 'default'
    def v2_playbook_on_start(self, playbook):
        self._display.display(self.get_option('shadow'))
",
    },
    Shadow {
        path: "library/ping.py",
        text: "#!/usr/bin/python\nfrom ansible.module_utils.basic import AnsibleModule\nAnsibleModule(argument_spec={}).exit_json(ping='SHADOW')\n",
    },
    Shadow {
        path: "vars_plugins/host_group_vars.py",
        text: "from ansible.plugins.vars import BaseVarsPlugin\nclass VarsModule(BaseVarsPlugin):\n    REQUIRES_ENABLED = False\n    def get_vars(self, loader, path, entities, cache=True):\n        return {'of_plugin': 'SHADOW'}\n",
    },
    Shadow {
        path: "strategy_plugins/linear.py",
        text: "from ansible.plugins.strategy.free import StrategyModule as Free\nfrom ansible.utils.display import Display\nclass StrategyModule(Free):\n    def run(self, iterator, play_context):\n        Display().display('SHADOW')\n        return super().run(iterator, play_context)\n",
    },
];

const PLAYBOOK: &str = r#"
- hosts: alpha
  gather_facts: false
  tasks:
    - ping:
      register: pinged
    - debug:
        msg:
          - "filter {{ [[1]] | flatten }}"
          - "lookup {{ lookup('env', 'LANG') }}"
          - "module {{ pinged.ping }}"
          - "variables {{ of_plugin | default('none') }}"
"#;

async fn check(version: Ansible) {
    let Some(theatre) = Theatre::open(version).await else {
        return;
    };
    fs_err::write(theatre.project.join("shadows.yml"), PLAYBOOK).unwrap();
    let case = Case::of("shadows");
    let plain = theatre.run(&case, Way::Warm).await;
    assert!(!plain.output.contains("SHADOW"), "{}", plain.output);

    for shadow in &SHADOWS {
        let path = theatre.project.join(shadow.path);
        let before = fs_err::read(&path).ok();
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(&path, shadow.text).unwrap();
        let cold = theatre.run(&case, Way::Cold).await;
        let warm = theatre.run(&case, Way::Warm).await;
        match before {
            Some(text) => fs_err::write(&path, text).unwrap(),
            None => fs_err::remove_file(&path).unwrap(),
        }
        let name = format!("{}, `{}`", version.as_str(), shadow.path);
        assert!(cold.output.contains("SHADOW"), "{name}: {}", cold.output);
        if let Some(difference) = cold.difference(&warm) {
            panic!("{name}: - cold, + warm\n{difference}");
        }
    }
    let last = theatre.run(&case, Way::Warm).await;
    assert_eq!(None, plain.difference(&last), "{}", version.as_str());
}

#[tokio::test]
async fn a_plugin_of_the_project_wins_over_a_shipped_one() {
    check(Ansible::Oldest).await;
    check(Ansible::Newest).await;
}
