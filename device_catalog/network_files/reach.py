"""
What hangs together in a network document.

Where it stands: importers leave out what no source feeds (`without_dark`); `areas` and the drawing follow the network
from its sources; `summary` counts loops.
"""

from collections import deque
from collections.abc import Iterable

import msgspec

from algorithms.api.network_document import NetworkDocument
from algorithms.api.network_equipment import Branch, Transformer
from algorithms.api.network_operation import Switch, SwitchState
from device_catalog.network_files.imported import Remarks

Edge = Branch | Transformer | Switch


def edges(document: NetworkDocument, *, closed_only: bool = False) -> list[Edge]:
    """Give everything that joins two nodes, or all but switches that stand open."""
    switches = [one for one in document.switches if not closed_only or one.normal == SwitchState.CLOSED]
    return [*document.branches, *document.transformers, *switches]


def neighbours(document: NetworkDocument, joining: Iterable[Edge]) -> dict[str, list[tuple[str, Edge]]]:
    """Give for each node what leads from it, and where to."""
    found: dict[str, list[tuple[str, Edge]]] = {node.id: [] for node in document.nodes}
    for edge in joining:
        found[edge.from_node].append((edge.to_node, edge))
        found[edge.to_node].append((edge.from_node, edge))
    return found


def reached(around: dict[str, list[tuple[str, Edge]]], starts: Iterable[str]) -> dict[str, tuple[str, Edge] | None]:
    """Go outward from some nodes; give, in the order met, from where and by what each was first reached."""
    found: dict[str, tuple[str, Edge] | None] = dict.fromkeys(starts)
    waiting = deque(found)
    while waiting:
        node = waiting.popleft()
        for other, edge in around[node]:
            if other not in found:
                found[other] = node, edge
                waiting.append(other)
    return found


def without_dark(document: NetworkDocument, remarks: Remarks) -> NetworkDocument:
    """Leave out what no source feeds even with all switches closed, and say so."""
    around = neighbours(document, edges(document))
    fed = set(reached(around, dict.fromkeys(source.node for source in document.sources)))
    dark = [node.name or node.id for node in document.nodes if node.id not in fed]
    if not dark:
        return document
    remarks.left_out("node", "no source feeds it, all switches closed; nor what hangs on it", dark)
    kept = {
        "nodes": [node for node in document.nodes if node.id in fed],
        **{
            name: [edge for edge in getattr(document, name) if edge.from_node in fed]
            for name in ("branches", "transformers", "switches")
        },
        **{
            name: [one for one in getattr(document, name) if one.node in fed]
            for name in ("loads", "generators", "terminals")
        },
    }
    return msgspec.structs.replace(document, **{name: tuple(values) for name, values in kept.items()})


class Joined:
    """Disjoint sets of nodes."""

    def __init__(self, nodes: Iterable[str]) -> None:
        self.first = {node: node for node in nodes}

    def root(self, node: str) -> str:
        """Give the node that stands for the set of this one."""
        while (above := self.first[node]) != node:
            self.first[node] = self.first[above]
            node = self.first[node]
        return node

    def join(self, one: str, other: str) -> bool:
        """Join two sets; tell whether they were one already."""
        one, other = self.root(one), self.root(other)
        self.first[other] = one
        return one == other
