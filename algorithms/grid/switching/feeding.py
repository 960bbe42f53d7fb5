"""
Where the parts of a network are fed, and which of them the switching of networks is about.

Where it stands: `switched` asks it once for a network. Transformers part it: it is fed where a source stands or where a
transformer leads down to it, from the highest level down. Only parts with a switch that is operated from afar count, or
all where there is none.
"""

import numpy as np

from algorithms.api.network import NetworkModel
from algorithms.api.network_operation import Operation
from algorithms.api.network_tables import Integers, Truths


def root_of(first: list[int], at: int) -> int:
    """Give the one that stands for what `at` hangs together with, shortening the way there (union-find)."""
    while first[at] != at:
        first[at] = at = first[first[at]]
    return at


def scope_of(model: NetworkModel, operable: Truths, feeding: list[tuple[str, int]]) -> tuple[Truths, Integers]:
    """Tell which nodes are in parts that count, and which node stands for each."""
    part = np.array(parts_of(model), dtype=np.intp)
    remote = operable | np.array([operation == Operation.REMOTE for operation in model.switches.operation], dtype=bool)
    moved = np.unique(part[model.switches.from_node[remote]])
    counted = np.isin(part, moved) if len(moved) else np.ones(len(part), dtype=bool)
    standing = np.arange(len(part))
    table = model.transformers
    for kind, row in feeding:  # from the highest level down
        low = table.to_node[row] if kind == "transformer" else 0
        if kind == "transformer" and not counted[low]:
            standing[part == part[low]] = standing[table.from_node[row]]
    return counted, standing


def parts_of(model: NetworkModel) -> list[int]:
    """Give each node the number of its part: what hangs together without transformers, all switches being closed."""
    first = list(range(len(model.nodes)))
    for table in (model.branches, model.switches):
        for one, other in zip(table.from_node.tolist(), table.to_node.tolist(), strict=True):
            a, b = root_of(first, one), root_of(first, other)
            first[max(a, b)] = min(a, b)
    return [root_of(first, node) for node in range(len(first))]


def feeding_points(model: NetworkModel) -> tuple[list[int], list[tuple[str, int]]]:
    """Give the nodes at which sources stand or to which transformers lead down, and what feeds each of them."""
    part = parts_of(model)
    roots: list[int] = []
    feeding: list[tuple[str, int]] = []
    for row, node in enumerate(model.sources.node.tolist()):
        if node not in roots:
            roots.append(node)
            feeding.append(("source", row))
    level = {part[node] for node in roots}
    reached = set(level)
    table = model.transformers
    ends = list(zip(table.from_node.tolist(), table.to_node.tolist(), strict=True))
    while level:
        below: set[int] = set()
        for row, (high, low) in enumerate(ends):
            if part[high] in level and part[low] not in reached and low not in roots:
                roots.append(low)
                feeding.append(("transformer", row))
                below.add(part[low])
        reached |= below
        level = below
    return roots, feeding
