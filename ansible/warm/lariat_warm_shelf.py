"""What the warm server keeps in memory, and why none of it can be stale.

Kept are modules and three kinds of values that are functions of a file alone:
the module of a plugin that ansible-core ships, the options that its
documentation declares, and the routing table of `ansible.builtin`. A run gets
one of them only at the moment when Ansible itself would have read that file,
and only if the file is unchanged; what Ansible finds, and in which order it
looks, is untouched. So a plugin of the project that has a shipped plugin's
name is found exactly as in a fresh process.

Nothing else is kept: no playbook, inventory, option, variable, secret,
collection, or path that was searched. `lariat_warm_trace` compares the state of
ansible-core's modules before and after, and nothing is kept if anything moved.
"""

import functools
import importlib
import importlib.util
import inspect
import os
import sys
import warnings

from lariat_warm_trace import is_plugin

# Loaders of ansible-core's own plugins that run in the controller.
LOADERS = (
    "action_loader",
    "become_loader",
    "cache_loader",
    "callback_loader",
    "connection_loader",
    "filter_loader",
    "inventory_loader",
    "lookup_loader",
    "shell_loader",
    "strategy_loader",
    "test_loader",
    "vars_loader",
)
FINDER = "ansible.utils.collection_loader._collection_finder"


class Book:
    """A plugin that ansible-core ships, as it was read from its file."""

    def __init__(self, name, path):
        self.name = name
        self.path = path
        self.stamp = stamp(path)
        self.module = None
        # Further plugins that came with it by their ordinary names.
        self.beside = {}
        self.documentation = None
        self.kind = None
        self.options = None

    def is_current(self):
        return self.stamp == stamp(self.path)


def stamp(path):
    """What changes with a file. `None`: there is no such file."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return (found.st_ino, found.st_size, found.st_mtime_ns, found.st_mode)


def captured(action):
    """Runs it; returns what it printed, as bytes."""
    said = os.memfd_create("said", os.MFD_CLOEXEC)
    kept = [os.dup(1), os.dup(2)]
    try:
        os.dup2(said, 1)
        os.dup2(said, 2)
        try:
            action()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os.dup2(kept[0], 1)
            os.dup2(kept[1], 2)
        return os.pread(said, os.fstat(said).st_size, 0)
    finally:
        for descriptor in [said] + kept:
            os.close(descriptor)


class Shelf:
    """Everything that is kept beyond imports."""

    def __init__(self, loader):
        self.loader = loader
        self.books = {}
        self.routing = None

    def fill(self):
        loaders = [vars(self.loader)[name] for name in LOADERS]
        for loader in loaders:
            self.read_plugins(loader)
        if not (has_foreign_fragments(self.loader) or is_filtered(self.loader)):
            for loader in loaders:
                self.read_options(loader)
        self.read_routing()

    def read_plugins(self, loader):
        folder = os.path.dirname(importlib.import_module(loader.package).__file__)
        for file in sorted(os.listdir(folder)):
            base, extension = os.path.splitext(file)
            if extension != ".py" or base in ("__init__", "base"):
                continue
            path = os.path.join(folder, file)
            book = Book(module_name(loader, base, path), path)
            # What is imported already is found by its name in any process.
            book.module = sys.modules.get(book.name)
            says = b"" if book.module else captured(functools.partial(load, book))
            # What prints must print in a run.
            if book.module and not says:
                self.books[path] = book

    def read_options(self, loader):
        """Lets ansible-core parse the documentation, and takes the result."""
        kinds = self.loader.C.config._plugins
        kind = self.loader.get_plugin_class(loader.class_name)
        if kind not in self.loader.C.CONFIGURABLE_PLUGINS:
            return
        folder = os.path.dirname(sys.modules[loader.package].__file__)
        had_kind = kind in kinds
        for book in self.books.values():
            if os.path.dirname(book.path) != folder:
                continue
            base = os.path.splitext(os.path.basename(book.path))[0]
            loader._load_config_defs(base, book.module, book.path)
            book.documentation = getattr(book.module, "DOCUMENTATION", "")
            book.kind = kind
            book.options = kinds.get(kind, {}).pop(base, None)
        if not had_kind:
            kinds.pop(kind, None)
        forget(self.loader)

    def read_routing(self):
        finder = sys.modules[FINDER]
        package = os.path.dirname(sys.modules["ansible"].__file__)
        path = os.path.join(package, "config", "ansible_builtin_runtime.yml")
        with open(path, "rb") as file:
            raw = file.read()
        parsed = finder._meta_yml_to_dict(raw, ("ansible.builtin", "runtime.yml"))
        self.routing = (raw, parsed)

    def install(self):
        """From here on Ansible is handed what it would read. Called once,
        after everything was read."""
        cls = self.loader.PluginLoader
        load_source = cls._load_module_source
        load_options = cls._load_config_defs

        @functools.wraps(load_source)
        def _load_module_source(loader, *args, **kwargs):
            module = self.module_for(loader, args, kwargs)
            return module or load_source(loader, *args, **kwargs)

        @functools.wraps(load_options)
        def _load_config_defs(loader, name, module, path):
            if not self.give_options(name, module, path):
                load_options(loader, name, module, path)

        cls._load_module_source = ForShipped(self, load_source, _load_module_source)
        cls._load_config_defs = ForShipped(self, load_options, _load_config_defs)
        self.hand_routing()

    def hand_routing(self):
        finder = sys.modules[FINDER]
        parse = finder._meta_yml_to_dict

        @functools.wraps(parse)
        def _meta_yml_to_dict(raw, content_id):
            if self.routing[0] != raw:
                return parse(raw, content_id)
            finder._meta_yml_to_dict = parse
            return self.routing[1]

        finder._meta_yml_to_dict = _meta_yml_to_dict

    def module_for(self, loader, args, kwargs):
        """The module, known as Ansible wants it to be. `None`: let it load one."""
        path = kwargs.get("path", args[-1] if args else None)
        book = self.books.get(path)
        if book is None or not book.is_current():
            return None
        wanted = kwargs.get("python_module_name", args[0] if args else "")
        is_other = book.name not in (wanted, "%s.%s" % (loader.package, wanted))
        if is_other or book.name in sys.modules:
            return None
        sys.modules[book.name] = book.module
        for name, module in book.beside.items():
            if name not in sys.modules:
                put(name, module)
        if loader is self.loader.inventory_loader:
            renew_inventory_cache()
        return book.module

    def give_options(self, name, module, path):
        """Whether Ansible knows the options now without reading about them."""
        book = self.books.get(path)
        if book is None or book.kind is None or not book.is_current():
            return False
        if getattr(module, "DOCUMENTATION", "") != book.documentation:
            return False
        config = self.loader.C.config
        if config.has_configuration_definition(book.kind, name):
            return False
        if has_foreign_fragments(self.loader):
            return False
        if book.options is not None:
            config.initialize_plugin_configuration_definitions(
                book.kind, name, book.options
            )
        return True


class ForShipped:
    """A method of the plugin loader that is ours for shipped plugins only: a
    traceback through a plugin of the project shows no line of this file."""

    def __init__(self, shelf, original, ours):
        self.shelf = shelf
        self.original = original
        self.ours = ours

    def __get__(self, loader, owner=None):
        path = sys._getframe(1).f_locals.get("path")
        is_shipped = isinstance(path, str) and path in self.shelf.books
        return (self.ours if is_shipped else self.original).__get__(loader, owner)


def module_name(loader, base, path):
    """What ansible-core calls the module that it makes of a shipped plugin."""
    if loader.class_name in ("FilterModule", "TestModule"):
        # One file defines many of them, so the file's path is in the name.
        number = abs(hash(path))
        parameters = inspect.signature(loader._load_module_source).parameters
        is_newer = "python_module_name" in parameters
        base = "%s_%s" % ((base, number) if is_newer else (number, base))
    return "%s.%s" % (loader.package, base)


def renew_inventory_cache():
    """Before 2.19 all inventory plugins begin with one cache, which is made of
    a cache plugin when the first of them is imported."""
    inventory = sys.modules["ansible.plugins.inventory"]
    cacheable = getattr(inventory, "Cacheable", None)
    if hasattr(cacheable, "_cache") and hasattr(inventory, "CacheObject"):
        cacheable._cache = inventory.CacheObject()


def load(book):
    """Executes the file as Ansible's loader does, and leaves no trace."""
    before = set(sys.modules)
    spec = importlib.util.spec_from_file_location(book.name, book.path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[book.name] = module
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            spec.loader.exec_module(module)
        book.module = module
    except Exception:
        # It lacks a library, as it will in a run.
        pass
    del sys.modules[book.name]
    for name in set(sys.modules) - before:
        if is_plugin(name):
            book.beside[name] = sys.modules[name]
            take(name)


def put(name, module):
    sys.modules[name] = module
    parent, _, child = name.rpartition(".")
    setattr(sys.modules[parent], child, module)


def take(name):
    del sys.modules[name]
    parent, _, child = name.rpartition(".")
    if hasattr(sys.modules.get(parent), child):
        delattr(sys.modules[parent], child)


def has_foreign_fragments(loader):
    """Whether somebody's documentation fragments could replace shipped ones."""
    fragments = loader.fragment_loader
    return any(
        os.path.isdir(os.path.expanduser(path))
        for path in list(fragments.config) + list(fragments._extra_dirs)
    )


def is_filtered(loader):
    """Whether shipped plugins were taken out by configuration (before 2.15,
    the import itself reads it)."""
    return any(loader._PLUGIN_FILTERS.values())


def forget(loader):
    """Empties the memory of every loader: which paths it searched, and what it
    found there. Importing and reading documentation goes through them."""
    for found in list(vars(loader).values()):
        if not isinstance(found, loader.PluginLoader):
            continue
        for module in found._module_cache.values():
            if sys.modules.get(module.__name__) is module:
                take(module.__name__)
        found._paths = None
        found._module_cache.clear()
        found._plugin_path_cache.clear()
        found._searched_paths.clear()
        vars(found).pop("package_path", None)
        if not loader._PLUGIN_FILTERS.get(found.package):
            loader._PLUGIN_FILTERS.pop(found.package, None)
    remembered = getattr(loader.PluginLoader, "_get_builtin_routing_metadata", None)
    if remembered is not None:
        remembered.cache_clear()
