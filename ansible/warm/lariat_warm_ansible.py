"""Ansible in the warm server: how it is imported, what a run is given of its
own, and what makes this process useless.

What the import reads, it reads once: the configuration, the environment, its
own files. `Warm.reason_against` compares all of it before every run; a run
that would find something else in a fresh process is refused, and goes cold.
"""

import atexit
import importlib
import os
import platform
import re
import sys

import lariat_warm_bytecode as bytecode
import lariat_warm_shelf as shelves
import lariat_warm_trace as trace

# Settings that differ from run to run and can be set after the import.
OF_A_RUN = ("DEFAULT_CALLBACK_PLUGIN_PATH", "DEFAULT_LOCAL_TMP")
# Variables that Python, a library or Ansible reads while it is started.
OF_THE_START = (
    "ANSIBLE_CONFIG",
    "HOME",
    "LANG",
    "LANGUAGE",
    "LNAME",
    "LOGNAME",
    "TERM",
    "USER",
    "USERNAME",
)
OF_THE_START_PREFIXES = (
    "CRYPTOGRAPHY_",
    "LC_",
    "LD_",
    "OPENSSL_",
    "PASSLIB_",
    "PYTHON",
)
# What a run imports after its command line was read. Some exist in some
# versions only.
MODULES = (
    "ansible.executor.interpreter_discovery",
    "ansible.executor.module_common",
    "ansible.executor.playbook_executor",
    "ansible.executor.process.worker",
    "ansible.executor.task_executor",
    "ansible.executor.task_queue_manager",
    "ansible.playbook.handler_task_include",
    "ansible.playbook.role_include",
    "ansible.plugins.action",
    "ansible.plugins.become",
    "ansible.plugins.cache",
    "ansible.plugins.callback",
    "ansible.plugins.connection",
    "ansible.plugins.doc_fragments",
    "ansible.plugins.filter",
    "ansible.plugins.inventory",
    "ansible.plugins.lookup",
    "ansible.plugins.shell",
    "ansible.plugins.strategy",
    "ansible.plugins.test",
    "ansible.plugins.vars",
    "ansible.template",
    "ansible.utils.plugin_docs",
    "ansible.vars.plugins",
    "ansible.vars.reserved",
    "multiprocessing.queues",
    "multiprocessing.synchronize",
)


class Unusable(Exception):
    """No run can be started from this process."""


class Warm:
    """Ansible, imported, for one project, configuration and environment."""

    def __init__(self, program, here):
        self.program = program
        self.command = interpreter(here)
        self.callback = bytecode.Bytecode(os.path.dirname(here))
        self.directory = os.getcwd()
        self.environment = dict(os.environ)
        check_program(program)
        be_script(program, here)
        # Before the import: what changes meanwhile has changed afterwards.
        self.inputs = {path: shelves.stamp(path) for path in self.read_once()}
        self.mode = mode(self.directory)
        # A fresh process prints it, too, at this point.
        self.said = shelves.captured(import_ansible)
        self.constants = sys.modules["ansible.constants"]
        self.loader = importlib.import_module("ansible.plugins.loader")
        self.inputs.update((path, shelves.stamp(path)) for path in self.named())
        remove_temporary_directory(self.constants)
        self.variables = variables(self.constants.config)
        self.mentioned = mentioned(self.constants.CONFIG_FILE, self.environment)
        self.note = None
        self.fill()

    def fill(self):
        """Keeps more than `import ansible` does, if that is seen to be harmless."""
        shelves.captured(import_rest)
        shelves.forget(self.loader)
        shelf = shelves.Shelf(self.loader)
        self.note = trace.first_difference(shelf.fill)
        if self.note is None:
            shelf.fill()
            shelf.install()

    def describe(self):
        release = sys.modules["ansible.release"]
        told = {
            "python": platform.python_version(),
            "ansible": release.__version__,
            "kept": "plugins" if self.note is None else "imports",
        }
        if self.note is not None:
            told["note"] = self.note
        return told

    def read_once(self):
        """The files and directories that a fresh process would read again."""
        found = [
            self.program,
            sys.executable,
            # Those that are not there may come.
            os.environ.get("ANSIBLE_CONFIG", ""),
            os.path.join(self.directory, "ansible.cfg"),
            os.path.expanduser("~/.ansible.cfg"),
            "/etc/ansible/ansible.cfg",
        ]
        # They change when a package is installed or removed.
        return found + [path for path in sys.path if os.path.isdir(path)]

    def named(self):
        """Further ones, which only the import tells."""
        package = os.path.dirname(sys.modules["ansible"].__file__)
        return [
            self.constants.CONFIG_FILE or "",
            self.constants.PLUGIN_FILTERS_CFG or "/etc/ansible/plugin_filters.yml",
            os.path.join(package, "release.py"),
            os.path.join(package, "config", "base.yml"),
        ]

    def reason_against(self, request):
        """Why the run must not be forked from this process, if it must not."""
        directory = request.get("directory", self.directory)
        if os.path.realpath(directory) != os.path.realpath(self.directory):
            return "the fork server is for the directory `%s`" % self.directory
        for path, was in self.inputs.items():
            if shelves.stamp(path) != was:
                return "`%s` has changed" % path
        # Ansible reads no configuration where everybody may write.
        if mode(self.directory) != self.mode:
            return "the mode of `%s` has changed" % self.directory
        environment = request.get("environment")
        if isinstance(environment, dict):
            for name in sorted(set(environment) | set(self.environment)):
                if environment.get(name) != self.environment.get(name):
                    if self.is_of_the_start(name):
                        return "the variable `%s` differs" % name
        return None

    def is_of_the_start(self, name):
        """Whether its value was used by the import, for more than a run may set."""
        if name.startswith("LARIAT_"):
            return False
        settings = self.variables.get(name, set())
        return (
            name in OF_THE_START
            or name in self.mentioned
            or name.startswith(OF_THE_START_PREFIXES)
            or not settings.issubset(OF_A_RUN)
        )

    def apply(self):
        """In a run, whose environment is set: what the import took of it."""
        constants = self.constants
        changed = {
            setting
            for name, settings in self.variables.items()
            if os.environ.get(name) != self.environment.get(name)
            for setting in settings
        }
        for name in OF_A_RUN:
            # The temporary directory is made when its setting is read.
            if name in changed or name == "DEFAULT_LOCAL_TMP":
                value = constants.config.get_config_value(name, variables=vars(constants))
                setattr(constants, name, value)
        self.loader.callback_loader.config = list(
            constants.DEFAULT_CALLBACK_PLUGIN_PATH or []
        )
        # It lies in the private directory of the run, as our callback plugin does.
        temporary = os.environ.get("ANSIBLE_LOCAL_TEMP")
        if temporary:
            self.callback.give(os.path.dirname(temporary))
        # Before 2.15 the import looks which directories of collections exist.
        collections = self.loader.AnsibleCollectionConfig
        if collections.collection_finder is not None:
            type(collections.collection_finder)._remove()
            self.loader._configure_collection_loader()
            # In a fresh process it has been asked before the playbook's own
            # directory of collections is known, and remembers.
            try:
                collections.collection_finder._ansible_collection_path_hook("/")
            except ImportError:
                pass


def mode(path):
    found = shelves.stamp(path)
    return found and found[-1]


def interpreter(here):
    """The words before the script's name, as this process was started."""
    with open("/proc/self/cmdline", "rb") as file:
        words = [os.fsdecode(word) for word in file.read().split(b"\0")]
    for count, word in enumerate(words):
        if os.path.dirname(os.path.abspath(word)) == here and count > 0:
            return words[:count]
    return words[:1]


def check_program(program):
    try:
        with open(program, "rb") as file:
            line = file.readline(4096)
    except OSError as error:
        raise Unusable("`%s`: %s" % (program, error.strerror)) from error
    if not line.startswith(b"#!") or b"python" not in line:
        raise Unusable("`%s` is not a Python program" % program)


def be_script(program, here):
    """What Python itself sets when it is started with the program's file."""
    sys.argv = [program]
    sys.path[:] = [path for path in sys.path if os.path.realpath(path) != here]
    if not (sys.flags.isolated or getattr(sys.flags, "safe_path", False)):
        sys.path.insert(0, os.path.dirname(os.path.realpath(program)))


def import_ansible():
    try:
        importlib.import_module("ansible.cli.playbook")
    except (Exception, SystemExit) as error:
        raise Unusable("Ansible cannot be imported: %s" % error) from error


def import_rest():
    for name in MODULES:
        try:
            importlib.import_module(name)
        except ImportError:
            # Not in this version.
            pass


def remove_temporary_directory(constants):
    """Each process has its own; nobody may use this one."""
    atexit.unregister(importlib.import_module("ansible.config.manager").cleanup_tmp_file)
    os.rmdir(constants.DEFAULT_LOCAL_TMP)


def variables(config):
    """Which settings each environment variable is for."""
    found = {}
    for setting, definition in config.get_configuration_definitions().items():
        for entry in definition.get("env") or ():
            found.setdefault(entry["name"], set()).add(setting)
    return found


def mentioned(config_file, environment):
    """Variables that are expanded inside of settings."""
    texts = [value for name, value in environment.items() if name.startswith("ANSIBLE_")]
    if config_file:
        with open(config_file, "rb") as file:
            texts.append(os.fsdecode(file.read()))
    return {name for text in texts for name in re.findall(r"\$\{?(\w+)", text)}
