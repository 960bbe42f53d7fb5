"""
The rows of a frame: readings of channels, powers and components, made of what the kernels say of one window.

`WindowValues` holds one window's figures for all channels at the instant of the frame; the functions turn them into the
rows of `algorithms.api.readings`. A figure that noise could have made has no angle and no power factor.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from algorithms.api.readings import ChannelReading, Phasor, PowerReading, SequenceReading
from algorithms.waveform.phasor import Complexes, Floats
from algorithms.waveform.power import active_power_uncertainty, mean_product, power_factor_uncertainty
from algorithms.waveform.symmetry import component_uncertainty, symmetrical_components

LEAST_RATIO = 3.0
"""A phasor has an angle, and a power a factor, above this many standard uncertainties [1]."""


@dataclass(frozen=True, slots=True, eq=False)
class WindowValues:
    """
    One window at the instant of its frame, one column or entry per channel.

    Attributes
    ----------
    phasors : numpy.ndarray
        Value and Taylor coefficients, peak, skew corrected (3, n_channels) [V or A].
    harmonics : numpy.ndarray
        From the second on, peak, skew corrected (n_harmonics - 1, n_channels) [V or A].
    referred : numpy.ndarray
        RMS phasors with their angle referred as the frame says (n_channels,) [V or A].
    size : numpy.ndarray
        Their magnitude (n_channels,) [V or A].
    noise : numpy.ndarray
        Standard uncertainty of `referred` along either axis, from noise alone (n_channels,) [V or A].
    mean_noise : numpy.ndarray
        The same for the mean over the window (n_channels,) [V or A].
    rms, u_rms : numpy.ndarray
        True RMS and its standard uncertainty (n_channels,) [V or A].
    gain, phase : numpy.ndarray
        Standard uncertainties of the channels (n_channels,) [1], [rad].
    time_angle : float
        Standard uncertainty of all angles together, from the time stamp [rad].
    spread : float
        Mean of the squared time under the window's weights [half windows squared].
    """

    phasors: Complexes
    harmonics: Complexes
    referred: Complexes
    size: Floats
    noise: Floats
    mean_noise: Floats
    rms: Floats
    u_rms: Floats
    gain: Floats
    phase: Floats
    time_angle: float
    spread: float


def channel_readings(values: WindowValues) -> list[ChannelReading]:
    """Return the reading of every channel, in order."""
    noise, size = values.noise, values.size
    ratio = noise / np.maximum(size, noise)
    rows = np.empty((6, size.size))
    rows[0] = size
    np.arctan2(values.referred.imag, values.referred.real, out=rows[1])
    rows[2] = np.sqrt(np.square(noise) + np.square(values.gain * size))
    rows[3] = np.sqrt(np.square(ratio) + np.square(values.phase) + values.time_angle**2)
    rows[4] = values.rms
    rows[5] = values.u_rms
    known = (size > LEAST_RATIO * noise).tolist()
    return [
        ChannelReading(*row) if known[k] else ChannelReading(row[0], None, row[2], None, row[4], row[5])
        for k, row in enumerate(rows.T.tolist())
    ]


def power_readings(
    values: WindowValues, names: list[str], v: NDArray[np.intp], i: NDArray[np.intp]
) -> dict[str, PowerReading]:
    """
    Return the powers of each phase, and of all as ``total``.

    Parameters
    ----------
    values : WindowValues
    names : list of str
        Phases measured in voltage and current; none give an empty result.
    v, i : numpy.ndarray
        Their channels.

    Notes
    -----
    Active power includes harmonics; reactive power is the fundamental's; apparent power is the product of true RMS
    values. The total apparent power is the arithmetic one, the sum over phases (IEEE Std 1459-2010, 3.2.2.5), which
    is defined for any number of phases.
    """
    if not names:
        return {}
    fundamental, harmonic = mean_product(
        values.phasors[:, v], values.harmonics[:, v], values.phasors[:, i], values.harmonics[:, i], values.spread
    )
    p, q = fundamental.real + harmonic, fundamental.imag
    rms_v, rms_i, noise_v, noise_i = values.rms[v], values.rms[i], values.mean_noise[v], values.mean_noise[i]
    u_p, u_q = active_power_uncertainty(
        rms_v=rms_v,
        rms_i=rms_i,
        p=p,
        q=q,
        noise_v=noise_v,
        noise_i=noise_i,
        gain=np.hypot(values.gain[v], values.gain[i]),
        phase=np.hypot(values.phase[v], values.phase[i]),
    )
    s = rms_v * rms_i
    u_s = np.hypot(rms_i * values.u_rms[v], rms_v * values.u_rms[i])
    turned = np.square(noise_v / np.maximum(rms_v, noise_v)) + np.square(noise_i / np.maximum(rms_i, noise_i))
    angle = turned + np.square(values.phase[v]) + np.square(values.phase[i])
    table = np.empty((7, p.size + 1))
    table[:, :-1] = p, u_p, q, u_q, s, u_s, angle
    table[:6:2, -1] = table[:6:2, :-1].sum(axis=1)
    table[1:6:2, -1] = np.sqrt(np.square(table[1:6:2, :-1]).sum(axis=1))
    table[6, -1] = (np.square(s) @ angle) / max(float(table[4, -1]) ** 2, 1e-300)
    factor = np.clip(table[0] / np.maximum(table[4], 1e-300), -1.0, 1.0)
    u_factor = power_factor_uncertainty(factor, np.sqrt(table[6])).tolist()
    readings = {}
    for name, row, pf, u_pf in zip([*names, "total"], table[:6].T.tolist(), factor.tolist(), u_factor, strict=True):
        known = row[4] > LEAST_RATIO * row[5]
        readings[name] = PowerReading(
            row[0], row[1], row[2], row[3], row[4], row[5], pf if known else None, u_pf if known else None
        )
    return readings


def sequence_readings(values: WindowValues, rows: NDArray[np.intp]) -> list[SequenceReading]:
    """
    Return the symmetrical components of sets of three channels.

    Parameters
    ----------
    values : WindowValues
    rows : numpy.ndarray
        Channels of phases A, B and C (n_sets, 3).
    """
    phasors = values.referred[rows]
    components = symmetrical_components(phasors)
    along, across = component_uncertainty(
        phasors, components, values.noise[rows], values.gain[rows], values.phase[rows]
    )
    table: list[list[list[float]]] = np.stack(
        [np.abs(components), np.angle(components), along, across], axis=-1
    ).tolist()
    return [SequenceReading(*(_phasor(entry, values.time_angle) for entry in entries)) for entries in table]


def _phasor(entry: list[float], time_angle: float) -> Phasor:
    size, angle, along, across = entry
    if size <= LEAST_RATIO * across:
        return Phasor(size, None, along, None)
    return Phasor(size, angle, along, math.hypot(across / size, time_angle))
