"""
Faults in the database: reads and writes of one table, each one transaction.

Plain functions of a database, like `store`; what belongs to which fault is decided in `device_catalog.grid.faults`. All
calls block.
"""

from typing import NamedTuple

from sqlalchemy import Engine, delete, func, insert, select, tuple_, update

from device_catalog.storage.tables import faults, networks

_t = faults.c


class FaultRow(NamedTuple):
    """A fault as the database knows it: `summary` and `news` are JSON text."""

    fault: str
    network: str
    terminal: str
    start_ns: int
    summary: str
    news: str


class FaultStore:
    """
    Reads and writes.

    Parameters
    ----------
    engine : sqlalchemy.Engine
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def find(self, fault: str) -> FaultRow | None:
        """Read one; None where there is none."""
        with self._engine.connect() as connection:
            row = connection.execute(select(*faults.c).where(_t.fault == fault)).one_or_none()
        return None if row is None else FaultRow._make(row)

    def knows_network(self, network: str, tenant: str) -> bool:
        """Tell whether there is a network of that name that is a tenant's, or nobody's in particular."""
        query = select(networks.c.network).where(networks.c.network == network, networks.c.tenant.in_(("", tenant)))
        with self._engine.connect() as connection:
            return connection.scalar(query) is not None

    def between(self, network: str, first_ns: int, last_ns: int) -> list[FaultRow]:
        """Read the faults of a network that began within a time, oldest first."""
        query = select(*faults.c).where(_t.network == network, _t.start_ns.between(first_ns, last_ns))
        with self._engine.connect() as connection:
            return [FaultRow._make(row) for row in connection.execute(query.order_by(_t.start_ns))]

    def page(
        self, network: str, after: tuple[int, str] | None, limit: int, tenant: str = ""
    ) -> list[tuple[int, str, str]]:
        """Read start, name and summary of part of the list, newest first: of one network, one tenant's, or all."""
        query = select(_t.start_ns, _t.fault, _t.summary).order_by(_t.start_ns.desc(), _t.fault.desc()).limit(limit)
        if network:
            query = query.where(_t.network == network)
        if tenant:
            query = query.where(_t.network.in_(select(networks.c.network).where(networks.c.tenant == tenant)))
        if after is not None:
            query = query.where(tuple_(_t.start_ns, _t.fault) < tuple_(*after))
        with self._engine.connect() as connection:
            return [(int(row[0]), str(row[1]), str(row[2])) for row in connection.execute(query)]

    def write(self, row: FaultRow, most: int) -> None:
        """Write a fault as it is now; the oldest of its network go beyond `most`."""
        with self._engine.connect().execution_options(writes=True) as connection, connection.begin():
            fields = row._asdict()
            name = fields.pop("fault")
            if connection.execute(update(faults).where(_t.fault == name).values(**fields)).rowcount:
                return
            connection.execute(insert(faults).values(fault=name, **fields))
            here = _t.network == row.network
            count = connection.scalar(select(func.count()).where(here)) or 0
            if count > most:
                oldest = select(_t.fault).where(here).order_by(_t.start_ns).limit(count - most)
                connection.execute(delete(faults).where(_t.fault.in_(connection.scalars(oldest).all())))
