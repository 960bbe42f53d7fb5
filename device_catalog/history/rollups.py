"""
Sums records up over steps of time: mean, least, greatest, uncertainty and count of each named number (pure).

A step is told by its start. The uncertainty of a mean is the mean of the uncertainties: what a meter states is mostly
its scale's error, the same in each reading, so that averaging takes nothing off it (GUM, JCGM 100:2008, 5.2.2 note 1,
with correlation 1); it is an upper bound where part of it is noise. Angles are left out: they turn.

Means of equal rule can be put together: one-minute steps give any multiple of a minute, weighted by their counts.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from device_catalog.history.codec import Kept, filled, turned
from device_catalog.history.fields import LARGEST, fields_of, identifiers_of

NANOSECONDS = 1_000_000_000
MINUTE_NS = 60 * NANOSECONDS
MAXIMUM_STEP = 31 * 86_400
"""[s]"""

_angle = ".angle"


@dataclass(slots=True)
class Sum:
    """One number over one step; `spread` is the sum of those uncertainties that were told, `told` how many."""

    count: int = 0
    total: float = 0.0
    least: float = 0.0
    greatest: float = 0.0
    spread: float = 0.0
    told: int = 0

    def merge(self, other: "Sum") -> None:
        """Take in another sum."""
        if self.count == 0:
            self.least, self.greatest = other.least, other.greatest
        else:
            self.least, self.greatest = min(self.least, other.least), max(self.greatest, other.greatest)
        self.count += other.count
        self.total += other.total
        self.spread += other.spread
        self.told += other.told

    @property
    def mean(self) -> float:
        """The mean."""
        return self.total / self.count

    @property
    def uncertainty(self) -> float | None:
        """Standard uncertainty of the mean; None where no reading told its own."""
        return self.spread / self.told if self.told else None


@dataclass(slots=True)
class Step:
    """A step of time: how many records it has, and the numbers in them."""

    start_ns: int
    records: int = 0
    values: dict[str, Sum] = field(default_factory=dict)


def steps_of(records: Iterable[Kept], seconds: int) -> list[Step]:
    """
    Sum records up.

    Parameters
    ----------
    records : iterable of Kept
        Each once.
    seconds : int
        Length of a step [s]; steps begin at its whole multiples since 1970.
    """
    rows = list(records)
    steps: dict[int, Step] = {}
    length = seconds * NANOSECONDS
    for group in turned(rows, identifiers_of):
        # In the places of the leaves their numbers, words excepted: a field's value is the number of its column.
        leaves = [column[0] if isinstance(column[0], str) else number for number, column in enumerate(group.columns)]
        named = [one for one in fields_of(filled(group.shape, iter(leaves))) if not one.name.endswith(_angle)]
        places: dict[int, list[int]] = {}
        for place, position in enumerate(group.positions):
            places.setdefault(rows[position].time_ns // length * length, []).append(place)
        for start_ns, chosen in places.items():
            step = _at(steps, start_ns)
            step.records += len(chosen)
            for name, value, uncertainty in named:
                total = _summed(group.columns[int(value)], chosen)
                if total is None:
                    continue
                if uncertainty is not None:
                    spread = _numbers(group.columns[int(uncertainty)], chosen)
                    total.spread, total.told = math.fsum(spread), len(spread)
                step.values.setdefault(name, Sum()).merge(total)
    return [steps[start] for start in sorted(steps)]


def _numbers(column: Sequence[Any], places: Sequence[int]) -> list[float]:
    values = column if len(places) == len(column) else [column[place] for place in places]
    # What an older history kept may be larger than can be summed; it counts as not measured.
    return [
        value
        for value in values
        if (value.__class__ is float or value.__class__ is int) and -LARGEST <= value <= LARGEST
    ]


def _summed(column: Sequence[Any], places: Sequence[int]) -> Sum | None:
    values = _numbers(column, places)
    if not values:
        return None
    return Sum(len(values), math.fsum(values), min(values), max(values))


def widened(steps: Iterable[Step], seconds: int) -> list[Step]:
    """Put steps together into longer ones, of a multiple of their length [s]."""
    wide: dict[int, Step] = {}
    length = seconds * NANOSECONDS
    for step in steps:
        target = _at(wide, step.start_ns // length * length)
        target.records += step.records
        for name, total in step.values.items():
            target.values.setdefault(name, Sum()).merge(total)
    return [wide[start] for start in sorted(wide)]


def document_of(step: Step) -> dict[str, Any]:
    """Write a step as a document that can be kept: of each number mean, least, greatest, uncertainty, count, told."""
    return {
        "schema": "minute/1",
        "records": step.records,
        "values": {
            name: [
                _digits(total.mean, 8),
                total.least,
                total.greatest,
                None if total.uncertainty is None else _digits(total.uncertainty, 3),
                total.count,
                total.told,
            ]
            for name, total in step.values.items()
        },
    }


def step_from(start_ns: int, document: Mapping[str, Any]) -> Step:
    """Read what `document_of` wrote."""
    step = Step(start_ns, int(document["records"]))
    for name, (mean, least, greatest, spread, count, told) in document["values"].items():
        step.values[name] = Sum(count, mean * count, least, greatest, (spread or 0.0) * told, told)
    return step


def merged(older: Sequence[Kept], newer: Iterable[Kept]) -> list[Kept]:
    """Put two sets of records of a series together, in order, each once; of two of one key the newer counts."""
    found = {record.key: record for record in older}
    found.update((record.key, record) for record in newer)
    return [found[key] for key in sorted(found)]


def _at(steps: dict[int, Step], start_ns: int) -> Step:
    step = steps.get(start_ns)
    if step is None:
        step = steps[start_ns] = Step(start_ns)
    return step


def _digits(value: float, digits: int) -> float:
    return float(f"{value:.{digits}g}")
