"""The warm fork server: Ansible, imported once, forked for each run.

Started as `PYTHON lariat_warm.py PROGRAM`, where PROGRAM is the
`ansible-playbook` that a cold run would start and PYTHON the interpreter that
its first line names. Standard input is the control socket. For each request
it forks twice: the first child becomes the guard of the run, the second one
the run itself, which waits until its guard says what it is to be.

It never runs a playbook itself, so it holds nothing of any run: a run only
ever changes its own copy of this process. It has one thread, waits for one
thing, and ends when the control socket does.

`lariat_warm_ansible` imports Ansible and knows what a run may change of it,
`lariat_warm_shelf` what is kept beyond imports, `lariat_warm_run` how a fork
becomes a run.
"""

import ctypes
import gc
import json
import os
import signal
import socket
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
# Also where Python was told not to look beside its script (`-I`, `-P`).
sys.path.insert(0, HERE)

import lariat_warm_ansible as ansible  # noqa: E402
import lariat_warm_run as run  # noqa: E402

MESSAGE_MAX = 8 * 1024 * 1024
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

libc = ctypes.CDLL(None, use_errno=True)


class Broken(Exception):
    """The other side does not keep to the protocol."""


def send(connection, message):
    data = json.dumps(message).encode("utf-8")
    connection.sendall(len(data).to_bytes(4, "big") + data)


def receive_exactly(connection, size):
    data = bytearray()
    while len(data) < size:
        chunk = connection.recv(size - len(data))
        if not chunk:
            raise Broken("a message ends in its middle")
        data += chunk
    return bytes(data)


def receive(connection, count):
    """The next message with at most `count` descriptors. `None`: the end."""
    head, descriptors, flags, _ = socket.recv_fds(
        connection, 4, count, socket.MSG_CMSG_CLOEXEC
    )
    if not head:
        return None
    head += receive_exactly(connection, 4 - len(head))
    size = int.from_bytes(head, "big")
    if size > MESSAGE_MAX:
        raise Broken("a message says that it has %d bytes" % size)
    try:
        message = json.loads(receive_exactly(connection, size))
    except ValueError as error:
        raise Broken("a message is not JSON: %s" % error) from error
    if not isinstance(message, dict) or flags & socket.MSG_CTRUNC:
        raise Broken("a message is not an object, or has too many descriptors")
    return message, descriptors


def close(descriptors):
    for descriptor in descriptors:
        os.close(descriptor)


def prctl(option, value):
    if libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(%d)" % option)


def is_single_threaded():
    """A fork takes one thread along, and every lock that others hold."""
    return len(os.listdir("/proc/self/task")) == 1


def begin_guard(guard, descriptors):
    """In the first child: forks the run, and becomes its guard.

    Returns in the run only, with the gate and the descriptor of the output.
    """
    orders, reports, output = descriptors
    os.setsid()
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    guards_end, gate = socket.socketpair()
    guard_pid = os.getpid()
    pid = os.fork()
    if pid == 0:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != guard_pid:
            os._exit(0)
        guards_end.close()
        close([orders, reports])
        return gate, output
    try:
        os.chdir("/")
        os.dup2(guards_end.fileno(), run.HIGH)
        for number, descriptor in enumerate(descriptors):
            os.dup2(descriptor, number)
        os.dup2(run.HIGH, 3)
        run.close_from(4)
        run.reset_signals(exec_follows=True)
        os.execve(
            guard,
            [guard, "guard-exec", "--adopt", str(pid), "--gate", "3"],
            {},
        )
    except OSError as error:
        # The run ends with the gate, which closes with this process.
        os.write(2, ("lariat: the guard cannot be started: %s\n" % error).encode())
    os._exit(127)


def serve(control, warm):
    """Answers requests. Returns in a run only, with the gate and the output."""
    while True:
        received = receive(control, 3)
        if received is None:
            sys.exit(0)
        request, descriptors = received
        number, guard = request.get("run"), request.get("guard")
        if len(descriptors) != 3 or not isinstance(guard, str):
            close(descriptors)
            send(control, {"run": number, "refused": "not a request for a run"})
            continue
        reason = warm.reason_against(request)
        if reason is None and not is_single_threaded():
            reason = "the fork server has more than one thread"
        pid = None
        if reason is None:
            try:
                pid = os.fork()
            except OSError as error:
                reason = "fork: %s" % error
        if pid == 0:
            control.close()
            try:
                return begin_guard(guard, descriptors)
            except BaseException as error:
                os.write(descriptors[2], ("lariat: %s\n" % error).encode())
                os._exit(127)
        close(descriptors)
        if reason is None:
            send(control, {"run": number, "forked": pid})
        else:
            send(control, {"run": number, "refused": reason})


def await_gate(gate, output):
    """In the run: what it is to be, and its descriptors."""
    try:
        received = receive(gate, 8)
    except (Broken, OSError):
        received = None
    if received is None:
        os._exit(0)
    gate.close()
    message, descriptors = received
    return message, descriptors, output


def main():
    program = os.path.abspath(sys.argv[1])
    run.make_room()
    control = socket.socket(fileno=os.dup(0))
    run.forget_stdin()
    try:
        warm = ansible.Warm(program, HERE)
    except ansible.Unusable as error:
        send(control, {"unusable": str(error)})
        sys.exit(1)
    # Children are reaped by the kernel: a guard is waited for by nobody here.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    gc.collect()
    gc.freeze()
    send(control, {"ready": dict(warm.describe(), pid=os.getpid())})
    gate, output = serve(control, warm)
    run.prepare()
    return run.become(warm, *await_gate(gate, output))


if __name__ == "__main__":
    try:
        program = main()
    except (Broken, ConnectionError) as error:
        sys.exit("lariat: the control socket: %s" % error)
    # Only a run gets here, and it leaves this file for good.
    run.execute(program)
