"""
Powers of a stretch of samples for counting energy: cheap, without gaps between stretches, exact in time.

A stretch is a whole number of *cycles* of a fixed, even number of samples, about one period of the fundamental each.
Its samples are fitted once with an offset, the fundamental and its harmonics at the frequency the signal has
(`cycle_table`, `fit_cycles`: products with even and with odd functions); what that leaves over is followed from cycle
to cycle. Power is the mean product of the samples, corrected by what the fit knows (`powers`).

Rules of this file. All samples weigh the same, so that stretches laid end to end count each sample once. The offset of
a converter and wide-band noise are in no product. Neither is the ripple of twice the frequency, so a stretch need not
be a whole number of periods.
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
    even_ripple, odd_ripple : numpy.ndarray
        Quadratic forms in the coefficients: what the mean of a product has because the stretch is no whole number of
        periods, and because of offsets.
    demodulator : numpy.ndarray
        Two columns (cycle, 2) that turn the samples of one cycle into its phasor.
    turns : numpy.ndarray
        Of each cycle against the middle of the stretch (n_cycles,).
    times : numpy.ndarray
        Powers 0 to 2 of the middle of each cycle (3, n_cycles) [half stretches].
    """

    n_cycles: int
    cycle: int
    frequency: float
    n_harmonics: int
    even: Floats
    odd: Floats
    even_solution: Floats
    odd_solution: Floats
    even_ripple: Floats
    odd_ripple: Floats
    demodulator: Floats
    turns: Complexes
    times: Floats


@dataclass(frozen=True, slots=True, eq=False)
class CycleFit:
    """
    What a stretch consists of, referred to its middle.

    Attributes
    ----------
    samples : numpy.ndarray
        As given (n_channels, n_samples).
    in_phase, quadrature : numpy.ndarray
        Coefficients of the even and the odd functions (n_channels, n_even), (n_channels, n_odd).
    fundamental : numpy.ndarray
        Peak phasor of the fundamental and its two Taylor coefficients (3, n_channels) [unit of the samples].
    harmonics : numpy.ndarray
        Peak phasors of harmonics from the second on (n_harmonics - 1, n_channels).
    rest : numpy.ndarray
        What the model leaves over (n_channels, n_samples).
    moving : numpy.ndarray
        The phasor of that in each cycle (n_channels, n_cycles), peak.
    noise : numpy.ndarray
        Variance per sample of what is not the fundamental in it either (n_channels,).
    """

    samples: Floats
    in_phase: Floats
    quadrature: Floats
    fundamental: Complexes
    harmonics: Complexes
    rest: Floats
    moving: Complexes
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
    for functions, lines in ((even_functions, slice(1, -2)), (odd_functions, slice(0, -2))):
        products = 2.0 * functions @ functions.T
        inverse = np.linalg.inv(np.linalg.cholesky(products))
        ripple = products / (2 * half)
        ripple[-2:, :] = ripple[:, -2:] = 0.0
        each = np.arange(len(functions))[lines]
        ripple[each, each] -= 0.5
        parts.append((np.ascontiguousarray((inverse @ functions).T), inverse, ripple))
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
        even_ripple=parts[0][2],
        odd_ripple=parts[1][2],
        demodulator=np.stack([demodulator.real, demodulator.imag], axis=1),
        turns=cycle_turns,
        times=middles ** np.arange(3.0)[:, None],
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
    common, opposite = even @ table.even.T, odd @ table.odd.T
    rest = np.empty_like(samples)
    np.subtract(right, common + opposite, out=rest[:, half:])
    np.subtract(left, common - opposite, out=rest[:, half - 1 :: -1])
    moving = (rest.reshape(-1, table.cycle) @ table.demodulator).view(np.complex128)
    moving = moving.reshape(n_channels, table.n_cycles) * table.turns
    energy = np.einsum("ij,ij->i", rest, rest) - (0.5 * table.cycle) * _squared(moving).sum(axis=1)
    noise = np.maximum(energy, 0.0) / max(count - 2 * table.n_harmonics - 5 - 2 * table.n_cycles, 1)
    return CycleFit(samples, in_phase, quadrature, fundamental, harmonics, rest, moving, noise)


def frequency_of(table: CycleTable, fit: CycleFit, rows: np.ndarray) -> float:
    """
    Return the frequency of the fundamental, from its turn from cycle to cycle in these channels [cycles per sample].

    Good to a hundredth of a millihertz in a steady signal of a 12-bit converter; followed over a quarter of the
    model's own frequency to either side.
    """
    seen = fit.fundamental[:, rows].T @ table.times + fit.moving[rows]
    turned = complex(np.vdot(seen[:, :-1], seen[:, 1:]))
    return table.frequency + float(np.angle(turned)) / (2 * np.pi * table.cycle)


def powers(
    table: CycleTable, fit: CycleFit, *, v: np.ndarray, i: np.ndarray, lead: Floats, frequency: float
) -> PhasePowers:
    r"""
    Return the powers of pairs of channels.

    Parameters
    ----------
    table, fit
        A stretch and its fit.
    v, i : numpy.ndarray
        Channels of the voltages and of their currents (n,).
    lead : numpy.ndarray
        By how much the fundamental turns from the sampling of the current to that of the voltage (n,) [rad].
    frequency : float
        That `frequency_of` found [cycles per sample].

    Returns
    -------
    PhasePowers

    Notes
    -----
    Active power is the mean product of the samples, less what does not belong to it, and with every line turned:

    .. math:: P = \overline{v i} - D - R + \tfrac12 \Re \Big[S_1 (e^{-j\lambda} - 1) +
              \sum_{h \ge 2} V_h I_h^* (e^{-jh\lambda} - 1)\Big], \qquad Q = \tfrac12 \Im [S_1 e^{-j\lambda}]

    (IEEE Std 1459-2010, 3.1.2). D, from the coefficients, is the product of the offsets and what lines have because the
    stretch ends within a period: it would come back with the next; a frequency beside the model's is allowed for in
    the products with the fundamental. R is the power of white noise that both channels have in common: of what is left
    over it is the mean product at the same sample less the one continued to there from one and two samples apart,
    (4 R(1) - R(2)) / 3. :math:`S_1` is the mean of the fundamental's polynomials with that of the cycles' own phasors.
    Turning harmonic h by h times the angle is exact. RMS values are freed of the noise that the lines carry. The
    variance is :math:`(V^2 \sigma_i^2 + I^2 \sigma_v^2) / N`.
    """
    count = table.n_cycles * table.cycle
    turn = np.exp(-1j * lead)
    turns = np.multiply.accumulate(np.broadcast_to(turn, (table.n_harmonics, turn.size)), axis=0)
    first = _mean_product(fit.fundamental[:, v], fit.fundamental[:, i])
    first += np.einsum("ij,ij->i", fit.moving[v], fit.moving[i].conj()) / table.n_cycles
    turned = first * (turn - 1.0) + (fit.harmonics[:, v] * fit.harmonics[:, i].conj() * (turns[1:] - 1.0)).sum(axis=0)
    product = np.einsum("ij,ij->i", fit.samples[v], fit.samples[i]) / count
    product -= np.einsum("ij,ij->i", fit.in_phase[v] @ table.even_ripple, fit.in_phase[i])
    product -= np.einsum("ij,ij->i", fit.quadrature[v] @ table.odd_ripple, fit.quadrature[i])
    product -= _ripple(table, _lines(fit, v), _lines(fit, i), frequency)
    rest_v, rest_i = fit.rest[v], fit.rest[i]
    product -= np.einsum("ij,ij->i", rest_v, rest_i) / count
    product += (4.0 * _beside(rest_v, rest_i, 1) - _beside(rest_v, rest_i, 2)) / 3.0
    carried = fit.noise * ((2 * table.n_harmonics + 2 * table.n_cycles - 2) / count)
    main = rms_of_fundamental(fit) ** 2
    squares = np.maximum(main + 0.5 * _squared(fit.harmonics).sum(axis=0) - carried, 0.0)
    return PhasePowers(
        p=product + 0.5 * turned.real,
        q=0.5 * (first * turn).imag,
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


def _lines(fit: CycleFit, rows: np.ndarray) -> Complexes:
    """Return fundamental and harmonics of channels (n_harmonics, n)."""
    return np.concatenate([fit.fundamental[:1, rows], fit.harmonics[:, rows]])


def _ripple(table: CycleTable, x: Complexes, y: Complexes, frequency: float) -> Floats:
    """Return what the mean products of the fundamental with lines have at a frequency more than at the model's."""
    count = table.n_cycles * table.cycle
    orders = np.arange(table.n_harmonics) + 2.0  # of a line and the fundamental together: h + 1
    angles = np.pi * np.multiply.outer([frequency, table.frequency], np.concatenate([orders, orders - 2.0]))
    angles[:, table.n_harmonics] = 1.0  # the fundamental with itself: its power, no ripple
    kernel = np.sin(count * angles) / (count * np.sin(angles))
    above, below = np.split(kernel[0] - kernel[1], 2)
    below[0] = 0.0
    with_sum = x[0] * (above @ y) + (above[1:] @ x[1:]) * y[0]
    with_difference = x[0].conj() * (below @ y) + (below[1:] @ x[1:]) * y[0].conj()
    ripple: Floats = 0.5 * (with_sum + with_difference).real
    return ripple


def _beside(x: Floats, y: Floats, lag: int) -> Floats:
    """Return the mean product of rows of samples `lag` apart, either way."""
    sums = np.einsum("ij,ij->i", x[:, lag:], y[:, :-lag]) + np.einsum("ij,ij->i", x[:, :-lag], y[:, lag:])
    mean: Floats = sums / (2 * (x.shape[1] - lag))
    return mean


def _squared(values: Complexes) -> Floats:
    squares: Floats = np.square(values.real) + np.square(values.imag)
    return squares
