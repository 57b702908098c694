# A fork server that knows no Ansible: its runs become their argv at once.

import ctypes, json, os, signal, socket, struct, sys

libc = ctypes.CDLL(None)
PDEATHSIG, SUBREAPER = 1, 36


def receive(stream):
    head, fds, _, _ = socket.recv_fds(stream, 4, 8)
    if not head:
        return None, fds
    while len(head) < 4:
        head += stream.recv(4 - len(head))
    left, body = struct.unpack(">I", head)[0], b""
    while len(body) < left:
        part = stream.recv(left - len(body))
        if not part:
            return None, fds
        body += part
    return json.loads(body), fds


def send(stream, message):
    body = json.dumps(message).encode()
    stream.sendall(struct.pack(">I", len(body)) + body)


def place(fds, keep):
    # Out of each other's way first.
    high = [os.dup(fd) for fd in fds]
    while any(fd < len(fds) for fd in high):
        high = [os.dup(fd) for fd in high]
    for number, fd in enumerate(high):
        os.dup2(fd, number, inheritable=True)
    for fd in map(int, os.listdir("/proc/self/fd")):
        if fd >= len(fds) and fd not in keep:
            try:
                os.close(fd)
            except OSError:
                pass


def wait_at(gate, parent, output):
    libc.prctl(PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)
    message, fds = receive(gate)
    if message is None:
        os._exit(0)
    null = os.open("/dev/null", os.O_RDONLY)
    place([null, output, output] + fds, [])
    os.setpgid(0, 0)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    os.chdir(message["directory"])
    os.execve(message["argv"][0], message["argv"], message["environment"])


def become_guard(guard, orders, reports, output):
    os.setsid()
    libc.prctl(SUBREAPER, 1)
    ours, theirs = socket.socketpair()
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        for fd in (orders, reports):
            os.close(fd)
        ours.close()
        wait_at(theirs, parent, output)
    os.set_inheritable(ours.fileno(), True)
    place([orders, reports, output], [ours.fileno()])
    gate = str(ours.fileno())
    os.execve(guard, [guard, "guard-exec", "--adopt", str(child), "--gate", gate], {})


control = socket.socket(fileno=0)
if "unread" in sys.argv:
    print("a line for the log", flush=True)
send(control, {"ready": {"pid": os.getpid(), "python": "3", "ansible": "0"}})
while True:
    message, fds = receive(control)
    if message is None:
        break
    child = os.fork()
    if child == 0:
        try:
            become_guard(message["guard"], *fds)
        finally:
            os._exit(127)
    for fd in fds:
        os.close(fd)
    send(control, {"run": message["run"], "forked": child})
