"""What is read of the machine's clocks is what its kernel says, and nothing is made up where it says nothing."""

import ctypes
import time

import pytest

from hardware.timebase_clocks import UNTOLD, KernelClock, kernel_clock, read_clocks, steady_ns, utc_ns

SYNCHRONISED, LOOP, FREE = 0x0000, 0x0001, 0x0040


class Kernel:
    """A C library whose kernel says what a test wants."""

    def __init__(self, **fields: int) -> None:
        self.state = fields.pop("state", 0)
        self.fields = {"tick": 10_000, **fields}

    def adjtimex(self, timex) -> int:
        for name, value in self.fields.items():
            setattr(timex._obj, name, value)
        return self.state


@pytest.mark.parametrize(
    ("kernel", "told"),
    [
        (Kernel(status=SYNCHRONISED, esterror=250), KernelClock(250e-6, None)),
        (Kernel(status=LOOP, esterror=250, freq=-20 * 65536), KernelClock(250e-6, -20e-6)),
        (Kernel(status=LOOP, esterror=0, tick=10_001), KernelClock(UNTOLD, 100e-6)),
        (Kernel(status=LOOP | FREE, esterror=250), KernelClock()),
        (Kernel(status=LOOP, esterror=250, state=5), KernelClock()),
        (Kernel(status=LOOP, esterror=250, state=-1), KernelClock()),
    ],
)
def test_the_kernels_word_is_understood(monkeypatch, kernel, told) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: kernel)
    found = kernel_clock()
    assert found.uncertainty == told.uncertainty
    if told.frequency is None:
        assert found.frequency is None
    else:
        assert found.frequency == pytest.approx(told.frequency, abs=1e-9)


def test_a_system_without_that_call_is_said_to_know_nothing(monkeypatch) -> None:
    def missing(*_: object, **__: object) -> None:
        raise OSError("no such library")

    monkeypatch.setattr(ctypes, "CDLL", missing)
    assert kernel_clock() == KernelClock()


def test_both_clocks_are_read_at_one_moment() -> None:
    before = steady_ns()
    host, steady = read_clocks()
    assert before <= steady <= steady_ns()
    assert abs(host - time.time_ns()) < 1_000_000_000


def test_windows_utc_is_read_as_finely_as_it_is_told(monkeypatch) -> None:
    class Windows:
        class kernel32:  # noqa: N801 - its name
            @staticmethod
            def GetSystemTimePreciseAsFileTime(ticks) -> None:  # noqa: N802 - its name
                ticks._obj.value = 133_000_000_000_000_001

    monkeypatch.setattr(ctypes, "windll", Windows, raising=False)
    assert utc_ns() == 1_655_526_400_000_000_100
