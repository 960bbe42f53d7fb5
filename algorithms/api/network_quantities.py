"""
What numbers of a network document can be true: missing or impossible impedances, slips of unit, ratings, taps.

Where it stands: part of `network_problems.problems`. A distribution network bounds its own numbers: a cable has
neither 0.2 ohm in a metre nor less than nothing, so a value in ohm/km or kV gives itself away. The bounds are
wide; what they let pass may still be wrong, what they refuse cannot be right.
"""

import re
import statistics
from collections.abc import Iterator

import numpy as np

from algorithms.api.errors import Problem
from algorithms.api.network_document import NetworkDocument
from algorithms.api.network_equipment import (
    Branch,
    Grounding,
    GroundingKind,
    LineType,
    Matrix,
    Node,
    Source,
    Transformer,
)
from algorithms.api.network_tables import Floats

MEDIUM_VOLTAGE = 1000.0
"""Above this a network is no low-voltage network any more [V] (IEC 60038)."""

LARGEST_IMPEDANCE_PER_METRE = 0.02
"""No conductor in use has more [ohm/m]; 20 ohm/km would be a steel wire of 3 mm."""

SMALLEST_IMPEDANCE = 1e-9
"""Less is no conductor, and disappears beside its neighbours in an admittance matrix [ohm]."""

SHORTEST = 1e-3
"""Shortest line [m]."""

LARGEST_POWER = 1e10
"""No load, generator or transformer of a distribution network has more [W, var, VA]."""

_vector_group = re.compile(r"(YN|ZN|Y|D|Z)(yn|zn|y|d|z)(\d|1[01])|I(?:I|i)(0|6)")
_symmetry = 1e-6
_passivity = 1e-9
_condition = 1e9


def problems_of_quantities(document: NetworkDocument) -> Iterator[Problem]:  # noqa: C901, PLR0912 - a list of rules
    """Give everything wrong with the numbers of a document."""
    nodes = {node.id: node for node in document.nodes}
    if not 10.0 <= document.frequency <= 400.0:
        yield Problem("frequency", "10 to 400 Hz", f"{document.frequency:g}", "state it in hertz")
    for node in document.nodes:
        yield from _node(node)
    for source in document.sources:
        yield from _source(source, nodes.get(source.node))
    line_types = {line_type.id: line_type for line_type in document.line_types}
    for line_type in document.line_types:
        yield from _line_data(f"line_types[{line_type.id}]", line_type, line_type.phases, 1.0)
    for branch in document.branches:
        yield from _branch(branch, line_types.get(branch.line_type), nodes.get(branch.from_node))
    yield from _lengths(document, nodes)
    for transformer in document.transformers:
        yield from _transformer(transformer, nodes)
    yield from _powers(document)
    for switch in document.switches:
        for field in ("breaks", "closes", "operating_time"):
            if getattr(switch, field) < 0:
                yield Problem(f"switches[{switch.id}].{field}", "0 or more", f"{getattr(switch, field):g}")
        yield from _rating(f"switches[{switch.id}]", switch.rating)
    for protection in document.protections:
        for field in ("phase_current", "ground_current"):
            value = getattr(protection, field)
            if value is not None and value <= 0:
                yield Problem(f"protections[{protection.id}].{field}", "more than 0 A", f"{value:g}")
        if min((protection.delay, protection.reclaim_time, *protection.dead_times)) < 0:
            yield Problem(f"protections[{protection.id}]", "times of 0 s or more", "a time below 0")


def _node(node: Node) -> Iterator[Problem]:
    where = f"nodes[{node.id}]"
    if not node.base_voltage > 0:
        yield Problem(f"{where}.base_voltage", "more than 0 V", f"{node.base_voltage:g}")
    elif node.base_voltage < 50.0:
        found, remedy = f"{node.base_voltage:g}", "it looks like kV: state it in V"
        yield Problem(f"{where}.base_voltage", "a nominal voltage in V", found, remedy)
    elif node.base_voltage > 1.2e6:
        found, remedy = f"{node.base_voltage:g}", "state it in V"
        yield Problem(f"{where}.base_voltage", "at most 1.2e6 V", found, remedy)
    if node.grounding:
        yield from _grounding(f"{where}.grounding", node.grounding)


def _grounding(where: str, grounding: Grounding) -> Iterator[Problem]:
    if grounding.r < 0:
        yield Problem(f"{where}.r", "0 ohm or more", f"{grounding.r:g}")
    nothing = grounding.r == 0 and grounding.x == 0
    through = grounding.kind in (GroundingKind.RESISTANCE, GroundingKind.REACTANCE, GroundingKind.COMPENSATED)
    if through and nothing:
        yield Problem(where, f"the impedance of a {grounding.kind} grounding", "0 ohm", "state r and x")
    if not through and not nothing:
        yield Problem(where, f"no impedance where {grounding.kind}", f"{grounding.r:g} + j{grounding.x:g} ohm")


def _source(source: Source, node: Node | None) -> Iterator[Problem]:
    where = f"sources[{source.id}]"
    if source.r1 < 0 or source.x1 < 0 or (source.r1 == 0 and source.x1 == 0):
        yield Problem(f"{where}.r1", "an impedance above 0 ohm", f"{source.r1:g} + j{source.x1:g}")
    if (source.r0 is None) != (source.x0 is None):
        yield Problem(f"{where}.r0", "r0 and x0, or neither", "one of them")
    elif source.r0 is not None and source.r0 < 0:
        yield Problem(f"{where}.r0", "0 ohm or more", f"{source.r0:g}")
    elif source.r0 == 0 and source.x0 == 0:
        remedy = "leave both out where no zero-sequence current can flow"
        yield Problem(f"{where}.r0", "an impedance above 0 ohm", "0 + j0", remedy)
    if source.voltage_uncertainty < 0:
        yield Problem(f"{where}.voltage_uncertainty", "0 or more", f"{source.voltage_uncertainty:g}")
    if node is None or node.base_voltage < 50.0:
        return
    ratio = source.voltage / (node.base_voltage / 3**0.5)
    if not 0.5 <= ratio <= 1.5:
        remedy = ""
        if 1.6 < ratio < 1.9:
            remedy = "it looks like a voltage line to line: divide by sqrt(3)"
        elif 0.5e-3 < ratio < 2e-3:
            remedy = "it looks like kV: state it in V"
        expected = f"about {node.base_voltage / 3**0.5:.0f} V phase to neutral"
        yield Problem(f"{where}.voltage", expected, f"{source.voltage:g}", remedy)


def _branch(branch: Branch, line_type: LineType | None, node: Node | None) -> Iterator[Problem]:
    where = f"branches[{branch.id}]"
    own = branch.sequence is not None or branch.r is not None or branch.x is not None
    if branch.length < SHORTEST:
        expected = f"{SHORTEST:g} m or more" if branch.length > 0 else "more than 0 m"
        yield Problem(f"{where}.length", expected, f"{branch.length:g}", "use a switch for what has no length")
    elif branch.length > (10e3 if node and node.base_voltage <= MEDIUM_VOLTAGE else 200e3):
        yield Problem(f"{where}.length", "the length of a line in m", f"{branch.length:g}", "state it in metres")
    if own and branch.line_type:
        yield Problem(f"{where}.line_type", "a line type or data of its own", "both", "leave one out")
    elif own:
        if not branch.phases:
            yield Problem(f"{where}.phases", "the conductors of its matrices", "nothing", "state them")
        yield from _line_data(where, branch, branch.phases, max(branch.length, 1e-9))
    elif not branch.line_type:
        found, remedy = "none", "state a line_type, or r and x, or sequence"
        yield Problem(f"{where}.r", "an impedance", found, remedy)
    elif line_type is not None:
        yield from _rating(where, branch.rating)


def _line_data(where: str, data: LineType | Branch, phases: str, length: float) -> Iterator[Problem]:  # noqa: C901 - rules
    """Judge matrices or sequence data that hold for `length` [m]."""
    yield from _rating(where, data.rating)
    for field in ("impedance_uncertainty", "shunt_uncertainty"):
        value = getattr(data, field)
        if value is not None and not 0 <= value < 1:
            yield Problem(f"{where}.{field}", "a share from 0 to 1", f"{value:g}", "5 % is 0.05")
    sequence = data.sequence
    if sequence is not None:
        if data.r is not None or data.x is not None:
            yield Problem(f"{where}.sequence", "matrices or sequence data", "both", "leave one out")
        if phases != "ABC":
            yield Problem(f"{where}.sequence", "ABC, which sequence data are for", phases, "state matrices")
        if min(sequence.r1, sequence.r0, sequence.b1, sequence.b0) < 0 or sequence.x1 <= 0 or sequence.x0 <= 0:
            yield Problem(f"{where}.sequence", "a passive line", "a value below 0", "correct the sign")
        yield from _per_metre(f"{where}.sequence", abs(complex(sequence.r1, sequence.x1)), length)
        return
    if data.r is None or data.x is None:
        missing = "r and x" if data.r is None and data.x is None else "r" if data.r is None else "x"
        yield Problem(f"{where}.{missing[0]}", "an impedance", f"no {missing}", "state r and x, or sequence")
    for field in ("r", "x", "g", "b"):
        rows = getattr(data, field)
        if rows is None:
            continue
        size = len(phases)
        if len(rows) != size or any(len(row) != size for row in rows):
            found = " and ".join(sorted({f"{len(rows)} x {len(row)}" for row in rows})) or "nothing"
            yield Problem(f"{where}.{field}", f"a matrix of {size} x {size} for {phases}", found)
            continue
        yield from _passive(f"{where}.{field}", np.array(rows, dtype=float), field)
        if field == "x":
            yield from _per_metre(f"{where}.x", float(np.min(np.abs(np.diag(np.array(rows))))), length)
    yield from _invertible(where, data.r, data.x, len(phases))


def _invertible(where: str, r: Matrix | None, x: Matrix | None, size: int) -> Iterator[Problem]:
    """Judge whether every set of voltages along a line drives a current."""
    if r is None or x is None or not all(len(row) == size for row in (r, x, *r, *x)):
        return
    impedance = np.array(r) + 1j * np.array(x)
    if np.any(impedance) and np.linalg.cond(impedance) > _condition:
        expected = "impedances of each phase that are more than what phases have in common"
        yield Problem(f"{where}.x", expected, "r + jx without an inverse", "check what is off the diagonal")


def _passive(where: str, matrix: Floats, field: str) -> Iterator[Problem]:
    """Judge a matrix of a passive line: symmetric, and no vector of currents or voltages draws less than nothing."""
    scale = float(np.max(np.abs(matrix), initial=0.0))
    if scale and float(np.max(np.abs(matrix - matrix.T))) > _symmetry * scale:
        yield Problem(where, "a symmetric matrix", "one that is not", "lines are reciprocal")
        return
    lowest = float(np.min(np.linalg.eigvalsh(matrix)))
    if lowest < -_passivity * scale or (field in "rx" and np.min(np.diag(matrix)) <= 0):
        expected = "a passive matrix (eigenvalues of 0 or more, impedances on the diagonal above 0)"
        yield Problem(where, expected, f"an eigenvalue of {lowest:.3g}", "check signs and the order of phases")


def _per_metre(where: str, impedance: float, length: float) -> Iterator[Problem]:
    if 0 < impedance < SMALLEST_IMPEDANCE:
        remedy = "use a switch for what has no impedance"
        yield Problem(where, f"{SMALLEST_IMPEDANCE:g} ohm or more", f"{impedance:.3g}", remedy)
    impedance /= length
    if impedance > LARGEST_IMPEDANCE_PER_METRE:
        expected = f"at most {LARGEST_IMPEDANCE_PER_METRE:g} ohm in a metre"
        remedy = "it looks like ohm/km, or a length in km: state ohm and metres"
        yield Problem(where, expected, f"{impedance:.3g} ohm/m", remedy)


def _lengths(document: NetworkDocument, nodes: dict[str, Node]) -> Iterator[Problem]:
    """Judge all lengths together: some lines are short, but not all lines of a network."""
    for medium, shortest in ((True, 5.0), (False, 0.2)):
        lengths = [
            branch.length
            for branch in document.branches
            if branch.from_node in nodes
            and (nodes[branch.from_node].base_voltage > MEDIUM_VOLTAGE) == medium
            and branch.length > 0
        ]
        if len(lengths) >= 3 and statistics.median(lengths) < shortest:
            expected = f"lengths in m, half of them above {shortest:g}"
            found = f"a median of {statistics.median(lengths):.3g}"
            yield Problem("branches", expected, found, "they look like km: state them in m")


def _rating(where: str, rating: float | None) -> Iterator[Problem]:
    if rating is not None and rating < 2.0:
        remedy = "it looks like kA: state it in A" if rating > 0 else "leave out what is not known"
        yield Problem(f"{where}.rating", "a current in A", f"{rating:g}", remedy)


def _transformer(  # noqa: C901, PLR0912 - a list of rules
    transformer: Transformer, nodes: dict[str, Node]
) -> Iterator[Problem]:
    where = f"transformers[{transformer.id}]"
    yield from _vector(where, transformer)
    if transformer.rated_power < 1000.0:
        found, remedy = f"{transformer.rated_power:g}", "it looks like kVA: state it in VA"
        yield Problem(f"{where}.rated_power", "1000 VA or more", found, remedy)
    elif transformer.rated_power > LARGEST_POWER:
        found = f"{transformer.rated_power:g}"
        yield Problem(f"{where}.rated_power", f"at most {LARGEST_POWER:g} VA", found, "state it in VA")
    rated = transformer.rated_voltage
    if rated[0] < rated[1]:
        remedy = "from_node is the side of the higher voltage"
        yield Problem(f"{where}.rated_voltage", "the higher voltage first", f"{rated[0]:g}, {rated[1]:g}", remedy)
    else:
        single = transformer.vector_group.startswith("I")
        for end, node_id in enumerate((transformer.from_node, transformer.to_node)):
            node = nodes.get(node_id)
            base = node.base_voltage if node else 0.0
            if base >= 50.0 and not (0.45 if single else 0.75) <= rated[end] / base <= 1.3:
                remedy = "it looks like kV: state it in V" if 0.75e-3 < rated[end] / base < 1.3e-3 else ""
                yield Problem(f"{where}.rated_voltage", f"about {base:g} V at {node_id}", f"{rated[end]:g}", remedy)
                break
    if transformer.r < 0 or transformer.x <= 0:
        yield Problem(f"{where}.x", "a passive impedance", f"{transformer.r:g} + j{transformer.x:g} ohm")
    elif transformer.rated_power >= 1000.0 and rated[0] >= max(50.0, rated[1]):
        per_unit = abs(complex(transformer.r, transformer.x)) * transformer.rated_power / rated[0] ** 2
        least = 1e-6 if rated[0] == rated[1] else 0.002  # a regulator is wound to have next to nothing
        if not least <= per_unit <= 0.5:
            found = f"{100 * per_unit:.3g} %"
            remedy = "state r and x in ohm, referred to from_node"
            yield Problem(f"{where}.x", "a short-circuit voltage of 0.2 to 50 %", found, remedy)
    if transformer.g < 0 or transformer.b > 0:
        yield Problem(f"{where}.b", "g of 0 or more and b of 0 or less", f"{transformer.g:g} + j{transformer.b:g} S")
    if (transformer.r0 is None) != (transformer.x0 is None):
        yield Problem(f"{where}.r0", "r0 and x0, or neither", "one of them")
    if (transformer.r0m is None) != (transformer.x0m is None):
        yield Problem(f"{where}.r0m", "r0m and x0m, or neither", "one of them")
    elif transformer.r0m is not None and transformer.x0m is not None and (transformer.r0m < 0 or transformer.x0m <= 0):
        yield Problem(f"{where}.x0m", "a passive impedance", f"{transformer.r0m:g} + j{transformer.x0m:g} ohm")
    if not 0 <= transformer.impedance_uncertainty < 1:
        found = f"{transformer.impedance_uncertainty:g}"
        yield Problem(f"{where}.impedance_uncertainty", "a share from 0 to 1", found, "5 % is 0.05")
    tap = transformer.tap
    if tap is not None:
        if tap.end not in (0, 1):
            yield Problem(f"{where}.tap.end", "0 or 1", f"{tap.end}")
        if not tap.lowest <= tap.position <= tap.highest or not tap.lowest <= tap.neutral <= tap.highest:
            found = f"position {tap.position}, neutral {tap.neutral}"
            yield Problem(f"{where}.tap.position", f"{tap.lowest} to {tap.highest}", found)
        if not 0 < abs(tap.step) <= 0.1:
            yield Problem(f"{where}.tap.step", "a share up to 0.1", f"{tap.step:g}", "2.5 % is 0.025")


def _vector(where: str, transformer: Transformer) -> Iterator[Problem]:
    group = transformer.vector_group
    match = _vector_group.fullmatch(group)
    if match is None:
        yield Problem(f"{where}.vector_group", "a vector group such as Dyn11 or Yzn5", group)
        return
    phases = transformer.phases
    if match[1] and phases != "ABC":
        yield Problem(f"{where}.phases", f"ABC for {group}", phases, "state Ii0 for a single-phase transformer")
    elif not match[1] and len(phases) not in (1, 2):
        yield Problem(f"{where}.phases", f"a phase or a pair of phases for {group}", phases)
    if match[1]:
        odd = (match[1][0] == "D") + (match[2][0] == "d") + (match[1][0] == "Z") + (match[2][0] == "z")
        if int(match[3]) % 2 != odd % 2:
            parity = "odd" if odd % 2 else "even"
            yield Problem(f"{where}.vector_group", f"an {parity} clock number for {match[1]}{match[2]}", group)
    neutral = (match[1] or "").endswith("N"), (match[2] or "").endswith("n")
    for end, grounding in enumerate((transformer.from_grounding, transformer.to_grounding)):
        field = ("from_grounding", "to_grounding")[end]
        if grounding is not None:
            yield from _grounding(f"{where}.{field}", grounding)
            if match[1] and not neutral[end]:
                yield Problem(f"{where}.{field}", f"none, since {group} brings out no neutral there", grounding.kind)


def _powers(document: NetworkDocument) -> Iterator[Problem]:
    powers = [abs(value) for load in document.loads for value in load.p.values() if value]
    if len(powers) >= 5 and statistics.median(powers) < 10.0:
        found = f"a median of {statistics.median(powers):.3g}"
        yield Problem("loads", "powers in W", found, "they look like kW: state them in W")
    for name, injections in (("loads", document.loads), ("generators", document.generators)):
        for injection in injections:
            where = f"{name}[{injection.id}]"
            for field in ("p", "q", "u_p", "u_q"):
                largest = max(map(abs, getattr(injection, field).values()), default=0.0)
                if largest > LARGEST_POWER:
                    expected = f"at most {LARGEST_POWER:g} W or var"
                    yield Problem(f"{where}.{field}", expected, f"{largest:g}", "state powers in W and var")
            if injection.rated_power is not None and injection.rated_power <= 0:
                yield Problem(f"{where}.rated_power", "more than 0 VA", f"{injection.rated_power:g}")
            for field in ("p_exponent", "q_exponent"):
                if not -2.0 <= getattr(injection, field) <= 8.0:
                    yield Problem(f"{where}.{field}", "an exponent from -2 to 8", f"{getattr(injection, field):g}")
