"""
Lines of an OpenDSS circuit as branches with matrices.

Where it stands: a part of `opendss_import`. The series impedance is that which OpenDSS solved with (the inverse of the
admittance between both ends), so that geometries, earth models and line codes need no rules of our own; the shunt
capacitance is the stated one, without the small one that OpenDSS adds against lines that hang in the air.

Rules:

- Node 4 is the neutral. A fourth conductor at node 0 is a neutral that is grounded solidly there; at both ends, it is
  reduced (Kron), which changes nothing.
- Lines of one line code that are built alike share a line type.
"""

import math
from collections.abc import Sequence

import numpy as np

from algorithms.api.network_equipment import Branch, LineType, Matrix
from algorithms.api.network_tables import Complexes, Floats
from device_catalog.network_files.imported import Ids, Remarks
from device_catalog.network_files.opendss_engine import Element

METRES = {"mi": 1609.344, "kft": 304.8, "km": 1000.0, "m": 1.0, "ft": 0.3048, "in": 0.0254, "cm": 0.01, "mm": 0.001}
"""One unit of length in metres."""

LETTERS = {1: "A", 2: "B", 3: "C", 4: "N"}
"""Conductors by OpenDSS node."""

UNLIKELY_PER_METRE = 0.005
"""A line without a unit of length and with more than that for each unit is in km, not in m [ohm]."""


class Conductors:
    """
    Which conductors a line has, and how they stand in OpenDSS's order.

    Attributes
    ----------
    phases : str
        In the document's order.
    order : list of int
        Place of each in OpenDSS's matrices.
    grounded : tuple of bool
        Whether the neutral ends in earth, at both ends.
    """

    def __init__(self, nodes: Sequence[Sequence[int]]) -> None:
        first, second = nodes
        kept = [place for place, pair in enumerate(zip(first, second, strict=True)) if pair != (0, 0)]
        letters = {}
        for place in kept:
            one, other = first[place], second[place]
            if one != other and {one, other} != {0, 4}:
                raise ValueError(f"node {one} at one end, {other} at the other")
            letter = LETTERS.get(max(one, other))
            if letter is None:
                raise ValueError(f"a conductor at node {max(one, other)}")
            letters[letter] = place
        if not letters or len(letters) != len(kept):
            raise ValueError("conductors that are not those of phases A, B, C and a neutral")
        self.phases = "".join(letter for letter in "ABCN" if letter in letters)
        self.order = [letters[letter] for letter in self.phases]
        neutral = letters.get("N")
        self.grounded = tuple(neutral is not None and end[neutral] == 0 for end in nodes)


def series_impedance(element: Element, conductors: Conductors) -> Complexes:
    """Give the series impedance that OpenDSS solved with, or states for what stands open, shape (n, n) [ohm]."""
    if any(element.opened):
        stated = _stated(element, "rmatrix") + 1j * _stated(element, "xmatrix")
        whole: Complexes = stated[np.ix_(conductors.order, conductors.order)]
        return whole
    admittance = element.admittance()
    half = len(admittance) // 2
    between = -admittance[:half, half:][np.ix_(conductors.order, conductors.order)]
    impedance = np.asarray(np.linalg.inv(between), dtype=complex)
    symmetric: Complexes = (impedance + impedance.T) / 2
    return symmetric


def _stated(element: Element, name: str) -> Floats:
    """Give a matrix that the file states, for the whole length, shape (n, n)."""
    rows = [row.split() for row in element.text(name).strip("[]() ").replace(",", " ").split("|")]
    matrix = np.zeros((len(rows), len(rows)))
    for index, row in enumerate(rows):
        for column, value in enumerate(row[: index + 1]):
            matrix[index, column] = matrix[column, index] = float(value)
    whole: Floats = matrix * element.number("length")
    return whole


class Lines:
    """
    Line types and branches of one circuit.

    Parameters
    ----------
    frequency : float
        [Hz]
    ids : Ids
    remarks : Remarks
    """

    def __init__(self, frequency: float, ids: Ids, remarks: Remarks) -> None:
        self.types: list[LineType] = []
        self._omega = 2 * math.pi * frequency
        self._ids = ids
        self._remarks = remarks
        self._known: dict[tuple[str, str], list[tuple[Complexes, Floats, str]]] = {}

    def branch(self, element: Element, name: str, ends: tuple[str, str], conductors: Conductors) -> Branch:
        """Give the branch of a line."""
        impedance = series_impedance(element, conductors)
        length = self._length(element, float(np.abs(np.diag(impedance)).max()))
        shunt = self._capacitance(element, conductors) * self._omega
        rating = element.number("normamps")
        rated = rating if rating >= 2.0 else None
        return Branch(
            id=name,
            name=element.name if element.name != name else "",
            from_node=ends[0],
            to_node=ends[1],
            length=length,
            line_type=self._type(element, conductors.phases, impedance / length, shunt / length),
            rating=rated,
        )

    def _length(self, element: Element, impedance: float) -> float:
        length, unit = element.number("length"), element.text("units").lower()
        if unit in METRES:
            return length * METRES[unit]
        factor = 1e3 if impedance / length > UNLIKELY_PER_METRE else 1.0
        why = f"not in the file: taken as {'km' if factor > 1 else 'm'}, after their impedance"
        self._remarks.assumed("unit of lengths", why, [element.name])
        return length * factor

    def _capacitance(self, element: Element, conductors: Conductors) -> Floats:
        """Give what the file states, for the whole length [F]."""
        matrix = _stated(element, "cmatrix") * 1e-9
        found: Floats = matrix[np.ix_(conductors.order, conductors.order)]
        return found

    def _type(self, element: Element, phases: str, z: Complexes, y: Floats) -> str:
        code = element.text("linecode") or element.text("geometry")
        known = self._known.setdefault((code.lower(), phases), [])
        for known_z, known_y, name in known:
            if np.allclose(z, known_z, rtol=1e-9, atol=0) and np.allclose(y, known_y, rtol=1e-9, atol=0):
                return name
        name = self._ids.take(f"{code or element.name}-{phases}", "type")
        known.append((z, y, name))
        self.types.append(
            LineType(
                id=name,
                name=code,
                phases=phases,
                r=as_rows(z.real),
                x=as_rows(z.imag),
                b=as_rows(y) if y.any() else None,
            )
        )
        return name


def as_rows(matrix: Floats) -> Matrix:
    """Write a matrix as a document has it."""
    return tuple(tuple(float(value) for value in row) for row in matrix)
