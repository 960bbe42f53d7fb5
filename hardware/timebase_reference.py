"""
Sample instants whose UTC is known from outside: a trigger, a pulse per second on an input, a disciplined sample clock.

Serves `timebase`: a straight line through the references of the last seconds, weighted by their uncertainties, whose
slope is tied to what the host's clock knows of the rate, so that a single reference is enough.

Rules: uncertainties are never averaged away, since a receiver's errors are common to all its pulses; a reference far
off the line is set aside, and only three in a row that agree with one another replace it; after the last one the
uncertainty grows with that of the rate and with the crystal's drift.
"""

import math
from collections import deque

SPAN = 20.0
"""Longest time over which a line is laid: short, so that a crystal's drift bends it by less than a microsecond [s]."""

_REFERENCES = 128
_OFF = 6.0
_LEAST_OFF = 1e-6
_AGREEING = 3


class References:
    """
    Keeps references as (x, late, uncertainty), all in seconds: late is UTC less the nominal duration x.

    Parameters
    ----------
    drift : float
        Change of the sampling rate that is reckoned with [1/s].
    """

    def __init__(self, drift: float) -> None:
        self._drift = drift
        self._known: deque[tuple[float, float, float]] = deque(maxlen=_REFERENCES)
        self._doubtful: list[tuple[float, float, float]] = []
        self._middle = self._height = self._spread = 0.0
        self._uncertainty = math.inf
        self._weight = 0.0
        self.slope = 0.0
        self.slope_uncertainty = math.inf

    def __bool__(self) -> bool:
        return bool(self._known)

    def add(self, x: float, late: float, uncertainty: float, slope: float, slope_uncertainty: float) -> bool:
        """
        Take a reference.

        Parameters
        ----------
        x, late, uncertainty : float
            [s]
        slope, slope_uncertainty : float
            What is known of the line's slope without references [1].

        Returns
        -------
        bool
            Whether it was taken for true.
        """
        reference = (x, late, uncertainty)
        if self._known and not self._fits(reference):
            self._doubtful.append(reference)
            if not self._agree():
                return False
            self._known = deque(self._doubtful, maxlen=_REFERENCES)
        else:
            self._known.append(reference)
        self._doubtful.clear()
        while self._known[0][0] < x - SPAN:
            self._known.popleft()
        self.fit(slope, slope_uncertainty)
        return True

    def at(self, x: float) -> float:
        """Return how late UTC is at a place [s]."""
        return self._height + self.slope * (x - self._middle)

    def uncertainty(self, x: float) -> float:
        """Return the standard uncertainty of that [s]; infinite without any reference."""
        if not self._known:
            return math.inf
        age = max(0.0, x - self._known[-1][0])
        return math.hypot(self._uncertainty, self.slope_uncertainty * (x - self._middle), 0.5 * self._drift * age * age)

    def _fits(self, reference: tuple[float, float, float]) -> bool:
        x, late, uncertainty = reference
        allowed = _OFF * math.hypot(uncertainty, self.uncertainty(x))
        return abs(late - self.at(x)) <= max(_LEAST_OFF, allowed)

    def _agree(self) -> bool:
        """Tell whether the last doubtful references lie on a line of the known slope."""
        last = self._doubtful = self._doubtful[-_AGREEING:]
        if len(last) < _AGREEING:
            return False
        rest = [late - self.slope * x for x, late, _ in last]
        allowed = _OFF * max(uncertainty for _, _, uncertainty in last)
        allowed += _OFF * (self.slope_uncertainty + self._drift * SPAN) * (last[-1][0] - last[0][0])
        return max(rest) - min(rest) <= max(_LEAST_OFF, allowed)

    def fit(self, slope: float, slope_uncertainty: float) -> None:
        """Lay the line anew, with what is known of its slope without references [1]."""
        if not self._known:
            return
        weights = [1.0 / max(uncertainty, 1e-12) ** 2 for _, _, uncertainty in self._known]
        total = sum(weights)
        middle = sum(w * x for w, (x, _, _) in zip(weights, self._known, strict=True)) / total
        height = sum(w * y for w, (_, y, _) in zip(weights, self._known, strict=True)) / total
        spread = sum(w * (x - middle) ** 2 for w, (x, _, _) in zip(weights, self._known, strict=True))
        joint = sum(w * (x - middle) * (y - height) for w, (x, y, _) in zip(weights, self._known, strict=True))
        prior = 1.0 / slope_uncertainty**2 if 0 < slope_uncertainty < math.inf else 0.0
        if spread + prior > 0:
            self.slope = (joint + slope * prior) / (spread + prior)
            length = self._known[-1][0] - self._known[0][0]
            self.slope_uncertainty = math.hypot(1.0 / math.sqrt(spread + prior), self._drift * length / 4.0)
        else:
            self.slope, self.slope_uncertainty = slope, slope_uncertainty
        self._middle, self._height = middle, height
        self._uncertainty = math.sqrt(len(weights) / total)
