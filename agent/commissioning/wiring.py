"""
Whether a meter is wired right, judged from what its channels show. Pure.

Where it stands: `tresma-agent check` says it in `judge_channels` and `judge_wiring`, the commissioning page in its own
words (`diagnosis`); both rest on `sequence_of`, `exchanged` and `explain_currents`.

Voltages tell the phase sequence by themselves. Currents are judged against their own voltages by comparing the
phases: every way of having connected three current transformers (6 orders, each forward or reversed) is tried, and the
one that makes the three power-factor angles most alike and most like a load is named when it is clearly better than
the wiring as declared. Negative power alone is no fault: it may be generation, and what cannot be told apart from
generation is only a warning unless the terminal is declared to be a load.
"""

import cmath
import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from algorithms.api.records import MeasurementFrame
from device_catalog.contract.documents import Direction

PHASES = ("A", "B", "C")
FORWARD = (1, 1, 1)
BACKWARD = (-1, -1, -1)

ALIVE = 0.1
"""Share of nominal voltage below which a voltage channel is dead [1]."""

OFFSET = 0.02
"""Mean value, as a share of the fundamental's amplitude, from which on an input has an offset [1]."""

NOTHING = 1e-6
"""A mean below this share of the RMS is told as 0 [1]."""

CURRENT = 0.02
"""Share of the largest current below which a phase's current says nothing about wiring [1]."""

PLAUSIBLE = math.radians(60)
"""Power-factor angles of loads lie within this, either way [rad]."""

PLAUSIBLE_GENERATION = math.radians(30)
"""Angles of generators, which run near unity power factor, lie within this [rad]."""

AMBIGUOUS = math.radians(15)
"""Explanations whose costs differ by less cannot be told apart [rad]."""

CLEARLY = math.radians(45)
"""By how much another wiring must explain the angles better before it is named [rad]."""


class Verdict(StrEnum):
    """How a check came out."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    NOT_JUDGED = "not judged"
    """There was too little to tell by; said by the commissioning page."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of a check: what was looked at, how it came out, what was found, what to do."""

    item: str
    verdict: Verdict
    found: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class ChannelStatistics:
    """
    What one channel's samples showed.

    Attributes
    ----------
    quantity, phase : str
    rms : float
        Without the mean [V or A].
    mean : float
        [V or A]
    clipped : float
        Share of samples at the end of the range [1].
    resolution : float
        One step of the converter [V or A]; 0 where unknown.
    full_scale : float
        Largest value the input can show [V or A]; 0 where unknown.
    """

    quantity: str
    phase: str
    rms: float
    mean: float
    clipped: float
    resolution: float = 0.0
    full_scale: float = 0.0


class Sequence(StrEnum):
    """How voltages follow each other."""

    RIGHT = "A-B-C"
    REVERSED = "A-C-B"
    SAME = "same"
    """Two inputs show one phase."""
    ODD = "odd"
    """Neither 120 degrees apart nor the same."""


class Rotation(NamedTuple):
    """
    The sequence of voltages.

    Attributes
    ----------
    sequence : Sequence
    lags : dict
        By how much the second of each pair lags the first [deg], within [0, 360).
    same : tuple
        Pairs that show the same voltage.
    """

    sequence: Sequence
    lags: dict[tuple[str, str], float]
    same: tuple[tuple[str, str], ...] = ()


class Cause(StrEnum):
    """What explains the angles of three currents best."""

    RIGHT = "right"
    FEEDING = "feeding"
    """Wired right, and power flows out of the equipment in all phases."""
    MISWIRED = "miswired"
    REVERSED_OR_GENERATION = "reversed, or generation"
    GENERATION_OR_MISWIRED = "generation, or miswired"


class Explanation(NamedTuple):
    """
    How three currents are connected, as far as angles tell.

    Attributes
    ----------
    cause : Cause
    order : tuple of str
        The phase whose current the input of A, B and C is to be read from to be right.
    signs : tuple of int
        -1 where the current of that input is turned.
    angles : tuple of float
        Of voltage against current of A, B and C as they are connected now [rad].
    """

    cause: Cause
    order: tuple[str, ...]
    signs: tuple[int, ...]
    angles: tuple[float, ...]

    @property
    def turned(self) -> list[str]:
        """Inputs whose current is the wrong way round."""
        return [source for source, sign in zip(self.order, self.signs, strict=True) if sign < 0]

    @property
    def carries(self) -> dict[str, str]:
        """For each input that carries another phase's current, which."""
        at = dict(zip(self.order, PHASES, strict=True))
        return {phase: at[phase] for phase in PHASES if at[phase] != phase}


def judge_channels(channels: Mapping[str, ChannelStatistics], nominal_voltage: float) -> list[Finding]:
    """Tell of each channel whether it is alive, within its range and without offset."""
    findings = []
    for name, channel in channels.items():
        item = f"channel {name}"
        unit = "V" if channel.quantity == "voltage" else "A"
        mean = channel.mean if abs(channel.mean) > NOTHING * channel.rms else 0.0
        found = f"{channel.rms:.4g} {unit}, mean {mean:.3g} {unit}"
        silent = channel.rms <= max(2 * channel.resolution, 1e-9)
        if channel.clipped > 0:
            share = f"{found}; {100 * channel.clipped:.2g} % of the samples at the end of the range"
            remedy = "choose a larger input range or a larger transformer ratio"
            findings.append(Finding(item, Verdict.FAILED, share, remedy))
        elif channel.quantity == "voltage" and channel.rms < ALIVE * nominal_voltage:
            remedy = f"expected about {nominal_voltage:.4g} V: check fuse, wiring and the channel's ratio"
            findings.append(Finding(item, Verdict.FAILED, f"{found}: dead", remedy))
        elif silent:
            remedy = "switch a load on; if it stays, check the transformer and its leads"
            findings.append(Finding(item, Verdict.WARNING, f"{found}: no current", remedy))
        elif abs(channel.mean) > OFFSET * math.sqrt(2) * channel.rms:
            remedy = "set the channel's offset to what the input reads at zero"
            findings.append(Finding(item, Verdict.FAILED, f"{found}: offset", remedy))
        else:
            findings.append(Finding(item, Verdict.OK, found))
    return findings


def judge_wiring(frame: MeasurementFrame, direction: Direction) -> list[Finding]:
    """
    Tell whether voltages are in sequence and currents belong to their voltages.

    Parameters
    ----------
    frame : MeasurementFrame
        Skews already corrected.
    direction : Direction
        What is declared of the terminal.
    """
    voltages = {
        phase: frame.voltage[phase].phasor
        for phase in PHASES
        if phase in frame.voltage and frame.voltage[phase].angle is not None
    }
    findings = [_sequence(voltages)] if len(voltages) > 1 else []
    currents = {
        phase: frame.current[phase].phasor
        for phase in PHASES
        if phase in voltages and phase in frame.current and frame.current[phase].angle is not None
    }
    largest = max((abs(current) for current in currents.values()), default=0.0)
    if len(currents) < 3 or min(abs(current) for current in currents.values()) <= CURRENT * largest or largest == 0:
        flowing = [phase for phase, current in currents.items() if abs(current) > CURRENT * largest]
        found = f"current in {', '.join(flowing) or 'no phase'}: not enough to compare the phases"
        findings.append(Finding("current wiring", Verdict.WARNING, found, "switch loads on in all three phases"))
    elif findings and findings[0].verdict is Verdict.FAILED:
        found = "cannot be judged while the voltages are not right"
        findings.append(Finding("current wiring", Verdict.WARNING, found, "put the voltages right first"))
    else:
        findings.append(_currents(voltages, currents, direction))
    return findings


def sequence_of(voltages: Mapping[str, complex]) -> Rotation:
    """Tell how voltages follow each other; at least two are needed."""
    angles = {phase: cmath.phase(voltage) for phase, voltage in voltages.items()}
    pairs = [(a, b) for a, b in (("A", "B"), ("B", "C"), ("C", "A")) if a in angles and b in angles]
    lags = {pair: math.degrees(angles[pair[0]] - angles[pair[1]]) % 360 for pair in pairs}
    same = tuple(pair for pair, lag in lags.items() if min(lag, 360 - lag) < 30)
    if same:
        return Rotation(Sequence.SAME, lags, same)
    if all(abs(lag - 120) < 30 for lag in lags.values()):
        return Rotation(Sequence.RIGHT, lags)
    if all(abs(lag - 240) < 30 for lag in lags.values()):
        return Rotation(Sequence.REVERSED, lags)
    return Rotation(Sequence.ODD, lags)


def exchanged(voltages: Mapping[str, complex], currents: Mapping[str, complex]) -> tuple[str, str] | None:
    """
    Tell which two voltage inputs are exchanged, given that voltages turn the wrong way.

    Only the currents know: where each fits its own voltage, voltages and currents are exchanged together (or the
    network turns the other way), and any two phases will do.

    Returns
    -------
    tuple of str or None
        None where no two voltages alone explain it.
    """

    def cost(order: tuple[str, ...]) -> float:
        moved = {phase: voltages[source] for phase, source in zip(PHASES, order, strict=True)}
        return _cost(_angles(moved, currents, PHASES, FORWARD), PLAUSIBLE)

    pairs = {("A", "B"): ("B", "A", "C"), ("B", "C"): ("A", "C", "B"), ("A", "C"): ("C", "B", "A")}
    costs = {pair: cost(order) for pair, order in pairs.items()}
    best = min(costs, key=lambda pair: costs[pair])
    return best if cost(PHASES) - costs[best] >= CLEARLY else None


def _sequence(voltages: Mapping[str, complex]) -> Finding:
    item = "phase sequence"
    rotation = sequence_of(voltages)
    if rotation.same:
        remedy = "connect each voltage input to a phase of its own"
        same = ", ".join(f"{a} and {b}" for a, b in rotation.same)
        return Finding(item, Verdict.FAILED, f"{same} show the same voltage", remedy)
    found = ", ".join(f"{a}-{b} {lag:.1f} deg" for (a, b), lag in rotation.lags.items())
    if rotation.sequence is Sequence.RIGHT:
        return Finding(item, Verdict.OK, f"A-B-C ({found})")
    if rotation.sequence is Sequence.REVERSED:
        return Finding(item, Verdict.FAILED, f"A-C-B ({found})", "exchange two phases, voltage and current together")
    remedy = "expected 120 deg between phases: check each voltage input, and reversed or displaced transformers"
    return Finding(item, Verdict.FAILED, found, remedy)


def explain_currents(
    voltages: Mapping[str, complex], currents: Mapping[str, complex], direction: Direction
) -> Explanation:
    """Find the way of having connected three currents that explains their angles best."""
    as_declared = _angles(voltages, currents, PHASES, FORWARD)
    declared_cost = _cost(as_declared, PLAUSIBLE)
    others = [
        (_cost(_angles(voltages, currents, order, signs), PLAUSIBLE) + _effort(order, signs), order, signs)
        for order in itertools.permutations(PHASES)
        for signs in itertools.product((1, -1), repeat=3)
        if (order, signs) != (PHASES, FORWARD) and (direction is Direction.LOAD or (order, signs) != (PHASES, BACKWARD))
    ]
    cost, order, signs = min(others)
    feeding = direction is not Direction.LOAD and all(math.cos(angle) < 0 for angle in as_declared)
    if feeding:
        turned_angles = _angles(voltages, currents, PHASES, BACKWARD)
        declared_cost = min(declared_cost, _cost(turned_angles, PLAUSIBLE_GENERATION))
    if declared_cost - cost >= CLEARLY:
        maybe = order == PHASES and direction is not Direction.LOAD
        cause = Cause.REVERSED_OR_GENERATION if maybe else Cause.MISWIRED
        return Explanation(cause, order, signs, as_declared)
    if feeding and order != PHASES and declared_cost - cost > -AMBIGUOUS:
        return Explanation(Cause.GENERATION_OR_MISWIRED, order, signs, as_declared)
    return Explanation(Cause.FEEDING if feeding else Cause.RIGHT, PHASES, FORWARD, as_declared)


def _currents(voltages: Mapping[str, complex], currents: Mapping[str, complex], direction: Direction) -> Finding:
    item = "current wiring"
    explained = explain_currents(voltages, currents, direction)
    found = ", ".join(
        f"{phase} {math.degrees(angle):.0f} deg" for phase, angle in zip(PHASES, explained.angles, strict=True)
    )
    if explained.cause is Cause.RIGHT:
        return Finding(item, Verdict.OK, f"angles to their voltages: {found}")
    if explained.cause is Cause.FEEDING:
        return Finding(item, Verdict.OK, f"power flows out of the equipment in all phases: {found}")
    explanation, remedy = _in_words(explained)
    if explained.cause is Cause.MISWIRED:
        return Finding(item, Verdict.FAILED, f"{explanation} ({found})", remedy)
    if explained.cause is Cause.REVERSED_OR_GENERATION:
        text = f"{explanation} against the others, or generation in one phase ({found})"
        return Finding(item, Verdict.WARNING, text, "turn it if nothing generates; declare the direction to be sure")
    text = f"generation far from unity power factor, or {explanation} ({found})"
    return Finding(item, Verdict.WARNING, text, f"compare with a known load; if it is no generation, {remedy}")


def _in_words(explained: Explanation) -> tuple[str, str]:
    """Say how the currents are connected, and what to do about it."""
    moved = [f"input {at} carries phase {phase}" for at, phase in explained.carries.items()]
    turned = explained.turned
    parts = moved + ([f"current of {', '.join(turned)} reversed"] if turned else [])
    if moved:
        return "; ".join(parts), "exchange the leads, or the phases of the channels"
    return parts[0], "turn the current transformer, or set its channel reversed"


def _angles(
    voltages: Mapping[str, complex], currents: Mapping[str, complex], order: tuple[str, ...], signs: tuple[int, ...]
) -> tuple[float, ...]:
    """Return the angle of voltage against current for each phase, were the currents connected in this way [rad]."""
    return tuple(
        cmath.phase(voltages[phase] * (sign * currents[source]).conjugate())
        for phase, source, sign in zip(PHASES, order, signs, strict=True)
    )


def _cost(angles: tuple[float, ...], plausible: float) -> float:
    """Say how implausible the angles are: beyond what is usual, and unlike each other [rad]."""
    beyond = sum(max(0.0, abs(angle) - plausible) for angle in angles)
    centre = cmath.phase(sum(cmath.rect(1.0, angle) for angle in angles) or 1.0)
    spread = max(abs(cmath.phase(cmath.rect(1.0, angle - centre))) for angle in angles)
    return beyond + spread


def _effort(order: tuple[str, ...], signs: tuple[int, ...]) -> float:
    """Prefer the explanation with fewest mistakes [rad]."""
    moved = sum(phase != source for phase, source in zip(PHASES, order, strict=True))
    return 0.1 * (moved + 1.5 * signs.count(-1))
