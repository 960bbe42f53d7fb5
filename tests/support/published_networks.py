"""
Published distribution networks with tie switches, as documents: data from the tables named in `published_networks/`.

Every branch has a switch of its own at its first bus, ``s1`` for branch 1, which is how the literature counts them.
"""

from pathlib import Path
from typing import Any

from tests.support.networks import Document

_folder = Path(__file__).parent / "published_networks"

BASE_LOSSES = {
    "civanlar_16": 511.4e3,
    "baran_wu_33": 202.677e3,
    "baran_wu_69": 224.99e3,
    "zhang_119": 1298.09e3,
    "mantovani_136": 320.36e3,
}
"""Losses with the switches as published [W]."""

BEST_KNOWN = {
    "civanlar_16": (466.1e3, (7, 8, 16)),
    "baran_wu_33": (139.55e3, (7, 9, 14, 32, 37)),
    "baran_wu_69": (98.605e3, (14, 57, 61, 69, 70)),
    "zhang_119": (869.73e3, (23, 26, 34, 39, 42, 51, 58, 71, 74, 95, 97, 109, 122, 129, 130)),
    "mantovani_136": (
        280.19e3,
        (7, 35, 51, 90, 96, 106, 118, 126, 135, 137, 138, 141, 142, 144, 145, 146, 147, 148, 150, 151, 155),
    ),
}
"""
Losses [W] and open switches of the best position published: for 16 buses the optimum that enumeration proves; for 69
that of J. S. Savier, D. Das (doi 10.1109/TPWRD.2007.905370); for 33, 119 and 136 that of R. A. Jabr, R. Singh,
B. C. Pal, IEEE Trans. Power Systems 27:2 (2012) 1106-1115, doi 10.1109/TPWRS.2011.2180406.
"""


def published_document(name: str) -> Document:
    """Give a published network as a document, its switches standing as published."""
    rows = [line.split(",") for line in (_folder / f"{name}.csv").read_text().splitlines() if line[0] != "#"]
    return tabled_document(name, rows)


def tabled_document(name: str, rows: list[list[str]]) -> Document:
    """
    Give a network as a document, every branch with a switch of its own.

    Parameters
    ----------
    name : str
    rows : list of list of str
        ``voltage`` [kV]; ``source``, bus; ``load``, bus, kW, kvar; ``branch``, from, to, ohm, ohm, 1 closed or 0 open.
    """
    base = next(1e3 * float(row[1]) for row in rows if row[0] == "voltage")
    branches = [row[1:] for row in rows if row[0] == "branch"]
    buses = sorted({int(bus) for row in branches for bus in row[:2]})
    document: Document = {
        "schema": "network/1",
        "network": name,
        "revision": 1,
        "nodes": [{"id": f"b{bus}", "phases": "ABC", "base_voltage": base, "customers": 10} for bus in buses],
        "sources": [
            {
                "id": f"source{row[1]}",
                "node": f"b{row[1]}",
                "voltage": base / 3**0.5,
                "r1": 1e-9,
                "x1": 1e-6,
                "r0": 1e-9,
                "x0": 1e-6,
                "grounding": "solid",
            }
            for row in rows
            if row[0] == "source"
        ],
        "branches": [],
        "switches": [],
        "loads": [_load(row[1], float(row[2]), float(row[3])) for row in rows if row[0] == "load"],
    }
    for number, (one, other, r, x, closed) in enumerate(branches, start=1):
        document["nodes"].append({"id": f"x{number}", "phases": "ABC", "base_voltage": base})
        document["branches"].append(_line(number, f"x{number}", f"b{other}", float(r), float(x)))
        document["switches"].append(
            {
                "id": f"s{number}",
                "from_node": f"b{one}",
                "to_node": f"x{number}",
                "kind": "load-break-switch",
                "operation": "remote",
                "normal": "closed" if int(closed) else "open",
                "breaks": 630.0,
                "closes": 10e3,
            }
        )
    return document


def _line(number: int, one: str, other: str, r: float, x: float) -> dict[str, Any]:
    sequence = {"r1": r, "x1": x, "r0": r, "x0": x}
    ends = {"from_node": one, "to_node": other, "length": 1000.0}
    return {"id": f"l{number}", **ends, "phases": "ABC", "sequence": sequence}


def _load(bus: str, p: float, q: float) -> dict[str, Any]:
    each_p, each_q = 1e3 * p / 3, 1e3 * q / 3
    return {
        "id": f"load{bus}",
        "node": f"b{bus}",
        "p": dict.fromkeys("ABC", each_p),
        "q": dict.fromkeys("ABC", each_q),
    }
