# As dirty as a task's own process can make itself.

from __future__ import annotations

import os
import signal
import sys

from ansible.plugins.loader import filter_loader
from ansible.plugins.lookup import LookupBase


class LookupModule(LookupBase):
    def run(self, terms, variables=None, **kwargs):
        os.chdir("/")
        os.umask(0)
        os.environ["DIRT"] = "lookup"
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        sys.path.append("/dirt")
        filter_loader.get("backwards")
        variables["leak"] = "leaked"
        return ["dirty"]
