"""
What a host reads of a sampling board: late, in whole transfers, by clocks that are wrong in known ways.

A board's transfers of 10 ms are complete some 0.3 ms after their last sample. The host looks when it expects one, at
dithered or equal waits, or on a grid that nearly keeps step with the transfers; the processor comes late by an
exponential time, and on a loaded machine by heavy-tailed ones (Pareto, of infinite variance), with bursts of seconds.
The steady clock is a crystal with an error; UTC as the host tells it is the truth and an error given as a function of
time.
"""

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

EPOCH = 1_790_000_000_000_000_000
"""UTC of the beginning [ns]."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One look at the board."""

    time: float
    """When it was, in truth [s after the beginning]."""
    count: int
    host_ns: int
    steady_ns: int


@dataclass(frozen=True)
class Board:
    """
    A board and the host it is read by.

    Attributes
    ----------
    rate : float
        At the beginning [Hz].
    drift : float
        Relative change of the rate [1/s].
    transfer : int
        Samples that come at once.
    latency : float
        From a sample to its being readable, at least [s].
    crystal_error : float
        Of the host's steady clock, positive where it runs fast [1].
    host_error : callable
        The host's UTC less the truth [s] at a time [s].
    loaded : bool
        Whether the processor is late as on a busy machine.
    looks : str
        ``aimed`` at each transfer's end and a little around it, and 0.5 ms later when it was not there yet; ``seldom``
        at every fourth transfer's end, a little late, and only each eighth time before as well;
        ``dithered`` without regard to transfers, ``slept`` for the same time after each look, or on a ``grid``.
    interval : float
        Mean time between looks [s].
    """

    rate: float = 3200.7316
    drift: float = 0.0
    transfer: int = 32
    latency: float = 3e-4
    crystal_error: float = 0.0
    host_error: Callable[[float], float] = lambda _: 0.0
    loaded: bool = True
    looks: Literal["aimed", "seldom", "dithered", "slept", "grid"] = "aimed"
    interval: float = 0.01

    def taken(self, time: float, phase: float) -> float:
        """Return how many samples have been taken, with fractions."""
        return self.rate * (time + 0.5 * self.drift * time * time) + phase

    def instant(self, index: float, phase: float) -> float:
        """Return when a sample is taken [s]: the count is one higher from then on."""
        steady = (index + 1 - phase) / self.rate
        if not self.drift:
            return steady
        return (math.sqrt(1.0 + 2.0 * self.drift * steady) - 1.0) / self.drift

    def true_rate(self, time: float) -> float:
        """Return the rate at a time [Hz]."""
        return self.rate * (1.0 + self.drift * time)


class Readings:
    """One run, the same for the same seed; `phase` is where in a sample it begins."""

    def __init__(self, board: Board, seed: int) -> None:
        self.board = board
        self._random = random.Random(seed)
        self.phase = self._random.random() * board.transfer
        self._steady_origin = self._random.randrange(10**15)
        self._burst_end = -1.0

    def instant(self, index: float) -> float:
        """Return when a sample was taken [s after the beginning]."""
        return self.board.instant(index, self.phase)

    def until(self, duration: float) -> Iterator[Reading]:
        """Look at the board from the beginning on."""
        board, rnd = self.board, self._random
        time, look, count, due, blocks = 0.0, 0, 0, 0.0, 0
        while time < duration:
            look += 1
            if board.looks == "aimed":
                ends = self.board.instant(count + board.transfer - 1, self.phase)
                aim = ends + board.latency + 1e-3 * (look * 0.6180339887498949 % 1.0 - 0.3)
                due = aim if aim > time else time + 5e-4
            elif board.looks == "seldom":
                block = 4 * board.transfer
                ends = self.board.instant(count - count % block + block - 1, self.phase)
                early = -1e-3 if blocks % 8 == 0 else 5e-4
                due = ends + board.latency + early if ends + board.latency + early > time else time + 1e-3
            elif board.looks == "dithered":
                due = time + board.interval * (0.5 + look * 0.6180339887498949 % 1.0)
            elif board.looks == "slept":
                due = time + board.interval
            else:
                due = max(due + board.interval, time)
            time = due + self._late(due)
            arrived = board.taken(time - board.latency - rnd.expovariate(1e4), self.phase)
            before, count = count, max(count, int(arrived) // board.transfer * board.transfer)
            blocks += count // (4 * board.transfer) - before // (4 * board.transfer)
            time += rnd.expovariate(1e5)
            if board.loaded and rnd.random() < 0.01:  # held up between the count and the clock
                time += 0.001 * rnd.paretovariate(1.2)
            yield Reading(
                time,
                count,
                EPOCH + round((time + board.host_error(time)) * 1e9),
                self._steady_origin + round(time * (1.0 + board.crystal_error) * 1e9),
            )

    def _late(self, due: float) -> float:
        rnd = self._random
        late = rnd.expovariate(1.0 / 6e-5)
        if not self.board.loaded:
            return late
        if due > self._burst_end and rnd.random() < 0.002:
            self._burst_end = due + min(20.0, 0.1 * rnd.paretovariate(1.2))
        if due < self._burst_end:
            return late + min(5.0, 0.003 * rnd.paretovariate(1.5))
        return late + (min(5.0, 0.0005 * rnd.paretovariate(1.5)) if rnd.random() < 0.05 else 0.0)
