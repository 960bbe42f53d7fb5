"""
So much a minute and no more, for what anybody who may publish can bring about. Pure.

Where it stands: beside whatever strangers can make happen at no cost of theirs: requests that are answered, and lines
in the log. What is beyond the allowance is counted, so that it can be told once instead of each time.
"""

import time
from collections.abc import Callable

PERIOD = 60.0
"""[s]"""


class Allowance:
    """
    An allowance for each minute.

    Parameters
    ----------
    count : int
        What is allowed a minute.
    now : callable
        Time that only grows [s].

    Examples
    --------
    >>> allowance = Allowance(1)
    >>> allowance.take(), allowance.take()
    (True, False)
    """

    def __init__(self, count: int, now: Callable[[], float] = time.monotonic) -> None:
        self.count = count
        self._now = now
        self._begin = now()
        self._taken = self._withheld = 0

    def take(self) -> bool:
        """Tell whether one more is allowed."""
        self._renew()
        self._taken += 1
        return self._taken <= self.count

    def withheld(self) -> int:
        """Tell once, when the minute is over, how many were beyond the allowance."""
        self._renew()
        withheld, self._withheld = self._withheld, 0
        return withheld

    def _renew(self) -> None:
        now = self._now()
        if now >= self._begin + PERIOD:
            self._withheld += max(0, self._taken - self.count)
            self._begin, self._taken = now, 0
