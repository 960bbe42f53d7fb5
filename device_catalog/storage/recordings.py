"""
Which recordings there are: reads and writes of one table, each one transaction.

Plain functions of a database, like `store`; what may happen is decided in `device_catalog.grid.recordings`, and the
files themselves are in `recording_files`. All calls block.
"""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Engine, delete, func, insert, select, tuple_, update

from device_catalog.storage.tables import devices, recordings

_t = recordings.c


class Key(NamedTuple):
    """What names a recording."""

    device: str
    recording: str


class Row(NamedTuple):
    """A recording as the database knows it."""

    device: str
    recording: str
    start_ns: int
    told_ns: int
    document: str
    size: int
    sha256: str
    on_device: bool
    requested: bool
    arrived_ns: int | None

    @property
    def key(self) -> Key:
        """What names it."""
        return Key(self.device, self.recording)


class RecordingStore:
    """
    Reads and writes.

    Parameters
    ----------
    engine : sqlalchemy.Engine
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def find(self, key: Key) -> Row | None:
        """Read one; None where there is none."""
        query = select(*recordings.c).where(_t.device == key.device, _t.recording == key.recording)
        with self._engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else Row._make(row)

    def page(self, device: str, after: tuple[int, str, str] | None, limit: int, tenant: str = "") -> list[Row]:
        """Read part of the list, newest first: of one device, of one tenant's, or of all."""
        query = select(*recordings.c).order_by(_t.start_ns.desc(), _t.device.desc(), _t.recording.desc()).limit(limit)
        if device:
            query = query.where(_t.device == device)
        if tenant:
            query = query.where(_t.device.in_(select(devices.c.device).where(devices.c.tenant == tenant)))
        if after is not None:
            query = query.where(tuple_(_t.start_ns, _t.device, _t.recording) < tuple_(*after))
        with self._engine.connect() as connection:
            return [Row._make(row) for row in connection.execute(query)]

    def between(self, devices: Sequence[str], first_ns: int, last_ns: int, limit: int) -> list[Row]:
        """Read recordings of some devices that begin within a time, newest first."""
        within = _t.start_ns.between(first_ns, last_ns) & _t.device.in_(devices)
        query = select(*recordings.c).where(within).order_by(_t.start_ns.desc(), _t.device).limit(limit)
        with self._engine.connect() as connection:
            return [Row._make(row) for row in connection.execute(query)]

    def requested(self) -> dict[str, tuple[str, ...]]:
        """Read what each device is asked for, in the order of its recordings."""
        query = select(_t.device, _t.recording).where(_t.requested.is_(True)).order_by(_t.device, _t.recording)
        found: dict[str, tuple[str, ...]] = {}
        with self._engine.connect() as connection:
            for device, recording in connection.execute(query):
                found[device] = (*found.get(device, ()), recording)
        return found

    def requested_of(self, device: str) -> tuple[str, ...]:
        """Read what one device is asked for."""
        query = select(_t.recording).where(_t.requested.is_(True), _t.device == device).order_by(_t.recording)
        with self._engine.connect() as connection:
            return tuple(str(name) for name in connection.scalars(query))

    def write(self, row: Row, most: int) -> None:
        """Write a recording as it is now; the oldest of its device's that nobody has goes beyond `most`."""
        with self._engine.connect().execution_options(writes=True) as connection, connection.begin():
            fields = row._asdict()
            key = {"device": fields.pop("device"), "recording": fields.pop("recording")}
            here = (_t.device == key["device"]) & (_t.recording == key["recording"])
            if connection.execute(update(recordings).where(here).values(**fields)).rowcount == 0:
                connection.execute(insert(recordings).values(**key, **fields))
                count = connection.scalar(select(func.count()).where(_t.device == row.device)) or 0
                spare = (_t.device == row.device) & _t.arrived_ns.is_(None) & _t.requested.is_(False)
                oldest = select(_t.recording).where(spare).order_by(_t.start_ns).limit(max(0, count - most))
                names = connection.scalars(oldest).all() if count > most else []
                connection.execute(delete(recordings).where(_t.device == row.device, _t.recording.in_(names)))

    def forget(self, key: Key) -> None:
        """Remove a recording."""
        with self._engine.connect().execution_options(writes=True) as connection, connection.begin():
            connection.execute(delete(recordings).where(_t.device == key.device, _t.recording == key.recording))

    def forget_device(self, device: str) -> list[Row]:
        """Remove all recordings of a device; return what they were."""
        with self._engine.connect().execution_options(writes=True) as connection, connection.begin():
            rows = [Row._make(row) for row in connection.execute(select(*recordings.c).where(_t.device == device))]
            connection.execute(delete(recordings).where(_t.device == device))
        return rows

    def unregistered(self) -> list[str]:
        """Name devices that have recordings and are on no register any more."""
        here = select(devices.c.device).where(devices.c.removed_ns.is_(None))
        with self._engine.connect() as connection:
            return [
                str(name) for name in connection.scalars(select(_t.device).where(_t.device.not_in(here)).distinct())
            ]

    def uses(self, sha256: str) -> int:
        """Count the recordings whose file has this digest and is here."""
        query = select(func.count()).where(_t.sha256 == sha256, _t.arrived_ns.is_not(None))
        with self._engine.connect() as connection:
            return int(connection.scalar(query) or 0)

    def stored(self) -> int:
        """Add up the files that are here [bytes]."""
        with self._engine.connect() as connection:
            return int(connection.scalar(select(func.sum(_t.size)).where(_t.arrived_ns.is_not(None))) or 0)

    def oldest_stored(self, limit: int) -> list[Row]:
        """Read the recordings whose files have been here longest."""
        query = select(*recordings.c).where(_t.arrived_ns.is_not(None)).order_by(_t.arrived_ns).limit(limit)
        with self._engine.connect() as connection:
            return [Row._make(row) for row in connection.execute(query)]
