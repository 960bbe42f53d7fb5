"""
What operators and services ask the register: one device, the list, what was reported, who changed what.

Questions change nothing. What is durable is read from the database; whether a device is there, and when it was last
heard, is known in memory only (`device_catalog.fleet.fleet`).
"""

import msgspec

from device_catalog.contract.documents import Desired
from device_catalog.contract.register import Change, DeviceDetail, DeviceKind, DeviceSummary, History, Page
from device_catalog.contract.reports import Reported
from device_catalog.documents import desired_document, moment
from device_catalog.errors import DeviceUnknown
from device_catalog.fleet.register import Register
from device_catalog.rollouts.overlay import overlaid_text
from device_catalog.storage.rows import Filters, SummaryRow

MAXIMUM_PAGE = 1000
MAXIMUM_HISTORY = 100


class Questions:
    """
    Answers what is asked of the register.

    Parameters
    ----------
    register : Register
    """

    def __init__(self, register: Register) -> None:
        self._fleet, self._store, self._threads = register

    async def configuration(self, name: str) -> tuple[bytes, bytes]:
        """
        Give a device's configuration as JSON text, and its entity tag.

        Raises
        ------
        DeviceUnknown
        """
        self._fleet.known(name)
        revision, document, _ = await self._threads.read(self._store.configuration, name)
        return document, self._fleet.tag(revision)

    async def calibration(self, name: str) -> bytes | None:
        """
        Give a device's newest calibration as JSON text.

        Raises
        ------
        DeviceUnknown
        """
        self._fleet.known(name)
        return await self._threads.read(self._store.calibration, name)

    async def reported(self, name: str) -> bytes | None:
        """
        Give what a device reported last as JSON text.

        Raises
        ------
        DeviceUnknown
        """
        self._fleet.known(name)
        return await self._threads.read(self._store.reported, name)

    async def detail(self, name: str) -> DeviceDetail:
        """
        Give all that is known of a device.

        Raises
        ------
        DeviceUnknown
        """
        self._fleet.known(name)
        return await self._threads.read(self._detail, name)

    def _detail(self, name: str) -> DeviceDetail:
        device = self._fleet.known(name)
        rows = self._store.summaries_of(Filters(), [name])
        if not rows:
            raise DeviceUnknown(name)
        revision, configuration, issued_ns = self._store.configuration(name)
        configuration = overlaid_text(configuration, self._store.choices(name))
        report = self._store.reported(name)
        desired = desired_document(
            device.device, device.tenant, revision, configuration, issued_ns, calibration=self._store.calibration(name)
        )
        return DeviceDetail(
            self._summary(rows[0]),
            msgspec.json.decode(desired, type=Desired),
            None if report is None else msgspec.json.decode(report, type=Reported),
        )

    async def history(self, name: str, *, of_this_owner: bool = False) -> History:
        """
        Give who changed what of a device, also of one that was removed.

        Parameters
        ----------
        name : str
        of_this_owner : bool
            Only from its newest registration on: what was before may have been another tenant's.

        Raises
        ------
        DeviceUnknown
        """
        rows = await self._threads.read(self._store.history, name, MAXIMUM_HISTORY, of_this_owner)
        if not rows:
            raise DeviceUnknown(name[:80])
        return History(tuple(Change(moment(row[0]), *row[1:]) for row in rows))

    async def page(self, filters: Filters, available: bool | None, after: str, limit: int) -> Page:
        """
        Give part of the list of devices, ordered by name.

        Parameters
        ----------
        filters : Filters
        available : bool or None
            Only those that are, or are not; None for all.
        after : str
            Cursor: the last name of the part before.
        limit : int
            Most devices in this part, 1 to `MAXIMUM_PAGE`.
        """
        return await self._threads.read(self._page, filters, available, after, min(max(limit, 1), MAXIMUM_PAGE))

    def _page(self, filters: Filters, available: bool | None, after: str, limit: int) -> Page:
        rows: list[SummaryRow] = []
        if available is None:
            rows = self._store.summaries(filters, after, limit + 1)
        else:
            names = sorted(
                device.device
                for device in list(self._fleet.devices.values())
                if device.device > after and self._fleet.available(device) is available
            )
            for start in range(0, len(names), MAXIMUM_PAGE):
                rows += self._store.summaries_of(filters, names[start : start + MAXIMUM_PAGE])
                if len(rows) > limit:
                    break
        items = tuple(self._summary(row) for row in rows[:limit])
        return Page(items, items[-1].device if len(rows) > limit else "")

    def _summary(self, row: SummaryRow) -> DeviceSummary:
        device = self._fleet.devices.get(row.device)
        seen_ns = self._fleet.seen_ns(device) if device else None
        return DeviceSummary(
            device=row.device,
            kind=DeviceKind(row.kind),
            tenant=row.tenant,
            description=row.description,
            available=self._fleet.available(device) if device else None,
            last_seen=None if seen_ns is None else moment(seen_ns),
            revision=row.revision,
            applied_revision=device.applied if device else 0,
            algorithms=tuple(row.algorithms.split()),
            network=row.network,
            area=row.area,
            terminal=row.terminal,
            services=msgspec.json.decode(row.services, type=dict[str, str]) if row.services else {},
        )
