"""What this process uses, read from the kernel through files opened before a sandbox closes the file system."""

import os
import time
from contextlib import suppress


class Usage:
    """
    Memory and processor time of this process since it was made.

    The memory is private memory: what this process alone holds, not what it shares with the one it was forked
    from. Reading it walks the page tables (a fraction of a millisecond), so it is done at most every `interval`.

    Parameters
    ----------
    interval : float
        [s]
    """

    def __init__(self, interval: float = 10.0) -> None:
        self._interval = interval
        try:
            self._rollup = os.open("/proc/self/smaps_rollup", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._rollup = -1
        self._read_at = -interval
        self._memory = 0
        self._wall = time.monotonic()
        self._processor = time.process_time()

    def close(self) -> None:
        """Let go of the file; a process that ends need not."""
        if self._rollup >= 0:
            os.close(self._rollup)
            self._rollup = -1

    def memory(self) -> int:
        """Return private memory [bytes]; the peak of all memory where the kernel does not tell."""
        now = time.monotonic()
        if now - self._read_at < self._interval:
            return self._memory
        self._read_at = now
        if self._rollup >= 0:
            with suppress(OSError, ValueError):
                lines = os.pread(self._rollup, 4096, 0).splitlines()[1:]
                fields = {name: value for name, _, value in (line.partition(b":") for line in lines)}
                private = sum(int(fields[name].split()[0]) for name in (b"Private_Clean", b"Private_Dirty"))
                self._memory = private * 1024
                return self._memory
        import resource  # noqa: PLC0415 - absent on Windows, where only replay uses this package

        self._memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        return self._memory

    def processor(self) -> float:
        """Return the share of one core since the last call [1]."""
        wall, processor = time.monotonic(), time.process_time()
        share = (processor - self._processor) / max(wall - self._wall, 1e-9)
        self._wall, self._processor = wall, processor
        return share
