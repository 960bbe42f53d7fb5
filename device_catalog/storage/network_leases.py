"""
Leases of networks in the database: each step one transaction, so that two can never both succeed.

Plain functions of a database, like `store`; what may happen is decided in `device_catalog.grid.switching_leases`. A row
is never removed: the last token is what makes the next one larger. It is also no smaller than the seconds of UTC, so
that a database that was put back from a backup gives no token again that switches have seen, and larger than what its
holder has heard switches obey. All calls block.
"""

from typing import NamedTuple

from sqlalchemy import Connection, Engine, insert, select, update

from algorithms.api.switching import REPORTED_AHEAD, is_believable
from device_catalog.contract.network_leases import AFTERWARDS, ENDED, LONGEST
from device_catalog.storage.tables import audit, network_leases

_t = network_leases.c


NANOSECONDS = 1_000_000_000
_longest_ns = round((LONGEST + AFTERWARDS) * NANOSECONDS)


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

    def grant(self, network: str, holder: str, now_ns: int, expires_ns: int, seen: int = 0) -> tuple[LeaseRow, bool]:
        """
        Give a new lease to `holder`, unless another one's runs.

        Parameters
        ----------
        network, holder : str
        now_ns, expires_ns : int
            [ns UTC]
        seen : int
            The largest token that `holder` has heard switches obey.

        Returns
        -------
        row : LeaseRow
            The lease that is in force now.
        granted : bool
            Whether it is the new one.
        """
        with self._engine.connect().execution_options(writes=True) as connection, connection.begin():
            last = _find(connection, network)
            if last is not None and last.expires_ns > now_ns + _longest_ns:  # given by a clock that was ahead
                last = last._replace(expires_ns=now_ns + _longest_ns)
                _write(connection, last, is_new=False)
            if last is not None and last.holder != holder and last.expires_ns > now_ns:
                return last, False
            row = LeaseRow(network, _next_token(last, now_ns, seen), holder, now_ns, expires_ns)
            _write(connection, row, is_new=last is None)
            detail = f"{network}, token {row.token}"
            connection.execute(
                insert(audit).values(time_ns=now_ns, actor=holder, action="lease", device=holder, detail=detail)
            )
            return row, True

    def take_away(self, network: str, now_ns: int) -> None:
        """Let nobody have a network that somebody has, until nothing ordered before can move any more [ns UTC]."""
        with self._engine.connect().execution_options(writes=True) as connection, connection.begin():
            last = _find(connection, network)
            if last is None or last.expires_ns <= now_ns or last.holder.startswith(ENDED):
                return
            token = _next_token(last, now_ns, 0)
            expires_ns = min(last.expires_ns, now_ns + _longest_ns) + round(AFTERWARDS * NANOSECONDS)
            _write(connection, LeaseRow(network, token, f"{ENDED}{last.token}", now_ns, expires_ns), is_new=False)
            detail = f"{network}, taken from {last.holder}"
            connection.execute(
                insert(audit).values(
                    time_ns=now_ns, actor="operator", action="lease", device=last.holder, detail=detail
                )
            )

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


def _next_token(last: LeaseRow | None, now_ns: int, seen: int) -> int:
    """Give a token larger than all before, and about the seconds of UTC."""
    heard = seen if is_believable(seen, now_ns, REPORTED_AHEAD) else 0
    before = last.token if last is not None else 0
    if heard and not is_believable(before, now_ns):  # of a clock that was ahead: no switch obeys it
        before = 0
    return max(before + 1, heard + 1, now_ns // NANOSECONDS)


def _write(connection: Connection, row: LeaseRow, *, is_new: bool) -> None:
    fields = row._asdict()
    if is_new:
        connection.execute(insert(network_leases).values(**fields))
    else:
        connection.execute(update(network_leases).where(_t.network == row.network).values(**fields))


def _find(connection: Connection, network: str) -> LeaseRow | None:
    query = select(*network_leases.c).where(_t.network == network).with_for_update()
    row = connection.execute(query).one_or_none()
    return None if row is None else LeaseRow._make(row)
