"""
Messages of one broker that were acknowledged and are kept for a while, because somebody may have missed them. Pure.

Brokers acknowledge before they persist, and receivers come and go.
"""

from collections import deque

from agent.delivery.messages import Key, Message, OutboxLimits


class Kept:
    """Acknowledged messages within the limits of size and age, and those waiting to be sent again."""

    def __init__(self, limits: OutboxLimits) -> None:
        self.repeats: deque[Message] = deque()
        self._limits = limits
        self._messages: deque[tuple[float, Message]] = deque()
        self._size = 0

    def add(self, message: Message, now: float) -> None:
        """Keep a message acknowledged at `now` [s]."""
        self._messages.append((now, message))
        self._size += len(message.payload)
        oldest = now - self._limits.kept_age
        while self._messages and (self._messages[0][0] < oldest or self._size > self._limits.kept_memory):
            self._size -= len(self._messages.popleft()[1].payload)

    @property
    def first(self) -> Key | None:
        """From here on every acknowledged message is kept; None when none is."""
        return self._messages[0][1].key if self._messages else None

    def find(self, boot: int, first: int, last: int) -> dict[Key, Message]:
        """Give those of `boot` numbered from `first` to `last`."""
        return {
            message.key: message
            for _, message in self._messages
            if message.boot == boot and first <= message.number <= last
        }

    def take_repeats(self, count: int) -> list[Message]:
        """Give out the next that wait to be sent again, at most `count`."""
        return [self.repeats.popleft() for _ in range(min(count, len(self.repeats)))]
