"""Areas of random networks with random switches: every part is right, and holds what scipy finds to hang together."""

from random import Random

import msgspec
import numpy as np
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from algorithms.api.network_area import Areas
from algorithms.api.network_document import NetworkDocument, SwitchStates
from algorithms.api.network_problems import problems
from algorithms.api.network_reader import parse
from tests.support.networks import Document
from tests.support.random_networks import random_document, switched_document


def islands(names: list[str], pairs: list[tuple[str, str]]) -> list[set[str]]:
    """Let scipy find what hangs together."""
    rows = {name: row for row, name in enumerate(names)}
    ends = np.array([(rows[one], rows[other]) for one, other in pairs], dtype=int).reshape(-1, 2)
    matrix = coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(len(names),) * 2)
    labels = connected_components(matrix, directed=False)[1]
    return [{name for name, label in zip(names, labels, strict=True) if label == one} for one in set(labels.tolist())]


def joints(document: Document, states: dict[str, str] | None = None) -> list[tuple[str, str]]:
    """Give what joins nodes of one voltage, switches as they stand; all of them where no states are given."""
    switches = [one for one in document["switches"] if states is None or states[one["id"]] == "closed"]
    return [(edge["from_node"], edge["to_node"]) for edge in (*document["branches"], *switches)]


def sectionalised(document: Document, pick: Random) -> None:
    """Put switches into a fifth of the lines."""
    at = {node["id"]: node for node in document["nodes"]}
    for branch in pick.sample(document["branches"], len(document["branches"]) // 5):
        node, near = branch["to_node"], f"{branch['to_node']}-near"
        document["nodes"].append({**at[node], "id": near})
        ends = {"from_node": near, "to_node": node, "phases": at[node]["phases"]}
        document["switches"].append({"id": f"switch-{node}", **ends, "kind": "load-break-switch"})
        branch["to_node"] = near


def layered(seed: int) -> tuple[Document, dict[str, str]]:
    """Give a random network with an area for the upper voltage and one below each transformer, ties, and states."""
    pick = Random(seed)
    document = switched_document(seed, 30) if seed % 3 == 0 else random_document(seed, 120 + seed)
    if document.setdefault("switches", []) == []:
        sectionalised(document, pick)
    voltages = {node["id"]: node["base_voltage"] for node in document["nodes"]}
    upper = max(voltages.values())
    low_sides = {transformer["to_node"]: transformer for transformer in document["transformers"]}
    document["areas"] = []
    for number, found in enumerate(islands(list(voltages), joints(document))):
        nodes = [node for node in voltages if node in found]
        high = voltages[nodes[0]] == upper
        heads = [low_sides[node]["from_node"] for node in nodes if node in low_sides]
        head = document["sources"][0]["node"] if high else heads[0]
        level = "mv" if high else "lv"
        document["areas"].append({"id": f"{level}-{number}", "level": level, "nodes": nodes, "head": head})
    for number in range(12):
        one, other = pick.sample(sorted(voltages), 2)
        phases = "".join(
            letter
            for letter in "ABC"
            if all(letter in node["phases"] for node in document["nodes"] if node["id"] in (one, other))
        )
        if voltages[one] == voltages[other] and phases:
            tie = {"id": f"tie-{number}", "from_node": one, "to_node": other, "normal": "open", "phases": phases}
            document["switches"].append({**tie, "kind": "load-break-switch"})
    states = {
        switch["id"]: pick.choice(
            ("open", "closed", "closed") if "switch" in switch["id"] else ("open", "open", "closed")
        )
        for switch in document["switches"]
    }
    return document, states


@pytest.mark.parametrize("seed", range(40))
def test_every_part_is_right_and_has_what_its_transformer_supplies(seed):
    document, states = layered(seed)
    assert [str(problem) for problem in problems(document)] == []
    read = msgspec.convert(document, NetworkDocument)
    switches = SwitchStates(document["network"], 1, states)
    areas = Areas(read, switches)
    parts = {area.id: areas.cut(area.id) for area in read.areas}
    for part in parts.values():
        assert [str(problem) for problem in problems(part)] == []
        parse(part).with_switches(switches)

    voltages = {node["id"]: node["base_voltage"] for node in document["nodes"]}
    owner = {node: area["id"] for area in document["areas"] for node in area["nodes"]}
    source = document["sources"][0]["node"]
    together = islands(list(voltages), joints(document, states))
    live_upper = next(found for found in together if source in found)
    for found in together:
        if source in found:
            feeders = {owner[source]}
        else:
            feeding = [one for one in document["transformers"] if one["from_node"] in live_upper]
            feeders = {owner[one["to_node"]] for one in feeding if one["to_node"] in found}
        if len(feeders) == 1:
            (name,) = feeders
            assert found <= set(parts[name].areas[0].nodes)
            others = [part for other, part in parts.items() if other != name]
            assert not any(found & set(part.areas[0].nodes) - {part.areas[0].head} for part in others)
        elif not feeders:  # dark: whoever owns a node keeps it, as far as a switch could bring it back
            for part in parts.values():
                there = found & set(part.areas[0].nodes) - {part.areas[0].head}
                assert {owner[node] for node in there} <= {part.areas[0].id}
