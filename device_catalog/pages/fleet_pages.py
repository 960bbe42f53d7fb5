"""
The pages of all meters and of one: what is asked for them, which template shows it.

What is a matter of words is in `fleet_page` and `meter_page`; the shell decides who gets here.
"""

import asyncio
from typing import Any, NamedTuple
from urllib.parse import urlencode

from litestar import Response

from algorithms.api.errors import shortened
from device_catalog.access.operators import Operator
from device_catalog.api.callers import AnyRequest
from device_catalog.api.commissionings import printed
from device_catalog.api.problems import HttpError
from device_catalog.contract.history import HistoryPage
from device_catalog.contract.operators import Role
from device_catalog.contract.register import DeviceDetail, DeviceKind
from device_catalog.contract.support import SupportKind
from device_catalog.contract.topics import is_identifier
from device_catalog.errors import DeviceUnknown, HistoryUnknown
from device_catalog.fleet.commissionings import Commissionings
from device_catalog.fleet.fleet import Fleet
from device_catalog.fleet.leases import State
from device_catalog.fleet.questions import Questions
from device_catalog.grid.recordings import Recordings
from device_catalog.history.arrival import Content
from device_catalog.history.questions import History, Range
from device_catalog.pages.fleet_page import presence_of, row_of
from device_catalog.pages.image_view import image_facts
from device_catalog.pages.meter_page import (
    STEP,
    algorithm_rows,
    charts_of,
    commissioning_rows,
    facts_of,
    frame_of,
    frame_view,
    kept_rows,
    recording_rows,
    states_of,
)
from device_catalog.pages.shell import Shell
from device_catalog.pages.support_view import SupportView, support_view
from device_catalog.pages.words import NANOSECONDS
from device_catalog.storage.rows import Filters
from device_catalog.support.requests import SupportRequests

PAGE = 50
"""Meters of one page."""
RECORDINGS = 10
REQUESTS = 10
HOUR_NS = 3600 * NANOSECONDS
FILTERS = ("kind", "tenant", "algorithm", "network", "area")


class Sources(NamedTuple):
    """What these pages ask."""

    fleet: Fleet
    questions: Questions
    recordings: Recordings
    history: History
    support: SupportRequests


class FleetPages:
    """
    Shows meters.

    Parameters
    ----------
    shell : Shell
    sources : Sources
    commissionings : Commissionings
    """

    def __init__(self, shell: Shell, sources: Sources, commissionings: Commissionings) -> None:
        self._shell = shell
        self._commissionings = commissionings
        self._fleet, self._questions, self._recordings, self._history, self._support = sources

    async def fleet(self, request: AnyRequest, who: Operator) -> Response[bytes]:
        """Show all meters, or those that are asked for."""
        asked = {name: request.query_params.get(name, "")[:64] for name in (*FILTERS, "find", "available", "cursor")}
        tenant = who.tenant or asked["tenant"]
        filtered = [f"{name} {asked[name]}" for name in (*FILTERS, "find", "available") if asked[name]]
        bad = any(asked[name] and not is_identifier(asked[name]) for name in (*FILTERS, "cursor"))
        if bad or asked["kind"] not in ("", *DeviceKind) or asked["available"] not in ("", "true", "false"):
            raise HttpError(422, "expected names of letters, digits, _ and -, found something else in the filters")
        filters = Filters(asked["kind"], tenant, asked["algorithm"], asked["network"], asked["area"])
        available = {"true": True, "false": False}.get(asked["available"])
        if asked["find"]:
            names, following = self._found(asked["find"], tenant, asked["cursor"])
            page = [(await self._detail(name)) for name in names]
            details = [one for one in page if one is not None and _fits(one, filters, available)]
        else:
            listed = await self._questions.page(filters, available, asked["cursor"], PAGE)
            found = await asyncio.gather(*(self._detail(item.device) for item in listed.items))
            details, following = [one for one in found if one is not None], listed.next
        kept = {name: value for name, value in asked.items() if value and name != "cursor"}
        rows = [row_of(detail, self._fleet.wall() / NANOSECONDS) for detail in details]
        values = {
            "tiles": self._tiles(who),
            "waiting": self._fleet.presence.waiting,
            "filtered": filtered,
            "asked": asked,
            "kinds": [kind.value for kind in DeviceKind],
            "rows": rows,
            "images": any(row.image is not None for row in rows),
            "first": f"/?{urlencode(kept)}" if asked["cursor"] else "",
            "next": f"/?{urlencode({**kept, 'cursor': following})}" if following else "",
        }
        return self._shell.page("fleet.html", values, request, who)

    async def meter(self, request: AnyRequest, who: Operator) -> Response[bytes]:
        """Show one meter."""
        name = str(request.path_params["device"])
        if not is_identifier(name):
            raise DeviceUnknown(shortened(name))
        detail = await self._questions.detail(name)
        tenant, now_ns = detail.summary.tenant, self._fleet.wall()
        changes = await self._questions.history(name, of_this_owner=bool(who.tenant))
        recordings = await self._recordings.page(name, "", RECORDINGS)
        newest = await self._history.newest(tenant, name, Content.FRAMES, 1)
        frame = frame_of(newest[0]) if newest else None
        steps = await self._last_hour(tenant, name, now_ns)
        values = {
            "summary": detail.summary,
            "presence": presence_of(detail.summary),
            "problems": row_of(detail, now_ns / NANOSECONDS).problems,
            "frame": None if frame is None else frame_view(frame, now_ns),
            "history": (await self._history.status()).kept,
            "charts": [] if steps is None else charts_of(steps, now_ns - HOUR_NS, now_ns),
            "algorithms": algorithm_rows(detail),
            "facts": facts_of(detail),
            "states": states_of(detail, now_ns / NANOSECONDS),
            "image": image_facts(detail),
            "recordings": recording_rows(recordings.items),
            "commissionings": commissioning_rows((await self._commissionings.page(name)).items),
            "support": await self._support_view(name, who),
            "kept": await self._kept(tenant, name),
            "changes": [(f"{one.time:%Y-%m-%d %H:%M:%S}", one) for one in changes.changes],
        }
        return self._shell.page("meter.html", values, request, who)

    async def _support_view(self, name: str, who: Operator) -> SupportView | None:
        """Give what was asked of a meter to help it, for those who may know."""
        if not who.role.includes(Role.ENGINEER):
            return None
        page = await self._support.page(name, "", REQUESTS)
        tails = [one for one in page.items if one.kind is SupportKind.LOGS]
        lines = await self._support.newest_lines(name, tails[0].request) if tails else ()
        return support_view(page.items, lines)

    async def report(self, request: AnyRequest, _who: Operator) -> Response[bytes]:
        """Give the report of a commissioning."""
        path = request.path_params
        return await printed(self._commissionings, str(path["device"]), str(path["number"]))

    async def _detail(self, name: str) -> DeviceDetail | None:
        try:
            return await self._questions.detail(name)
        except DeviceUnknown:  # taken off the register a moment ago
            return None

    def _found(self, text: str, tenant: str, cursor: str) -> tuple[list[str], str]:
        """Look for names in memory; give a page of them and the cursor of the next."""
        wanted = text.lower()
        names = sorted(
            device.device
            for device in list(self._fleet.devices.values())
            if wanted in device.device.lower() and device.device > cursor and tenant in ("", device.tenant)
        )[: PAGE + 1]
        return names[:PAGE], names[PAGE - 1] if len(names) > PAGE else ""

    def _tiles(self, who: Operator) -> list[dict[str, Any]]:
        counts = dict.fromkeys(State, 0)
        for device in list(self._fleet.devices.values()):
            if who.sees(device.tenant):
                counts[device.state] += 1
        there, silent = counts[State.AVAILABLE] + counts[State.LATE], counts[State.UNAVAILABLE]
        return [
            {"name": "registered", "count": sum(counts.values()), "tone": "", "address": "/"},
            {"name": "available", "count": there, "tone": "good" if there else "", "address": "/?available=true"},
            {"name": "silent", "count": silent, "tone": "bad" if silent else "", "address": "/?available=false"},
            {"name": "not judged yet", "count": counts[State.UNKNOWN], "tone": "", "address": "/"},
        ]

    async def _last_hour(self, tenant: str, name: str, now_ns: int) -> HistoryPage | None:
        asked = Range(now_ns - HOUR_NS, now_ns, ("voltage", "power.total.p"), STEP, limit=100)
        try:
            return await self._history.page(tenant, name, Content.FRAMES, asked)
        except HistoryUnknown:
            return None

    async def _kept(self, tenant: str, name: str) -> list[dict[str, str]]:
        try:
            return kept_rows(await self._history.device(tenant, name))
        except HistoryUnknown:
            return []


def _fits(detail: DeviceDetail, filters: Filters, available: bool | None) -> bool:
    summary = detail.summary
    same = all(
        not wanted or wanted == found
        for wanted, found in (
            (filters.kind, summary.kind.value),
            (filters.tenant, summary.tenant),
            (filters.network, summary.network),
            (filters.area, summary.area),
        )
    )
    runs = not filters.algorithm or filters.algorithm in summary.algorithms
    return same and runs and (available is None or summary.available is available)
