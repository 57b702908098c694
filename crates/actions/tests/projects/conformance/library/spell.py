#!/usr/bin/python
# A module of the project that uses a module_util of the project.

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.spelling import spell


def main():
    module = AnsibleModule(
        argument_spec={
            "word": {"type": "str", "required": True},
            "secret": {"type": "str", "no_log": True},
            "old": {"type": "str", "removed_in_version": "9.0", "removed_from_collection": "ansible.builtin"},
            "warn": {"type": "int", "default": 0},
        },
        supports_check_mode=True,
    )
    for _ in range(module.params["warn"]):
        module.warn("the word %s is odd" % module.params["word"])
    module.exit_json(changed=False, spelled=spell(module.params["word"]), secret=module.params["secret"])


if __name__ == "__main__":
    main()
