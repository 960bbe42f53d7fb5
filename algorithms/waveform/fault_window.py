"""
Which stretch of a fault is measured: begun when what its beginning brought is over, ended before its breaker opens.

Where it stands: `fault_samples` of the plug-ins asks it for the stretch, and `fault_phasors` fits what is in it. Rules:

- A window begins a cycle after the last change and ends before the breaker opens: neither transients nor an arc between
  contacts belong to the fault.
- What changes within the last cycle and a half is the end itself, a pole or an arc, and not another fault.
"""

import numpy as np

from algorithms.waveform.phasor import Floats

CHANGED = 0.06
"""A fault has changed where phasors a quarter of a cycle apart differ by this share of the largest [1]."""
QUIET = 0.05
"""Current below this share of the fault's, for a quarter of a cycle, is none: the breaker has opened [1]."""
CARRYING = 0.3
"""From the first sample beyond this share of the fault's current on, a phase takes part in it [1]."""


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
