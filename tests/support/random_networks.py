"""Random networks that could be: MV and LV feeders, unbalanced, with transformers; the same for the same seed."""

import math
from random import Random
from typing import Any

from tests.support.networks import Document

GROUPS = ("Dyn11", "Dyn5", "Dyn1", "YNyn0", "YNyn6", "Dyn7")


def random_document(seed: int, nodes: int = 30, *, meshed: bool = False, exponents: bool = True) -> Document:
    """
    Give a three-wire MV feeder with LV feeders below transformers, half of all loads unbalanced.

    Parameters
    ----------
    seed : int
    nodes : int
        About so many.
    meshed : bool
        With some lines that close loops.
    exponents : bool
        Whether some loads follow the voltage.
    """
    pick = Random(seed)
    document = _empty(seed, pick)
    medium = ["m0"]
    for index in range(1, max(2, nodes // 5)):
        _line(document, pick, "m", index, pick.choice(medium[-4:]))
        medium.append(f"m{index}")
    if meshed and len(medium) > 3:
        for number in range(2):
            _between(document, pick, f"tie{number}", *pick.sample(medium, 2), "m")
    low = [
        [_transformer(document, pick, number, pick.choice(medium[1:]), pick.choice(GROUPS))]
        for number in range(max(1, nodes // 40))
    ]
    for index in range(len(medium) + len(low), nodes):
        feeder = pick.choice(low)
        _line(document, pick, "l", index, pick.choice(feeder[-6:]))
        feeder.append(f"l{index}")
    if meshed:
        for number, feeder in enumerate(feeder for feeder in low if len(feeder) > 3):
            _between(document, pick, f"ring{number}", *pick.sample(feeder, 2), "l")
    served = [*medium[1:], *(node for feeder in low for node in feeder)]
    for node in served:
        if pick.random() < 0.6:
            _load(document, pick, node, 40e3 / len(medium) if node[0] == "m" else 60e3 / nodes, exponents=exponents)
    return document


def _empty(seed: int, pick: Random) -> Document:
    ratio = pick.uniform(0.5, 4.0)
    return {
        "schema": "network/1",
        "network": f"random-{seed}",
        "revision": 1,
        "nodes": [{"id": "m0", "phases": "ABC", "base_voltage": 10e3}],
        "sources": [
            {
                "id": "grid",
                "node": "m0",
                "voltage": 10e3 / math.sqrt(3) * pick.uniform(0.98, 1.04),
                "angle": pick.uniform(-0.5, 0.5),
                "r1": 0.1,
                "x1": 0.7,
                "r0": 0.1 * ratio,
                "x0": 0.7 * ratio,
                "grounding": "resistance",
            }
        ],
        "branches": [],
        "transformers": [],
        "loads": [],
    }


def _line(document: Document, pick: Random, kind: str, index: int, parent: str) -> None:
    name = f"{kind}{index}"
    document["nodes"].append({"id": name, "phases": "ABC", "base_voltage": 10e3 if kind == "m" else 400.0})
    _between(document, pick, f"line-{name}", parent, name, kind)


def _between(  # noqa: PLR0917 - what a line is
    document: Document, pick: Random, name: str, one: str, other: str, kind: str
) -> None:
    length = pick.uniform(100.0, 1500.0) if kind == "m" else pick.uniform(5.0, 60.0)
    r, x, mutual = pick.uniform(2e-4, 6e-4), pick.uniform(2e-4, 5e-4), pick.uniform(0.2, 0.45)
    uneven = [pick.uniform(0.9, 1.1) for _ in range(3)]
    capacity = pick.uniform(3e-8, 9e-8) if kind == "m" else 1e-9

    def matrix(own: float, between: float) -> list[list[float]]:
        return [
            [length * (own * uneven[i] if i == j else between * math.sqrt(uneven[i] * uneven[j])) for j in range(3)]
            for i in range(3)
        ]

    document["branches"].append(
        {
            "id": name,
            "from_node": one,
            "to_node": other,
            "length": length,
            "phases": "ABC",
            "r": matrix(r, r * mutual * 0.4),
            "x": matrix(x, x * mutual),
            "b": matrix(capacity, -capacity * mutual * 0.5),
        }
    )


def _transformer(document: Document, pick: Random, number: int, above: str, group: str) -> str:
    name, power = f"l-bus{number}", pick.choice([100e3, 250e3, 400e3])
    base = 10e3**2 / power
    document["nodes"].append({"id": name, "phases": "ABC", "base_voltage": 400.0})
    transformer: dict[str, Any] = {
        "id": f"transformer{number}",
        "from_node": above,
        "to_node": name,
        "vector_group": group,
        "rated_power": power,
        "rated_voltage": [10e3, 410.0],
        "r": 0.01 * base,
        "x": 0.04 * base,
        "to_grounding": {"kind": "solid"},
    }
    if group.startswith("YN"):
        transformer["from_grounding"] = {"kind": "solid"}
    if pick.random() < 0.5:
        end, position = pick.choice([0, 1]), pick.randint(-2, 2)
        transformer["tap"] = {"end": end, "position": position, "step": 0.025, "lowest": -2, "highest": 2}
    document["transformers"].append(transformer)
    return name


def _load(document: Document, pick: Random, node: str, size: float, *, exponents: bool) -> None:
    phases = ["A", "B", "C"] if pick.random() < 0.5 else [pick.choice("ABC")]
    same = pick.random() < 0.3
    p, q = pick.uniform(0.2, 1.0) * size, pick.uniform(-0.1, 0.4) * size
    exponent = pick.choice([0.0, 1.0, 2.0]) if exponents else 0.0
    document["loads"].append(
        {
            "id": f"load-{node}",
            "node": node,
            "p": {phase: p if same else p * pick.uniform(0.3, 1.7) for phase in phases},
            "q": {phase: q if same else q * pick.uniform(0.3, 1.7) for phase in phases},
            "p_exponent": exponent,
            "q_exponent": exponent,
        }
    )


def four_wire_document(seed: int, nodes: int = 30, *, grounded: bool = False) -> Document:
    """
    Give a three-wire MV feeder with loads between phases, and four-wire LV feeders with single-phase laterals.

    Parameters
    ----------
    seed : int
    nodes : int
        About so many.
    grounded : bool
        Whether some customers ground their neutral too.
    """
    pick = Random(seed)
    document = _empty(seed, pick)
    medium = ["m0"]
    for index in range(1, max(2, nodes // 5)):
        _line(document, pick, "m", index, pick.choice(medium[-4:]))
        medium.append(f"m{index}")
        if pick.random() < 0.5:
            _delta_load(document, pick, medium[-1])
    low = []
    for number in range(max(1, nodes // 40)):
        name = _transformer(document, pick, number, pick.choice(medium[1:]), pick.choice(["Dyn11", "Dyn1", "YNyn0"]))
        document["nodes"][-1]["phases"] = "ABCN"
        low.append([(name, "ABCN")])
    for index in range(len(medium) + len(low), nodes):
        feeder = pick.choice(low)
        parent, phases = pick.choice(feeder[-8:])
        if phases == "ABCN" and pick.random() < 0.3:
            phases = pick.choice(["AN", "BN", "CN", "ABN", "ACN"])
        name = f"l{index}"
        node: Document = {"id": name, "phases": phases, "base_voltage": 400.0}
        if grounded and pick.random() < 0.3:
            node["grounding"] = {"kind": "resistance", "r": pick.uniform(2.0, 60.0)}
        document["nodes"].append(node)
        feeder.append((name, phases))
        _four_wire_line(document, pick, parent, name, phases)
        live = phases[:-1]
        exponents = pick.choice([(0.0, 0.0), (1.0, 1.0), (2.0, 2.0), (0.7, 1.8)])
        chosen = [phase for phase in live if pick.random() < 0.7]
        kind, sign = pick.choice([("loads", 1.0), ("loads", 1.0), ("loads", 1.0), ("generators", -1.0)])
        if chosen:
            document.setdefault(kind, []).append(
                {
                    "id": f"at-{name}",
                    "node": name,
                    "p": {phase: sign * pick.uniform(200.0, 50e3 / nodes) for phase in chosen},
                    "q": {phase: pick.uniform(-50.0, 10e3 / nodes) for phase in chosen},
                    "p_exponent": exponents[0],
                    "q_exponent": exponents[1],
                }
            )
    return document


def _four_wire_line(document: Document, pick: Random, parent: str, name: str, phases: str) -> None:
    length, r, x = pick.uniform(5.0, 60.0), pick.uniform(2e-4, 8e-4), pick.uniform(6.5e-4, 8e-4)
    size = range(len(phases))
    document["branches"].append(
        {
            "id": f"line-{name}",
            "from_node": parent,
            "to_node": name,
            "length": length,
            "phases": phases,
            "r": [[length * (r if i == j else 5e-5) for j in size] for i in size],
            "x": [[length * (x if i == j else 5.5e-4) for j in size] for i in size],
        }
    )


def _delta_load(document: Document, pick: Random, node: str) -> None:
    pairs = ["AB", "BC", "CA"] if pick.random() < 0.6 else [pick.choice(["AB", "BC", "CA"])]
    exponent = pick.choice([0.0, 1.0, 2.0, 1.3])
    document["loads"].append(
        {
            "id": f"delta-{node}",
            "node": node,
            "connection": "delta",
            "p": {pair: pick.uniform(5e3, 60e3) for pair in pairs},
            "q": {pair: pick.uniform(-5e3, 20e3) for pair in pairs},
            "p_exponent": exponent,
            "q_exponent": exponent,
        }
    )


def low_voltage_document(nodes: int = 906, customers: int = 55, seed: int = 1) -> Document:
    """
    Give one LV feeder of short lines below a transformer, with single-phase customers at its ends.

    By default as large as the European low-voltage test feeder of the IEEE; most nodes only join two lines.
    """
    pick = Random(seed)
    document = _empty(seed, pick)
    document["nodes"].append({"id": "m1", "phases": "ABC", "base_voltage": 10e3})
    _between(document, pick, "line-m1", "m0", "m1", "m")
    feeder = [_transformer(document, pick, 0, "m1", "Dyn11")]
    parents: set[str] = set()
    while len(feeder) + 2 < nodes:
        parent = feeder[-1] if pick.random() < 1.0 - 1.1 * customers / nodes else pick.choice(feeder)
        parents.add(parent)
        name = f"l{len(feeder)}"
        document["nodes"].append({"id": name, "phases": "ABC", "base_voltage": 400.0})
        _between(document, pick, f"line-{name}", parent, name, "l")
        document["branches"][-1] |= {field: _share(document["branches"][-1][field], 0.1) for field in "rxb"}
        document["branches"][-1]["length"] *= 0.1
        feeder.append(name)
    ends = [name for name in feeder if name not in parents]
    served = pick.sample(ends, min(customers, len(ends)))
    served += pick.sample([name for name in feeder[1:] if name not in served], customers - len(served))
    for node in served:
        phase = pick.choice("ABC")
        document["loads"].append(
            {"id": f"load-{node}", "node": node, "p": {phase: pick.uniform(100.0, 1500.0)}, "q": {phase: 200.0}}
        )
    return document


def _share(matrix: list[list[float]], share: float) -> list[list[float]]:
    return [[share * value for value in row] for row in matrix]


def oddly_grounded_document(seed: int, nodes: int = 16) -> Document:
    """Give a four-wire network grounded here and there, solidly or not, with neutrals that end on the way."""
    document, pick = four_wire_document(seed, nodes), Random(seed)
    for node in document["nodes"]:
        if "N" in node["phases"] and pick.random() < 0.04:
            solid = {"kind": "solid"}
            node["grounding"] = pick.choice([solid, {"kind": "resistance", "r": pick.uniform(1.0, 20.0)}])
    for transformer in document["transformers"]:
        transformer["to_grounding"] = pick.choice([{"kind": "solid"}, {"kind": "resistance", "r": 2.0}])
    for branch in document["branches"]:
        if "N" in branch["phases"] and pick.random() < 0.03:
            branch["phases"] = branch["phases"].replace("N", "")
            size = len(branch["phases"])
            branch |= {field: [row[:size] for row in branch[field][:size]] for field in "rx"}
    return document


def switched_document(seed: int, nodes: int = 24) -> Document:
    """Give an oddly grounded network, some without a path to earth above, with switches that may leave neutrals out."""
    document, pick = oddly_grounded_document(seed, nodes), Random(seed)
    if seed % 3 == 0:
        document["sources"][0] = {
            field: value for field, value in document["sources"][0].items() if field not in {"r0", "x0"}
        }
    at = {node["id"]: node for node in document["nodes"]}
    document["switches"] = []
    for branch in document["branches"]:
        if pick.random() < 0.25:
            node, name = at[branch["to_node"]], f"{branch['to_node']}-far"
            document["nodes"].append({field: node[field] for field in ("phases", "base_voltage")} | {"id": name})
            phases = branch["phases"] if pick.random() < 0.85 else branch["phases"].replace("N", "")
            document["switches"].append(
                {"id": f"switch-{node['id']}", "from_node": name, "to_node": node["id"], "phases": phases}
                | {"kind": "load-break-switch"}
            )
            branch["to_node"] = name
    return document
