"""
Powers of a stretch of samples for counting energy: cheap, without gaps between stretches, exact in time.

A stretch is a whole number of *cycles* of a fixed, even number of samples, about one period of the fundamental each.
Its samples are fitted once with an offset, the fundamental and its harmonics at the frequency the signal has
(`cycle_table`, `fit_cycles`: a product with even and one with odd functions); the fundamental is then followed from
cycle to cycle by what that leaves over. Power is the mean product of these (`powers`), each channel turned to the same
instant.

Rules of this file. All samples weigh the same, so that stretches laid end to end count each sample once. The offset of
a converter and wide-band noise are in no product. Since power is taken from phasors it has no ripple of twice the
frequency: a stretch need not be a whole number of periods.
"""

from dataclasses import dataclass

import numpy as np

from algorithms.waveform.phasor import Complexes, Floats

HIGHEST_HARMONIC = 40
HIGHEST_SHARE = 0.45
"""Harmonics reach up to this share of the sampling rate [1]."""


@dataclass(frozen=True, slots=True, eq=False)
class CycleTable:
    """
    Everything about a stretch and a frequency that does not depend on samples.

    Attributes
    ----------
    n_cycles, cycle : int
        Cycles, and samples in each (even).
    frequency : float
        Of the model [cycles per sample].
    n_harmonics : int
    even, odd : numpy.ndarray
        Orthonormal functions for the folded samples, shapes (half, n_harmonics + 3) and (half, n_harmonics + 2).
    even_solution, odd_solution : numpy.ndarray
        Turn projections into coefficients.
    demodulator : numpy.ndarray
        Two columns (cycle, 2) that turn the samples of one cycle into its phasor.
    turns : numpy.ndarray
        Of each cycle against the middle of the stretch (n_cycles,).
    times : numpy.ndarray
        Powers 0 to 2 of the middle of each cycle (3, n_cycles) [half stretches].
    even_cycles, odd_cycles : numpy.ndarray
        Phasor of each cycle that a projection stands for, (n_harmonics + 3, n_cycles) and (n_harmonics + 2, n_cycles).
    """

    n_cycles: int
    cycle: int
    frequency: float
    n_harmonics: int
    even: Floats
    odd: Floats
    even_solution: Floats
    odd_solution: Floats
    demodulator: Floats
    turns: Complexes
    times: Floats
    even_cycles: Complexes
    odd_cycles: Complexes


@dataclass(frozen=True, slots=True, eq=False)
class CycleFit:
    """
    What a stretch consists of, referred to its middle.

    Attributes
    ----------
    fundamental : numpy.ndarray
        Peak phasor of the fundamental and its two Taylor coefficients (3, n_channels) [unit of the samples].
    moving : numpy.ndarray
        What the model leaves over at the fundamental in each cycle (n_channels, n_cycles), peak.
    harmonics : numpy.ndarray
        Peak phasors of harmonics from the second on (n_harmonics - 1, n_channels).
    offset : numpy.ndarray
        Constant part (n_channels,).
    noise : numpy.ndarray
        Variance per sample of what is left over (n_channels,).
    """

    fundamental: Complexes
    moving: Complexes
    harmonics: Complexes
    offset: Floats
    noise: Floats


@dataclass(frozen=True, slots=True, eq=False)
class PhasePowers:
    """
    Mean powers of pairs of channels over a stretch.

    Attributes
    ----------
    p, q, s : numpy.ndarray
        Active power with harmonics, reactive power of the fundamental, apparent power with harmonics (n,) [W, var, VA].
    variance : numpy.ndarray
        Of p, and of q, from noise alone (n,) [W^2].
    current : numpy.ndarray
        RMS of the current's fundamental (n,) [A].
    """

    p: Floats
    q: Floats
    s: Floats
    variance: Floats
    current: Floats


def cycle_table(n_cycles: int, cycle: int, frequency: float) -> CycleTable:
    r"""
    Prepare the fit of a stretch.

    Parameters
    ----------
    n_cycles : int
        At least 2.
    cycle : int
        Samples per cycle: even, and about a period.
    frequency : float
        [cycles per sample]

    Returns
    -------
    CycleTable

    Raises
    ------
    ValueError
        When a cycle has an odd number of samples, is too short, or the stretch is.

    Notes
    -----
    Least squares with equal weights of

    .. math:: c + \Re\Big[(p_0 + p_1 \tau + p_2 \tau^2) e^{j \omega n} + \sum_{h \ge 2} q_h e^{j h \omega n}\Big]

    with n counted from the middle of the stretch, which falls between two samples, so that even and odd functions
    separate, and :math:`\tau = n / half`. The powers of time absorb what a frequency that is off or moves does within
    the stretch; without them its image would leave a ripple in the power.
    """
    n_harmonics = min(HIGHEST_HARMONIC, int(HIGHEST_SHARE / frequency))
    if n_cycles < 2 or cycle % 2 or cycle < 8 or n_harmonics < 1:
        raise ValueError(
            "two cycles or more of an even number of samples, at least 8, expected, "
            f"found {n_cycles} of {cycle} at {frequency:g} cycles per sample"
        )
    half = n_cycles * cycle // 2
    n = np.arange(half) + 0.5
    tau = n / half
    turns = np.exp(2j * np.pi * frequency * n)
    harmonics = np.multiply.accumulate(np.broadcast_to(turns, (n_harmonics, half)), axis=0)
    c, s = turns.real, turns.imag
    even_functions = np.vstack([np.ones(half), harmonics[1:].real, c, -tau * s, tau**2 * c])
    odd_functions = np.vstack([-harmonics[1:].imag, -s, tau * c, -(tau**2) * s])
    demodulator = (2.0 / cycle) * np.exp(-2j * np.pi * frequency * np.arange(cycle))
    starts = cycle * np.arange(n_cycles) - half + 0.5
    cycle_turns = np.exp(-2j * np.pi * frequency * starts)
    parts = []
    for functions, mirror in ((even_functions, 1.0), (odd_functions, -1.0)):
        inverse = np.linalg.inv(np.linalg.cholesky(2.0 * functions @ functions.T))
        orthonormal = inverse @ functions
        whole = np.concatenate([mirror * orthonormal[:, ::-1], orthonormal], axis=1)
        shown = (whole.reshape(-1, n_cycles, cycle) @ demodulator) * cycle_turns
        parts.append((np.ascontiguousarray(orthonormal.T), inverse, shown))
    middles = (2.0 * np.arange(n_cycles) + 1.0) / n_cycles - 1.0
    return CycleTable(
        n_cycles=n_cycles,
        cycle=cycle,
        frequency=frequency,
        n_harmonics=n_harmonics,
        even=parts[0][0],
        odd=parts[1][0],
        even_solution=parts[0][1],
        odd_solution=parts[1][1],
        demodulator=np.stack([demodulator.real, demodulator.imag], axis=1),
        turns=cycle_turns,
        times=middles ** np.arange(3.0)[:, None],
        even_cycles=parts[0][2],
        odd_cycles=parts[1][2],
    )


def fit_cycles(table: CycleTable, samples: Floats) -> CycleFit:
    """
    Fit a stretch of all channels.

    Parameters
    ----------
    table : CycleTable
    samples : numpy.ndarray
        Shape (n_channels, n_cycles * cycle), float64.

    Returns
    -------
    CycleFit
    """
    n_channels, count = samples.shape
    half = count // 2
    right, left = samples[:, half:], samples[:, half - 1 :: -1]
    even = (right + left) @ table.even
    odd = (right - left) @ table.odd
    in_phase = even @ table.even_solution
    quadrature = odd @ table.odd_solution
    last = table.n_harmonics - 1
    harmonics = np.empty((last, n_channels), dtype=np.complex128)
    harmonics.real = in_phase[:, 1 : last + 1].T
    harmonics.imag = quadrature[:, :last].T
    fundamental = np.empty((3, n_channels), dtype=np.complex128)
    fundamental.real[::2] = in_phase[:, last + 1 :: 2].T
    fundamental.imag[1] = in_phase[:, last + 2]
    fundamental.imag[::2] = quadrature[:, last::2].T
    fundamental.real[1] = quadrature[:, last + 1]
    moving = (samples.reshape(-1, table.cycle) @ table.demodulator).view(np.complex128)
    moving = moving.reshape(n_channels, table.n_cycles) * table.turns
    moving -= even @ table.even_cycles
    moving -= odd @ table.odd_cycles
    energy = np.einsum("ij,ij->i", samples, samples)
    energy -= np.einsum("ij,ij->i", even, even) + np.einsum("ij,ij->i", odd, odd)
    energy -= (0.5 * table.cycle) * _squared(moving).sum(axis=1)
    freedom = count - 2 * table.n_harmonics - 5 - 2 * table.n_cycles
    return CycleFit(fundamental, moving, harmonics, in_phase[:, 0], np.maximum(energy, 0.0) / max(freedom, 1))


def frequency_of(table: CycleTable, fit: CycleFit, rows: np.ndarray) -> float:
    """
    Return the frequency of the fundamental, from its turn from cycle to cycle in these channels [cycles per sample].

    Good to a hundredth of a millihertz in a steady signal of a 12-bit converter; followed over a quarter of the
    model's own frequency to either side.
    """
    seen = fit.fundamental[:, rows].T @ table.times + fit.moving[rows]
    turned = complex(np.vdot(seen[:, :-1], seen[:, 1:]))
    return table.frequency + float(np.angle(turned)) / (2 * np.pi * table.cycle)


def powers(table: CycleTable, fit: CycleFit, v: np.ndarray, i: np.ndarray, lead: Floats) -> PhasePowers:
    r"""
    Return the powers of pairs of channels.

    Parameters
    ----------
    table, fit
        A stretch and its fit.
    v, i : numpy.ndarray
        Channels of the voltages and of their currents (n,).
    lead : numpy.ndarray
        Time by which the voltage is sampled after the current, as a part of the fundamental's period, (n,) [rad].

    Returns
    -------
    PhasePowers

    Notes
    -----
    .. math:: P = \tfrac12 \Re \Big[S_1 + \sum_{h \ge 2} V_h I_h^* e^{-jh\lambda}\Big], \quad
              Q = \tfrac12 \Im S_1, \quad
              S_1 = \big(\overline{V(\tau) I^*(\tau)} + \overline{\delta V_c\, \delta I_c^*}\big) e^{-j\lambda}

    with the mean of the model's polynomials over the stretch and that of what is left over in the cycles c; cross terms
    vanish, since what least squares leave over is at right angles to the model (IEEE Std 1459-2010, 3.1.2). Turning harmonic h by h times the angle is exact. Noise of
    two channels is independent, so it is in no mean of a product; RMS values are freed of the noise that the fitted
    lines carry. The variance is :math:`(V^2 \sigma_i^2 + I^2 \sigma_v^2) / N`.
    """
    turn = np.exp(-1j * lead)
    turns = np.multiply.accumulate(np.broadcast_to(turn, (table.n_harmonics, turn.size)), axis=0)
    means = _mean_product(fit.fundamental[:, v], fit.fundamental[:, i])
    means += np.einsum("ij,ij->i", fit.moving[v], fit.moving[i].conj()) / table.n_cycles
    first = 0.5 * turn * means
    others = (0.5 * fit.harmonics[:, v] * fit.harmonics[:, i].conj() * turns[1:]).real.sum(axis=0)
    count = table.n_cycles * table.cycle
    carried = fit.noise * ((2 * table.n_harmonics + 2 * table.n_cycles - 2) / count)
    main = rms_of_fundamental(fit) ** 2
    squares = np.maximum(main + 0.5 * _squared(fit.harmonics).sum(axis=0) - carried, 0.0)
    return PhasePowers(
        p=first.real + others,
        q=first.imag,
        s=np.sqrt(squares[v] * squares[i]),
        variance=(squares[v] * fit.noise[i] + squares[i] * fit.noise[v]) / count,
        current=np.sqrt(main[i]),
    )


def rms_of_fundamental(fit: CycleFit) -> Floats:
    """Return the RMS of every channel's fundamental over the stretch (n_channels,) [V or A]."""
    square = _mean_product(fit.fundamental, fit.fundamental).real + _squared(fit.moving).mean(axis=1)
    rms: Floats = np.sqrt(0.5 * square)
    return rms


def _mean_product(x: Complexes, y: Complexes) -> Complexes:
    """Return the mean of the product of two sets of polynomials (3, n) over -1 to 1, the second conjugated."""
    y = y.conj()
    product: Complexes = x[0] * y[0] + (x[0] * y[2] + x[2] * y[0] + x[1] * y[1]) / 3.0 + x[2] * y[2] / 5.0
    return product


def _squared(values: Complexes) -> Floats:
    squares: Floats = np.square(values.real) + np.square(values.imag)
    return squares
