"""
What is unusual about a right network document.

Where it stands: a part of `summary`. Pure.

Rule: *unusual* is not wrong. Each remark says what was found where, so that it takes a glance to tell a slip from a
peculiarity of the network.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator

from algorithms.api.network_document import NetworkDocument
from algorithms.api.network_equipment import Branch, LineType, Node
from algorithms.api.network_operation import Switch
from algorithms.api.network_quantities import MEDIUM_VOLTAGE
from device_catalog.network_files.reach import edges, neighbours, reached
from device_catalog.network_files.words import count, power_words

LARGE_UNBALANCE = 0.5
"""Share of the mean by which a phase's load may differ before it is remarked upon [1]."""

LEAST_FOR_UNBALANCE = 10_000.0
"""Load below which a difference between phases is no remark [W]."""

NAMED = 4
"""So many ids are named in a remark; the rest are counted."""


def unusual(document: NetworkDocument) -> Iterator[str]:
    """Give what is unusual about a document that has no problems."""
    nodes = {node.id: node for node in document.nodes}
    yield from _dark(document)
    yield from _joining(document, nodes)
    yield from _transformers(document)
    yield from _lines(document)
    yield from _injections(document, nodes)
    yield from _owners(document)


def _dark(document: NetworkDocument) -> Iterator[str]:
    around = neighbours(document, edges(document, closed_only=True))
    fed = reached(around, dict.fromkeys(source.node for source in document.sources))
    dark = [node.id for node in document.nodes if node.id not in fed]
    if dark:
        yield f"{count(len(dark), 'node')} dead while switches stand normally: {_named(dark)}"


def _joining(document: NetworkDocument, nodes: dict[str, Node]) -> Iterator[str]:
    joining: list[Branch | Switch] = [*document.branches, *document.switches]
    uneven = [
        edge.id
        for edge in joining
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
            power, rated = power_words(loads[transformer.to_node]), transformer.rated_power / 1e3
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
            yield f"{count(len(free), 'node')} of no area: {_named(free)}"
        unassigned = [area.id for area in document.areas if not area.device]
        if unassigned and len(unassigned) < len(document.areas):
            yield f"areas that no device looks after: {_named(unassigned)}"
    placed = sum(node.position is not None for node in document.nodes)
    if 0 < placed < len(document.nodes):
        yield f"positions are known of {placed} of {len(document.nodes)} nodes only"


def _named(ids: list[str]) -> str:
    more = f" and {len(ids) - NAMED} more" if len(ids) > NAMED else ""
    return ", ".join(ids[:NAMED]) + more


def _share(number: int, of: int, word: str) -> str:
    return f"any {word}" if number == of else f"{number} of {count(of, word)}"
