# Leaves work for the end of the process, when the variable late says so: a
# file that is not closed, a function to call at the exit, a thread.

from __future__ import annotations

import atexit
import os
import threading

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
    name: late
    type: aggregate
    short_description: leaves work for the end
    description: Writes files when the process ends.
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "late"
    CALLBACK_NEEDS_ENABLED = False

    def v2_playbook_on_play_start(self, play):
        extra_vars = play.get_variable_manager().extra_vars
        if not extra_vars.get("late"):
            return
        self.work = str(extra_vars["work"])
        self.held = open(os.path.join(self.work, "held"), "w", encoding="utf-8")
        self.held.write("written and not closed\n")
        atexit.register(self.note, "at-exit")

    def v2_playbook_on_stats(self, stats):
        if hasattr(self, "work"):
            threading.Timer(0.2, self.note, ["of-a-thread"]).start()

    def note(self, name):
        with open(os.path.join(self.work, name), "w", encoding="utf-8") as file:
            file.write("done\n")
