"""
Networks and switch states: reads and writes of their tables, each one transaction.

Plain functions of a database, like `store`; what may happen is decided in `device_catalog.grid.networks`. A change of a
network and the new configurations of the devices it concerns are written together, or not at all. All calls block.
"""

import zlib
from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import Connection, Engine, Table, delete, insert, select, update

from device_catalog.storage.rows import Change
from device_catalog.storage.store import write_change
from device_catalog.storage.tables import devices, network_revisions, networks, topology_revisions

STATES_KEPT = 10_000
"""Revisions of switch states kept of each network; they change by the minute. Of networks every one is kept."""


class NetworkRow(NamedTuple):
    """A network as the list shows it."""

    network: str
    name: str
    revision: int
    topology_revision: int
    stored_ns: int
    author: str
    tenant: str = ""


class RevisionRow(NamedTuple):
    """One revision of a document as a list shows it."""

    revision: int
    stored_ns: int
    author: str
    size: int


class NetworkStore:
    """
    Reads and writes.

    Parameters
    ----------
    engine : sqlalchemy.Engine
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def find(self, network: str) -> NetworkRow | None:
        """Read one network; None where there is none."""
        with self._engine.connect() as connection:
            row = connection.execute(select(*networks.c).where(networks.c.network == network)).one_or_none()
        return None if row is None else NetworkRow._make(row)

    def page(self, after: str, limit: int, tenant: str = "") -> list[NetworkRow]:
        """Read part of the list, ordered by name, beginning behind `after`: one tenant's, or all where it is empty."""
        query = select(*networks.c).where(networks.c.network > after).order_by(networks.c.network).limit(limit)
        if tenant:
            query = query.where(networks.c.tenant == tenant)
        with self._engine.connect() as connection:
            return [NetworkRow._make(row) for row in connection.execute(query)]

    def document(self, network: str, revision: int) -> bytes | None:
        """Read a revision of a network, JSON text; None where it is not there."""
        return self._document(network_revisions, network, revision)

    def states(self, network: str, revision: int) -> bytes | None:
        """Read a revision of a network's switch states, JSON text; None where it is not there."""
        return self._document(topology_revisions, network, revision)

    def revisions(self, network: str, below: int, limit: int, *, of_states: bool = False) -> list[RevisionRow]:
        """Read part of the list of revisions, newest first, beginning below a revision."""
        table = topology_revisions if of_states else network_revisions
        query = (
            select(table.c.revision, table.c.stored_ns, table.c.author, table.c.size)
            .where(table.c.network == network, table.c.revision < below)
            .order_by(table.c.revision.desc())
            .limit(limit)
        )
        with self._engine.connect() as connection:
            return [RevisionRow._make(row) for row in connection.execute(query)]

    def devices_in(self, network: str, tenant: str) -> list[tuple[str, str]]:
        """
        Read which devices belong to a network, each with its area.

        Parameters
        ----------
        network : str
        tenant : str
            Whose it is: devices of others that name it do not belong to it. Empty for nobody's in particular.
        """
        query = select(devices.c.device, devices.c.area).where(
            devices.c.network == network, devices.c.removed_ns.is_(None)
        )
        if tenant:
            query = query.where(devices.c.tenant == tenant)
        with self._engine.connect() as connection:
            return [(str(row[0]), str(row[1])) for row in connection.execute(query.order_by(devices.c.device))]

    def place(self, device: str) -> tuple[str, str, str]:
        """Read which network a registered device belongs to, which area of it (empty for none), and its tenant."""
        query = select(devices.c.network, devices.c.area, devices.c.tenant).where(devices.c.device == device)
        with self._engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        return ("", "", "") if row is None else (str(row[0]), str(row[1]), str(row[2]))

    def write(
        self, row: NetworkRow, document: bytes | None, states: bytes | None, changes: Iterable[Change], action: str
    ) -> None:
        """
        Write a network as it is now.

        Parameters
        ----------
        row : NetworkRow
        document, states : bytes or None
            JSON text of the revisions that `row` names; None for what stays.
        changes : iterable of Change
            Configurations of the devices that are to know.
        action : str
            For the audit of these devices.
        """
        with self._engine.connect().execution_options(writes=True) as connection, connection.begin():
            fields = row._asdict()
            here = networks.c.network == fields.pop("network")
            if connection.execute(update(networks).where(here).values(**fields)).rowcount == 0:
                connection.execute(insert(networks).values(network=row.network, **fields))
            if document is not None:
                _write(connection, network_revisions, row, row.revision, document)
            if states is not None:
                _write(connection, topology_revisions, row, row.topology_revision, states)
                table = topology_revisions.c
                old = (table.network == row.network) & (table.revision <= row.topology_revision - STATES_KEPT)
                connection.execute(delete(topology_revisions).where(old))
            for change in changes:
                write_change(connection, change, action)

    def _document(self, table: Table, network: str, revision: int) -> bytes | None:
        query = select(table.c.document).where(table.c.network == network, table.c.revision == revision)
        with self._engine.connect() as connection:
            found = connection.scalar(query)
        return None if found is None else zlib.decompress(bytes(found))


def _write(connection: Connection, table: Table, row: NetworkRow, revision: int, document: bytes) -> None:
    connection.execute(
        insert(table).values(
            network=row.network,
            revision=revision,
            document=zlib.compress(document),
            size=len(document),
            stored_ns=row.stored_ns,
            author=row.author,
        )
    )
