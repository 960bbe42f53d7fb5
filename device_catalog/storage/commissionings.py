"""
The records of commissionings: added, never changed or removed; the database refuses that by itself, too.

Plain functions of a database, like `store`; what is kept is decided in `device_catalog.fleet.commissionings`. All
calls block.
"""

from typing import NamedTuple

from sqlalchemy import ColumnElement, Engine, func, insert, select

from device_catalog.storage.tables import commissionings, devices

_t = commissionings.c


def _since(device: str) -> tuple[ColumnElement[bool]]:
    registered = select(devices.c.created_ns).where(devices.c.device == device).scalar_subquery()
    return (_t.received_ns >= registered,)


class CommissioningRow(NamedTuple):
    """A record as the database knows it; `document` is the signed record as it came, JSON."""

    device: str
    number: int
    sha256: str
    fingerprint: bytes
    received_ns: int
    document: str


class CommissioningStore:
    """
    Reads and writes.

    Parameters
    ----------
    engine : sqlalchemy.Engine
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, row: CommissioningRow, most: int) -> CommissioningRow | None:
        """
        Add a record under the device's next number, or find the same record of before.

        Returns
        -------
        CommissioningRow or None
            As it is kept; None where the device has `most` already.
        """
        same = (_t.device == row.device) & (_t.sha256 == row.sha256)
        with self._engine.connect().execution_options(writes=True) as connection, connection.begin():
            found = connection.execute(select(*_t).where(same)).one_or_none()
            if found is not None:
                return CommissioningRow._make(found)
            last = connection.scalar(select(func.max(_t.number)).where(_t.device == row.device)) or 0
            if last >= most:
                return None
            kept = row._replace(number=int(last) + 1)
            connection.execute(insert(commissionings).values(**kept._asdict()))
        return kept

    def of(self, device: str, limit: int) -> list[CommissioningRow]:
        """Read a device's records, the newest first; since its registration: what was before may be another's."""
        query = select(*_t).where(_t.device == device, *_since(device)).order_by(_t.number.desc()).limit(limit)
        with self._engine.connect() as connection:
            return [CommissioningRow._make(row) for row in connection.execute(query)]

    def find(self, device: str, number: int) -> CommissioningRow | None:
        """Read one of its newest registration; None where there is none."""
        query = select(*_t).where(_t.device == device, _t.number == number, *_since(device))
        with self._engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else CommissioningRow._make(row)
