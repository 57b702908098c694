"""Tells whether an action leaves a trace in ansible-core's modules.

The action is tried in a fork, and everything that can be reached from the
modules of `ansible` there is compared with what it was: global variables,
attributes of functions and classes, sizes of caches, objects, and the list of
modules itself. The process that asks is not touched.
"""

import functools
import json
import os
import sys
import types

# A container or an object that lies deeper is compared by what it is only.
DEPTH = 5
PLAIN = (type(None), bool, int, float, complex, str, bytes)
# Caches of `abc`; which classes were asked about each other is no state.
UNTOLD = ("_abc_impl", "__weakref__", "__dict__", "__builtins__", "__warningregistry__")
# A shipped filter's own type, told to the templating by the module that has it.
EXPECTED = ("ansible._internal._templating._lazy_containers._KNOWN_TYPES",)


def first_difference(action):
    """Where a trace is found, or what went wrong. `None`: there is none."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(ours)
            told = compare(action)
        except BaseException as error:
            told = "%s: %s" % (type(error).__name__, error)
        os.write(theirs, json.dumps(told)[:4000].encode())
        os._exit(0)
    os.close(theirs)
    with os.fdopen(ours, "rb") as file:
        told = file.read()
    os.waitpid(pid, 0)
    return json.loads(told) if told else "the trial ended without a result"


def compare(action):
    # A module that is imported meanwhile is no trace: a run imports it, too.
    modules = [name for name in sorted(sys.modules) if is_ansible(name)]
    before = Picture(modules)
    action()
    after = Picture(modules)
    for place in sorted(set(before.found) | set(after.found)):
        is_other = before.found.get(place) != after.found.get(place)
        if is_other and not place.startswith(EXPECTED):
            return "priming changes `%s`" % place
    return None


class Picture:
    """What can be reached, by place."""

    def __init__(self, modules):
        self.found = {}
        # Kept, so that no number is given to another object meanwhile.
        self.seen = {}
        for name in modules:
            module = sys.modules.get(name)
            self.found[name] = "module at %d" % id(module)
            self.members(name, vars(module) if module else {}, DEPTH)
        self.found["ansible_collections"] = [
            name for name in sorted(sys.modules) if name.startswith("ansible_coll")
        ]
        self.found["plugins"] = [name for name in sorted(sys.modules) if is_plugin(name)]
        self.found["sys.meta_path"] = repr([type(one) for one in sys.meta_path])
        self.found["sys.path_hooks"] = len(sys.path_hooks)
        self.found["sys.path"] = repr(sys.path)
        self.found["os.environ"] = repr(sorted(os.environ.items()))

    def members(self, place, members, depth):
        for name, value in list(members.items()):
            if name not in UNTOLD:
                self.look("%s.%s" % (place, name), value, depth)

    def look(self, place, value, depth):
        if isinstance(value, types.ModuleType):
            return
        if isinstance(value, PLAIN):
            self.found[place] = repr(value)
            return
        self.found[place] = "%s at %d" % (type(value).__name__, id(value))
        if id(value) in self.seen or depth == 0:
            return
        self.seen[id(value)] = value
        if isinstance(value, functools._lru_cache_wrapper):
            self.found[place + "()"] = value.cache_info().currsize
        elif isinstance(value, types.FunctionType):
            self.members(place, vars(value), depth - 1)
        elif isinstance(value, type):
            if is_ansible(value.__module__):
                self.members(place, vars(value), depth - 1)
        elif isinstance(value, dict):
            self.found[place + "[]"] = len(value)
            for key, member in list(value.items()):
                self.look("%s[%.80r]" % (place, key), member, depth - 1)
        elif isinstance(value, (list, tuple, set, frozenset)):
            self.found[place + "[]"] = len(value)
            if isinstance(value, (list, tuple)):
                for number, member in enumerate(value):
                    self.look("%s[%d]" % (place, number), member, depth - 1)
        elif is_ansible(type(value).__module__):
            self.members(place, getattr(value, "__dict__", {}), depth - 1)


def is_plugin(name):
    """Whether it is found by Ansible's loaders, not only by Python's."""
    return name.startswith("ansible.plugins.") and name.count(".") > 2


def is_ansible(name):
    if not isinstance(name, str):
        return False
    # `six` finds its names when they are first asked for.
    is_six = name.startswith("ansible.module_utils.six")
    return name.split(".", 1)[0] == "ansible" and not is_six
