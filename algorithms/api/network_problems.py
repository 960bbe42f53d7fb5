"""
Everything wrong with a network document, found at once: `problems`.

Where it stands: the catalog stores no document with problems, `network_reader.parse` refuses one, an importer tells its
user. The rules here are about identity, references, phases, areas and what hangs together; `network_quantities` has
those about numbers and units.

Rules:

- Each rule is a small function that gives problems; none stops at the first.
- A rule passes over what another rule has found wrong already, so that one fault is one problem.
- What a switch may connect counts as connected when reachability is judged; loops are judged with switches standing
  normally. Both are judged phase by phase, so three single-phase lines side by side are no loop.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from algorithms.api.errors import Problem, shortened
from algorithms.api.network_area import below_id
from algorithms.api.network_connections import Joined, edges, live, loops
from algorithms.api.network_document import MAXIMUM_REVISION, NetworkDocument
from algorithms.api.network_equipment import Branch, Connection, Element, Generator, Load, Transformer
from algorithms.api.network_operation import Area, Level, SwitchKind
from algorithms.api.network_quantities import problems_of_quantities
from algorithms.api.network_schema import read_form

CONDUCTORS = "ABCN"
PAIRS = ("AB", "BC", "CA")

_identifier = re.compile(r"[A-Za-z0-9_-]{1,64}")
_above = {Level.CONCENTRATOR: (Level.LV,), Level.LV: (Level.MV,), Level.MV: (Level.MV,)}

_lists = (
    *("nodes", "sources", "line_types", "branches", "transformers", "loads", "generators", "switches"),
    *("protections", "terminals", "areas"),
)


def problems(document: bytes | Mapping[str, Any] | NetworkDocument) -> list[Problem]:
    """
    Find everything wrong with a network document.

    Parameters
    ----------
    document : bytes, mapping or NetworkDocument
        JSON, what JSON was read to, or the document itself.

    Returns
    -------
    list of Problem
        Empty where the document is right.

    Examples
    --------
    >>> for problem in problems(b'{"schema": "network/1", "network": "n", "revision": 1, "nodes": [{"id": "a"}]}'):
    ...     print(problem)
    nodes[a].phases: expected a value, found nothing; state it
    nodes[a].base_voltage: expected a value, found nothing; state it
    sources: expected at least one source, found none; state what feeds the network
    """
    form = read_form(document)
    if form.document is None:
        return list(form.problems)
    return [*form.problems, *problems_of_content(form.document, form.left_out)]


def problems_of_content(document: NetworkDocument, left_out: Mapping[str, str]) -> list[Problem]:
    """Find everything wrong with what a document of right form says; `left_out` has ids told wrong already."""
    view = _View(document, left_out)
    return [
        *_identity(view),
        *_references(view),
        *_phases(view),
        *_loads(view),
        *_areas(view),
        *_heads(view),
        *_voltages(view),
        *_terminals(view),
        *_protections(view),
        *problems_of_quantities(document),
        *_reachability(view),
        *_loops(view),
    ]


class _View:
    """A document by its ids."""

    def __init__(self, document: NetworkDocument, left_out: Mapping[str, str]) -> None:
        self.document = document
        self.lists: dict[str, tuple[Element, ...]] = {name: getattr(document, name) for name in _lists}
        self.nodes = {node.id: node for node in document.nodes}
        self.line_types = {line_type.id: line_type for line_type in document.line_types}
        self.left_out = left_out

    def ids(self, *lists: str) -> set[str]:
        return {element.id for name in lists for element in self.lists[name]}

    def injections(self) -> Iterator[tuple[str, Load]]:
        for load in self.document.loads:
            yield f"loads[{load.id}]", load
        for generator in self.document.generators:
            yield f"generators[{generator.id}]", generator


def _identity(view: _View) -> Iterator[Problem]:
    document = view.document
    if not _identifier.fullmatch(document.network):
        expected = "letters, digits, _ and - (at most 64)"
        yield Problem("network", expected, shortened(document.network), "name the network")
    if not 0 < document.revision <= MAXIMUM_REVISION:
        yield Problem("revision", f"a whole number from 1 to {MAXIMUM_REVISION}", shortened(document.revision))
    if not document.sources and "sources" not in view.left_out.values():
        yield Problem("sources", "at least one source", "none", "state what feeds the network")
    everywhere = Counter(element.id for elements in view.lists.values() for element in elements)
    told: set[str] = set()
    for name, elements in view.lists.items():
        for number, element in enumerate(elements):
            if not _identifier.fullmatch(element.id):
                yield Problem(
                    f"{name}[{number}].id", "letters, digits, _ and - (at most 64)", shortened(element.id) or "nothing"
                )
            elif (everywhere[element.id] > 1 or element.id in view.left_out) and element.id not in told:
                told.add(element.id)
                yield Problem(
                    f"{name}[{element.id}].id", "an id of its own", f"it {everywhere[element.id]} times", "rename one"
                )


def _references(view: _View) -> Iterator[Problem]:
    equipment = view.ids("branches", "transformers", "loads", "generators", "switches", "sources")
    known: dict[str, tuple[str, set[str]]] = {
        "node": ("a node", set(view.nodes)),
        "from_node": ("a node", set(view.nodes)),
        "to_node": ("a node", set(view.nodes)),
        "head": ("a node", set(view.nodes)),
        "nodes": ("a node", set(view.nodes)),
        "line_type": ("a line type", set(view.line_types)),
        "switch": ("a switch", view.ids("switches")),
        "equipment": ("a branch, transformer, load, generator, switch or source", equipment),
    }
    for name, elements in view.lists.items():
        for element in elements:
            for field, (what, ids) in known.items():
                value = getattr(element, field, ())
                for reference in (value,) if isinstance(value, str) else value:
                    optional = field in ("line_type", "equipment") and not reference
                    if reference not in ids and reference not in view.left_out and not optional:
                        where = f"{name}[{element.id}].{field}"
                        yield Problem(where, f"{what} of this document", shortened(reference) or "nothing")
    for where, edge, _ in edges(view.document):
        if edge.from_node == edge.to_node:
            yield Problem(f"{where}.to_node", "another node than from_node", shortened(edge.to_node))


def _is_phases(text: str) -> bool:
    return bool(text) and text == "".join(letter for letter in CONDUCTORS if letter in text)


def _phases(view: _View) -> Iterator[Problem]:  # noqa: C901 - a list of rules
    expected = "letters of ABCN in this order"
    for name in ("nodes", "line_types", "branches", "transformers", "switches", "terminals"):
        for element in view.lists[name]:
            phases: str = getattr(element, "phases", "")
            if not _is_phases(phases) and not (name == "branches" and not phases):
                yield Problem(f"{name}[{element.id}].phases", expected, shortened(phases) or "nothing")
    for where, edge, phases in edges(view.document):
        for end in ("from_node", "to_node"):
            yield from _at_node(view, where, phases, getattr(edge, end))
        line_type = view.line_types.get(edge.line_type) if isinstance(edge, Branch) else None
        if line_type and phases != line_type.phases:
            yield Problem(f"{where}.phases", f"{line_type.phases} as its line type", phases)
        if isinstance(edge, Transformer) and "N" in phases:
            yield Problem(f"{where}.phases", "phases without N", phases, "the vector group tells of the neutral")
    for terminal in view.document.terminals:
        yield from _at_node(view, f"terminals[{terminal.id}]", terminal.phases, terminal.node)
    for node in view.document.nodes:
        if node.grounding and "N" not in node.phases:
            found = f"grounding of a node with {node.phases}"
            yield Problem(f"nodes[{node.id}].grounding", "a node with a neutral", found, "add N to its phases")
        if node.customers < 0:
            yield Problem(f"nodes[{node.id}].customers", "0 or more", str(node.customers))


def _at_node(view: _View, where: str, phases: str, node_id: str) -> Iterator[Problem]:
    node = view.nodes.get(node_id)
    missing = "".join(letter for letter in phases if node and letter not in node.phases)
    if node and missing and _is_phases(phases) and _is_phases(node.phases):
        yield Problem(f"{where}.phases", f"phases of node {node_id} ({node.phases})", phases, f"{missing} is not there")


def _loads(view: _View) -> Iterator[Problem]:  # noqa: C901 - a list of rules
    for where, load in view.injections():
        allowed: tuple[str, ...] = ("A", "B", "C") if load.connection == Connection.WYE else PAIRS
        strange = sorted({key for values in (load.p, load.q, load.u_p, load.u_q) for key in values} - set(allowed))
        if strange:
            expected = f"{', '.join(allowed)} for a {load.connection}"
            yield Problem(f"{where}.p", expected, shortened(", ".join(strange)))
        for field, values in (("u_p", load.u_p), ("u_q", load.u_q)):
            if min(values.values(), default=0.0) < 0:
                yield Problem(f"{where}.{field}", "0 or more", f"{min(values.values()):g}")
        if set(load.p) != set(load.q) or not load.p:
            found = f"p for {', '.join(load.p) or 'none'}, q for {', '.join(load.q) or 'none'}"
            yield Problem(f"{where}.q", "p and q for the same phases", found)
        for field, values in (("u_p", load.u_p), ("u_q", load.u_q)):
            if values and set(values) != set(load.p):
                yield Problem(f"{where}.{field}", f"one for each of {', '.join(load.p)}", ", ".join(values))
        node = view.nodes.get(load.node)
        if node:
            missing = sorted(
                {letter for key in load.p for letter in key if letter not in node.phases and key in allowed}
            )
            if missing:
                found = ", ".join(load.p)
                yield Problem(f"{where}.p", f"phases of node {node.id} ({node.phases})", found, "correct the phase")
        if isinstance(load, Generator) and not load.storage and any(value > 0 for value in load.p.values()):
            remedy = "P is positive into the equipment: turn the sign, or state storage"
            yield Problem(f"{where}.p", "0 or less, since it feeds", f"{max(load.p.values()):g} W", remedy)


def _areas(view: _View) -> Iterator[Problem]:
    owner: dict[str, Area] = {}
    for area in view.document.areas:
        for node in area.nodes:
            if node in owner:
                expected, found = "nodes that no other area owns", f"{node}, owned by {owner[node].id} too"
                yield Problem(f"areas[{area.id}].nodes", expected, found)
            owner.setdefault(node, area)
    for area in view.document.areas:
        above = owner.get(area.head)
        if above is not None and above is not area and above.level not in _above[area.level]:
            expected = f"a node of itself or of an area at level {_above[area.level][0]}"
            yield Problem(f"areas[{area.id}].head", expected, f"{area.head} of a {above.level} area")


def _voltages(view: _View) -> Iterator[Problem]:
    """Find lines and switches between two voltages, which only transformers join."""
    for where, edge, _ in edges(view.document):
        there = [view.nodes[end] for end in (edge.from_node, edge.to_node) if end in view.nodes]
        if isinstance(edge, Transformer) or len(there) < 2:
            continue
        lower, higher = sorted(node.base_voltage for node in there)
        if 50.0 <= lower < higher / 1.25 and higher <= 1.2e6:  # what lies outside is told already
            found = " and ".join(f"{node.base_voltage:g} V at {node.id}" for node in there)
            yield Problem(f"{where}.to_node", "nodes of the same voltage", found, "join them by a transformer")


def _terminals(view: _View) -> Iterator[Problem]:
    """Find what is measured where its node is not."""
    ends: dict[str, tuple[str, ...]] = {edge.id: (edge.from_node, edge.to_node) for _, edge, _ in edges(view.document)}
    ends |= {source.id: (source.node,) for source in view.document.sources}
    ends |= {load.id: (load.node,) for _, load in view.injections()}
    for terminal in view.document.terminals:
        there = ends.get(terminal.equipment, (terminal.node,))
        if terminal.node not in there and terminal.node in view.nodes and all(end in view.nodes for end in there):
            expected = f"a node of {terminal.equipment} ({' or '.join(there)})"
            yield Problem(f"terminals[{terminal.id}].node", expected, terminal.node)


def _heads(view: _View) -> Iterator[Problem]:  # noqa: C901 - a list of rules
    """Find areas that do not hang on their heads, that hang on each other, and that have nothing."""
    owner = {node: area for area in view.document.areas for node in area.nodes}
    if {"branches", "transformers", "switches"} & set(view.left_out.values()):
        return
    beside: dict[str, set[str]] = {}
    for _, edge, _ in edges(view.document):
        for one, other in ((edge.from_node, edge.to_node), (edge.to_node, edge.from_node)):
            beside.setdefault(one, set()).add(other)
    below = {(load.id, load.node) for load in view.document.loads}
    told: set[str] = set()
    for area in view.document.areas:
        where = f"areas[{area.id}]"
        above = owner.get(area.head)
        if area.head not in view.nodes or (above is not None and above.level not in (area.level, *_above[area.level])):
            continue
        if not area.nodes:
            if (below_id(area.id), area.head) not in below:
                expected = f"nodes, or a load {below_id(area.id)} at {area.head} that stands for them"
                yield Problem(f"{where}.nodes", expected, "none", "state its nodes, or leave the area out")
            continue
        unknown = any(not beside.get(node, set()) <= view.nodes.keys() for node in (area.head, *area.nodes))
        if above is not area and not unknown and not beside.get(area.head, set()) & set(area.nodes):
            remedy = "name the node that feeds it"
            yield Problem(f"{where}.head", f"a node that something joins to {area.id}", area.head, remedy)
        way = [area.id]  # only areas of the top level can be above each other
        while above is not None and above.level is area.level and above.id not in way:
            way.append(above.id)
            above = owner.get(above.head)
        if above is area and len(way) > 1 and not told & set(way):
            told |= set(way)
            remedy = "state a head of its own for the one that is fed first"
            yield Problem(f"{where}.head", "an area that is above", f"a circle of {', '.join(way)}", remedy)


def _protections(view: _View) -> Iterator[Problem]:
    switches = {switch.id: switch for switch in view.document.switches}
    for protection in view.document.protections:
        where = f"protections[{protection.id}]"
        switch = switches.get(protection.switch)
        if switch is None:
            continue
        if protection.dead_times and switch.kind not in (SwitchKind.BREAKER, SwitchKind.RECLOSER):
            found = f"reclosing of a {switch.kind}"
            yield Problem(f"{where}.dead_times", "a breaker or recloser, or no reclosing", found)
        if switch.kind in (SwitchKind.DISCONNECTOR, SwitchKind.LOAD_BREAK_SWITCH, SwitchKind.SECTIONALISER):
            found = f"a {switch.kind}, which breaks no fault current"
            yield Problem(f"{where}.switch", "a breaker, a recloser or a fuse", found)


def _reachability(view: _View) -> Iterator[Problem]:
    """Find what no source feeds; where an element is wrong already, it is taken to connect all it could."""
    told = {"sources", "branches", "transformers", "switches"} & set(view.left_out.values())
    if told or not view.document.sources or any(source.node not in view.nodes for source in view.document.sources):
        return
    joined, fed = Joined[tuple[str, str]](), ("", "")
    for source in view.document.sources:
        for phase in "ABC":
            joined.join(fed, (source.node, phase))
    for _, edge, stated in edges(view.document):
        phases = live(stated)
        there = [view.nodes[end].phases for end in (edge.from_node, edge.to_node) if end in view.nodes]
        three_phase = isinstance(edge, Transformer) and not edge.vector_group.startswith("I")
        if not phases or three_phase or any(set(phases) - set(at_end) for at_end in there):
            phases = list("ABC")
        for phase in phases:
            ends = [(end, phase) if end in view.nodes else fed for end in (edge.from_node, edge.to_node)]
            joined.join(ends[0], ends[1])
            if isinstance(edge, Transformer):  # each phase of one side belongs to several of the other
                joined.join(ends[0], (edge.from_node, phases[0]))
    for node in view.document.nodes:
        alive = live(node.phases)
        dark = [phase for phase in alive if joined.root((node.id, phase)) != joined.root(fed)]
        if dark:
            what = "none" if dark == alive else f"none for phase {', '.join(dark)}"
            remedy = "connect it, or leave it out"
            yield Problem(f"nodes[{node.id}]", "a way from a source, all switches closed", what, remedy)


def _loops(view: _View) -> Iterator[Problem]:
    for where, _, area in loops(view.document):
        remedy = "open a switch of the loop, or declare the area not radial"
        yield Problem(where, f"no loop in the radial area {area.id}", "it closes one", remedy)
