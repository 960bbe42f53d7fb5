"""
Random radial networks of 2 to 500 nodes and random meters upon them; the same for the same seed.

Where it stands: what the estimator must bear is drawn here. Laterals have one, two or three phases, with a neutral or
without; loads and generators stand on any phases and between them; meters tell this and that, some are silent, and of
some loads nothing is known at all. Truth is OpenDSS's or power-grid-model's (`metering.find_truth`).
"""

import math
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np

from algorithms.api.network import NetworkModel
from algorithms.api.network_reader import parse
from algorithms.grid.estimation.measurement import Quantity
from tests.support.metering import (
    Accuracy,
    Metering,
    Truth,
    Wanted,
    expected_power,
    find_truth,
    flows_at,
    metered,
    voltages_at,
    with_power,
)
from tests.support.networks import Document
from tests.support.random_networks import four_wire_document, random_document

LOWEST = 0.85
"""Networks whose lowest voltage is below this, relative to nominal, are given smaller loads."""


@dataclass(frozen=True)
class Case:
    """One network, its meters, one scan of readings (NaN where silent) and what is expected of loads."""

    seed: int
    model: NetworkModel
    metering: Metering
    values: Any
    prior: Any
    u_prior: Any

    @property
    def truth(self) -> Truth:
        return self.metering.truth


def random_radial_document(seed: int, nodes: int) -> Document:
    """Give a radial network of one voltage, or one of `random_networks` with transformers."""
    pick = Random(seed)
    kind = pick.choice(["four-wire", "three-wire", "medium", "transformers", "four-wire transformers"])
    if kind == "transformers":
        return random_document(seed, max(nodes, 3), exponents=False)
    if kind == "four-wire transformers":
        document = four_wire_document(seed, max(nodes, 3), grounded=pick.random() < 0.5)
        for load in [*document["loads"], *document.get("generators", [])]:
            load["p_exponent"] = load["q_exponent"] = 0.0
        return document
    return _feeder(pick, seed, nodes, kind)


def _feeder(pick: Random, seed: int, nodes: int, kind: str) -> Document:
    base = 10e3 if kind == "medium" else 400.0
    own = "ABCN" if kind == "four-wire" else "ABC"
    first: Document = {"id": "b0", "phases": own, "base_voltage": base}
    if kind == "four-wire":
        first["grounding"] = {"kind": "solid"}
    small = base / 400.0
    source = {"id": "grid", "node": "b0", "voltage": base / math.sqrt(3) * pick.uniform(0.97, 1.05)}
    source |= {
        "angle": pick.uniform(-1, 1),
        "r1": 0.01 * small,
        "x1": 0.02 * small,
        "r0": 0.02 * small,
        "x0": 0.04 * small,
    }
    document: Document = {
        "schema": "network/1",
        "network": f"feeder-{seed}",
        "revision": 1,
        "nodes": [first],
        "sources": [source],
        "branches": [],
        "loads": [],
        "generators": [],
    }
    phases = {"b0": own}
    names = ["b0"]
    for index in range(1, nodes):
        parent, name = pick.choice(names[-6:]), f"b{index}"
        live = [letter for letter in phases[parent] if letter != "N"]
        if len(live) > 1 and pick.random() < 0.15:
            live = sorted(pick.sample(live, pick.randint(1, len(live) - 1)))
        phases[name] = "".join(live) + ("N" if kind == "four-wire" else "")
        document["nodes"].append({"id": name, "phases": phases[name], "base_voltage": base})
        document["branches"].append(_line(pick, parent, name, phases[name], kind))
        names.append(name)
    for name in names[1:]:
        if pick.random() < 0.6:
            _draws(document, pick, name, phases=phases[name], nodes=nodes, kind=kind)
    return document


def _line(pick: Random, parent: str, name: str, phases: str, kind: str) -> Document:
    length = pick.uniform(50.0, 800.0) if kind == "medium" else pick.uniform(5.0, 40.0)
    own, between = complex(pick.uniform(2e-4, 6e-4), pick.uniform(6e-4, 8e-4)), complex(5e-5, pick.uniform(3e-4, 5e-4))
    size = range(len(phases))
    matrix = [[length * (own if i == j else between) for j in size] for i in size]
    line = {"id": f"line-{name}", "from_node": parent, "to_node": name, "length": length, "phases": phases}
    line |= {"r": [[z.real for z in row] for row in matrix], "x": [[z.imag for z in row] for row in matrix]}
    if kind == "medium":
        line["b"] = [[length * (6e-8 if i == j else -8e-9) for j in size] for i in size]
    return line


def _draws(document: Document, pick: Random, name: str, *, phases: str, nodes: int, kind: str) -> None:
    live = [letter for letter in phases if letter != "N"]
    size = (2e6 if kind == "medium" else 30e3) / nodes
    delta = kind == "medium" and len(live) > 1 and pick.random() < 0.5
    if delta:
        places = [pair for pair in ("AB", "BC", "CA") if pair[0] in live and pair[1] in live]
    else:
        places = live if pick.random() < 0.4 else [pick.choice(live)]
    feeds = pick.random() < 0.15
    entry: Document = {
        "id": f"at-{name}",
        "node": name,
        "p": {place: (-1.0 if feeds else 1.0) * pick.uniform(0.1, 1.0) * size for place in places},
        "q": {place: pick.uniform(-0.1, 0.4) * size for place in places},
    }
    if delta:
        entry["connection"] = "delta"
    document["generators" if feeds else "loads"].append(entry)


def bearable(model: NetworkModel) -> tuple[NetworkModel, Truth]:
    """Give the model with loads as small as the network can carry well, and its truth."""
    for _ in range(8):
        try:
            truth = find_truth(model)
        except ValueError:
            truth = None
        if truth is not None:
            at = model.nodes.conductors[:, :3]
            neutral = np.where(model.nodes.conductors[:, 3:], truth.voltages[:, 3:], 0.0)
            across = np.abs(truth.voltages[:, :3] - neutral) / model.nodes.nominal_voltage[:, np.newaxis]
            if across[at].min() > LOWEST:
                return model, truth
        model = with_power(model, expected_power(model) / 2)
    raise ValueError("a network that carries nothing")


def random_case(seed: int, *, largest: int = 500, smallest: int = 2) -> Case:
    """Draw a network and its metering."""
    pick = Random(seed)
    nodes = round(math.exp(pick.uniform(math.log(smallest), math.log(largest))))
    model, truth = bearable(parse(random_radial_document(seed, nodes)))
    unknown: set[str] = set()
    wanted = [*_at_loads(model, pick, unknown), *_elsewhere(model, pick)]
    metering = metered(model, truth, wanted, Accuracy(least=0.05))
    rng = np.random.default_rng(seed)
    values = metering.draw(rng, 1)[0]
    prior = metering.draw_priors(rng, 1)[0]
    u_prior = metering.u_prior.copy()
    names = [*model.loads.ids, *model.generators.ids]
    for row, name in enumerate(names):
        if name in unknown:
            u_prior[row] = complex(math.inf, math.inf)
    silent = pick.choice([0.0, 0.0, 0.05, 0.3, 1.0 if pick.random() < 0.1 else 0.0])
    values = np.where(rng.random(len(values)) < silent, np.nan, values)
    return Case(seed, model, metering, values, prior, u_prior)


def _at_loads(model: NetworkModel, pick: Random, unknown: set[str]) -> list[Wanted]:
    wanted: list[Wanted] = []
    share = pick.choice([1.0, 0.9, 0.6, 0.2])
    for table in (model.loads, model.generators):
        for row, name in enumerate(table.ids):
            if pick.random() > share:
                if pick.random() < 0.1:
                    unknown.add(name)
                continue
            delta = table.connection[row] == "delta"
            columns = np.flatnonzero(table.connected[row])
            letters = ["ABC"[c] + ("ABC"[(c + 1) % 3] if delta else "") for c in columns]
            tells = pick.choice(["all", "all", "all", "all", "voltage", "p", "sum", "current"])
            node = model.nodes.ids[table.node[row]]
            if tells in {"all", "voltage"}:
                wanted += [(Quantity.VOLTAGE, node, one, 0) for one in letters]
            if tells == "sum":
                wanted += [(Quantity.P, name, "ABC", 0), (Quantity.Q, name, "ABC", 0)]
            if tells in {"all", "p"}:
                wanted += [(Quantity.P, name, one, 0) for one in letters]
            if tells == "all":
                wanted += [(Quantity.Q, name, one, 0) for one in letters]
            if tells == "current":
                wanted += [(Quantity.CURRENT, name, one, 0) for one in letters]
    return wanted


def _elsewhere(model: NetworkModel, pick: Random) -> list[Wanted]:
    wanted: list[Wanted] = []
    head = model.nodes.ids[model.sources.node[0]]
    if pick.random() < 0.8:
        wanted += voltages_at(model, head)
    if pick.random() < 0.5:
        wanted += flows_at(model, model.sources.ids[0])
    for name in model.transformers.ids:
        if pick.random() < 0.5:
            wanted += flows_at(model, name, pick.choice([0, 1]))
    for name in model.branches.ids:
        if pick.random() < 0.03:
            what = pick.choice([(Quantity.P, Quantity.Q), (Quantity.CURRENT,)])
            wanted += flows_at(model, name, pick.choice([0, 1]), what)
    if pick.random() < 0.1:
        chosen = pick.sample(model.nodes.ids, min(3, len(model.nodes)))
        for node in chosen:
            at = voltages_at(model, node)
            wanted += at + [(Quantity.VOLTAGE_ANGLE, place, phases, end) for _, place, phases, end in at]
    return wanted
