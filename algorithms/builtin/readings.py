"""
The rows of a frame: readings of channels, powers and components, made of what the kernels say of one window.

`ChannelValues` holds one window's figures for a channel at the instant of the frame; the functions turn them into the
small records of `algorithms.api.records`. A figure that noise could have made has no angle and no power factor.
"""

import cmath
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from algorithms.api.readings import ChannelReading, Phasor, PowerReading, SequenceReading
from algorithms.waveform.phasor import Taylor
from algorithms.waveform.power import active_power_uncertainty, mean_product, power_factor_uncertainty
from algorithms.waveform.symmetry import component_uncertainty, symmetrical_components

LEAST_RATIO = 3.0
"""A phasor has an angle, and a power a factor, above this many standard uncertainties [1]."""


class ChannelValues(NamedTuple):
    """
    A channel in one window, at the instant of its frame.

    Attributes
    ----------
    taylor : tuple of complex
        Value and Taylor coefficients, peak, skew corrected [V or A].
    phasor : complex
        RMS, its angle referred as the frame says [V or A].
    magnitude : float
        [V or A]
    variance : float
        Of one sample, on which the uncertainties are based [V^2 or A^2].
    noise : float
        Standard uncertainty of `phasor` along either axis, from noise alone [V or A].
    mean_noise : float
        The same for the mean over the window [V or A].
    rms, u_rms : float
        True RMS and its standard uncertainty [V or A].
    excess : float
        The part of `u_rms` that noise may have added [V or A].
    gain, phase : float
        Standard uncertainties of the channel [1], [rad].
    """

    taylor: Taylor
    phasor: complex
    magnitude: float
    variance: float
    noise: float
    mean_noise: float
    rms: float
    u_rms: float
    excess: float
    gain: float
    phase: float


def channel_reading(values: ChannelValues, time_angle: float) -> ChannelReading:
    """
    Return the reading of a channel.

    Parameters
    ----------
    values : ChannelValues
    time_angle : float
        Standard uncertainty of all angles together, from the time stamp [rad].
    """
    size, noise = values.magnitude, values.noise
    u_size = math.hypot(noise, values.gain * size)
    if size <= LEAST_RATIO * noise:
        return ChannelReading(size, None, u_size, None, values.rms, values.u_rms)
    u_angle = math.hypot(noise / size, values.phase, time_angle)
    return ChannelReading(size, cmath.phase(values.phasor), u_size, u_angle, values.rms, values.u_rms)


def power_readings(
    values: Sequence[ChannelValues],
    pairs: Mapping[str, tuple[int, int]],
    harmonics: list[list[float]],
    spread: float,
) -> dict[str, PowerReading]:
    """
    Return the powers of each phase, and of all as ``total``.

    Parameters
    ----------
    values : sequence of ChannelValues
    pairs : mapping
        By phase the channels that measure its voltage and its current; none give an empty result.
    harmonics : list of list of float
        Mean products of the harmonics of any two channels [W].
    spread : float
        Mean of the squared time under the window's weights [half windows squared].

    Notes
    -----
    Active power includes harmonics; reactive power is the fundamental's; apparent power is the product of true RMS
    values. The total apparent power is the arithmetic one, the sum over phases (IEEE Std 1459-2010, 3.2.2.5), which
    is defined for any number of phases.
    """
    readings = {}
    total_p = total_q = total_s = variance_p = variance_q = variance_s = weighted = excess = 0.0
    for name, (row_v, row_i) in pairs.items():
        v, i = values[row_v], values[row_i]
        fundamental = mean_product(v.taylor, i.taylor, spread)
        p, q, s = fundamental.real + harmonics[row_v][row_i], fundamental.imag, v.rms * i.rms
        phase = v.phase * v.phase + i.phase * i.phase
        u_p, u_q = active_power_uncertainty(
            rms_v=v.rms,
            rms_i=i.rms,
            p=p,
            q=q,
            noise_v=v.mean_noise,
            noise_i=i.mean_noise,
            gain=v.gain * v.gain + i.gain * i.gain,
            phase=phase,
        )
        u_s = math.hypot(i.rms * v.u_rms, v.rms * i.u_rms)
        angle = phase + (v.mean_noise / max(v.rms, v.mean_noise)) ** 2 + (i.mean_noise / max(i.rms, i.mean_noise)) ** 2
        # What noise adds to true RMS values it takes from the factor.
        over = (v.excess / max(v.rms, v.u_rms)) ** 2 + (i.excess / max(i.rms, i.u_rms)) ** 2
        readings[name] = PowerReading(p, u_p, q, u_q, s, u_s, *_factor(p, s, u_s, angle, over))
        excess += s * math.sqrt(over)
        total_p, total_q, total_s = total_p + p, total_q + q, total_s + s
        variance_p, variance_q, variance_s = variance_p + u_p * u_p, variance_q + u_q * u_q, variance_s + u_s * u_s
        weighted += s * s * angle
    if readings:
        u_p, u_q, u_s = math.sqrt(variance_p), math.sqrt(variance_q), math.sqrt(variance_s)
        square = max(total_s * total_s, 1e-300)
        factor = _factor(total_p, total_s, u_s, weighted / square, excess * excess / square)
        readings["total"] = PowerReading(total_p, u_p, total_q, u_q, total_s, u_s, *factor)
    return readings


def sequence_reading(values: Sequence[ChannelValues], time_angle: float) -> SequenceReading:
    """
    Return the symmetrical components of three channels.

    Parameters
    ----------
    values : sequence of ChannelValues
        Phases A, B and C.
    time_angle : float
        Standard uncertainty of all angles together, from the time stamp [rad].
    """
    phasors = [value.phasor for value in values]
    components = symmetrical_components(*phasors)
    uncertainties = component_uncertainty(
        phasors,
        components,
        [value.noise for value in values],
        [value.gain for value in values],
        [value.phase for value in values],
    )
    zero, positive, negative = (
        _phasor(component, along, across, time_angle)
        for component, (along, across) in zip(components, uncertainties, strict=True)
    )
    return SequenceReading(zero, positive, negative)


def _factor(p: float, s: float, u_s: float, angle: float, over: float) -> tuple[float | None, float | None]:
    """Return the power factor and its uncertainty, where there is apparent power; `angle` is squared [rad^2]."""
    if s <= LEAST_RATIO * u_s:
        return None, None
    factor = min(max(p / s, -1.0), 1.0)
    return factor, math.hypot(power_factor_uncertainty(factor, angle), factor * math.sqrt(over))


def _phasor(component: complex, along: float, across: float, time_angle: float) -> Phasor:
    size = abs(component)
    if size <= LEAST_RATIO * across:
        return Phasor(size, None, along, None)
    return Phasor(size, cmath.phase(component), along, math.hypot(across / size, time_angle))
