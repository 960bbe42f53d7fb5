"""
Loads where the network has no path to earth.

Where it stands: `pandapower_import` calls `between_phases`. Other programs calculate balanced networks without a zero
sequence; what they call a load from phase to neutral cannot be one where no neutral is, and no earth to return by.
"""

import re

from msgspec.structs import replace

from algorithms.api.network_document import NetworkDocument
from algorithms.api.network_equipment import Connection, Load, Transformer
from device_catalog.network_files.imported import Remarks
from device_catalog.network_files.reach import neighbours, reached

_group = re.compile(r"(YN|ZN|Y|D|Z)(yn|zn|y|d|z)\d+")
_pairs = {"A": "AB", "B": "BC", "C": "CA"}


def between_phases(document: NetworkDocument, remarks: Remarks) -> NetworkDocument:
    """Connect balanced loads and generators between phases wherever there is no path to earth, and say so."""
    joined = neighbours(document, [*document.branches, *document.switches])
    starts = {source.node for source in document.sources if source.r0 is not None}
    starts |= {node for one in document.transformers for node in _earthed_ends(one)}
    earthed = set(reached(joined, dict.fromkeys(starts)))
    changed: list[str] = []

    def turned(load: Load) -> Load:
        balanced = set(load.p) == {"A", "B", "C"} and len(set(load.p.values())) == len(set(load.q.values())) == 1
        if load.node in earthed or load.connection == Connection.DELTA or not balanced:
            return load
        changed.append(load.name or load.id)
        p, q = ({_pairs[key]: value for key, value in powers.items()} for powers in (load.p, load.q))
        return replace(load, connection=Connection.DELTA, p=p, q=q)

    loads = tuple(turned(load) for load in document.loads)
    generators = tuple(turned(one) for one in document.generators)
    if changed:
        why = "there is no path to earth where they are: connected between phases"
        remarks.changed("balanced loads and generators", why, changed)
    return replace(document, loads=loads, generators=generators)


def _earthed_ends(one: Transformer) -> list[str]:
    """Give the nodes of a transformer where zero-sequence current finds a way to earth."""
    match = _group.fullmatch(one.vector_group)
    if match is None:
        return [one.from_node, one.to_node] if len(one.phases) == 1 else []
    ends = []
    windings = match[1], match[2].upper()
    for end, node, grounding in ((0, one.from_node, one.from_grounding), (1, one.to_node, one.to_grounding)):
        through = windings[end] == "ZN" or (windings[end] == "YN" and windings[1 - end] in ("D", "YN"))
        if grounding is not None and (through or one.x0m is not None):
            ends.append(node)
    return ends
