"""How far it is: bars on a terminal, a line every few seconds elsewhere, both beside the answer (standard error)."""

import sys
import threading
import time
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from device_catalog.operator.output import drawing, note

APART = 10.0
"""Least time between two lines about one card [s]."""


class Reporter:
    """
    Tells how far things are, as a context manager; several threads may tell.

    Parameters
    ----------
    is_terminal : bool, optional
        Whether there is somebody who sees bars; found out unless given.
    """

    def __init__(self, *, is_terminal: bool | None = None) -> None:
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._told: dict[str, float] = {}
        self._lock = threading.Lock()
        if sys.stderr.isatty() if is_terminal is None else is_terminal:
            self._bars = Progress(
                TextColumn("{task.description:<34}", markup=False),
                BarColumn(), DownloadColumn(), TimeRemainingColumn(),
                console=drawing(on_errors=True),
            )  # fmt: skip

    def __enter__(self) -> Self:
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    def tell(self, name: str, what: str, done: int, whole: int) -> None:
        """Tell of something by name: what is done with it, how much of it, how much there is [bytes]."""
        with self._lock:
            if self._bars is not None:
                task = self._tasks.get(name)
                if task is None:
                    task = self._tasks[name] = self._bars.add_task(name, total=None)
                self._bars.update(task, description=f"{name}: {what}", completed=done, total=whole or None)
                return
            now = time.monotonic()
            if now - self._told.setdefault(name, now) >= APART:
                self._told[name] = now
                share = f"{100 * done // whole} %" if whole else f"{done / 1e6:.0f} MB"
                note(f"{name}: {what}, {share}")

    def end(self, name: str) -> None:
        """Take a bar away."""
        with self._lock:
            if self._bars is not None and name in self._tasks:
                self._bars.remove_task(self._tasks.pop(name))
