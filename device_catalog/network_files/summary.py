"""
What a right network document holds, for somebody who knows the network: sizes, lengths, customers, and what is unusual.

Where it stands: ``tresma network check`` prints it once `problems` finds nothing wrong, and ``import`` after it has
taken a network over. Pure.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

import msgspec

from algorithms.api.network_document import NetworkDocument
from algorithms.api.network_equipment import Branch
from algorithms.api.network_operation import SwitchState
from device_catalog.network_files.reach import Edge, Joined
from device_catalog.network_files.unusual import unusual
from device_catalog.network_files.words import count, power_words, voltage_words


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
        unusual=tuple(unusual(document)),
    )


def summary_lines(summary: Summary) -> Iterator[str]:
    """Write a summary for people."""
    name = f" ({summary.name})" if summary.name and summary.name != summary.network else ""
    yield f"{summary.network}{name}, revision {summary.revision}"
    for level in summary.levels:
        parts = [count(level.nodes, "node"), f"{level.length / 1e3:.2f} km of lines"]
        if level.loads:
            parts.append(f"{count(level.loads, 'load')} ({power_words(level.p_loads)})")
        if level.generators:
            parts.append(f"{count(level.generators, 'generator')} ({power_words(abs(level.p_generators))} feeding)")
        if level.customers:
            parts.append(count(level.customers, "customer"))
        yield f"  {voltage_words(level.voltage)}: {', '.join(parts)}"
    groups = ", ".join(f"{number} x {group}" for group, number in summary.vector_groups.items())
    parts = [count(summary.sources, "source"), count(summary.branches, "line")]
    parts.append(count(summary.transformers, "transformer") + (f" ({groups})" if groups else ""))
    parts.append(count(summary.switches, "switch", "switches") + f", {summary.open_switches} open")
    yield f"  {', '.join(parts)}"
    areas = ", ".join(count(number, f"{level} area") for level, number in summary.areas.items()) or "no areas"
    yield f"  {areas}; {count(summary.terminals, 'measured terminal')}"
    tied = f", {summary.tied} more with all switches closed" if summary.tied else ""
    yield f"  {count(summary.loops, 'loop') if summary.loops else 'radial'}{tied}"
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
    joined = Joined(node.id for node in document.nodes)
    return sum(joined.join(edge.from_node, edge.to_node) for edge in edges)


def _phases(edge: Edge, types: dict[str, str]) -> str:
    return edge.phases or types.get(edge.line_type, "ABC") if isinstance(edge, Branch) else edge.phases
