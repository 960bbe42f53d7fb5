"""
Names the numbers of a kept document, each with its standard uncertainty (pure).

A name is the way to the value with dots between, as the records' own types call the parts: ``frequency``,
``voltage.A.rms``, ``power.total.p``, ``nodes.n4.voltage.A.magnitude``; of a result's payload likewise:
``registers.vectorial.active_import``. What stands in the document as ``u_x`` beside ``x`` is the standard uncertainty
of ``x``.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from algorithms.api.readings import ChannelReading, Estimate, Phasor, PowerReading

MAXIMUM_FIELDS = 2000
"""Numbers of one document that have names; what a document has beyond is kept and not named."""
DEPTH = 12
LARGEST = 1e30
"""Nothing that a meter measures or counts is larger: sums of such numbers can be taken without overflow [any unit]."""

_channel, _phasor, _power = (kind.__struct_fields__ for kind in (ChannelReading, Phasor, PowerReading))
_sequence = ("zero", "positive", "negative")
_estimate = Estimate.__struct_fields__
_named = {"nodes": "node", "branches": "branch"}


class Field(NamedTuple):
    """A named number; `uncertainty` is None where the document tells none."""

    name: str
    value: float
    uncertainty: float | None


def fields_of(document: Mapping[str, Any]) -> Iterator[Field]:
    """
    Give the numbers of a document.

    Examples
    --------
    >>> next(fields_of({"schema": "frame/1", "frequency": [50.01, 0.002]}))
    Field(name='frequency', value=50.01, uncertainty=0.002)
    >>> list(fields_of({"schema": "result/1", "payload": {"p": 5.0, "u_p": 0.1}}))
    [Field(name='p', value=5.0, uncertainty=0.1)]
    """
    schema = document.get("schema")
    if schema == "frame/1":
        found = _of_frame(document)
    elif schema == "grid-state/1":
        found = _of_state(document)
    elif schema == "result/1":
        pairs = str(document.get("content")).startswith("energy/")
        found = _of_mapping(_mapping(document.get("payload")), "", 0, pairs=pairs)
    else:
        found = _of_mapping(_mapping(document.get("evidence")), "", 0)
    for count, field in enumerate(found):
        if count == MAXIMUM_FIELDS:
            return
        yield field


def identifiers_of(document: Mapping[str, Any]) -> tuple[object, ...]:
    """Give the words in a document that its fields are named after, besides its shape."""
    points = [(one, name) for group, name in _named.items() for one in _list(document.get(group))]
    return (document.get("schema"), *(_mapping(one).get(name) for one, name in points))


def chosen(names: Iterable[str], wanted: Iterable[str]) -> set[str]:
    """
    Choose the names that are wanted, or stand below one that is.

    Examples
    --------
    >>> sorted(chosen(["voltage.A.rms", "voltage.B.rms", "frequency"], ["voltage.A", "frequency"]))
    ['frequency', 'voltage.A.rms']
    """
    asked = tuple(wanted)
    return {name for name in names if any(name == one or name.startswith(f"{one}.") for one in asked)}


def values_of(document: Mapping[str, Any], wanted: Sequence[str] = ()) -> dict[str, float]:
    """Give the numbers of a document that are wanted, each with its uncertainty; all of them where none is named."""
    fields = {field.name: field for field in fields_of(document)}
    names = chosen(fields, wanted) if wanted else set(fields)
    found: dict[str, float] = {}
    for name, (_, value, uncertainty) in fields.items():
        if name in names:
            found[name] = value
            if uncertainty is not None:
                found[uncertainty_of(name)] = uncertainty
    return found


def uncertainty_of(name: str) -> str:
    """
    Name the uncertainty that goes with a field.

    >>> uncertainty_of("voltage.A.rms"), uncertainty_of("frequency")
    ('voltage.A.u_rms', 'u_frequency')
    """
    before, dot, last = name.rpartition(".")
    return f"{before}{dot}u_{last}"


def _of_frame(document: Mapping[str, Any]) -> Iterator[Field]:
    for name in ("frequency", "rocof"):
        yield from _of_estimate(name, document.get(name))
    for name, columns in (("voltage", _channel), ("current", _channel), ("power", _power)):
        for phase, row in _mapping(document.get(name)).items():
            yield from _of_row(f"{name}.{phase}", row, columns)
    for name in ("voltage_sequence", "current_sequence"):
        for part, row in zip(_sequence, _list(document.get(name)), strict=False):
            yield from _of_row(f"{name}.{part}", row, _phasor)
    yield from _of_mapping({"time_uncertainty": document.get("time_uncertainty")}, "", 0)


def _of_state(document: Mapping[str, Any]) -> Iterator[Field]:
    for name in ("objective", "degrees_of_freedom", "iterations"):
        yield from _of_mapping({name: document.get(name)}, "", 0)
    yield from _of_point("equivalent", _mapping(document.get("equivalent")))
    for name, identifier in _named.items():
        for item in _list(document.get(name)):
            point = _mapping(item)
            yield from _of_point(f"{name}.{point.get(identifier)}", point)


def _of_point(path: str, item: Mapping[str, Any]) -> Iterator[Field]:
    for name in ("voltage", "current"):
        for phase, row in _mapping(item.get(name)).items():
            yield from _of_row(f"{path}.{name}.{phase}", row, _phasor)
    for name in ("p", "q"):
        for phase, row in _mapping(item.get(name)).items():
            yield from _of_estimate(f"{path}.{name}.{phase}", row)


def _of_estimate(name: str, row: Any) -> Iterator[Field]:
    if isinstance(row, list) and len(row) >= len(_estimate) and _is_number(row[0]):
        yield Field(name, float(row[0]), _number(row[1]))


def _of_row(path: str, row: Any, columns: tuple[str, ...]) -> Iterator[Field]:
    if not isinstance(row, list):
        return
    values = dict(zip(columns, row, strict=False))
    for name, value in values.items():
        if not name.startswith("u_") and _is_number(value):
            yield Field(f"{path}.{name}", float(value), _number(values.get(f"u_{name}")))


def _of_mapping(values: Mapping[str, Any], path: str, depth: int, *, pairs: bool = False) -> Iterator[Field]:
    """Go through numbers by name; where `pairs`, a list of two is a value and its uncertainty (`Estimate`)."""
    for name, value in values.items():
        if _is_number(value):
            if not name.startswith("u_"):
                yield Field(f"{path}{name}", float(value), _number(values.get(f"u_{name}")))
        elif isinstance(value, dict) and depth < DEPTH:
            yield from _of_mapping(value, f"{path}{name}.", depth + 1, pairs=pairs)
        elif pairs and isinstance(value, list) and len(value) == len(_estimate):
            yield from _of_estimate(f"{path}{name}", value)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _number(value: Any) -> float | None:
    return float(value) if _is_number(value) else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
