"""
Areas and meters that a network document gets when it is taken over.

Where it stands: ``tresma network import`` calls `with_areas` and `with_meters` where asked to; other programs know
neither who looks after which part of a network nor what a meter sees.

Rules:

- A low-voltage area is what hangs on one MV/LV transformer (or on several that are joined below), switches standing
  normally; its head is the transformer's MV node. Everything above is the medium-voltage area.
- A concentrator has the customers whose service lines leave the same feeder bus, which is its head. A service line ends
  at a customer and serves nobody on the way. Loads that stand on the feeder itself stay with the low-voltage area.
"""

from collections.abc import Iterable

from msgspec.structs import replace

from algorithms.api.network_document import NetworkDocument
from algorithms.api.network_equipment import Transformer
from algorithms.api.network_operation import Area, Level, SwitchState, Terminal
from algorithms.api.network_quantities import MEDIUM_VOLTAGE
from device_catalog.network_files.imported import Ids, Remarks
from device_catalog.network_files.reach import Edge, edges, neighbours, reached


def with_areas(document: NetworkDocument, remarks: Remarks, *, concentrators: bool) -> NetworkDocument:
    """
    Divide a network into areas, instead of those it has.

    Parameters
    ----------
    document : NetworkDocument
    remarks : Remarks
    concentrators : bool
        Whether customers get concentrators, too.
    """
    ids = _ids_of(document)
    found = _low_voltage(document, ids, remarks)
    owned = {node for area in found for node in area.nodes}
    above = tuple(node.id for node in document.nodes if node.id not in owned)
    if above:
        name = ids.take("mv", "area")
        head = next((source.node for source in document.sources if source.node in above), above[0])
        found.insert(0, Area(id=name, level=Level.MV, nodes=above, head=head, radial=_radial(document, (*above, head))))
    if concentrators:
        found = _concentrators(document, found, ids, remarks)
    return replace(document, areas=tuple(found))


def with_meters(document: NetworkDocument) -> NetworkDocument:
    """Put a terminal at every load and generator, and at the low-voltage side of every MV/LV transformer."""
    ids = _ids_of(document)
    measured = {terminal.equipment for terminal in document.terminals}
    terminals = list(document.terminals)
    for one in _substations(document):
        if one.id not in measured:
            name = ids.take(f"meter-{one.id}", "terminal")
            terminals.append(Terminal(id=name, node=one.to_node, equipment=one.id, phases="ABC"))
    phases_at = {node.id: node.phases for node in document.nodes}
    for load in (*document.loads, *document.generators):
        if load.id in measured:
            continue
        letters = {letter for key in load.p for letter in key}
        phases = "".join(letter for letter in phases_at[load.node] if letter in letters or letter == "N")
        name = ids.take(f"meter-{load.id}", "terminal")
        terminals.append(Terminal(id=name, node=load.node, equipment=load.id, phases=phases))
    return replace(document, terminals=tuple(terminals))


def _ids_of(document: NetworkDocument) -> Ids:
    ids = Ids()
    lists = ("nodes", "sources", "line_types", "branches", "transformers", "loads", "generators", "switches")
    for name in (*lists, "protections", "terminals"):
        for element in getattr(document, name):
            ids.take(element.id, name)
    return ids


def _substations(document: NetworkDocument) -> list[Transformer]:
    voltage = {node.id: node.base_voltage for node in document.nodes}
    return [one for one in document.transformers if voltage[one.from_node] > MEDIUM_VOLTAGE >= voltage[one.to_node]]


def _low_voltage(document: NetworkDocument, ids: Ids, remarks: Remarks) -> list[Area]:
    voltage = {node.id: node.base_voltage for node in document.nodes}
    low = [edge for edge in edges(document, closed_only=True) if voltage[edge.from_node] <= MEDIUM_VOLTAGE]
    around = neighbours(document, low)
    taken: dict[str, str] = {}
    areas = []
    starts = [(one.to_node, one.from_node, one.id) for one in _substations(document)]
    starts += [(one.node, one.node, one.node) for one in document.sources if voltage[one.node] <= MEDIUM_VOLTAGE]
    for start, head, name in starts:
        if start in taken:
            why = f"its low-voltage side hangs together with that of {taken[start]}: they share an area"
            remarks.changed("transformer", why, [name])
            continue
        nodes = tuple(reached(around, [start]))
        taken |= dict.fromkeys(nodes, name)
        area = ids.take(f"lv-{name}", "area")
        radial = _radial(document, (*nodes, head))
        areas.append(Area(id=area, level=Level.LV, nodes=nodes, head=head, radial=radial))
    return areas


def _radial(document: NetworkDocument, inside: Iterable[str]) -> bool:
    """Tell whether an area has no loop, switches standing normally."""
    nodes = set(inside)
    within = [edge for edge in edges(document, closed_only=True) if {edge.from_node, edge.to_node} <= nodes]
    pairs = {(frozenset((edge.from_node, edge.to_node)), _phases(edge)) for edge in within}
    joined = {pair for pair, _ in pairs}
    if len(pairs) < len(within):
        return False
    around = neighbours(document, within)
    islands, left = 0, set(nodes)
    while left:
        left -= set(reached(around, [next(iter(left))]))
        islands += 1
    return len(joined) == len(nodes) - islands


def _phases(edge: Edge) -> str:
    """Give the phases that tell parallel pieces of equipment apart."""
    return edge.phases if isinstance(edge, Transformer) else ""


def _concentrators(document: NetworkDocument, areas: list[Area], ids: Ids, remarks: Remarks) -> list[Area]:
    around = neighbours(document, edges(document, closed_only=True))
    served = {one.node for one in (*document.loads, *document.generators)}
    kept = {end for one in document.transformers for end in (one.from_node, one.to_node)}
    kept |= {source.node for source in document.sources}
    found: list[Area] = []
    direct = []
    for area in areas:
        if area.level != Level.LV:
            found.append(area)
            continue
        behind = _service_lines(area, around, served, kept)
        given = {node for nodes in behind.values() for node in nodes}
        direct += [node for node in area.nodes if node in served - given]
        found.append(replace(area, nodes=tuple(node for node in area.nodes if node not in given)))
        for head, nodes in behind.items():
            name = ids.take(f"customers-{head}", "area")
            found.append(Area(id=name, level=Level.CONCENTRATOR, nodes=tuple(nodes), head=head))
    if direct:
        remarks.changed("loads on a feeder itself", "they stay with the low-voltage area", direct)
    if any(switch.normal == SwitchState.OPEN for switch in document.switches):
        remarks.assumed("areas", "switches stand as they do normally")
    return found


def _service_lines(
    area: Area, around: dict[str, list[tuple[str, Edge]]], served: set[str], kept: set[str]
) -> dict[str, list[str]]:
    """Give the nodes of service lines, by the feeder bus they leave."""
    own, behind = set(area.nodes), dict[str, list[str]]()
    for node in area.nodes:
        if node not in served or node in kept or len(around[node]) != 1:
            continue
        chain, at = [node], around[node][0][0]
        while at in own and at not in served | kept and len(around[at]) == 2:
            following = next(other for other, _ in around[at] if other != chain[-1])
            chain.append(at)
            at = following
        if at in own:
            behind.setdefault(at, []).extend(chain)
    return behind
