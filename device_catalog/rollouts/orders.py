"""
What people do with rollouts and groups: start, pause, resume, abort, promote; join and leave.

An order is judged whole, with everything that the catalog knows, and every problem is told together. It is written
with a line in the audit; the look that follows at once (`ticking`) does what it asks for.
"""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Protocol

import msgspec

from algorithms.api.errors import Problem, shortened
from device_catalog.contract.documents import Configuration, ImageSetting, PackageReference
from device_catalog.contract.groups import GroupChange, GroupChanged
from device_catalog.contract.image_rules import LONGEST_IMAGE_PROBATION, judge_image
from device_catalog.contract.rollouts import Order, RolloutOrder, RolloutRequest, RolloutState, Selector
from device_catalog.contract.rules import IDENTIFIER, Problems
from device_catalog.contract.topics import is_identifier
from device_catalog.errors import Conflict, Refused, RevisionOutdated, RolloutUnknown
from device_catalog.fleet.register import Register
from device_catalog.rollouts.looking import Look
from device_catalog.rollouts.releases import Releases
from device_catalog.rollouts.ticking import Ticking
from device_catalog.storage.groups import GroupStore
from device_catalog.storage.rollout_work import Work, working
from device_catalog.storage.rollouts import Raised, RolloutStore, in_force, members, name_of, number_of

MAXIMUM_NAMED = 20
"""Names told in one problem."""

_encode = msgspec.json.encode
_decode = msgspec.json.decode


class Author(Protocol):
    """Who gives an order."""

    @property
    def name(self) -> str:
        """For the audit."""

    @property
    def tenant(self) -> str:
        """Whose devices alone concern this one; empty for all."""


class RolloutOrders:
    """
    Takes orders.

    Parameters
    ----------
    register : Register
    store : RolloutStore
    groups : GroupStore
    ticking : Ticking
    releases : callable
        Reads what is signed.
    """

    def __init__(
        self,
        register: Register,
        store: RolloutStore,
        groups: GroupStore,
        ticking: Ticking,
        releases: Callable[[], Releases],
    ) -> None:
        self._fleet, _, self._threads = register
        self._store = store
        self._groups = groups
        self._ticking = ticking
        self._releases = releases

    async def start(self, request: RolloutRequest, author: str, key: str, body: bytes) -> str:
        """
        Start a rollout, or repeat the answer to the same request; return its name.

        Parameters
        ----------
        request : RolloutRequest
        author : str
        key : str
            Idempotency key; empty for none.
        body : bytes
            By which a repetition is told from another request under the same key.

        Raises
        ------
        Refused
            With every problem.
        Conflict
            When the key was used for something else.
        """
        releases = await asyncio.to_thread(self._releases)
        digest = hashlib.sha256(body).digest()
        name, is_new = await self._threads.write(self._start, request, releases, author, (key, digest))
        if is_new:
            await self._ticking.tick(at_once=True)
        return name

    def _start(
        self, request: RolloutRequest, releases: Releases, author: str, keyed: tuple[str, bytes]
    ) -> tuple[str, bool]:
        now_ns = self._fleet.wall()
        key, digest = keyed
        remembered = self._store.remembered(key, now_ns) if key else None
        if remembered is not None:
            if remembered[0] != digest or not number_of(remembered[1]):
                raise Conflict("expected a new Idempotency-Key for another request, found one that was used; change it")
            return remembered[1], False
        now = datetime.fromtimestamp(now_ns / 1e9, UTC)
        package, problems = releases.find(request.algorithm, request.version, now)
        request = msgspec.structs.replace(request, image=releases.is_image(request.algorithm))
        if request.image:
            problems += _problems_of_image(request)
        found, devices = self._problems_of_selection(request)
        problems += found
        if problems or package is None:
            raise Refused(problems)
        if request.to.fixed:
            settled = Selector(devices=tuple(devices), tenant=request.to.tenant, fixed=True)
            request = msgspec.structs.replace(request, to=settled)
        fields = _fields(request, package, now_ns, author, len(devices))
        selected = f"{request.algorithm} {request.version}, {len(devices)} devices"
        return name_of(self._store.create(fields, key, digest, selected)), True

    def _problems_of_selection(self, request: RolloutRequest) -> tuple[list[Problem], list[str]]:
        problems = self._unknown_names(request.to)
        with self._store.reading() as connection:
            everybody = [member.device for member in members(connection, request.to, None)]
            running = everybody
            if not request.add:
                running = [member.device for member in members(connection, request.to, request.algorithm)]
            for row in in_force(connection, request.algorithm, above=0):
                if row.state == RolloutState.FINISHED or request.supersede:
                    continue
                other = _decode(row.plan, type=RolloutRequest)
                there = {member.device for member in members(connection, other.to, None)}
                shared = there.intersection(running)
                if shared:
                    expected = f"devices that no other rollout of {request.algorithm} is about"
                    found = f"{len(shared)} that {name_of(row.number)} brings to {row.version}"
                    remedy = "abort that one, wait for it, or say that the new one supersedes it"
                    problems.append(Problem("rollout.to", expected, found, remedy))
        if not everybody and not problems:
            remedy = "tresma devices list and tresma group list show what there is"
            problems.append(Problem("rollout.to", "a selection that fits a device", "one that fits none", remedy))
        elif everybody and not running:
            expected = f"devices that run {request.algorithm}"
            remedy = "add it to their configurations, or let the rollout add it"
            problems.append(Problem("rollout.to", expected, f"{len(everybody)} that do not", remedy))
        return problems, running

    def _unknown_names(self, selector: Selector) -> list[Problem]:
        problems = [
            Problem(
                f"rollout.to.groups[{index}]",
                f"a group ({self._known_groups(selector.tenant)})",
                group,
                "tresma group add makes one",
            )
            for index, group in enumerate(selector.groups)
            if not self._groups.size(group, selector.tenant)
        ]
        unknown = [name for name in selector.devices if not self._concerns(name, selector.tenant)]
        return problems + _unknown_devices("rollout.to.devices", unknown)

    def _known_groups(self, tenant: str) -> str:
        return ", ".join(name for name, _ in self._groups.page("", MAXIMUM_NAMED, tenant)) or "there is none yet"

    async def order(self, name: str, order: RolloutOrder, revision: int | None, author: str) -> None:
        """
        Do something with a rollout.

        Parameters
        ----------
        name : str
        order : RolloutOrder
        revision : int or None
            That the order is based on; None for whatever is there.
        author : str

        Raises
        ------
        RolloutUnknown
        RevisionOutdated
        Conflict
            When it is in no state for that.
        """
        await self._threads.write(self._order, name, order, revision, author)
        await self._ticking.tick(at_once=True)

    def _order(self, name: str, order: RolloutOrder, revision: int | None, author: str) -> None:
        raised: list[Raised] = []
        with working(self._store, number_of(name)) as work:
            if work is None:
                raise RolloutUnknown(name)
            if revision is not None and revision != work.row.revision:
                raise RevisionOutdated(f"revision {revision}", work.row.revision)
            if order.order is Order.PROMOTE:
                raised = self._promote(work, order, author)
            else:
                self._move(work, order, author)
        if raised:
            self._threads.in_loop(self._ticking.tell, raised)

    def _move(self, work: Work, order: RolloutOrder, author: str) -> None:
        row, now_ns = work.row, self._fleet.wall()
        froms, state = _moves[order.order]
        if row.state not in froms:
            expected = " or ".join(froms)
            found = f"{name_of(row.number)} {row.state}"
            raise Conflict(f"expected a rollout that is {expected}, found {found}; nothing was changed")
        fields: dict[str, object] = {"state": state, "reason": order.reason, "revision": row.revision + 1}
        if order.order is Order.RESUME and row.soaking_ns is not None:
            fields["soaking_ns"] = now_ns  # what was not watched does not count
        if order.order is Order.ABORT:
            fields |= {"restoring": True, "soaking_ns": None}
        work.change(**fields, changed_ns=now_ns)
        work.note(now_ns, author, order.order.value, order.reason)

    def _promote(self, work: Work, order: RolloutOrder, author: str) -> list[Raised]:
        row, look = work.row, Look(self._fleet, work)
        limits = look.request.shadow
        if not row.shadowing or limits is None or row.state not in (RolloutState.RUNNING, RolloutState.PAUSED):
            raise Conflict(
                f"expected a rollout whose version runs beside the one in force, found {name_of(row.number)} "
                f"{row.state}{'' if row.shadowing else ' without a shadow'}; nothing was changed"
            )
        comparison = look.compared(limits)
        if comparison.verdict != "equal" and not order.anyway:
            raise Conflict(
                f"expected both versions to be equal, found: {'; '.join(comparison.reasons)}; "
                "wait, abort, or promote it anyway"
            )
        return look.promote(author, order.reason or comparison.verdict, comparison)

    async def change_group(self, group: str, change: GroupChange, by: Author) -> GroupChanged:
        """
        Let devices join and leave a group, all or none.

        Raises
        ------
        Refused
            When the name is none, or a device is not known.
        """
        return await self._threads.write(self._change_group, group, change, by)

    def _change_group(self, group: str, change: GroupChange, by: Author) -> GroupChanged:
        problems = [] if is_identifier(group) else [Problem("group", IDENTIFIER, shortened(group))]
        for field in ("add", "remove"):
            unknown = [name for name in getattr(change, field) if not self._concerns(name, by.tenant)]
            problems += _unknown_devices(f"change.{field}", unknown)
        if problems:
            raise Refused(problems)
        added, removed = self._groups.change(group, change.add, change.remove, self._fleet.wall(), by.name)
        return GroupChanged(group, tuple(added), tuple(removed), self._groups.size(group, by.tenant))

    def _concerns(self, name: str, tenant: str) -> bool:
        device = self._fleet.devices.get(name)
        return device is not None and tenant in ("", device.tenant)


_moves: dict[Order, tuple[tuple[RolloutState, ...], RolloutState]] = {
    Order.PAUSE: ((RolloutState.RUNNING,), RolloutState.PAUSED),
    Order.RESUME: ((RolloutState.PAUSED,), RolloutState.RUNNING),
    Order.ABORT: ((RolloutState.RUNNING, RolloutState.PAUSED, RolloutState.FINISHED), RolloutState.ABORTED),
}


def _unknown_devices(where: str, names: Sequence[str]) -> list[Problem]:
    if not names:
        return []
    found = ", ".join(names[:MAXIMUM_NAMED]) + (
        f" and {len(names) - MAXIMUM_NAMED} more" if names[MAXIMUM_NAMED:] else ""
    )
    return [Problem(where, "registered devices", found, "register them, or list the devices")]


def _problems_of_image(request: RolloutRequest) -> list[Problem]:
    """Find what is asked of an image and only an algorithm can do."""
    problems = Problems()
    remedy = "an image is tried by a restart; begin with few devices instead, such as --percent 1,10,100"
    problems.expect(request.shadow is None, "rollout.shadow", "none for an image", "one", remedy)
    if request.probation is not None:
        problems.number(request.probation, "rollout.probation", 0, LONGEST_IMAGE_PROBATION)
    settings = {**request.settings, "name": request.algorithm}
    try:
        image = msgspec.convert(settings, ImageSetting)
    except msgspec.ValidationError as error:
        problems.expect(False, "rollout.settings", "settings of an image, such as windows and rate", error)
    else:
        judge_image(problems, Configuration(image=image), "rollout.settings")
    return problems.found


def _fields(
    request: RolloutRequest, package: PackageReference, now_ns: int, author: str, count: int
) -> dict[str, object]:
    return {
        "tenant": request.to.tenant,
        "algorithm": request.algorithm,
        "version": request.version,
        "plan": _encode(request).decode(),
        "package": _encode(package).decode(),
        "state": RolloutState.RUNNING,
        "reason": "",
        "revision": 1,
        "shadowing": request.shadow is not None,
        "stage": 0,
        "soaking_ns": None,
        "restoring": False,
        "members": count,
        "away": 0,
        "comparison": "",
        "created_ns": now_ns,
        "changed_ns": now_ns,
        "author": author,
    }
