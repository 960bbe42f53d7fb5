"""
The clocks of the machine that a time base is fed with: UTC, a steady one, and what the kernel knows of UTC.

The only part of the time base that touches the world. On Linux the steady clock is CLOCK_MONOTONIC_RAW, which no time
daemon steers; on Windows it is the performance counter. The kernel tells by adjtimex(2) whether UTC follows a
reference, how well, and at which rate it makes UTC run apart from slews; a process that may not ask it, as a confined
service may not, hears it from one that may (`told_clock`).
"""

import ctypes
import time
from dataclasses import dataclass

from hardware.told_clock import told

UNTOLD = 1e-3
"""Uncertainty of a disciplined clock whose daemon tells none, as systemd-timesyncd does [s]."""

_TIME_ERROR = 5
_STA_PLL = 0x0001
_STA_UNSYNC = 0x0040
_MICROSECONDS = 1e6
_SCALED_PPM = 65536e6  # `freq` counts 2^-16 ppm
_NOMINAL_TICK = 10_000
_TRIES = 3
_1601_TO_1970 = 116_444_736_000_000_000


@dataclass(frozen=True, slots=True)
class KernelClock:
    """
    What the kernel knows of its UTC.

    Attributes
    ----------
    uncertainty : float or None
        Standard uncertainty [s]; None while UTC follows nothing, or nothing is known.
    frequency : float or None
        How much faster than the steady clock UTC is made to run, apart from slews [1]; None where the two cannot be
        told apart: chrony slews by changing the frequency, the kernel's own loop (ntpd, systemd-timesyncd) does not.
    """

    uncertainty: float | None = None
    frequency: float | None = None


class _Timex(ctypes.Structure):
    """``struct timex`` of adjtimex(2); what follows `tick` is not needed, but is written."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("constant", ctypes.c_long),
        ("precision", ctypes.c_long),
        ("tolerance", ctypes.c_long),
        ("time_seconds", ctypes.c_long),
        ("time_fraction", ctypes.c_long),
        ("tick", ctypes.c_long),
        ("rest", ctypes.c_char * 256),
    )


def kernel_clock() -> KernelClock:
    """Ask the kernel whether its UTC follows a reference, how well and at what rate."""
    try:
        adjtimex = ctypes.CDLL(None, use_errno=True).adjtimex
    except (OSError, AttributeError, TypeError):  # not Linux
        return KernelClock()
    timex = _Timex()
    state = adjtimex(ctypes.byref(timex))
    if state < 0:
        return KernelClock(*told())
    if state == _TIME_ERROR or timex.status & _STA_UNSYNC:
        return KernelClock()
    frequency = (timex.tick / _NOMINAL_TICK) * (1.0 + timex.freq / _SCALED_PPM) - 1.0
    return KernelClock(
        uncertainty=timex.esterror / _MICROSECONDS or UNTOLD,
        frequency=frequency if timex.status & _STA_PLL else None,
    )


def steady_ns() -> int:
    """Read a clock that runs at its own rate and never steps [ns]; its zero means nothing."""
    raw: int | None = getattr(time, "CLOCK_MONOTONIC_RAW", None)
    return time.perf_counter_ns() if raw is None else time.clock_gettime_ns(raw)


def utc_ns() -> int:
    """Read UTC as finely as the machine tells it [ns since 1970]."""
    windows = getattr(ctypes, "windll", None)
    if windows is None:
        return time.time_ns()
    ticks = ctypes.c_uint64()  # of 100 ns since 1601; `time.time_ns` is as coarse as 16 ms before Python 3.13
    windows.kernel32.GetSystemTimePreciseAsFileTime(ctypes.byref(ticks))
    return (ticks.value - _1601_TO_1970) * 100


def read_clocks() -> tuple[int, int]:
    """
    Read UTC and the steady clock at one moment.

    Returns
    -------
    host_ns, steady_ns : int
        [ns]. Of a few tries the one with the shortest time between two readings of the steady clock, half-way.

    Examples
    --------
    >>> host_ns, steady = read_clocks()
    >>> host_ns > 1_600_000_000_000_000_000
    True
    """
    best = (0, 0)
    shortest = -1
    for _ in range(_TRIES):
        before = steady_ns()
        host_ns = utc_ns()
        after = steady_ns()
        if shortest < 0 or after - before < shortest:
            shortest, best = after - before, (host_ns, (before + after) // 2)
        if shortest < 5_000:
            break
    return best
