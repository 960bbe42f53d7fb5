"""
The part of a network that one agent needs, cut out of its document: `area_of`.

Where it stands: the catalog cuts an area for each agent and tells only those whose part changed; the agent hands it to
its algorithms as ``Context.network``. Pure, and without numpy. `network_equivalent` has what stands for the rest.

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

from collections import deque
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import TypeVar
from zlib import crc32

import msgspec

from algorithms.api.errors import NetworkError, Problem, shortened
from algorithms.api.network_connections import Edge, IsClosed, Joined, edges, live, stands_normally
from algorithms.api.network_document import NetworkDocument, SwitchStates
from algorithms.api.network_equipment import Branch, Element, Generator, Load, Source, Transformer
from algorithms.api.network_equivalent import equivalent_load, equivalent_source
from algorithms.api.network_operation import Area, Level, Switch, SwitchState, Terminal

_replace = msgspec.structs.replace
_levels = tuple(Level)

_Ways = dict[str, tuple[Edge, str] | None]

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
        self._closed: IsClosed = stands_normally
        if states is not None:
            self._closed = lambda switch: states.states.get(switch.id) == SwitchState.CLOSED
        self._nodes = {node.id: node for node in document.nodes}
        self._areas = {area.id: area for area in document.areas}
        self._owner = {node: area for area in document.areas for node in area.nodes}
        self._at: dict[str, list[tuple[Edge, str, str]]] = {node.id: [] for node in document.nodes}
        for _, edge, phases in edges(document):
            self._at[edge.from_node].append((edge, edge.to_node, phases))
            self._at[edge.to_node].append((edge, edge.from_node, phases))
        self._on_node: dict[str, list[Load]] = {}
        for load in (*document.loads, *document.generators):
            self._on_node.setdefault(load.node, []).append(load)
        self._headed: dict[str, list[Area]] = {}
        for area in document.areas:
            self._headed.setdefault(area.head, []).append(area)
        self._metered: dict[str, list[Terminal]] = {}
        for terminal in document.terminals:
            self._metered.setdefault(terminal.node, []).append(terminal)
        self._switches = {switch.id: switch for switch in document.switches}
        self._line_types = {line_type.id: line_type for line_type in document.line_types}
        lists = (*document.nodes, *document.line_types, *document.loads, *document.generators, *document.terminals)
        order = (*lists, *(edge for _, edge, _ in edges(document)), *document.areas)
        self._position = {element.id: position for position, element in enumerate(order)}
        self._reached: dict[str, tuple[set[str], list[str]]] = {}

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
        inside, boundary = self._reach(area)
        part = self._equipment(area, inside, boundary)
        loads = {one.id: self._load_of(one) for one in self._below(inside)}
        below = [_replace(self._areas[name], nodes=()) for name, load in loads.items() if load is not None]
        # An area shows itself by having nodes, also while all of its own are supplied from elsewhere.
        own = _replace(area, nodes=tuple(node.id for node in part.nodes if node.id in inside) or (area.head,))
        if own.radial and _has_loop(part, own):
            own = _replace(own, radial=False)
        equivalents = tuple(load for load in loads.values() if load is not None)
        return _replace(part, areas=(own, *below), loads=(*part.loads, *equivalents))

    # ---- who hangs on what

    def _reach(self, area: Area) -> tuple[set[str], list[str]]:
        """Give the nodes of an area as it hangs together now, and its boundary, the head first."""
        found = self._reached.get(area.id)
        if found is not None:
            return found
        own, inside, boundary = set(area.nodes), set[str](), dict[str, None]()
        if area.head in own:
            ahead = deque(node for node in (area.head, *(s.node for s in self.document.sources)) if node in own)
        else:
            boundary[area.head] = None
            fed = self._at[area.head] if area.head in self._ways else ()
            ahead = deque(other for edge, other, _ in fed if other in own and self._conducts(edge))
        while ahead:
            node = ahead.popleft()
            if node in inside:
                continue
            inside.add(node)
            for edge, other, _ in self._at[node]:
                if other in inside or not self._conducts(edge):
                    continue
                if other not in own and self._is_above(other, node):
                    if other in self._ways:  # dark, it feeds nothing
                        boundary[other] = None
                elif self._is_beside(other, node, area):
                    ahead.append(other)
        inside |= self._dark_beside(own, inside | boundary.keys())
        inside -= boundary.keys()
        self._reached[area.id] = inside, list(boundary)
        return self._reached[area.id]

    def _dark_beside(self, own: set[str], there: set[str]) -> set[str]:
        """Give the own nodes that nothing feeds at present, and that switches could join to what is there."""
        dark, found = {node for node in own if node not in self._ways}, set[str]()
        ahead = deque(node for node in dark if any(other in there for _, other, _ in self._at[node]))
        while ahead:
            node = ahead.popleft()
            if node not in found:
                found.add(node)
                ahead.extend(other for _, other, _ in self._at[node] if other in dark)
        return found

    def _conducts(self, edge: Edge) -> bool:
        return not isinstance(edge, Switch) or self._closed(edge)

    def _is_above(self, other: str, node: str) -> bool:
        """Tell whether `other` belongs to the area that feeds the one of `node`."""
        one, here = self._owner.get(other), self._owner.get(node)
        if one is None or here is None or one is here:
            return False
        return _levels.index(one.level) > _levels.index(here.level) or self._owner.get(here.head) is one

    def _is_beside(self, other: str, node: str, area: Area) -> bool:
        """Tell whether `other` belongs to what the area supplies at its own level."""
        one, here = self._owner.get(other), self._owner.get(node, area)
        if one is None or one is area:
            return True
        if other not in self._ways:  # nobody supplies what is dark: its owner keeps it
            return False
        return one is here or (one.level is area.level and self._owner.get(one.head) is not here)

    def _below(self, inside: set[str]) -> list[Area]:
        """Give the areas directly below those nodes, and supplied from there at present."""
        found = [
            area
            for node in inside
            for area in self._headed.get(node, ())
            if self._owner.get(node) is not area and self._fed_through_head(area)
        ]
        return self._ordered(found)

    def _fed_through_head(self, area: Area) -> str:
        """Give the phases by which an area hangs on its head at present."""
        inside, _ = self._reach(area)
        phases = {
            phase
            for edge, other, stated in self._at[area.head]
            if other in inside and self._conducts(edge)
            for phase in live(stated)
        }
        return "".join(phase for phase in "ABC" if phase in phases)

    def _load_of(self, area: Area) -> Load | None:
        inside, _ = self._reach(area)
        through = any(
            isinstance(edge, Transformer) and other in inside for node in (area.head, *inside) for edge, other, _ in
            self._at[node]
        )  # fmt: skip
        return equivalent_load(
            below_id(area.id),
            area.name or area.id,
            self._nodes[area.head],
            self._all_loads(area, set()),
            self._fed_through_head(area),
            evenly=through,
        )

    def _all_loads(self, area: Area, seen: set[str]) -> list[Load]:
        """Give the loads of an area and of those below it."""
        seen.add(area.id)
        inside, _ = self._reach(area)
        loads = [load for node in inside for load in self._on_node.get(node, ())]
        for one in self._below(inside):
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
            owner = self._owner.get(node)
            head = owner.head if owner is not None else ""
            for edge, other, _ in self._at[node]:
                if other in inside or (other in boundary and (self._conducts(edge) or other == head)):
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
        return switch is not None and not self._closed(switch)

    def _source_at(self, name: str) -> Source:
        """Make the equivalent source of a node: where it is dark at present, by a way that switches could make."""
        tree = self._ways if name in self._ways else self._possible_ways
        way, node = [], name
        while (step := tree[node]) is not None:
            edge, nearer = step
            way.append((edge, edge.from_node == nearer))
            node = nearer
        source = next(one for one in self.document.sources if one.node == node)
        identity = f"above-{name}"
        identity = identity if len(identity) <= 64 else f"{identity[:55]}-{crc32(name.encode()):08x}"
        return equivalent_source(identity, self._nodes[name], source, way[::-1], self._line_types)

    @cached_property
    def _ways(self) -> "_Ways":
        return self._ways_from_sources(conducting=True)

    @cached_property
    def _possible_ways(self) -> "_Ways":
        return self._ways_from_sources(conducting=False)

    def _ways_from_sources(self, *, conducting: bool) -> "_Ways":
        """
        Give, for each node, the last step of the way of the fewest elements from a source; none at the source.

        What conducts feeds downwards only: nobody feeds a dark feeder through the transformers of its customers.
        """
        ways: _Ways = {source.node: None for source in self.document.sources}
        ahead = deque(ways)
        while ahead:
            node = ahead.popleft()
            for edge, other, _ in self._at[node]:
                backwards = conducting and self._is_above(other, node)
                if other not in ways and not backwards and (self._conducts(edge) or not conducting):
                    ways[other] = edge, node
                    ahead.append(other)
        return ways


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
