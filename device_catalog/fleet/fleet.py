"""
The register in memory: a small record for each device, with its credential's digest, newest revision and lease.

A poll touches only this, thousands of times a second. Everything here runs in the server's own thread, except where a
method says otherwise. What changes is told to an `Announcer`, which returns at once.
"""

import hashlib
import hmac
import time
from collections.abc import Callable, Iterable
from typing import Protocol

from device_catalog.contract.presence import Availability
from device_catalog.contract.support import SupportWish
from device_catalog.errors import DeviceUnknown, NotAuthorised
from device_catalog.fleet.device import Device, Shared
from device_catalog.fleet.domain import Guard, Presence, Reason, Transition
from device_catalog.fleet.entity_tags import EntityTags, Signer
from device_catalog.fleet.leases import NEVER, State
from device_catalog.storage.rows import DeviceRow, Seen

NANOSECONDS = 1_000_000_000

BURST = 60
"""Polls a device may send at once after a quiet time: an operator's changes ask for one each."""

SLOWEST_PACE = 1.0
"""A device may always poll this often on average [s], however seldom it was told to."""

_hash = hashlib.sha256
_equal = hmac.compare_digest


class Announcer(Protocol):
    """Whoever tells the grid brokers; every call returns at once."""

    def availability(self, tenant: str, availability: Availability, *, urgent: bool) -> None:
        """Say that a device came or went."""

    def notify(self, tenant: str, device: str, revision: int) -> None:
        """Ask a device to ask the catalog now."""

    def state(self, tenants: list[str], state: str, time_ns: int) -> None:
        """Say whether silence is judged."""


class Fleet:
    """
    All registered devices.

    Parameters
    ----------
    announcer : Announcer
    guard : Guard
    monotonic : callable
        Clock of the leases [s].
    wall : callable
        UTC [ns].
    signer : Signer, optional
        Of desired documents; without one they bear no signature and do not expire.

    Attributes
    ----------
    devices : dict
        `Device` by name.
    polls : int
        Taken since the start.
    refused : int
        Of these, how many came from devices that ask far too often.
    presence : Presence
    wanted : dict
        Recordings that devices are asked for, by device; only those that are asked for any.
    support : dict
        What is wanted to help devices, by device; only those of which anything is.
    shared : Shared or None
        None where this is the only catalog.
    """

    def __init__(
        self,
        announcer: Announcer,
        guard: Guard,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], int] = time.time_ns,
        signer: Signer | None = None,
    ) -> None:
        self.devices: dict[str, Device] = {}
        self.polls = 0
        self.refused = 0
        self.monotonic = monotonic
        self.wall = wall
        self.signer = signer
        self.presence = Presence(monotonic(), guard)
        self.wanted: dict[str, tuple[str, ...]] = {}
        self.support: dict[str, SupportWish] = {}
        self.shared: Shared | None = None
        self._announcer = announcer
        self._tags = EntityTags(signer, monotonic, wall)
        self._tenants: set[str] = set()
        self._waiting: bool | None = None

    def load(self, rows: Iterable[DeviceRow], tenants: Iterable[str]) -> None:
        """Take over the register; once, before anybody is served."""
        for row in rows:
            self.hold(row)
        self._tenants.update(tenants)

    def hold(self, row: DeviceRow) -> Device:
        """Take in a device."""
        device = Device(row, b"")
        self._renew(device)
        self.devices[row.device] = device
        self._tenants.add(device.tenant)
        self.presence.add(device, self.monotonic())
        return device

    def tag(self, revision: int) -> bytes:
        """Write the entity tag of a revision that nothing is added to."""
        return self._tags.of_revision(revision)

    def want(self, name: str, recordings: tuple[str, ...], *, notify: bool = True) -> None:
        """
        Ask a device for these recordings, and for no others any more.

        They stand in its desired document, which gets another entity tag by it: a poll compares tags only.
        """
        device = self.devices.get(name)
        if device is None or self.wanted.get(name, ()) == recordings:
            return
        self.wanted[name] = recordings
        if not recordings:
            del self.wanted[name]
        self._renew(device)
        if notify:
            self._announcer.notify(device.tenant, device.device, device.revision)

    def help(self, name: str, wish: SupportWish, *, notify: bool = True) -> None:
        """Want this of a device to help it, and nothing else any more; as `want` does."""
        device = self.devices.get(name)
        if device is None or self.support.get(name, SupportWish()) == wish:
            return
        self.support[name] = wish
        if wish == SupportWish():
            del self.support[name]
        self._renew(device)
        if notify:
            self._announcer.notify(device.tenant, device.device, device.revision)

    def _renew(self, device: Device) -> None:
        self._tags.renew(device, self.wanted.get(device.device), self.support.get(device.device))

    def authenticate(self, name: str, token: bytes) -> Device:
        """
        Find the device that `token` speaks for.

        Raises
        ------
        NotAuthorised
            When it is not `name`, or `name` is not registered: which of the two is not told.
        """
        device = self.devices.get(name)
        if device is None or not _equal(_hash(token).digest(), device.digest):
            raise NotAuthorised("expected this device's own credential, found another or an unregistered device")
        return device

    def heard(self, device: Device, boot: int, applied: int, known: bytes) -> float:
        """
        Take a poll as sign of life and acknowledgement, whether it is to be answered or not.

        Returns
        -------
        float
            How long the device should wait because it polls far above its rate [s]; 0 for a poll to be answered.
        """
        self.polls += 1
        now = self.monotonic()
        if device.state is State.AVAILABLE:
            device.seen = now
        else:
            transition = self.presence.renew(device, now)
            if transition is not None:
                self._announce(transition)
        if self.shared is not None:
            self.shared.fresh[device.device] = device
        if now >= device.renewal:
            self._renew(device)
        if device.terms is not None and known == device.tag:
            self.presence.change(device, *device.terms, now)
            device.terms = None
            if self.shared is not None:
                self.shared.settled[device.device] = device.revision
        if boot >= 0:
            device.boot = boot
        if applied >= 0:
            device.applied = applied
        # The generic cell rate algorithm (ITU-T I.371): one number a device, whatever it sends.
        pace = min(device.interval * 0.1, SLOWEST_PACE)
        paced = max(device.paced, now) + pace
        ahead = paced - now - BURST * pace
        if ahead > 0:
            self.refused += 1
            return ahead
        device.paced = paced
        return 0.0

    def heard_elsewhere(self, device: Device, seen: float) -> None:
        """Take a poll of a device that was not known to be there, which another catalog heard [s, monotonic]."""
        transition = self.presence.renew(device, seen)
        if transition is not None:
            self._announce(transition)

    def changed(self, device: Device, revision: int, interval: float, lease: float) -> None:
        """Take note of a new configuration, and ask the device to ask for it."""
        self._take(device, revision, interval, lease)
        self._announcer.notify(device.tenant, device.device, revision)

    def _take(self, device: Device, revision: int, interval: float, lease: float) -> None:
        device.revision = revision
        self._renew(device)
        device.terms = (interval, lease)
        there = device.state in (State.AVAILABLE, State.LATE)
        early = self.shared is not None and self.shared.early.pop(device.device, -1) == revision
        if lease >= device.duration or not there or early:
            self.presence.change(device, interval, lease, self.monotonic())
            device.terms = None

    def follow(self, name: str, row: DeviceRow | None) -> None:
        """Take over how a device is registered, which another catalog changed; that one asked it to ask."""
        device = self.devices.get(name)
        if device is not None and (row is None or row.tenant != device.tenant):
            self.removed(device)
            device = None
        if row is None:
            return
        if device is None:
            self.hold(row)
            return
        device.digest = row.digest
        if row.revision != device.revision:
            self._take(device, row.revision, row.interval, row.lease)

    def removed(self, device: Device) -> None:
        """Forget a device, and tell."""
        del self.devices[device.device]
        self.wanted.pop(device.device, None)
        self.support.pop(device.device, None)
        self.presence.remove(device)
        if self.shared is not None:
            self.shared.fresh.pop(device.device, None)
            self.shared.gone.append((self.monotonic(), device))
        self._announce(Transition(device, False, Reason.REMOVED, self.monotonic()))

    def available(self, device: Device) -> bool | None:
        """Tell whether a device is there; None while nobody can know."""
        if device.state is State.LATE:
            return None if self.presence.waiting else True
        return None if device.state is State.UNKNOWN else device.state is State.AVAILABLE

    def tick(self) -> None:
        """Look at the leases; to be called ten times a second."""
        for transition in self.presence.advance(self.monotonic()):
            self._announce(transition)
        if self.presence.waiting is not self._waiting and self.leads:
            self._waiting = self.presence.waiting
            self.announce_state()

    @property
    def leads(self) -> bool:
        """Whether it is this catalog that tells who is there."""
        return self.shared is None or self.monotonic() < self.shared.leads_until

    def untold(self, lately: float) -> list[Transition]:
        """
        Sum up what the grid broker was not told, as far as is known.

        Parameters
        ----------
        lately : float
            Whoever was removed within this time may not have been told of [s].
        """
        now, found = self.monotonic(), []
        for device in self.devices.values():
            there = device.state is not State.UNAVAILABLE
            if device.state is not State.UNKNOWN and device.told is not there:
                reason = Reason.POLLED if there else Reason.LEASE_EXPIRED
                found.append(Transition(device, there, reason, now, news=device.told is not None))
        for removed, device in [] if self.shared is None else self.shared.gone:
            if removed > now - lately and device.device not in self.devices:
                found.append(Transition(device, False, Reason.REMOVED, removed))
        return found

    def take_lead(self, untold: Iterable[Transition]) -> None:
        """Begin to tell who is there, and what was not told."""
        self._waiting = self.presence.waiting
        self.announce_state()
        for transition in untold:
            self._announce(transition)

    def announce_state(self) -> None:
        """Say whether silence is judged."""
        state = "waiting" if self.presence.waiting else "watching"
        self._announcer.state(sorted(self._tenants), state, self.wall())

    def everything(self) -> list[tuple[str, Availability]]:
        """Give every judged device's availability, for a broker that knows nothing."""
        return [
            (device.tenant, self._availability(device, device.state is not State.UNAVAILABLE, None, 0.0))
            for device in list(self.devices.values())
            if device.state is not State.UNKNOWN
        ]

    def known(self, name: str) -> Device:
        """
        Find a device by name.

        Raises
        ------
        DeviceUnknown
        """
        device = self.devices.get(name)
        if device is None:
            raise DeviceUnknown(name[:80])
        return device

    def seen_ns(self, device: Device) -> int | None:
        """Tell when a device was last heard [ns UTC]; None for never."""
        if device.seen == NEVER:
            return device.last_seen_ns
        return self.wall() - int((self.monotonic() - device.seen) * NANOSECONDS)

    def seen(self, device: Device) -> Seen:
        """Sum up a device's signs of life, to be kept."""
        there = device.state in (State.AVAILABLE, State.LATE)
        expected = device.state is State.UNKNOWN and device.expected
        return Seen(device.device, self.seen_ns(device), device.applied, device.boot, there or expected)

    def _announce(self, transition: Transition) -> None:
        device = transition.lease
        if not isinstance(device, Device):
            raise TypeError("the catalog watches its own devices only")
        if self.shared is not None:
            if not self.leads or (device.told is transition.available and transition.reason is not Reason.REMOVED):
                return
            device.told = transition.available
        ago = self.monotonic() - transition.time
        availability = self._availability(device, transition.available, transition.reason, ago)
        self._announcer.availability(device.tenant, availability, urgent=transition.news)

    def _availability(self, device: Device, available: bool, reason: Reason | None, ago: float) -> Availability:
        if reason is None:
            reason = Reason.POLLED if available else Reason.LEASE_EXPIRED
        since_ns = self.wall() - int(ago * NANOSECONDS)
        return Availability(device.device, available, reason.value, since_ns, self.seen_ns(device))
