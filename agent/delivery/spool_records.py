"""What passes between the outbox and its spool: what was found at the start, what a commit holds, what is read back."""

from collections.abc import Iterable

import msgspec

from agent.delivery.messages import NOTHING, Key, Message, Range


class Stored(msgspec.Struct, frozen=True):
    """What a broker's lane has in the spool at the start: its cursor, the last key beyond it, and how many."""

    cursor: Key
    last: Key | None
    count: int


class Opened(msgspec.Struct, frozen=True):
    """
    What the spool knew at the start.

    Attributes
    ----------
    boot : int
        Of this start.
    previous : tuple of int
        The boot before, and its highest number that is durable.
    stored : dict
        `Stored` by broker.
    dropped : list
        ``BROKER/dropped`` or ``BROKER/refused``, and a `Range` not yet reported.
    uptime : float
        Seconds of running counted so far [s].
    notes : list of str
        What an operator should know.
    """

    boot: int
    previous: Key
    stored: dict[str, Stored]
    dropped: list[tuple[str, Range]]
    uptime: float
    notes: list[str]

    @classmethod
    def without_spool(cls, brokers: Iterable[str], boot: int, note: str) -> "Opened":
        """Begin with nothing, because the spool cannot be used."""
        return cls(boot, NOTHING, {broker: Stored(NOTHING, None, 0) for broker in brokers}, [], 0.0, [note])


class Commit(msgspec.Struct, frozen=True):
    """
    One transaction.

    Attributes
    ----------
    messages : list
        Broker, and messages of one urgency in order.
    cursors : dict
        By broker.
    uptime : float
        [s]
    dropped : list or None
        What is dropped or refused and not yet reported, whole; None when that did not change.
    trim : dict or None
        For each broker its cursor, and the keys between which messages are on disk only: those may be dropped to keep
        the limits.
    """

    messages: list[tuple[str, list[Message]]]
    cursors: dict[str, Key]
    uptime: float
    dropped: list[tuple[str, Range]] | None = None
    trim: dict[str, tuple[Key, Key, Key]] | None = None


class Loaded(msgspec.Struct, frozen=True):
    """Messages read back, whether nothing follows, and ranges that could not be read."""

    messages: list[Message]
    exhausted: bool
    damaged: list[Range]
