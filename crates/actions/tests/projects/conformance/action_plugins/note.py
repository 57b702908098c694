# Writes a line to a file of the run's own directory, from the process of the
# task itself: the quickest change that can be seen afterwards.

from __future__ import annotations

import os

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    TRANSFERS_FILES = False

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        if self._task.check_mode:
            result.update(changed=True, skipped=True, msg="not in check mode")
            return result
        path = os.path.join(str(task_vars["work"]), self._task.args["name"])
        with open(path, "a", encoding="utf-8") as file:
            file.write("%s\n" % self._task.args["text"])
        result.update(changed=True)
        return result
