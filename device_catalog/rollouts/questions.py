"""What is asked of rollouts and groups: lists, one with all about it, its devices. Questions change nothing."""

from collections.abc import Mapping

import msgspec

from device_catalog.contract.documents import PackageReference
from device_catalog.contract.groups import GroupDetail, GroupEntry, GroupPage
from device_catalog.contract.reports import ShadowReport
from device_catalog.contract.rollout_progress import (
    Comparison,
    Counts,
    DevicePage,
    DeviceProgress,
    RolloutDetail,
    RolloutPage,
    RolloutSummary,
    Transition,
)
from device_catalog.contract.rollouts import Back, DeviceState, RolloutRequest, RolloutState
from device_catalog.documents import moment
from device_catalog.errors import RolloutUnknown
from device_catalog.rollouts.comparison import total
from device_catalog.rollouts.overlay import Choice
from device_catalog.rollouts.progress import allowed_failures
from device_catalog.storage.groups import GroupStore
from device_catalog.storage.rollouts import (
    SHADOW_STAGE,
    RolloutRow,
    RolloutStore,
    ToldRow,
    name_of,
    number_of,
)
from device_catalog.storage.threads import StorageThreads

MAXIMUM_PAGE = 1000
TROUBLED = 20
TRANSITIONS = 50

LAST = 2**31 - 1
"""Above every number."""

_decode = msgspec.json.decode


class RolloutQuestions:
    """
    Answers what is asked.

    Parameters
    ----------
    store : RolloutStore
    groups : GroupStore
    threads : StorageThreads
    """

    def __init__(self, store: RolloutStore, groups: GroupStore, threads: StorageThreads) -> None:
        self._store = store
        self._groups = groups
        self._threads = threads

    async def page(self, tenant: str, query: Mapping[str, str], limit: int) -> RolloutPage:
        """
        Give part of the list, newest first.

        Parameters
        ----------
        tenant : str
            Empty for all.
        query : mapping
            ``cursor``, ``algorithm`` and ``state``; empty where nothing is said.
        limit : int
        """
        return await self._threads.read(self._page, tenant, query, limit)

    def _page(self, tenant: str, query: Mapping[str, str], limit: int) -> RolloutPage:
        filters = {"tenant": tenant, "algorithm": query["algorithm"], "state": query["state"]}
        said = {name: value for name, value in filters.items() if value}
        rows = self._store.page(number_of(query["cursor"]) or LAST, limit + 1, said)
        items = tuple(_summary(row, counts) for row, counts in rows[:limit])
        return RolloutPage(items, items[-1].rollout if len(rows) > limit else "")

    async def detail(self, name: str) -> tuple[RolloutDetail, int]:
        """
        Give all about one, and its revision.

        Raises
        ------
        RolloutUnknown
        """
        return await self._threads.read(self._detail, name)

    def _detail(self, name: str) -> tuple[RolloutDetail, int]:
        row = self._known(name)
        request = _decode(row.plan, type=RolloutRequest)
        comparison = _decode(row.comparison, type=Comparison) if row.comparison else None
        if row.shadowing and request.shadow is not None:
            reports = [(device, _decode(text, type=ShadowReport)) for device, text in self._store.shadows(row.number)]
            comparison = total(reports, request.shadow)
        transitions = [
            Transition(moment(time_ns), actor, action, detail)
            for time_ns, actor, action, detail in self._store.transitions(row.number, TRANSITIONS)
        ]
        detail = RolloutDetail(
            _summary(row, self._store.counts(row.number)),
            request,
            _decode(row.package, type=PackageReference),
            comparison,
            tuple(_progress(told) for told in self._store.troubled(row.number, TROUBLED)),
            tuple(transitions),
        )
        return detail, row.revision

    async def devices(self, name: str, state: str, cursor: str, limit: int) -> DevicePage:
        """
        Give part of the devices that were told, ordered by name; in one state, where it is said.

        Raises
        ------
        RolloutUnknown
        """
        return await self._threads.read(self._devices, name, state, cursor, limit)

    def _devices(self, name: str, state: str, cursor: str, limit: int) -> DevicePage:
        row = self._known(name)
        found = self._store.devices(row.number, [state] if state else [], cursor, limit + 1)
        items = tuple(_progress(told) for told in found[:limit])
        return DevicePage(items, items[-1].device if len(found) > limit else "")

    async def groups(self, tenant: str, cursor: str, limit: int) -> GroupPage:
        """Give part of the list of groups, ordered by name, with their devices of one tenant, or of all."""
        found = await self._threads.read(self._groups.page, cursor, limit + 1, tenant)
        items = tuple(GroupEntry(name, count) for name, count in found[:limit])
        return GroupPage(items, items[-1].group if len(found) > limit else "")

    async def group(self, tenant: str, group: str, cursor: str, limit: int) -> GroupDetail:
        """Give part of the devices of a group, ordered by name; a group without devices is an empty one."""
        found = await self._threads.read(self._groups.devices, group, cursor, limit + 1, tenant)
        return GroupDetail(group, tuple(found[:limit]), found[limit - 1] if len(found) > limit else "")

    def _known(self, name: str) -> RolloutRow:
        row = self._store.find(number_of(name))
        if row is None:
            raise RolloutUnknown(name)
        return row


def _summary(row: RolloutRow, counts: dict[str, int]) -> RolloutSummary:
    request = _decode(row.plan, type=RolloutRequest)
    told = {state.value: counts.get(state, 0) for state in DeviceState}
    back = {"going_back": counts.get(f"back:{Back.GOING}", 0), "back": counts.get(f"back:{Back.THERE}", 0)}
    stage = SHADOW_STAGE if row.shadowing else row.stage
    return RolloutSummary(
        name_of(row.number),
        row.algorithm,
        row.version,
        RolloutState(row.state),
        row.reason,
        row.shadowing,
        row.stage,
        request.stages,
        None if row.soaking_ns is None else moment(row.soaking_ns),
        Counts(row.members, row.away, **told, **back),
        allowed_failures(request, stage, row.members),
        request.to,
        moment(row.created_ns),
        moment(row.changed_ns),
        row.author,
        bool(row.restoring),
    )


def _progress(told: ToldRow) -> DeviceProgress:
    before = _decode(told.before, type=Choice) if told.before else None
    return DeviceProgress(
        told.device,
        DeviceState(told.state),
        moment(told.since_ns),
        told.stage,
        told.step,
        told.reason,
        tuple(_decode(told.log, type=list[str])) if told.log else (),
        Back(told.back),
        before.chosen.version if before is not None and before.chosen is not None else "",
    )
