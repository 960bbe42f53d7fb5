"""
The demo's child processes: started in order, watched, and gone afterwards whatever happens.

The demo makes itself the *subreaper* of everything below it: a grandchild whose parent died becomes its own child, so
nothing it caused can escape to process 1 unseen. `Household.clear` ends all of it, politely first. Each child
writes into a log file of its own, and is told by the kernel to end when the demo itself is killed.
"""

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
SBIN = "/usr/local/sbin:/usr/sbin:/sbin"
"""Where Debian keeps servers, and a plain user's PATH does not look."""


class DemoError(Exception):
    """The demo cannot go on; the message says what to do."""


@dataclass
class Child:
    """
    One process the demo started.

    Attributes
    ----------
    name : str
    log : pathlib.Path
    process : subprocess.Popen
    expected_to_end : bool
        Whether the demo itself ended it, so that its end is no fault.
    """

    name: str
    log: Path
    process: subprocess.Popen[bytes]
    expected_to_end: bool = False

    def ended(self) -> str:
        """Say how it ended; empty while it runs."""
        status = self.process.poll()
        if status is None:
            return ""
        return f"by signal {signal.Signals(-status).name}" if status < 0 else f"with exit status {status}"

    def ask_to_end(self) -> None:
        """Ask it to end; from now on its end is no fault."""
        self.expected_to_end = True
        with suppress(ProcessLookupError):
            self.process.terminate()

    def kill(self) -> None:
        """End it at once, with kill -9."""
        self.expected_to_end = True
        self.process.kill()
        self.process.wait()

    def last_words(self, lines: int = 5) -> str:
        """Return the end of its log."""
        with suppress(OSError):
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        return ""


@dataclass
class Household:
    """
    All processes of one demo.

    Parameters
    ----------
    folder : pathlib.Path
        Where the logs go.
    """

    folder: Path
    children: dict[str, Child] = field(default_factory=dict)

    def __post_init__(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
            raise DemoError(f"the kernel refuses to hand orphans to the demo: {os.strerror(ctypes.get_errno())}")

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None) -> Child:
        """Start a child in a session of its own, so that Ctrl-C reaches the demo alone."""
        setpriv = shutil.which("setpriv")
        guarded = [setpriv, "--pdeathsig", "KILL", "--", *command] if setpriv else list(command)
        log = self.folder / f"{name}.log"
        with log.open("ab") as output:
            process = subprocess.Popen(  # noqa: S603 - the demo's own programs
                guarded,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**_plain_environment(), **(environment or {})},
                start_new_session=True,
            )
        child = self.children[name] = Child(name, log, process)
        return child

    def check(self) -> None:
        """
        Make sure that everything runs that should.

        Raises
        ------
        DemoError
            Naming what ended, and its last words.
        """
        for child in self.children.values():
            how = "" if child.expected_to_end else child.ended()
            if how:
                raise DemoError(f"{child.name} ended {how}; the end of {child.log}:\n{child.last_words()}")

    def wait_for(self, condition: Callable[[], bool], what: str, timeout: float) -> None:
        """
        Wait until `condition` holds.

        Raises
        ------
        DemoError
            When it does not within `timeout` [s], or a child ends meanwhile.
        """
        deadline = time.monotonic() + timeout
        while not condition():
            self.check()
            if time.monotonic() > deadline:
                raise DemoError(f"{what} did not happen within {timeout:g} s; the logs are in {self.folder}")
            time.sleep(0.05)

    def end(self, child: Child, timeout: float) -> None:
        """Ask a child to end, and insist after `timeout` [s]."""
        child.ask_to_end()
        try:
            child.process.wait(timeout)
        except subprocess.TimeoutExpired:
            child.kill()

    def clear(self, timeout: float = 5.0) -> int:
        """
        End every process below the demo, grandchildren and orphans as well.

        Returns
        -------
        int
            How many had to be killed.
        """
        for child in self.children.values():
            child.expected_to_end = True
        for pid in descendants():
            _signal(pid, signal.SIGTERM)
        deadline = time.monotonic() + timeout
        while (left := self._reap()) and time.monotonic() < deadline:
            time.sleep(0.02)
        for pid in left:
            _signal(pid, signal.SIGKILL)
        deadline = time.monotonic() + timeout
        while self._reap() and time.monotonic() < deadline:
            time.sleep(0.02)
        return len(left)

    def _reap(self) -> list[int]:
        """Collect what has ended; return what still runs."""
        for child in self.children.values():
            child.process.poll()
        own = {child.process.pid for child in self.children.values()}
        for pid in descendants():
            if pid not in own:  # an orphan that came to us, or somebody else's child: only ours can be waited for
                with suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)
        return [pid for pid in descendants() if not _is_zombie(pid)]


def descendants() -> list[int]:
    """Return the processes below this one, nearest first."""
    below: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError, IndexError):
                below.setdefault(int(_stat(int(entry.name))[1]), []).append(int(entry.name))
    found = list(below.get(os.getpid(), ()))
    for pid in found:
        found.extend(below.get(pid, ()))
    return found


def free_port() -> int:
    """Return a loopback TCP port that was free a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def is_listening(port: int) -> bool:
    """Tell whether somebody takes connections on a loopback port."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _plain_environment() -> dict[str, str]:
    """Return the environment without what the user set for a real catalog or meter of theirs."""
    return {name: value for name, value in os.environ.items() if not name.startswith("TRESMA_")}


def find_mosquitto() -> str:
    """
    Return where Mosquitto is.

    Raises
    ------
    DemoError
        When it is not installed.
    """
    found = shutil.which("mosquitto") or shutil.which("mosquitto", path=SBIN)
    if found is None:
        raise DemoError("Mosquitto is needed and not there: apt install mosquitto (or call make demo, which does)")
    return found


def _stat(pid: int) -> list[str]:
    """Return state, parent and so on: what follows the name, which may hold anything, in parentheses."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _is_zombie(pid: int) -> bool:
    try:
        return _stat(pid)[0] in ("Z", "X")
    except (OSError, IndexError):  # it has gone meanwhile
        return True


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
