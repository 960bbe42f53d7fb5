r"""
Phasors of a fault: from samples around it to voltages and currents before it and in it, with what noise leaves on them.

Where it stands: the plug-ins `fault_location` and `fault_voltages` cut the samples. Each channel is fitted by
least squares with a sinusoid, a constant and, in the fault, one decaying exponential, which is what the source's
inductance makes of a current that may not jump:

.. math:: x(t) = \sqrt 2 \Re\{X e^{j \omega t}\} + x_0 + x_1 e^{-t / \tau}

Rules:

- The frequency is measured before the fault and kept.
- A window begins a cycle after the last change and ends before the breaker opens: neither transients nor an arc between
  contacts belong to the fault.
- Skew of the channels is taken out of the phasors, not of the samples.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from algorithms.waveform.phasor import Complexes, Floats
from algorithms.waveform.superimposed import FORTESCUE

TIME_CONSTANTS = (0.004, 0.008, 0.015, 0.025, 0.04, 0.06, 0.09, 0.14, 0.25)
"""Of the decaying part [s]; for each channel the one that leaves least."""
CHANGED = 0.06
"""A fault has changed where phasors a quarter of a cycle apart differ by this share of the largest [1]."""
SPIKE = 6.0
"""A sample this many standard deviations off is a spike [1]."""
QUIET = 0.05
"""Current below this share of the fault's, for a quarter of a cycle, is none: the breaker has opened [1]."""
AUDIBLE = 10.0
"""A voltage less than this many standard deviations of its noise has no frequency [1]."""
CARRYING = 0.3
"""From the first sample beyond this share of the fault's current on, a phase takes part in it [1]."""


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
        Time constants to choose from [samples]; none for no decaying part.
    rails : numpy.ndarray or None
        Magnitude at and beyond which a channel is clipped, shape (n,) [V, A]; such samples are left out, and so are
        spikes.
    """
    count = samples.shape[1]
    angle = 2.0 * np.pi * turn * np.arange(count)
    steady = np.stack([np.cos(angle), -np.sin(angle), np.ones(count)], axis=1)
    bases = [np.column_stack([steady, np.exp(-np.arange(count) / decay)]) for decay in decays] or [steady]
    good = np.ones(samples.shape, dtype=bool) if rails is None else np.abs(samples) < rails[:, np.newaxis]
    coefficients, spread, residual = _least_squares(samples, bases)
    whole = good.all(axis=1)
    whole &= _largest_rest(samples, bases, coefficients) < SPIKE * np.maximum(residual, 1e-12)
    for channel in np.flatnonzero(~whole):
        one = _without_bad(samples[channel], good[channel], bases)
        coefficients[channel], spread[channel], residual[channel] = one
    phasors = (coefficients[:, 0] + 1j * coefficients[:, 1]) / np.sqrt(2.0) * np.exp(-2j * np.pi * turn * skews)
    return Fitted(phasors, residual * np.sqrt(spread / 2.0), residual)


def _least_squares(samples: Floats, bases: list[Floats]) -> tuple[Floats, Floats, Floats]:
    """Fit each channel with the basis that leaves least: coefficients, their variance for noise of 1, the residual."""
    count, channels = samples.shape[1], np.arange(samples.shape[0])
    power = np.square(samples).sum(axis=1)
    results: list[Floats] = []
    spreads, lefts = [], []
    for basis in bases:
        orthogonal, triangle = np.linalg.qr(basis)
        projected = samples @ orthogonal
        lefts.append(np.maximum(power - np.square(projected).sum(axis=1), 0.0))
        inverse = np.linalg.inv(triangle)
        results.append(np.pad(projected @ inverse.T, ((0, 0), (0, 5 - basis.shape[1]))))
        spreads.append(np.square(inverse[:2]).sum(axis=1).max())
    chosen = np.stack(lefts).argmin(axis=0)
    coefficients = np.stack(results)[chosen, channels]
    coefficients[:, 4] = chosen
    residual = np.sqrt(np.stack(lefts)[chosen, channels] / max(count - bases[0].shape[1], 1))
    return coefficients, np.array(spreads)[chosen], residual


def _largest_rest(samples: Floats, bases: list[Floats], coefficients: Floats) -> Floats:
    """Give the largest residual of each channel, shape (n,)."""
    stacked = np.stack(bases)[coefficients[:, 4].astype(int)]
    rest = samples - (stacked @ coefficients[:, : stacked.shape[2], np.newaxis])[..., 0]
    largest: Floats = np.abs(rest).max(axis=1)
    return largest


def _without_bad(samples: Floats, good: NDArray[np.bool_], bases: list[Floats]) -> tuple[Floats, float, float]:
    """Fit one channel without clipped samples and spikes, the largest residuals going first."""
    good = good.copy()
    found = np.zeros(5), 1.0, float(np.abs(samples).max())
    for _ in range(4):
        if np.count_nonzero(good) < max(good.size // 3, 8):
            return found  # too little is left of it: its residual says so
        coefficients, spread, residual = _least_squares(samples[np.newaxis, good], [basis[good] for basis in bases])
        found = coefficients[0], float(spread[0]), float(residual[0])
        basis = bases[int(coefficients[0, 4])]
        rest = np.abs(samples - basis @ coefficients[0, : basis.shape[1]])
        spikes = good & (rest > SPIKE * max(float(np.median(rest[good])) / 0.6745, 1e-12))
        if not spikes.any():
            break
        good &= ~spikes
    return found


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


def opening(currents: Floats, steps: Floats, cycle: int) -> int:
    """
    Find when a breaker has opened the first of its phases.

    Parameters
    ----------
    currents : numpy.ndarray
        Samples since the inception, shape (3, k) [A].
    steps : numpy.ndarray
        Of the converter, shape (3,) [A].
    cycle : int
        Samples in a cycle.

    Returns
    -------
    int
        Number of the first sample without current in some phase; k where it flows to the end. Where the load of a
        healthy phase is too small to be seen, half a cycle is taken off: its pole may have opened first.
    """
    first, hidden = int(currents.shape[1]), False
    quarter = max(cycle // 4, 2)
    for size, step in zip(np.abs(currents), steps, strict=True):
        largest = float(np.sort(size[: 3 * cycle])[-max(cycle // 16, 2) :].mean())
        if largest < 10.0 * step:
            hidden = True
            continue
        still = size < max(QUIET * largest, 4.0 * float(step))
        # A phase that joins an evolving fault late was not open before.
        still[: int((size > CARRYING * largest).argmax())] = False
        at = np.flatnonzero(np.convolve(still, np.ones(quarter), "valid") >= quarter - 0.5)
        first = min(first, int(at[0])) if at.size else first
    return first - cycle // 2 if hidden and first < int(currents.shape[1]) else first


def last_change(samples: Floats, turn: float, cycle: int, decay: float) -> int:
    """
    Find where a fault last turned into another one.

    Parameters
    ----------
    samples : numpy.ndarray
        From the inception to the end of the fault, shape (n, k) [V, A].
    turn : float
        Frequency [cycles per sample].
    cycle : int
        Samples in a cycle.
    decay : float
        A time constant for the decaying part [samples].

    Returns
    -------
    int
        Number of the sample; 0 where it stayed what it was from its beginning.
    """
    width, step = cycle + cycle // 4, max(cycle // 4, 1)
    starts = np.arange(cycle // 2, samples.shape[1] - width + 1, step)
    if starts.size < 3:
        return 0
    angle = 2.0 * np.pi * turn * np.arange(width)
    basis = np.column_stack([np.cos(angle), -np.sin(angle), np.ones(width), np.exp(-np.arange(width) / decay)])
    solve = np.linalg.pinv(basis)[:2]
    windows = np.lib.stride_tricks.sliding_window_view(samples, width, axis=1)[:, starts]
    parts = windows @ solve.T
    phasors = (parts[..., 0] + 1j * parts[..., 1]) * np.exp(-2j * np.pi * turn * starts)
    sizes = np.abs(phasors)
    moved = np.abs(np.diff(phasors, axis=1))
    voltages, currents = slice(0, 3), slice(3, samples.shape[0])
    scale = np.array([float(sizes[part].max(initial=0.0)) for part in (voltages, currents)])
    share = moved[voltages].max(axis=0) / max(scale[0], 1e-30)
    if samples.shape[0] > 3:
        share = np.maximum(share, moved[currents].max(axis=0) / max(scale[1], 1e-30))
    # The first windows hold the transient of the inception.
    large = np.flatnonzero((share > CHANGED) & (starts[1:] >= cycle + cycle // 2))
    return int(starts[large[-1] + 1] + width - step) if large.size else 0


def window(samples: Floats, steps: Floats, turn: float, *, cycle: int, decay: float, longest: int) -> tuple[int, int]:
    """
    Choose the samples of a fault that tell most of it.

    Parameters
    ----------
    samples : numpy.ndarray
        Since the inception: voltages, and currents where there are any, shape (3 or 6, k) [V, A].
    steps : numpy.ndarray
        Of the converter, shape (3 or 6,) [V, A].
    turn, cycle, decay
        As in `last_change`.
    longest : int
        Most samples wanted.

    Returns
    -------
    begin, stop : int
        Less than three quarters of a cycle apart where the fault was too short.
    """
    end = samples.shape[1]
    if samples.shape[0] > 3:
        end = opening(samples[3:], steps[3:], cycle)
    guard = max(cycle // 32, 2)
    change = 0
    for _ in range(3):
        change = last_change(samples[:, :end], turn, cycle, decay)
        if change <= end - cycle or not change:
            break
        # What changes so late is the end itself, a pole or an arc, and not another fault.
        end = change - cycle - cycle // 2
        change = 0
    stop = end - guard
    begin = change + cycle
    if stop - begin < cycle + cycle // 4:
        begin = max(change + cycle // 4, stop - cycle - cycle // 4)
    return begin, min(stop, begin + longest)
