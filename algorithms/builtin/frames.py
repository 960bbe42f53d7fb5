"""
From the fit of a window to the record of it: values, uncertainties and what speaks against them.

`FrameMaker` knows one arrangement of channels. It corrects skew, refers angles, forms powers and components through the
kernels, and writes a `MeasurementFrame`. Uncertainties combine, as independent, the noise that the fit left over (never
less than a converter's q / sqrt(12)), gain, phase displacement and, for angles referred to UTC, the time stamp.
"""

import math
from collections.abc import Sequence

import numpy as np

from algorithms.api.algorithm import Context
from algorithms.api.records import (
    AngleReference,
    ChannelReading,
    Estimate,
    MeasurementFrame,
    Phasor,
    PowerReading,
    Quality,
    SequenceReading,
)
from algorithms.api.samples import NANOSECONDS, Channel, Phase, Quantity, SampleFlag
from algorithms.builtin.sample_windows import SampleWindow
from algorithms.waveform.frequency import common_frequency, common_frequency_uncertainty
from algorithms.waveform.phasor import Complexes, Floats
from algorithms.waveform.power import active_power_uncertainty, at_instant, mean_product, power_factor_uncertainty
from algorithms.waveform.symmetry import component_uncertainty, symmetrical_components
from algorithms.waveform.tracking import TrackedFit

USABLE_VOLTAGE = 0.1
"""Share of the nominal voltage below which a phase is taken as missing and tells no frequency [1]."""
DEAD_VOLTAGE = 0.02
"""Share of the nominal voltage below which a phase is taken as dead [1]."""
LEAST_ANGLE_RATIO = 3.0
"""A phasor has an angle when it stands this many standard uncertainties above noise [1]."""
ROUNDING = 1e-8
"""Noise no lower than this share of the signal is told: what rounding leaves of it [1]."""

_phases = (Phase.A, Phase.B, Phase.C)


class FrameMaker:
    """
    Makes the frames of one terminal.

    Parameters
    ----------
    context : Context
    channels : sequence of Channel
        The rows of every window. Of several channels of the same quantity and phase the first counts.
    """

    def __init__(self, context: Context, channels: Sequence[Channel]) -> None:
        self._terminal = context.terminal
        self._nominal_frequency = context.nominal_frequency
        self._nominal_voltage = context.nominal_voltage
        self._synchronised = context.synchronised
        rows: dict[tuple[Quantity, Phase], int] = {}
        for row, channel in enumerate(channels):
            rows.setdefault((channel.quantity, channel.phase), row)
        self._voltage = {phase.value: row for (kind, phase), row in rows.items() if kind is Quantity.VOLTAGE}
        self._current = {phase.value: row for (kind, phase), row in rows.items() if kind is Quantity.CURRENT}
        self.voltage_rows = np.array([self._voltage[p] for p in _phases if p in self._voltage], dtype=np.intp)
        self.current_rows = np.array([self._current[p] for p in _phases if p in self._current], dtype=np.intp)
        pairs = [p for p in _phases if p in self._voltage and p in self._current]
        self._pairs = [p.value for p in pairs]
        self._v = np.array([self._voltage[p] for p in pairs], dtype=np.intp)
        self._i = np.array([self._current[p] for p in pairs], dtype=np.intp)
        three = [rows for rows in (self.voltage_rows, self.current_rows) if rows.size == 3]
        self._three = np.array(three, dtype=np.intp).reshape(-1, 3)
        self._skew = np.array([channel.skew for channel in channels])
        self._gain = np.array([channel.gain_uncertainty for channel in channels])
        self._phase = np.array([channel.phase_uncertainty for channel in channels])
        self._step_variance = np.square([channel.resolution for channel in channels]) / 12.0
        self._gain_of_pair = np.hypot(self._gain[self._v], self._gain[self._i])
        self._phase_of_pair = np.hypot(self._phase[self._v], self._phase[self._i])

    def frame(
        self, window: SampleWindow, tracked: TrackedFit, limits: tuple[float, float], transient: bool
    ) -> MeasurementFrame:
        """
        Write the record of one window.

        Parameters
        ----------
        window : SampleWindow
        tracked : TrackedFit
        limits : tuple of float
            Range of frequencies the method is valid for [Hz].
        transient : bool
            Whether the model was found not to fit.
        """
        table, fit = tracked.table, tracked.fit
        half_time = table.half / window.sample_rate  # [s]
        phasors, harmonics = at_instant(table, fit, (window.offset - self._skew) / half_time)
        size = np.abs(phasors[0]) * math.sqrt(0.5)
        noise = np.maximum(np.maximum(fit.noise, self._step_variance), np.square(ROUNDING * size))
        spread = table.spread
        c = table.covariance
        instant_noise = np.sqrt(0.5 * c[0, 0] * noise)
        mean_noise = np.sqrt(0.5 * (c[0, 0] + 2.0 * spread * c[0, 2] + spread * spread * c[2, 2]) * noise)

        synchronised = self._synchronised and not window.flags & SampleFlag.UNSYNCHRONISED
        reference = AngleReference.UTC if synchronised else AngleReference.OWN
        turn = complex(np.exp(-2j * np.pi * nominal_turns(window.time_ns, self._nominal_frequency)))
        referred = phasors[0] * (turn * math.sqrt(0.5))
        time_angle = 2 * np.pi * self._nominal_frequency * window.time_uncertainty if synchronised else 0.0

        quality, live = self._judge(window, size)
        frequency = rocof = None
        if tracked.frequency is not None and live is not None and tracked.converged:
            frequency, rocof = self._frequency(phasors[:, live], noise[live], tracked, window.sample_rate, limits)
        if tracked.frequency is not None:
            found = tracked.frequency * window.sample_rate
            if not limits[0] <= found <= limits[1]:
                quality.append(Quality.OUT_OF_RANGE)
        if transient or not tracked.converged:
            quality.append(Quality.TRANSIENT)

        rms, u_rms = self._rms(phasors, harmonics, fit.noise, noise, mean_noise, spread)
        readings = _channel_readings(referred, size, instant_noise, self._gain, self._phase, time_angle, rms, u_rms)
        return MeasurementFrame(
            terminal=self._terminal,
            time_ns=window.time_ns,
            time_uncertainty=window.time_uncertainty,
            window=(2 * table.half + 1) / window.sample_rate,
            reference=reference,
            frequency=frequency,
            rocof=rocof,
            voltage={phase: readings[row] for phase, row in self._voltage.items()},
            current={phase: readings[row] for phase, row in self._current.items()},
            power=self._powers(phasors, harmonics, rms, u_rms, mean_noise, spread),
            **self._sequences(referred, instant_noise, time_angle),
            quality=tuple(quality),
        )

    def _judge(self, window: SampleWindow, size: Floats) -> tuple[list[Quality], np.ndarray | None]:
        """Return what speaks against the window, and the channels that may tell its frequency."""
        quality = []
        live: np.ndarray | None = None
        if self.voltage_rows.size:
            volts = size[self.voltage_rows]
            usable = volts >= USABLE_VOLTAGE * self._nominal_voltage
            if usable.all():
                live = self.voltage_rows
            elif usable.any():
                quality.append(Quality.PHASE_MISSING)
                live = self.voltage_rows[usable]
            elif volts.max() < DEAD_VOLTAGE * self._nominal_voltage:
                quality.append(Quality.DEAD)
            else:
                quality.append(Quality.LOW_VOLTAGE)
        elif self.current_rows.size:
            live = self.current_rows
        if window.flags & SampleFlag.CLIPPED:
            quality.append(Quality.CLIPPED)
        if window.after_gap:
            quality.append(Quality.GAP)
        if window.flags & SampleFlag.UNSYNCHRONISED:
            quality.append(Quality.UNSYNCHRONISED)
        return quality, live

    @staticmethod
    def _frequency(
        phasors: Complexes, noise: Floats, tracked: TrackedFit, sample_rate: float, limits: tuple[float, float]
    ) -> tuple[Estimate, Estimate]:
        per_second = sample_rate / tracked.table.half
        deviation, rate = common_frequency(phasors)
        u_deviation, u_rate = common_frequency_uncertainty(phasors, noise, tracked.table.covariance)
        value = tracked.table.frequency * sample_rate + deviation * per_second
        return (
            Estimate(value, u_deviation * per_second),
            Estimate(rate * per_second**2, u_rate * per_second**2),
        )

    def _rms(
        self,
        phasors: Complexes,
        harmonics: Complexes,
        left_over: Floats,
        noise: Floats,
        mean_noise: Floats,
        spread: float,
    ) -> tuple[Floats, Floats]:
        """
        Return the true RMS of every channel and its standard uncertainty.

        What the model leaves over counts as signal, as far as it is more than quantisation; as it may be noise
        of the converter, it counts as uncertainty too.
        """
        p0, p1, p2 = phasors
        fundamental = np.square(np.abs(p0)) + spread * (2.0 * (p0.conj() * p2).real + np.square(np.abs(p1)))
        distortion = np.square(np.abs(harmonics)).sum(axis=0)
        rest = np.maximum(left_over - self._step_variance, 0.0)
        rms = np.sqrt(np.maximum(0.5 * (fundamental + distortion), 0.0) + rest)
        gained = np.square(rms * self._gain) + np.square(mean_noise)
        excess = noise / np.maximum(2.0 * rms, np.sqrt(noise))
        return rms, np.sqrt(gained + np.square(excess))

    def _powers(
        self, phasors: Complexes, harmonics: Complexes, rms: Floats, u_rms: Floats, noise: Floats, spread: float
    ) -> dict[str, PowerReading]:
        if not self._pairs:
            return {}
        v, i = self._v, self._i
        fundamental, harmonic = mean_product(phasors[:, v], harmonics[:, v], phasors[:, i], harmonics[:, i], spread)
        p, q = fundamental.real + harmonic, fundamental.imag
        rms_v, rms_i = rms[v], rms[i]
        u_p, u_q = active_power_uncertainty(
            rms_v, rms_i, p, q, noise[v], noise[i], self._gain_of_pair, self._phase_of_pair
        )
        s = rms_v * rms_i
        u_s = np.hypot(rms_i * u_rms[v], rms_v * u_rms[i])
        square = np.square
        angle = (
            square(self._phase_of_pair)
            + square(noise[v] / np.maximum(rms_v, noise[v]))
            + square(noise[i] / np.maximum(rms_i, noise[i]))
        )
        # The sum counts phase by phase: arithmetic apparent power, valid for any number of phases.
        table = np.empty((6, p.size + 1))
        for row, values in enumerate((p, q, s)):
            table[row, :-1] = values
            table[row, -1] = values.sum()
        for row, values in enumerate((u_p, u_q, u_s), start=3):
            table[row, :-1] = values
            table[row, -1] = math.sqrt(values @ values)
        factor = table[0] / np.maximum(table[2], 1e-300)
        weights = s / max(float(table[2, -1]), 1e-300)
        angles = np.append(np.sqrt(angle), math.sqrt(float(square(weights) @ angle)))
        u_factor = power_factor_uncertainty(factor, angles).tolist()
        factors = np.clip(factor, -1.0, 1.0).tolist()
        names = [*self._pairs, "total"]
        readings = {}
        for name, row, pf, u_pf in zip(names, table.T.tolist(), factors, u_factor, strict=True):
            known = row[2] > LEAST_ANGLE_RATIO * row[5]
            readings[name] = PowerReading(
                row[0], row[3], row[1], row[4], row[2], row[5], pf if known else None, u_pf if known else None
            )
        return readings

    def _sequences(self, referred: Complexes, noise: Floats, time_angle: float) -> dict[str, SequenceReading]:
        if not self._three.size:
            return {}
        phasors = referred[self._three]
        components = symmetrical_components(phasors)
        radial, tangential = component_uncertainty(
            phasors, components, noise[self._three], self._gain[self._three], self._phase[self._three]
        )
        readings = {}
        sizes, angles = np.abs(components).tolist(), np.angle(components).tolist()
        for rows, size, angle, u_size, u_across in zip(
            self._three, sizes, angles, radial.tolist(), tangential.tolist(), strict=True
        ):
            name = "voltage_sequence" if rows[0] in self.voltage_rows else "current_sequence"
            readings[name] = SequenceReading(
                *(_phasor(*values, time_angle) for values in zip(size, angle, u_size, u_across, strict=True))
            )
        return readings


def nominal_turns(time_ns: int, frequency: float) -> float:
    """
    Return how far a cosine of the nominal frequency that starts at the UTC epoch has turned [cycles, within 0 to 1].

    Whole seconds and their rest are reduced apart, so that no digit is lost (IEC/IEEE 60255-118-1, 5.2).
    """
    seconds, rest = divmod(time_ns, NANOSECONDS)
    return ((frequency % 1.0) * seconds % 1.0 + frequency * rest * 1e-9) % 1.0


def _phasor(size: float, angle: float, u_size: float, u_across: float, time_angle: float) -> Phasor:
    if size <= LEAST_ANGLE_RATIO * u_across:
        return Phasor(size, None, u_size, None)
    return Phasor(size, angle, u_size, math.hypot(u_across / size, time_angle))


def _channel_readings(
    referred: Complexes,
    size: Floats,
    noise: Floats,
    gain: Floats,
    phase: Floats,
    time_angle: float,
    rms: Floats,
    u_rms: Floats,
) -> list[ChannelReading]:
    angle = np.arctan2(referred.imag, referred.real)
    u_size = np.sqrt(np.square(noise) + np.square(gain * size))
    known = size > LEAST_ANGLE_RATIO * noise
    ratio = noise / np.maximum(size, noise)
    u_angle = np.sqrt(np.square(ratio) + np.square(phase) + time_angle * time_angle)
    rows = zip(
        size.tolist(),
        angle.tolist(),
        u_size.tolist(),
        u_angle.tolist(),
        rms.tolist(),
        u_rms.tolist(),
        known.tolist(),
        strict=True,
    )
    return [ChannelReading(x, a if k else None, u_x, u_a if k else None, r, u_r) for x, a, u_x, u_a, r, u_r, k in rows]
