"""
Leases of networks in the database: each step one transaction, so that two can never both succeed.

Plain functions of a database, like `store`; what may happen is decided in `device_catalog.network_leases`. A row is
never removed: the last token is what makes the next one larger. It is also no smaller than the seconds of UTC, so
that a database that was put back from a backup gives no token again that switches have seen. All calls block.
"""

from typing import NamedTuple

from sqlalchemy import Connection, Engine, insert, select, update

from device_catalog.storage.tables import audit, network_leases

_t = network_leases.c


NANOSECONDS = 1_000_000_000


class LeaseRow(NamedTuple):
    """The last lease of a network, whether it runs or not."""

    network: str
    token: int
    holder: str
    granted_ns: int
    expires_ns: int


class NetworkLeaseStore:
    """
    Reads and writes.

    Parameters
    ----------
    engine : sqlalchemy.Engine
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def find(self, network: str) -> LeaseRow | None:
        """Read the last lease of a network; None where there was none."""
        with self._engine.connect() as connection:
            return _find(connection, network)

    def grant(self, network: str, holder: str, now_ns: int, expires_ns: int) -> tuple[LeaseRow, bool]:
        """
        Give a new lease to `holder`, unless another one's runs.

        Returns
        -------
        row : LeaseRow
            The lease that is in force now.
        granted : bool
            Whether it is the new one.
        """
        with self._engine.connect().execution_options(writes=True) as connection, connection.begin():
            last = _find(connection, network)
            if last is not None and last.holder != holder and last.expires_ns > now_ns:
                return last, False
            token = max((last.token if last else 0) + 1, now_ns // NANOSECONDS)
            row = LeaseRow(network, token, holder, now_ns, expires_ns)
            fields = row._asdict()
            if last is None:
                connection.execute(insert(network_leases).values(**fields))
            else:
                connection.execute(update(network_leases).where(_t.network == network).values(**fields))
            detail = f"{network}, token {row.token}"
            connection.execute(
                insert(audit).values(time_ns=now_ns, actor=holder, action="lease", device=holder, detail=detail)
            )
            return row, True

    def move_end(self, network: str, holder: str, token: int, now_ns: int, expires_ns: int) -> LeaseRow | None:
        """
        Let the lease `token` of `holder`, if it runs, end at another time.

        Returns
        -------
        LeaseRow or None
            The last lease of the network as it was before, None where there was none.
        """
        with self._engine.connect().execution_options(writes=True) as connection, connection.begin():
            last = _find(connection, network)
            if last is not None and (last.holder, last.token) == (holder, token) and last.expires_ns > now_ns:
                connection.execute(update(network_leases).where(_t.network == network).values(expires_ns=expires_ns))
            return last


def _find(connection: Connection, network: str) -> LeaseRow | None:
    query = select(*network_leases.c).where(_t.network == network).with_for_update()
    row = connection.execute(query).one_or_none()
    return None if row is None else LeaseRow._make(row)
