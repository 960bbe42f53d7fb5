"""
A 15 kV grid of 13 nodes with nine low-voltage grids of single-phase customers below it, and a day of their demand.

Where it stands: `tests/benchmarks/se_day.py` estimates it in three levels, minute by minute. The set-up is that of
M. Pau et al., IEEE TIM 68:11 (2019): one primary and nine secondary substations, two industrial loads, one generator;
customers of one phase behind concentrators. All else (lengths, cables, profiles) is drawn from a seed and stated here.

A household is a base of 60 to 180 W, a refrigerator that runs 12 of 40 minutes with 90 W, and events at random with
their own hours: kettle (2 kW, 3 minutes), cooking (1.2 to 3 kW, 15 to 40 minutes around noon and evening), washing
(2 kW for 18 minutes, then 250 W for an hour), lights and television (80 to 350 W all evening), and in a quarter of the
households an electric water heater (2.2 kW, 45 minutes at night). Reactive power follows with 0.9 to 0.99 of power
factor. Industry works in two shifts with slow noise; the generator is photovoltaic under passing clouds.
"""

import math
from random import Random
from typing import Any

import numpy as np

from tests.support.networks import Document

SUBSTATIONS = 9
CABINETS = 12
CUSTOMERS = 6
MINUTES = 1440


def day_document(seed: int = 1) -> Document:
    """Give the whole network with its areas: ``mv``, ``lv-1`` to ``lv-9``, ``c-1-1`` to ``c-9-12``."""
    pick = Random(seed)
    document: Document = {
        "schema": "network/1",
        "network": "day",
        "revision": 1,
        "nodes": [],
        "sources": [
            {
                "id": "grid",
                "node": "primary",
                "voltage": 15.2e3 / math.sqrt(3),
                "r1": 0.1,
                "x1": 0.9,
                "r0": 0.2,
                "x0": 1.8,
            }
        ],
        "line_types": [
            _cable("mv-cable", r1=1.64e-4, x1=1.2e-4, r0=6.5e-4, x0=3.5e-4, b=9e-8),
            _cable("lv-cable", r1=2.06e-4, x1=8e-5, r0=8.2e-4, x0=2.8e-4),
            _cable("service", r1=1.15e-3, x1=8.5e-5, r0=3.5e-3, x0=2.6e-4),
        ],
        "branches": [],
        "transformers": [],
        "loads": [],
        "generators": [],
        "areas": [],
    }
    medium = _medium_voltage(document, pick)
    document["areas"].append({"id": "mv", "level": "mv", "nodes": medium, "head": "primary"})
    for number in range(1, SUBSTATIONS + 1):
        _low_voltage(document, pick, number)
    return document


def _cable(name: str, *, r1: float, x1: float, r0: float, x0: float, b: float = 0.0) -> Document:
    sequence = {"r1": r1, "x1": x1, "r0": r0, "x0": x0, "b1": b, "b0": b}
    return {"id": name, "phases": "ABC", "sequence": sequence}


def _node(document: Document, name: str, base: float, **others: Any) -> None:
    document["nodes"].append({"id": name, "phases": "ABC", "base_voltage": base, **others})


def _line(document: Document, one: str, other: str, length: float, kind: str) -> None:
    document["branches"].append(
        {"id": f"{one}-{other}", "from_node": one, "to_node": other, "length": length, "line_type": kind}
    )


def _medium_voltage(document: Document, pick: Random) -> list[str]:
    """Two feeders: substations one after another, industry and the generator on branches of their own."""
    names = ["primary", *(f"s{number}" for number in range(1, SUBSTATIONS + 1)), "industry-1", "industry-2", "plant"]
    for name in names:
        _node(document, name, 15e3)
    ways = [("primary", "s1"), *((f"s{k}", f"s{k + 1}") for k in range(1, 5))]
    ways += [("primary", "s6"), *((f"s{k}", f"s{k + 1}") for k in range(6, 9))]
    ways += [("s2", "industry-1"), ("s7", "industry-2"), ("s4", "plant")]
    for one, other in ways:
        _line(document, one, other, pick.uniform(600.0, 2000.0), "mv-cable")
    for number in (1, 2):
        power = dict.fromkeys("ABC", 180000.0)
        document["loads"].append(
            {"id": f"load-industry-{number}", "node": f"industry-{number}", "p": power, "q": dict.fromkeys("ABC", 70e3)}
        )
    feeding = dict.fromkeys("ABC", -150000.0)
    document["generators"].append({"id": "pv", "node": "plant", "p": feeding, "q": dict.fromkeys("ABC", 0.0)})
    return names


def _low_voltage(document: Document, pick: Random, number: int) -> None:
    head, bus = f"s{number}", f"s{number}-bus"
    base = 15e3**2 / 400e3
    _node(document, bus, 400.0)
    document["transformers"].append(
        {
            "id": f"transformer-{number}",
            "from_node": head,
            "to_node": bus,
            "vector_group": "Dyn11",
            "rated_power": 400e3,
            "rated_voltage": [15e3, 410.0],
            "r": 0.011 * base,
            "x": 0.038 * base,
            "to_grounding": {"kind": "solid"},
        }
    )
    cabinets = []
    for cabinet in range(1, CABINETS + 1):
        name = f"c{number}-{cabinet}"
        _node(document, name, 400.0)
        before = bus if cabinet in {1, 5, 9} else cabinets[-1]  # three feeders of four cabinets
        _line(document, before, name, pick.uniform(30.0, 70.0), "lv-cable")
        cabinets.append(name)
        customers = []
        for customer in range(1, CUSTOMERS + 1):
            home = f"{name}-{customer}"
            _node(document, home, 400.0, customers=1)
            _line(document, name, home, pick.uniform(8.0, 30.0), "service")
            phase = "ABC"[(customer + cabinet) % 3] if pick.random() < 0.8 else pick.choice("ABC")
            document["loads"].append({"id": f"load-{home}", "node": home, "p": {phase: 500.0}, "q": {phase: 150.0}})
            customers.append(home)
        document["areas"].append(
            {"id": f"c-{number}-{cabinet}", "level": "concentrator", "nodes": customers, "head": name}
        )
    document["areas"].append({"id": f"lv-{number}", "level": "lv", "nodes": [bus, *cabinets], "head": head})


def household(rng: np.random.Generator) -> Any:
    """Give a day of one household, shape (1440,) [W]."""
    minute = np.arange(MINUTES)
    power = np.full(MINUTES, rng.uniform(60.0, 180.0))
    power += 90.0 * ((minute + rng.integers(40)) % 40 < 12)

    def event(start: float, length: float, size: float) -> None:
        first = round(start) % MINUTES
        power[first : first + round(length)] += size

    for start in rng.normal([450, 800, 1010], 40):
        if rng.random() < 0.7:
            event(start, 3, 2000.0)
    for start in rng.normal([735, 1140], 35):
        if rng.random() < 0.65:
            event(start, rng.uniform(15, 40), rng.uniform(1200.0, 3000.0))
    if rng.random() < 0.45:
        start = rng.uniform(480, 1250)
        event(start, 18, 2000.0)
        event(start + 18, 60, 250.0)
    evening = rng.normal(1080, 40)
    event(evening, rng.uniform(150, 320), rng.uniform(80.0, 350.0))
    if rng.random() < 0.25:
        event(rng.uniform(0, 300), 45, 2200.0)
    return power * rng.uniform(0.97, 1.03, MINUTES)


def day_of_demand(model: Any, seed: int = 1) -> Any:
    """Give what loads, then generators, draw each minute, shape (1440, n_loads + n_generators, 3) [VA]."""
    rng = np.random.default_rng(seed)
    tables = (model.loads, model.generators)
    connected = np.concatenate([table.connected for table in tables])
    names = [name for table in tables for name in table.ids]
    minute = np.arange(MINUTES)
    power = np.zeros((MINUTES, len(names), 3), dtype=complex)
    for row, name in enumerate(names):
        if name.startswith("load-industry"):
            shift = 1.0 / (1 + np.exp(-(minute - 350) / 12)) - 1.0 / (1 + np.exp(-(minute - 1330) / 12))
            slow = np.convolve(rng.standard_normal(MINUTES + 30), np.ones(31) / 31, mode="valid")
            one = 180e3 * (0.25 + 0.75 * shift) * (1 + 0.15 * slow)
            power[:, row, :] = one[:, np.newaxis] * np.array([1.03, 0.98, 0.99]) * complex(1.0, 0.4)
        elif name == "pv":
            sun = np.maximum(np.sin(np.pi * (minute - 360) / 780), 0.0) * ((minute > 360) & (minute < 1140))
            clouds = np.convolve(rng.random(MINUTES + 12) < 0.3, np.ones(13) / 13, mode="valid")
            power[:, row, :] = (-300e3 * sun * (1 - 0.8 * clouds))[:, np.newaxis]
        else:
            factor = rng.uniform(0.9, 0.99)
            one = household(rng) * complex(1.0, math.tan(math.acos(factor)))
            power[:, row, :] = one[:, np.newaxis] * connected[row]
    return power
