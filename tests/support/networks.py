"""A small right network document for tests: an MV feeder with a tie, a Dyn11 transformer, a four-wire LV feeder."""

from typing import Any

Document = dict[str, Any]


def feeder_document() -> Document:
    """Give 20 kV source, breaker, two cables, tie switch; 20/0.4 kV transformer; LV feeder with three customers."""
    return {
        "schema": "network/1",
        "network": "net-1",
        "revision": 3,
        "name": "Test feeder",
        "nodes": [
            *({"id": name, "phases": "ABC", "base_voltage": 20e3} for name in ("m0", "m1", "m2", "m3")),
            {"id": "l0", "phases": "ABCN", "base_voltage": 400.0, "grounding": {"kind": "resistance", "r": 0.5}},
            {"id": "l1", "phases": "ABCN", "base_voltage": 400.0, "customers": 2, "position": [100.0, 5.0]},
            {"id": "l2", "phases": "AN", "base_voltage": 400.0, "customers": 1},
        ],
        "sources": [
            {
                "id": "grid",
                "node": "m0",
                "voltage": 11547.0,
                "r1": 0.1,
                "x1": 1.0,
                "r0": 40.0,
                "x0": 2.0,
                "grounding": "resistance",
            }
        ],
        "line_types": [
            {
                "id": "cable-mv",
                "phases": "ABC",
                "sequence": {"r1": 2e-4, "x1": 1e-4, "r0": 8e-4, "x0": 4e-4, "b1": 8e-8, "b0": 8e-8},
                "impedance_uncertainty": 0.02,
                "rating": 250.0,
            },
            {
                "id": "cable-lv",
                "phases": "ABCN",
                "r": [[4e-4 if i == j else 5e-5 for j in range(4)] for i in range(4)],
                "x": [[7e-4 if i == j else 5e-4 for j in range(4)] for i in range(4)],
            },
        ],
        "branches": [
            {"id": "b1", "from_node": "m1", "to_node": "m2", "length": 800.0, "line_type": "cable-mv"},
            {
                "id": "b2",
                "from_node": "m1",
                "to_node": "m3",
                "length": 500.0,
                "line_type": "cable-mv",
                "impedance_uncertainty": 0.05,
            },
            {"id": "b3", "from_node": "l0", "to_node": "l1", "length": 120.0, "line_type": "cable-lv"},
            {
                "id": "b4",
                "from_node": "l1",
                "to_node": "l2",
                "length": 20.0,
                "phases": "AN",
                "r": [[0.02, 0.001], [0.001, 0.02]],
                "x": [[0.014, 0.01], [0.01, 0.014]],
                "rating": 63.0,
            },
        ],
        "transformers": [
            {
                "id": "t1",
                "from_node": "m2",
                "to_node": "l0",
                "vector_group": "Dyn11",
                "rated_power": 400e3,
                "rated_voltage": [20e3, 400.0],
                "r": 11.0,
                "x": 38.0,
                "to_grounding": {"kind": "solid"},
                "tap": {"end": 0, "position": 1, "step": 0.025, "lowest": -2, "highest": 2},
            }
        ],
        "loads": [
            {
                "id": "c1",
                "node": "l1",
                "p": {"A": 900.0, "B": 1200.0, "C": 800.0},
                "q": {"A": 90.0, "B": 100.0, "C": 80.0},
                "u_p": {"A": 450.0, "B": 600.0, "C": 400.0},
            },
            {"id": "c2", "node": "l2", "p": {"A": 700.0}, "q": {"A": 70.0}, "p_exponent": 1.2, "profile": "H0"},
            {
                "id": "factory",
                "node": "m3",
                "connection": "delta",
                "p": {"AB": 50e3, "BC": 50e3, "CA": 50e3},
                "q": {"AB": 9e3, "BC": 9e3, "CA": 9e3},
            },
        ],
        "generators": [{"id": "pv", "node": "l2", "p": {"A": -3000.0}, "q": {"A": 0.0}, "rated_power": 4000.0}],
        "switches": [
            {
                "id": "cb",
                "from_node": "m0",
                "to_node": "m1",
                "kind": "breaker",
                "operation": "remote",
                "breaks": 16e3,
                "closes": 16e3,
            },
            {"id": "tie", "from_node": "m2", "to_node": "m3", "kind": "load-break-switch", "normal": "open"},
        ],
        "protections": [{"id": "relay", "switch": "cb", "phase_current": 400.0, "delay": 0.1, "dead_times": [0.4]}],
        "terminals": [
            {"id": "t-head", "node": "m1", "phases": "ABC", "equipment": "cb", "device": "meter-1"},
            {"id": "t-c2", "node": "l2", "phases": "AN", "equipment": "c2"},
        ],
        "areas": [
            {"id": "area-mv", "level": "mv", "nodes": ["m0", "m1", "m2", "m3"], "head": "m0"},
            {"id": "area-lv", "level": "lv", "nodes": ["l0", "l1", "l2"], "head": "m2"},
        ],
    }


def element(document: Document, name: str) -> Document:
    """Find an element of a document by its id."""
    return next(
        item
        for items in document.values()
        if isinstance(items, list)
        for item in items
        if isinstance(item, dict) and item["id"] == name
    )


def unswitched_feeder_document() -> Document:
    """Give the same feeder without its switches, as engines without switches can take it."""
    document = feeder_document()
    for name in ("switches", "protections", "terminals", "areas"):
        document[name] = []
    document["nodes"] = [node for node in document["nodes"] if node["id"] != "m0"]
    document["sources"][0]["node"] = "m1"
    return document


def substation_document(**transformer: Any) -> Document:
    """Give a 20 kV source, a 20/0.4 kV transformer of 10 + j40 ohm with the fields stated, and its LV node."""
    group = transformer.get("vector_group", "Dyn11")
    stated: Document = {
        "id": "transformer",
        "from_node": "high",
        "to_node": "low",
        "vector_group": "Dyn11",
        "rated_power": 400e3,
        "rated_voltage": [20e3, 400.0],
        "r": 10.0,
        "x": 40.0,
    }
    if group.rstrip("0123456789").endswith("n"):
        stated["to_grounding"] = {"kind": "solid"}
    if group.startswith(("YN", "ZN")):
        stated["from_grounding"] = {"kind": "solid"}
    return {
        "schema": "network/1",
        "network": "substation",
        "revision": 1,
        "nodes": [
            {"id": "high", "phases": "ABC", "base_voltage": 20e3},
            {"id": "low", "phases": "ABC", "base_voltage": 400.0},
        ],
        "sources": [
            {"id": "grid", "node": "high", "voltage": 11547.0, "r1": 0.1, "x1": 1.0, "r0": 0.2, "x0": 2.0},
        ],
        "transformers": [stated | transformer],
    }
