"""
What a meter shows beside a reference, and the constants that follow: from a few seconds of samples to a calibration.

Between `observation`, which reads the source, `hardware.calibration`, which knows the arithmetic, and
`calibrate_command`, which speaks with the installer. Voltages are compared in magnitude, and in angle to phase A's
where the reference tells angles; currents in magnitude, and in angle to their own phase's voltage.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import msgspec
import numpy as np
from numpy.typing import NDArray

from agent.calibration import fits
from agent.console.observation import Observation
from agent.processes.sampling import source_request
from algorithms.api.errors import Problem
from algorithms.api.readings import ChannelReading
from algorithms.api.records import MeasurementFrame
from algorithms.api.samples import Quantity
from device_catalog.contract.calibration import Calibration, ChannelCalibration
from device_catalog.contract.documents import Acquisition
from hardware.calibration import Correction, Measured, Reference, calibrate, lag_of, problems_of
from hardware.source import ChannelRequest

LEAST_FRAMES = 10
"""Fewer frames tell nothing of how steady a signal is."""

LEAST_CERTAINTY = math.radians(1.0)
"""An angle less certain than this corrects nothing [rad]."""
MOST_POWER = 1.01
"""A power above this share of voltage times current was misread [1]."""


@dataclass(slots=True)
class Readings:
    """
    What the reference showed, by phase.

    Attributes
    ----------
    voltage, current : dict
        RMS [V], [A].
    lag : dict
        By how much the current lags its voltage [rad].
    power, reactive : dict
        Into the load [W], [var]; where `lag` is not told.
    voltage_angle : dict
        To the voltage of phase A, positive where it leads [rad].
    """

    voltage: dict[str, Reference] = field(default_factory=dict)
    current: dict[str, Reference] = field(default_factory=dict)
    lag: dict[str, Reference] = field(default_factory=dict)
    power: dict[str, Reference] = field(default_factory=dict)
    reactive: dict[str, Reference] = field(default_factory=dict)
    voltage_angle: dict[str, Reference] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.voltage or self.current or self.lag or self.power or self.voltage_angle)


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """One channel before and after: what it was asked for with, what it showed, how its constants change."""

    before: ChannelRequest
    measured: Measured
    correction: Correction
    problems: tuple[Problem, ...]


def changes_of(
    acquisition: Acquisition, seen: Observation, frames: Sequence[MeasurementFrame], readings: Readings
) -> tuple[list[Change], list[Problem]]:
    """
    Find the new constants of every channel that the reference says something of.

    Parameters
    ----------
    acquisition : Acquisition
        With the constants that are in force.
    seen : Observation
    frames : sequence of MeasurementFrame
        Of the same samples.
    readings : Readings

    Returns
    -------
    changes : list of Change
    problems : list of Problem
        With the readings, and of all channels; nothing should be kept where there are any.
    """
    if len(frames) < LEAST_FRAMES:
        expected = f"at least {LEAST_FRAMES} frames with a frequency"
        return [], [Problem("source", expected, f"{len(frames)}", "measure for longer; see the voltages")]
    statistics = seen.statistics()
    plan = {channel.name: channel for channel in seen.plan.channels}
    requests = source_request(acquisition).channels
    voltages = {request.phase.value: request for request in requests if request.quantity is Quantity.VOLTAGE}
    turned: dict[str, float] = {}  # what the voltages' own phase corrections take from the angles to them
    changes: list[Change] = []
    problems = _unanswered(readings, requests)
    for request in sorted(requests, key=lambda one: one.quantity is Quantity.CURRENT):
        phase, is_voltage = request.phase.value, request.quantity is Quantity.VOLTAGE
        level = (readings.voltage if is_voltage else readings.current).get(phase)
        lead = readings.voltage_angle.get(phase) if is_voltage else _lead(readings, phase, frames, problems)
        if level is None and lead is None:
            continue
        shown = [_reading(frame, phase, is_voltage=is_voltage) for frame in frames]
        referred = "A" if is_voltage else phase
        channel = plan[request.name]
        measured = Measured(
            rms=np.array([one.rms for one in shown]),
            mean=statistics[request.name].mean,
            lead=_leads(frames, shown, referred, turned.get(referred, 0.0)) if referred in voltages else None,
            resolution=channel.resolution,
            full_scale=channel.full_scale,
        )
        correction = calibrate(request, measured, level, lead)
        if is_voltage:
            turned[phase] = correction.phase
        found = tuple(problems_of(correction, measured))
        changes.append(Change(request, measured, correction, found))
        problems += found
        if statistics[request.name].clipped:
            problems.append(
                Problem(request.name, "a signal within the range", "samples at its end", "lower the signal")
            )
    return changes, problems


def _unanswered(readings: Readings, requests: Sequence[ChannelRequest]) -> list[Problem]:
    """Find readings of phases that no channel measures, and powers that contradict voltage and current."""
    phases = {quantity: {one.phase.value for one in requests if one.quantity is quantity} for quantity in Quantity}
    needed = {"voltage": "voltage", "voltage_angle": "voltage", "current": "current", "lag": "current"}
    problems = [
        Problem(
            f"{name}.{phase}",
            f"a phase that a {quantity} channel measures",
            f"none for {phase}",
            "set the channels in the catalog first",
        )
        for name, quantity in needed.items()
        for phase in getattr(readings, name)
        if phase not in phases[Quantity(quantity)]
    ]
    for phase, power in readings.power.items():
        voltage, current = readings.voltage.get(phase), readings.current.get(phase)
        if voltage is None or current is None:
            problems.append(Problem(f"power.{phase}", "voltage and current of the phase as well", "not both"))
        elif abs(power.value) > MOST_POWER * voltage.value * current.value:
            most = f"at most {voltage.value * current.value:.5g} W, voltage times current"
            problems.append(Problem(f"power.{phase}", most, f"{power.value:g} W", "read the reference again"))
    return problems


def _lead(
    readings: Readings, phase: str, frames: Sequence[MeasurementFrame], problems: list[Problem]
) -> Reference | None:
    """Find by how much a current should lead its voltage; None where the reference does not tell well enough."""
    lag = readings.lag.get(phase)
    power, voltage, current = (kind.get(phase) for kind in (readings.power, readings.voltage, readings.current))
    if lag is None and power is not None and voltage is not None and current is not None:
        if abs(power.value) > MOST_POWER * voltage.value * current.value:
            return None  # named already
        shown = [frame.power[phase].q for frame in frames if phase in frame.power]
        lags = bool(shown) and float(np.mean(shown)) >= 0
        lag = lag_of(voltage, current, power, readings.reactive.get(phase), lags=lags)
        if lag.uncertainty > LEAST_CERTAINTY:
            problems.append(
                Problem(
                    f"power.{phase}",
                    f"an angle certain to {math.degrees(LEAST_CERTAINTY):g} degrees",
                    f"{math.degrees(lag.uncertainty):.2g} degrees: near power factor 1 power tells little of it",
                    "tell reactive power or the lag as well, or leave the power out",
                )
            )
            return None
    return None if lag is None else Reference(-lag.value, lag.uncertainty)


def _reading(frame: MeasurementFrame, phase: str, *, is_voltage: bool) -> ChannelReading:
    return (frame.voltage if is_voltage else frame.current)[phase]


def _leads(
    frames: Sequence[MeasurementFrame], shown: Sequence[ChannelReading], referred: str, turned: float
) -> NDArray[np.float64] | None:
    angles = [(one.angle, frame.voltage[referred].angle) for one, frame in zip(shown, frames, strict=True)]
    leads = [own - other + turned for own, other in angles if own is not None and other is not None]
    return np.array(leads) if len(leads) == len(frames) else None


def calibration_of(
    device: str,
    changes: Sequence[Change],
    before: Calibration | None,
    acquisition: Acquisition,
    *,
    made: datetime,
    by: str,
    reference: str,
    drifts: tuple[float, float],
) -> Calibration:
    """
    Write the calibration; channels that were not measured keep what was found of them earlier.

    Parameters
    ----------
    device : str
    changes : sequence of Change
    before : Calibration or None
        What is in force.
    acquisition : Acquisition
        As the settings have it.
    made : datetime
    by, reference : str
    drifts : tuple of float
        Of gain [1/year] and phase [rad/year].
    """
    settings = {setting.name: setting for setting in acquisition.channels}
    channels = {
        change.before.name: ChannelCalibration(
            name=change.before.name,
            input=change.before.input,
            ratio=change.before.ratio,
            reversed=change.before.reversed,
            gain=change.correction.request.gain,
            offset=change.correction.request.offset,
            phase_correction=change.correction.request.phase_correction,
            gain_uncertainty=change.correction.request.gain_uncertainty,
            phase_uncertainty=change.correction.request.phase_uncertainty,
            gain_drift=drifts[0],
            phase_drift=drifts[1],
        )
        for change in changes
    }
    kept: list[ChannelCalibration] = []
    if before is not None:
        kept += [
            channel if channel.made is not None else msgspec.structs.replace(channel, made=before.made, by=before.by)
            for channel in before.channels
            if channel.name in settings and channel.name not in channels and fits(settings[channel.name], channel)
        ]
    return Calibration(device, made, by, reference, (*channels.values(), *kept))
