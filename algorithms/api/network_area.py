"""
The part of a network that one agent needs, cut out of its document: `area_of`.

Where it stands: the catalog cuts an area for each agent and tells only those whose part changed; the agent hands it to
its algorithms as ``Context.network``. `network_supply` says which nodes are an area's at present, `network_equivalent`
what stands for the rest. Pure, and without numpy.

What an area has:

- Its nodes: those it owns and is supplied with as the switches stand, and those of areas of its own level that hang on
  it at present. Nodes it owns that another area supplies at present are left out; dark ones stay.
- Its boundary: the nodes of the area above from which it is fed, its `head` first, each with an equivalent source.
- Equipment by the rule of `Area`: what joins two of its nodes, or one and the boundary. What an area below owns, such
  as the MV/LV transformer, is not there, nor what another area of its level is joined by, while that is open.
- The areas directly below: each as an `Area` without nodes, whose `head` is the node where it hands over its result,
  and as an equivalent load there, called `below_id`. One that hangs elsewhere at present is not there.
- Its own `Area` comes first, with the nodes it has now.
- Terminals where equipment of it is measured, or the voltage of one of its own nodes: no reading enters at two levels.
"""

from collections.abc import Iterable, Iterator
from typing import TypeVar
from zlib import crc32

import msgspec

from algorithms.api.errors import NetworkError, Problem, shortened
from algorithms.api.network_connections import Edge, Joined, edges, live, stands_normally
from algorithms.api.network_document import NetworkDocument, SwitchStates
from algorithms.api.network_equipment import Branch, Element, Generator, Load, Source, Transformer
from algorithms.api.network_equivalent import equivalent_load, equivalent_source
from algorithms.api.network_operation import Area, Switch, Terminal
from algorithms.api.network_supply import Supply

_replace = msgspec.structs.replace

AnyElement = TypeVar("AnyElement", bound=Element)


def area_of(document: NetworkDocument, area: str, states: SwitchStates | None = None) -> NetworkDocument:
    """
    Cut one area out of a network.

    Parameters
    ----------
    document : NetworkDocument
        Without problems.
    area : str
        Its id.
    states : SwitchStates or None
        Where the switches stand; all normally where None.

    Returns
    -------
    NetworkDocument
        Again without problems.

    Raises
    ------
    NetworkError
        When the network has no such area.
    """
    return Areas(document, states).cut(area)


def below_id(area: str) -> str:
    """
    Name the load that stands for an area below.

    >>> below_id("lv-7")
    'below-lv-7'
    """
    name = f"below-{area}"
    return name if len(name) <= 64 else f"{name[:55]}-{crc32(area.encode()):08x}"


def areas_below(areas: Iterable[Area]) -> tuple[Area, ...]:
    """Give, of the areas of a part that was cut, those directly below."""
    return tuple(area for area in areas if not area.nodes)


def edge_switches(document: NetworkDocument, part: NetworkDocument) -> tuple[str, ...]:
    """Name the switches that may change a part: those in it, and those that could join it to more of the network."""
    inside = {node.id for node in part.nodes}
    return tuple(switch.id for switch in document.switches if switch.from_node in inside or switch.to_node in inside)


class Areas:
    """
    A network ready to be cut.

    Parameters
    ----------
    document : NetworkDocument
    states : SwitchStates or None
    """

    def __init__(self, document: NetworkDocument, states: SwitchStates | None = None) -> None:
        self.document = document
        self._supply = Supply(document, states)
        self._nodes = {node.id: node for node in document.nodes}
        self._areas = {area.id: area for area in document.areas}
        self._on_node: dict[str, list[Load]] = {}
        for load in (*document.loads, *document.generators):
            self._on_node.setdefault(load.node, []).append(load)
        self._metered: dict[str, list[Terminal]] = {}
        for terminal in document.terminals:
            self._metered.setdefault(terminal.node, []).append(terminal)
        self._switches = {switch.id: switch for switch in document.switches}
        self._line_types = {line_type.id: line_type for line_type in document.line_types}
        lists = (*document.nodes, *document.line_types, *document.loads, *document.generators, *document.terminals)
        order = (*lists, *(edge for _, edge, _ in edges(document)), *document.areas)
        self._position = {element.id: position for position, element in enumerate(order)}

    def cut(self, name: str) -> NetworkDocument:
        """
        Cut out one area; see `area_of`.

        Raises
        ------
        NetworkError
        """
        area = self._areas.get(name)
        if area is None:
            known = shortened(", ".join(self._areas) or "none at all", 300)
            raise NetworkError([Problem("area", f"an area of {self.document.network}: {known}", shortened(name))])
        inside, boundary = self._supply.reach(area)
        part = self._equipment(area, inside, boundary)
        loads = {one.id: self._load_of(one) for one in self._ordered(self._supply.below(inside))}
        below = [_replace(self._areas[name], nodes=()) for name, load in loads.items() if load is not None]
        # An area shows itself by having nodes, also while all of its own are supplied from elsewhere.
        own = _replace(area, nodes=tuple(node.id for node in part.nodes if node.id in inside) or (area.head,))
        if own.radial and _has_loop(part, own):
            own = _replace(own, radial=False)
        equivalents = tuple(load for load in loads.values() if load is not None)
        return _replace(part, areas=(own, *below), loads=(*part.loads, *equivalents))

    def _load_of(self, area: Area) -> Load | None:
        inside, _ = self._supply.reach(area)
        through = any(
            isinstance(edge, Transformer) and other in inside for node in (area.head, *inside) for edge, other, _ in
            self._supply.joints[node]
        )  # fmt: skip
        return equivalent_load(
            below_id(area.id),
            area.name or area.id,
            self._nodes[area.head],
            self._all_loads(area, set()),
            self._supply.phases_at_head(area),
            evenly=through,
        )

    def _all_loads(self, area: Area, seen: set[str]) -> list[Load]:
        """Give the loads of an area and of those below it."""
        seen.add(area.id)
        inside, _ = self._supply.reach(area)
        loads = [load for node in inside for load in self._on_node.get(node, ())]
        for one in self._ordered(self._supply.below(inside)):
            if one.id not in seen:
                loads += self._all_loads(one, seen)
        return self._ordered(loads)

    # ---- what is cut out

    def _ordered(self, elements: Iterable[AnyElement]) -> list[AnyElement]:
        """Put elements in the order of the document, each once."""
        found = {element.id: element for element in elements}
        return sorted(found.values(), key=lambda element: self._position[element.id])

    def _joints(self, inside: set[str], boundary: list[str]) -> list[Edge]:
        """Give what joins nodes of the area, or one and its boundary; what is open leads to its own head only."""
        kept: list[Edge] = []
        for node in inside:
            owner = self._supply.owner.get(node)
            head = owner.head if owner is not None else ""
            for edge, other, _ in self._supply.joints[node]:
                if other in inside or (other in boundary and (self._supply.conducts(edge) or other == head)):
                    kept.append(edge)
        return self._ordered(kept)

    def _equipment(self, area: Area, inside: set[str], boundary: list[str]) -> NetworkDocument:
        joints = self._joints(inside, boundary)
        there = self._ordered(self._nodes[node] for node in (*inside, *boundary))
        injections = self._ordered(load for node in inside for load in self._on_node.get(node, ()))
        sources = tuple(source for source in self.document.sources if source.node in inside)
        equivalents = [self._source_at(node) for node in boundary]
        if not sources and not equivalents:  # nothing feeds it at present, nor does it know from where
            equivalents = [self._source_at(area.head)]
        branches = tuple(edge for edge in joints if isinstance(edge, Branch))
        switches = tuple(edge for edge in joints if isinstance(edge, Switch))
        own = {element.id for element in (*joints, *injections, *sources)}
        line_types = {branch.line_type for branch in branches if branch.line_type}
        return _replace(
            self.document,
            name=area.name or self.document.name,
            nodes=tuple(node if node.id in inside else _replace(node, customers=0) for node in there),
            sources=(*sources, *equivalents),
            line_types=tuple(self._ordered(self._line_types[name] for name in line_types)),
            branches=branches,
            transformers=tuple(edge for edge in joints if isinstance(edge, Transformer)),
            loads=tuple(load for load in injections if not isinstance(load, Generator)),
            generators=tuple(load for load in injections if isinstance(load, Generator)),
            switches=switches,
            protections=tuple(one for one in self.document.protections if one.switch in own),
            terminals=tuple(self._terminals([*inside, *boundary], inside, own)),
            areas=(),
        )

    def _terminals(self, nodes: Iterable[str], inside: set[str], own: set[str]) -> Iterator[Terminal]:
        for terminal in self._ordered(one for node in nodes for one in self._metered.get(node, ())):
            if terminal.equipment in own or (not terminal.equipment and terminal.node in inside):
                yield terminal
            elif terminal.node in inside and self._is_open(terminal.equipment):
                yield _replace(terminal, equipment="")  # of a tie that is open, and not here, the voltage counts

    def _is_open(self, name: str) -> bool:
        switch = self._switches.get(name)
        return switch is not None and not self._supply.conducts(switch)

    def _source_at(self, name: str) -> Source:
        """Make the equivalent source of a node of the boundary."""
        source, way = self._supply.way_to(name)
        identity = f"above-{name}"
        identity = identity if len(identity) <= 64 else f"{identity[:55]}-{crc32(name.encode()):08x}"
        return equivalent_source(identity, self._nodes[name], source, way, self._line_types)


def _has_loop(part: NetworkDocument, area: Area) -> bool:
    """Tell whether a part that is more than its own area's nodes has a loop, its switches standing normally."""
    inside, joined = {*area.nodes, area.head}, Joined[tuple[str, str]]()
    for _, edge, phases in edges(part):
        if isinstance(edge, Switch) and not stands_normally(edge):
            continue
        if edge.from_node in inside and edge.to_node in inside:
            closing = [joined.join((edge.from_node, phase), (edge.to_node, phase)) for phase in live(phases)]
            if any(closing):
                return True
    return False
