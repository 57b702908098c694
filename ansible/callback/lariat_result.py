# Tells Lariat what a playbook does. While it runs, each play, each task and
# each result of a host becomes a line of JSON on the descriptor that
# LARIAT_TASKS_FD names. At its end, what `set_stats` collected and the recap in
# numbers go, as one JSON object, to the descriptor that LARIAT_RESULT_FD names.
#
# It prints nothing and needs no enabling. Nothing that it does can fail a play,
# and it says no more than Ansible's plain output does: what `no_log` hides
# there is not said here, and custom stats that were set under it are left out.
#
# It also closes a hole that ansible-core has before 2.19: untrusted data reached
# through `hostvars`, a lookup, or the keys of a mapping lost its mark on the way
# through a template, and was templated again when it was kept as a fact.

from __future__ import annotations

import datetime
import functools
import json
import os
import select
import time

from ansible.executor.stats import AggregateStats
from ansible.playbook.handler import Handler
from ansible.playbook.task_include import TaskInclude
from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
    name: lariat_result
    type: aggregate
    short_description: hands the results of a playbook to Lariat
    description: Writes results of tasks, custom stats and the recap to file descriptors.
"""

NAMES_MAX = 20

# Bytes of what a line may hold. Escaping at most doubles them, so a line stays
# below the 64 KiB that its reader takes.
NAME_BYTES = 512
MESSAGE_BYTES = 2 * 1024
DIFF_BYTES = 16 * 1024
LABEL_BYTES = 256
ITEM_MESSAGE_BYTES = 512
# Items of a loop whose failure is told.
ITEMS_MAX = 5
# A difference between longer texts is not computed a second time.
DIFF_INPUT_BYTES = 512 * 1024
# How long lines wait for their reader, all together, and how much of that a
# second that was not waited gives back: no reader slows a play down by more.
PATIENCE_SECONDS = 10.0
PATIENCE_REGAINED = 0.1


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
    if getattr(do_template, "is_lariats", False):
        return

    def once(self, *args, **kwargs):
        done = do_template(self, *args, **kwargs)
        return wrap_var(done) if holds_marker(done) else done

    once.is_lariats = True
    Templar.do_template = once


class Counted:
    """What Ansible counted since a result was last told.

    Ansible counts a result, and keeps the custom stats that came with it, just
    before it tells callbacks of it. How it was counted is what the recap will
    say of it: whether a failure was rescued is not to be had otherwise.
    """

    def __init__(self):
        self.counts = []
        self.stats = []

    def take(self, host):
        counts = {what for what, name in self.counts if name == host}
        stats = self.stats
        self.counts, self.stats = [], []
        return counts, stats


COUNTED = Counted()


def watch_counts():
    """Has every count of Ansible noted in COUNTED."""
    if getattr(AggregateStats.increment, "is_lariats", False):
        return

    def watching(method, note):
        @functools.wraps(method)
        def watched(self, first, second, *args, **kwargs):
            note(first, second)
            return method(self, first, second, *args, **kwargs)

        watched.is_lariats = True
        return watched

    def note_count(what, host):
        COUNTED.counts.append((str(what), str(host)))

    def note_stat(which, _what):
        COUNTED.stats.append(which)

    AggregateStats.increment = watching(AggregateStats.increment, note_count)
    AggregateStats.set_custom_stats = watching(AggregateStats.set_custom_stats, note_stat)
    AggregateStats.update_custom_stats = watching(AggregateStats.update_custom_stats, note_stat)


template_once()
watch_counts()


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


def text_of(value):
    """A value as text for people."""
    value = plain(value)
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def is_safe(character):
    return character in "\n\t" or not (character < " " or "\x7f" <= character <= "\x9f")


def cut(value, most):
    """A text of at most `most` bytes of UTF-8, without control characters."""
    # More characters than bytes there cannot be.
    text = text_of(value)[: most + 1]
    text = "".join(one if is_safe(one) else "\ufffd" for one in text)
    data = text.encode("utf-8", "replace")
    if len(data) <= most:
        return data.decode("utf-8")
    return data[: most - 3].decode("utf-8", "ignore") + "\u2026"


def name(value):
    return cut(value, NAME_BYTES).replace("\n", " ").replace("\t", " ").strip()


def is_censored(task, result):
    """Whether `no_log` hides this result, or may be meant to."""
    if "censored" in result or result.get("_ansible_no_log"):
        return True
    if task.no_log is True:
        return True
    # A condition that never was evaluated, as when the task could not begin.
    return isinstance(task.no_log, str) and result.get("_ansible_no_log") is None


def message_of(result):
    """What went wrong, in the words of the module."""
    parts = []
    for key in ("msg", "reason", "stderr", "module_stderr"):
        value = result.get(key)
        if value not in (None, "", [], {}):
            text = text_of(value).strip()
            if text and not any(text in part for part in parts):
                parts.append(text)
    return "\n".join(parts)


class Lines:
    """The way to the reader, one line at a time."""

    def __init__(self, descriptor):
        self.descriptor = descriptor
        # The beginning of a line is on the way, and its end is not.
        self.is_torn = False
        self.patience = PATIENCE_SECONDS
        self.waited = time.monotonic()
        self.left_out = 0
        if descriptor is not None:
            # The reader's end is not ours: this changes nothing for it.
            os.set_blocking(descriptor, False)

    def send(self, line):
        """Sends a line, or leaves it out."""
        if self.descriptor is None:
            return
        data = json.dumps(line, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        data = data.encode("utf-8", "replace") + b"\n"
        if self.is_torn:
            data = b"\n" + data
        try:
            rest = self.write(data)
        except OSError:
            # Nobody reads any more.
            self.descriptor = None
            return
        if rest:
            self.left_out += 1
            self.is_torn = self.is_torn or len(rest) < len(data)
        else:
            self.is_torn = False

    def write(self, data):
        """Writes what goes, and returns the rest."""
        while data:
            try:
                data = data[os.write(self.descriptor, data):]
            except BlockingIOError:
                if not self.wait():
                    break
        return data

    def wait(self):
        """Waits for room as long as there is patience; whether there may be some."""
        begun = time.monotonic()
        regained = (begun - self.waited) * PATIENCE_REGAINED
        self.patience = min(self.patience + regained, PATIENCE_SECONDS)
        poll = select.poll()
        poll.register(self.descriptor, select.POLLOUT)
        is_ready = bool(poll.poll(self.patience * 1000))
        self.waited = time.monotonic()
        self.patience = max(self.patience - (self.waited - begun), 0.0)
        return is_ready


def descriptor_of(variable):
    """The open descriptor that a variable names."""
    number = os.environ.get(variable, "")
    if not (number.isascii() and number.isdigit()):
        return None
    try:
        os.fstat(int(number))
    except (OSError, OverflowError):
        return None
    return int(number)


def counts_of(stats, host):
    total = stats.summarize(host)
    return {
        "ok": total["ok"],
        "changed": total["changed"],
        "unreachable": total["unreachable"],
        "failed": total["failures"],
        "skipped": total["skipped"],
        "rescued": total["rescued"],
        "ignored": total["ignored"],
    }


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


def harmless(method):
    """A callback that fails would fail the play."""

    @functools.wraps(method)
    def guarded(self, *args, **kwargs):
        try:
            method(self, *args, **kwargs)
        except Exception as error:  # pylint: disable=broad-except
            self._display.vv("lariat_result: %s: %s" % (method.__name__, type(error).__name__))

    return guarded


class Items:
    """What became of the items of a loop on one host."""

    def __init__(self):
        self.counts = {"ok": 0, "changed": 0, "failed": 0, "skipped": 0}
        self.failures = []
        self.is_censored = False

    def add(self, status, task, result):
        self.counts[status] += 1
        censored = is_censored(task, result)
        self.is_censored = self.is_censored or censored
        if status != "failed" or len(self.failures) >= ITEMS_MAX:
            return
        failure = {}
        if censored:
            failure["censored"] = True
        else:
            label = result.get("_ansible_item_label", result.get("item"))
            failure["item"] = cut(label, LABEL_BYTES)
            message = message_of(result)
            if message:
                failure["message"] = cut(message, ITEM_MESSAGE_BYTES)
        self.failures.append(failure)

    def line(self):
        return dict(self.counts, failures=self.failures)


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "lariat_result"
    CALLBACK_NEEDS_ENABLED = False

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.lines = Lines(descriptor_of("LARIAT_TASKS_FD"))
        self.play = ""
        # By host and task: when it began, its items, its differences.
        self.began = {}
        self.items = {}
        self.diffs = {}
        # The names of custom stats that no_log hides.
        self.hidden_stats = set()

    def task_line(self, kind, task):
        line = {"event": kind, "play": self.play, "task": name(task.get_name())}
        if isinstance(task, Handler):
            line["handler"] = True
        return line

    def place(self, host, task):
        return str(host.get_name()), str(task._uuid)

    def begin(self, task):
        line = self.task_line("task", task)
        line["action"] = name(task.action)
        role = getattr(task, "_role", None)
        if role is not None:
            line["role"] = name(role.get_name())
        self.lines.send(line)

    def item(self, result, status):
        place = self.place(result._host, result._task)
        items = self.items.setdefault(place, Items())
        items.add(status, result._task, result._result)

    def end(self, result, default, is_told=True):
        """Tells what became of a task on a host."""
        task, values = result._task, result._result
        host = result._host.get_name()
        place = self.place(result._host, task)
        counts, stats = COUNTED.take(str(host))
        began = self.began.pop(place, None)
        items = self.items.pop(place, None)
        diffs = self.diffs.pop(place, None)
        censored = is_censored(task, values)
        if censored or (items is not None and items.is_censored):
            self.hidden_stats.update(str(one) for one in stats)
        if not is_told:
            return

        status = default
        for word, counted in (
            ("rescued", "rescued"),
            ("ignored", "ignored"),
            ("failed", "failures"),
            ("unreachable", "dark"),
            ("skipped", "skipped"),
            ("changed", "changed"),
            ("ok", "ok"),
        ):
            if counted in counts:
                status = word
                break
        line = self.task_line("result", task)
        line["host"] = name(host)
        line["status"] = status
        if began is not None:
            line["duration_ms"] = max(0, int((time.monotonic() - began) * 1000))
        delegated = values.get("_ansible_delegated_vars")
        delegated = delegated.get("ansible_delegated_host") if isinstance(delegated, dict) else None
        if delegated is None and isinstance(task.delegate_to, str):
            delegated = task.delegate_to
        if delegated is not None and not holds_marker(delegated):
            line["delegated_to"] = name(delegated)
        tries = values.get("attempts")
        if isinstance(tries, int) and not isinstance(tries, bool) and tries > 1:
            line["tries"] = int(tries)
        if items is not None:
            line["items"] = items.line()
        if censored:
            line["censored"] = True
        else:
            message = self.message(status, values)
            if message:
                line["message"] = cut(message, MESSAGE_BYTES)
            if diffs:
                line["diff"] = cut("".join(diffs), DIFF_BYTES)
        self.lines.send(line)

    def message(self, status, values):
        if status in ("failed", "unreachable", "rescued", "ignored"):
            return message_of(values)
        if status == "skipped":
            condition = values.get("false_condition")
            reason = text_of(values.get("skip_reason") or values.get("msg") or "")
            return reason if condition is None else "%s: %s" % (reason, text_of(condition))
        # As in the plain output: only what was printed to be read.
        if values.get("_ansible_verbose_always"):
            return text_of(values.get("msg") or "")
        if values.get("ansible_job_id") and not values.get("finished"):
            return "goes on as job %s" % text_of(values["ansible_job_id"])
        return ""

    @harmless
    def v2_playbook_on_play_start(self, play):
        self.play = name(play.get_name())
        self.began, self.items, self.diffs = {}, {}, {}
        self.lines.send({"event": "play", "play": self.play})

    @harmless
    def v2_playbook_on_task_start(self, task, is_conditional):
        self.begin(task)

    @harmless
    def v2_playbook_on_cleanup_task_start(self, task):
        self.begin(task)

    @harmless
    def v2_playbook_on_handler_task_start(self, task):
        self.begin(task)

    @harmless
    def v2_runner_on_start(self, host, task):
        self.began[self.place(host, task)] = time.monotonic()

    @harmless
    def v2_runner_item_on_ok(self, result):
        self.item(result, "changed" if result._result.get("changed") else "ok")

    @harmless
    def v2_runner_item_on_failed(self, result):
        self.item(result, "failed")

    @harmless
    def v2_runner_item_on_skipped(self, result):
        self.item(result, "skipped")

    @harmless
    def v2_on_file_diff(self, result):
        if is_censored(result._task, result._result):
            return
        values = result._result
        # An item of a loop comes by itself, or all of them at once.
        if isinstance(values.get("results"), list):
            found = [one for one in values["results"] if isinstance(one, dict)]
        else:
            found = [values]
        for one in found:
            if one.get("diff") and one.get("changed") and not one.get("_ansible_no_log"):
                self.keep_diff(result, one["diff"])

    def keep_diff(self, result, diff):
        kept = self.diffs.setdefault(self.place(result._host, result._task), [])
        if sum(len(one) for one in kept) >= DIFF_BYTES:
            return
        sides = diff if isinstance(diff, list) else [diff]
        size = sum(
            len(text_of(side.get(key) or ""))
            for side in sides
            if isinstance(side, dict)
            for key in ("before", "after")
        )
        if size > DIFF_INPUT_BYTES:
            kept.append("[the difference of %d bytes is left out]\n" % size)
        else:
            kept.append(str(self._get_diff(diff)))

    @harmless
    def v2_runner_on_ok(self, result):
        # Where an include led to is told by itself.
        told = not isinstance(result._task, TaskInclude)
        self.end(result, "changed" if result._result.get("changed") else "ok", told)

    @harmless
    def v2_runner_on_failed(self, result, ignore_errors=False):
        self.end(result, "ignored" if ignore_errors else "failed")

    @harmless
    def v2_runner_on_skipped(self, result):
        self.end(result, "skipped")

    @harmless
    def v2_runner_on_unreachable(self, result):
        self.end(result, "unreachable")

    @harmless
    def v2_playbook_on_include(self, included_file):
        task = included_file._task
        for host in (one.get_name() for one in included_file._hosts):
            COUNTED.take(str(host))
            line = self.task_line("result", task)
            line["host"] = name(host)
            line["status"] = "ok"
            if is_censored(task, {"_ansible_no_log": False}):
                line["censored"] = True
            else:
                line["message"] = cut("included: %s" % included_file._filename, MESSAGE_BYTES)
            self.lines.send(line)

    @harmless
    def v2_playbook_on_stats(self, stats):
        # First what tells how it ended, whoever reads the rest.
        self.keep_result(stats)
        for host in sorted(stats.processed):
            self.lines.send(dict({"event": "recap", "host": name(host)}, **counts_of(stats, host)))
        if self.lines.left_out:
            self.lines.send({"event": "left_out", "count": self.lines.left_out})

    def keep_result(self, stats):
        descriptor = descriptor_of("LARIAT_RESULT_FD")
        if descriptor is None:
            return
        custom = stats.custom.get("_run") or {}
        shown = {key: one for key, one in custom.items() if str(key) not in self.hidden_stats}
        document = {"recap": recap(stats), "result": plain(shown) or None}
        data = json.dumps(document, allow_nan=False).encode("ascii")
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        while data:
            data = data[os.write(descriptor, data):]
