# Tells Lariat how a playbook ended: what `set_stats` collected, and the recap
# in numbers, as one JSON object on the descriptor that LARIAT_RESULT_FD names.
#
# It prints nothing and needs no enabling. It also closes a hole that
# ansible-core has before 2.19: untrusted data reached through `hostvars`, a
# lookup, or the keys of a mapping lost its mark on the way through a template,
# and was templated again when it was kept as a fact.

from __future__ import annotations

import datetime
import json
import os

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
    name: lariat_result
    type: aggregate
    short_description: hands the result of a playbook to Lariat
    description: Writes custom stats and the recap to a file descriptor.
"""

NAMES_MAX = 20


MARKERS = ("{{", "{%", "{#", "#jinja2:")


def holds_marker(value):
    if isinstance(value, str):
        return any(marker in value for marker in MARKERS)
    if isinstance(value, dict):
        return any(holds_marker(key) or holds_marker(one) for key, one in value.items())
    if isinstance(value, (list, tuple)):
        return any(holds_marker(one) for one in value)
    return False


def template_once():
    """What came out of a template is not a template, as from 2.19 on."""
    try:
        from ansible.template import Templar
        from ansible.utils.unsafe_proxy import wrap_var
        do_template = Templar.do_template
    except (ImportError, AttributeError):
        return

    def once(self, *args, **kwargs):
        done = do_template(self, *args, **kwargs)
        return wrap_var(done) if holds_marker(done) else done

    Templar.do_template = once


template_once()


def plain(value):
    """The value as JSON; what JSON has no word for is described."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        number = float(value)
        finite = number == number and number not in (float("inf"), float("-inf"))
        return number if finite else str(number)
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(one) for one in value]
    if isinstance(value, (datetime.date, datetime.datetime)):
        return value.isoformat()
    # Not its text: it may be a secret that is still encrypted.
    return "<%s>" % type(value).__name__


def recap(stats):
    hosts = sorted(stats.processed)
    totals = [stats.summarize(host) for host in hosts]

    def named(what):
        return [str(host) for host, total in zip(hosts, totals) if total[what]]

    failed, unreachable = named("failures"), named("unreachable")
    return {
        "hosts": len(hosts),
        "ok": sum(total["ok"] for total in totals),
        "changed": sum(total["changed"] for total in totals),
        "failed": len(failed),
        "failed_names": failed[:NAMES_MAX],
        "unreachable": len(unreachable),
        "unreachable_names": unreachable[:NAMES_MAX],
    }


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "lariat_result"
    CALLBACK_NEEDS_ENABLED = False

    def v2_playbook_on_stats(self, stats):
        number = os.environ.get("LARIAT_RESULT_FD", "")
        if not number.isdigit():
            return
        custom = stats.custom.get("_run") or {}
        document = {"recap": recap(stats), "result": plain(custom) or None}
        data = json.dumps(document, allow_nan=False).encode("ascii")
        descriptor = int(number)
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        while data:
            data = data[os.write(descriptor, data):]
