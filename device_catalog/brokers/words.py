"""
The words that a broker is yet to be told: by topic, the newest alone, what is urgent first.

A word on a topic supersedes the one before, so that whoever was away is told how things are and not how they came
about, and what waits is bounded by the number of topics. A word leaves when it is acknowledged; what a lost connection
left unacknowledged is told again, unless there is a newer one. Many threads say words, one takes them.
"""

import threading
from collections.abc import Callable
from typing import NamedTuple


class Word(NamedTuple):
    """One message: where, what, and whether the broker keeps it."""

    topic: str
    payload: bytes
    retain: bool


class Words:
    """
    What waits to be told, and what is under way.

    Parameters
    ----------
    limit : int
        Words sent and not yet acknowledged.
    patience : float
        How long one of `limit` words under way may take to be acknowledged [s].
    """

    def __init__(self, limit: int, patience: float) -> None:
        self._limit = limit
        self._patience = patience
        self._changed = threading.Condition()
        self._urgent: dict[str, Word] = {}
        self._pending: dict[str, Word] = {}
        self._sent: dict[int, Word] = {}
        self._acknowledged: set[int] = set()

    def __len__(self) -> int:
        """Count the words not yet acknowledged."""
        with self._changed:
            return len(self._urgent) + len(self._pending) + len(self._sent)

    def say(self, word: Word, *, urgent: bool) -> None:
        """Have a word told; it stands behind those that were said before."""
        with self._changed:
            for words in (self._urgent, self._pending):
                words.pop(word.topic, None)
            (self._urgent if urgent else self._pending)[word.topic] = word
            self._changed.notify_all()

    def again(self, word: Word) -> None:
        """Have a word told unless a newer one waits already."""
        with self._changed:
            if word.topic not in self._urgent:
                self._pending.setdefault(word.topic, word)

    def wake(self) -> None:
        """Let whoever waits in `take` look again at what it was told to look at."""
        with self._changed:
            self._changed.notify_all()

    def take(self, lost: Callable[[], bool], ending: Callable[[], bool]) -> Word | None:
        """
        Take the next word; wait until there is one, and room for it under way.

        Parameters
        ----------
        lost : callable
            Tells that nothing can be sent any more.
        ending : callable
            Tells that no more is to be waited for.

        Returns
        -------
        Word or None
            None when the connection is lost, when all is told and the end has come, or when the broker acknowledged
            nothing for too long.
        """
        with self._changed:
            full = len(self._sent) >= self._limit
            progress = self._changed.wait_for(
                lambda: lost() or ending() or (self._waits() and len(self._sent) < self._limit),
                self._patience if full else None,
            )
            if lost() or not self._waits() or not progress:
                return None
            words = self._urgent or self._pending
            return words.pop(next(iter(words)))

    def sent(self, number: int, word: Word) -> bool:
        """Note that a word is under way as the message of that number; tell whether it is acknowledged already."""
        with self._changed:
            if number in self._acknowledged:
                self._acknowledged.discard(number)
                return True
            self._sent[number] = word
            return False

    def acknowledge(self, number: int) -> Word | None:
        """Note an acknowledgement; return the word, unless it came faster than `sent` was called."""
        with self._changed:
            word = self._sent.pop(number, None)
            if word is None:
                self._acknowledged.add(number)
            self._changed.notify_all()
            return word

    def give_back(self) -> None:
        """Let what was not acknowledged be told again, unless there is a newer word."""
        with self._changed:
            unsure = list(self._sent.values())
            self._sent.clear()
            self._acknowledged.clear()
        for word in unsure:
            self.again(word)

    def pending(self) -> list[Word]:
        """Give the words that are not under way."""
        with self._changed:
            return [*self._urgent.values(), *self._pending.values()]

    def forget(self, which: Callable[[Word], bool]) -> list[Word]:
        """Let some words not be told any more; give those, and the ones under way, of which it is not sure."""
        with self._changed:
            forgotten = [self._sent.pop(number) for number, word in list(self._sent.items()) if which(word)]
            for words in (self._urgent, self._pending):
                forgotten += [words.pop(word.topic) for word in list(words.values()) if which(word)]
            return forgotten

    def _waits(self) -> bool:
        return bool(self._urgent or self._pending)
