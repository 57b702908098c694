"""How a fork of the warm server becomes a run: everything in which it would
differ from a fresh `ansible-playbook` is set here, and then the program itself
is executed.

Nothing of another run can be found here, because the server never runs one.
What has to be set is what the server was started with (environment,
descriptors, arguments), and what ansible-core and Python keep per process
(temporary directory, secrets, time zone).

What cannot be set ends the run before it begins: it never runs half prepared.
"""

import atexit
import ctypes
import gc
import importlib.machinery
import io
import logging
import multiprocessing.process
import multiprocessing.util
import os
import signal
import sys
import tempfile
import threading
import time
import types
import warnings

# Above every descriptor that a run or a guard is given.
HIGH = 100
# Ends the run without a word of Ansible.
UNPREPARED = 250
PADDING = "LARIAT_WARM_PADDING"
# Their objects release memory, descriptors and children, as the kernel does.
HARMLESS = (
    "_io",
    "_socket",
    # Not `ansible`: a project's plugins are modules of it.
    "ansible._internal",
    "asyncio",
    "builtins",
    "io",
    "multiprocessing",
    "socket",
    "subprocess",
)
# What the server's own block of environment variables has room for.
ROOM = 16 * 1024


def block(name):
    """Where the kernel says that this process' arguments or environment are."""
    with open("/proc/self/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    first = {"arguments": 45, "environment": 47}[name]
    return int(fields[first]), int(fields[first + 1])


def make_room():
    """Starts this program again if runs could not show their environment."""
    start, end = block("environment")
    if end - start < ROOM and PADDING not in os.environ:
        with open("/proc/self/cmdline", "rb") as file:
            arguments = file.read().split(b"\0")[:-1]
        os.environ[PADDING] = "-" * ROOM
        os.execv(sys.executable, arguments)
    os.environ.pop(PADDING, None)


def forget_stdin():
    """Standard input is the null device, as it is for a run."""
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    # The object that Python made for the socket remembers what it was.
    raw = io.FileIO(0, "r", closefd=False)
    raw.name = "<stdin>"
    old = sys.stdin
    sys.stdin = sys.__stdin__ = io.TextIOWrapper(
        io.BufferedReader(raw),
        encoding=old.encoding,
        errors=old.errors,
        write_through=old.write_through,
    )
    sys.stdin.mode = "r"


def close_from(first):
    for name in os.listdir("/proc/self/fd"):
        number = int(name)
        if number >= first:
            try:
                os.close(number)
            except OSError:
                # The descriptor that the list was read with.
                pass


def reset_signals(exec_follows=False):
    """Every signal as in a new process, or as in one that Python began."""
    own = {} if exec_follows else {
        signal.SIGPIPE: signal.SIG_IGN,
        signal.SIGXFSZ: signal.SIG_IGN,
        signal.SIGINT: signal.default_int_handler,
    }
    for number in signal.valid_signals():
        if number in (signal.SIGKILL, signal.SIGSTOP):
            continue
        wanted = own.get(number, signal.SIG_DFL)
        if signal.getsignal(number) != wanted:
            signal.signal(number, wanted)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def prepare():
    """What needs no knowledge of the run, while its guard is being started."""
    reset_signals()
    # Python seeds `random` and `tempfile` anew after a fork, but not this.
    process = multiprocessing.process
    process.current_process()._config["authkey"] = process.AuthenticationString(
        os.urandom(32)
    )
    tempfile.tempdir = None
    # A worker lives for one task. What its run had made is not its own, and
    # looking through that for garbage would copy the memory that they share.
    multiprocessing.util.register_after_fork(gc, lambda _: gc.freeze())


def become(warm, message, descriptors, output):
    """Takes the place of a fresh `ansible-playbook`. Returns its file."""
    try:
        os.setpgid(0, 0)
        take_descriptors(descriptors, output)
        replace_environment(message["environment"])
        os.umask(0o022)
        os.chdir(message["directory"])
        time.tzset()
        warm.apply()
        sys.argv = list(message["argv"])
        if hasattr(sys, "orig_argv"):
            sys.orig_argv = warm.command + sys.argv
        overwrite("arguments", [os.fsencode(word) for word in warm.command + sys.argv])
        write_all(1, warm.said)
        return warm.program
    except BaseException as error:
        write_all(1, ("lariat: the run cannot be prepared: %r\n" % error).encode())
        os._exit(UNPREPARED)


def write_all(descriptor, data):
    while data:
        data = data[os.write(descriptor, data):]


def take_descriptors(descriptors, output):
    """0 is the null device, 1 and 2 the output, from 3 on what was given."""
    logs = [
        handler
        for handler in logging.root.handlers
        if isinstance(handler, logging.FileHandler) and handler.stream
    ]
    for handler in logs:
        handler.stream.close()
    wanted = [output, output] + descriptors
    # First out of each other's way.
    moved = []
    for place, descriptor in enumerate(wanted):
        os.dup2(descriptor, HIGH + place)
        moved.append(HIGH + place)
    for place, descriptor in enumerate(moved):
        os.dup2(descriptor, 1 + place)
    close_from(1 + len(wanted))
    for handler in logs:
        # As a fresh process: the file may have been rotated.
        handler.stream = handler._open()


def replace_environment(environment):
    """For Python, for the C library, and for whoever looks at the process."""
    os.environ.clear()
    os.environ.update(environment)
    # From here on nothing points into the old block any more.
    entries = sorted(environment.items(), key=lambda entry: not is_mark(entry[0]))
    overwrite("environment", [os.fsencode("%s=%s" % entry) for entry in entries])
    start, end = block("environment")
    marks = [entry for entry in entries if is_mark(entry[0])]
    needed = sum(len(os.fsencode("%s=%s" % entry)) + 1 for entry in marks)
    if needed > end - start:
        raise ValueError("no room for the variables that identify the run")


def is_mark(name):
    return name.startswith("LARIAT_")


def overwrite(name, words):
    """Puts as many of the words as have room, whole, into the initial block."""
    start, end = block(name)
    data = bytearray()
    for word in words:
        if len(data) + len(word) + 1 <= end - start:
            data += word + b"\0"
    data += bytes(end - start - len(data))
    ctypes.memmove(start, bytes(data), len(data))


def execute(program):
    """Runs the file as Python runs its script, and ends the process."""
    main = main_module(program)
    code = 0
    try:
        with io.open_code(program) as file:
            source = compile(file.read(), program, "exec")
        exec(source, main.__dict__)
    except SystemExit as error:
        code = status(error.code)
    except Exception as error:
        # What Python would print, without the frames of this file.
        beyond = error.__traceback__.tb_next
        sys.excepthook(type(error), error.with_traceback(beyond), beyond)
        code = 1
    if is_taking_down_needed():
        sys.exit(code)
    leave(code)


def main_module(program):
    """An empty `__main__`, as Python makes it for a script."""
    ours = vars(sys.modules["__main__"])
    main = types.ModuleType("__main__")
    for name in ("__builtins__", "__cached__"):
        if name in ours:
            setattr(main, name, ours[name])
    if "__annotations__" in ours:
        main.__annotations__ = {}
    main.__file__ = program
    main.__loader__ = importlib.machinery.SourceFileLoader("__main__", program)
    sys.modules["__main__"] = main
    return main


def status(code):
    """What a process that ends with this `SystemExit` says to its parent."""
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    print(code, file=sys.stderr)
    return 1


def leave(code):
    """Ends as Python does, but for taking apart every module and object: that
    takes as long as a small playbook, and copies all memory that is shared."""
    threading._shutdown()
    try:
        atexit._run_exitfuncs()
    except BaseException:
        # It was printed, and changes nothing. Newer versions do not raise it.
        pass
    for stream in writers():
        try:
            if not stream.closed:
                stream.flush()
        except (OSError, ValueError):
            # Nobody reads it any more, or it was taken from below Python.
            pass
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        code = 120
    os._exit(code)


def writers():
    """Files that were opened for writing since the fork."""
    kinds = (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom)
    found = [one for one in gc.get_objects() if issubclass(type(one), kinds)]
    # Text first: it is flushed into the buffers below.
    return sorted(found, key=lambda one: not isinstance(one, io.TextIOWrapper))


def is_taking_down_needed():
    """Whether anybody would notice that objects did not go one by one."""
    # Objects that were there before the fork belong to no run.
    return is_told_of_unclosed() or any(
        map(acts_at_its_end, set(map(type, gc.get_objects())))
    )


def acts_at_its_end(cls):
    if not hasattr(cls, "__del__"):
        return False
    name = str(cls.__module__)
    return not any(name == one or name.startswith(one + ".") for one in HARMLESS)


def is_told_of_unclosed():
    """Whether Python says which files and sockets were left open."""
    for action, message, category, module, _ in warnings.filters:
        if issubclass(ResourceWarning, category) and not (message or module):
            return action != "ignore"
    return True
