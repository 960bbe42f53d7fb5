"""How much a process may send or use, as values that are told the time: nothing here reads a clock. Pure."""

from collections import deque

AVERAGING = 10.0
"""Over how long limits of an algorithm are averaged [s]."""


class Allowance:
    """
    So many things a second on average, and what exceeds it.

    Things beyond the average are refused; who sends twice the average for long is a flood.

    Parameters
    ----------
    rate : float
        [1/s]
    now : float
        Monotonic time [s].

    Examples
    --------
    >>> allowance = Allowance(rate=2.0, now=0.0)
    >>> allowance.take(25, now=0.0), allowance.flooded
    (20, False)
    >>> allowance.take(25, now=1.0), allowance.flooded
    (2, True)
    """

    def __init__(self, rate: float, now: float) -> None:
        self._rate = rate
        self._most = max(1.0, rate * AVERAGING)
        self._left = self._patience = self._most
        self._at = now
        self.refused = 0
        self.flooded = False

    def take(self, count: int, now: float) -> int:
        """Return how many of `count` things are allowed now; the others are counted as refused."""
        gained = max(0.0, now - self._at) * self._rate
        self._at = now
        self._left = min(self._most, self._left + gained)
        self._patience = min(self._most, self._patience + gained)
        allowed = min(count, int(self._left))
        self._left -= allowed
        excess = count - allowed
        self.refused += excess
        self._patience -= excess
        self.flooded = self.flooded or self._patience < 0
        return allowed


class Share:
    """
    Use of the processor, averaged.

    Examples
    --------
    >>> share = Share()
    >>> share.add(now=0.0, used=0.0), share.add(now=5.0, used=4.0), share.add(now=10.0, used=8.0)
    (None, None, 0.8)
    """

    def __init__(self) -> None:
        self._seen: deque[tuple[float, float]] = deque()

    def add(self, now: float, used: float) -> float | None:
        """
        Note processor time used since the start.

        Parameters
        ----------
        now : float
            Monotonic time [s].
        used : float
            [s]

        Returns
        -------
        float or None
            Share of one core over `AVERAGING` [1]; None until that long has passed.
        """
        self._seen.append((now, used))
        while len(self._seen) > 1 and self._seen[1][0] <= now - AVERAGING:
            self._seen.popleft()
        since, before = self._seen[0]
        return (used - before) / (now - since) if now - since >= AVERAGING else None
