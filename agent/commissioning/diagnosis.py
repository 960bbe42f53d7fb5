"""
Whether the wiring of a meter is right, and what to do where it is not, in an installer's words. Pure.

Where it stands: `sampled` observes, this judges, `verdicts` puts it beside how catalog, brokers and clock are. What is
told rests on the same judgement as ``tresma-agent check`` (`wiring`); phases are L1, L2, L3 and N here. What cannot be
told is said to be so: a current that hardly flows, or one that may be generation, is not judged, and nothing that is
not judged counts as right.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from agent.commissioning.wiring import (
    ALIVE,
    CURRENT,
    NOTHING,
    OFFSET,
    PHASES,
    Cause,
    ChannelStatistics,
    Explanation,
    Finding,
    Sequence,
    Verdict,
    exchanged,
    explain_currents,
    sequence_of,
)
from algorithms.api.records import MeasurementFrame
from device_catalog.contract.documents import Direction

NAMES = {"A": "L1", "B": "L2", "C": "L3", "N": "N"}

USUAL = (0.85, 1.15)
"""Voltage of a network that is in order, as a share of nominal [1]; EN 50160 allows -15 % to +10 %."""

SCALES = (
    (0.5, "half", 0.04),
    (2.0, "twice", 0.16),
    (1 / math.sqrt(3), "1/√3 of", 0.04),
    (math.sqrt(3), "√3 times", 0.12),
)
"""Ratios that point at a wrong setting rather than at the network [1], in words, and how near they must be [1]."""

LOW_VOLTAGE = 1000.0
"""Nominal voltages below are of networks whose neutral is earthed [V]."""

DISPLACED = 0.08
"""Zero sequence as a share of positive, from which on the neutral is displaced [1]."""

BALANCED = 0.04
"""Negative sequence as a share of positive, below which the phases themselves are in order [1]."""

LOADED = 0.004
"""Share of an input's range below which a current is too small to judge [1]."""

SIGNIFICANT = 10.0
"""A current below so many of its standard uncertainties is too small to judge [1]."""

OFF_FREQUENCY = 0.02
"""Frequency further from nominal than this share is no network's [1]."""


@dataclass(frozen=True, slots=True)
class Observation:
    """
    What was read from the ring.

    Attributes
    ----------
    channels : mapping
        `ChannelStatistics` by name.
    frame : MeasurementFrame or None
        None where no phasors could be estimated.
    nominal_voltage, nominal_frequency : float
        [V], [Hz]
    direction : Direction
    missing : float
        Share of the samples that were lost [1].
    """

    channels: Mapping[str, ChannelStatistics]
    frame: MeasurementFrame | None
    nominal_voltage: float = 230.0
    nominal_frequency: float = 50.0
    direction: Direction = Direction.EITHER
    missing: float = 0.0
    voltages: Mapping[str, complex] = field(init=False)
    currents: Mapping[str, complex] = field(init=False)

    def __post_init__(self) -> None:
        frame = self.frame
        object.__setattr__(self, "voltages", {} if frame is None else _phasors(frame, "voltage"))
        object.__setattr__(self, "currents", {} if frame is None else _phasors(frame, "current"))

    def statistics(self, quantity: str, phase: str) -> ChannelStatistics | None:
        """Give one channel's; None where it is not measured."""
        found = (one for one in self.channels.values() if one.quantity == quantity and one.phase == phase)
        return next(found, None)

    def is_alive(self, phase: str) -> bool:
        """Tell whether there is a voltage."""
        one = self.statistics("voltage", phase)
        return one is not None and one.rms >= ALIVE * self.nominal_voltage


@dataclass(frozen=True, slots=True)
class Waveform:
    """
    One channel over a few cycles.

    Attributes
    ----------
    quantity, phase : str
    values : tuple of float
        Evenly spaced [V or A].
    """

    quantity: str
    phase: str
    values: tuple[float, ...]


def judge(seen: Observation) -> list[Finding]:
    """Judge every channel, the sequence of the voltages, the neutral, and how currents are connected."""
    findings = [*_voltages(seen), *_currents(seen)]
    alive = [phase for phase in PHASES if seen.is_alive(phase)]
    findings.append(_sequence(seen, alive))
    if seen.nominal_voltage < LOW_VOLTAGE and len(alive) == len(PHASES):
        findings.extend(_neutral(seen))
    findings.append(_connection(seen, alive))
    findings.append(_frequency(seen))
    return findings


# ---- each channel


def _voltages(seen: Observation) -> Iterator[Finding]:
    scale = _scale(seen)
    for phase in PHASES:
        one = seen.statistics("voltage", phase)
        item = f"Voltage {NAMES[phase]}"
        if one is None:
            yield Finding(item, Verdict.FAILED, "not measured", "give this phase a channel in the settings")
            continue
        share = one.rms / seen.nominal_voltage
        found = f"{one.rms:.1f} V"
        faulty = _input_fault(item, one, found)
        if faulty is not None:
            yield faulty
        elif share < ALIVE:
            remedy = "check the fuse of this phase, then the terminal and the lead"
            yield Finding(item, Verdict.FAILED, f"No voltage on {NAMES[phase]} ({found}): fuse?", remedy)
        elif scale:
            yield Finding(item, Verdict.FAILED, f"{found}: {scale}", _SCALE_REMEDY)
        elif not USUAL[0] <= share <= USUAL[1]:
            expected = f"{found}, where {seen.nominal_voltage:g} V is expected"
            remedy = "measure at the terminal: a blown fuse that others feed back over, a loose lead, or a wrong ratio"
            yield Finding(item, Verdict.FAILED, expected, remedy)
        else:
            yield Finding(item, Verdict.OK, found)


_SCALE_REMEDY = "compare with your own meter; correct the ratio of the voltage channels or the nominal voltage"


def _scale(seen: Observation) -> str:
    """Say by what all voltages differ from nominal alike, as only a wrong setting makes them; empty otherwise."""
    found = [seen.statistics("voltage", phase) for phase in PHASES]
    shares = [one.rms / seen.nominal_voltage for one in found if one is not None]
    if len(shares) < len(PHASES):
        return ""
    for factor, words, near in SCALES:
        if all(abs(share - factor) < near for share in shares):
            return f"{words} the {seen.nominal_voltage:g} V expected"
    mean = sum(shares) / len(shares)
    alike = all(abs(share / mean - 1) < 0.05 for share in shares) if mean > 0 else False
    if alike and min(shares) >= ALIVE and not USUAL[0] <= mean <= USUAL[1]:
        return f"{mean:.2g} times the {seen.nominal_voltage:g} V expected"
    return ""


def _currents(seen: Observation) -> Iterator[Finding]:
    for phase in PHASES:
        one = seen.statistics("current", phase)
        if one is None:
            continue
        item = f"Current {NAMES[phase]}"
        found = f"{one.rms:.3g} A"
        faulty = _input_fault(item, one, found)
        if faulty is not None:
            yield faulty
        elif not _flows(seen, phase):
            remedy = (
                f"switch a load on in {NAMES[phase]}; if nothing changes, check the current transformer and its leads"
            )
            yield Finding(item, Verdict.NOT_JUDGED, f"{found}: too little to judge", remedy)
        else:
            yield Finding(item, Verdict.OK, found)


def _input_fault(item: str, one: ChannelStatistics, found: str) -> Finding | None:
    """Tell of an input that clips, or has an offset."""
    if one.clipped > 0:
        share = f"{found}: beyond the input's range for {100 * one.clipped:.2g} % of the time"
        return Finding(item, Verdict.FAILED, share, "choose a larger input range or a larger transformer ratio")
    offset = abs(one.mean) if abs(one.mean) > NOTHING * one.rms else 0.0
    least = max(OFFSET * math.sqrt(2) * one.rms, LOADED * one.full_scale)
    if offset > least:
        unit = "V" if one.quantity == "voltage" else "A"
        remedy = "set the channel's offset to what its input reads at zero"
        return Finding(item, Verdict.FAILED, f"{found}, shifted by {one.mean:.3g} {unit}", remedy)
    return None


def _flows(seen: Observation, phase: str) -> bool:
    """Tell whether enough current flows to judge it."""
    one = seen.statistics("current", phase)
    if one is None or one.rms <= max(2 * one.resolution, LOADED * one.full_scale, 1e-6):
        return False
    reading = seen.frame.current.get(phase) if seen.frame is not None else None
    return reading is None or (reading.angle is not None and reading.magnitude > SIGNIFICANT * reading.u_magnitude)


# ---- phases against each other


def _sequence(seen: Observation, alive: list[str]) -> Finding:
    item = "Phase sequence"
    voltages = {phase: seen.voltages[phase] for phase in alive if phase in seen.voltages}
    if len(voltages) < len(PHASES):
        return Finding(item, Verdict.NOT_JUDGED, "needs voltage in all three phases", "put the voltages right first")
    rotation = sequence_of(voltages)
    if rotation.sequence is Sequence.RIGHT:
        return Finding(item, Verdict.OK, "L1, L2, L3: turns the right way")
    if rotation.sequence is Sequence.SAME:
        pairs = " and ".join(f"{NAMES[a]} and {NAMES[b]}" for a, b in rotation.same)
        remedy = "connect each voltage input to a phase of its own"
        return Finding(item, Verdict.FAILED, f"{pairs} are connected to the same phase", remedy)
    if rotation.sequence is Sequence.ODD:
        angles = ", ".join(f"{NAMES[a]} to {NAMES[b]} {lag:.0f}°" for (a, b), lag in rotation.lags.items())
        remedy = "check each voltage input; one may be connected the wrong way round"
        return Finding(item, Verdict.FAILED, f"phases are not 120° apart ({angles})", remedy)
    pair = exchanged(voltages, seen.currents) if _all_flow(seen) else None
    if pair is not None:
        both = f"{NAMES[pair[0]]} and {NAMES[pair[1]]}"
        return Finding(
            item, Verdict.FAILED, f"The voltages of {both} are exchanged", f"exchange the voltage leads of {both}"
        )
    remedy = "exchange L2 and L3, voltage leads and current transformers together"
    return Finding(item, Verdict.FAILED, "L2 and L3 are exchanged: the phases turn the wrong way", remedy)


def _neutral(seen: Observation) -> Iterator[Finding]:
    """Judge the neutral by its displacement: the phases' own differences are in order, only their middle is not."""
    sequence = seen.frame.voltage_sequence if seen.frame is not None else None
    if sequence is None or sequence_of(seen.voltages).sequence is not Sequence.RIGHT:
        return
    positive = max(sequence.positive.magnitude, 1e-9)
    zero, negative = sequence.zero.magnitude / positive, sequence.negative.magnitude / positive
    item = "Neutral"
    if zero >= DISPLACED and negative < BALANCED:
        found = f"The neutral (N) is missing or loose: its potential is off by {sequence.zero.magnitude:.0f} V"
        yield Finding(
            item, Verdict.FAILED, found, "check the neutral lead of the voltage inputs, then that of the supply"
        )
    elif zero < DISPLACED:
        yield Finding(item, Verdict.OK, "connected, as far as the voltages tell")


def _all_flow(seen: Observation) -> bool:
    magnitudes = [abs(seen.currents[phase]) for phase in PHASES if phase in seen.currents and _flows(seen, phase)]
    return len(magnitudes) == len(PHASES) and min(magnitudes) > CURRENT * max(magnitudes)


def _connection(seen: Observation, alive: list[str]) -> Finding:
    item = "Current transformers"
    if not any(one.quantity == "current" for one in seen.channels.values()):
        return Finding(item, Verdict.OK, "none: this meter measures voltages only")
    if len(alive) < len(PHASES) or any(phase not in seen.voltages for phase in PHASES):
        return Finding(item, Verdict.NOT_JUDGED, "needs voltage in all three phases", "put the voltages right first")
    if sequence_of(seen.voltages).sequence is not Sequence.RIGHT:
        return Finding(item, Verdict.NOT_JUDGED, "needs the right phase sequence", "put the voltages right first")
    if not _all_flow(seen):
        idle = [NAMES[phase] for phase in PHASES if phase not in seen.currents or not _flows(seen, phase)]
        where = _listed(idle) or "one phase"
        found = f"Too little current in {where} to tell how the current transformers are connected"
        return Finding(
            item, Verdict.NOT_JUDGED, found, "switch loads on in all three phases, a few per cent of the range"
        )
    return _explained(item, explain_currents(seen.voltages, seen.currents, seen.direction), seen.direction)


def _explained(item: str, explained: Explanation, direction: Direction) -> Finding:
    if explained.cause is Cause.RIGHT:
        return Finding(item, Verdict.OK, "each on its own phase, the right way round")
    if explained.cause is Cause.FEEDING:
        if direction is Direction.GENERATION:
            return Finding(item, Verdict.OK, "each on its own phase; power is fed back in all three")
        found = "Power flows backwards in all three phases: generation, or all three are the wrong way round"
        remedy = "switch the generation off and look again; without any, turn all three current transformers"
        return Finding(item, Verdict.NOT_JUDGED, found, remedy)
    found, remedy = _in_words(explained)
    if explained.cause is Cause.MISWIRED:
        return Finding(item, Verdict.FAILED, found, remedy)
    maybe = f"{found}, or power is fed back there"
    if explained.cause is Cause.GENERATION_OR_MISWIRED:
        maybe = f"Power is fed back, or: {found[0].lower()}{found[1:]}"
    return Finding(item, Verdict.NOT_JUDGED, maybe, f"switch generation off and look again; if it stays, {remedy}")


def _in_words(explained: Explanation) -> tuple[str, str]:
    """Say which transformers are on the wrong phase or the wrong way round, and what to do."""
    turned = [NAMES[phase] for phase in explained.turned]
    moved = {NAMES[at]: NAMES[phase] for at, phase in explained.carries.items()}
    said, to_do = [], []
    if len(moved) == 2:
        both = " and ".join(moved)
        said.append(f"The current transformers of {both} are exchanged")
        to_do.append(f"exchange the current transformers (or their leads) of {both}")
    elif moved:
        said.append(
            "The current transformers are on the wrong phases: "
            + ", ".join(f"{at} is on {on}" for at, on in moved.items())
        )
        to_do.append("put each current transformer on its own phase")
    if turned:
        is_one = len(turned) == 1
        which = f"current transformer{'' if is_one else 's'} of {_listed(turned)}"
        said.append(f"{'the' if said else 'The'} {which} {'is' if is_one else 'are'} the wrong way round")
        to_do.append(f"turn the {which}, or exchange {'its' if is_one else 'their'} two leads")
    return "; ".join(said), "; ".join(to_do)


def _listed(names: list[str]) -> str:
    """
    Write names as a sentence has them.

    >>> _listed(["L1", "L2", "L3"])
    'L1, L2 and L3'
    """
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)


def _frequency(seen: Observation) -> Finding:
    item = "Frequency"
    frequency = seen.frame.frequency if seen.frame is not None else None
    if frequency is None:
        return Finding(item, Verdict.NOT_JUDGED, "needs voltage", "put the voltages right first")
    found = f"{frequency.value:.3f} Hz"
    if abs(frequency.value / seen.nominal_frequency - 1) > OFF_FREQUENCY:
        expected = f"{found}, where {seen.nominal_frequency:g} Hz is expected"
        return Finding(
            item, Verdict.FAILED, expected, "check the sampling rate and the nominal frequency in the settings"
        )
    return Finding(item, Verdict.OK, found)


def _phasors(frame: MeasurementFrame, quantity: str) -> dict[str, complex]:
    readings = getattr(frame, quantity)
    return {
        phase: readings[phase].phasor for phase in PHASES if phase in readings and readings[phase].angle is not None
    }
