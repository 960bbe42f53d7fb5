"""
Network documents that tests and benchmarks of grid algorithms share, from 13 to 10,000 nodes.

The European low-voltage feeder (IEEE PES Test Feeder Working Group; as it comes with pandapower, with which the first
call costs about 5 s) and CIGRE's medium-voltage grid (Technical Brochure 575, 2014) are taken over by tresma's own
importer, whose tests compare it with pandapower's solution. The synthetic feeders need nothing but this file.

Every grid has a source, loads with expected powers, a terminal at its head and one at every load: of all three phases
(``three-phase``), or of the one phase that the load is on (``single-phase``). None has areas: a test adds its own.
"""

import functools
import math
from random import Random
from typing import Literal

from msgspec.structs import replace

from algorithms.api.network_document import NetworkDocument
from algorithms.api.network_equipment import (
    Branch,
    Grounding,
    GroundingKind,
    LineType,
    Load,
    Node,
    SequenceImpedance,
    Source,
    Transformer,
)
from algorithms.api.network_operation import Terminal

Metering = Literal["three-phase", "single-phase"]

_fields = ("r1", "x1", "r0", "x0", "b1", "b0")


@functools.cache
def european_lv(metering: Metering = "single-phase") -> NetworkDocument:
    """Give the European low-voltage feeder: 906 nodes at 416 V, one at 11 kV, 55 customers, 800 kVA, Dyn1."""
    from device_catalog.network_files.pandapower_import import read_example

    document = read_example("ieee_european_lv_asymmetric").document
    # A customer who draws nothing at the instant of the file would be no load to estimate.
    pick = Random(7)
    loads = [replace(load, p=dict.fromkeys(load.p, pick.uniform(200.0, 2500.0))) for load in document.loads]
    loads = [replace(load, q={phase: 0.3 * p for phase, p in load.p.items()}) for load in loads]
    return _metered(replace(document, loads=tuple(loads)), metering, document.transformers[0].to_node)


@functools.cache
def european_lv_contracted(metering: Metering = "single-phase") -> NetworkDocument:
    """Give the same without the nodes that only join two lines: where anything hangs or branches."""
    return contracted(european_lv(metering))


@functools.cache
def cigre_mv() -> NetworkDocument:
    """
    Give CIGRE's medium-voltage grid at 20 kV: both feeders from one busbar, radial, 13 nodes, 11 loads of three phases.

    Lines whose switches stand open are left out, and the substation is a source. Loads are uneven by phase (up to
    15 %), so that it is a case for three phases; the zero sequence of its lines is that which the importer assumes.
    """
    from device_catalog.network_files.pandapower_import import read_example

    document = read_example("create_cigre_network_mv").document
    busbar, pick = "Bus-1", Random(11)
    same = {"Bus-12": busbar}
    for switch in document.switches:
        if switch.normal == "closed":
            same[switch.to_node] = switch.from_node
    idle = {switch.to_node for switch in document.switches if switch.normal == "open"}

    def at(node: str) -> str:
        return same.get(node, node)

    lines = [line for line in document.branches if line.from_node not in idle and line.to_node not in idle]
    lines = [replace(line, from_node=at(line.from_node), to_node=at(line.to_node)) for line in lines]
    kept = {busbar} | {end for line in lines for end in (line.from_node, line.to_node)}
    loads: dict[str, Load] = {}
    for load in document.loads:
        node = at(load.node)
        if node == busbar:
            continue  # the load of the substation itself would hide all others
        before = loads.get(node)
        p, q = (sum(values.values()) for values in (load.p, load.q))
        if before:
            p, q = p + sum(before.p.values()), q + sum(before.q.values())
        shares = [1 / 3 * pick.uniform(0.85, 1.15) for _ in range(3)]
        loads[node] = Load(
            id=f"load-{node}",
            node=node,
            p={phase: p * share for phase, share in zip("ABC", shares, strict=True)},
            q={phase: q * share for phase, share in zip("ABC", shares, strict=True)},
        )
    source = Source(id="grid", node=busbar, voltage=1.03 * 20e3 / math.sqrt(3), r1=0.05, x1=1.0, r0=0.05, x0=1.0)
    grid = NetworkDocument(
        network="cigre-mv",
        revision=1,
        nodes=tuple(node for node in document.nodes if node.id in kept),
        sources=(source,),
        line_types=document.line_types,
        branches=tuple(lines),
        loads=tuple(loads.values()),
    )
    return _metered(grid, "three-phase", busbar)


def synthetic_lv(
    buses: int = 1000, loads: int = 0, metering: Metering = "three-phase", seed: int = 1
) -> NetworkDocument:
    """
    Give radial low-voltage feeders of about 80 nodes each below one 20/0.4 kV transformer.

    Parameters
    ----------
    buses : int
        At low voltage, the transformer's busbar among them.
    loads : int
        Two thirds of the nodes where 0.
    metering : str
    seed : int
        The same grid for the same seed.
    """
    pick = Random(seed)
    count = loads or round(0.66 * buses)
    power = max(630e3, count * 1500.0)
    base = 20e3**2 / power
    names = ["b0"]
    branches: list[Branch] = []
    last: list[str] = []
    for number in range(1, buses):
        if number % 80 == 1:
            last = ["b0"]
        parent, name = pick.choice(last[-5:]), f"b{number}"
        length = pick.uniform(8.0, 30.0)
        line_type = "main" if len(last) < 40 else "side"
        branches.append(Branch(id=f"line-{number}", from_node=parent, to_node=name, length=length, line_type=line_type))
        names.append(name)
        last.append(name)
    served = sorted(pick.sample(names[1:], min(count, buses - 1)), key=names.index)
    grid = NetworkDocument(
        network=f"synthetic-{buses}",
        revision=1,
        nodes=(
            Node(id="m0", phases="ABC", base_voltage=20e3),
            *(Node(id=name, phases="ABC", base_voltage=400.0, customers=int(name in served)) for name in names),
        ),
        sources=(Source(id="grid", node="m0", voltage=20.2e3 / math.sqrt(3), r1=0.2, x1=1.6, r0=0.2, x0=1.6),),
        line_types=(
            LineType(id="main", phases="ABC", sequence=SequenceImpedance(r1=2.06e-4, x1=8e-5, r0=8.2e-4, x0=2.8e-4)),
            LineType(id="side", phases="ABC", sequence=SequenceImpedance(r1=3.2e-4, x1=8.2e-5, r0=1.28e-3, x0=2.9e-4)),
        ),
        branches=tuple(branches),
        transformers=(
            Transformer(
                id="transformer",
                from_node="m0",
                to_node="b0",
                vector_group="Dyn11",
                rated_power=power,
                rated_voltage=(20e3, 400.0),
                r=0.01 * base,
                x=0.04 * base,
                to_grounding=Grounding(kind=GroundingKind.SOLID),
            ),
        ),
        loads=tuple(_household(node, pick) for node in served),
    )
    return _metered(grid, metering, "b0")


def contracted(document: NetworkDocument) -> NetworkDocument:
    """Leave out nodes that only join two lines; what was between the others becomes one line each."""
    held = {one.node for one in (*document.sources, *document.loads, *document.generators, *document.terminals)}
    held |= {end for one in (*document.transformers, *document.switches) for end in (one.from_node, one.to_node)}
    types = {line_type.id: line_type for line_type in document.line_types}
    at: dict[str, list[Branch]] = {node.id: [] for node in document.nodes}
    for branch in document.branches:
        whole = _whole(branch, types)
        at[branch.from_node].append(whole)
        at[branch.to_node].append(whole)
    for node in list(at):
        if node in held or len(at[node]) != 2:
            continue
        one, other = at.pop(node)
        ends = [end for branch in (one, other) for end in (branch.from_node, branch.to_node) if end != node]
        joined = _joined(one, other, ends[0], ends[1])
        for end, old in ((ends[0], one), (ends[1], other)):
            at[end] = [joined if branch is old else branch for branch in at[end]]
    branches = {branch.id: branch for branches in at.values() for branch in branches}
    return replace(
        document,
        network=f"{document.network}-contracted",
        nodes=tuple(node for node in document.nodes if node.id in at),
        line_types=(),
        branches=tuple(branches.values()),
    )


def _whole(branch: Branch, types: dict[str, LineType]) -> Branch:
    """Give a branch with its data in all."""
    sequence = types[branch.line_type].sequence
    assert sequence is not None
    total = {field: getattr(sequence, field) * branch.length for field in _fields}
    return replace(branch, line_type="", phases="ABC", sequence=SequenceImpedance(**total))


def _joined(one: Branch, other: Branch, first: str, last: str) -> Branch:
    assert one.sequence is not None
    assert other.sequence is not None
    total = {field: getattr(one.sequence, field) + getattr(other.sequence, field) for field in _fields}
    length = one.length + other.length
    return replace(one, from_node=first, to_node=last, length=length, sequence=SequenceImpedance(**total))


def _household(node: str, pick: Random) -> Load:
    p, phase = pick.lognormvariate(math.log(500.0), 0.8), pick.choice("ABC")
    return Load(id=f"load-{node}", node=node, p={phase: p}, q={phase: 0.3 * p})


def _metered(document: NetworkDocument, metering: Metering, head: str) -> NetworkDocument:
    """Put loads on one phase or on three, and a terminal at each."""
    pick = Random(3)
    loads = [_spread(load, pick) if metering == "three-phase" else load for load in document.loads]
    feeding = next((one.id for one in document.transformers if one.to_node == head), "")
    terminals = [
        Terminal(id=f"terminal-{load.id}", node=load.node, equipment=load.id, phases="".join(load.p)) for load in loads
    ]
    top = Terminal(id="terminal-head", node=head, equipment=feeding, phases="ABC")
    return replace(document, loads=tuple(loads), terminals=(top, *terminals))


def _spread(load: Load, pick: Random) -> Load:
    if len(load.p) == 3:
        return load
    shares = [pick.uniform(0.1, 1.0) for _ in range(3)]
    p, q = (sum(values.values()) for values in (load.p, load.q))
    return replace(
        load,
        p={phase: p * share / sum(shares) for phase, share in zip("ABC", shares, strict=True)},
        q={phase: q * share / sum(shares) for phase, share in zip("ABC", shares, strict=True)},
    )


def all_reference_grids(metering: Metering = "three-phase") -> dict[str, NetworkDocument]:
    """Give the five grids of the benchmarks by name; the largest is made anew at each call."""
    return {
        "European LV": european_lv(metering),
        "European LV, contracted": european_lv_contracted(metering),
        "CIGRE MV": cigre_mv(),
        **{f"synthetic LV, {count}": synthetic_lv(count, metering=metering) for count in (1000, 10_000)},
    }
