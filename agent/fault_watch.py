"""
Whether a fault is being handled by the algorithms of this device: then nobody changes them under their hands.

Where it stands: `routing` hands it every event that an algorithm here made or heard; `updates` asks it before another
version is begun. Rules:

- A critical event that has no end yet is being handled, and for `AFTERWARDS` so is one that ended: a locator asks for
  recordings, a reconfigurator switches behind it.
- Nothing is handled for longer than `LONGEST`: an interruption may last for days, and an algorithm that cries for ever
  must not keep its own successor away.
"""

from agent.clock import Clock
from algorithms.api.errors import shortened
from algorithms.api.records import Event, Severity

AFTERWARDS = 60.0
"""So long after its end an event is still being handled [s]."""

LONGEST = 900.0
"""So long after its beginning at most [s]."""

MOST = 256
"""Events remembered at once; of more the oldest are forgotten."""


class FaultWatch:
    """
    Remembers critical events.

    Parameters
    ----------
    clock : Clock
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._events: dict[tuple[str, str, int], tuple[float, float]] = {}

    def take(self, event: Event) -> None:
        """Take note of an event."""
        if event.severity is not Severity.CRITICAL:
            return
        key, now = (event.kind, event.terminal, event.start_ns), self._clock.monotonic()
        began, _ = self._events.pop(key, (now, now))
        latest = began + LONGEST
        self._events[key] = began, latest if event.end_ns is None else min(now + AFTERWARDS, latest)
        while len(self._events) > MOST:
            del self._events[next(iter(self._events))]

    def handled(self) -> str:
        """Name an event that is being handled; empty for none."""
        now = self._clock.monotonic()
        for key in [key for key, (_, until) in self._events.items() if until <= now]:
            del self._events[key]
        newest = next(reversed(self._events), None)
        return "" if newest is None else f"{shortened(newest[0], 64)} at {shortened(newest[1], 64)}"
