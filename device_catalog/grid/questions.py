"""
What is asked of networks: which there are, their revisions, where switches stand, an agent's part.

Questions change nothing; `networks` makes the changes. Everything is read in the database's threads.
"""

import hashlib

import msgspec

from algorithms.api.errors import shortened
from device_catalog.contract.networks import NetworkPage, NetworkSummary, RevisionEntry, RevisionPage
from device_catalog.contract.paths import etag
from device_catalog.documents import moment
from device_catalog.errors import NetworkUnknown
from device_catalog.grid.parts import Shelf
from device_catalog.storage.networks import NetworkStore
from device_catalog.storage.threads import StorageThreads

MAXIMUM_PAGE = 1000

LAST = 2**62
"""Above every revision."""


class NetworkQuestions:
    """
    Answers what is asked of networks.

    Parameters
    ----------
    store : NetworkStore
    shelf : Shelf
    threads : StorageThreads
    """

    def __init__(self, store: NetworkStore, shelf: Shelf, threads: StorageThreads) -> None:
        self._store = store
        self._shelf = shelf
        self._threads = threads

    async def page(self, cursor: str, limit: int, tenant: str = "") -> NetworkPage:
        """Give part of the list of networks, ordered by name: one tenant's, or all where it is empty."""
        rows = await self._threads.read(self._store.page, cursor, limit + 1, tenant)
        items = tuple(
            NetworkSummary(
                row.network, row.name, row.revision, row.topology_revision, moment(row.stored_ns), row.author
            )
            for row in rows[:limit]
        )
        return NetworkPage(items, items[-1].network if len(rows) > limit else "")

    async def revisions(self, name: str, cursor: str, limit: int, *, of_states: bool = False) -> RevisionPage:
        """
        Give part of the list of revisions of a network, or of its switch states, newest first.

        Raises
        ------
        NetworkUnknown
        """
        below = int(cursor) if cursor else LAST
        rows = await self._threads.read(
            lambda: self._shelf.row(name) and self._store.revisions(name, below, limit + 1, of_states=of_states)
        )
        items = tuple(RevisionEntry(row.revision, moment(row.stored_ns), row.author, row.size) for row in rows[:limit])
        return RevisionPage(items, str(items[-1].revision) if len(rows) > limit else "")

    async def document(self, name: str, revision: int = 0) -> tuple[bytes, str]:
        """
        Give a network, JSON text, and its entity tag: the newest, or another `revision`.

        Raises
        ------
        NetworkUnknown
        """
        return await self._threads.read(self._document, name, revision)

    def _document(self, name: str, revision: int) -> tuple[bytes, str]:
        revision = revision or self._shelf.row(name).revision
        document = self._store.document(name, revision)
        if document is None:
            raise NetworkUnknown(f"expected a revision of {name}, found none numbered {revision}; list its revisions")
        return document, etag(revision)

    async def states(self, name: str, revision: int = 0) -> tuple[bytes, str]:
        """
        Give where the switches of a network stand, JSON text, and the entity tag; normally, where nobody said.

        Raises
        ------
        NetworkUnknown
        """
        return await self._threads.read(self._states, name, revision)

    def _states(self, name: str, revision: int) -> tuple[bytes, str]:
        if not revision:
            loaded = self._shelf.known(name)
            return msgspec.json.encode(loaded.states), etag(loaded.row.topology_revision)
        document = self._store.states(self._shelf.row(name).network, revision)
        if document is None:
            found = f"none numbered {revision}"
            raise NetworkUnknown(f"expected a revision of the switch states of {name}, found {found}; list them")
        return document, etag(revision)

    async def area(self, name: str, area: str) -> tuple[bytes, str]:
        """
        Give an agent's part of a network, JSON text, and its entity tag.

        Raises
        ------
        NetworkUnknown
        """
        return await self._threads.read(self._area, name, area)

    async def area_of(self, device: str) -> tuple[bytes, str]:
        """
        Give the part of the network that a device's configuration names, JSON text, and its entity tag.

        Raises
        ------
        NetworkUnknown
        """
        name, area, tenant = await self._threads.read(self._store.place, device)
        owner = await self._threads.read(self._store.find, name) if name else None
        if owner is not None and owner.tenant not in ("", tenant):
            raise NetworkUnknown(f"expected a network of this device's tenant, found {shortened(name)}")
        if not name:
            raise NetworkUnknown(
                f"expected a device that belongs to a network, found {device[:80]}; set topology.network"
            )
        return await self.area(name, area)

    def _area(self, name: str, area: str) -> tuple[bytes, str]:
        text = self._shelf.known(name).text(area)
        return text, f'"{hashlib.sha256(text).hexdigest()[:32]}"'
