"""
The transaction in which one rollout is looked at and carried on; the rollout's row is locked for as long as it lasts.

What is read of many devices is read at once (`Work.load`), and what is written is gathered and written at the end, or
before anything is read that could tell otherwise: one statement for hundreds of devices instead of a dozen for each.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, and_, bindparam, delete, func, insert, or_, select, update

from device_catalog.contract.rollouts import Back, DeviceState, Selector
from device_catalog.rollouts.plan import Member
from device_catalog.storage.rollouts import (
    AT_ONCE,
    SHADOW_STAGE,
    Raised,
    RolloutRow,
    RolloutStore,
    ToldRow,
    audited,
    counts,
    in_force,
    members,
    name_of,
    shadows,
)
from device_catalog.storage.tables import (
    audit,
    choices,
    configurations,
    devices,
    reported,
    rollout_devices,
    rollouts,
)

REVISIONS_KEPT = 100
"""Configurations kept of each device."""

_r = rollouts.c
_d = rollout_devices.c
_of = configurations.c


class Known(NamedTuple):
    """What is known of a device: its newest configuration, JSON text, its revisions and poll, its report."""

    device: str
    revision: int
    applied: int
    interval: float
    lease: float
    configuration: str
    author: str
    report: str | None


class Work:
    """
    One transaction about one rollout.

    Attributes
    ----------
    row : RolloutRow
        As it was when the transaction began, and as it was changed since.
    """

    def __init__(self, connection: Connection, row: RolloutRow) -> None:
        self.row = row
        self._connection = connection
        self._known: dict[str, Known | None] = {}
        self._choices: dict[str, str] = {}
        self._chosen: dict[str, int] = {}
        self._raised: dict[str, tuple[int, int]] = {}
        self._told: list[ToldRow] = []
        self._changes: dict[str, dict[str, Any]] = {}
        self._notes: list[dict[str, Any]] = []
        self._has_newer: bool | None = None

    # ------------------------------------------------------------------ the rollout

    def change(self, **fields: Any) -> None:
        """Write columns of the rollout."""
        self._connection.execute(update(rollouts).where(_r.number == self.row.number).values(**fields))
        self.row = self.row._replace(**fields)

    def note(self, time_ns: int, actor: str, action: str, detail: str) -> None:
        """Write a line about the rollout into the audit."""
        self._note(time_ns, actor, action, (audited(self.row.number), detail))

    def _note(self, time_ns: int, actor: str, action: str, about: tuple[str, str]) -> None:
        subject, detail = about
        row = {"time_ns": time_ns, "actor": actor, "action": action, "device": subject, "detail": detail}
        self._notes.append(row)

    def newer(self) -> list[RolloutRow]:
        """Read the newer rollouts of the same algorithm that are in force."""
        return in_force(self._connection, self.row.algorithm, above=self.row.number)

    # ------------------------------------------------------------------ its devices

    def members(self, selector: Selector, algorithm: str | None) -> list[Member]:
        """Read who fits; `algorithm` where only those that run it do."""
        return members(self._connection, selector, algorithm)

    def sizes(self, networks: Iterable[str]) -> dict[tuple[str, str], int]:
        """Count the meters of networks and of their areas."""
        sizes: dict[tuple[str, str], int] = {}
        for names in _parts(sorted({network for network in networks if network})):
            query = (
                select(devices.c.network, devices.c.area, func.count())
                .where(devices.c.network.in_(names), devices.c.removed_ns.is_(None))
                .group_by(devices.c.network, devices.c.area)
            )
            for network, area, count in self._connection.execute(query):
                for key in {(network, area), (network, "")}:
                    sizes[key] = sizes.get(key, 0) + count
        return sizes

    def told(self) -> dict[str, str]:
        """Read the state of every device that was told."""
        self.flush()
        query = select(_d.device, _d.state).where(_d.rollout == self.row.number)
        return {str(row[0]): str(row[1]) for row in self._connection.execute(query)}

    def counts(self) -> dict[str, int]:
        """Count the devices that were told, by state."""
        self.flush()
        return counts(self._connection, self.row.number)

    def changing(self) -> list[Member]:
        """Read who is about to change at this moment, by whichever rollout."""
        self.flush()
        query = (
            select(devices.c.device, devices.c.network, devices.c.area)
            .join(rollout_devices, _d.device == devices.c.device)
            .where(_d.state == DeviceState.CHOSEN, _d.stage > SHADOW_STAGE)
        )
        return [Member._make(row) for row in self._connection.execute(query)]

    def to_judge(self, due_ns: int, *, done: bool = True) -> list[tuple[ToldRow, str | None, int]]:
        """
        Read the devices whose case may have changed: with a newer report, or told before `due_ns` and not done.

        Parameters
        ----------
        due_ns : int
        done : bool
            Whether those that are done are looked at, too.

        Returns
        -------
        list of tuple
            The row, the report as JSON text, when it came [ns].
        """
        columns = (*rollout_devices.c, reported.c.document, reported.c.updated_ns)
        open_states = [DeviceState.CHOSEN, DeviceState.OVERDUE, *([DeviceState.DONE] if done else [])]
        cases = or_(_d.state.in_(open_states), _d.back == Back.GOING)
        due = and_(_d.state == DeviceState.CHOSEN, _d.since_ns <= due_ns)
        query = (
            select(*columns)
            .outerjoin(reported, reported.c.device == _d.device)
            .where(_d.rollout == self.row.number, cases)
            .where(or_(reported.c.updated_ns > _d.judged_ns, due))
        )
        width = len(ToldRow._fields)
        rows = self._connection.execute(query)
        return [(ToldRow._make(row[:width]), row[width], int(row[width + 1] or 0)) for row in rows]

    def done_among(self, names: Sequence[str]) -> list[ToldRow]:
        """Read those of some devices that are done."""
        self.flush()
        found: list[ToldRow] = []
        done = select(*rollout_devices.c).where(_d.rollout == self.row.number, _d.state == DeviceState.DONE)
        for part in _parts(names):
            found += [ToldRow._make(row) for row in self._connection.execute(done.where(_d.device.in_(part)))]
        return found

    def shadows(self) -> list[tuple[str, str]]:
        """Read what each device's comparison came to, JSON text, by device."""
        self.flush()
        return shadows(self._connection, self.row.number)

    def to_restore(self, limit: int) -> list[ToldRow]:
        """Read devices that are to go back and were not told so yet."""
        self.flush()
        states = (DeviceState.CHOSEN, DeviceState.DONE, DeviceState.FAILED, DeviceState.OVERDUE, DeviceState.SUPERSEDED)
        here = and_(_d.rollout == self.row.number, _d.back == Back.NO, _d.state.in_(states))
        query = select(*rollout_devices.c).where(here).order_by(_d.device).limit(limit)
        return [ToldRow._make(row) for row in self._connection.execute(query)]

    def add_device(self, row: ToldRow) -> None:
        """Write that a device was told."""
        self._told.append(row)

    def change_device(self, device: str, **fields: Any) -> None:
        """Write columns of a device."""
        self._changes.setdefault(device, {}).update(fields)

    def forget_device(self, device: str) -> None:
        """Forget that a device was told."""
        self._changes.pop(device, None)
        where = and_(_d.rollout == self.row.number, _d.device == device)
        self._connection.execute(delete(rollout_devices).where(where))

    def forget_devices(self) -> None:
        """Forget that any device was told."""
        self.flush()
        self._connection.execute(delete(rollout_devices).where(_d.rollout == self.row.number))

    def rows(self) -> list[ToldRow]:
        """Read every device that was told."""
        self.flush()
        query = select(*rollout_devices.c).where(_d.rollout == self.row.number)
        return [ToldRow._make(row) for row in self._connection.execute(query)]

    def row_of(self, number: int, device: str) -> ToldRow | None:
        """Read a device's row of any rollout."""
        self.flush()
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
        if self._has_newer is None:
            query = select(_r.number).where(_r.algorithm == self.row.algorithm, _r.number > self.row.number).limit(1)
            self._has_newer = self._connection.scalar(query) is not None
        if not self._has_newer:
            return []
        later = select(*rollout_devices.c).where(_d.device == device, _d.rollout > self.row.number)
        return [ToldRow._make(row) for row in self._connection.execute(later)]

    def set_before(self, number: int, device: str, before: str) -> None:
        """Write to what a device of any rollout would go back."""
        where = and_(_d.rollout == number, _d.device == device)
        self._connection.execute(update(rollout_devices).where(where).values(before=before))

    # ------------------------------------------------------------------ what devices should do, and do

    def load(self, names: Iterable[str]) -> None:
        """Read all that is known of some devices at once."""
        columns = (
            devices.c.device,
            devices.c.revision,
            devices.c.applied_revision,
            devices.c.interval,
            devices.c.lease,
            _of.document,
            _of.author,
            reported.c.document,
        )
        newest = and_(_of.device == devices.c.device, _of.revision == devices.c.revision)
        everything = (
            select(*columns)
            .join(configurations, newest)
            .outerjoin(reported, reported.c.device == devices.c.device)
            .where(devices.c.removed_ns.is_(None))
        )
        chosen = select(choices.c.device, choices.c.document).where(choices.c.algorithm == self.row.algorithm)
        for part in _parts([name for name in names if name not in self._known]):
            self._known.update(dict.fromkeys(part))
            self._choices.update(dict.fromkeys(part, ""))
            for row in self._connection.execute(everything.where(devices.c.device.in_(part))):
                self._known[row[0]] = Known._make(row)
            for device, document in self._connection.execute(chosen.where(choices.c.device.in_(part))):
                self._choices[device] = document

    def known(self, device: str) -> Known | None:
        """Tell what is known of a device; None where it is not registered."""
        if device not in self._known:
            self.load([device])
        return self._known[device]

    def choice(self, device: str) -> str:
        """Tell what was chosen for a device, JSON text; empty for nothing."""
        if device not in self._known:
            self.load([device])
        return self._choices[device]

    def choose(self, device: str, owner: int, document: str) -> None:
        """Write what is chosen for a device; nothing where `document` is empty."""
        if device not in self._known:
            self.load([device])
        self._choices[device] = document
        self._chosen[device] = owner

    def raise_revision(self, device: str, least: int, time_ns: int, detail: str) -> Raised:
        """Give a device's desired document another revision, `least` or above; its configuration is the same."""
        known = self.known(device)
        if known is None:
            raise LookupError(f"{device} is not registered")
        revision = max(known.revision, known.applied, least - 1) + 1
        self._known[device] = known._replace(revision=revision)
        self._raised[device] = revision, time_ns
        about = device, f"revision {revision}, {detail}"
        self._note(time_ns, name_of(self.row.number), "rollout", about)
        return Raised(device, revision, known.interval, known.lease)

    # ------------------------------------------------------------------ writing

    def flush(self) -> None:
        """Write what was gathered."""
        self._flush_choices()
        self._flush_revisions()
        run = self._connection.execute
        if self._told:
            run(insert(rollout_devices), [row._asdict() for row in self._told])
            self._told.clear()
        by_columns: dict[tuple[str, ...], list[dict[str, Any]]] = {}
        for device, fields in self._changes.items():
            by_columns.setdefault(tuple(sorted(fields)), []).append({"which": device, **_prefixed(fields)})
        self._changes.clear()
        for columns, rows in by_columns.items():
            where = and_(_d.rollout == self.row.number, _d.device == bindparam("which"))
            values: dict[str, Any] = {name: bindparam(f"new_{name}") for name in columns}
            run(update(rollout_devices).where(where).values(**values), rows)
        if self._notes:
            run(insert(audit), self._notes)
            self._notes = []

    def _flush_choices(self) -> None:
        if not self._chosen:
            return
        algorithm = self.row.algorithm
        here = and_(choices.c.algorithm == algorithm, choices.c.device == bindparam("which"))
        self._connection.execute(delete(choices).where(here), [{"which": device} for device in self._chosen])
        rows = [
            {"device": device, "algorithm": algorithm, "rollout": owner, "document": self._choices[device]}
            for device, owner in self._chosen.items()
            if self._choices[device]
        ]
        if rows:
            self._connection.execute(insert(choices), rows)
        self._chosen.clear()

    def _flush_revisions(self) -> None:
        if not self._raised:
            return
        rows, raised, old = [], [], []
        for device, (revision, time_ns) in self._raised.items():
            known = self._known[device]
            if known is None:
                continue
            document = {"document": known.configuration, "issued_ns": time_ns, "author": known.author}
            rows.append({"device": device, "revision": revision, **document})
            raised.append({"which": device, "newest": revision})
            old.append({"which": device, "oldest": revision - REVISIONS_KEPT})
        self._raised.clear()
        run = self._connection.execute
        run(insert(configurations), rows)
        of_device = devices.c.device == bindparam("which")
        run(update(devices).where(of_device).values(revision=bindparam("newest")), raised)
        too_old = and_(_of.device == bindparam("which"), _of.revision <= bindparam("oldest"))
        run(delete(configurations).where(too_old), old)


@contextlib.contextmanager
def working(store: RolloutStore, number: int) -> Iterator[Work | None]:
    """Hold a rollout and change it, all or nothing; None where there is no such rollout."""
    with store.locked(number) as (connection, row):
        if row is None:
            yield None
            return
        work = Work(connection, row)
        yield work
        work.flush()


def _prefixed(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {f"new_{name}": value for name, value in fields.items()}


def _parts(names: Sequence[str]) -> Iterable[Sequence[str]]:
    return (names[start : start + AT_ONCE] for start in range(0, len(names), AT_ONCE))
