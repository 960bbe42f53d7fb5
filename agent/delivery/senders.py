"""
Telling repeated messages from new ones, and noticing what is missing. Pure.

Every message names its device, boot and number, and the number before it on the same topic. The first three say
whether it was seen before; the last says whether one of this topic was missed, even to a receiver that hears only
some of a device's topics.

A retained message comes again with every subscription, and its number may be far behind what its device has said since
on other topics. So it is judged by its own topic alone: new where nothing later was heard there.
"""

from collections import OrderedDict
from collections.abc import Iterable

import msgspec

from algorithms.api.wire import Header

WINDOW = 8192
"""Numbers below a sender's highest that are remembered one by one."""
GAPS = 100
"""Gaps remembered for each topic."""
TOPICS = 64
"""Topics remembered of each boot of a device; the one silent for longest is forgotten first."""
HEARD = 20_000
"""Topics of which it is remembered which boot was heard there last."""


class Gap(msgspec.Struct, frozen=True):
    """Messages of one topic missing: the one numbered `last`, and perhaps others above `first` - 1."""

    device: str
    boot: int
    topic: str
    first: int
    last: int


class _Sender:
    """One boot of one device."""

    def __init__(self) -> None:
        self.highest = 0
        self.seen = 0
        self.on_topic: OrderedDict[str, int] = OrderedDict()
        self.gaps: dict[str, list[tuple[int, int]]] = {}


class Senders:
    """
    What was heard of whom.

    Parameters
    ----------
    limit : int
        Boots of devices remembered; the one silent for longest is forgotten first.

    Attributes
    ----------
    duplicates : int
    missed : int
        Gaps found.
    """

    def __init__(self, limit: int = 2000) -> None:
        self.duplicates = 0
        self.missed = 0
        self._limit = limit
        self._senders: OrderedDict[tuple[str, int], _Sender] = OrderedDict()
        self._heard: OrderedDict[tuple[str, str], int] = OrderedDict()

    def is_new(self, header: Header, topic: str, *, retained: bool = False) -> tuple[bool, Gap | None]:
        """
        Note a message, and tell whether it is new and what is missing before it.

        Parameters
        ----------
        header : Header
        topic : str
        retained : bool
            Whether the broker gave it because of a subscription, and not because it was said now.

        Examples
        --------
        >>> senders = Senders()
        >>> senders.is_new(Header("m-1", boot=1, session=1, number=1, time_ns=0), "frames")
        (True, None)
        >>> senders.is_new(Header("m-1", boot=1, session=1, number=1, time_ns=0), "frames")
        (False, None)
        >>> senders.is_new(Header("m-1", boot=1, session=1, number=5, time_ns=0, previous=3), "frames")[1]
        Gap(device='m-1', boot=1, topic='frames', first=2, last=3)
        """
        if header.number <= 0:
            return True, None  # presence is not numbered: what counts there is the session
        key = (header.device, header.boot)
        sender = self._senders.get(key)
        if sender is None:
            sender = self._senders[key] = _Sender()
            while len(self._senders) > self._limit:
                self._forget_sender(*self._senders.popitem(last=False))
        self._senders.move_to_end(key)
        expected = self._is_latest(sender, header, topic) if retained else _fills_gap(sender, header, topic)
        unseen = _note(sender, header.number)
        if not expected and (retained or not unseen):
            self.duplicates += 1
            return False, None
        gap = self._gap_before(sender, header, topic)
        if gap is not None:
            self.missed += 1
        return True, gap

    def forget(self, topics: Iterable[str]) -> None:
        """Know nothing more of topics that are not listened to now; what is retained there is new the next time."""
        gone = set(topics)
        for name in [name for name in self._heard if name[1] in gone]:
            del self._heard[name]
        for sender in self._senders.values():
            for topic in gone:
                sender.on_topic.pop(topic, None)
                sender.gaps.pop(topic, None)

    def missing(self) -> list[Gap]:
        """Tell everything that is missing still."""
        return [
            Gap(device, boot, topic, low + 1, high)
            for (device, boot), sender in self._senders.items()
            for topic, gaps in sender.gaps.items()
            for low, high in gaps
        ]

    def _is_latest(self, sender: _Sender, header: Header, topic: str) -> bool:
        """Tell whether nothing later was heard on a topic, nor this already."""
        boot = self._heard.get((header.device, topic), 0)
        return boot < header.boot or (boot == header.boot and sender.on_topic.get(topic, 0) < header.number)

    def _forget_sender(self, key: tuple[str, int], sender: _Sender) -> None:
        device, boot = key
        for topic in sender.on_topic:
            if self._heard.get((device, topic)) == boot:
                del self._heard[device, topic]

    def _gap_before(self, sender: _Sender, header: Header, topic: str) -> Gap | None:
        last = sender.on_topic.get(topic)
        if last is None:
            # Who heard an earlier boot on this topic has been listening; who did not has only just come.
            last = 0 if self._heard.get((header.device, topic), header.boot) < header.boot else header.previous
        boot = max(header.boot, self._heard.pop((header.device, topic), 0))
        self._heard[header.device, topic] = boot
        if len(self._heard) > HEARD:
            self._heard.popitem(last=False)
        sender.on_topic[topic] = max(last, header.number)
        sender.on_topic.move_to_end(topic)
        if len(sender.on_topic) > TOPICS:
            sender.gaps.pop(sender.on_topic.popitem(last=False)[0], None)
        if header.previous <= last:
            return None
        gaps = sender.gaps.setdefault(topic, [])
        gaps.append((last, header.previous))
        del gaps[:-GAPS]
        return Gap(header.device, header.boot, topic, last + 1, header.previous)


def _note(sender: _Sender, number: int) -> bool:
    """Remember `number`; tell whether it was not seen before, as far as is remembered."""
    ahead = number - sender.highest
    if ahead > 0:
        sender.seen = ((sender.seen << ahead) | 1) & ((1 << WINDOW) - 1) if ahead < WINDOW else 1
        sender.highest = number
        return True
    if -ahead >= WINDOW:
        return False
    bit = 1 << -ahead
    if sender.seen & bit:
        return False
    sender.seen |= bit
    return True


def _fills_gap(sender: _Sender, header: Header, topic: str) -> bool:
    """Close the part of a gap that this message fills; what was before and after it may be missing still."""
    gaps = sender.gaps.get(topic, [])
    for index, (low, high) in enumerate(gaps):
        if low < header.number <= high:
            rest = [(low, header.previous)] if header.previous > low else []
            rest += [(header.number, high)] if header.number < high else []
            gaps[index : index + 1] = rest
            if not gaps:
                del sender.gaps[topic]
            return True
    return False
