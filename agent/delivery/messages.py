"""
What goes out: a message and what names it, ranges of messages, and how many may be held for how long. Pure.

`Outbox` (`outbox`) numbers messages and keeps them; a `Lane` (`lane`) has those of one broker in order; a `Link`
(`broker`) sends them.
"""

from collections.abc import Iterable

import msgspec

Key = tuple[int, int]
"""(boot, number): names a message of a device for ever."""

NOTHING: Key = (0, 0)
"""Before the first message of the first boot."""


class Message(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """
    One message as it goes out; repeated, it is the same bytes.

    Attributes
    ----------
    boot, number : int
    topic : str
    payload : bytes
    retain : bool
    urgent : bool
    """

    boot: int
    number: int
    topic: str
    payload: bytes
    retain: bool = False
    urgent: bool = False

    @property
    def key(self) -> Key:
        """What names it for ever."""
        return self.boot, self.number


class OutboxLimits(msgspec.Struct, frozen=True):
    """
    What an outbox may hold, and for how long.

    Attributes
    ----------
    memory : int
        Waiting messages in memory for each broker [bytes].
    disk : int
        Content of the spool for both brokers [bytes].
    kept_memory : int
        Acknowledged messages kept in memory for each broker, to be sent again when asked for [bytes].
    kept_age : float
        How long those are kept [s].
    urgent_kept_age : float
        How long acknowledged urgent messages are kept in the spool [s of running].
    stream_age, urgent_age : float
        How long messages wait for a broker before they are dropped [s of running].
    write_after : float
        A stream message that is not acknowledged after this is written [s].
    loss : float
        The most of a stream that a power cut may take [s].
    report_interval : float
        Shortest time between two reports of what was dropped [s].
    """

    memory: int = 8 * 1024 * 1024
    disk: int = 256 * 1024 * 1024
    kept_memory: int = 2 * 1024 * 1024
    kept_age: float = 60.0
    urgent_kept_age: float = 86_400.0
    stream_age: float = 7 * 86_400.0
    urgent_age: float = 90 * 86_400.0
    write_after: float = 0.25
    loss: float = 0.5
    report_interval: float = 60.0


class Range(msgspec.Struct, frozen=True):
    """Messages of one boot: `count` of those numbered from `first` to `last` (the others went elsewhere)."""

    boot: int
    first: int
    last: int
    count: int


def ranges_of(keys: Iterable[Key]) -> list[Range]:
    """
    Join keys of one broker, in order, into one range for each boot.

    >>> ranges_of([(1, 7), (1, 9), (2, 1)])
    [Range(boot=1, first=7, last=9, count=2), Range(boot=2, first=1, last=1, count=1)]
    """
    return joined(Range(boot, number, number, 1) for boot, number in keys)


def joined(ranges: Iterable[Range]) -> list[Range]:
    """Join ranges of the same boot."""
    by_boot: dict[int, Range] = {}
    for item in ranges:
        known = by_boot.get(item.boot)
        if known is not None:
            item = Range(  # noqa: PLW2901 - the range grows
                item.boot, min(known.first, item.first), max(known.last, item.last), known.count + item.count
            )
        by_boot[item.boot] = item
    return list(by_boot.values())
