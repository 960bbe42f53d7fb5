"""
What is recorded, and from when to when: events in, spans of time out. Pure.

Where it stands: between the agent's router, which hands over each `Event`, and the recorder process, which copies the
samples of a span. Times are those of the samples [ns UTC]: nothing here reads a clock.

Rules:

- A span goes from `before` an event's start to `after` its end. While an event lasts its span goes on, up to
  `longest`; the word that it is over sets the end.
- An event that falls into an open span joins it. One that begins too near to where the span must be cut gets its own.
- When an event ends after its span was cut, the rest gets a span of its own; of a very long one, its end.
- So many spans an hour; a quarter of them is kept back for critical events. What is over is counted.
"""

import re
from collections import OrderedDict
from collections.abc import Container, Sequence
from typing import NamedTuple

import msgspec

from agent.processes.recorder_messages import Span
from algorithms.api.records import Event, Severity
from algorithms.api.wire import NANOSECONDS, time_text
from device_catalog.contract.documents import Recorder

REQUEST = "request"
"""Kind of the event that stands for somebody's asking; never left out for its kind."""

RESERVED = 0.25
"""Share of an hour's recordings that is kept back for critical events [1]."""

_unusual = re.compile(r"[^A-Za-z0-9_-]")
_BEGUN = 64  # events remembered, of which the end may be told
_EVENTS = 100  # told of one span
_HOUR = 3600 * NANOSECONDS


class _Key(NamedTuple):
    kind: str
    terminal: str
    phases: tuple[str, ...]
    start_ns: int

    @classmethod
    def of(cls, event: Event) -> "_Key":
        return cls(event.kind, event.terminal, event.phases, event.start_ns)


class Plan:
    """
    The spans of one device.

    Parameters
    ----------
    recorder : Recorder
    taken : container of str
        Ids that are in use; looked at when a span begins.

    Attributes
    ----------
    skipped : int
        Events that were not recorded: there had been too many, or there are no samples of their time.
    """

    def __init__(self, recorder: Recorder, taken: Container[str] = ()) -> None:
        self.skipped = 0
        self._recorder = recorder
        self._taken = taken
        self._open: dict[str, Span] = {}
        self._needs: dict[str, dict[_Key, int]] = {}
        self._begun: OrderedDict[_Key, int] = OrderedDict()  # until when an event is on record [ns UTC]
        self._left = float(recorder.per_hour)
        self._left_at: int | None = None

    @property
    def open(self) -> Sequence[Span]:
        """What is being recorded."""
        return tuple(self._open.values())

    def wants(self, event: Event) -> bool:
        """Tell whether an event is of those that are recorded."""
        recorder, order = self._recorder, list(Severity)
        known = event.kind == REQUEST or not recorder.kinds or event.kind in recorder.kinds
        return known and order.index(event.severity) <= order.index(recorder.severity)

    def take(self, event: Event, oldest_ns: int, now_ns: int) -> Span | None:
        """
        Take an event.

        Parameters
        ----------
        event : Event
        oldest_ns, now_ns : int
            Times of the oldest and of the newest samples there are [ns UTC].

        Returns
        -------
        Span or None
            New or changed; None where nothing has to be done.
        """
        if not self.wants(event):
            return None
        event = _bounded(event)
        recorder = self._recorder
        before, after, longest = (round(t * NANOSECONDS) for t in (recorder.before, recorder.after, recorder.longest))
        key = self._key_of(event)
        start = event.start_ns - before
        end = start + longest if event.end_ns is None else max(event.end_ns, event.start_ns) + after
        recorded = None if self._is_open(key) else self._begun.get(key)
        if recorded is not None:
            if event.end_ns is None or recorded >= end:
                return None
            start = recorded if end - recorded <= longest else end - after - before
        span = self._span_for(key, event, end, after, longest)
        if span is not None:
            return self._join(span, key, event, end, longest)
        if end <= oldest_ns or event.start_ns > now_ns + longest:
            self.skipped += 1
            return None
        return self._begin(key, event, max(start, oldest_ns), end, longest, now_ns)

    def close(self, span_id: str, end_ns: int | None) -> None:
        """Note that a span was recorded up to `end_ns`; None where it was not."""
        self._open.pop(span_id, None)
        for key in self._needs.pop(span_id, {}):
            if end_ns is None:
                self._begun.pop(key, None)
            else:
                self._remember(key, end_ns)

    def _key_of(self, event: Event) -> _Key:
        """Name an event as it was named when it was first told of."""
        known = (key for keys in (*self._needs.values(), self._begun) for key in keys)
        return next((key for key in known if _same(key, event)), _Key.of(event))

    def _is_open(self, key: _Key) -> bool:
        return any(key in needs for needs in self._needs.values())

    def _span_for(self, key: _Key, event: Event, end: int, after: int, longest: int) -> Span | None:
        """Find the open span that an event belongs to."""
        for span_id, span in self._open.items():
            if key in self._needs[span_id]:
                return span
            cut = span.start_ns + longest
            whole = end <= cut or event.start_ns + after <= cut
            if span.start_ns <= event.start_ns <= span.end_ns and whole and len(span.events) < _EVENTS:
                return span
        return None

    def _join(self, span: Span, key: _Key, event: Event, end: int, longest: int) -> Span | None:
        if event.end_ns is None and any(_same(item, event) and item.end_ns is not None for item in span.events):
            return None  # an old word that came late
        needs = self._needs[span.id]
        needs[key] = end
        events = tuple(event if _same(item, event) else item for item in span.events)
        events = events if event in events else (*events, event)
        until = min(max(needs.values()), span.start_ns + longest)
        changed = msgspec.structs.replace(span, end_ns=until, events=events)
        self._open[span.id] = changed
        return changed

    def _begin(  # noqa: PLR0917 - as above
        self, key: _Key, event: Event, start: int, end: int, longest: int, now_ns: int
    ) -> Span | None:
        if not self._allowed(event, now_ns):
            self.skipped += 1
            return None
        end = min(max(end, start + 1), start + longest)
        span = Span(self._new_id(event.start_ns), start, end, event.start_ns, (event,))
        self._open[span.id] = span
        self._needs[span.id] = {key: end}
        self._remember(key, end)
        return span

    def _remember(self, key: _Key, end_ns: int) -> None:
        self._begun[key] = end_ns
        while len(self._begun) > _BEGUN:
            self._begun.popitem(last=False)

    def _allowed(self, event: Event, now_ns: int) -> bool:
        most = float(self._recorder.per_hour)
        if self._left_at is not None:
            self._left = min(most, self._left + max(0, now_ns - self._left_at) / _HOUR * most)
        self._left_at = now_ns
        needed = 1.0 if event.severity is Severity.CRITICAL or event.kind == REQUEST else 1.0 + RESERVED * (most - 1.0)
        if self._left < needed:
            return False
        self._left -= 1.0
        return True

    def _new_id(self, time_ns: int) -> str:
        text = time_text(time_ns)
        stem = f"{text[:19]}{text[20:23]}Z".replace("-", "").replace(":", "")
        name, number = stem, 1
        while name in self._taken or name in self._open:
            number += 1
            name = f"{stem}-{number}"
        return name


def _bounded(event: Event) -> Event:
    """Keep of an event what is recorded of it, in words that can name things: an algorithm may write anything."""
    kind = _unusual.sub("-", event.kind[:64]) or "event"
    phases = tuple(_unusual.sub("-", phase[:16]) for phase in event.phases[:8])
    return msgspec.structs.replace(event, kind=kind, terminal=event.terminal[:128], phases=phases, evidence={})


def _same(one: Event | _Key, other: Event) -> bool:
    """Tell whether two words are about one event; more phases may have joined it since the first."""
    alike = (one.kind, one.terminal, one.start_ns) == (other.kind, other.terminal, other.start_ns)
    return alike and (one.phases == other.phases or bool(set(one.phases) & set(other.phases)))
