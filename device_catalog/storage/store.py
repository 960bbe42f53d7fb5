"""
Reads and writes of the catalog, each one transaction.

Plain functions of a database, without rules: what may happen is decided in `device_catalog.fleet.changes`. Every
change leaves a line in `audit`. All calls block; the server makes them in `StorageThreads`.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Engine, Select, bindparam, delete, func, insert, select, update

from device_catalog.contract.register import DeviceKind
from device_catalog.storage.rows import Change, DeviceRow, Filters, KeyedRequest, Seen, SummaryRow
from device_catalog.storage.tables import (
    assignments,
    audit,
    calibrations,
    choices,
    configurations,
    credentials,
    device_groups,
    devices,
    idempotency,
    reported,
    rollout_devices,
    tenants,
)

REVISIONS_KEPT = 100
"""Configurations kept of each device; older ones are dropped as newer ones come."""

CALIBRATIONS_KEPT = 20
"""Calibrations kept of each device; the oldest are dropped as newer ones come."""

IDEMPOTENCY_NS = 24 * 3600 * 1_000_000_000
"""How long a repeated request is recognised [ns]."""


class Store:
    """Reads and writes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        # PostgreSQL is asked over a network: a single statement needs no transaction around it.
        apart = engine.url.get_backend_name() == "postgresql"
        self._reading = engine.execution_options(isolation_level="AUTOCOMMIT") if apart else engine

    @contextlib.contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self._engine.connect().execution_options(writes=True) as connection, connection.begin():
            yield connection

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    def load(self, names: Sequence[str] | None = None) -> Iterator[DeviceRow]:
        """Read every registered device, ordered by name, or only those of some names."""
        columns = (
            devices.c.device,
            devices.c.tenant,
            devices.c.kind,
            devices.c.revision,
            devices.c.interval,
            devices.c.lease,
            devices.c.last_seen_ns,
            devices.c.applied_revision,
            devices.c.boot,
            devices.c.available,
            credentials.c.digest,
        )
        query = (
            select(*columns)
            .join(credentials, credentials.c.device == devices.c.device)
            .where(devices.c.removed_ns.is_(None))
            .order_by(devices.c.device)
            .execution_options(yield_per=2000)
        )
        if names is not None:
            query = query.where(devices.c.device.in_(names))
        with self._engine.connect() as connection:
            for row in connection.execute(query):
                yield DeviceRow._make(row)

    def floor(self, device: str) -> int:
        """Tell the highest revision a device ever had, also one that was removed; 0 for none."""
        with self._engine.connect() as connection:
            found = connection.scalar(select(devices.c.revision).where(devices.c.device == device))
        return int(found or 0)

    def register(  # noqa: PLR0917 - one column each
        self, change: Change, tenant: str, kind: DeviceKind, description: str, digest: bytes, request: KeyedRequest
    ) -> None:
        """Write a device that is not registered at present: its first configuration, its credential, who asked."""
        with self._writing() as connection:
            if request.key:
                _remember(connection, request, change)
            if connection.scalar(select(tenants.c.tenant).where(tenants.c.tenant == tenant)) is None:
                connection.execute(insert(tenants).values(tenant=tenant, created_ns=change.time_ns))
            fields = {
                "tenant": tenant,
                "kind": kind.value,
                "description": description,
                "created_ns": change.time_ns,
                "removed_ns": None,
                "last_seen_ns": None,
                "applied_revision": 0,
                "boot": 0,
                "available": False,
                **_derived(change),
            }
            before = connection.scalar(select(devices.c.device).where(devices.c.device == change.device))
            if before is None:
                connection.execute(insert(devices).values(device=change.device, **fields))
            else:
                connection.execute(update(devices).where(devices.c.device == change.device).values(**fields))
            _write_configuration(connection, change)
            connection.execute(
                insert(credentials).values(device=change.device, digest=digest, created_ns=change.time_ns)
            )
            _note(connection, change.time_ns, change.author, "register", change.device, f"revision {change.revision}")

    def set_configuration(self, change: Change) -> None:
        """Write a configuration as the newest."""
        with self._writing() as connection:
            write_change(connection, change, "configure")

    def remove(self, device: str, time_ns: int, author: str) -> None:
        """Take a device off the register; its configurations stay, so that a revision is never given twice."""
        with self._writing() as connection:
            connection.execute(update(devices).where(devices.c.device == device).values(removed_ns=time_ns))
            for table in (credentials, assignments, reported, device_groups, choices, rollout_devices):
                connection.execute(delete(table).where(table.c.device == device))
            _note(connection, time_ns, author, "remove", device, "")

    def set_credential(self, device: str, digest: bytes, time_ns: int, author: str) -> None:
        """Replace a device's credential."""
        with self._writing() as connection:
            connection.execute(
                update(credentials).where(credentials.c.device == device).values(digest=digest, created_ns=time_ns)
            )
            _note(connection, time_ns, author, "credential", device, "")

    def configuration(self, device: str) -> tuple[int, bytes, int]:
        """Read a device's newest configuration: revision, JSON text, when it was written [ns]."""
        with self._reading.connect() as connection:
            return _configuration(connection, device)

    def desired(self, device: str) -> tuple[tuple[int, bytes, int], bytes | None, dict[str, bytes]]:
        """Read at once what a device's document is made of: `configuration`, `calibration` and `choices`."""
        with self._reading.connect() as connection:
            return _configuration(connection, device), _calibration(connection, device), _choices(connection, device)

    def calibration(self, device: str) -> bytes | None:
        """Read a device's newest calibration, JSON text."""
        with self._reading.connect() as connection:
            return _calibration(connection, device)

    def set_calibration(self, change: Change, made_us: int, document: bytes) -> None:
        """Write a calibration, and the configuration again as a revision of its own: both make the desired document."""
        of_device = calibrations.c.device == change.device
        with self._writing() as connection:
            connection.execute(
                insert(calibrations).values(
                    device=change.device,
                    made_us=made_us,
                    document=document.decode(),
                    received_ns=change.time_ns,
                    author=change.author,
                )
            )
            query = select(calibrations.c.made_us).where(of_device).order_by(calibrations.c.made_us.desc())
            old = list(connection.scalars(query.offset(CALIBRATIONS_KEPT)))
            if old:
                connection.execute(delete(calibrations).where(of_device, calibrations.c.made_us.in_(old)))
            write_change(connection, change, "calibrate")

    def choices(self, device: str) -> dict[str, bytes]:
        """Read what rollouts chose for a device, JSON text by algorithm."""
        with self._reading.connect() as connection:
            return _choices(connection, device)

    def reported(self, device: str) -> bytes | None:
        """Read what a device reported last, JSON text."""
        with self._engine.connect() as connection:
            found = connection.scalar(select(reported.c.document).where(reported.c.device == device))
        return None if found is None else str(found).encode()

    def set_reported(self, device: str, document: bytes, services: dict[str, str], time_ns: int) -> None:
        """Write what a device reports."""
        fields = {
            "document": document.decode(),
            "services": msgspec.json.encode(services).decode(),
            "updated_ns": time_ns,
        }
        with self._writing() as connection:
            result = connection.execute(update(reported).where(reported.c.device == device).values(**fields))
            if result.rowcount == 0:
                connection.execute(insert(reported).values(device=device, **fields))

    def summaries(self, filters: Filters, after: str, limit: int) -> list[SummaryRow]:
        """Read part of the list, ordered by name, beginning behind `after`."""
        query = _filtered(_summary_query(), filters).where(devices.c.device > after)
        with self._engine.connect() as connection:
            return [SummaryRow._make(row) for row in connection.execute(query.limit(limit))]

    def summaries_of(self, filters: Filters, names: Sequence[str]) -> list[SummaryRow]:
        """Read the named devices' lines of the list, ordered by name."""
        query = _filtered(_summary_query(), filters).where(devices.c.device.in_(names))
        with self._engine.connect() as connection:
            return [SummaryRow._make(row) for row in connection.execute(query)]

    def write_seen(self, seen: Sequence[Seen]) -> None:
        """Write signs of life in one small transaction, ordered by name so that the pages of the table are near."""
        if not seen:
            return
        statement = (
            update(devices)
            .where(devices.c.device == bindparam("key"))
            .values(
                last_seen_ns=bindparam("time"),
                applied_revision=bindparam("applied"),
                boot=bindparam("number"),
                available=bindparam("there"),
            )
        )
        rows = [
            {
                "key": row.device,
                "time": row.last_seen_ns,
                "applied": row.applied_revision,
                "number": row.boot,
                "there": row.available,
            }
            for row in sorted(seen)
        ]
        with self._writing() as connection:
            connection.execute(statement, rows)

    def remembered(self, key: str, time_ns: int) -> tuple[bytes, str] | None:
        """Tell which request a key stands for: its digest, and the device it registered."""
        query = select(idempotency.c.request, idempotency.c.device).where(
            idempotency.c.key == key, idempotency.c.created_ns > time_ns - IDEMPOTENCY_NS
        )
        with self._engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else (bytes(row[0]), str(row[1]))

    def history(self, device: str, limit: int, newest_only: bool = False) -> list[tuple[int, str, str, str]]:
        """Read who changed what of a device, newest first, or since its last registration: time [ns], who, what."""
        query = (
            select(audit.c.time_ns, audit.c.actor, audit.c.action, audit.c.detail)
            .where(audit.c.device == device)
            .order_by(audit.c.number.desc())
            .limit(limit)
        )
        if newest_only:
            registered = select(func.max(audit.c.number)).where(audit.c.device == device, audit.c.action == "register")
            query = query.where(audit.c.number >= registered.scalar_subquery())
        with self._engine.connect() as connection:
            return [(int(row[0]), str(row[1]), str(row[2]), str(row[3])) for row in connection.execute(query)]

    def tenants(self) -> list[str]:
        """Read the names of all tenants."""
        with self._engine.connect() as connection:
            return [str(name) for name in connection.scalars(select(tenants.c.tenant).order_by(tenants.c.tenant))]


def _configuration(connection: Connection, device: str) -> tuple[int, bytes, int]:
    newest = devices.c.revision == configurations.c.revision
    query = (
        select(configurations.c.revision, configurations.c.document, configurations.c.issued_ns)
        .join(devices, (devices.c.device == configurations.c.device) & newest)
        .where(configurations.c.device == device)
    )
    row = connection.execute(query).one()
    return int(row[0]), str(row[1]).encode(), int(row[2])


def _calibration(connection: Connection, device: str) -> bytes | None:
    query = select(calibrations.c.document).where(calibrations.c.device == device)
    found = connection.scalar(query.order_by(calibrations.c.made_us.desc()).limit(1))
    return None if found is None else str(found).encode()


def _choices(connection: Connection, device: str) -> dict[str, bytes]:
    query = select(choices.c.algorithm, choices.c.document).where(choices.c.device == device)
    return {str(row[0]): str(row[1]).encode() for row in connection.execute(query)}


def write_change(connection: Connection, change: Change, action: str) -> None:
    """Write a configuration of a registered device as the newest, and what for."""
    connection.execute(update(devices).where(devices.c.device == change.device).values(**_derived(change)))
    _write_configuration(connection, change)
    _note(connection, change.time_ns, change.author, action, change.device, f"revision {change.revision}")


def _summary_query() -> Select[Any]:
    return (
        select(
            devices.c.device,
            devices.c.tenant,
            devices.c.kind,
            devices.c.description,
            devices.c.revision,
            devices.c.terminal,
            devices.c.network,
            devices.c.area,
            devices.c.algorithms,
            reported.c.services,
        )
        .outerjoin(reported, reported.c.device == devices.c.device)
        .where(devices.c.removed_ns.is_(None))
        .order_by(devices.c.device)
    )


def _filtered(query: Select[Any], filters: Filters) -> Select[Any]:
    for name in ("kind", "tenant", "network", "area"):
        value = getattr(filters, name)
        if value:
            query = query.where(devices.c[name] == value)
    if filters.algorithm:
        query = query.join(
            assignments,
            (assignments.c.device == devices.c.device) & (assignments.c.algorithm == filters.algorithm),
        )
    return query


def _derived(change: Change) -> dict[str, Any]:
    """Repeat in columns what a list filters by."""
    configuration = change.configuration
    topology = configuration.topology
    return {
        "revision": change.revision,
        "interval": configuration.poll.interval,
        "lease": configuration.poll.lease,
        "terminal": configuration.terminal,
        "network": topology.network if topology else "",
        "area": topology.area if topology else "",
        "algorithms": " ".join(assignment.algorithm for assignment in configuration.algorithms),
    }


def _remember(connection: Connection, request: KeyedRequest, change: Change) -> None:
    """Keep what a key stands for, and forget the old ones."""
    old = idempotency.c.created_ns <= change.time_ns - IDEMPOTENCY_NS
    connection.execute(delete(idempotency).where(old | (idempotency.c.key == request.key)))
    connection.execute(
        insert(idempotency).values(
            key=request.key, request=request.digest, device=change.device, created_ns=change.time_ns
        )
    )


def _write_configuration(connection: Connection, change: Change) -> None:
    connection.execute(
        insert(configurations).values(
            device=change.device,
            revision=change.revision,
            document=msgspec.json.encode(change.configuration).decode(),
            issued_ns=change.time_ns,
            author=change.author,
        )
    )
    connection.execute(
        delete(configurations).where(
            configurations.c.device == change.device, configurations.c.revision <= change.revision - REVISIONS_KEPT
        )
    )
    connection.execute(delete(assignments).where(assignments.c.device == change.device))
    names = [assignment.algorithm for assignment in change.configuration.algorithms]
    if change.configuration.image is not None:
        names.append(change.configuration.image.name)  # a rollout finds who has it as it finds an algorithm
    if names:
        connection.execute(insert(assignments), [{"device": change.device, "algorithm": name} for name in names])


def _note(  # noqa: PLR0917 - one column each
    connection: Connection, time_ns: int, actor: str, action: str, device: str, detail: str
) -> None:
    connection.execute(insert(audit).values(time_ns=time_ns, actor=actor, action=action, device=device, detail=detail))
