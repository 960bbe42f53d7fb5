"""
What connects the nodes of a network document, phase by phase: edges, and loops among them.

Where it stands: below `network_problems`, `network_states` and `network_area`, which judge and cut documents. Pure, and
without numpy, so that a catalog and an agent can use it.
"""

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from algorithms.api.network_document import NetworkDocument
from algorithms.api.network_equipment import Branch, Transformer
from algorithms.api.network_operation import Area, Switch, SwitchState

Edge = Branch | Transformer | Switch
"""What joins two nodes."""

IsClosed = Callable[[Switch], bool]
"""Tells whether a switch conducts."""

Place = TypeVar("Place")


def stands_normally(switch: Switch) -> bool:
    """Tell whether a switch is normally closed."""
    return switch.normal == SwitchState.CLOSED


def live(phases: str) -> list[str]:
    """Give the phases without the neutral."""
    return [phase for phase in phases if phase in "ABC"]


class Joined(Generic[Place]):
    """
    Disjoint sets of places.

    >>> joined = Joined[str]()
    >>> joined.join("a", "b"), joined.join("b", "c"), joined.join("a", "c")
    (False, False, True)
    """

    def __init__(self) -> None:
        self.first: dict[Place, Place] = {}

    def root(self, place: Place) -> Place:
        """Give what stands for the set of a place."""
        while (above := self.first.setdefault(place, place)) != place:
            self.first[place] = self.first[above]
            place = self.first[place]
        return place

    def join(self, one: Place, other: Place) -> bool:
        """Join two sets; tell whether they were one already."""
        one, other = self.root(one), self.root(other)
        self.first[other] = one
        return one == other


def edges(document: NetworkDocument) -> Iterator[tuple[str, Edge, str]]:
    """Give all that joins two nodes: where it stands in the document, the element, its phases."""
    line_types = {line_type.id: line_type.phases for line_type in document.line_types}
    for branch in document.branches:
        yield f"branches[{branch.id}]", branch, branch.phases or line_types.get(branch.line_type, "")
    for transformer in document.transformers:
        yield f"transformers[{transformer.id}]", transformer, transformer.phases
    for switch in document.switches:
        yield f"switches[{switch.id}]", switch, switch.phases


def loops(document: NetworkDocument, is_closed: IsClosed = stands_normally) -> Iterator[tuple[str, Edge, Area]]:
    """Give what closes a loop in an area that is declared radial: where it stands, the element, the area."""
    radial = [area for area in document.areas if area.radial]
    places: dict[str, list[int]] = {}
    for number, area in enumerate(radial):
        for node in {*area.nodes, area.head}:
            places.setdefault(node, []).append(number)
    within: list[list[tuple[str, Edge, str]]] = [[] for _ in radial]
    for where, edge, phases in edges(document):
        if isinstance(edge, Switch) and not is_closed(edge):
            continue
        there = places.get(edge.to_node, ())
        for number in places.get(edge.from_node, ()):
            if number in there:
                within[number].append((where, edge, phases))
    for area, found in zip(radial, within, strict=True):
        joined = Joined[tuple[str, str]]()
        for where, edge, phases in found:
            closing = [phase for phase in live(phases) if joined.join((edge.from_node, phase), (edge.to_node, phase))]
            if closing:
                yield where, edge, area
