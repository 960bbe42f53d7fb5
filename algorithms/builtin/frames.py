"""
From the fit of a window to the record of it: values, uncertainties and what speaks against them.

`FrameMaker` knows one arrangement of channels. It corrects skew, refers angles and writes a `MeasurementFrame` out of
`readings`. Uncertainties combine, as independent, the noise that the fit left over (never less than a converter's
q / sqrt(12)), gain, phase displacement and, for angles referred to UTC, the time stamp. An error of the sampling rate
scales frequency and is not among them: who states the rate answers for it.
"""

import math
from collections.abc import Sequence

import numpy as np

from algorithms.api.algorithm import Context
from algorithms.api.readings import Estimate
from algorithms.api.records import AngleReference, MeasurementFrame, Quality
from algorithms.api.samples import NANOSECONDS, Channel, Phase, Quantity, SampleFlag
from algorithms.builtin.readings import WindowValues, channel_readings, power_readings, sequence_readings
from algorithms.builtin.sample_windows import SampleWindow
from algorithms.waveform.frequency import common_frequency, common_frequency_uncertainty
from algorithms.waveform.phasor import Complexes, Floats
from algorithms.waveform.power import at_instant
from algorithms.waveform.rms import rms_uncertainty, true_rms
from algorithms.waveform.tracking import TrackedFit

USABLE_VOLTAGE = 0.1
"""Share of the nominal voltage below which a phase is taken as missing and tells no frequency [1]."""
DEAD_VOLTAGE = 0.02
"""Share of the nominal voltage below which a phase is taken as dead [1]."""
WORST_UTC_ANGLE = 0.5
"""A time stamp less certain than this gives no angle to UTC: the device's own clock is named instead [rad]."""
ROUNDING = 1e-8
"""Noise no lower than this share of the signal is told: what rounding leaves of it [1]."""

LEAST_VARIANCE = 1e-30
"""What keeps a line without any signal or noise from certainty [V^2 or A^2]."""

_phases = (Phase.A, Phase.B, Phase.C)


class FrameMaker:
    """
    Makes the frames of one terminal.

    Parameters
    ----------
    context : Context
    channels : sequence of Channel
        The rows of every window. Of several channels of the same quantity and phase the first counts.
    frequency_range : tuple of float
        Lowest and highest frequency the method is valid for [Hz].

    Attributes
    ----------
    voltage_rows, current_rows : numpy.ndarray
        Channels of phases A, B and C, as far as there are any.
    """

    def __init__(self, context: Context, channels: Sequence[Channel], frequency_range: tuple[float, float]) -> None:
        self._terminal = context.terminal
        self._nominal_frequency = context.nominal_frequency
        self._nominal_voltage = context.nominal_voltage
        self._synchronised = context.synchronised
        self._range = frequency_range
        rows: dict[tuple[Quantity, Phase], int] = {}
        for row, channel in enumerate(channels):
            rows.setdefault((channel.quantity, channel.phase), row)
        self._voltage = {phase.value: row for (kind, phase), row in rows.items() if kind is Quantity.VOLTAGE}
        self._current = {phase.value: row for (kind, phase), row in rows.items() if kind is Quantity.CURRENT}
        self.voltage_rows = np.array([self._voltage[p] for p in _phases if p in self._voltage], dtype=np.intp)
        self.current_rows = np.array([self._current[p] for p in _phases if p in self._current], dtype=np.intp)
        self._pairs = [p.value for p in _phases if p in self._voltage and p in self._current]
        self._v = np.array([self._voltage[p] for p in self._pairs], dtype=np.intp)
        self._i = np.array([self._current[p] for p in self._pairs], dtype=np.intp)
        sets = {"voltage": self.voltage_rows, "current": self.current_rows}
        self._three = {name: rows for name, rows in sets.items() if rows.size == 3}
        self._three_rows = np.array(list(self._three.values()), dtype=np.intp).reshape(-1, 3)
        self._skew = np.array([channel.skew for channel in channels])
        self._gain = np.array([channel.gain_uncertainty for channel in channels])
        self._phase = np.array([channel.phase_uncertainty for channel in channels])
        self._step_variance = np.square([channel.resolution for channel in channels]) / 12.0

    def frame(self, window: SampleWindow, tracked: TrackedFit, *, transient: bool) -> MeasurementFrame:
        """
        Write the record of one window.

        Parameters
        ----------
        window : SampleWindow
        tracked : TrackedFit
        transient : bool
            Whether the model was found not to fit.
        """
        synchronised = (
            self._synchronised
            and not window.flags & SampleFlag.UNSYNCHRONISED
            and 2 * math.pi * self._nominal_frequency * window.time_uncertainty < WORST_UTC_ANGLE
        )
        values, noise = self._values(window, tracked, synchronised=synchronised)
        frequency = rocof = None
        if tracked.converged and tracked.alive.size:
            frequency, rocof = _frequency(values.phasors, noise, tracked, window.sample_rate)
        readings = channel_readings(values)
        sequences = dict(zip(self._three, sequence_readings(values, self._three_rows), strict=True))
        return MeasurementFrame(
            terminal=self._terminal,
            time_ns=window.time_ns,
            time_uncertainty=window.time_uncertainty,
            window=(2 * tracked.table.half + 1) / window.sample_rate,
            reference=AngleReference.UTC if synchronised else AngleReference.OWN,
            frequency=frequency,
            rocof=rocof,
            voltage={phase: readings[row] for phase, row in self._voltage.items()},
            current={phase: readings[row] for phase, row in self._current.items()},
            power=power_readings(values, self._pairs, self._v, self._i),
            voltage_sequence=sequences.get("voltage"),
            current_sequence=sequences.get("current"),
            quality=self._quality(window, tracked, values.size, transient=transient),
        )

    def _values(self, window: SampleWindow, tracked: TrackedFit, *, synchronised: bool) -> tuple[WindowValues, Floats]:
        """Return the window's figures, and the variance per sample that its uncertainties are based on."""
        table, fit = tracked.table, tracked.fit
        half_time = table.half / window.sample_rate  # [s]
        phasors, harmonics = at_instant(table, fit, (window.offset - self._skew) / half_time)
        turn = -2.0 * math.pi * nominal_turns(window.time_ns, self._nominal_frequency)
        referred = phasors[0] * (complex(math.cos(turn), math.sin(turn)) * math.sqrt(0.5))
        size = np.abs(referred)
        noise = np.maximum(np.maximum(fit.noise, self._step_variance), np.square(ROUNDING * size) + LEAST_VARIANCE)
        mean_noise = np.sqrt(0.5 * table.mean_variance * noise)
        rms = true_rms(phasors, harmonics, np.maximum(fit.noise - self._step_variance, 0.0), table.spread)
        values = WindowValues(
            phasors=phasors,
            harmonics=harmonics,
            referred=referred,
            size=size,
            noise=np.sqrt(0.5 * table.covariance[0, 0] * noise),
            mean_noise=mean_noise,
            rms=rms,
            u_rms=rms_uncertainty(rms, mean_noise, noise, self._gain),
            gain=self._gain,
            phase=self._phase,
            time_angle=2 * math.pi * self._nominal_frequency * window.time_uncertainty if synchronised else 0.0,
            spread=table.spread,
        )
        return values, noise

    def _quality(
        self, window: SampleWindow, tracked: TrackedFit, size: Floats, *, transient: bool
    ) -> tuple[Quality, ...]:
        quality = self._voltage_quality(size)
        if tracked.frequency is not None:
            found = tracked.frequency if tracked.converged else tracked.table.frequency
            if not self._range[0] <= found * window.sample_rate <= self._range[1]:
                quality.append(Quality.OUT_OF_RANGE)
        if transient or not tracked.converged:
            quality.append(Quality.TRANSIENT)
        if window.flags & SampleFlag.CLIPPED:
            quality.append(Quality.CLIPPED)
        if window.after_gap:
            quality.append(Quality.GAP)
        if window.flags & SampleFlag.UNSYNCHRONISED:
            quality.append(Quality.UNSYNCHRONISED)
        return tuple(quality)

    def _voltage_quality(self, size: Floats) -> list[Quality]:
        if not self.voltage_rows.size:
            return []
        volts = size[self.voltage_rows].tolist()
        if max(volts) < DEAD_VOLTAGE * self._nominal_voltage:
            return [Quality.DEAD]
        if max(volts) < USABLE_VOLTAGE * self._nominal_voltage:
            return [Quality.LOW_VOLTAGE]
        return [Quality.PHASE_MISSING] if min(volts) < USABLE_VOLTAGE * self._nominal_voltage else []


def nominal_turns(time_ns: int, frequency: float) -> float:
    """
    Return how far a cosine of the nominal frequency that starts at the UTC epoch has turned [cycles, within 0 to 1].

    Whole seconds and their rest are reduced apart, so that no digit is lost (IEC/IEEE 60255-118-1, 5.2).

    >>> nominal_turns(1_700_000_000_005_000_000, 50.0)
    0.25
    """
    seconds, rest = divmod(time_ns, NANOSECONDS)
    return ((frequency % 1.0) * seconds % 1.0 + frequency * rest * 1e-9) % 1.0


def _frequency(phasors: Complexes, noise: Floats, tracked: TrackedFit, sample_rate: float) -> tuple[Estimate, Estimate]:
    phasors, noise = phasors[:, tracked.alive], noise[tracked.alive]
    per_second = sample_rate / tracked.table.half
    deviation, rate = common_frequency(phasors)
    u_deviation, u_rate = common_frequency_uncertainty(phasors, noise, tracked.table.covariance)
    value = tracked.table.frequency * sample_rate + deviation * per_second
    return Estimate(value, u_deviation * per_second), Estimate(rate * per_second**2, u_rate * per_second**2)
