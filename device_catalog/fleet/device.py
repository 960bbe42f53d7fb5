"""
A registered device as it is kept in memory, and what a fleet notes of its devices for other catalogs.

Where it stands: held by `fleet`, one for each device; small, because there are as many as meters.
"""

import sys

from device_catalog.fleet.leases import NEVER, Lease
from device_catalog.storage.rows import DeviceRow


class Device(Lease):
    """
    A registered device, as it is kept in memory.

    Attributes
    ----------
    terms : tuple or None
        Interval and a shorter lease [s] that count as soon as the device has the document that says so: until
        then it polls as it did before.
    renewal : float
        When its document's entity tag is to be looked at again, because it may be signed anew [s, monotonic].
    paced : float
        Until when its polls so far are paid for, at a tenth of its interval each [s, monotonic].
    written : float
        When it was last heard as far as the database knows [s, monotonic].
    told : bool or None
        Whether the grid broker was told that it is there; None while nobody knows. Where several catalogs serve.
    """

    __slots__ = (
        "applied",
        "boot",
        "digest",
        "last_seen_ns",
        "paced",
        "renewal",
        "revision",
        "tag",
        "tenant",
        "terms",
        "told",
        "written",
    )

    def __init__(self, row: DeviceRow, tag: bytes) -> None:
        super().__init__(row.device, row.interval, row.lease, expected=row.available)
        self.tenant = sys.intern(row.tenant)
        self.digest = row.digest
        self.revision = row.revision
        self.tag = tag
        self.applied = row.applied_revision
        self.boot = row.boot
        self.last_seen_ns = row.last_seen_ns
        self.written = NEVER
        self.paced = NEVER
        self.renewal = float("inf")
        self.terms: tuple[float, float] | None = None
        self.told: bool | None = True if row.available else None if row.last_seen_ns is None else False


class Shared:
    """
    What a fleet keeps for the other catalogs that serve it (`device_catalog.cluster`).

    Attributes
    ----------
    leads_until : float
        Until when this catalog tells the grid broker who is there [s, monotonic].
    fresh : dict
        Devices heard since the others were told, by name.
    settled : dict
        Revision by device, of those that have the document that says another interval or lease.
    early : dict
        The same, of devices whose change is not known here yet.
    gone : list
        Devices removed lately, with when [s, monotonic].
    """

    def __init__(self) -> None:
        self.leads_until = NEVER
        self.fresh: dict[str, Device] = {}
        self.settled: dict[str, int] = {}
        self.early: dict[str, int] = {}
        self.gone: list[tuple[float, Device]] = []
