"""
The small process from which samplers and algorithms are forked, so that they start in milliseconds and share memory.

Where it stands: started by `workers` with one inherited socket; loads numpy and the vocabulary once, then forks a child
for each `Fork` it is sent. A child gets its end of a channel and nothing else.

Rules:

- No listener: nobody but the agent can ask for a process, or stop this one.
- One thread. It waits for the agent and for its children at once, and tells the agent who ended and how: the agent
  is not their parent and cannot ask the system itself.
- When the agent goes, however it goes, the socket ends: every child is killed, then this process leaves.
- When this process goes, the kernel kills its children (PR_SET_PDEATHSIG).
"""

import gc
import importlib
import os
import select
import signal
import socket
import sys
from contextlib import suppress

# Before numpy: one thread. More would cost memory and could not be forked.
os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")

from agent.processes import algorithm_host, box, probe, sampling, sandbox
from agent.processes.algorithm_messages import ToAlgorithm, record_decoder
from agent.processes.channel import Channel, ChannelClosed, decoder_of
from agent.processes.protocol import Exited, Fork, Forked, ForkFailed, Probe, Ready
from agent.processes.rehearsal import rehearse
from agent.processes.ring import Layout
from agent.processes.sampler_messages import ToSampler


def _record(sock: socket.socket) -> int:
    from agent.recording import recorder_host  # noqa: PLC0415 - there is rarely something to record

    return recorder_host.main(sock)


_roles = {"sampler": sampling.main, "algorithm": algorithm_host.main, "probe": probe.main, "recorder": _record}

_NUMPY = ("numpy.fft", "numpy.linalg")  # numpy loads them late, when a confined process may not read them any more
_MAXIMUM = 64 * 1024


class ForkServer:
    """
    The server's state: its children, each with its process descriptor.

    Parameters
    ----------
    control : Channel
    """

    def __init__(self, control: Channel) -> None:
        self._control = control
        self._children: dict[int, tuple[int, int]] = {}  # process descriptor: (number, pid)
        self._poll = select.poll()
        self._poll.register(control.fileno(), select.POLLIN)

    def run(self) -> None:
        """Serve until the agent goes."""
        try:
            while True:
                for fd, _ in self._poll.poll():
                    if fd in self._children:
                        self._reap(fd)
                    else:
                        self._take()
        except ChannelClosed:
            self._kill_all()

    def _take(self) -> None:
        received = self._control.receive(0.0)
        while received is not None:
            command, fds = received
            self._fork(command, fds[0])
            received = self._control.receive(0.0)

    def _fork(self, command: Fork, end: int) -> None:
        try:
            pid = os.fork()
        except OSError as error:
            os.close(end)
            self._control.send(ForkFailed(command.number, f"the system refuses another process: {error.strerror}"))
            return
        if pid == 0:
            self._become(command.role, end, command.box)
        os.close(end)
        descriptor = os.pidfd_open(pid)
        self._children[descriptor] = (command.number, pid)
        self._poll.register(descriptor, select.POLLIN)
        self._control.send(Forked(command.number, pid), [descriptor])

    def _become(self, role: str, end: int, folder: str) -> None:
        """Be the child; never returns."""
        code = 70
        try:
            parent = os.getppid()
            sandbox.die_with_parent()
            self._control.close()
            for descriptor in self._children:
                os.close(descriptor)
            if os.getppid() != parent:  # it went before the kernel was told
                os._exit(code)
            if folder:
                box.become(end, folder)
            code = _roles[role](socket.socket(fileno=end))
        except BaseException:  # noqa: BLE001 - a child must never return into the server's loop
            with suppress(Exception):
                sys.excepthook(*sys.exc_info())
        finally:
            os._exit(code)

    def _reap(self, descriptor: int) -> None:
        number, pid = self._children.pop(descriptor)
        self._poll.unregister(descriptor)
        os.close(descriptor)
        _, status, usage = os.wait4(pid, 0)
        self._control.send(Exited(number, os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime))

    def _kill_all(self) -> None:
        for descriptor in self._children:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        for _, pid in self._children.values():
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)


def main(arguments: list[str]) -> int:
    """
    Load everything, then serve.

    Parameters
    ----------
    arguments : list of str
        The control socket's descriptor, then modules to load beyond what every child needs.
    """
    control = Channel(socket.socket(fileno=int(arguments[0])), Fork, _MAXIMUM)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's interrupt is the agent's to handle
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    failed = {}
    for name in (*_NUMPY, *arguments[1:]):
        try:
            importlib.import_module(name)
        except Exception as error:  # noqa: BLE001 - someone else's module; the agent is told, and goes on
            failed[name] = f"{type(error).__name__}: {error}"
    # Decoders are built here once: each child would otherwise build them again, in memory of its own.
    for message_type in (ToAlgorithm, ToSampler, Probe, Layout):
        decoder_of(message_type)
    record_decoder()
    sandbox.prepare()
    try:
        rehearse()
    except Exception as error:  # noqa: BLE001 - it saves memory and time, no more; the agent is told, and goes on
        failed["the rehearsal of a start"] = f"{type(error).__name__}: {error}"
    gc.collect()
    gc.freeze()
    try:
        control.send(Ready(failed))
        ForkServer(control).run()
    except ChannelClosed:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
