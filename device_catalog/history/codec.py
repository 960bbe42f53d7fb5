"""
Packs many documents of one kind into few bytes, and gives them back as they were (pure).

Records of one series differ in their numbers only, so they are turned on their side: what is the same stands once as a
shape, and each leaf becomes a column of values, which compress far better beside each other than among others.
"""

import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

VERSION = 1
LEVEL = 6
"""Of zlib; 9 takes three times as long for one per cent."""
MAXIMUM_UNPACKED = 64 * 1024 * 1024
"""Longest text that is unpacked [bytes]."""

_encode = msgspec.json.encode


class Kept(NamedTuple):
    """
    One record as it is kept.

    Attributes
    ----------
    time_ns : int
        [ns UTC]
    boot, number : int
        With the time, what tells it from every other of its series.
    document : dict
        The message without its header.
    """

    time_ns: int
    boot: int
    number: int
    document: dict[str, Any]

    @property
    def key(self) -> tuple[int, int, int]:
        """What tells it from every other of its series."""
        return self[:3]


class Group(msgspec.Struct, array_like=True):
    """
    Documents of one shape.

    Attributes
    ----------
    positions : list of int
        Where each stands among all.
    shape : Any
        One of them with 0 in the place of each leaf.
    columns : list of list
        For each leaf, in the order of the shape, its values.
    """

    positions: list[int]
    shape: Any
    columns: list[list[Any]]


class _Block(msgspec.Struct, array_like=True):
    version: int
    times: list[int]
    boots: list[int]
    numbers: list[int]
    groups: list[Group]


def pack(records: Iterable[Kept]) -> bytes:
    """
    Write records, in this order.

    Times and numbers are kept as differences: a series that comes regularly has the same ones again and again.

    Examples
    --------
    >>> kept = [Kept(10, 1, 1, {"a": [1.5, None]}), Kept(20, 1, 2, {"a": [2.5, None]})]
    >>> unpack(pack(kept)) == kept
    True
    """
    rows = list(records)
    groups = [
        Group(
            _differences(group.positions),
            group.shape,
            [column[:1] if _same(column) else column for column in group.columns],
        )
        for group in turned(rows)
    ]
    block = _Block(
        VERSION,
        _differences([row.time_ns for row in rows]),
        _differences([row.boot for row in rows]),
        _differences([row.number for row in rows]),
        groups,
    )
    return zlib.compress(_encode(block), LEVEL)


def turned(records: Iterable[Kept], apart: Callable[[dict[str, Any]], object] = lambda _: None) -> list[Group]:
    """
    Turn documents on their side, a group for each shape there is.

    Parameters
    ----------
    records : iterable of Kept
    apart : callable
        Documents for which it gives different values are kept apart whatever their shape.
    """
    groups: dict[object, Group] = {}
    rows: dict[object, list[list[Any]]] = {}
    for position, record in enumerate(records):
        leaves: list[Any] = []
        shape = _shape(record.document, leaves)
        key: object = (_encode(shape), apart(record.document))
        group = groups.get(key)
        if group is None:
            group, rows[key] = groups.setdefault(key, Group([], shape, [])), []
        group.positions.append(position)
        rows[key].append(leaves)
    for key, group in groups.items():
        group.columns = [list(column) for column in zip(*rows[key], strict=True)]
    return list(groups.values())


def unpack(data: bytes) -> list[Kept]:
    """
    Read what `pack` wrote.

    Raises
    ------
    ValueError
        When it is something else, or too long.
    """
    inflater = zlib.decompressobj()
    try:
        text = inflater.decompress(data, MAXIMUM_UNPACKED)
        if inflater.unconsumed_tail:
            raise ValueError(f"expected a block of at most {MAXIMUM_UNPACKED} bytes, found a longer one")
        block = msgspec.json.decode(text, type=_Block)
    except (zlib.error, msgspec.MsgspecError) as error:
        raise ValueError(f"expected a block of records, found: {error}") from error
    if block.version != VERSION:
        raise ValueError(f"expected a block of version {VERSION}, found {block.version}, made by a newer tresma")
    times, boots, numbers = (list(_sums(column)) for column in (block.times, block.boots, block.numbers))
    documents: list[dict[str, Any]] = [{}] * len(times)
    for group in block.groups:
        positions = list(_sums(group.positions))
        columns = [column * len(positions) if len(column) == 1 else column for column in group.columns]
        rows = zip(*columns, strict=True) if columns else iter([()] * len(positions))
        for position, row in zip(positions, rows, strict=True):
            documents[position] = filled(group.shape, iter(row))
    return [Kept(*row) for row in zip(times, boots, numbers, documents, strict=True)]


def _shape(value: Any, leaves: list[Any]) -> Any:
    """Take the leaves out of a document; what is left has 0 in their places."""
    kind = value.__class__
    if kind is dict:
        return {name: _shape(item, leaves) for name, item in value.items()}
    if kind is list:
        for item in value:
            if item.__class__ is list or item.__class__ is dict:
                return [_shape(one, leaves) for one in value]
        leaves.extend(value)  # most of a frame stands in rows of nothing but numbers
        return [0] * len(value)
    leaves.append(value)
    return 0


def filled(shape: Any, leaves: Iterator[Any]) -> Any:
    """Put leaves into a shape again."""
    if isinstance(shape, dict):
        return {name: filled(item, leaves) for name, item in shape.items()}
    if isinstance(shape, list):
        return [filled(item, leaves) for item in shape]
    return next(leaves)


def _same(column: list[Any]) -> bool:
    """Tell whether all are one value of one type: 1, 1.0 and true are equal and not the same."""
    first = column[0]
    return len(column) > 1 and all(type(item) is type(first) and item == first for item in column)


def _differences(values: list[int]) -> list[int]:
    return [value - before for value, before in zip(values, [0, *values], strict=False)]


def _sums(differences: list[int]) -> Iterator[int]:
    total = 0
    for difference in differences:
        total += difference
        yield total
