"""
What stands for the rest of the network where an area was cut out of it: a source above, a load below.

Where it stands: used by `network_area`, which decides where to cut. Pure, and without numpy.

Rules of the source, which stands at a node that the area above owns:

- Its voltage is the no-load voltage of the source it hangs on, through the ratios of the transformers between them.
- Its impedance is the sum of what lies between them on the way of the fewest elements, each referred to the node's
  voltage, so that a fault or a load in the area meets what it would meet in the whole network. Loads are left out, and
  so are further ways: in a mesh the impedance is too large, never too small.
- Nobody knows the voltage under load, so its uncertainty is that of a public supply: the 10 % that EN 50160 allows
  are taken for two standard deviations. An estimator takes the voltage from measurements and this for a beginning.

Rule of the load, which stands at the node where an area below hands over its result: the sum of what is expected
beforehand of all that area supplies, without losses. Loads between two phases are shared evenly by both. Below a
transformer all phases carry their share, since a winding mixes them; how far they differ below it is uncertainty here.
"""

import cmath
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from algorithms.api.network_connections import Edge, live
from algorithms.api.network_equipment import (
    Branch,
    Grounding,
    GroundingKind,
    LineType,
    Load,
    Node,
    Source,
    Transformer,
)

VOLTAGE_UNCERTAINTY = 0.05
"""Relative standard uncertainty of an equivalent source's voltage [1]."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """A source as seen from a node: voltage behind it, sequence impedances [V, ohm]; no `z0` without a path for it."""

    voltage: complex
    z1: complex
    z0: complex | None
    grounding: GroundingKind
    uncertainty: float


def equivalent_source(
    name: str, node: Node, source: Source, way: Sequence[tuple[Edge, bool]], line_types: dict[str, LineType]
) -> Source:
    """
    Give the source that stands for the network above a node.

    Parameters
    ----------
    name : str
        Its id.
    node : Node
    source : Source
        The one it hangs on.
    way : sequence
        What lies between, beginning at the source: each element, and whether it is passed from its `from_node`.
    line_types : dict
        By id.
    """
    zero = None if source.r0 is None or source.x0 is None else complex(source.r0, source.x0)
    seen = _Seen(
        cmath.rect(source.voltage, source.angle),
        complex(source.r1, source.x1),
        zero,
        source.grounding,
        source.voltage_uncertainty,
    )
    for edge, forwards in way:
        if isinstance(edge, Branch):
            seen = _through_line(seen, edge, line_types)
        elif isinstance(edge, Transformer):
            seen = _through_transformer(seen, edge, forwards)
    nominal = node.base_voltage / math.sqrt(3.0)
    magnitude = abs(seen.voltage)
    if not 0.5 < magnitude / nominal < 1.5:  # a base voltage that no ratio leads to: nominal is the better guess
        magnitude = nominal
    z1 = seen.z1 if abs(seen.z1) > 0 else complex(0.0, 1e-6)
    return Source(
        id=name,
        node=node.id,
        voltage=magnitude,
        angle=cmath.phase(seen.voltage),
        r1=max(z1.real, 0.0),
        x1=max(z1.imag, 0.0),
        r0=None if not seen.z0 else max(seen.z0.real, 0.0),
        x0=None if not seen.z0 else seen.z0.imag,
        grounding=seen.grounding,
        voltage_uncertainty=math.hypot(seen.uncertainty, VOLTAGE_UNCERTAINTY),
    )


def _through_line(seen: _Seen, branch: Branch, line_types: dict[str, LineType]) -> _Seen:
    data: Branch | LineType = line_types[branch.line_type] if branch.line_type else branch
    length = branch.length if branch.line_type else 1.0
    z1, z0 = (length * z for z in _sequences(data, branch.phases or data.phases))
    return _Seen(
        seen.voltage, seen.z1 + z1, None if seen.z0 is None else seen.z0 + z0, seen.grounding, seen.uncertainty
    )


def _sequences(data: Branch | LineType, phases: str) -> tuple[complex, complex]:
    """Give positive and zero sequence of a line as if it were transposed; the neutral carries what returns."""
    if data.sequence is not None:
        sequence = data.sequence
        return complex(sequence.r1, sequence.x1), complex(sequence.r0, sequence.x0)
    r, x = data.r or (), data.x or ()
    rows = [row for row, phase in enumerate(phases) if phase != "N"]
    own = _mean(complex(r[row][row], x[row][row]) for row in rows)
    mutual = _mean(complex(r[row][column], x[row][column]) for row in rows for column in rows if row != column)
    zero = own + 2 * mutual
    if "N" in phases:
        neutral = phases.index("N")
        beside = _mean(complex(r[row][neutral], x[row][neutral]) for row in rows)
        zero += 3 * (complex(r[neutral][neutral], x[neutral][neutral]) - 2 * beside)
    return own - mutual, zero


def _mean(values: Iterable[complex]) -> complex:
    found = list(values)
    return sum(found) / len(found) if found else 0j


def _through_transformer(seen: _Seen, transformer: Transformer, forwards: bool) -> _Seen:
    """Refer what is seen to the other side; a star point there makes a path for zero sequence, a delta ends one."""
    high, low = transformer.rated_voltage
    if transformer.tap is not None:
        turns = 1.0 + (transformer.tap.position - transformer.tap.neutral) * transformer.tap.step
        high, low = (high * turns, low) if transformer.tap.end == 0 else (high, low * turns)
    ratio = low / high if forwards else high / low
    scale = (low / high) ** 2  # the short-circuit impedance is stated at `from_node`
    z = complex(transformer.r, transformer.x)
    z0 = complex(
        transformer.r if transformer.r0 is None else transformer.r0,
        transformer.x if transformer.x0 is None else transformer.x0,
    )
    group = transformer.vector_group
    digits = group.lstrip("YyNnZzDdIi")
    shift = cmath.rect(1.0, (-1 if forwards else 1) * int(digits or 0) * math.pi / 6.0)
    one, other = (transformer.from_grounding, transformer.to_grounding)
    windings = _windings(group)
    if not forwards:
        one, other, windings = other, one, windings[::-1]
    z1 = seen.z1 * ratio**2 + (z * scale if forwards else z)
    zero = z1 if windings == ("I", "I") else None  # one phase knows no sequences
    grounding = GroundingKind.ISOLATED
    if other is not None and other.kind is not GroundingKind.ISOLATED:
        grounding = other.kind
        own = (z0 * scale if forwards else z0) + 3 * complex(other.r, other.x)
        if windings in (("D", "Y"), ("D", "Z"), ("Y", "Z")):
            zero = own
        elif windings == ("Y", "Y") and _is_grounded(one) and seen.z0 is not None:
            zero = seen.z0 * ratio**2 + own
    return _Seen(seen.voltage * ratio * shift, z1, zero, grounding, seen.uncertainty)


def _windings(group: str) -> tuple[str, str]:
    letters = [letter for letter in group.upper() if letter in "YDZI"]
    return letters[0], letters[-1]


def _is_grounded(grounding: Grounding | None) -> bool:
    return grounding is not None and grounding.kind is not GroundingKind.ISOLATED


def equivalent_load(
    name: str, title: str, node: Node, loads: Iterable[Load], phases: str, *, evenly: bool
) -> Load | None:
    """
    Give the load that stands for all that an area below supplies.

    Parameters
    ----------
    name, title : str
        Its id and name.
    node : Node
        Where it stands.
    loads : iterable of Load
        What it stands for, generators too.
    phases : str
        Of what connects the area.
    evenly : bool
        Whether a transformer lies between, so that all phases carry their share.

    Returns
    -------
    Load or None
        None where the area is connected by no phase of the node.
    """
    there = [phase for phase in live(node.phases) if phase in phases]
    if not there:
        return None
    known = list(loads)
    found: dict[str, dict[str, float]] = {}
    for value, uncertainty in (("p", "u_p"), ("q", "u_q")):
        told = [(getattr(load, value), getattr(load, uncertainty)) for load in known]
        sums, spread = _sum(told, there)
        if evenly:
            mean = sum(sums.values()) / len(there)
            apart = math.sqrt(sum((one - mean) ** 2 for one in sums.values()) / len(there))
            sums = dict.fromkeys(there, mean)
            if spread:
                of_mean = math.sqrt(sum(one**2 for one in spread.values())) / len(there)
                spread = dict.fromkeys(there, math.hypot(of_mean, apart))
        found |= {value: sums, uncertainty: spread}
    profiles = {load.profile for load in known}
    profile = profiles.pop() if len(profiles) == 1 else ""
    p, q, u_p, u_q = (found[field] for field in ("p", "q", "u_p", "u_q"))
    return Load(id=name, name=title, node=node.id, p=p, q=q, u_p=u_p, u_q=u_q, profile=profile)


def _sum(
    told: Iterable[tuple[dict[str, float], dict[str, float]]], phases: Sequence[str]
) -> tuple[dict[str, float], dict[str, float]]:
    """Add up powers by phase, and their uncertainties; one that is not known makes the sum's unknown."""
    sums, variances = dict.fromkeys(phases, 0.0), dict.fromkeys(phases, 0.0)
    is_known = None
    for powers, uncertainties in told:
        is_known = bool(uncertainties) and is_known is not False
        for key, value in powers.items():
            shares = [phase for phase in phases if phase in key] or phases
            for phase in shares:
                sums[phase] += value / len(shares)
                variances[phase] += (uncertainties.get(key, 0.0) / len(shares)) ** 2
    return sums, {phase: math.sqrt(value) for phase, value in variances.items()} if is_known else {}
