"""
When a change is a fault: what the settings state joined with what follows from the network and the converter.

Where it stands: `fault_detection` watches by these thresholds, and `fault_location` names the types by them. Pure.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from algorithms.api.network_equipment import GroundingKind
from algorithms.api.samples import Channel, Phase, Quantity
from algorithms.api.settings import Setting
from algorithms.grid.faults.fault_settings import FeederFacts
from algorithms.waveform.fault_criteria import Neutral, Thresholds

PHASES = (Phase.A, Phase.B, Phase.C)
NOISE_STEPS = 1.5
"""Noise of a sample, in steps of the converter [1]."""
LOAD_SHARE = 0.05
"""Least change of a phase current where nothing is known of the feeder, share of full scale [1]."""

_open = "; from the network and the converter where it is not stated"
SETTINGS = (
    Setting("phase_current", "number", f"Change of the positive-sequence current that is a fault{_open}.", "A",
            None, 0.001, 1e6),
    Setting("negative_current", "number", f"Change of the negative-sequence current that is a fault{_open}.", "A",
            None, 0.001, 1e6),
    Setting("ground_current", "number", f"Change of the zero-sequence current I0 that is a fault{_open}.", "A",
            None, 0.001, 1e6),
    Setting("zero_voltage", "number", "Change of the zero-sequence voltage that goes with an earth fault, share of "
            "nominal; by the neutral where it is not stated.", "1", None, 0.0005, 0.9),
    Setting("neutral", "text", "How the neutral behind is treated; as the network says where it is not stated.", "",
            None, choices=("solid", "resistance", "reactance", "isolated", "compensated")),
    Setting("charging", "number", f"Susceptance of the feeder ahead to earth, per phase{_open}.", "S", None, 0.0, 1.0),
    Setting("conductance", "number", "Least conductance behind the meter that shows an earth fault ahead with a "
            f"compensated neutral{_open}.", "S", None, 0.0, 10.0),
    Setting("susceptance", "number", "Least susceptance behind the meter that shows an earth fault ahead with an "
            f"isolated neutral{_open}.", "S", None, 0.0, 10.0),
    Setting("inrush_current", "number", "Change of a current that is more than magnetising inrush of all transformers "
            "ahead; from the network where it is not stated.", "A", None, 0.001, 1e6),
    Setting("second_harmonic", "number", "Second harmonic of a change, relative to its fundamental, beyond which it is "
            "magnetising inrush.", "1", 0.2, 0.05, 1.0),
)  # fmt: skip


def six_rows(channels: Sequence[Channel]) -> list[int] | None:
    """Give the rows of voltages A, B, C and currents A, B, C; None where one is missing."""
    rows = {(channel.quantity, channel.phase): row for row, channel in reversed(list(enumerate(channels)))}
    wanted = [(quantity, phase) for quantity in (Quantity.VOLTAGE, Quantity.CURRENT) for phase in PHASES]
    return [rows[item] for item in wanted] if all(item in rows for item in wanted) else None


def thresholds(
    values: Mapping[str, Any], facts: FeederFacts | None, channels: Sequence[Channel], cycle: int, voltage: float
) -> Thresholds:
    """
    Join what the settings state with what follows from the network and the converter.

    Parameters
    ----------
    values : mapping
        Settings; None where not stated.
    facts : FeederFacts or None
    channels : sequence of Channel
        Voltages, then currents.
    cycle : int
        Samples in a cycle.
    voltage : float
        Nominal, phase to neutral, where no network tells it [V].
    """
    # A change is the difference of two phasors, each the mean of a cycle's samples.
    spread = 2.0 * NOISE_STEPS / math.sqrt(cycle)
    volts = spread * max(channel.resolution for channel in channels[:3])
    amperes = spread * max(channel.resolution for channel in channels[3:]) / math.sqrt(3.0)
    scale = LOAD_SHARE * max(channel.full_scale for channel in channels[3:])
    derived: dict[str, float]
    if facts is None:
        grounding = GroundingKind(values["neutral"] or "resistance")
        phase = max(scale, 10.0 * amperes, 1.0)
        derived = {"phase_current": phase, "negative_current": 0.4 * phase, "ground_current": max(0.2 * phase, 4.0)}
        derived |= {"charging": 0.0, "conductance": 0.0, "susceptance": 0.0, "inrush_current": math.inf}
        nominal = voltage
    else:
        grounding = GroundingKind(values["neutral"] or facts.grounding)
        nominal = facts.nominal_voltage
        derived = {
            "phase_current": max(facts.phase_current, 8.0 * amperes),
            "negative_current": max(facts.negative_current, 8.0 * amperes),
            "ground_current": facts.ground_current(amperes),
            "charging": facts.charging,
            "conductance": 0.3 * facts.neutral_conductance,
            "susceptance": 0.1 * 3.0 * facts.charging,
            "inrush_current": facts.inrush_current,
        }
    if grounding is GroundingKind.ISOLATED:
        neutral, displaced = Neutral.ISOLATED, 0.1
    elif grounding is GroundingKind.COMPENSATED:
        neutral, displaced = Neutral.COMPENSATED, 0.1
    else:
        neutral, displaced = Neutral.EARTHED, 0.002 if grounding is GroundingKind.SOLID else 0.01
    chosen = {name: derived[name] if values[name] is None else values[name] for name in derived}
    return Thresholds(
        nominal_voltage=nominal,
        zero_voltage=displaced if values["zero_voltage"] is None else values["zero_voltage"],
        neutral=neutral,
        second_harmonic=values["second_harmonic"],
        noise_voltage=volts / math.sqrt(3.0),
        **chosen,
    )
