"""
From the fit of a window to the record of it: values, uncertainties and what speaks against them.

`FrameMaker` knows one arrangement of channels. It corrects skew, refers angles and writes a `MeasurementFrame` out of
`readings`. Uncertainties combine, as independent, the noise that the fit left over (never less than a converter's
q / sqrt(12)), gain, phase displacement, for angles referred to UTC the time stamp, and for frequency the sampling rate.
"""

import cmath
import math
from collections.abc import Sequence

import numpy as np

from algorithms.api.algorithm import Context
from algorithms.api.readings import Estimate, SequenceReading
from algorithms.api.records import AngleReference, MeasurementFrame, Quality
from algorithms.api.samples import NANOSECONDS, Channel, Phase, Quantity, SampleFlag
from algorithms.builtin.readings import ChannelValues, channel_reading, power_readings, sequence_reading
from algorithms.builtin.sample_windows import SampleWindow
from algorithms.waveform.frequency import common_frequency, common_frequency_uncertainty
from algorithms.waveform.phasor import Complexes, TaylorFourierTable
from algorithms.waveform.power import at_instant, harmonic_products, harmonic_turns
from algorithms.waveform.rms import noise_excess, rms_uncertainty, true_rms
from algorithms.waveform.tracking import TrackedFit

USABLE_VOLTAGE = 0.09
"""
Share of the nominal voltage below which a phase is taken as missing and tells no frequency [1]: a tenth, where the
measurement class of IEC/IEEE 60255-118-1 begins, less what noise and a gain of a few per cent may take from it.
"""
DEAD_VOLTAGE = 0.02
"""Share of the nominal voltage below which a phase is taken as dead [1]."""
WORST_UTC_ANGLE = 0.1
"""A time stamp less certain than this gives no angle to UTC: the device's own clock is named instead [rad]."""
ROUNDING = 1e-8
"""Noise no lower than this share of the signal is told: what rounding leaves of it [1]."""

LEAST_VARIANCE = 1e-30
"""What keeps a line without any signal or noise from certainty [V^2 or A^2]."""

SAME_RATE = 1e-4
"""Relative change of the sampling rate that the turns between skewed channels are not made anew for [1]."""

_phases = (Phase.A.value, Phase.B.value, Phase.C.value)


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
    voltage_rows, current_rows : list of int
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
        self.voltage_rows = [self._voltage[phase] for phase in _phases if phase in self._voltage]
        self.current_rows = [self._current[phase] for phase in _phases if phase in self._current]
        self._pairs = {
            phase: (self._voltage[phase], self._current[phase])
            for phase in _phases
            if phase in self._voltage and phase in self._current
        }
        self._channels = [
            (channel.skew, channel.gain_uncertainty, channel.phase_uncertainty, channel.resolution**2 / 12.0)
            for channel in channels
        ]
        skew = np.array([channel.skew for channel in channels])
        self._skew = skew - skew[0] if np.ptp(skew) > 0 else None
        self._turns: tuple[TaylorFourierTable, float, Complexes] | None = None

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
            and not (window.flags and window.flags & SampleFlag.UNSYNCHRONISED)
            and 2 * math.pi * self._nominal_frequency * window.time_uncertainty < WORST_UTC_ANGLE
        )
        time_angle = 2 * math.pi * self._nominal_frequency * window.time_uncertainty if synchronised else 0.0
        products = harmonic_products(self._together(tracked, window.sample_rate))
        values = self._values(window, tracked, products)
        frequency = rocof = None
        if tracked.converged and tracked.alive:
            frequency, rocof = _frequency([values[row] for row in tracked.alive], tracked.table, window)
        return MeasurementFrame(
            terminal=self._terminal,
            time_ns=window.time_ns,
            time_uncertainty=window.time_uncertainty,
            window=(2 * tracked.table.half + 1) / window.sample_rate,
            reference=AngleReference.UTC if synchronised else AngleReference.OWN,
            frequency=frequency,
            rocof=rocof,
            voltage={phase: channel_reading(values[row], time_angle) for phase, row in self._voltage.items()},
            current={phase: channel_reading(values[row], time_angle) for phase, row in self._current.items()},
            power=power_readings(values, self._pairs, products, tracked.table.spread),
            voltage_sequence=_sequence(values, self.voltage_rows, time_angle),
            current_sequence=_sequence(values, self.current_rows, time_angle),
            quality=self._quality(window, tracked, values, transient=transient),
        )

    def _together(self, tracked: TrackedFit, sample_rate: float) -> Complexes:
        """Bring the harmonics of all channels to one instant; which one, their products do not tell."""
        if self._skew is None:
            return tracked.fit.harmonics
        table = tracked.table
        if self._turns is None or self._turns[0] is not table or abs(self._turns[1] / sample_rate - 1.0) > SAME_RATE:
            turns = harmonic_turns(table, self._skew * (-sample_rate / table.half))
            self._turns = table, sample_rate, turns
        return tracked.fit.harmonics * self._turns[2]

    def _values(self, window: SampleWindow, tracked: TrackedFit, products: list[list[float]]) -> list[ChannelValues]:
        """Return the figures of every channel."""
        table, fit = tracked.table, tracked.fit
        half_time = table.half / window.sample_rate  # [s]
        turns = table.frequency * table.half  # [cycles per half window]
        angle = -2.0 * math.pi * nominal_turns(window.time_ns, self._nominal_frequency)
        to_reference = cmath.rect(math.sqrt(0.5), angle)
        of_value, of_mean, damping = 0.5 * table.damped_variance, 0.5 * table.mean_variance, table.damping
        turning = 0.0  # of the second derivative, what a frequency beside the table's makes by itself
        if damping and tracked.frequency is not None:
            turning = 0.5 * (2.0 * math.pi * (tracked.frequency - table.frequency) * table.half) ** 2
        undamped = 1.0 + damping * turning
        values = []
        for row, (phasor, left_over, (skew, gain, phase, least)) in enumerate(
            zip(fit.phasors, fit.noise, self._channels, strict=True)
        ):
            taylor = at_instant(phasor, turns, (window.offset - skew) / half_time)
            referred = (undamped * taylor[0] + damping * taylor[2]) * to_reference
            size = abs(referred)
            variance = max(left_over, least, (ROUNDING * size) ** 2 + LEAST_VARIANCE)
            mean_noise = math.sqrt(of_mean * variance)
            rms = true_rms(taylor, products[row][row], max(left_over - least, 0.0), table.spread)
            excess = noise_excess(rms, variance)
            u_rms = rms_uncertainty(rms, mean_noise, excess, gain)
            noise = math.sqrt(of_value * variance)
            values.append(
                ChannelValues(taylor, referred, size, variance, noise, mean_noise, rms, u_rms, excess, gain, phase)
            )
        return values

    def _quality(
        self, window: SampleWindow, tracked: TrackedFit, values: list[ChannelValues], *, transient: bool
    ) -> tuple[Quality, ...]:
        quality = self._voltage_quality([values[row].magnitude for row in self.voltage_rows])
        if tracked.frequency is not None:
            found = tracked.frequency if tracked.converged else tracked.table.frequency
            if not self._range[0] <= found * window.sample_rate <= self._range[1]:
                quality.append(Quality.OUT_OF_RANGE)
        if transient or not tracked.converged:
            quality.append(Quality.TRANSIENT)
        if window.flags and window.flags & SampleFlag.CLIPPED:
            quality.append(Quality.CLIPPED)
        if window.after_gap:
            quality.append(Quality.GAP)
        if window.flags and window.flags & SampleFlag.UNSYNCHRONISED:
            quality.append(Quality.UNSYNCHRONISED)
        return tuple(quality)

    def _voltage_quality(self, volts: list[float]) -> list[Quality]:
        if not volts:
            return []
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


def _frequency(
    alive: Sequence[ChannelValues], table: TaylorFourierTable, window: SampleWindow
) -> tuple[Estimate, Estimate]:
    phasors = [values.taylor for values in alive]
    per_second = window.sample_rate / table.half
    deviation, rate = common_frequency(phasors)
    u_deviation, u_rate = common_frequency_uncertainty(phasors, [values.variance for values in alive], table.variances)
    value = table.frequency * window.sample_rate + deviation * per_second
    uncertainty = math.hypot(u_deviation * per_second, value * window.rate_uncertainty)
    return Estimate(value, uncertainty), Estimate(rate * per_second**2, u_rate * per_second**2)


def _sequence(values: Sequence[ChannelValues], rows: Sequence[int], time_angle: float) -> SequenceReading | None:
    return sequence_reading([values[row] for row in rows], time_angle) if len(rows) == 3 else None
