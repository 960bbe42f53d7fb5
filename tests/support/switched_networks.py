"""Random MV networks of switches and ties, balanced, small enough to try every position; the same for the same seed."""

from random import Random

from tests.support.networks import Document


def switched_document(seed: int, zones: int = 7, ties: int = 2, *, sources: int = 2, rating: float = 400.0) -> Document:
    """
    Give `zones` nodes joined by lines with a switch each, of which `ties` stand open, fed at `sources` of them.

    Parameters
    ----------
    seed : int
    zones, ties, sources : int
    rating : float
        Of every line [A].
    """
    pick = Random(seed)
    document: Document = {
        "schema": "network/1",
        "network": f"switched-{seed}",
        "revision": 1,
        "nodes": [
            {"id": f"n{number}", "phases": "ABC", "base_voltage": 10e3, "customers": pick.randint(1, 60)}
            for number in range(zones)
        ],
        "sources": [
            {"id": f"grid{n}", "node": f"n{n}", "voltage": 5773.5, "r1": 0.01, "x1": 0.1, "r0": 0.01, "x0": 0.1}
            for n in range(sources)
        ],
        "branches": [],
        "loads": [],
        "switches": [],
    }
    joined = set()
    for number in range(sources, zones):
        _edge(document, pick, (number, pick.randrange(number)), normal="closed", rating=rating)
        joined.add(frozenset((number, _last(document))))
    while ties:
        one, other = pick.sample(range(zones), 2)
        if frozenset((one, other)) not in joined and not {one, other} <= set(range(sources)):
            _edge(document, pick, (one, other), normal="open", rating=rating)
            joined.add(frozenset((one, other)))
            ties -= 1
    for number in range(sources, zones):
        p = pick.uniform(0.2e6, 1.5e6)
        document["loads"].append(
            {
                "id": f"load{number}",
                "node": f"n{number}",
                "p": dict.fromkeys("ABC", p / 3),
                "q": dict.fromkeys("ABC", 0.3 * p / 3),
            }
        )
    return document


def _last(document: Document) -> int:
    return int(document["switches"][-1]["from_node"][1:])


def _edge(document: Document, pick: Random, ends: tuple[int, int], *, normal: str, rating: float) -> None:
    one, other = ends
    number = len(document["switches"])
    r = pick.uniform(0.1, 0.8)
    document["nodes"].append({"id": f"x{number}", "phases": "ABC", "base_voltage": 10e3})
    document["switches"].append(
        {
            "id": f"s{number}",
            "from_node": f"n{other}",
            "to_node": f"x{number}",
            "kind": "load-break-switch",
            "normal": normal,
            "operation": "remote",
            "breaks": 630.0,
            "closes": 10e3,
            "operating_time": 0.2,
        }
    )
    document["branches"].append(
        {
            "id": f"l{number}",
            "from_node": f"x{number}",
            "to_node": f"n{one}",
            "length": 1000.0,
            "phases": "ABC",
            "sequence": {"r1": r, "x1": r, "r0": r, "x0": r},
            "rating": rating,
        }
    )
