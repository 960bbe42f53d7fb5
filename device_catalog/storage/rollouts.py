"""
Rollouts in the database: a transaction in which one rollout is looked at and carried on, and reads for operators.

Plain functions of a database, like `store`; what is to happen is decided in `device_catalog.rollouts`. A rollout's row
is locked for as long as a transaction changes it, so that two catalogs, or a person and the clock, never both do. All
calls block.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    Connection,
    Engine,
    and_,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from device_catalog.contract.rollouts import Back, DeviceState, RolloutState, Selector
from device_catalog.rollouts.plan import Member
from device_catalog.storage.tables import (
    assignments,
    audit,
    choices,
    configurations,
    device_groups,
    devices,
    idempotency,
    leaders,
    reported,
    rollout_devices,
    rollouts,
)

REVISIONS_KEPT = 100
"""Configurations kept of each device."""

IDEMPOTENCY_NS = 24 * 3600 * 1_000_000_000
"""How long a repeated request is recognised [ns]."""

AT_ONCE = 500
"""Names in one statement."""

SHADOW_STAGE = -1

_r = rollouts.c
_d = rollout_devices.c
_of = configurations.c


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
    """Read the rollouts of an algorithm, newer than one, that are under way or finished."""
    states = (RolloutState.RUNNING, RolloutState.PAUSED, RolloutState.FINISHED)
    query = select(*rollouts.c).where(_r.algorithm == algorithm, _r.state.in_(states), _r.number > above)
    return [RolloutRow._make(row) for row in connection.execute(query)]


class Work:
    """
    One transaction about one rollout.

    Attributes
    ----------
    row : RolloutRow
        As it was when the transaction began.
    """

    def __init__(self, connection: Connection, row: RolloutRow) -> None:
        self.row = row
        self._connection = connection

    # ------------------------------------------------------------------ the rollout

    def change(self, **fields: Any) -> None:
        """Write columns of the rollout."""
        self._connection.execute(update(rollouts).where(_r.number == self.row.number).values(**fields))
        self.row = self.row._replace(**fields)

    def note(self, time_ns: int, actor: str, action: str, detail: str) -> None:
        """Write a line about the rollout into the audit."""
        note(self._connection, time_ns, actor, action, audited(self.row.number), detail)

    def newer(self) -> list[RolloutRow]:
        """Read the newer rollouts of the same algorithm that are in force."""
        return in_force(self._connection, self.row.algorithm, above=self.row.number)

    # ------------------------------------------------------------------ its devices

    def members(self, selector: Selector, algorithm: str | None) -> list[Member]:
        """Read who fits; `algorithm` where only those that run it do."""
        return members(self._connection, selector, algorithm)

    def sizes(self, networks: Iterable[str]) -> dict[tuple[str, str], int]:
        """Count the meters of networks and of their areas."""
        names = sorted({network for network in networks if network})
        sizes: dict[tuple[str, str], int] = {}
        for start in range(0, len(names), AT_ONCE):
            query = (
                select(devices.c.network, devices.c.area, func.count())
                .where(devices.c.network.in_(names[start : start + AT_ONCE]), devices.c.removed_ns.is_(None))
                .group_by(devices.c.network, devices.c.area)
            )
            for network, area, count in self._connection.execute(query):
                sizes[network, area] = sizes.get((network, area), 0) + count
                if area:
                    sizes[network, ""] = sizes.get((network, ""), 0) + count
        return sizes

    def told(self) -> dict[str, str]:
        """Read the state of every device that was told."""
        query = select(_d.device, _d.state).where(_d.rollout == self.row.number)
        return {str(row[0]): str(row[1]) for row in self._connection.execute(query)}

    def counts(self) -> dict[str, int]:
        """Count the devices that were told, by state."""
        return counts(self._connection, self.row.number)

    def changing(self) -> list[Member]:
        """Read who is about to change at this moment, by whichever rollout."""
        query = (
            select(devices.c.device, devices.c.network, devices.c.area)
            .join(rollout_devices, _d.device == devices.c.device)
            .where(_d.state == DeviceState.CHOSEN, _d.stage > SHADOW_STAGE)
        )
        return [Member._make(row) for row in self._connection.execute(query)]

    def to_judge(self, due_ns: int) -> list[tuple[ToldRow, str | None, int]]:
        """
        Read the devices whose case may have changed: with a newer report, or told before `due_ns` and not done.

        Returns
        -------
        list of tuple
            The row, the report as JSON text, when it came [ns].
        """
        columns = (*rollout_devices.c, reported.c.document, reported.c.updated_ns)
        open_states = (DeviceState.CHOSEN, DeviceState.OVERDUE, DeviceState.DONE)
        cases = or_(_d.state.in_(open_states), _d.back == Back.GOING)
        query = (
            select(*columns)
            .outerjoin(reported, reported.c.device == _d.device)
            .where(_d.rollout == self.row.number, cases)
            .where(
                or_(reported.c.updated_ns > _d.judged_ns, and_(_d.state == DeviceState.CHOSEN, _d.since_ns <= due_ns))
            )
        )
        rows = self._connection.execute(query)
        width = len(ToldRow._fields)
        return [(ToldRow._make(row[:width]), row[width], int(row[width + 1] or 0)) for row in rows]

    def done_among(self, names: Sequence[str]) -> list[ToldRow]:
        """Read those of some devices that are done."""
        found: list[ToldRow] = []
        done = select(*rollout_devices.c).where(_d.rollout == self.row.number, _d.state == DeviceState.DONE)
        for start in range(0, len(names), AT_ONCE):
            query = done.where(_d.device.in_(names[start : start + AT_ONCE]))
            found += [ToldRow._make(row) for row in self._connection.execute(query)]
        return found

    def shadows(self) -> list[tuple[str, str]]:
        """Read what each device's comparison came to, JSON text, by device."""
        return shadows(self._connection, self.row.number)

    def to_restore(self, limit: int) -> list[ToldRow]:
        """Read devices that are to go back and were not told so yet."""
        states = (DeviceState.CHOSEN, DeviceState.DONE, DeviceState.FAILED, DeviceState.OVERDUE, DeviceState.SUPERSEDED)
        query = select(*rollout_devices.c).where(
            _d.rollout == self.row.number, _d.back == Back.NO, _d.state.in_(states)
        )
        return [ToldRow._make(row) for row in self._connection.execute(query.order_by(_d.device).limit(limit))]

    def add_device(self, row: ToldRow) -> None:
        """Write that a device was told."""
        self._connection.execute(insert(rollout_devices).values(**row._asdict()))

    def change_device(self, device: str, **fields: Any) -> None:
        """Write columns of a device."""
        where = and_(_d.rollout == self.row.number, _d.device == device)
        self._connection.execute(update(rollout_devices).where(where).values(**fields))

    def forget_device(self, device: str) -> None:
        """Forget that a device was told."""
        where = and_(_d.rollout == self.row.number, _d.device == device)
        self._connection.execute(delete(rollout_devices).where(where))

    def row_of(self, number: int, device: str) -> ToldRow | None:
        """Read a device's row of any rollout."""
        query = select(*rollout_devices.c).where(_d.rollout == number, _d.device == device)
        row = self._connection.execute(query).one_or_none()
        return None if row is None else ToldRow._make(row)

    def take_over(self, number: int, device: str, time_ns: int) -> None:
        """Let an older rollout know that a device is no longer its own."""
        where = and_(_d.rollout == number, _d.device == device)
        fields = {"state": DeviceState.SUPERSEDED, "since_ns": time_ns}
        self._connection.execute(update(rollout_devices).where(where).values(**fields))

    def successors(self, device: str) -> list[ToldRow]:
        """Read a device's rows of newer rollouts."""
        query = select(*rollout_devices.c).where(_d.device == device, _d.rollout > self.row.number)
        return [ToldRow._make(row) for row in self._connection.execute(query)]

    def set_before(self, number: int, device: str, before: str) -> None:
        """Write to what a device of any rollout would go back."""
        where = and_(_d.rollout == number, _d.device == device)
        self._connection.execute(update(rollout_devices).where(where).values(before=before))

    # ------------------------------------------------------------------ what a device should do

    def configuration(self, device: str) -> str | None:
        """Read a registered device's configuration, JSON text."""
        query = (
            select(configurations.c.document)
            .join(devices, (devices.c.device == _of.device) & (devices.c.revision == _of.revision))
            .where(_of.device == device, devices.c.removed_ns.is_(None))
        )
        found = self._connection.scalar(query)
        return None if found is None else str(found)

    def report(self, device: str) -> str | None:
        """Read what a device reported last, JSON text."""
        found = self._connection.scalar(select(reported.c.document).where(reported.c.device == device))
        return None if found is None else str(found)

    def choice(self, device: str) -> str:
        """Read what was chosen for a device, JSON text; empty for nothing."""
        where = and_(choices.c.device == device, choices.c.algorithm == self.row.algorithm)
        return str(self._connection.scalar(select(choices.c.document).where(where)) or "")

    def choose(self, device: str, owner: int, document: str) -> None:
        """Write what is chosen for a device; nothing where `document` is empty."""
        where = and_(choices.c.device == device, choices.c.algorithm == self.row.algorithm)
        self._connection.execute(delete(choices).where(where))
        if document:
            self._connection.execute(
                insert(choices).values(device=device, algorithm=self.row.algorithm, rollout=owner, document=document)
            )

    def raise_revision(self, device: str, least: int, time_ns: int, detail: str) -> Raised:
        """Give a device's desired document another revision, `least` or above; its configuration is the same."""
        found = self._connection.execute(
            select(devices.c.revision, devices.c.applied_revision, devices.c.interval, devices.c.lease).where(
                devices.c.device == device
            )
        ).one()
        revision = max(int(found[0]), int(found[1]), least - 1) + 1
        issued = (literal(revision, BigInteger), _of.document, literal(time_ns, BigInteger), _of.author)
        same = select(_of.device, *issued).where(_of.device == device, _of.revision == found[0])
        columns = ["device", "revision", "document", "issued_ns", "author"]
        self._connection.execute(insert(configurations).from_select(columns, same))
        self._connection.execute(
            delete(configurations).where(_of.device == device, _of.revision <= revision - REVISIONS_KEPT)
        )
        self._connection.execute(update(devices).where(devices.c.device == device).values(revision=revision))
        note(self._connection, time_ns, name_of(self.row.number), "rollout", device, f"revision {revision}, {detail}")
        return Raised(device, revision, float(found[2]), float(found[3]))


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
    def working(self, number: int) -> Iterator[Work | None]:
        """Hold a rollout and change it, all or nothing; None where there is no such rollout."""
        with self._engine.connect().execution_options(writes=True) as connection, connection.begin():
            query = select(*rollouts.c).where(_r.number == number).with_for_update()
            row = connection.execute(query).one_or_none()
            yield None if row is None else Work(connection, RolloutRow._make(row))

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
            wanted = or_(wanted, _r.state == RolloutState.FINISHED, _r.number.in_(going))
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
