"""Networks of three levels with meters, made by rule: as many stations, concentrators and customers as are wanted."""

import math
from random import Random
from typing import Any

from tests.support.networks import Document


def three_level_document(
    *,
    stations: int = 2,
    concentrators: int = 3,
    customers: int = 6,
    seed: int = 1,
    base_mv: float = 15e3,
    group: str = "Dyn11",
    three_phase_share: float = 0.2,
) -> Document:
    """
    Give an MV feeder with stations, below each an LV feeder with concentrators, below each customers with a meter.

    Every MV station and the source have a meter of voltages; the source one of power as well. Conductors are A, B, C,
    neutrals grounded at both ends being reduced into them.
    """
    pick = Random(seed)
    phase_voltage = base_mv / math.sqrt(3)
    document: Document = {
        "schema": "network/1",
        "network": f"grid-{seed}",
        "revision": 1,
        "nodes": [],
        "sources": [
            {"id": "grid", "node": "m0", "voltage": 1.02 * phase_voltage, "r1": 0.05, "x1": 0.5, "r0": 0.1, "x0": 1.0}
        ],
        "line_types": [
            {"id": "cable-mv", "phases": "ABC",
             "sequence": {"r1": 2e-4, "x1": 1.1e-4, "r0": 8e-4, "x0": 4e-4, "b1": 8e-8, "b0": 8e-8}},
            {"id": "cable-lv", "phases": "ABC", "sequence": {"r1": 3e-4, "x1": 8e-5, "r0": 1.1e-3, "x0": 3e-4}},
            {"id": "service", "phases": "ABC", "sequence": {"r1": 1.2e-3, "x1": 9e-5, "r0": 3e-3, "x0": 4e-4}},
        ],
        "branches": [],
        "transformers": [],
        "loads": [],
        "switches": [],
        "terminals": [_terminal("at-m0", "m0", "ABC", "grid")],
        "areas": [],
    }  # fmt: skip
    _node(document, "m0", base_mv)
    medium = ["m0"]
    for station in range(1, stations + 1):
        node = f"m{station}"
        _node(document, node, base_mv)
        _line(document, f"b-{node}", pick.choice(medium[-2:]), node, pick.uniform(400, 1500), "cable-mv")
        medium.append(node)
        document["terminals"].append(_terminal(f"at-{node}", node, "ABC"))
        _low_voltage(document, pick, station, (concentrators, customers), group, base_mv, three_phase_share)
    document["areas"].append({"id": "mv", "level": "mv", "nodes": medium, "head": "m0", "device": "agent-mv"})
    return document


def _low_voltage(  # noqa: PLR0917 - what it is made of
    document: Document, pick: Random, station: int, size: tuple[int, int], group: str, base_mv: float, share: float
) -> None:
    bus = f"s{station}-0"
    _node(document, bus, 400.0)
    z = 0.04 * base_mv**2 / 400e3
    document["transformers"].append(
        {"id": f"t{station}", "from_node": f"m{station}", "to_node": bus, "vector_group": group, "rated_power": 400e3,
         "rated_voltage": [base_mv, 410.0], "r": 0.3 * z, "x": 0.95 * z, "to_grounding": {"kind": "solid"}}
    )  # fmt: skip
    buses, concentrators, customers = [bus], *size
    for number in range(1, concentrators + 1):
        node = f"s{station}-{number}"
        _node(document, node, 400.0)
        _line(document, f"b-{node}", pick.choice(buses[-3:]), node, pick.uniform(25, 60), "cable-lv")
        buses.append(node)
        inside = []
        for customer in range(1, customers + 1):
            name = f"{node}-{customer}"
            inside.append(name)
            _node(document, name, 400.0, customers=1)
            _line(document, f"b-{name}", node, name, pick.uniform(8, 25), "service")
            three = pick.random() < share
            phases = "ABC" if three else "ABC"[(customer + number) % 3]
            _load(document, pick, f"h-{name}", name, phases, pick.uniform(300, 2500))
            document["terminals"].append(_terminal(f"at-{name}", name, phases, f"h-{name}"))
        document["areas"].append(
            {"id": f"c-{node}", "level": "concentrator", "nodes": inside, "head": node, "device": f"agent-{node}"}
        )
    document["areas"].append(
        {"id": f"lv-{station}", "level": "lv", "nodes": buses, "head": f"m{station}", "device": f"agent-lv-{station}"}
    )


def _load(document: Document, pick: Random, name: str, node: str, phases: str, power: float) -> None:  # noqa: PLR0917
    p = {phase: power / len(phases) * pick.uniform(0.8, 1.2) for phase in phases}
    q = {phase: value * pick.uniform(0.1, 0.35) for phase, value in p.items()}
    document["loads"].append(
        {"id": name, "node": node, "p": p, "q": q, "u_p": {k: 0.5 * v for k, v in p.items()},
         "u_q": {k: 0.5 * v for k, v in q.items()}, "rated_power": 9e3}
    )  # fmt: skip


def _node(document: Document, name: str, base: float, **more: Any) -> None:
    document["nodes"].append({"id": name, "phases": "ABC", "base_voltage": base, **more})


def _line(document: Document, name: str, one: str, other: str, length: float, kind: str) -> None:  # noqa: PLR0917
    document["branches"].append(
        {"id": name, "from_node": one, "to_node": other, "length": round(length, 1), "line_type": kind}
    )


def _terminal(name: str, node: str, phases: str, equipment: str = "") -> Document:
    return {"id": name, "node": node, "phases": phases, "equipment": equipment, "device": f"meter-{name}"}
