# A callback of a collection that has to be enabled.

from __future__ import annotations

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
    name: tally
    type: aggregate
    short_description: counts tasks
    description: Prints how many tasks began.
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "acme.tools.tally"
    CALLBACK_NEEDS_ENABLED = True

    tasks = 0

    def v2_playbook_on_task_start(self, task, is_conditional):
        type(self).tasks += 1

    def v2_playbook_on_stats(self, stats):
        self._display.display("TALLY %d" % type(self).tasks)
