r"""
When superimposed phasors are a fault ahead of the meter, and which phases it joins.

Where it stands: `superimposed` makes the quantities, `builtin.faults.fault_watch` asks here sample by sample; the
thresholds come from the network (`algorithms.grid.faults.fault_settings`) or from who sets them.

Rules:

- No trip from voltages alone, and none from currents that flow back: a source that sags, jumps or swings changes the
  current of a feeder as its load does, so that :math:`-\Delta V / \Delta I` is minus the load's impedance; a fault
  ahead shows the impedance behind the meter.
- Zero-sequence current is freed of what the feeder's own capacitance takes, so that an earth fault elsewhere
  leaves nothing.
- Unbalance must stand, not only change: a phase that is closed again takes away what it had brought. And it must have
  grown: the end of a fault that nobody followed is no fault.
- Isolated and compensated neutrals have their own judgement of earth faults: the admittance behind the meter.
"""

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from algorithms.waveform.phasor import Complexes, Floats
from algorithms.waveform.superimposed import FORTESCUE

Truths = NDArray[np.bool_]

RESTRAINT = 0.05
"""Share of the phases' change that zero-sequence current must exceed: unlike transformers add up to some [1]."""
CHARGING_ERROR = 0.3
"""Share of the feeder's own charging that may be wrongly known [1]."""
GROWN = 1.1
"""What a fault brings exceeds what was there before by this factor [1]."""
FAULTED = 0.3
"""A phase takes part when it changed by this share of what the most changed phase did [1]."""
DOUBTFUL = (0.15, 0.5)
"""Between these shares it may or may not [1]."""
COLLAPSED = 0.5
"""Inrush leaves more than this share of the voltage between phases [1]."""


class Neutral(StrEnum):
    """How a neutral is treated, as far as a detector minds."""

    EARTHED = "earthed"
    """Solidly, through a resistance or a reactance."""
    ISOLATED = "isolated"
    COMPENSATED = "compensated"


class FaultType(StrEnum):
    """Which conductors a fault joins."""

    LG = "LG"
    LL = "LL"
    LLG = "LLG"
    LLL = "LLL"


@dataclass(frozen=True, slots=True)
class Thresholds:
    """
    When a change is a fault.

    Attributes
    ----------
    nominal_voltage : float
        Phase to neutral [V].
    phase_current, negative_current, ground_current : float
        Change of the positive, negative and zero sequence [A].
    zero_voltage : float
        Change of the zero sequence, share of nominal [1].
    neutral : Neutral
    charging : float
        Susceptance to earth of the feeder ahead, per phase [S].
    conductance, susceptance : float
        Of three times the zero-sequence admittance behind the meter: least of an earth fault ahead with a compensated,
        an isolated neutral [S].
    second_harmonic : float
        Share of the change of the currents beyond which it is magnetisation [1].
    noise_voltage : float
        What noise leaves on a change of a voltage phasor, 1 sigma [V].
    inrush_current : float
        Beyond this, no change of a phase's current is magnetisation, whatever its harmonics [A].
    """

    nominal_voltage: float
    phase_current: float
    negative_current: float
    ground_current: float
    zero_voltage: float = 0.01
    neutral: Neutral = Neutral.EARTHED
    charging: float = 0.0
    conductance: float = 0.0
    susceptance: float = 0.0
    second_harmonic: float = 0.2
    noise_voltage: float = 0.0
    inrush_current: float = math.inf


@dataclass(frozen=True, slots=True, eq=False)
class Verdict:
    """Which samples show a fault between phases, one through an earthed neutral, an earth fault without one."""

    phase: Truths
    ground: Truths
    earth: Truths


def judge(now: Complexes, change: Complexes, limits: Thresholds, floors: Floats) -> Verdict:
    """
    Judge phasors sample by sample.

    Parameters
    ----------
    now : numpy.ndarray
        Phasors of voltages A, B, C, then currents A, B, C, shape (6, n) [V, A].
    change : numpy.ndarray
        Their superimposed parts, shape (6, n) [V, A].
    limits : Thresholds
    floors : numpy.ndarray
        Change of the zero-, positive-, negative-sequence current that load makes all the time, shape (3,) [A].

    Returns
    -------
    Verdict
    """
    dv, di = FORTESCUE @ change[:3], FORTESCUE @ change[3:]
    size = np.abs(di)
    none = np.zeros(size.shape[1], dtype=bool)
    stirs = (size[0] > limits.ground_current) | (size[1] > limits.phase_current) | (size[2] > limits.negative_current)
    if not stirs.any():
        return Verdict(none, none, none)  # as nearly always
    before = now - change
    aside = di[0] - 1j * limits.charging * dv[0]
    quiet_voltage = max(5.0 * limits.noise_voltage, 0.002 * limits.nominal_voltage)
    standing = np.abs(FORTESCUE @ now[3:])
    least = max(limits.negative_current, floors[2])
    phase = (size[1] > max(limits.phase_current, floors[1])) | ((size[2] > least) & (standing[2] > least))
    phase &= _ahead(dv, di, before, quiet_voltage, limits.nominal_voltage)
    phase &= np.abs(now[3:]).max(axis=0) > GROWN * np.abs(before[3:]).max(axis=0)
    if limits.neutral is Neutral.EARTHED:
        least = max(limits.ground_current, floors[0]) + RESTRAINT * size[1]
        ground = _ground(dv, aside, change, before=before, limits=limits, least=least)
        grown = standing[0] > np.maximum(limits.ground_current, GROWN * np.abs(FORTESCUE[0] @ before[3:]))
        return Verdict(phase, ground & grown & stirs, none)
    small = (size[1] < limits.phase_current) & (size[2] < limits.negative_current)
    grown = np.abs(FORTESCUE[0] @ now[:3]) > GROWN * np.abs(FORTESCUE[0] @ before[:3])
    return Verdict(phase, none, _earth(dv[0], di[0], limits) & small & grown)


def no_inrush(now: Complexes, change: Complexes, limits: Thresholds) -> Truths:
    """
    Tell where a change is too much for magnetising inrush, whatever its harmonics.

    A current transformer in saturation and a converter at its limit make a second harmonic of their own, in the
    largest faults most of all. No inrush takes away half of the voltage between the phases, and none exceeds what all
    transformers ahead can draw.

    Parameters
    ----------
    now, change, limits
        As in `judge`.
    """
    sound, usual = (_soundness(voltages) for voltages in (now[:3], now[:3] - change[:3]))
    # A line that is made alive has little voltage in its first cycle, but it had less.
    collapsed: Truths = (sound < COLLAPSED * usual) & (usual > 0.1 * limits.nominal_voltage)
    excessive: Truths = np.abs(change[3:]).max(axis=0) > limits.inrush_current
    return collapsed | excessive


def _soundness(voltages: Complexes) -> Floats:
    """Give what is left between the phases: positive less negative sequence, nothing where two of them touch [V]."""
    sound: Floats = np.abs(FORTESCUE[1] @ voltages) - np.abs(FORTESCUE[2] @ voltages)
    return sound


def _ahead(dv: Complexes, di: Complexes, before: Complexes, quiet: float, nominal: float) -> Truths:
    """Tell where the change came from ahead, by the stronger of positive and negative sequence and by the voltage."""
    negative = np.abs(di[2]) > np.abs(di[1])
    voltage, current = np.where(negative, dv[2], dv[1]), np.where(negative, di[2], di[1])
    behind = -voltage * np.conj(current)
    memory = FORTESCUE[1] @ before[:3]
    # A line that had no voltage and draws a fault's current at once was switched onto it.
    dead = np.abs(memory) < 0.1 * nominal
    # -45 to 150 degrees: the impedance of a source, with what noise and offsets add.
    by_change = _between(behind, -45.0, 150.0) | (np.abs(voltage) < quiet)
    by_memory = _between(memory * np.conj(di[1]), -60.0, 110.0)
    ahead: Truths = (by_change & by_memory) | dead
    return ahead


def _between(value: Complexes, low: float, high: float) -> Truths:
    """Tell where an angle is in a range narrower than a half turn and a half [degrees]."""
    middle, half = np.deg2rad((low + high) / 2), np.deg2rad((high - low) / 2)
    turned = value * np.exp(-1j * middle)
    inside: Truths = turned.real > np.abs(turned) * np.cos(half)
    return inside


def _ground(
    dv: Complexes, aside: Complexes, change: Complexes, *, before: Complexes, limits: Thresholds, least: Floats
) -> Truths:
    charging = CHARGING_ERROR * limits.charging * np.abs(dv[0])
    large = np.abs(aside) > least + charging
    known = np.abs(dv[0]) > max(limits.zero_voltage * limits.nominal_voltage, 5.0 * limits.noise_voltage)
    by_zero = _between(-dv[0] * np.conj(aside), -60.0, 120.0)
    # Behind a stiff, solidly earthed source there is no zero-sequence voltage to tell by: the phase's own tells.
    most = np.abs(change[3:]).argmax(axis=0)[np.newaxis]
    voltage = np.take_along_axis(before[:3], most, axis=0)[0]
    by_phase = _between(voltage * np.conj(np.take_along_axis(change[3:], most, axis=0)[0]), -60.0, 110.0)
    found: Truths = large & np.where(known, by_zero, by_phase & (limits.zero_voltage < 0.01))
    return found


def _earth(dv0: Complexes, di0: Complexes, limits: Thresholds) -> Truths:
    displaced = np.abs(dv0) > limits.zero_voltage * limits.nominal_voltage
    # Its own charging stays in: a voltage that is lost without any current must not look like a fault.
    behind = -3.0 * di0 * np.conj(dv0)
    square = np.square(np.abs(dv0))
    if limits.neutral is Neutral.ISOLATED:
        signed = behind.imag > limits.susceptance * square
    else:
        signed = behind.real > limits.conductance * square
    found: Truths = displaced & signed & (np.abs(di0) > limits.ground_current)
    return found


def classify(change: Complexes, limits: Thresholds) -> tuple[FaultType, tuple[int, ...]]:
    """
    Name the type of a fault and its phases from the superimposed currents.

    Parameters
    ----------
    change : numpy.ndarray
        Superimposed phasors of voltages and currents, shape (6,) [V, A].

    Returns
    -------
    FaultType, tuple of int
        And the phases, 0 for A. A fault of three phases is `LLL` with or without earth: nothing tells them apart.
    """
    sizes = np.abs(change[3:])
    most = float(sizes.max())
    phases = tuple(int(phase) for phase in np.flatnonzero(sizes > FAULTED * most))
    if len(phases) == 1:
        return FaultType.LG, phases
    if len(phases) == 3:
        return FaultType.LLL, phases
    displaced = FORTESCUE[0] @ change[:3]
    if limits.neutral is Neutral.EARTHED:
        zero = FORTESCUE[0] @ change[3:] - 1j * limits.charging * displaced
        grounded = abs(zero) > max(limits.ground_current, 0.005 * most)
    else:  # hardly any current flows to earth, but its voltage moves
        grounded = abs(displaced) > limits.zero_voltage * limits.nominal_voltage
    return (FaultType.LLG if grounded else FaultType.LL), phases


def possible_types(change: Complexes, limits: Thresholds) -> list[tuple[FaultType, tuple[int, ...]]]:
    """
    Name every type that a fault may be: the one `classify` names, and others where a phase is in doubt.

    Parameters
    ----------
    change : numpy.ndarray
        Superimposed phasors of voltages and currents, shape (6,) [V, A].
    """
    found = [classify(change, limits)]
    sizes = np.abs(change[3:])
    order = np.argsort(-sizes)
    share = sizes[order] / max(float(sizes[order[0]]), 1e-30)
    for count in (1, 2, 3):
        # So many phases take part, or one more or fewer, if the one at the edge is near the limit.
        edge = share[count] if count < 3 else 0.0
        if edge < DOUBTFUL[1] and share[count - 1] > DOUBTFUL[0]:
            kind = (FaultType.LG, FaultType.LL, FaultType.LLL)[count - 1]
            phases = tuple(sorted(int(phase) for phase in order[:count]))
            if phases not in [known for _, known in found]:
                found.append((kind, phases))
    return found


def earthed_phase(before: Complexes, change: Complexes, limits: Thresholds) -> tuple[int, float]:
    r"""
    Find the phase of an earth fault without an earthed neutral, and its resistance.

    Parameters
    ----------
    before, change : numpy.ndarray
        Phasors of voltages and currents before the fault and their superimposed parts, shape (6,) [V, A].

    Returns
    -------
    phase : int
        0 for A.
    resistance : float
        [ohm]; good to tell a tree from a metallic contact.

    Notes
    -----
    With the admittance of the whole network to earth :math:`Y`, seen by the meter as what is behind it plus its own
    feeder's charging, :math:`-E_p = \Delta V_0 (1 + R Y)`. Of three phases the right one gives a resistance R that is
    real and not negative.
    """
    dv0 = complex(FORTESCUE[0] @ change[:3])
    aside = complex(FORTESCUE[0] @ change[3:]) - 1j * limits.charging * dv0
    whole = -3.0 * aside / dv0
    excess = -before[:3] / dv0 - 1.0
    resistance = excess / whole
    # What a real, positive resistance leaves unexplained.
    rest = np.abs(excess - np.maximum(resistance.real, 0.0) * whole)
    phase = int(rest.argmin())
    return phase, float(max(resistance[phase].real, 0.0))
