"""What a board's source needs to know of time, asked through `BoardClocks` so that a test holds it in its hands."""

import time
from typing import Protocol

from hardware.timebase_clocks import KernelClock, kernel_clock, read_clocks


class BoardClocks(Protocol):
    """The clocks of a host."""

    def read(self) -> tuple[int, int]:
        """Return UTC and a steady clock at one moment [ns]."""
        ...

    def kernel(self) -> KernelClock:
        """Return what the kernel knows of its UTC."""
        ...

    def monotonic(self) -> float:
        """Return a time that never steps, by which waiting is measured [s]."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait [s]."""
        ...


class MachineClocks:
    """The machine's own."""

    def read(self) -> tuple[int, int]:
        """Return UTC and a steady clock at one moment [ns]."""
        return read_clocks()

    def kernel(self) -> KernelClock:
        """Return what the kernel knows of its UTC."""
        return kernel_clock()

    def monotonic(self) -> float:
        """Return a time that never steps, by which waiting is measured [s]."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait [s]."""
        time.sleep(seconds)
