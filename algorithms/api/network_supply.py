"""
Which nodes each area of a network supplies as the switches stand, and by which way they hang on a source.

Where it stands: below `network_area`, which cuts areas out by it. Pure, and without numpy.

Rules: what conducts feeds downwards only, from an area to those whose heads it owns; nobody feeds a dark feeder through
the transformers of its customers. An area supplies what hangs on its head at its own level, also nodes of other areas.
What is dark stays with its owner.
"""

from collections import deque
from functools import cached_property

from algorithms.api.network_connections import Edge, IsClosed, edges, live, stands_normally
from algorithms.api.network_document import NetworkDocument, SwitchStates
from algorithms.api.network_equipment import Source
from algorithms.api.network_operation import Area, Level, Switch, SwitchState

_levels = tuple(Level)

_Ways = dict[str, tuple[Edge, str] | None]


class Supply:
    """
    A network with its switches as they stand.

    Parameters
    ----------
    document : NetworkDocument
    states : SwitchStates or None
        All normally where None.

    Attributes
    ----------
    joints : dict
        For each node what joins it to another: the element, the other node, the phases.
    owner : dict
        The area that owns a node.
    """

    def __init__(self, document: NetworkDocument, states: SwitchStates | None) -> None:
        self._document = document
        self._closed: IsClosed = stands_normally
        if states is not None:
            self._closed = lambda switch: states.states.get(switch.id) == SwitchState.CLOSED
        self.owner = {node: area for area in document.areas for node in area.nodes}
        self.joints: dict[str, list[tuple[Edge, str, str]]] = {node.id: [] for node in document.nodes}
        for _, edge, phases in edges(document):
            self.joints[edge.from_node].append((edge, edge.to_node, phases))
            self.joints[edge.to_node].append((edge, edge.from_node, phases))
        self._headed: dict[str, list[Area]] = {}
        for area in document.areas:
            self._headed.setdefault(area.head, []).append(area)
        self._reached: dict[str, tuple[set[str], list[str]]] = {}

    def conducts(self, edge: Edge) -> bool:
        """Tell whether an element conducts."""
        return not isinstance(edge, Switch) or self._closed(edge)

    def reach(self, area: Area) -> tuple[set[str], list[str]]:
        """Give the nodes of an area as it hangs together now, and its boundary, the head first."""
        found = self._reached.get(area.id)
        if found is not None:
            return found
        own, inside, boundary = set(area.nodes), set[str](), dict[str, None]()
        if area.head in own:
            ahead = deque(node for node in (area.head, *(s.node for s in self._document.sources)) if node in own)
        else:
            boundary[area.head] = None
            fed = self.joints[area.head] if area.head in self._ways else ()
            ahead = deque(other for edge, other, _ in fed if other in own and self.conducts(edge))
        while ahead:
            node = ahead.popleft()
            if node in inside:
                continue
            inside.add(node)
            for edge, other, _ in self.joints[node]:
                if other in inside or not self.conducts(edge):
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
        ahead = deque(node for node in dark if any(other in there for _, other, _ in self.joints[node]))
        while ahead:
            node = ahead.popleft()
            if node not in found:
                found.add(node)
                ahead.extend(other for _, other, _ in self.joints[node] if other in dark)
        return found

    def below(self, inside: set[str]) -> list[Area]:
        """Give the areas directly below those nodes, and supplied from there at present."""
        return [
            area
            for node in inside
            for area in self._headed.get(node, ())
            if self.owner.get(node) is not area and self.phases_at_head(area)
        ]

    def phases_at_head(self, area: Area) -> str:
        """Give the phases by which an area hangs on its head at present."""
        inside, _ = self.reach(area)
        phases = {
            phase
            for edge, other, stated in self.joints[area.head]
            if other in inside and self.conducts(edge)
            for phase in live(stated)
        }
        return "".join(phase for phase in "ABC" if phase in phases)

    def way_to(self, node: str) -> tuple[Source, list[tuple[Edge, bool]]]:
        """
        Give the source that a node hangs on and the way of the fewest elements from there to it.

        Where the node is dark at present, it is a way that switches could make. Each element comes with whether it is
        passed from its `from_node`.
        """
        tree = self._ways if node in self._ways else self._possible_ways
        way = []
        while (step := tree[node]) is not None:
            edge, nearer = step
            way.append((edge, edge.from_node == nearer))
            node = nearer
        source = next(one for one in self._document.sources if one.node == node)
        return source, way[::-1]

    def _is_above(self, other: str, node: str) -> bool:
        """Tell whether `other` belongs to the area that feeds the one of `node`."""
        one, here = self.owner.get(other), self.owner.get(node)
        if one is None or here is None or one is here:
            return False
        return _levels.index(one.level) > _levels.index(here.level) or self.owner.get(here.head) is one

    def _is_beside(self, other: str, node: str, area: Area) -> bool:
        """Tell whether `other` belongs to what the area supplies at its own level."""
        one, here = self.owner.get(other), self.owner.get(node, area)
        if one is None or one is area:
            return True
        if other not in self._ways:  # nobody supplies what is dark: its owner keeps it
            return False
        return one is here or (one.level is area.level and self.owner.get(one.head) is not here)

    @cached_property
    def _ways(self) -> _Ways:
        return self._ways_from_sources(conducting=True)

    @cached_property
    def _possible_ways(self) -> _Ways:
        return self._ways_from_sources(conducting=False)

    def _ways_from_sources(self, *, conducting: bool) -> _Ways:
        """Give, for each node, the last step of the way of the fewest elements from a source; none at the source."""
        ways: _Ways = {source.node: None for source in self._document.sources}
        ahead = deque(ways)
        while ahead:
            node = ahead.popleft()
            for edge, other, _ in self.joints[node]:
                backwards = conducting and self._is_above(other, node)
                if other not in ways and not backwards and (self.conducts(edge) or not conducting):
                    ways[other] = edge, node
                    ahead.append(other)
        return ways
