"""
What a right network document holds, for somebody who knows the network: sizes, lengths, customers, and what is unusual.

Where it stands: ``tresma network check`` prints it once `problems` finds nothing wrong, and ``import`` after it has
taken a network over. Pure.

Rule: *unusual* is not wrong. Each remark says what was found where, so that it takes a glance to tell a slip from a
peculiarity of the network.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

import msgspec

from algorithms.api.network_document import NetworkDocument
from algorithms.api.network_equipment import Branch, LineType, Node, Transformer
from algorithms.api.network_operation import Switch, SwitchState
from algorithms.api.network_quantities import MEDIUM_VOLTAGE

LARGE_UNBALANCE = 0.5
"""Share of the mean by which a phase's load may differ before it is remarked upon [1]."""

LEAST_FOR_UNBALANCE = 10_000.0
"""Load below which a difference between phases is no remark [W]."""

NAMED = 4
"""So many ids are named in a remark; the rest are counted."""

Edge = Branch | Transformer | Switch


class VoltageLevel(msgspec.Struct, frozen=True):
    """
    What there is at one nominal voltage.

    Attributes
    ----------
    voltage : float
        Line to line [V].
    nodes, customers : int
    length : float
        Of all lines [m].
    loads, generators : int
    p_loads, p_generators : float
        Expected beforehand, into the equipment [W].
    """

    voltage: float
    nodes: int
    customers: int
    length: float
    loads: int
    generators: int
    p_loads: float
    p_generators: float


class Summary(msgspec.Struct, frozen=True):
    """
    What a document holds.

    Attributes
    ----------
    network, name : str
    revision : int
    levels : tuple of VoltageLevel
        The highest voltage first.
    sources, transformers, branches, switches, open_switches, terminals : int
    vector_groups : dict
        How many transformers of each.
    areas : dict
        How many of each level.
    loops : int
        Independent loops, switches standing normally.
    tied : int
        Loops that closing every switch would add.
    unusual : tuple of str
    """

    network: str
    name: str
    revision: int
    levels: tuple[VoltageLevel, ...]
    sources: int
    transformers: int
    branches: int
    switches: int
    open_switches: int
    terminals: int
    vector_groups: dict[str, int]
    areas: dict[str, int]
    loops: int
    tied: int
    unusual: tuple[str, ...]


def summarise(document: NetworkDocument) -> Summary:
    """Sum up a document that has no problems."""
    closed = [switch for switch in document.switches if switch.normal == SwitchState.CLOSED]
    fixed: list[Edge] = [*document.branches, *document.transformers]
    loops = _loops(document, [*fixed, *closed])
    return Summary(
        network=document.network,
        name=document.name,
        revision=document.revision,
        levels=tuple(_levels(document)),
        sources=len(document.sources),
        transformers=len(document.transformers),
        branches=len(document.branches),
        switches=len(document.switches),
        open_switches=len(document.switches) - len(closed),
        terminals=len(document.terminals),
        vector_groups=dict(Counter(one.vector_group for one in document.transformers).most_common()),
        areas=dict(Counter(str(area.level) for area in document.areas)),
        loops=loops,
        tied=_loops(document, [*fixed, *document.switches]) - loops,
        unusual=tuple(_unusual(document)),
    )


def summary_lines(summary: Summary) -> Iterator[str]:
    """Write a summary for people."""
    name = f" ({summary.name})" if summary.name and summary.name != summary.network else ""
    yield f"{summary.network}{name}, revision {summary.revision}"
    for level in summary.levels:
        parts = [_count(level.nodes, "node"), f"{level.length / 1e3:.2f} km of lines"]
        if level.loads:
            parts.append(f"{_count(level.loads, 'load')} ({_power(level.p_loads)})")
        if level.generators:
            parts.append(f"{_count(level.generators, 'generator')} ({_power(abs(level.p_generators))} feeding)")
        if level.customers:
            parts.append(_count(level.customers, "customer"))
        yield f"  {_voltage(level.voltage)}: {', '.join(parts)}"
    groups = ", ".join(f"{count} x {group}" for group, count in summary.vector_groups.items())
    parts = [_count(summary.sources, "source"), _count(summary.branches, "line")]
    parts.append(_count(summary.transformers, "transformer") + (f" ({groups})" if groups else ""))
    parts.append(_count(summary.switches, "switch", "switches") + f", {summary.open_switches} open")
    yield f"  {', '.join(parts)}"
    areas = ", ".join(_count(count, f"{level} area") for level, count in summary.areas.items()) or "no areas"
    yield f"  {areas}; {_count(summary.terminals, 'measured terminal')}"
    tied = f", {summary.tied} more with all switches closed" if summary.tied else ""
    yield f"  {_count(summary.loops, 'loop') if summary.loops else 'radial'}{tied}"
    for remark in summary.unusual:
        yield f"  unusual: {remark}"


def _levels(document: NetworkDocument) -> Iterator[VoltageLevel]:
    at = {node.id: node.base_voltage for node in document.nodes}
    lengths: defaultdict[float, float] = defaultdict(float)
    for branch in document.branches:
        lengths[at[branch.from_node]] += branch.length
    for voltage in sorted(set(at.values()), reverse=True):
        loads = [load for load in document.loads if at[load.node] == voltage]
        generators = [generator for generator in document.generators if at[generator.node] == voltage]
        nodes = [node for node in document.nodes if node.base_voltage == voltage]
        yield VoltageLevel(
            voltage=voltage,
            nodes=len(nodes),
            customers=sum(node.customers for node in nodes),
            length=lengths[voltage],
            loads=len(loads),
            generators=len(generators),
            p_loads=sum(sum(load.p.values()) for load in loads),
            p_generators=sum(sum(generator.p.values()) for generator in generators),
        )


def _loops(document: NetworkDocument, edges: Iterable[Edge]) -> int:
    """Count independent loops of the phase that has most."""
    types = {line_type.id: line_type.phases for line_type in document.line_types}
    phases_of = [(edge, _phases(edge, types)) for edge in edges]
    return max(_loops_of(document, [edge for edge, phases in phases_of if phase in phases]) for phase in "ABC")


def _loops_of(document: NetworkDocument, edges: Iterable[Edge]) -> int:
    joined = _Joined(node.id for node in document.nodes)
    return sum(joined.join(edge.from_node, edge.to_node) for edge in edges)


def _phases(edge: Edge, types: dict[str, str]) -> str:
    return edge.phases or types.get(edge.line_type, "ABC") if isinstance(edge, Branch) else edge.phases


class _Joined:
    """Disjoint sets of nodes."""

    def __init__(self, nodes: Iterable[str]) -> None:
        self.first = {node: node for node in nodes}

    def root(self, node: str) -> str:
        while (above := self.first[node]) != node:
            self.first[node] = self.first[above]
            node = self.first[node]
        return node

    def join(self, one: str, other: str) -> bool:
        """Join two sets; tell whether they were one already."""
        one, other = self.root(one), self.root(other)
        self.first[other] = one
        return one == other


def _unusual(document: NetworkDocument) -> Iterator[str]:
    nodes = {node.id: node for node in document.nodes}
    yield from _dark(document)
    yield from _joining(document, nodes)
    yield from _transformers(document)
    yield from _lines(document)
    yield from _injections(document, nodes)
    yield from _owners(document)


def _dark(document: NetworkDocument) -> Iterator[str]:
    joined = _Joined(node.id for node in document.nodes)
    closed = [switch for switch in document.switches if switch.normal == SwitchState.CLOSED]
    edges: list[Edge] = [*document.branches, *document.transformers, *closed]
    for edge in edges:
        joined.join(edge.from_node, edge.to_node)
    fed = {joined.root(source.node) for source in document.sources}
    dark = [node.id for node in document.nodes if joined.root(node.id) not in fed]
    if dark:
        yield f"{_count(len(dark), 'node')} dead while switches stand normally: {_named(dark)}"


def _joining(document: NetworkDocument, nodes: dict[str, Node]) -> Iterator[str]:
    edges: list[Branch | Switch] = [*document.branches, *document.switches]
    uneven = [
        edge.id
        for edge in edges
        if not math.isclose(nodes[edge.from_node].base_voltage, nodes[edge.to_node].base_voltage, rel_tol=0.01)
    ]
    if uneven:
        yield f"nodes of different nominal voltage joined without a transformer by {_named(uneven)}"


def _transformers(document: NetworkDocument) -> Iterator[str]:
    loads: defaultdict[str, float] = defaultdict(float)
    for load in document.loads:
        loads[load.node] += sum(load.p.values())
    for transformer in document.transformers:
        if loads[transformer.to_node] > 1.2 * transformer.rated_power:
            power, rated = _power(loads[transformer.to_node]), transformer.rated_power / 1e3
            yield f"loads of {power} right below transformer {transformer.id} of {rated:g} kVA"
    floating = [
        one.id
        for one in document.transformers
        if one.vector_group.rstrip("0123456789").endswith("n") and one.to_grounding is None
    ]
    grounded = {node.id for node in document.nodes if node.grounding is not None}
    ends = {transformer.id: transformer.to_node for transformer in document.transformers}
    floating = [name for name in floating if ends[name] not in grounded]
    if floating:
        yield f"the star point at the lower voltage is not grounded at {_named(floating)}"


def _lines(document: NetworkDocument) -> Iterator[str]:
    types: dict[str, LineType] = {line_type.id: line_type for line_type in document.line_types}
    unrated = [
        branch.id
        for branch in document.branches
        if branch.rating is None and (branch.line_type not in types or types[branch.line_type].rating is None)
    ]
    if unrated:
        yield f"no rating stated for {_share(len(unrated), len(document.branches), 'line')}: {_named(unrated)}"
    levels = {node.id: node.base_voltage for node in document.nodes}
    long = [b.id for b in document.branches if levels[b.from_node] <= MEDIUM_VOLTAGE and b.length > 1000.0]
    if long:
        yield f"low-voltage lines of more than 1 km: {_named(long)}"
    unused = sorted(set(types) - {branch.line_type for branch in document.branches})
    if unused:
        yield f"line types that no line uses: {_named(unused)}"


def _injections(document: NetworkDocument, nodes: dict[str, Node]) -> Iterator[str]:
    nothing = [load.id for load in document.loads if not any(load.p.values()) and not any(load.q.values())]
    if nothing:
        yield f"loads of 0 W: {_named(nothing)}"
    feeding = [load.id for load in document.loads if sum(load.p.values()) < 0]
    if feeding:
        yield f"loads that feed: {_named(feeding)}"
    by_phase = Counter[str]()
    for load in document.loads:
        if nodes[load.node].base_voltage <= MEDIUM_VOLTAGE:
            by_phase.update({phase: int(p) for phase, p in load.p.items() if len(phase) == 1})
    total = sum(by_phase.values())
    if total > LEAST_FOR_UNBALANCE:
        worst = max("ABC", key=lambda phase: abs(by_phase[phase] - total / 3))
        if abs(by_phase[worst] - total / 3) > LARGE_UNBALANCE * total / 3:
            shares = ", ".join(f"{phase} {100 * by_phase[phase] / total:.0f} %" for phase in "ABC")
            yield f"low-voltage load is spread unevenly over the phases: {shares}"
    served = {one.node for one in (*document.loads, *document.generators)}
    idle = [node.id for node in document.nodes if node.customers and node.id not in served]
    if idle:
        yield f"customers without a load at {_named(idle)}"


def _owners(document: NetworkDocument) -> Iterator[str]:
    if document.areas:
        owned = {node for area in document.areas for node in area.nodes}
        free = [node.id for node in document.nodes if node.id not in owned]
        if free:
            yield f"{_count(len(free), 'node')} of no area: {_named(free)}"
        unassigned = [area.id for area in document.areas if not area.device]
        if unassigned and len(unassigned) < len(document.areas):
            yield f"areas that no device looks after: {_named(unassigned)}"
    placed = sum(node.position is not None for node in document.nodes)
    if 0 < placed < len(document.nodes):
        yield f"positions are known of {placed} of {len(document.nodes)} nodes only"


def _named(ids: list[str]) -> str:
    more = f" and {len(ids) - NAMED} more" if len(ids) > NAMED else ""
    return ", ".join(ids[:NAMED]) + more


def _share(count: int, of: int, word: str) -> str:
    return f"any {word}" if count == of else f"{count} of {_count(of, word)}"


def _count(number: int, word: str, plural: str = "") -> str:
    return f"{number} {word if number == 1 else plural or f'{word}s'}"


def _voltage(voltage: float) -> str:
    return f"{voltage / 1e3:g} kV" if voltage >= 1e3 else f"{voltage:g} V"


def _power(power: float) -> str:
    return f"{power / 1e6:.3g} MW" if abs(power) >= 1e6 else f"{power / 1e3:.3g} kW"
