"""
Analogue filters on sampled signals, advanced by a block at a time: two matrix products, without a loop over samples.

Made once by `block_filter` for a sampling step and a length of block; whoever uses it keeps the state. Pure.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from algorithms.waveform.phasor import Floats


@dataclass(frozen=True, slots=True, eq=False)
class BlockFilter:
    """
    A linear system, advanced by a block of samples at once: y = seen x + through u, x' = kept x + entered u.

    Attributes
    ----------
    seen : numpy.ndarray
        (n, n_states)
    through : numpy.ndarray
        (n, n), lower triangular.
    kept : numpy.ndarray
        (n_states, n_states)
    entered : numpy.ndarray
        (n_states, n)
    rest : numpy.ndarray
        State after a constant input of 1 for ever (n_states,).
    """

    seen: Floats
    through: Floats
    kept: Floats
    entered: Floats
    rest: Floats


def block_filter(sections: Sequence[tuple[Sequence[float], Sequence[float]]], step: float, n: int) -> BlockFilter:
    r"""
    Make a chain of analogue filters work on blocks of samples.

    Parameters
    ----------
    sections : sequence
        Numerator and denominator of each section in falling powers of s, the last coefficient of either being
        that of :math:`s^0`; numerators no longer than denominators.
    step : float
        Between samples [s].
    n : int
        Samples in a block.

    Notes
    -----
    The system is sampled exactly for an input that is linear between samples (first-order hold): with the input and its
    slope as further states, one matrix exponential gives the transition.
    """
    A, B, C, D = np.zeros((0, 0)), np.zeros((0, 1)), np.zeros((1, 0)), np.ones((1, 1))
    for numerator, denominator in sections:
        order = len(denominator) - 1
        a = np.array(denominator[1:], dtype=float) / denominator[0]
        b = np.zeros(order + 1)
        b[order + 1 - len(numerator) :] = np.array(numerator, dtype=float) / denominator[0]
        own = np.eye(order, k=1)
        own[-1] = -a[::-1]
        enters = np.zeros((order, 1))
        enters[-1] = 1.0
        leaves = (b[1:] - b[0] * a)[::-1][None]
        A = np.block([[A, np.zeros((A.shape[0], order))], [enters @ C, own]])
        B = np.vstack([B, enters @ D])
        C, D = np.hstack([b[0] * C, leaves]), b[0] * D
    states = A.shape[0]
    whole = np.zeros((states + 2, states + 2))
    whole[:states, :states], whole[:states, states : states + 1] = A * step, B * step
    whole[states, states + 1] = 1.0
    exact = _exponential(whole)
    F, now, slope = exact[:states, :states], exact[:states, states : states + 1], exact[:states, states + 1 :]
    # x' = F x + (now - slope) u + slope u', with z = x - slope u the next input does not enter at once.
    G = now - slope + F @ slope
    D = D + C @ slope
    powers = np.empty((n + 1, states, states))
    powers[0] = np.eye(states)
    for k in range(n):
        powers[k + 1] = powers[k] @ F
    response = np.concatenate([D.ravel(), (C @ powers[: n - 1] @ G).ravel()])
    lags = np.arange(n)[:, None] - np.arange(n)
    through = np.where(lags >= 0, response[np.maximum(lags, 0)], 0.0)
    entered = (powers[n - 1 :: -1] @ G)[:, :, 0].T
    rest: Floats = np.linalg.solve(np.eye(states) - F, G)[:, 0].astype(float)
    return BlockFilter((C @ powers[:n])[:, 0], through, powers[n], np.ascontiguousarray(entered), rest)


def _exponential(matrix: Floats) -> Floats:
    """Return the matrix exponential, by scaling and squaring."""
    halvings = max(0, math.ceil(math.log2(max(float(np.abs(matrix).sum(axis=1).max()), 1e-9))) + 3)
    small = matrix / 2.0**halvings
    result = term = np.eye(matrix.shape[0])
    for k in range(1, 14):
        term = term @ small / k
        result = result + term
    for _ in range(halvings):
        result = result @ result
    return result
