# Writes down what the process of a run is when its first play begins, beside
# what the playbook itself leaves: a warm run must find itself as a cold one
# does.

from __future__ import annotations

import gc
import json
import locale
import logging
import os
import resource
import signal
import socket
import stat
import subprocess
import sys
import threading
import warnings

from ansible import constants, context
from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
    name: probe
    type: aggregate
    short_description: writes down what the process of a run is
    description: Writes a JSON file below the directory that the variable work names.
"""


def umask():
    mask = os.umask(0o22)
    os.umask(mask)
    return "%04o" % mask


def kind(descriptor):
    """What is open, and how, without what differs from run to run."""
    try:
        mode = os.fstat(descriptor).st_mode
        target = os.readlink("/proc/self/fd/%d" % descriptor)
    except OSError:
        return None
    if target.startswith("/proc/"):
        # The directory that is being read.
        return None
    for test, name in (
        (stat.S_ISFIFO, "pipe"),
        (stat.S_ISSOCK, "socket"),
        (stat.S_ISCHR, target),
        (stat.S_ISDIR, "directory " + target),
        (stat.S_ISREG, "file"),
    ):
        if test(mode):
            return "%s%s" % (name, "" if os.get_inheritable(descriptor) else " closed on exec")
    return target


def descriptors():
    found = {}
    for name in sorted(os.listdir("/proc/self/fd"), key=int):
        what = kind(int(name))
        if what is not None:
            found[name] = what
    # Those that Ansible opens itself have other numbers on other days.
    standard = {name: found.pop(name) for name in ("0", "1", "2") if name in found}
    return {"standard": standard, "others": sorted(found.values())}


def handler(number):
    try:
        found = signal.getsignal(number)
    except ValueError:
        return "unknown"
    return getattr(found, "name", None) or getattr(found, "__qualname__", None) or str(found)


def status(*names):
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        lines = dict(line.split(":", 1) for line in file if ":" in line)
    return {name: lines[name].strip() for name in names if name in lines}


def process():
    return {
        "directory": os.getcwd(),
        "umask": umask(),
        "environment": {
            name: value for name, value in os.environ.items()
        },
        "environment of its children": sorted(
            line.split("=", 1)[0]
            for line in subprocess.run(["env"], stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
            if "=" in line
        ),
        "descriptors": descriptors(),
        "signals": {number.name: handler(number) for number in signal.valid_signals() if hasattr(number, "name")},
        "masks": status("SigBlk", "SigIgn", "SigCgt", "NoNewPrivs", "CapEff", "Groups", "Uid", "Gid"),
        "limits": {
            name: resource.getrlimit(getattr(resource, name))
            for name in dir(resource) if name.startswith("RLIMIT_")
        },
        "nice": os.getpriority(os.PRIO_PROCESS, 0),
        "threads": threading.active_count(),
        "leads its group": os.getpgrp() == os.getpid(),
        "terminal": [os.isatty(number) for number in (0, 1, 2)],
    }


def interpreter():
    return {
        "arguments": sys.argv,
        "path": [place for place in sys.path],
        "flags": str(sys.flags),
        "encodings": [
            sys.getfilesystemencoding(), sys.getdefaultencoding(), sys.stdout.encoding, sys.stderr.encoding,
            sys.stdin.encoding, sys.stdout.errors, sys.stderr.errors, locale.setlocale(locale.LC_ALL),
        ],
        "buffers": [sys.stdout.line_buffering, sys.stdout.write_through, sys.stderr.line_buffering],
        "files": [sys.stdin.fileno(), sys.stdout.fileno(), sys.stderr.fileno()],
        "main": [sys.modules["__main__"].__name__, os.path.basename(getattr(sys.modules["__main__"], "__file__", "") or "")],
        "recursion": sys.getrecursionlimit(),
        "collector": [gc.isenabled(), gc.get_threshold()],
        "hooks": [sys.excepthook is sys.__excepthook__, sys.displayhook is sys.__displayhook__, sys.gettrace() is None],
        "warnings": [str(one[0]) for one in warnings.filters],
        "logging": [logging.getLogger().level, len(logging.getLogger().handlers)],
        "timeout": socket.getdefaulttimeout(),
        "switch": sys.getswitchinterval(),
    }


def ansible():
    names = [
        name for name in dir(constants)
        if name.isupper() and isinstance(getattr(constants, name), (str, int, list, tuple, dict, bool, type(None)))
    ]
    values = {name: getattr(constants, name) for name in names}
    # A directory of the run's own, whose name is made by chance.
    temporary = values.pop("DEFAULT_LOCAL_TMP", "")
    options = dict(context.CLIARGS)
    # Some versions keep them in sets, which have an order of chance.
    for name in ("tags", "skip_tags"):
        options[name] = sorted(options[name])
    return {
        "options": {name: repr(value) for name, value in options.items()},
        "constants": {name: repr(value) for name, value in values.items()},
        "temporary": [os.path.dirname(temporary), os.path.isdir(temporary), os.listdir(temporary)],
    }


def parent():
    """What the process that started the run was started with."""
    with open("/proc/%d/cmdline" % os.getppid(), "rb") as file:
        return file.read().decode(errors="replace").split("\0")


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "probe"
    CALLBACK_NEEDS_ENABLED = False

    is_done = False

    def v2_playbook_on_play_start(self, play):
        work = play.get_variable_manager().extra_vars.get("work")
        if work is None or type(self).is_done:
            return
        type(self).is_done = True
        document = {"parent": parent(), "process": process(), "interpreter": interpreter(), "ansible": ansible()}
        with open(os.path.join(str(work), ".probe.json"), "w", encoding="utf-8") as file:
            json.dump(document, file, indent=1, sort_keys=True, default=str)
