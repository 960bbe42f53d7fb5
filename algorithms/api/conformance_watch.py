"""
Seeing what an algorithm does besides computing: the clock, randomness, files, sockets, threads, processes.

Where it stands: `conformance` keeps a watch open while it calls an algorithm. Two of Python's own observers are used,
since neither sees everything: the profiler is told of every call of a built-in function (`time.time`, `os.urandom`),
the audit hook of every file, socket, thread and process that is opened, by whatever way.

Rules:

- What happens inside an import is not held against anybody: modules may be loaded late.
- A generator with its own seed is no randomness: it repeats. The shared ones and the system's are.
- Code compiled outside Python that asks the system directly goes unseen; the host's sandbox sees to that.
"""

import gc
import random
import sys
import threading
from functools import cache
from types import FrameType, TracebackType
from typing import Any, Self

import numpy as np

_clock_stems = ("time", "monotonic", "perf_counter", "process_time", "thread_time", "clock_gettime")
_clock = frozenset({*_clock_stems, *(f"{stem}_ns" for stem in _clock_stems), "sleep", "localtime", "ctime"})
_harmless = frozenset({"fspath", "fsencode", "fsdecode"})
_audited = (
    "open",
    "os.",
    "shutil.",
    "socket.",
    "subprocess.",
    "tempfile.",
    "sqlite3.",
    "_thread.start",
    "pty.",
    "mmap.",
)


class Watch:
    """
    While it is entered, `calls` gathers what the entering thread did that no algorithm does.

    Examples
    --------
    >>> import time
    >>> with Watch() as watch:
    ...     started = time.time()
    >>> watch.calls
    ['time.time']
    """

    def __init__(self) -> None:
        self.calls: list[str] = []
        self._thread = 0

    def __enter__(self) -> Self:
        self._collecting = gc.isenabled()
        gc.disable()  # so that no finaliser of somebody else's rubbish runs inside
        self._numpy_state = _numpy_state()
        self._profile = sys.getprofile()
        self._thread = threading.get_ident()
        _audit_listeners().append(self)
        sys.setprofile(self._called)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        sys.setprofile(self._profile)
        _audit_listeners().remove(self)
        if _numpy_state() != self._numpy_state and "numpy.random" not in self.calls:
            self.calls.append("numpy.random")  # compiled, so no call was seen
        if self._collecting:
            gc.enable()

    def _called(self, frame: FrameType, event: str, function: Any) -> None:
        if event == "c_call":
            name = _forbidden(function)
            if name:
                self._note(name, frame)

    def audited(self, event: str) -> None:
        """Take note of an audit event of any thread."""
        if event.startswith(_audited) and threading.get_ident() == self._thread:
            self._note(event, sys._getframe(2))  # noqa: SLF001 - the only way to a caller's frame

    def _note(self, name: str, frame: FrameType | None) -> None:
        while frame is not None:
            if frame.f_code.co_filename.startswith("<frozen importlib"):
                return
            if frame.f_code.co_filename == __file__:
                return  # leaving the watch
            frame = frame.f_back
        if name not in self.calls:
            self.calls.append(name)


def _forbidden(function: Any) -> str:
    """Name a built-in function that reads the clock or a shared source of randomness, or asks the system."""
    name = getattr(function, "__name__", "")
    module = getattr(function, "__module__", None)
    owner = getattr(function, "__self__", None)
    if module == "time" and name in _clock:
        return f"time.{name}"
    if module == "_thread" and name.startswith("start_"):
        return f"_thread.{name}"
    if module in ("posix", "nt") and name not in _harmless:
        return f"os.{name}"
    if name in ("now", "utcnow", "today") and isinstance(owner, type) and owner.__module__ == "datetime":
        return f"datetime.{name}"
    if owner is getattr(random, "_inst", None) and owner is not None:
        return f"random.{name}"
    return ""


def _numpy_state() -> tuple[Any, ...]:
    """Describe numpy's shared generator, which moves on whenever somebody draws from it."""
    _, key, *position = np.random.get_state()  # noqa: NPY002 - it is the one watched
    return np.asarray(key).tobytes(), *position


@cache
def _audit_listeners() -> list[Watch]:
    """Install the one audit hook of this process, at its first use: Python has no way of taking one back."""
    listeners: list[Watch] = []

    def hook(event: str, _arguments: tuple[Any, ...]) -> None:
        for watch in listeners:
            watch.audited(event)

    sys.addaudithook(hook)
    return listeners
