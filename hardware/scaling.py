"""
From volts at the converter to primary volts and amperes.

Pure. The primary value is ``ratio * gain * (adc - offset)``, negated where the transducer is reversed: one factor and
one constant per channel, applied in place to whole blocks. A transducer's phase displacement is not taken out of the
samples: it is a time, and is told in `Channel.skew` together with the converter's own, so that it is corrected once,
exactly, where phasors are made.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from algorithms.api.samples import Channel
from hardware.source import ChannelRequest


@dataclass(frozen=True, slots=True, eq=False)
class Scaling:
    """
    What turns volts of all channels into primary values.

    Attributes
    ----------
    factor : numpy.ndarray
        Shape (n_channels, 1) [V/V or A/V].
    constant : numpy.ndarray
        Shape (n_channels, 1) [V or A].
    """

    factor: NDArray[np.float64]
    constant: NDArray[np.float64]

    def apply(self, volts: NDArray[np.floating], out: NDArray[np.floating] | None = None) -> NDArray[np.floating]:
        """
        Return primary values.

        Parameters
        ----------
        volts : numpy.ndarray
            Shape (n_channels, n_samples) [V].
        out : numpy.ndarray or None
            Where to put them, of the same shape; may be `volts` itself. None for a new array.

        Returns
        -------
        numpy.ndarray
            Shape (n_channels, n_samples) [V or A].
        """
        result: NDArray[np.floating] = np.multiply(volts, self.factor, out=out)
        result += self.constant
        return result

    def invert(self, primary: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the volts that stand for primary values, shape (n_channels, n_samples)."""
        return (primary - self.constant) / self.factor


def scaling_of(channels: Sequence[ChannelRequest]) -> Scaling:
    """
    Collect the calibration of all channels.

    Raises
    ------
    ValueError
        When a ratio or gain is 0 or anything is not finite: see `problems_of_calibration`.

    Examples
    --------
    A simulator's output of 0 to 10 V, 5 V standing for zero and 1 V for 100 V at the terminals:

    >>> from algorithms.api.samples import Phase, Quantity
    >>> scaling = scaling_of([ChannelRequest("ua", Quantity.VOLTAGE, Phase.A, 0, ratio=100.0, offset=5.0)])
    >>> scaling.apply(np.array([[0.0, 5.0, 10.0]])).tolist()
    [[-500.0, 0.0, 500.0]]
    """
    problems = [problem for channel in channels for problem in problems_of_calibration(channel)]
    if problems:
        raise ValueError("; ".join(problems))
    factor = np.array([_factor(channel) for channel in channels]).reshape(-1, 1)
    offset = np.array([channel.offset for channel in channels]).reshape(-1, 1)
    return Scaling(factor, -factor * offset)


def problems_of_calibration(channel: ChannelRequest) -> list[str]:
    """Find everything wrong with one channel's calibration."""
    where = f"channel {channel.name}"
    problems = [
        f"{where}: expected a {name} that is finite and not 0, found {value}"
        for name, value in (("ratio", channel.ratio), ("gain", channel.gain))
        if not math.isfinite(value) or value == 0
    ]
    problems += [
        f"{where}: expected a finite {name} [{unit}], found {value}"
        for name, unit, value in (("offset", "V", channel.offset),)
        if not math.isfinite(value)
    ]
    if not abs(channel.phase_correction) < math.pi / 2:
        problems.append(
            f"{where}: expected a phase_correction within a quarter of a cycle [rad], found {channel.phase_correction}"
        )
    problems += [
        f"{where}: expected a {name} of 0 or more and below 1 [{unit}], found {value}"
        for name, unit, value in (
            ("gain_uncertainty", "1", channel.gain_uncertainty),
            ("phase_uncertainty", "rad", channel.phase_uncertainty),
        )
        if not 0 <= value < 1
    ]
    return problems


def described(
    channel: ChannelRequest,
    *,
    nominal_frequency: float,
    skew: float = 0.0,
    step: float = 0.0,
    low: float = 0.0,
    high: float = 0.0,
) -> Channel:
    """
    Describe a channel as its samples will be, in primary units.

    Parameters
    ----------
    channel : ChannelRequest
    nominal_frequency : float
        At which the transducer's phase displacement is stated [Hz].
    skew : float
        Time after the nominal instant at which the converter takes this channel [s].
    step : float
        One step of the converter [V]; 0 where it is not known.
    low, high : float
        Range of the converter [V]; both 0 where it is not known.

    Returns
    -------
    Channel

    Examples
    --------
    A transformer whose output leads by 1.8 degrees shows what the line carries 100 us later:

    >>> from algorithms.api.samples import Phase, Quantity
    >>> request = ChannelRequest("ia", Quantity.CURRENT, Phase.A, 1, ratio=50.0, phase_correction=math.radians(1.8))
    >>> round(described(request, nominal_frequency=50.0, skew=25e-6, step=0.01).skew * 1e6, 6)
    125.0
    """
    factor = abs(_factor(channel))
    return Channel(
        name=channel.name,
        quantity=channel.quantity,
        phase=channel.phase,
        skew=skew + channel.phase_correction / (2 * math.pi * nominal_frequency),
        resolution=factor * step,
        gain_uncertainty=channel.gain_uncertainty,
        phase_uncertainty=channel.phase_uncertainty,
        full_scale=factor * max(abs(low - channel.offset), abs(high - channel.offset)) if low < high else 0.0,
    )


def clipped(volts: NDArray[np.floating], low: float, high: float, step: float) -> bool:
    """Tell whether any channel stood at an end of the converter's range, to within half a step [V]."""
    return bool(volts.size) and bool(volts.min() <= low + step / 2 or volts.max() >= high - 1.5 * step)


def _factor(channel: ChannelRequest) -> float:
    return (-1.0 if channel.reversed else 1.0) * channel.ratio * channel.gain
