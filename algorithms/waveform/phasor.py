"""
The phasor model of a window of samples: Taylor-Fourier weighted least squares on a table made once per frequency.

Samples come in as one window (n_channels, 2 half + 1) around a middle sample; out come the fundamental with its first
two derivatives, the harmonics, the offset and what the model leaves over. The frequency of the model is given: finding
it is the business of `frequency`, following it that of `tracking`.

Rules of this file. Time is counted from the middle of the window in units of half a window, frequency in cycles per
sample, so that a table serves every sampling rate. The window is symmetric about its middle sample, which splits the
problem in two of half the size: even functions see x(n) + x(-n), odd ones x(n) - x(-n).

Arrays carry samples and harmonics. What is left for each channel, a phasor with its two derivatives, is plain numbers
in the rest of this package: for six channels a dozen calls on arrays of six cost five times the arithmetic, and more
where a processor wakes up for one frame and sleeps again.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ORDER = 2
"""Order of the Taylor polynomial: value, first and second derivative of the phasor."""
ROUNDED = 0.05
"""Share of each half window over which its end is rounded off [1]."""

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]
Taylor = tuple[complex, complex, complex]
"""One channel's phasor and Taylor coefficients p_0, p_1, p_2."""


@dataclass(frozen=True, slots=True, eq=False)
class TaylorFourierTable:
    """
    Everything about a window and a frequency that does not depend on samples.

    Attributes
    ----------
    half : int
        Samples on either side of the middle one.
    frequency : float
        Frequency of the model [cycles per sample].
    n_harmonics : int
        Highest harmonic in the model.
    even, odd : numpy.ndarray
        Weighted orthonormal functions for the folded samples, shapes (half + 1, n_even) and (half + 1, n_odd).
    solution : numpy.ndarray
        Turns projections, even ones first, into coefficients (n_even + n_odd, 2 n_harmonics + 6): real and imaginary
        parts in turn of harmonics 2, 3, ... and of p_0, p_1, p_2, then the offset and a zero.
    weights : numpy.ndarray
        Squared window (2 half + 1,) [1].
    spread : float
        Mean of the squared time under `weights` [1].
    degrees_of_freedom : float
        Expected weighted residual for white noise of unit variance [1].
    covariance : numpy.ndarray
        Of the value and its two derivatives, one Cartesian component each, for white noise of unit variance and
        averaged over the phase angle, shape (3, 3). Value and second derivative are correlated; the first with neither.
    variances : tuple of float
        Its diagonal, as plain numbers for what runs with every frame.
    mean_variance : float
        The same for the mean of the model under `weights` [1].
    damping : float
        How much of the second derivative a damped value takes in [half windows squared].
    damped_variance : float
        As `covariance`, of the damped value p_0 + damping p_2 [1].
    """

    half: int
    frequency: float
    n_harmonics: int
    even: Floats
    odd: Floats
    solution: Floats
    weights: Floats
    spread: float
    degrees_of_freedom: float
    covariance: Floats
    variances: tuple[float, float, float]
    mean_variance: float
    damping: float
    damped_variance: float


@dataclass(frozen=True, slots=True, eq=False)
class TaylorFourierFit:
    """
    What the model says of a window, at its middle sample.

    Attributes
    ----------
    phasors : list of list of complex
        Of each channel the peak value and its derivatives p_0, p_1, p_2 per half window [unit of the samples]:
        x(t) = Re[(p_0 + p_1 t + p_2 t^2) exp(2 pi j f t)].
    harmonics : numpy.ndarray
        Peak phasors of harmonics 2, 3, ..., shape (n_channels, n_harmonics - 1).
    offset : numpy.ndarray
        Constant part (n_channels,).
    noise : list of float
        Variance per sample of what is left over (n_channels,), 0 or more.
    """

    phasors: list[list[complex]]
    harmonics: Complexes
    offset: Floats
    noise: list[float]


def window_shape(half: int, beta: float) -> Floats:
    """
    Return a Kaiser window of 2 half + 1 samples with its ends rounded off [1].

    A blunt Kaiser window ends on a pedestal, and what stands far above the model, such as harmonic 31 of a short
    window, leaks over that edge into the second derivative. A quarter of a cosine over the last twentieth takes
    nine tenths of it away and costs 3 % of noise. The ends stay above 0.
    """
    edge = (np.abs(np.arange(-half, half + 1)) / (half + 1) - (1.0 - ROUNDED)) / ROUNDED
    return np.kaiser(2 * half + 1, beta) * np.cos(0.5 * np.pi * np.maximum(edge, 0.0))


def taylor_fourier_table(
    window: Floats, frequency: float, n_harmonics: int, damping: float = 0.0
) -> TaylorFourierTable:
    r"""
    Prepare the weighted least-squares fit of a window.

    Parameters
    ----------
    window : numpy.ndarray
        Symmetric about its middle sample (2 half + 1,), such as of `window_shape` [1].
    frequency : float
        [cycles per sample]
    n_harmonics : int
        Highest harmonic in the model, 1 for none but the fundamental; must stay below half the sampling rate.
    damping : float
        From 0, the value at the middle, to 1, the mean over the window [1].

    Returns
    -------
    TaylorFourierTable

    Raises
    ------
    ValueError
        When the window holds fewer samples than the model has coefficients, or a harmonic lies beyond half the
        sampling rate.

    Notes
    -----
    The model is, with :math:`\tau = n / half`,

    .. math:: x(\tau) = c + \Re\Big[\sum_{k=0}^{2} p_k \tau^k e^{j \omega \tau} +
              \sum_{h=2}^{H} q_h e^{j h \omega \tau}\Big]

    weighted with the squared window. A frequency that is off by d leaves the third-order term
    (2 pi d T)^3 / 6 of a half window T; derivatives up to the second cost the value nothing.

    The value overshoots a step by 4 to 8 %, as every fit of a parabola does, and the part of the second derivative
    that belongs to the mean, damping :math:`\overline{\tau^2} p_2`, takes that away together with noise. In return a
    share of curvature is lost: at 0.3 and three cycles of 50 Hz, 0.06 % of the value at a swing of 10 % at 2 Hz and
    0.02 % at a ramp of 1 Hz/s.

    After J. A. de la O Serna, "Dynamic phasor estimates for power system oscillations", IEEE Trans. Instrum. Meas.
    56(5), 2007, doi 10.1109/TIM.2007.904546, with harmonics as in M. A. Platas-Garza and J. A. de la O Serna, "Dynamic
    harmonic analysis through Taylor-Fourier transform", ibid. 60(3), 2011, doi 10.1109/TIM.2010.2064690.
    """
    if not 0 < frequency * n_harmonics < 0.5:
        raise ValueError(
            f"harmonics below half the sampling rate expected, found {n_harmonics} of {frequency:g} cycles"
        )
    if window.size < 2 * n_harmonics + 6:
        raise ValueError(f"at least {2 * n_harmonics + 6} samples expected in a window, found {window.size}")
    half = window.size // 2
    tau = np.arange(half + 1) / half
    weights = np.square(window)
    right = weights[half:]
    twice = np.full(half + 1, 2.0)  # each folded sample stands for two, the middle one for itself
    twice[0] = 1.0
    turns = np.exp(2j * np.pi * frequency * np.arange(half + 1))
    harmonics = np.multiply.accumulate(np.broadcast_to(turns, (n_harmonics, half + 1)), axis=0)[1:]
    c, s = turns.real, turns.imag
    even = np.vstack([harmonics.real, np.ones(half + 1), c, -tau * s, tau**2 * c])
    odd = np.vstack([-harmonics.imag, -s, tau * c, -(tau**2) * s])
    row = np.sqrt(twice * right)
    freedom = float(weights.sum())
    parts = []
    for functions in (even * row, odd * row):
        lower = np.linalg.cholesky(functions @ functions.T)
        inverse = np.linalg.inv(lower)  # orthonormal functions are inverse @ functions: condition 1e2, squared 1e4
        orthonormal = (inverse @ functions).T
        freedom -= float(right @ np.square(orthonormal).sum(axis=1))
        effect = orthonormal @ inverse[:, -3:]
        orthonormal *= (0.5 * row)[:, None]
        parts.append((orthonormal, inverse, (effect.T * right) @ effect))
    last = n_harmonics - 1
    n_even, n_odd = last + 4, last + 3
    coefficient = 2 * np.arange(last)  # of harmonics 2, 3, ...: where their real parts stand
    solution = np.zeros((n_even + n_odd, 2 * last + 8))
    solution[:n_even, [*coefficient, 2 * last + 6, 2 * last, 2 * last + 3, 2 * last + 4]] = parts[0][1]
    solution[n_even:, [*coefficient + 1, 2 * last + 1, 2 * last + 2, 2 * last + 5]] = parts[1][1]
    full = np.arange(-half, half + 1) / half
    spread = float(weights @ full**2 / weights.sum())
    covariance = 0.5 * (parts[0][2] + parts[1][2])
    to_mean = np.array([1.0, 0.0, spread])
    to_damped = np.array([1.0, 0.0, damping * spread])
    return TaylorFourierTable(
        half=half,
        frequency=frequency,
        n_harmonics=n_harmonics,
        even=parts[0][0],
        odd=parts[1][0],
        solution=solution,
        weights=weights,
        spread=spread,
        degrees_of_freedom=freedom,
        covariance=covariance,
        variances=(float(covariance[0, 0]), float(covariance[1, 1]), float(covariance[2, 2])),
        mean_variance=float(to_mean @ covariance @ to_mean),
        damping=damping * spread,
        damped_variance=float(to_damped @ covariance @ to_damped),
    )


def fit_window(table: TaylorFourierTable, window: Floats) -> TaylorFourierFit:
    """
    Fit the model to one window of all channels.

    Parameters
    ----------
    table : TaylorFourierTable
    window : numpy.ndarray
        Shape (n_channels, 2 half + 1), the middle sample at `half`.

    Returns
    -------
    TaylorFourierFit

    Notes
    -----
    The weighted residual is the weighted energy less that of the projections on orthonormal functions. Its relative
    rounding error is about 1e-15, so noise is seen down to some 1e-7 of the signal.
    """
    half = table.half
    right, left = window[:, half:], window[:, half::-1]
    n_even, total = table.even.shape[1], table.solution.shape[0]
    projections = np.empty((window.shape[0], total))
    np.matmul(right + left, table.even, out=projections[:, :n_even])
    np.matmul(right - left, table.odd, out=projections[:, n_even:])
    energy = np.einsum("ij,ij,j->i", window, window, table.weights).tolist()
    explained = np.einsum("ij,ij->i", projections, projections).tolist()
    freedom = table.degrees_of_freedom
    noise = [max(whole - part, 0.0) / freedom for whole, part in zip(energy, explained, strict=True)]
    coefficients = (projections @ table.solution).view(np.complex128)
    last = table.n_harmonics - 1
    return TaylorFourierFit(
        coefficients[:, last : last + 3].tolist(), coefficients[:, :last], coefficients[:, last + 3].real, noise
    )
