"""
What an importer hands over: a network document, and plainly what it is not.

Where it stands: `pandapower_import` and `opendss_import` make an `Imported`; `areas` adds to it; ``tresma network
import`` writes its document and prints its remarks.

Rule: nothing is dropped in silence. Whatever the other program has and the document has not is a `Remark`, with the
number of pieces of equipment it is about.
"""

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum

import msgspec

from algorithms.api.network_document import NetworkDocument

LONGEST = 64
"""Longest id [characters]."""

NAMED = 5
"""So many ids are named in a remark; the rest are counted."""

_invalid = re.compile(r"[^A-Za-z0-9_-]+")


class RemarkKind(StrEnum):
    """What happened to something that the document cannot say, or that the file did not say."""

    LEFT_OUT = "left out"
    CHANGED = "changed"
    """It is in the document, but not quite as it was."""
    ASSUMED = "assumed"
    """The document needs what the file did not tell."""


class Remark(msgspec.Struct, frozen=True):
    """
    One thing that a document does not have from its file, or has of our own.

    Attributes
    ----------
    kind : RemarkKind
    what : str
        Such as ``line: temperature``.
    why : str
        What was done instead, or why not.
    names : tuple of str
        As the other program calls them; empty where it is about the whole network.
    """

    kind: RemarkKind
    what: str
    why: str
    names: tuple[str, ...] = ()

    def __str__(self) -> str:
        names = ", ".join(self.names[:NAMED])
        more = f" and {len(self.names) - NAMED} more" if len(self.names) > NAMED else ""
        of = f" ({names}{more})" if names else ""
        return f"{self.kind}: {self.what}{of}: {self.why}"


class Imported(msgspec.Struct, frozen=True):
    """
    A network taken over.

    Attributes
    ----------
    document : NetworkDocument
    origin : str
        The program, its version and the file.
    remarks : tuple of Remark
    voltages : mapping
        What that program found, by node: complex voltages to earth by conductor [V]; empty where it was not solved.
    """

    document: NetworkDocument
    origin: str
    remarks: tuple[Remark, ...] = ()
    voltages: Mapping[str, Mapping[str, complex]] = {}


class Difference(msgspec.Struct, frozen=True):
    """
    The largest difference of a voltage from what the other program found.

    Attributes
    ----------
    relative : float
        Magnitude of the complex difference, relative to nominal [1].
    place : str
        Conductor it is at, such as ``l1.A``.
    compared : int
        Voltages compared.
    """

    relative: float
    place: str
    compared: int


class Remarks:
    """Remarks as they come up, one for each kind of thing."""

    def __init__(self) -> None:
        self._names: dict[tuple[RemarkKind, str, str], list[str]] = {}

    def left_out(self, what: str, why: str, names: Iterable[str] = ()) -> None:
        """Say that something is not in the document."""
        self._add(RemarkKind.LEFT_OUT, what, why, names)

    def changed(self, what: str, why: str, names: Iterable[str] = ()) -> None:
        """Say that something is in the document otherwise than in the file."""
        self._add(RemarkKind.CHANGED, what, why, names)

    def assumed(self, what: str, why: str, names: Iterable[str] = ()) -> None:
        """Say that the document states what the file does not."""
        self._add(RemarkKind.ASSUMED, what, why, names)

    def found(self) -> tuple[Remark, ...]:
        """Give all, what is left out first."""
        order = list(RemarkKind)
        remarks = [Remark(kind, what, why, tuple(names)) for (kind, what, why), names in self._names.items()]
        return tuple(sorted(remarks, key=lambda remark: order.index(remark.kind)))

    def _add(self, kind: RemarkKind, what: str, why: str, names: Iterable[str]) -> None:
        self._names.setdefault((kind, what, why), []).extend(names)


class Ids:
    """
    Ids of one document: valid, unique, and as near to the names in the file as can be.

    Examples
    --------
    >>> ids = Ids()
    >>> ids.take("North road / 4", "bus"), ids.take("17", "bus"), ids.take("17", "line"), ids.take("", "line", "line-3")
    ('North-road-4', 'bus-17', 'line-17', 'line-3')
    """

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def take(self, name: str, kind: str, otherwise: str = "") -> str:
        """
        Give an id that is free.

        Parameters
        ----------
        name : str
            In the file.
        kind : str
            Set before names that are only numbers, or that something else has already.
        otherwise : str
            What to be called where there is no name.
        """
        wanted = _invalid.sub("-", name.strip()).strip("-") or otherwise or kind
        if wanted.isdigit():
            wanted = f"{kind}-{wanted}"
        wanted = wanted[:LONGEST]
        candidates = [wanted, f"{kind}-{wanted}"[:LONGEST]]
        number = 2
        while candidates[0] in self._taken:
            candidates.pop(0)
            if not candidates:
                candidates.append(f"{wanted[: LONGEST - 8]}-{number}")
                number += 1
        self._taken.add(candidates[0])
        return candidates[0]
