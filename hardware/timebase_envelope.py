"""
A straight line under points that are late by unknown amounts, never early.

Serves `timebase`: the points are readings of a board's sample count, x the nominal duration of the samples counted and
y by how much later than that the host's steady clock read. A reading is late by the wait for the next transfer and for
the processor, so the line that counts is the lower envelope: of all lines below every point the one that is closest to
them in the mean, an edge of their convex hull (S. B. Moon, P. Skelly, D. Towsley, IEEE INFOCOM 1999,
doi 10.1109/INFCOM.1999.749287). From there the bins that are hardly later refine it by least squares, with a bend
where the crystal drifts. However heavy the tail of the delays, it does not move the line.

Rules: memory is bounded (64 bins of equal width hold their lowest point; bins double in width until the span is
reached, then the oldest goes); work is constant per point and some 60 steps whenever a bin is full; no clock.
"""

import math
from dataclasses import dataclass, replace
from itertools import pairwise

SPAN = 60.0
"""Longest time over which the line is taken as straight [s]."""
DRIFT = 2e-6 / 60.0
"""Change of a crystal's rate that is reckoned with [1/s]: two parts per million in a minute."""
START_UNCERTAINTY = 0.02
"""Of a line through too few points to judge [s]."""

_BINS = 64
_FIRST_WIDTH = 0.05
_FULL_WIDTH = SPAN / (_BINS - 4)
_LEAST_POINTS = 4
_LEAST_JUDGED = 12
"""Bins from which on their own scatter tells how good the slope is; three or four may lie in line by chance."""
_FEW = 4.0
"""Points fewer than about this many, two apart, lie in line by chance; their scatter is taken as larger."""
_ROUNDS = 3
_KEPT = 2.0
"""How far above the third tenth of all bins one may lie, in distances from the first tenth to the third."""
_SHORT = 1.3
"""What the choice of bins hides of their scatter."""
_UNREAD = 0.6
"""Standard uncertainty of something between nothing and a whole transfer, both ends likely, as a share of it."""
_LEAST_PINNED = 0.2
_WATCHED = 0.5


@dataclass(slots=True)
class _Bin:
    """Readings of a short time: the lowest, and what they were like on average."""

    number: int
    x: float
    y: float
    late: float
    """Of the lowest above the line of its time [s]."""
    pinned: int
    """Readings that cannot have come much later than what they found."""
    watched: bool
    """Whether one of them came soon after a look that had not found it: of that there is no doubt."""
    count: int


@dataclass(frozen=True, slots=True)
class Line:
    """
    The lower envelope, ``y = height + slope (x - middle)``.

    Attributes
    ----------
    middle : float
        [s]
    height : float
        [s]
    slope : float
        [1]
    slope_uncertainty : float
        Standard uncertainty [1]; infinite where too few points are known.
    height_uncertainty : float
        Standard uncertainty at the middle [s].
    """

    middle: float = 0.0
    height: float = 0.0
    slope: float = 0.0
    slope_uncertainty: float = math.inf
    height_uncertainty: float = START_UNCERTAINTY

    def at(self, x: float) -> float:
        """Return the line's y at a place [s]."""
        return self.height + self.slope * (x - self.middle)


class Envelope:
    """
    Keeps the lowest points of the last `SPAN` seconds and the line under them.

    Examples
    --------
    >>> envelope = Envelope()
    >>> for k in range(400):
    ...     refitted = envelope.add(0.1 * k, 2e-5 * k + 0.001 * (k % 7), 0.001, 0.01)
    >>> round(envelope.line.slope * 1e6, 3)  # 20 us in each 0.1 s
    200.0
    """

    def __init__(self) -> None:
        self.line = Line()
        self._bins: list[_Bin] = []
        self._open: _Bin | None = None
        self._width = _FIRST_WIDTH
        self._longest = 0.0

    @property
    def span(self) -> float:
        """Time from the first to the last bin's lowest point [s]."""
        return self._bins[-1].x - self._bins[0].x if self._bins else 0.0

    def clear(self) -> None:
        """Forget all points; the line stays until there are new ones, and its slope is told no more."""
        self.line = replace(self.line, slope_uncertainty=math.inf)
        self._bins.clear()
        self._open = None
        self._width = _FIRST_WIDTH

    def add(self, x: float, y: float, apart: float, longest: float) -> bool:
        """
        Take a point.

        Parameters
        ----------
        x : float
            Not before the point before [s].
        y : float
            [s]
        apart : float
            Longest time for which the count may have stood there unread, such as since the reading before [s].
        longest : float
            The same had nobody looked before: the time between transfers [s].

        Returns
        -------
        bool
            Whether the line was fitted anew.
        """
        late = y - self.line.at(x)
        self._longest = longest
        pinned = apart - late < 0.5 * self._longest
        watched = apart < 0.5 * self._longest
        number = int(x / self._width)
        bin_ = self._open
        if bin_ is not None and bin_.number == number:
            bin_.pinned += pinned
            bin_.watched |= watched
            bin_.count += 1
            if late < bin_.late:
                bin_.x, bin_.y, bin_.late = x, y, late
            return False
        self._open = _Bin(number, x, y, late, int(pinned), watched, 1)
        if bin_ is None:
            if not self._bins:  # the very first point: late by some, but nothing better is known
                self.line = Line(x, y, self.line.slope, self.line.slope_uncertainty)
            return False
        self._bins.append(bin_)
        self._make_room(x)
        self._fit()
        return True

    def _make_room(self, x: float) -> None:
        bins = self._bins
        if self._width >= _FULL_WIDTH:
            while bins and bins[0].x < x - SPAN:
                bins.pop(0)
        elif len(bins) >= _BINS:
            self._width = min(2.0 * self._width, _FULL_WIDTH)
            merged: list[_Bin] = []
            for bin_ in bins:
                bin_.number = int(bin_.x / self._width)
                if merged and merged[-1].number == bin_.number:
                    merged[-1] = self._lower(merged[-1], bin_)
                else:
                    merged.append(bin_)
            self._bins = merged
            if self._open is not None:
                self._open.number = int(x / self._width)

    def _lower(self, first: _Bin, second: _Bin) -> _Bin:
        rises = [one.y - self.line.at(one.x) for one in (first, second)]
        lower = first if rises[0] <= rises[1] else second
        return _Bin(
            first.number,
            lower.x,
            lower.y,
            lower.late,
            first.pinned + second.pinned,
            first.watched or second.watched,
            first.count + second.count,
        )

    def _fit(self) -> None:
        bins = self._bins
        n = len(bins)
        if n < (_LEAST_POINTS if math.isfinite(self.line.slope_uncertainty) else _LEAST_JUDGED):
            lowest = min(bins, key=lambda one: one.y - self.line.at(one.x))
            self.line = Line(lowest.x, lowest.y, self.line.slope, self.line.slope_uncertainty)
            return
        middle = sum(one.x for one in bins) / n
        left, right = _edge(bins, middle)
        slope = (right.y - left.y) / (right.x - left.x)
        height = left.y + slope * (middle - left.x)
        unread = self._unread()
        if unread:
            self.line = Line(middle, height, slope, unread / max(self.span, 1e-9), unread)
        else:
            self.line = self._refined(middle, height, slope)

    def _refined(self, middle: float, height: float, slope: float) -> Line:
        """
        Fit by least squares the bins that are hardly later than the envelope.

        The hull's edge rests on two points. Where many bins found the board almost at once their lowest points
        scatter little, and all of them together tell the slope better. Late ones are left out by a limit taken from
        the lowest third, which delays do not reach.
        """
        bins = self._bins
        spread = error = 0.0
        rises: list[float] = []
        for _ in range(_ROUNDS):
            rises = [one.y - height - slope * (one.x - middle) for one in bins]
            ordered = sorted(rises)
            low, typical = ordered[len(bins) // 10], ordered[3 * len(bins) // 10]
            limit = typical + _KEPT * max(typical - low, 1e-9)
            kept = [(one.x, rise) for one, rise in zip(bins, rises, strict=True) if rise <= limit]
            n = len(kept)
            mean_x, mean_rise = sum(x for x, _ in kept) / n, sum(rise for _, rise in kept) / n
            spread = max(sum((x - mean_x) ** 2 for x, _ in kept), 1e-12)
            more = sum((x - mean_x) * (rise - mean_rise) for x, rise in kept) / spread
            error = math.sqrt(sum((rise - mean_rise - more * (x - mean_x)) ** 2 for x, rise in kept) / max(n - 2, 1))
            slope += more
            height += mean_rise + more * (middle - mean_x)
        error *= 1.0 + (_FEW / max(n - 2, 1)) ** 2
        bend, bend_uncertainty, square = _bend(kept, mean_x, error)
        uncertainty = _SHORT * error / math.sqrt(spread)
        end = bins[-1].x
        turned = 2.0 * (end - mean_x)
        # A crystal drifts by `DRIFT` or by what is seen of it; what counts is the tangent where the samples are now.
        prior = max((0.5 * DRIFT) ** 2, bend**2 - 8.0 * bend_uncertainty**2)
        share = prior / (prior + bend_uncertainty**2)
        bend *= share
        uncertainty = math.hypot(uncertainty, turned * bend_uncertainty * math.sqrt(share))
        rises = sorted(
            one.y - height - slope * (one.x - middle) - bend * ((one.x - mean_x) ** 2 - square) for one in bins
        )
        lowest = rises[len(bins) // 10]  # down to the least late, without leaning on one alone
        height += slope * (end - middle) + bend * ((end - mean_x) ** 2 - square) + lowest
        return Line(end, height, slope + turned * bend, uncertainty, error)

    def _unread(self) -> float:
        """
        Return how long counts may have stood unread without its being seen [s].

        A reading is pinned when it cannot have come much later than the transfer it found: soon after a look that did
        not find it, or so late that the transfer cannot have been there much longer. Looks at all moments between
        transfers pin half of their readings, looks that aim at them some in each bin. Where hardly any is pinned, looks
        and transfers keep step, and the line may lie lower than any point shows.
        """
        if sum(one.watched for one in self._bins) >= _WATCHED * len(self._bins):
            return 0.0
        shares = sorted(one.pinned / one.count for one in self._bins)
        return _UNREAD * self._longest if shares[len(shares) // 2] < _LEAST_PINNED else 0.0


def _edge(bins: list[_Bin], middle: float) -> tuple[_Bin, _Bin]:
    """Return the two points that carry the lower hull's edge above the mean place."""
    hull: list[_Bin] = []
    for point in bins:
        while len(hull) > 1 and (hull[-1].y - hull[-2].y) * (point.x - hull[-1].x) >= (point.y - hull[-1].y) * (
            hull[-1].x - hull[-2].x
        ):
            hull.pop()
        hull.append(point)
    for left, right in pairwise(hull):
        if right.x >= middle:
            return left, right
    return hull[-2], hull[-1]


def _bend(points: list[tuple[float, float]], mean_x: float, error: float) -> tuple[float, float, float]:
    """Return the square term of points about a line, its uncertainty [1/s], and the mean square of x [s^2]."""
    squares = [(x - mean_x) ** 2 for x, _ in points]
    mean = sum(squares) / len(points)
    weight = max(sum((square - mean) ** 2 for square in squares), 1e-12)
    bend = sum((square - mean) * rise for square, (_, rise) in zip(squares, points, strict=True)) / weight
    return bend, _SHORT * error / math.sqrt(weight), mean
