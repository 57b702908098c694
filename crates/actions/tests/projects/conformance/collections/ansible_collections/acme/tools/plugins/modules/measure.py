#!/usr/bin/python
# A module of a collection.

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.acme.tools.plugins.module_utils.ruler import length


def main():
    module = AnsibleModule(
        argument_spec={"text": {"type": "str", "default": "none"}, "unit": {"type": "str", "default": "letters"}},
        supports_check_mode=True,
    )
    module.exit_json(changed=True, length="%d %s" % (length(module.params["text"]), module.params["unit"]))


if __name__ == "__main__":
    main()
