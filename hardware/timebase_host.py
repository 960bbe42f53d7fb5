"""
How UTC runs against a host's steady clock: offset, true rate, steps and slews.

Serves `timebase`. The steady clock (CLOCK_MONOTONIC_RAW) is a crystal that nobody touches; UTC on the same machine is
that crystal steered by a time daemon, which steps it, slews it by up to 500 ppm to work off an offset, and holds it at
the right rate for the rest of the time. Stamps follow the host's UTC through all of that. A sampling rate must not: it
needs the crystal's own error, which hardly changes. So the error comes from the kernel where the kernel tells it apart
from a slew, and otherwise is the median of what UTC gained in each of the last minutes' intervals, without those in
which it gained more than a crystal can be wrong by, and believed the less the more that gain is changing.

Rules: no clock is read here; memory is bounded; what a clock was found to be wrong by counts as its uncertainty until
it has kept straight for a minute.
"""

import math
from collections import deque
from collections.abc import Collection

CRYSTAL = 30e-6
"""Standard uncertainty of the rate of a clock that follows nothing [1]."""
LARGEST_ERROR = 100e-6
"""A gain of UTC on the steady clock beyond this is a slew, no crystal's error [1]."""
MEMORY = 60.0
"""How long a step or slew of the clock counts against it [s]."""
UNKNOWN_TIME = 1.0
"""Uncertainty of a clock that has never followed UTC, or was found wrong by more [s]."""

_INTERVAL = 5.0
_INTERVALS = 60
_STEP = 1e-3
_LARGEST_SLEW = 1e-3
_AGEING = 2e-8
"""Growth of the rate's uncertainty while the clock follows nothing [1/s]."""
_LEAST_UNCERTAINTY = 1e-7
_SLEW_TIME = 300.0
"""Time constant with which a daemon's loop works off an offset [s]: a gain that changes has that much to go."""
_KERNEL_UNCERTAINTY = 2e-7


class HostTime:
    """
    Follows one host's UTC by pairs of readings of both its clocks.

    Attributes
    ----------
    offset : float
        UTC less the steady clock, from their first readings on [s].
    rate_error : float
        By how much true time gains on the steady clock [1].
    """

    def __init__(self) -> None:
        self.offset = 0.0
        self.rate_error = 0.0
        self._recent: deque[float] = deque(maxlen=5)
        self._began: tuple[float, float] | None = None  # of the interval in progress: steady clock, offset
        self._gains: deque[float] = deque(maxlen=_INTERVALS)
        self._moved: deque[tuple[float, float]] = deque(maxlen=_INTERVALS)  # when, and by how much against its rate
        self._last: float | None = None
        self._jumped = 0
        self._told: float | None = None
        self._followed = True
        self._uncertainty = 0.0
        self._lost_at = -math.inf
        self._loss = CRYSTAL

    def add(self, steady: float, offset: float) -> None:
        """
        Take a pair of readings.

        Parameters
        ----------
        steady : float
            Of the steady clock [s].
        offset : float
            UTC less it [s].
        """
        if self._last is None:
            self._began = (steady, offset)
            self._last, self.offset = steady, offset
            self._recent.append(offset)
            return
        elapsed = steady - self._last
        allowed = _STEP + _LARGEST_SLEW * elapsed
        if abs(offset - self.offset - self.rate_error * elapsed) > allowed:
            self._jumped += 1
            if self._jumped >= 3:  # not held up between the two readings: stepped
                self._moved.append((steady, offset - self.offset))
                self._recent.clear()
                self._recent.append(offset)
                self._began = (steady, offset)
                self.offset, self._last, self._jumped = offset, steady, 0
            return
        self._jumped = 0
        self._recent.append(offset)
        self.offset = _median(self._recent)
        self._last = steady
        self._close(steady)

    def describe(self, steady: float, uncertainty: float | None, frequency: float | None) -> None:
        """
        Take what the kernel knows of UTC.

        Parameters
        ----------
        steady : float
            Now [s].
        uncertainty : float or None
            Standard uncertainty of UTC [s]; None while it follows nothing.
        frequency : float or None
            By how much it makes UTC gain on the steady clock, apart from slews [1]; None where it does not tell.
        """
        if uncertainty is not None:
            self._followed, self._uncertainty, self._lost_at = True, uncertainty, steady
            self._told = frequency
            self._judge()
        elif self._followed:
            self._loss = CRYSTAL if self._lost_at == -math.inf else self.rate_uncertainty(steady)
            self._followed = False

    @property
    def followed(self) -> bool:
        """Whether UTC follows a reference, as far as has been said."""
        return self._followed

    def rate_uncertainty(self, steady: float) -> float:
        """Return the standard uncertainty of `rate_error` [1]."""
        if not self._followed:
            since = steady - self._lost_at
            return min(CRYSTAL, self._loss + _AGEING * since) if math.isfinite(since) else CRYSTAL
        if self._told is not None:
            return _KERNEL_UNCERTAINTY
        doubt = self._doubt()
        return CRYSTAL * doubt / math.hypot(CRYSTAL, doubt) if math.isfinite(doubt) else CRYSTAL

    def time_uncertainty(self, steady: float) -> float:
        """Return the standard uncertainty of UTC as this clock tells it [s], at most `UNKNOWN_TIME`."""
        moved = wandered = 0.0
        for when, by in self._moved:
            if steady - when < MEMORY:
                if abs(by) > _STEP:
                    moved += abs(by)
                else:
                    wandered += by
        known = self._uncertainty
        if not self._followed:
            since = steady - self._lost_at
            if not math.isfinite(since):
                return UNKNOWN_TIME
            known += self.rate_uncertainty(steady) * since
        return min(UNKNOWN_TIME, math.hypot(known, moved + abs(wandered)))

    def wrong(self, steady: float, by: float) -> None:
        """Take note that UTC was found to have been wrong by so much [s]."""
        self._moved.append((steady, by))

    def _judge(self) -> None:
        if self._told is not None:
            self.rate_error = self._told
        elif self._gains:
            self.rate_error = _median(self._gains) * CRYSTAL**2 / (CRYSTAL**2 + self._doubt() ** 2)

    def _doubt(self) -> float:
        """Return the standard uncertainty of the median gain, by its scatter and its trend [1]."""
        n = len(self._gains)
        if n < 2:
            return math.inf
        gains = list(self._gains)
        middle = _median(gains)
        spread = 1.5 * _median([abs(gain - middle) for gain in gains])
        trend = abs(_median(gains[n // 2 :]) - _median(gains[: n // 2])) / (0.5 * n * _INTERVAL)
        return math.hypot(max(_LEAST_UNCERTAINTY, spread, CRYSTAL * math.exp(-1.5 * n)), trend * _SLEW_TIME)

    def _close(self, steady: float) -> None:
        """End the interval when it is long enough, and take down what UTC gained in it."""
        if self._began is None or steady - self._began[0] < _INTERVAL:
            return
        began, before = self._began
        elapsed = steady - began
        gained = (self.offset - before) / elapsed
        self._began = (steady, self.offset)
        if self._followed and abs(gained) <= LARGEST_ERROR:
            self._gains.append(gained)
            self._judge()
        self._moved.append((steady, (gained - self.rate_error) * elapsed))


def _median(values: Collection[float]) -> float:
    return sorted(values)[len(values) // 2]
