"""
The newest state that each source told, for an algorithm that starts later than it was told. Pure.

A broker retains a state and gives it once, when it is asked for; whoever starts after that, or again, would wait for
the next. What is kept is bounded: the source that was silent for longest is forgotten first.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator

import msgspec

from algorithms.api.grid_records import GridState
from algorithms.api.records import Record, Result
from device_catalog.contract import topics

MAXIMUM_SOURCES = 2000
MAXIMUM_SIZE = 8 * 2**20
"""All of them together, encoded [bytes]."""


class Newest:
    """
    States, each by who told it and of which area or switch.

    Parameters
    ----------
    sources, size : int, optional
        Most that are kept [1], [bytes].
    """

    def __init__(self, sources: int = MAXIMUM_SOURCES, size: int = MAXIMUM_SIZE) -> None:
        self._limits = sources, size
        self._kept: OrderedDict[tuple[str, str], tuple[str, bytes]] = OrderedDict()
        self._size = 0
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(GridState | Result).decode

    def __len__(self) -> int:
        """Count the areas."""
        return len(self._kept)

    def put(self, sender: str, state: GridState | Result) -> None:
        """Keep a state in the place of the one before of its area or switch; another than before may tell it."""
        key = (state.level, state.area) if isinstance(state, GridState) else (topics.SWITCH_STATE, state.terminal)
        data = self._encode(state)
        self._drop(key)
        self._kept[key] = sender, data
        self._size += len(data)
        sources, size = self._limits
        while len(self._kept) > sources or (self._size > size and self._kept):
            self._drop(next(iter(self._kept)))

    def keep_only(self, wanted: Callable[[str, GridState | Result], bool]) -> None:
        """Forget what is not wanted any more; asked by sender, and a state that says only whose it is."""
        for key, (sender, _) in list(self._kept.items()):
            if not wanted(sender, _bare(*key)):
                self._drop(key)

    def __iter__(self) -> Iterator[tuple[str, GridState | Result]]:
        """Give who told, and what, the longest silent first."""
        for sender, data in list(self._kept.values()):
            yield sender, self._decode(data)

    def _drop(self, key: tuple[str, str]) -> None:
        found = self._kept.pop(key, None)
        if found is not None:
            self._size -= len(found[1])


def is_state(record: Record) -> bool:
    """Tell whether a record says how something stands until the next one: of an area, or of a switch."""
    if isinstance(record, Result):
        return record.content.partition("/")[0] == topics.SWITCH_STATE
    return isinstance(record, GridState)


def _bare(kind: str, name: str) -> GridState | Result:
    if kind == topics.SWITCH_STATE:
        return Result(f"{kind}/1", name, 0, {})
    return GridState(name, kind, 0, 0, 0, ())
