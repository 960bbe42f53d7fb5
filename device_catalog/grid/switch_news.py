"""
What the holder of a network says of its switches becomes where they stand.

Between the REST interface of leases, whose holder has just moved switches, and `networks`, which keeps the states,
publishes them and tells whom they concern. Only the switches named are changed; of two who tell at once, each is taken.
"""

import msgspec

from algorithms.api.errors import Problem, shortened
from device_catalog.contract.network_leases import SwitchNewsDocument
from device_catalog.contract.networks import NetworkStored
from device_catalog.contract.paths import etag
from device_catalog.errors import Conflict, Refused, RevisionOutdated
from device_catalog.grid.networks import Networks
from device_catalog.grid.parts import Shelf
from device_catalog.grid.switching_leases import NetworkLeases
from device_catalog.storage.threads import StorageThreads

ATTEMPTS = 5
"""The states may be changed by others in between; then it is tried again."""

_replace = msgspec.structs.replace


class SwitchNews:
    """
    Takes news of switches.

    Parameters
    ----------
    leases : NetworkLeases
    networks : Networks
    shelf : Shelf
    threads : StorageThreads
    """

    def __init__(self, leases: NetworkLeases, networks: Networks, shelf: Shelf, threads: StorageThreads) -> None:
        self._leases, self._networks, self._shelf, self._threads = leases, networks, shelf, threads

    async def take(self, network: str, news: SwitchNewsDocument) -> NetworkStored:
        """
        Keep where some switches of a network stand now.

        Parameters
        ----------
        network : str
        news : SwitchNewsDocument

        Raises
        ------
        NetworkUnknown
        Refused
            When the network has no such switches.
        Conflict
            When the lease is not in force, or others change the states all the time.
        """
        for _ in range(ATTEMPTS):
            await self._leases.expect(network, news.holder, news.token)
            known = await self._threads.read(self._shelf.known, network)
            present = known.states
            unknown = sorted(set(news.states) - set(present.states))
            if unknown:
                found = shortened(", ".join(unknown))
                raise Refused([Problem("states", f"switches of {network}", found)])
            states = {**present.states, **news.states}
            if states == present.states:
                return NetworkStored(network, known.row.revision, known.row.topology_revision)
            body = msgspec.json.encode(_replace(present, revision=present.revision + 1, states=states))
            try:
                return await self._networks.put_states(network, body, etag(present.revision), news.holder)
            except RevisionOutdated:
                continue
        raise Conflict(f"expected the switch states of {network} to stand still for a moment, found them changing")
