# What the process of a task is: a lookup runs in it.

from __future__ import annotations

import os
import signal

from ansible.plugins.lookup import LookupBase


def umask():
    mask = os.umask(0o22)
    os.umask(mask)
    return "%04o" % mask


class LookupModule(LookupBase):
    def run(self, terms, variables=None, **kwargs):
        known = {
            "directory": os.getcwd,
            "umask": umask,
            "home": lambda: os.environ.get("HOME", ""),
            "pipe": lambda: str(signal.getsignal(signal.SIGPIPE)),
        }
        return [known[str(term)]() for term in terms]
