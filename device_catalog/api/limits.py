"""
How often somebody may ask.

The generic cell rate algorithm (ITU-T I.371): one number for each who asks, and a bound on how many are remembered.
"""

from collections import OrderedDict
from collections.abc import Hashable

MINUTE = 60.0
"""How often failures of one address are told [s]."""

REMEMBERED = 65_536
"""Most that are remembered; who asked longest ago is forgotten first."""


class Buckets:
    """
    Token buckets by whom they are for.

    Parameters
    ----------
    rate : float
        Requests a second on average.
    burst : float
        Requests at once after a quiet time.

    Examples
    --------
    >>> buckets = Buckets(rate=1.0, burst=2)
    >>> [buckets.wait("a", now=0.0) for _ in range(3)]
    [0.0, 0.0, 1.0]
    """

    def __init__(self, rate: float, burst: float) -> None:
        self._pace = 1.0 / rate
        self._burst = burst * self._pace
        self._paid: OrderedDict[Hashable, float] = OrderedDict()

    def wait(self, who: Hashable, now: float) -> float:
        """Take one request; tell how long to wait instead, where it is too early [s]."""
        paid = max(self._paid.pop(who, now), now) + self._pace
        ahead = paid - now - self._burst
        self._paid[who] = paid - self._pace if ahead > 1e-9 else paid
        if len(self._paid) > REMEMBERED:
            self._paid.popitem(last=False)
        return ahead if ahead > 1e-9 else 0.0

    def empty(self, who: Hashable, now: float) -> float:
        """Tell how long to wait without taking a request [s]."""
        paid = max(self._paid.get(who, now), now) + self._pace
        ahead = paid - now - self._burst
        return ahead if ahead > 1e-9 else 0.0


class Failures:
    """
    Counts what an address tries in vain, so that its being told costs little.

    Examples
    --------
    >>> failures = Failures()
    >>> [failures.count("a", now) for now in (0.0, 1.0, 2.0, 61.0)]
    [1, 0, 0, 3]
    """

    def __init__(self) -> None:
        self._told: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def count(self, address: str, now: float) -> int:
        """Note one more; tell how many there were since it was told last, or 0 while a minute has not passed."""
        told, count = self._told.pop(address, (now - MINUTE, 0))
        due = now - told >= MINUTE
        self._told[address] = (now, 0) if due else (told, count + 1)
        if len(self._told) > REMEMBERED:
            self._told.popitem(last=False)
        return count + 1 if due else 0
