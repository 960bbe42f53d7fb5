"""
How rules about documents are written: each is one line, and whatever it finds is collected.

Used by everything in this folder that judges what a document says. Pure.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from algorithms.api.errors import Problem, shortened
from device_catalog.contract.shape import UNITS

IDENTIFIER = "letters, digits, _ and - (at most 64)"
"""What `is_identifier` expects, in words."""


class Problems:
    """
    Collects problems; a rule is one line, and tells whether it holds so that others can build on it.

    Attributes
    ----------
    found : list of Problem
    """

    def __init__(self) -> None:
        self.found: list[Problem] = []

    def expect(self, right: bool, where: str, expected: str, found: object, remedy: str = "") -> bool:
        """Expect something to be right; `expected` and `remedy` are words, `found` is what is there."""
        if not right:
            self.found.append(Problem(where, expected, shortened(found), remedy))
        return right

    def number(self, value: float, where: str, minimum: float, maximum: float, *, above: bool = False) -> bool:
        """Expect a finite number from `minimum` (or above it) to `maximum`, in the unit that the field has."""
        unit = UNITS.get(where.rpartition(".")[2], "1")
        right = math.isfinite(value) and minimum <= value <= maximum and not (above and value == minimum)
        least = f"above {minimum:g} and at most {maximum:g}" if above else f"from {minimum:g} to {maximum:g}"
        return self.expect(right, where, f"a number {least} [{unit}]", value)

    def unique(self, values: Iterable[object], where: str, what: str) -> None:
        """Expect no value twice."""
        seen: set[object] = set()
        for value in values:
            self.expect(value not in seen, where, f"each {what} once", f"{shortened(value)} twice", "remove one")
            seen.add(value)

    def free(self, document: Mapping[str, Any], where: str) -> None:
        """Judge settings whose names and types only the device knows: what JSON cannot say is refused."""
        pending: list[tuple[Any, str, int]] = [(document, where, 0)]
        while pending:
            value, path, depth = pending.pop()
            if depth > 16:
                self.expect(False, path, "at most 16 levels", "more")
            elif isinstance(value, Mapping):
                pending.extend((item, f"{path}.{shortened(str(key), 40)}", depth + 1) for key, item in value.items())
            elif isinstance(value, list | tuple):
                pending.extend((item, f"{path}[{index}]", depth + 1) for index, item in enumerate(value))
            elif isinstance(value, float):
                self.expect(math.isfinite(value), path, "a finite number", value)
            else:
                self.expect(
                    value is None or isinstance(value, bool | int | str),
                    path,
                    "text, a number, true, false, a list or a table",
                    type(value).__name__,
                )
