"""
Whether a meter is wired right, judged from what its channels show. Pure.

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
    """

    quantity: str
    phase: str
    rms: float
    mean: float
    clipped: float
    resolution: float = 0.0


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


def _sequence(voltages: Mapping[str, complex]) -> Finding:
    item = "phase sequence"
    angles = {phase: cmath.phase(voltage) for phase, voltage in voltages.items()}
    pairs = [(a, b) for a, b in (("A", "B"), ("B", "C"), ("C", "A")) if a in angles and b in angles]
    lags = {pair: math.degrees(angles[pair[0]] - angles[pair[1]]) % 360 for pair in pairs}
    same = [f"{a} and {b}" for (a, b), lag in lags.items() if min(lag, 360 - lag) < 30]
    if same:
        remedy = "connect each voltage input to a phase of its own"
        return Finding(item, Verdict.FAILED, f"{', '.join(same)} show the same voltage", remedy)
    found = ", ".join(f"{a}-{b} {lag:.1f} deg" for (a, b), lag in lags.items())
    if all(abs(lag - 120) < 30 for lag in lags.values()):
        return Finding(item, Verdict.OK, f"A-B-C ({found})")
    if all(abs(lag - 240) < 30 for lag in lags.values()):
        return Finding(item, Verdict.FAILED, f"A-C-B ({found})", "exchange two phases, voltage and current together")
    remedy = "expected 120 deg between phases: check each voltage input, and reversed or displaced transformers"
    return Finding(item, Verdict.FAILED, found, remedy)


def _currents(voltages: Mapping[str, complex], currents: Mapping[str, complex], direction: Direction) -> Finding:
    item = "current wiring"
    as_declared = _angles(voltages, currents, PHASES, FORWARD)
    found = ", ".join(
        f"{phase} {math.degrees(angle):.0f} deg" for phase, angle in zip(PHASES, as_declared, strict=True)
    )
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
    explanation, remedy = _explanation(order, signs)
    if declared_cost - cost >= CLEARLY:
        if order == PHASES and direction is not Direction.LOAD:
            text = f"{explanation} against the others, or generation in one phase ({found})"
            return Finding(
                item, Verdict.WARNING, text, "turn it if nothing generates; declare the direction to be sure"
            )
        return Finding(item, Verdict.FAILED, f"{explanation} ({found})", remedy)
    if feeding and order != PHASES and declared_cost - cost > -AMBIGUOUS:
        text = f"generation far from unity power factor, or {explanation} ({found})"
        return Finding(item, Verdict.WARNING, text, f"compare with a known load; if it is no generation, {remedy}")
    flow = "power flows out of the equipment in all phases" if feeding else "angles to their voltages"
    return Finding(item, Verdict.OK, f"{flow}: {found}")


def _explanation(order: tuple[str, ...], signs: tuple[int, ...]) -> tuple[str, str]:
    """Say in words how the currents are connected, and what to do about it."""
    turned = [source for source, sign in zip(order, signs, strict=True) if sign < 0]
    found_at = dict(zip(order, PHASES, strict=True))
    moved = [f"input {at} carries phase {found_at[at]}" for at in PHASES if found_at[at] != at]
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
