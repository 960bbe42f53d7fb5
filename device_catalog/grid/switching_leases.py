"""
Who may switch a network: one holder at a time, each with a token larger than all before.

A lease is written before it is answered, and so survives a kill and a power cut. It ends by the catalog's clock as that
stood at its start, which no later step of it moves; what keeps two holders from interleaving is not that clock but the
token, which the switches check. `storage.network_leases` keeps them; the REST interface is `api.network_leases`.
"""

import math
import time
from collections.abc import Callable

from algorithms.api.errors import Problem, shortened
from device_catalog.contract.network_leases import LONGEST, LeaseGrant, LeaseRequest
from device_catalog.contract.topics import is_identifier
from device_catalog.documents import moment
from device_catalog.errors import Conflict, NetworkUnknown, NotAuthorised, Refused
from device_catalog.storage.network_leases import LeaseRow, NetworkLeaseStore
from device_catalog.storage.networks import NetworkStore
from device_catalog.storage.threads import StorageThreads

NANOSECONDS = 1_000_000_000


class NetworkLeases:
    """
    The leases of a catalog.

    Parameters
    ----------
    store : NetworkLeaseStore
    networks : NetworkStore
    threads : StorageThreads
    clock : callable, optional
        UTC [ns]; steady from the start on where none is given.
    """

    def __init__(
        self,
        store: NetworkLeaseStore,
        networks: NetworkStore,
        threads: StorageThreads,
        clock: Callable[[], int] | None = None,
    ) -> None:
        self._store, self._networks, self._threads = store, networks, threads
        self._clock = clock or _steady_clock()

    async def acquire(self, network: str, request: LeaseRequest, *, by_device: bool) -> LeaseGrant:
        """
        Give a new lease; what the same holder had before is worthless then.

        Parameters
        ----------
        network : str
        request : LeaseRequest
        by_device : bool
            Whether the holder asks itself, rather than an operator for it: then it must belong to the network.

        Raises
        ------
        NetworkUnknown, Refused
        NotAuthorised
            When the holder's configuration does not name the network.
        Conflict
            When another one holds it.
        """
        _judge(request)
        return await self._threads.write(self._acquire, network, request, by_device)

    def _acquire(self, network: str, request: LeaseRequest, by_device: bool) -> LeaseGrant:
        self._expect(network, request.holder, by_device)
        now_ns = self._clock()
        expires_ns = now_ns + round(request.seconds * NANOSECONDS)
        row, granted = self._store.grant(network, request.holder, now_ns, expires_ns, request.seen)
        if not granted:
            raise Conflict(_held(row))
        return _grant(row, request.seconds)

    async def renew(self, network: str, request: LeaseRequest, *, by_device: bool) -> LeaseGrant:
        """
        Let a lease run on from now.

        Raises
        ------
        NetworkUnknown, Refused, NotAuthorised
        Conflict
            When it has ended, or was never this holder's: a new one must be asked for.
        """
        _judge(request)
        return await self._threads.write(self._renew, network, request, by_device)

    def _renew(self, network: str, request: LeaseRequest, by_device: bool) -> LeaseGrant:
        self._expect(network, request.holder, by_device)
        now_ns = self._clock()
        expires_ns = now_ns + round(request.seconds * NANOSECONDS)
        last = self._store.move_end(network, request.holder, request.token, now_ns, expires_ns)
        if last is None or (last.holder, last.token) != (request.holder, request.token):
            found = _held(last) if last is not None else "found none"
            raise Conflict(f"expected lease {request.token} of {network} to be {request.holder}'s: {found}")
        if last.expires_ns <= now_ns:
            ended = moment(last.expires_ns).isoformat()
            raise Conflict(
                f"expected a lease that runs, found that {request.token} ended at {ended}; ask for a new one"
            )
        return _grant(last._replace(expires_ns=expires_ns), request.seconds)

    async def expect(self, network: str, holder: str, token: int) -> None:
        """
        Make sure that a lease is in force.

        Raises
        ------
        NetworkUnknown
        Conflict
            When it is not.
        """
        grant = await self.holder(network)
        if grant is None or (grant.holder, grant.token) != (holder, token):
            found = f"{grant.token} of {grant.holder}" if grant is not None else "none"
            raise Conflict(f"expected lease {token} of {holder} to be in force, found {found}")

    async def release(self, network: str, holder: str, token: int) -> None:
        """Give a lease back; one that is not in force any more is given back already."""
        await self._threads.write(self._release, network, holder, token)

    def _release(self, network: str, holder: str, token: int) -> None:
        now_ns = self._clock()
        self._store.move_end(network, holder, token, now_ns, now_ns)

    async def end(self, network: str) -> None:
        """
        Take a lease from whoever holds it: an operator's last resort.

        In one step nobody has it, until what was ordered under it can move nothing any more.

        Raises
        ------
        NetworkUnknown
        """
        await self._threads.write(self._end, network)

    def _end(self, network: str) -> None:
        self._known(network)
        self._store.take_away(network, self._clock())

    async def holder(self, network: str) -> LeaseGrant | None:
        """
        Tell who holds a network; None for nobody.

        Raises
        ------
        NetworkUnknown
        """
        return await self._threads.read(self._holder, network)

    def _holder(self, network: str) -> LeaseGrant | None:
        self._known(network)
        last, now_ns = self._store.find(network), self._clock()
        if last is None or last.expires_ns <= now_ns:
            return None
        return _grant(last, (last.expires_ns - now_ns) / NANOSECONDS)

    def _known(self, network: str) -> str:
        """Tell whose a network is; empty for nobody's in particular."""
        row = self._networks.find(network)
        if row is None:
            raise NetworkUnknown(f"expected the name of a network that is kept here, found {network}")
        return row.tenant

    def _expect(self, network: str, holder: str, by_device: bool) -> None:
        owner = self._known(network)
        if not by_device:
            return
        named, _, tenant = self._networks.place(holder)
        if owner not in ("", tenant):  # in the words for what is not there
            raise NetworkUnknown(f"expected the name of a network that is kept here, found {network}")
        if named != network:
            raise NotAuthorised(f"expected a device of {network}, found {holder}, whose configuration does not name it")


def _steady_clock() -> Callable[[], int]:
    start_ns = time.time_ns() - time.monotonic_ns()
    return lambda: start_ns + time.monotonic_ns()


def _judge(request: LeaseRequest) -> None:
    problems = []
    if not is_identifier(request.holder):
        problems.append(Problem("holder", "letters, digits, _ and - (at most 64)", shortened(request.holder)))
    if not (math.isfinite(request.seconds) and 1.0 <= request.seconds <= LONGEST):
        problems.append(Problem("seconds", f"1 to {LONGEST:g} [s]", f"{request.seconds:g}"))
    for name, token in (("token", request.token), ("seen", request.seen)):
        if not 0 <= token < 2**62:
            problems.append(Problem(name, "the token of a lease", shortened(token)))
    if problems:
        raise Refused(problems)


def _held(row: LeaseRow) -> str:
    until = moment(row.expires_ns).isoformat()
    return f"expected a network that nobody switches, found {row.network} held by {row.holder} until {until}"


def _grant(row: LeaseRow, seconds: float) -> LeaseGrant:
    return LeaseGrant(row.network, row.holder, row.token, seconds, moment(row.expires_ns))
