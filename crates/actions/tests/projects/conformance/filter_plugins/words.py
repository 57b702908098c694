# Filters of the project.

from __future__ import annotations

from ansible.errors import AnsibleFilterError

# Grows with every call in one process: nothing may be left of another run.
CALLS = []


def backwards(text):
    return str(text)[::-1]


def calls(text):
    CALLS.append(str(text))
    return len(CALLS)


def refuse(text):
    raise AnsibleFilterError("refused: %s" % text)


class FilterModule:
    def filters(self):
        return {"backwards": backwards, "calls": calls, "refuse": refuse}
