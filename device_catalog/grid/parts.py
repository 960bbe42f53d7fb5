"""
Networks in memory, with their switches as they stand, ready to be cut into the parts that agents look after.

Between `networks` and `questions`, which ask for one by its name, and the database, which is read where one is
not here or was changed. Documents are large, so only the newest of a few stay, each with some of its parts. Used by
several threads.
"""

from collections import OrderedDict
from threading import Lock

import msgspec

from algorithms.api.errors import NetworkError, shortened
from algorithms.api.network_area import Areas, edge_switches
from algorithms.api.network_document import NetworkDocument, SwitchStates
from algorithms.api.network_states import normal_states
from device_catalog.contract.networks import AreaDocument
from device_catalog.errors import NetworkUnknown
from device_catalog.storage.networks import NetworkRow, NetworkStore

IN_MEMORY = 2
"""Networks kept ready to be cut; a large one takes some ten times its document's length."""

PARTS_SIZE = 16 * 2**20
"""Parts kept ready of each of them [bytes]."""

_replace = msgspec.structs.replace


class Loaded:
    """A network in memory, with its switches as they stand, ready to be cut."""

    def __init__(self, row: NetworkRow, document: NetworkDocument, states: SwitchStates) -> None:
        self.row = row
        self.document = document
        self.states = states
        self._areas = Areas(document, states)
        self._parts: OrderedDict[str, bytes] = OrderedDict()
        self._size = 0
        self._lock = Lock()

    def part(self, area: str) -> AreaDocument:
        """
        Cut out an area; all of it where `area` is empty.

        Raises
        ------
        NetworkUnknown
        """
        if not area:
            return AreaDocument(self.document.network, "", self.document, self.states)
        try:
            part = self._areas.cut(area)
        except NetworkError as error:
            raise NetworkUnknown(str(error)) from error
        names = edge_switches(self.document, part)
        states = {name: self.states.states[name] for name in names}
        return AreaDocument(self.document.network, area, part, _replace(self.states, states=states))

    def text(self, area: str) -> bytes:
        """
        Give a part as JSON text.

        Raises
        ------
        NetworkUnknown
        """
        with self._lock:  # two readers
            found = self._parts.pop(area, None)
            if found is None:
                found = msgspec.json.encode(self.part(area))
                self._size += len(found)
            self._parts[area] = found
            while self._size > PARTS_SIZE and len(self._parts) > 1:
                self._size -= len(self._parts.popitem(last=False)[1])
        return found

    def likeness(self, area: str) -> object:
        """Give what is the same before and after a change that does not concern an area; None where it is not there."""
        try:
            found = self.part(area)
        except NetworkUnknown:
            return None
        inside = {switch.id: self.states.states[switch.id] for switch in found.document.switches}
        return _replace(found.document, revision=0), inside


class Shelf:
    """
    The networks that are in memory.

    Parameters
    ----------
    store : NetworkStore
    """

    def __init__(self, store: NetworkStore) -> None:
        self._store = store
        self._loaded: OrderedDict[str, Loaded] = OrderedDict()
        self._lock = Lock()

    def row(self, name: str) -> NetworkRow:
        """
        Read what the list says of a network.

        Raises
        ------
        NetworkUnknown
        """
        row = self._store.find(name)
        if row is None:
            raise NetworkUnknown(f"expected a network, found none called {shortened(name)}; list those there are")
        return row

    def known(self, name: str) -> Loaded:
        """
        Give a network.

        Raises
        ------
        NetworkUnknown
        """
        return self._of(self.row(name))

    def find(self, name: str) -> Loaded | None:
        """Give a network; None where there is none."""
        row = self._store.find(name)
        return None if row is None else self._of(row)

    def keep(self, loaded: Loaded) -> None:
        """Have a network ready as it is now."""
        with self._lock:
            self._loaded.pop(loaded.row.network, None)
            self._loaded[loaded.row.network] = loaded
            while len(self._loaded) > IN_MEMORY:
                self._loaded.popitem(last=False)

    def _of(self, row: NetworkRow) -> Loaded:
        with self._lock:
            loaded = self._loaded.get(row.network)
        if loaded is not None and loaded.row == row:
            return loaded
        document = self._store.document(row.network, row.revision)
        states = self._store.states(row.network, row.topology_revision) if row.topology_revision else None
        if document is None:
            found = f"revision {row.revision} of {row.network} missing from the database"
            raise NetworkUnknown(f"expected the newest revision of a network, found {found}")
        read = msgspec.json.decode(document, type=NetworkDocument)
        stand = normal_states(read) if states is None else msgspec.json.decode(states, type=SwitchStates)
        loaded = Loaded(row, read, stand)
        self.keep(loaded)
        return loaded
