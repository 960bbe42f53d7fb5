"""
A real process that a test starts, ends politely or not, holds still, and starts again.

Where it stands: what `AgentProcess`, `CatalogProcess`, `Mosquitto` and `PageProcess` have in common; each says how it
is started and what it leaves behind.
"""

import signal
import subprocess
from types import TracebackType
from typing import Self


class StartedProcess:
    """
    One process, as a context manager.

    Attributes
    ----------
    called : str
        What it is, in messages.
    patience : float
        How long it may take to end politely before it is killed [s].
    """

    called = "the process"
    patience = 10.0

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if kind is not None:
            self._complain()
        self._clear()

    @property
    def pid(self) -> int:
        """The process, while it runs."""
        assert self._process is not None, f"{self.called} does not run"
        return self._process.pid

    def start(self) -> None:
        """Start it."""
        raise NotImplementedError

    def stop(self) -> None:
        """End it politely; nothing happens when it does not run."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it with kill -9."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Make it stand still: connections stay, nothing is answered."""
        assert self._process is not None, f"{self.called} does not run"
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        assert self._process is not None, f"{self.called} does not run"
        self._process.send_signal(signal.SIGCONT)

    def _complain(self) -> None:
        """Say what helps to find out why a test failed."""

    def _clear(self) -> None:
        """Remove what it leaves behind."""

    def _end(self, number: int) -> None:
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(number)
            self._process.send_signal(signal.SIGCONT)  # one that stands still hears nothing else
            try:
                self._process.wait(timeout=self.patience)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(timeout=10)
        self._process = None
