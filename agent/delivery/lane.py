"""
Messages on their way to one broker, as pure state: what waits, what is in flight, what is settled, what was dropped.

The outbox puts messages in and moves what must be kept to the spool; a link takes messages out and settles them.
Nothing here reads a clock or a file. Rules:

1. Messages leave in the order of their keys, (boot, number), whatever happens.
2. An urgent message is not sent before it is durable, unless storage is known to fail.
3. Older messages may be on disk only: ``front`` (in memory again) < disk < ``tail`` (in memory still).
4. Everything up to the cursor is settled: acknowledged, or set aside because the broker refuses it.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from agent.delivery.messages import NOTHING, Key, Message, Range

OVERHEAD = 400
"""What a message costs in memory beside its payload [bytes]."""
PREFETCH = 64
"""With fewer messages than this in memory before the disk part, more are read."""


@dataclass(slots=True, eq=False)
class Entry:
    """
    A message in memory, and how far it is.

    Attributes
    ----------
    message : Message
    since : float
        When it was put [s, monotonic].
    durable : bool
        Whether the spool holds it.
    writing : bool
        Whether a commit that holds it is under way.
    """

    message: Message
    since: float
    durable: bool = False
    writing: bool = False

    @property
    def size(self) -> int:
        """What it costs in memory [bytes]."""
        return len(self.message.payload) + OVERHEAD


class Lane:
    """
    Everything on its way to one broker.

    Attributes
    ----------
    cursor : tuple of int
        Everything up to this key is settled.
    storage_fails : bool
        Whether urgent messages go out without being durable first.
    connected : bool
        Whether the broker is there: without it everything will have to be written, and can be in larger batches.
    """

    def __init__(self, cursor: Key = NOTHING, disk_last: Key | None = None, disk_count: int = 0) -> None:
        self.storage_fails = False
        self.connected = False
        self.memory = 0
        self.refused = 0
        self.dropped = 0
        self.acknowledged = 0
        self.undurable = 0
        self.loading = False
        self.disk_last = disk_last
        self.disk_count = disk_count
        self._front: deque[Entry] = deque()
        self._tail: deque[Entry] = deque()
        self._in_flight: dict[Key, Entry] = {}
        self._unwritten: dict[bool, dict[Key, Entry]] = {True: {}, False: {}}  # by urgency
        self._taken = cursor
        self._loaded = cursor

    @property
    def cursor(self) -> Key:
        """Everything up to this key is settled."""
        if self._in_flight:
            oldest = next(iter(self._in_flight))
        elif self._front and self._front[0].message.key <= self._taken:
            oldest = self._front[0].message.key
        else:
            return self._taken
        return oldest[0], oldest[1] - 1

    @property
    def loaded(self) -> Key:
        """Everything up to this key has left the disk part."""
        return self._loaded

    @property
    def pending(self) -> int:
        """Messages not settled, wherever they are."""
        return len(self._front) + len(self._tail) + len(self._in_flight) + self.disk_count

    @property
    def in_flight(self) -> int:
        """Messages sent and not yet answered."""
        return len(self._in_flight)

    @property
    def oldest_in_flight(self) -> Key | None:
        """The first message sent and not yet answered."""
        return next(iter(self._in_flight), None)

    def add(self, message: Message, now: float) -> None:
        """Queue a new message behind all others."""
        entry = Entry(message, now)
        self._tail.append(entry)
        self._unwritten[message.urgent][message.key] = entry
        self.memory += entry.size

    def take(self, count: int) -> list[Message]:
        """Give out the next messages, at most `count`, in order; they are in flight now."""
        taken: list[Message] = []
        while len(taken) < count:
            if self._front:
                queue = self._front
            elif self.disk_last is None and self._tail:
                queue = self._tail
            else:
                break
            entry = queue[0]
            if entry.message.urgent and not entry.durable and not self.storage_fails:
                break
            queue.popleft()
            key = entry.message.key
            self._in_flight[key] = entry
            self.undurable += entry.message.urgent and not entry.durable
            self._taken = max(self._taken, key)
            taken.append(entry.message)
        return taken

    @property
    def wants_load(self) -> bool:
        """Whether messages that are on disk only are needed soon."""
        return self.disk_last is not None and len(self._front) < PREFETCH and not self.loading

    def load(self, messages: Iterable[Message], now: float, *, exhausted: bool) -> None:
        """Take over messages read back from the spool; `exhausted` when nothing follows there."""
        self.loading = False
        for message in messages:
            if message.key <= self._loaded:
                continue
            if self.disk_last is None or message.key > self.disk_last:
                break  # in memory still
            self._loaded = message.key
            entry = Entry(message, now, durable=True)
            self._front.append(entry)
            self.memory += entry.size
            self.disk_count = max(0, self.disk_count - 1)
        if self.disk_last is not None and (exhausted or self._loaded >= self.disk_last):
            self._loaded = self.disk_last
            self.disk_last = None
            self.disk_count = 0

    def settle(self, key: Key, *, accepted: bool) -> Message | None:
        """Note the broker's answer; None when the message is not in flight (an answer that came twice)."""
        entry = self._in_flight.pop(key, None)
        if entry is None:
            return None
        self._unwritten[entry.message.urgent].pop(key, None)
        self.memory -= entry.size
        if accepted:
            self.acknowledged += 1
        else:
            self.refused += 1
        return entry.message

    def lose(self) -> None:
        """Take back what is in flight, because the connection is gone: it will be sent again, first."""
        self._front.extendleft(reversed(self._in_flight.values()))
        self._in_flight.clear()

    def unwritten_urgent(self) -> bool:
        """Whether an urgent message waits for the spool."""
        return any(not entry.writing for entry in self._unwritten[True].values())

    def oldest_unwritten(self) -> float | None:
        """Tell since when the oldest message has been neither answered nor written [s, monotonic]."""
        return min(
            (
                entry.since
                for waiting in self._unwritten.values()
                for entry in islice((entry for entry in waiting.values() if not entry.writing), 1)
            ),
            default=None,
        )

    def write(self, *, streams: bool) -> list[Entry]:
        """Give out what the next commit must hold."""
        entries = [
            entry
            for urgent, waiting in self._unwritten.items()
            if urgent or streams
            for entry in waiting.values()
            if not entry.writing
        ]
        for entry in entries:
            entry.writing = True
        return entries

    def written(self, entries: Iterable[Entry], *, durable: bool) -> None:
        """Note the end of a commit."""
        for entry in entries:
            entry.writing = False
            entry.durable = durable
            if durable:
                self._unwritten[entry.message.urgent].pop(entry.message.key, None)

    def forget_durable(self, now: float) -> list[Range]:
        """Start again with an empty spool: what is in memory is written again, what was on disk only is lost."""
        lost = []
        if self.disk_last is not None and self.disk_count:
            boot, last = self.disk_last
            first = self._loaded[1] + 1 if self._loaded[0] == boot else 1
            lost.append(Range(boot, first, last, self.disk_count))
            self.dropped += self.disk_count
            self._loaded = self.disk_last
        self.disk_last = None
        self.disk_count = 0
        self._unwritten = {True: {}, False: {}}
        for entry in self._entries():
            entry.durable = False
            if not entry.writing:
                entry.since = now
            self._unwritten[entry.message.urgent][entry.message.key] = entry
        return lost

    def shrink(self, limit: int) -> list[Key]:
        """
        Keep to `limit` [bytes]: leave to the disk what is there too, then drop the oldest streams, then the oldest.

        Returns
        -------
        list of tuple
            Keys of the messages dropped.
        """
        while self._tail and self.memory > limit // 2 and self._tail[0].durable:
            entry = self._tail.popleft()
            self.memory -= entry.size
            boot, number = entry.message.key
            if self.disk_last is None:
                self._loaded = (boot, number - 1)
            self.disk_last = (boot, number)
            self.disk_count += 1
        if self.memory <= limit:
            return []
        dropped: list[Key] = []
        for streams_only in (True, False):
            kept: deque[Entry] = deque()
            for entry in self._tail:
                if self.memory <= 0.9 * limit or (streams_only and entry.message.urgent) or entry.writing:
                    kept.append(entry)
                    continue
                self.memory -= entry.size
                self._unwritten[entry.message.urgent].pop(entry.message.key, None)
                dropped.append(entry.message.key)
            self._tail = kept
        self.dropped += len(dropped)
        return sorted(dropped)

    def trimmed(self, count: int) -> None:
        """Note messages that were dropped from the disk part."""
        self.dropped += count
        self.disk_count = max(0, self.disk_count - count)

    def _entries(self) -> Iterator[Entry]:
        yield from self._in_flight.values()
        yield from self._front
        yield from self._tail
