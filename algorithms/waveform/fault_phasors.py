r"""
Phasors of a fault: from samples around it to voltages and currents before it and in it, with what noise leaves on them.

Where it stands: the plug-ins `fault_location` and `fault_voltages` cut the samples. Each channel is fitted by
least squares with a sinusoid, a constant and, in the fault, one decaying exponential, which is what the source's
inductance makes of a current that may not jump:

.. math:: x(t) = \sqrt 2 \Re\{X e^{j \omega t}\} + x_0 + x_1 e^{-t / \tau}

Rules:

- The frequency is measured before the fault and kept.
- The decay's time constant is fitted too: one that is a quarter off leaves volts in the phasor of a metallic fault.
- Skew of the channels is taken out of the phasors, not of the samples.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from algorithms.waveform.phasor import Complexes, Floats
from algorithms.waveform.superimposed import FORTESCUE

TIME_CONSTANTS = (0.004, 0.008, 0.015, 0.025, 0.04, 0.06, 0.09, 0.14, 0.25)
"""Of the decaying part [s]: between those that leave least the one that does is looked for."""
REFINED = 6
"""Steps of that search: what is left is 5e-6 of the decaying part at most, after four 9e-5 [1]."""
SPIKE = 6.0
"""A sample this many standard deviations off is a spike [1]."""
AUDIBLE = 10.0
"""A voltage less than this many standard deviations of its noise has no frequency [1]."""


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """
    Phasors of n channels.

    Attributes
    ----------
    phasors : numpy.ndarray
        RMS, angles at the window's beginning, skew taken out, shape (n,) [V, A].
    noise : numpy.ndarray
        Standard uncertainty of real and imaginary part from what the fit leaves over, shape (n,) [V, A].
    residual : numpy.ndarray
        Root mean square of that, shape (n,) [V, A].
    """

    phasors: Complexes
    noise: Floats
    residual: Floats


def fit(
    samples: Floats, turn: float, skews: Floats, decays: tuple[float, ...] = (), rails: Floats | None = None
) -> Fitted:
    """
    Fit a window.

    Parameters
    ----------
    samples : numpy.ndarray
        Shape (n, k) [V, A].
    turn : float
        Frequency [cycles per sample].
    skews : numpy.ndarray
        Time of each channel's sample after the nominal instant, shape (n,) [samples].
    decays : tuple of float
        Time constants between which it is looked for [samples], from small to large; none for no decaying part.
    rails : numpy.ndarray or None
        Magnitude at and beyond which a channel is clipped, shape (n,) [V, A]; such samples are left out, and so are
        spikes.
    """
    count = samples.shape[1]
    times = np.arange(count, dtype=np.float64)
    angle = 2.0 * np.pi * turn * times
    steady = np.stack([np.cos(angle), -np.sin(angle), np.ones(count)], axis=1)
    good = np.ones(samples.shape, dtype=bool) if rails is None else np.abs(samples) < rails[:, np.newaxis]
    found = _least_squares(samples, steady, times, decays)
    whole = good.all(axis=1)
    whole &= np.abs(samples - found.curve(steady, times)).max(axis=1) < SPIKE * np.maximum(found.residual, 1e-12)
    coefficients, spread, residual = found.coefficients, found.spread, found.residual
    for channel in np.flatnonzero(~whole):
        one = _without_bad(samples[channel], good[channel], steady, times, decays)
        coefficients[channel], spread[channel], residual[channel] = one
    phasors = (coefficients[:, 0] + 1j * coefficients[:, 1]) / np.sqrt(2.0) * np.exp(-2j * np.pi * turn * skews)
    return Fitted(phasors, residual * np.sqrt(spread / 2.0), residual)


@dataclass(frozen=True, slots=True, eq=False)
class _Solved:
    """Coefficients (n, 3 or 4), variance of the first two for noise of 1 (n,), residual (n,), its square's sum (n,)."""

    coefficients: Floats
    spread: Floats
    residual: Floats
    left: Floats
    decays: Floats

    def curve(self, steady: Floats, times: Floats) -> Floats:
        """Give what was fitted, shape (n, k)."""
        curve: Floats = self.coefficients[:, :3] @ steady.T
        if self.coefficients.shape[1] > 3:
            curve += self.coefficients[:, 3:] * np.exp(-times / self.decays[:, np.newaxis])
        return curve


def _least_squares(samples: Floats, steady: Floats, times: Floats, decays: tuple[float, ...]) -> _Solved:
    """Fit each channel, with the decay that leaves least where there are any to choose from."""
    channels = samples.shape[0]
    if not decays:
        return _solved(samples, steady[np.newaxis], np.zeros(channels))
    tried = [_solved(samples, _with_decay(steady, times, np.array([decay])), np.array([decay])) for decay in decays]
    left = np.stack([one.left for one in tried])
    best = np.clip(left.argmin(axis=0), 1, len(decays) - 2) if len(decays) > 2 else left.argmin(axis=0)
    every = np.arange(channels)
    if len(decays) < 3:
        return _solved(samples, _with_decay(steady, times, np.array(decays)[best]), np.array(decays)[best])
    constants = np.log(np.array(decays))
    at = np.stack([constants[best + step] for step in (-1, 0, 1)])
    costs = np.stack([left[best + step, every] for step in (-1, 0, 1)])
    for _ in range(REFINED):
        at, costs = _closed_in(samples, steady, times, at, costs)
    chosen = np.exp(at[costs.argmin(axis=0), every])
    return _solved(samples, _with_decay(steady, times, chosen), chosen)


def _closed_in(samples: Floats, steady: Floats, times: Floats, at: Floats, costs: Floats) -> tuple[Floats, Floats]:
    """Try the lowest point of the parabola through three (logarithms of) time constants, and keep the best three."""
    (low, middle, high), (one, two, three) = at, costs
    left, right = (middle - low) * (two - three), (middle - high) * (two - one)
    bent = left - right
    lowest = middle - 0.5 * ((middle - low) * left - (middle - high) * right) / np.where(bent == 0.0, np.inf, bent)
    margin = 0.05 * (high - low)
    lowest = np.clip(lowest, low + margin, high - margin)
    lowest = np.where(np.abs(lowest - middle) < 0.2 * margin, middle + 0.2 * margin, lowest)
    decays = np.exp(lowest)
    cost = _solved(samples, _with_decay(steady, times, decays), decays).left
    points, values = np.stack([low, middle, high, lowest]), np.stack([one, two, three, cost])
    order = points.argsort(axis=0)
    points, values = np.take_along_axis(points, order, 0), np.take_along_axis(values, order, 0)
    # The best of the four and its neighbours: the lowest lies between them.
    first = np.clip(values.argmin(axis=0) - 1, 0, 1)
    chosen = first + np.arange(3)[:, np.newaxis]
    return np.take_along_axis(points, chosen, 0), np.take_along_axis(values, chosen, 0)


def _with_decay(steady: Floats, times: Floats, decays: Floats) -> Floats:
    """Give the functions that are fitted, shape (n, k, 4)."""
    falling = np.exp(-times / decays[:, np.newaxis])
    base = np.broadcast_to(steady, (decays.size, *steady.shape))
    return np.concatenate([base, falling[..., np.newaxis]], axis=2)


def _solved(samples: Floats, bases: Floats, decays: Floats) -> _Solved:
    """Solve by orthogonal triangles; `bases` have shape (n or 1, k, m)."""
    orthogonal, triangle = np.linalg.qr(bases)
    projected = (samples[:, np.newaxis] @ orthogonal)[:, 0]
    left = np.maximum(np.square(samples).sum(axis=1) - np.square(projected).sum(axis=1), 0.0)
    inverse = np.linalg.inv(triangle)
    coefficients = (inverse @ projected[..., np.newaxis])[..., 0]
    spread = np.broadcast_to(np.square(inverse[:, :2]).sum(axis=2).max(axis=1), left.shape).copy()
    residual = np.sqrt(left / max(samples.shape[1] - bases.shape[2], 1))
    return _Solved(coefficients, spread, residual, left, np.broadcast_to(decays, left.shape))


def _without_bad(
    samples: Floats, good: NDArray[np.bool_], steady: Floats, times: Floats, decays: tuple[float, ...]
) -> tuple[Floats, float, float]:
    """Fit one channel without clipped samples and spikes, the largest residuals going first."""
    good = good.copy()
    width = 4 if decays else 3
    coefficients, spread, residual = np.zeros(width), 1.0, float(np.abs(samples).max())
    for _ in range(4):
        if np.count_nonzero(good) < max(good.size // 3, 8):
            break  # too little is left of it: its residual says so
        found = _least_squares(samples[np.newaxis, good], steady[good], times[good], decays)
        coefficients, spread, residual = found.coefficients[0], float(found.spread[0]), float(found.residual[0])
        rest = np.abs(samples - found.curve(steady, times)[0])
        spikes = good & (rest > SPIKE * max(float(np.median(rest[good])) / 0.6745, 1e-12))
        if not spikes.any():
            break
        good &= ~spikes
    return coefficients, spread, residual


def frequency(voltages: Floats, turn: float) -> float:
    """
    Measure the frequency of three voltages by the turn of their positive sequence between two halves of a window.

    Parameters
    ----------
    voltages : numpy.ndarray
        Shape (3, k), some cycles [V].
    turn : float
        Nominal frequency [cycles per sample].

    Returns
    -------
    float
        [cycles per sample]; the nominal one where there is no voltage.
    """
    half = voltages.shape[1] // 2
    found = turn
    skews = np.zeros(3)
    halves = voltages[:, :half], voltages[:, half : 2 * half]
    for _ in range(4):
        fits = [fit(part, found, skews) for part in halves]
        one, other = (FORTESCUE[1] @ fitted.phasors for fitted in fits)
        noise = max(float(fitted.noise.max()) for fitted in fits)
        if min(abs(one), abs(other)) <= AUDIBLE * noise:
            return turn
        advance = complex(other * np.conj(one) * np.exp(-2j * np.pi * found * half))
        found += float(np.angle(advance)) / (2.0 * np.pi * half)
    return found if abs(found / turn - 1.0) < 0.1 else turn
