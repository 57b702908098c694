# Leaves the process of a run as dirty as it can without ending it, when the
# variable dirty says so.

from __future__ import annotations

import builtins
import gc
import logging
import os
import resource
import signal
import socket
import sys
import threading
import warnings

from ansible import constants
from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
    name: dirt
    type: aggregate
    short_description: leaves dirt
    description: Changes all that a process has.
"""


def soil():
    os.chdir("/")
    os.umask(0)
    os.nice(1)
    os.environ["DIRT"] = "yes"
    os.environ["ANSIBLE_STDOUT_CALLBACK"] = "minimal"
    os.environ["LC_ALL"] = "C"
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 512), hard))
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGALRM):
        signal.signal(number, lambda *_: None)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2, signal.SIGWINCH])
    for _ in range(5):
        os.set_inheritable(os.open("/etc/passwd", os.O_RDONLY), True)
    threading.Thread(target=threading.Event().wait, daemon=True).start()
    sys.path.insert(0, "/dirt")
    sys.setrecursionlimit(5000)
    sys.dont_write_bytecode = True
    sys.modules["dirt_of_another_run"] = sys
    builtins.dirt = "dirt"
    gc.disable()
    warnings.simplefilter("ignore")
    logging.basicConfig(level=1)
    socket.setdefaulttimeout(12)
    constants.DEFAULT_FORKS = 99
    constants.DEFAULT_BECOME_USER = "dirt"
    constants.DEFAULT_KEEP_REMOTE_FILES = True


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "dirt"
    CALLBACK_NEEDS_ENABLED = False

    def v2_playbook_on_play_start(self, play):
        if play.get_variable_manager().extra_vars.get("dirty"):
            soil()
