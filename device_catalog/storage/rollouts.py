"""
Rollouts in the database: how they begin, who carries them on, and what operators ask of them.

Plain functions of a database, like `store`; what is to happen is decided in `device_catalog.rollouts`. A rollout's row
is locked for as long as a transaction changes it (`rollout_work`), so that two catalogs, or a person and the clock,
never both do. All calls block.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, and_, delete, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from device_catalog.contract.rollouts import Back, DeviceState, RolloutState, Selector
from device_catalog.rollouts.plan import Member
from device_catalog.storage.tables import (
    assignments,
    audit,
    choices,
    device_groups,
    devices,
    idempotency,
    leaders,
    rollout_devices,
    rollouts,
)

IDEMPOTENCY_NS = 24 * 3600 * 1_000_000_000
"""How long a repeated request is recognised [ns]."""

AT_ONCE = 500
"""Names in one statement."""

SHADOW_STAGE = -1

_r = rollouts.c
_d = rollout_devices.c


class RolloutRow(NamedTuple):
    """A rollout as the database knows it; `plan`, `package` and `comparison` are JSON text."""

    number: int
    tenant: str
    algorithm: str
    version: str
    plan: str
    package: str
    state: str
    reason: str
    revision: int
    shadowing: bool
    stage: int
    soaking_ns: int | None
    restoring: bool
    members: int
    away: int
    comparison: str
    created_ns: int
    changed_ns: int
    author: str


class ToldRow(NamedTuple):
    """A device that a rollout told; `log`, `before` and `shadow` are JSON text, or empty."""

    rollout: int
    device: str
    state: str
    back: str
    stage: int
    since_ns: int
    judged_ns: int
    revision: int
    step: str
    restarts: int
    reason: str
    log: str
    before: str
    shadow: str


class Raised(NamedTuple):
    """A device whose desired document changed, for the register in memory."""

    device: str
    revision: int
    interval: float
    lease: float


def name_of(number: int) -> str:
    """
    Name a rollout.

    >>> name_of(7)
    'r-7'
    """
    return f"r-{number}"


def number_of(name: str) -> int:
    """
    Read a rollout's name back; 0 where it is none.

    >>> number_of("r-7"), number_of("r-x")
    (7, 0)
    """
    digits = name.removeprefix("r-")
    return int(digits) if name.startswith("r-") and digits.isascii() and digits.isdigit() and len(digits) < 10 else 0


def audited(number: int) -> str:
    """Say under which name a rollout stands in the audit: none that a device can have."""
    return f"rollout:{name_of(number)}"


def note(  # noqa: PLR0917 - one column each
    connection: Connection, time_ns: int, actor: str, action: str, subject: str, detail: str
) -> None:
    """Write a line of the audit."""
    row = {"time_ns": time_ns, "actor": actor, "action": action, "device": subject, "detail": detail}
    connection.execute(insert(audit).values(**row))


def members(connection: Connection, selector: Selector, algorithm: str | None) -> list[Member]:
    """Read the devices that fit; `algorithm` where only those that run it do."""
    query = select(devices.c.device, devices.c.network, devices.c.area).where(devices.c.removed_ns.is_(None))
    if selector.groups:
        named = select(device_groups.c.device).where(device_groups.c.name.in_(selector.groups))
        query = query.where(devices.c.device.in_(named))
    for name in ("kind", "tenant", "network", "area"):
        value = getattr(selector, name)
        if value:
            query = query.where(devices.c[name] == str(value))
    if selector.using:
        using = select(assignments.c.device).where(assignments.c.algorithm == selector.using)
        query = query.where(devices.c.device.in_(using))
    if algorithm is not None:
        configured = select(assignments.c.device).where(assignments.c.algorithm == algorithm)
        chosen = select(choices.c.device).where(choices.c.algorithm == algorithm)
        query = query.where(or_(devices.c.device.in_(configured), devices.c.device.in_(chosen)))
    named_ones = frozenset(selector.devices)
    if 0 < len(named_ones) <= AT_ONCE:
        query = query.where(devices.c.device.in_(sorted(named_ones)))
    rows = [Member._make(row) for row in connection.execute(query)]
    return [row for row in rows if row.device in named_ones] if named_ones else rows


def counts(connection: Connection, number: int) -> dict[str, int]:
    """Count the devices that a rollout told, by state; and by whether they go back, as ``back:...``."""
    query = select(_d.state, _d.back, func.count()).where(_d.rollout == number).group_by(_d.state, _d.back)
    found: dict[str, int] = {}
    for state, back, count in connection.execute(query):
        found[state] = found.get(state, 0) + count
        found[f"back:{back}"] = found.get(f"back:{back}", 0) + count
    return found


def shadows(connection: Connection, number: int) -> list[tuple[str, str]]:
    """Read what each device's comparison came to, JSON text, by device."""
    query = select(_d.device, _d.shadow).where(_d.rollout == number, _d.shadow != "")
    return [(str(row[0]), str(row[1])) for row in connection.execute(query)]


def in_force(connection: Connection, algorithm: str, above: int) -> list[RolloutRow]:
    """Read the rollouts of an algorithm, newer than one, that are under way, or finished and not superseded."""
    under_way = _r.state.in_((RolloutState.RUNNING, RolloutState.PAUSED))
    finished = and_(_r.state == RolloutState.FINISHED, _r.reason == "")
    query = select(*rollouts.c).where(_r.algorithm == algorithm, or_(under_way, finished), _r.number > above)
    return [RolloutRow._make(row) for row in connection.execute(query)]


class RolloutStore:
    """
    Reads and writes.

    Parameters
    ----------
    engine : sqlalchemy.Engine
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """Read several things as they are at one moment."""
        with self._engine.connect() as connection:
            yield connection

    @contextlib.contextmanager
    def locked(self, number: int) -> Iterator[tuple[Connection, RolloutRow | None]]:
        """Hold a rollout for a transaction, all or nothing; None where there is no such rollout."""
        with self._engine.connect().execution_options(writes=True) as connection, connection.begin():
            query = select(*rollouts.c).where(_r.number == number).with_for_update()
            row = connection.execute(query).one_or_none()
            yield connection, None if row is None else RolloutRow._make(row)

    def create(self, fields: dict[str, Any], key: str, request: bytes, detail: str) -> int:
        """Write a rollout, and what its key stands for; return its number."""
        with self._engine.connect().execution_options(writes=True) as connection, connection.begin():
            number = int(connection.execute(insert(rollouts).values(**fields).returning(_r.number)).scalar_one())
            time_ns = fields["created_ns"]
            if key:
                old = idempotency.c.created_ns <= time_ns - IDEMPOTENCY_NS
                connection.execute(delete(idempotency).where(old | (idempotency.c.key == key)))
                connection.execute(
                    insert(idempotency).values(key=key, request=request, device=name_of(number), created_ns=time_ns)
                )
            note(connection, time_ns, fields["author"], "start", audited(number), detail)
            return number

    def remembered(self, key: str, time_ns: int) -> tuple[bytes, str] | None:
        """Tell which request a key stands for: its digest, and the rollout it started."""
        where = (idempotency.c.key == key) & (idempotency.c.created_ns > time_ns - IDEMPOTENCY_NS)
        with self._engine.connect() as connection:
            row = connection.execute(select(idempotency.c.request, idempotency.c.device).where(where)).one_or_none()
        return None if row is None else (bytes(row[0]), str(row[1]))

    def lead(self, task: str, holder: str, now_ns: int, until_ns: int) -> bool:
        """Take or keep the lead of a task until a time, unless another one has it."""
        try:
            with self._engine.connect().execution_options(writes=True) as connection, connection.begin():
                row = connection.execute(
                    select(leaders.c.holder, leaders.c.until_ns).where(leaders.c.task == task).with_for_update()
                ).one_or_none()
                if row is None:
                    connection.execute(insert(leaders).values(task=task, holder=holder, until_ns=until_ns))
                    return True
                if row[0] != holder and row[1] > now_ns:
                    return False
                fields = {"holder": holder, "until_ns": until_ns}
                connection.execute(update(leaders).where(leaders.c.task == task).values(**fields))
                return True
        except IntegrityError:
            return False  # another one was there first

    def active(self, *, all_of_them: bool) -> list[int]:
        """Read the numbers of the rollouts under way; also those that still have devices to look after."""
        states = (RolloutState.RUNNING, RolloutState.PAUSED)
        wanted = or_(_r.state.in_(states), _r.restoring)
        if all_of_them:
            going = select(_d.rollout).where(_d.back == Back.GOING)
            finished = and_(_r.state == RolloutState.FINISHED, _r.reason == "")
            wanted = or_(wanted, finished, _r.number.in_(going))
        with self._engine.connect() as connection:
            return [int(number) for number in connection.scalars(select(_r.number).where(wanted).order_by(_r.number))]

    def find(self, number: int) -> RolloutRow | None:
        """Read a rollout."""
        with self._engine.connect() as connection:
            row = connection.execute(select(*rollouts.c).where(_r.number == number)).one_or_none()
        return None if row is None else RolloutRow._make(row)

    def page(self, below: int, limit: int, filters: Mapping[str, str]) -> list[tuple[RolloutRow, dict[str, int]]]:
        """Read part of the list with its counts, newest first: below a number, and with these columns."""
        query = select(*rollouts.c).where(_r.number < below).order_by(_r.number.desc()).limit(limit)
        for name, value in filters.items():
            query = query.where(_r[name] == value)
        with self._engine.connect() as connection:
            rows = [RolloutRow._make(row) for row in connection.execute(query)]
            return [(row, counts(connection, row.number)) for row in rows]

    def counts(self, number: int) -> dict[str, int]:
        """Count the devices that a rollout told, by state."""
        with self._engine.connect() as connection:
            return counts(connection, number)

    def devices(self, number: int, states: Sequence[str], after: str, limit: int) -> list[ToldRow]:
        """Read part of the devices that a rollout told, ordered by name."""
        query = select(*rollout_devices.c).where(_d.rollout == number, _d.device > after)
        if states:
            query = query.where(_d.state.in_(states))
        with self._engine.connect() as connection:
            return [ToldRow._make(row) for row in connection.execute(query.order_by(_d.device).limit(limit))]

    def shadows(self, number: int) -> list[tuple[str, str]]:
        """Read what each device's comparison came to, JSON text, by device."""
        with self._engine.connect() as connection:
            return shadows(connection, number)

    def troubled(self, number: int, limit: int) -> list[ToldRow]:
        """Read devices that count as failed, the newest first."""
        states = (DeviceState.FAILED, DeviceState.OVERDUE)
        query = select(*rollout_devices.c).where(_d.rollout == number, _d.state.in_(states))
        query = query.order_by(_d.since_ns.desc(), _d.device).limit(limit)
        with self._engine.connect() as connection:
            return [ToldRow._make(row) for row in connection.execute(query)]

    def transitions(self, number: int, limit: int) -> list[tuple[int, str, str, str]]:
        """Read what happened to a rollout, newest first: time [ns], actor, action, detail."""
        query = select(audit.c.time_ns, audit.c.actor, audit.c.action, audit.c.detail)
        query = query.where(audit.c.device == audited(number)).order_by(audit.c.number.desc()).limit(limit)
        with self._engine.connect() as connection:
            return [(int(row[0]), str(row[1]), str(row[2]), str(row[3])) for row in connection.execute(query)]
