"""
Two primary substations, two feeders and twelve secondary substations, 22 kV, a normally open switch in between.

After A. Orlando et al., IEEE IoT-J 9:14 (2022), doi 10.1109/JIOT.2021.3137596, section VI.A: cable sections of 220 m.
Each section can be parted at both of its ends; breakers with a relay stand at the heads.
"""

from typing import Any

from tests.support.networks import Document

SUBSTATIONS = 6
"""On each feeder."""


def feeder_pair_document(*, rating: float = 250.0, neutral: str = "resistance", power: float = 200e3) -> Document:
    """
    Give the network.

    Parameters
    ----------
    rating : float
        Of the cable [A].
    neutral : str
        How it is treated at both primary substations.
    power : float
        Of each secondary substation, all phases [W].
    """
    document: Document = {
        "schema": "network/1",
        "network": "pair",
        "revision": 1,
        "nodes": [],
        "sources": [],
        "line_types": [
            {
                "id": "cable",
                "phases": "ABC",
                "sequence": {"r1": 2.06e-4, "x1": 1.22e-4, "r0": 8e-4, "x0": 4e-4, "b1": 7.9e-8, "b0": 7.9e-8},
                "rating": rating,
            }
        ],
        "branches": [],
        "loads": [],
        "switches": [],
        "protections": [],
        "terminals": [],
    }
    isolated = neutral in ("isolated", "compensated")
    for feeder in ("p", "q"):
        document["nodes"].append(_node(f"{feeder}0"))
        document["nodes"].append(_node(f"{feeder}h"))
        document["sources"].append(
            {
                "id": f"grid-{feeder}",
                "node": f"{feeder}0",
                "voltage": 22e3 / 3**0.5,
                "r1": 0.05,
                "x1": 0.9,
                **({} if isolated else {"r0": 126.0, "x0": 0.9}),
                "grounding": neutral,
            }
        )
        document["switches"].append(
            {
                "id": f"breaker-{feeder}",
                "from_node": f"{feeder}0",
                "to_node": f"{feeder}h",
                "kind": "breaker",
                "operation": "remote",
                "rating": 630.0,
                "breaks": 16e3,
                "closes": 40e3,
                "operating_time": 0.06,
            }
        )
        document["protections"].append(
            {
                "id": f"relay-{feeder}",
                "switch": f"breaker-{feeder}",
                "phase_current": 400.0,
                "ground_current": 20.0,
                "delay": 0.1,
                "dead_times": [0.4, 3.0],
                "reclaim_time": 10.0,
            }
        )
        document["terminals"].append(
            {
                "id": f"t-{feeder}h",
                "node": f"{feeder}h",
                "phases": "ABC",
                "equipment": f"{feeder}-line1",
                "device": f"m-{feeder}h",
            }
        )
        before = f"{feeder}h"
        for number in range(1, SUBSTATIONS + 1):
            _section(document, feeder, number, before, power)
            before = f"{feeder}{number}"
    document["switches"].append(_switch("tie", f"p{SUBSTATIONS}", f"q{SUBSTATIONS}", "open"))
    return document


def _section(document: Document, feeder: str, number: int, before: str, power: float) -> None:
    here, near, far = f"{feeder}{number}", f"{feeder}{number}a", f"{feeder}{number}b"
    document["nodes"] += [_node(near), _node(far), _node(here, customers=40 + 10 * number)]
    if number == 1:
        document["branches"].append(_line(f"{feeder}-line1", before, far))
    else:
        document["switches"].append(_switch(f"{feeder}{number}-near", before, near))
        document["branches"].append(_line(f"{feeder}-line{number}", near, far))
    document["switches"].append(_switch(f"{feeder}{number}-far", far, here))
    if number == 1:
        document["nodes"].remove(_node(near))
    document["loads"].append(
        {
            "id": f"load-{here}",
            "node": here,
            "connection": "delta",
            "p": dict.fromkeys(("AB", "BC", "CA"), power / 3),
            "q": dict.fromkeys(("AB", "BC", "CA"), power / 9),
        }
    )
    document["terminals"].append({"id": f"t-{here}", "node": here, "phases": "ABC", "device": f"m-{here}"})


def _node(name: str, customers: int = 0) -> dict[str, Any]:
    node: dict[str, Any] = {"id": name, "phases": "ABC", "base_voltage": 22e3}
    return {**node, "customers": customers} if customers else node


def _line(name: str, one: str, other: str) -> dict[str, Any]:
    return {"id": name, "from_node": one, "to_node": other, "length": 220.0, "line_type": "cable"}


def _switch(name: str, one: str, other: str, normal: str = "closed") -> dict[str, Any]:
    return {
        "id": name,
        "from_node": one,
        "to_node": other,
        "kind": "load-break-switch",
        "normal": normal,
        "operation": "remote",
        "rating": 630.0,
        "breaks": 630.0,
        "closes": 16e3,
        "operating_time": 0.3,
    }
