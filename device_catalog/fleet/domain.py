"""
Who is there: leases on a timing wheel, and when silence may be called absence.

Every device holds a lease that each poll renews. `Presence` stands between the polls (`renew`, thousands a second)
and what is said on the grid broker (`Transition`, few). Its rules:

1. A poll only writes the time into the lease. The wheel looks at a lease when it may have become due, and moves it on
   if it was renewed meanwhile: no work per poll, and no search through the fleet.
2. A device is *late* half-way between its poll interval and its lease, *unavailable* when the lease is over.
3. Silence counts from `visible_since`, the moment since which the catalog is known to hear: its start, or the end of
   a stall. So everybody has one full lease after a start.
4. When many are late at once (`Guard`), the catalog suspects itself: it says *waiting* and gives everybody one more
   full lease. While more than half are late it goes on waiting, since it cannot tell its own deafness from theirs.
   Small numbers (`Guard.minimum`) are believed at once. The lapses of a fleet that polls in time come only after
   all of it is late, as long as a lease is at least three intervals: so nobody is declared gone by mistake before.

Pure: the time comes in as an argument [s, monotonic].
"""

from dataclasses import dataclass
from enum import StrEnum

from device_catalog.fleet.leases import Lease, State, TimingWheel

LAPSES_AT_ONCE = 1000
"""Leases declared over in one look; the others are declared in the next ones, so that no look takes long."""


class Reason(StrEnum):
    """Why a device's availability changed."""

    POLLED = "polled"
    LEASE_EXPIRED = "lease-expired"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class Transition:
    """
    A device became available or unavailable.

    Attributes
    ----------
    lease : Lease
    available : bool
    reason : Reason
    time : float
        [s, monotonic]
    news : bool
        Whether it contradicts what was known before, rather than being the first word after a start.
    """

    lease: Lease
    available: bool
    reason: Reason
    time: float
    news: bool = True


@dataclass(frozen=True, slots=True)
class Guard:
    """
    When silence is suspicious.

    Attributes
    ----------
    share : float
        Of those who should be heard, the share that may be late at once before the catalog suspects itself [1].
    deaf_share : float
        The share above which it goes on waiting however long it takes [1].
    minimum : int
        So many are believed at once, whatever the share.
    stall : float
        Time without a look at the wheel after which the catalog counts as having been deaf itself [s].
    settling : float
        Longest time after a start that the catalog calls itself waiting [s].
    """

    share: float = 0.1
    deaf_share: float = 0.5
    minimum: int = 50
    stall: float = 5.0
    settling: float = 900.0


class Presence:
    """
    The leases of a fleet.

    Attributes
    ----------
    visible_since : float
        Silence counts from here [s, monotonic].
    waiting : bool
        Whether the catalog says of itself that silence means nothing yet.
    """

    def __init__(self, now: float, guard: Guard = Guard(), resolution: float = 0.1) -> None:
        self.guard = guard
        self.visible_since = now
        self.waiting = True
        self.flaps = 0
        self._wheel = TimingWheel(resolution, now)
        self._started = now
        self._advanced = now
        self._suspicious = False
        self._longest = 0.0
        self._count = dict.fromkeys(State, 0)
        self._expected = 0  # who should be heard: was available, and not yet declared gone
        self._missing = 0  # of these, who is late or was not heard since the start
        self._unsettled = 0  # of these, who was not heard since the start

    def count(self, state: State) -> int:
        """Count the devices in `state`."""
        return self._count[state]

    def add(self, lease: Lease, now: float) -> None:
        """Watch a device that is registered, or was found in the database at the start."""
        self._count[lease.state] += 1
        self._longest = max(self._longest, lease.duration)
        if lease.expected:
            self._expected += 1
            self._missing += 1
            self._unsettled += 1
        self._wheel.put(lease, max(now, self.visible_since) + lease.duration)

    def remove(self, lease: Lease) -> None:
        """No longer watch a device."""
        self._wheel.forget(lease)
        self._count[lease.state] -= 1
        self._no_longer_expect(lease, lease.state)

    def change(self, lease: Lease, interval: float, duration: float, now: float) -> None:
        """Give a device another interval and lease; they count from its last sign of life, or from now."""
        lease.interval, lease.duration = interval, duration
        self._longest = max(self._longest, duration)
        if lease.state is State.AVAILABLE:
            self._wheel.put(lease, max(now, lease.seen + lease.late_after))
        elif lease.state is not State.UNAVAILABLE:
            self._wheel.put(lease, now + duration)

    def renew(self, lease: Lease, now: float) -> Transition | None:
        """Take a sign of life; tell when the device had not been known to be there."""
        lease.seen = now
        if lease.state is State.AVAILABLE:
            return None
        before = self._move(lease, State.AVAILABLE)
        self._wheel.put(lease, now + lease.late_after)
        if lease.expected:
            self._missing -= 1
            self._unsettled -= before is State.UNKNOWN
        else:
            lease.expected = True
            self._expected += 1
        if before is State.LATE:
            return None
        if before is State.UNAVAILABLE:
            lease.flaps += 1
            self.flaps += 1
        return Transition(lease, True, Reason.POLLED, now, news=before is State.UNAVAILABLE)

    def advance(self, now: float) -> list[Transition]:
        """Look at the leases that are due; to be called every tick or so."""
        if now - self._advanced > self.guard.stall:
            self.deaf(now)
        self._advanced = now
        overdue: list[Lease] = []
        for lease in self._wheel.due(now):
            if lease.state is State.AVAILABLE:
                if now < lease.seen + lease.late_after:
                    self._wheel.put(lease, lease.seen + lease.late_after)
                    continue
                self._move(lease, State.LATE)
                self._missing += 1
            overdue.append(lease)
        self._suspect(now)
        transitions: list[Transition] = []
        for lease in overdue:
            end = max(lease.seen, self.visible_since) + lease.duration
            if now < end or len(transitions) >= LAPSES_AT_ONCE:
                self._wheel.put(lease, max(now, end))
            else:
                transitions.append(self._lapse(lease, now))
        self._judge_itself(now)
        return transitions

    def deaf(self, now: float) -> None:
        """Count silence from now: until now, the catalog may not have heard everybody."""
        self.visible_since = now
        self._suspicious = True

    def _suspect(self, now: float) -> None:
        """Give everybody another lease when so many are missing that it may be the catalog's own fault."""
        guard = self.guard
        many = self._missing > max(guard.minimum, guard.share * self._expected)
        deaf = self._missing > max(guard.minimum, guard.deaf_share * self._expected)
        if deaf or (many and not self._suspicious):
            self.visible_since = now
            self._suspicious = True

    def _judge_itself(self, now: float) -> None:
        patience = min(self._longest, self.guard.settling)
        few = self._missing <= max(self.guard.minimum, self.guard.share * self._expected)
        if few and now - self.visible_since >= patience:
            self._suspicious = False
        self.waiting = self._suspicious or (bool(self._unsettled) and now - self._started < patience)

    def _lapse(self, lease: Lease, now: float) -> Transition:
        before = self._move(lease, State.UNAVAILABLE)
        news = lease.expected
        self._no_longer_expect(lease, before)
        return Transition(lease, False, Reason.LEASE_EXPIRED, now, news=news)

    def _no_longer_expect(self, lease: Lease, state: State) -> None:
        if lease.expected:
            lease.expected = False
            self._expected -= 1
            self._missing -= state is not State.AVAILABLE
            self._unsettled -= state is State.UNKNOWN

    def _move(self, lease: Lease, state: State) -> State:
        before = lease.state
        self._count[before] -= 1
        self._count[state] += 1
        lease.state = state
        return before
