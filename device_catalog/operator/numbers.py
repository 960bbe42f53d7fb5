"""
Which of a device's numbered messages arrived: the gaps and the duplicates of one boot (pure).

A device numbers its messages from 1 at every boot, whatever they are about and whichever broker takes them. A
receiver that sees them all therefore knows what is missing. Messages may come late and out of order: a gap is
missing *so far*, and closes when its numbers arrive after all.
"""

from bisect import bisect_left, bisect_right

MAXIMUM_GAPS = 1000
"""Gaps kept open at a time; beyond, the oldest are taken as lost for good."""


class Numbers:
    """
    The message numbers of one (device, boot).

    Parameters
    ----------
    first : int or None
        The number the count begins with; None to begin with the first one seen (a watcher that came later cannot
        know what it missed before).

    Examples
    --------
    >>> numbers = Numbers(first=1)
    >>> [numbers.add(number) for number in (1, 2, 5, 5, 4)]
    [True, True, True, False, True]
    >>> numbers.missing, numbers.duplicates, numbers.highest
    (1, 1, 5)
    """

    def __init__(self, first: int | None = None) -> None:
        self.duplicates = 0
        self.received = 0
        self._first = first
        self._promised = 0
        self._given_up = 0
        self._runs: list[tuple[int, int]] = []

    @property
    def highest(self) -> int:
        """The highest number seen; 0 before any."""
        return self._runs[-1][1] if self._runs else 0

    @property
    def missing(self) -> int:
        """Numbers that should have arrived and did not, so far."""
        begin = self._first if self._first is not None else (self._runs[0][0] if self._runs else None)
        if begin is None:
            return 0
        end = max(self.highest, self._promised)
        held = sum(high - max(low, begin) + 1 for low, high in self._runs if high >= begin)
        return max(0, end - begin + 1 - held) + self._given_up

    def promise(self, number: int) -> None:
        """Take note that the device has messages up to `number`, whether they arrived or not."""
        self._promised = max(self._promised, number)

    def skip(self, low: int, high: int) -> None:
        """
        Take note that the numbers from `low` to `high` are no business of this row.

        For a receiver of one topic: each message names the one before it on its topic, and what lies between went
        elsewhere. What is skipped counts neither as received nor as missing.
        """
        if low > high:
            return
        runs = self._runs
        begin = bisect_left(runs, low - 1, key=_high)
        end = bisect_right(runs, high + 1, key=_low)
        if begin < end:
            low, high = min(low, runs[begin][0]), max(high, runs[end - 1][1])
        runs[begin:end] = [(low, high)]

    def add(self, number: int, *, repeated: bool = False) -> bool:
        """
        Take note of a message; tell whether it is new.

        Parameters
        ----------
        number : int
        repeated : bool
            Whether it may lawfully come again (a retained message, a session's word): then it is no duplicate.
        """
        runs = self._runs
        if runs and number == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], number)
            self.received += 1
            return True
        place = bisect_right(runs, number, key=_low)
        before = runs[place - 1] if place else None
        if before is not None and number <= before[1]:
            self.duplicates += not repeated
            return False
        joins_before = before is not None and before[1] + 1 == number
        joins_after = place < len(runs) and runs[place][0] == number + 1
        low = before[0] if before is not None and joins_before else number
        high = runs[place][1] if joins_after else number
        runs[place - joins_before : place + joins_after] = [(low, high)]
        self.received += 1
        self._give_up_the_oldest()
        return True

    def _give_up_the_oldest(self) -> None:
        while len(self._runs) > MAXIMUM_GAPS:
            (low, high), (next_low, next_high) = self._runs[:2]
            self._given_up += next_low - high - 1
            self._runs[:2] = [(low, next_high)]


def _low(run: tuple[int, int]) -> int:
    return run[0]


def _high(run: tuple[int, int]) -> int:
    return run[1]
