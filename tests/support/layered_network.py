"""A network of three levels for tests: one MV area, two LV areas below it, a concentrator below each, ties."""

from typing import Any

from tests.support.networks import Document


def layered_document(network: str = "net-3", revision: int = 1) -> Document:
    """
    Give 20 kV source m0; feeders m1-m2 and m3 with an open tie; a Dyn11 transformer and a feeder of LV nodes at m1
    and m3; an open LV tie between the ends; customers behind l11 (concentrator c-1) and l22 (concentrator c-2).
    """
    mv_nodes = [{"id": name, "phases": "ABC", "base_voltage": 20e3} for name in ("m0", "m1", "m2", "m3")]
    lv_names = ("l10", "l11", "l12", "l20", "l21", "l22")
    customers = {"k1": ("l11", "A"), "k2": ("l11", "ABC"), "k3": ("l22", "B")}
    return {
        "schema": "network/1",
        "network": network,
        "revision": revision,
        "nodes": [
            *mv_nodes,
            *({"id": name, "phases": "ABC", "base_voltage": 400.0} for name in lv_names),
            *(
                {"id": name, "phases": phases, "base_voltage": 400.0, "customers": 1}
                for name, (_, phases) in customers.items()
            ),
        ],
        "sources": [{"id": "grid", "node": "m0", "voltage": 11547.0, "r1": 0.1, "x1": 1.0, "r0": 0.2, "x0": 2.0}],
        "line_types": [
            {"id": "cable-mv", "phases": "ABC", "sequence": {"r1": 2e-4, "x1": 1e-4, "r0": 8e-4, "x0": 4e-4}},
            {"id": "cable-lv", "phases": "ABC", "sequence": {"r1": 3e-4, "x1": 8e-5, "r0": 9e-4, "x0": 3e-4}},
            {"id": "service", "phases": "A", "r": [[1e-3]], "x": [[4e-4]]},
        ],
        "branches": [
            _line("b-m1", "m0", "m1", 800.0, "cable-mv"),
            _line("b-m2", "m1", "m2", 500.0, "cable-mv"),
            _line("b-l11", "l10", "l11", 90.0, "cable-lv"),
            _line("b-l12", "l11", "l12", 60.0, "cable-lv"),
            _line("b-l21", "l20", "l21", 70.0, "cable-lv"),
            _line("b-k1", "l11", "k1", 15.0, "service"),
            _line("b-k2", "l11", "k2", 20.0, "cable-lv"),
            {
                **_line("b-k3", "l22", "k3", 25.0, ""),
                "phases": "B",
                "r": [[0.02]],
                "x": [[0.01]],
            },
        ],
        "transformers": [_transformer("t1", "m1", "l10"), _transformer("t2", "m3", "l20")],
        "loads": [
            {"id": "h1", "node": "k1", "p": {"A": 900.0}, "q": {"A": 90.0}, "u_p": {"A": 400.0}, "u_q": {"A": 40.0}},
            {
                "id": "h2",
                "node": "k2",
                "p": {"A": 500.0, "B": 600.0, "C": 700.0},
                "q": {"A": 50.0, "B": 60.0, "C": 70.0},
                "u_p": {"A": 300.0, "B": 300.0, "C": 300.0},
                "u_q": {"A": 30.0, "B": 30.0, "C": 30.0},
            },
            {"id": "h3", "node": "k3", "p": {"B": 1200.0}, "q": {"B": 100.0}, "u_p": {"B": 600.0}, "u_q": {"B": 60.0}},
            {"id": "shop", "node": "l12", "p": {"A": 3e3, "B": 3e3, "C": 3e3}, "q": {"A": 0.0, "B": 0.0, "C": 0.0}},
        ],
        "generators": [{"id": "pv", "node": "k2", "p": {"A": -800.0}, "q": {"A": 0.0}, "u_p": {"A": 1.0},
                        "u_q": {"A": 1.0}}],
        "switches": [
            _switch("s-m3", "m0", "m3", "closed"),
            _switch("tie-m", "m2", "m3", "open"),
            _switch("s-l2", "l21", "l22", "closed"),
            _switch("tie-l", "l12", "l22", "open"),
        ],
        "terminals": [
            {"id": "at-m0", "node": "m0", "phases": "ABC", "equipment": "grid", "device": "meter-m0"},
            {"id": "at-t1", "node": "m1", "phases": "ABC", "equipment": "t1", "device": "meter-t1"},
            {"id": "at-m2", "node": "m2", "phases": "ABC", "equipment": "tie-m", "device": "meter-m2"},
            {"id": "at-shop", "node": "l12", "phases": "ABC", "equipment": "shop", "device": "meter-shop"},
            {"id": "at-h1", "node": "k1", "phases": "A", "equipment": "h1", "device": "meter-h1"},
            {"id": "at-h2", "node": "k2", "phases": "ABC", "equipment": "h2", "device": "meter-h2"},
            {"id": "at-h3", "node": "k3", "phases": "B", "equipment": "h3", "device": "meter-h3"},
            {"id": "at-l22", "node": "l22", "phases": "ABC", "device": "meter-l22"},
        ],
        "areas": [
            _area("mv", "mv", ("m0", "m1", "m2", "m3"), "m0"),
            _area("lv-1", "lv", ("l10", "l11", "l12"), "m1"),
            _area("lv-2", "lv", ("l20", "l21", "l22"), "m3"),
            _area("c-1", "concentrator", ("k1", "k2"), "l11"),
            _area("c-2", "concentrator", ("k3",), "l22"),
        ],
    }  # fmt: skip


def states_of(document: Document, revision: int, **other: str) -> Document:
    """Give switch states that stand normally but for those stated; ``_`` in a name stands for ``-``."""
    states = {switch["id"]: switch.get("normal", "closed") for switch in document["switches"]}
    states |= {name.replace("_", "-"): state for name, state in other.items()}
    return {"schema": "topology/1", "network": document["network"], "revision": revision, "states": states}


def _line(name: str, from_node: str, to_node: str, length: float, line_type: str) -> Document:
    return {"id": name, "from_node": from_node, "to_node": to_node, "length": length} | (
        {"line_type": line_type} if line_type else {}
    )


def _transformer(name: str, from_node: str, to_node: str) -> Document:
    rating: dict[str, Any] = {"vector_group": "Dyn11", "rated_power": 400e3, "rated_voltage": [20e3, 400.0]}
    return {"id": name, "from_node": from_node, "to_node": to_node, "r": 11.0, "x": 38.0, **rating,
            "to_grounding": {"kind": "solid"}}  # fmt: skip


def _switch(name: str, from_node: str, to_node: str, normal: str) -> Document:
    return {"id": name, "from_node": from_node, "to_node": to_node, "kind": "load-break-switch", "normal": normal,
            "operation": "remote"}  # fmt: skip


def _area(name: str, level: str, nodes: tuple[str, ...], head: str) -> Document:
    return {"id": name, "level": level, "nodes": list(nodes), "head": head, "device": f"agent-{name}"}
