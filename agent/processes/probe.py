"""
Whether confinement really holds: a process confined like an algorithm tries everything that is forbidden.

Where it stands: forked by `fork_server` when `workers` asks; its answer is the isolation a device reports. What a
kernel accepted (`sandbox`) and what it enforces are two things; only the second is told to the operator. It is confined
as a package's process is, which goes on importing and may therefore read the most.
"""

import ctypes
import mmap
import os
import socket
import sys
from collections.abc import Callable

from agent.processes import sandbox
from agent.processes.channel import Channel, ChannelError
from agent.processes.protocol import CONTROL_SIZE, Probe, Probed
from algorithms.api.manifest import Limits

_MEMORY = 16 * 1024 * 1024


def main(sock: socket.socket) -> int:
    """Answer one question and leave."""
    channel = Channel(sock, Probe, CONTROL_SIZE)
    try:
        received = channel.receive(None)
        if received is None:
            return 70
        question, fds = received
        ring = fds[0] if question.ring else -1
        accepted = sandbox.confine(Limits(memory=_MEMORY), question.user, goes_on_importing=True)
        channel.send(Probed({**accepted, **attempts(ring)}))
    except ChannelError:
        return 0
    return 0


def attempts(ring: int) -> dict[str, bool]:
    """
    Try each forbidden thing.

    Parameters
    ----------
    ring : int
        Descriptor of a ring of samples; -1 where there is none to try.

    Returns
    -------
    dict
        Each protection with whether it held: ``files``, ``writing``, ``network``, ``processes``, ``signals``,
        ``tracing``, ``memory``, and ``samples`` where there is a ring.
    """
    tries: dict[str, tuple[Callable[[], object], ...]] = {
        "files": (_read_file, _list_root),
        "writing": (_write_file,),
        "network": (_open_socket, _open_local_socket),
        "processes": (_fork, _execute),
        "signals": (_signal_parent,),
        "tracing": (_trace_parent,),
        "memory": (_take_memory,),
    }
    if ring >= 0:
        tries["samples"] = (lambda: _map_writable(ring), lambda: os.pwrite(ring, b"\0", 0), lambda: _reopen(ring))
    return {name: all(_refused(attempt) for attempt in several) for name, several in tries.items()}


def _refused(attempt: Callable[[], object]) -> bool:
    """Say whether an attempt met a refusal; failing for another reason, such as nobody listening, is none."""
    try:
        attempt()
    except (PermissionError, MemoryError, BlockingIOError):  # the last: no more processes (EAGAIN)
        return True
    except OSError:
        return False
    return False


def _read_file() -> None:
    with open("/etc/passwd", "rb") as file:  # noqa: PTH123 - no more modules in a process this small
        file.read(1)


def _list_root() -> None:
    os.listdir("/")  # noqa: PTH208 - as above


def _write_file() -> None:
    for folder in ("/tmp", "/dev/shm", "."):  # noqa: S108 - whether it can be written is the question
        try:
            path = f"{folder}/tresma-probe-{os.getpid()}"
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        except OSError:
            continue
        os.unlink(path)  # noqa: PTH108 - as above
        return
    raise PermissionError("no folder can be written")


def _open_socket() -> None:
    with socket.socket() as sock:
        sock.settimeout(0.1)
        sock.connect(("127.0.0.1", 1))


def _open_local_socket() -> None:
    socket.socket(socket.AF_UNIX).close()


def _fork() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def _execute() -> None:
    # Success would replace this process, and the agent would see no answer: a file that is not there fails for
    # another reason where executing is not forbidden.
    os.execv(sys.executable + ".absent", ["absent"])  # noqa: S606 - must be refused


def _signal_parent() -> None:
    os.kill(os.getppid(), 0)


def _trace_parent() -> None:
    seize = 0x4206  # unlike attaching it does not stop the other; this process's end takes it back
    if sandbox.libc().ptrace(ctypes.c_long(seize), os.getppid(), None, None) != 0:
        raise OSError(ctypes.get_errno(), "ptrace")


def _take_memory() -> None:
    bytearray(4 * _MEMORY)


def _map_writable(ring: int) -> None:
    mmap.mmap(ring, mmap.PAGESIZE, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE).close()


def _reopen(ring: int) -> None:
    os.close(os.open(f"/proc/self/fd/{ring}", os.O_RDWR))
