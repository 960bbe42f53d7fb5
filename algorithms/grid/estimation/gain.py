r"""
How strongly readings pull at the state: the gain of an estimator, made once for a topology, a metering and its sigmas.

Where it stands: `least_squares` steps with it, `estimate` takes uncertainties from it.

With sigma of what is expected beforehand P (diagonal) and of the readings R (diagonal), the readings' sensitivity
relative to both is decomposed,

.. math:: A = R^{-1/2} H P^{1/2} = U\, \mathrm{diag}(s)\, V^T, \quad x = x_0 + P^{1/2} V c,

so that every direction c of the state stands alone: the readings tell of it s squared as much as was known before, and
its posterior variance is 1 / (1 + s squared). The covariance of anything that is J dx is then

.. math:: J P J^T - F\, \mathrm{diag}(s^2 / (1 + s^2))\, F^T, \quad F = J P^{1/2} V.

Rules:

- Small states are decomposed whole. Of large ones, the strongest directions are kept, as many as it takes; of those
  left out readings tell less than `STRONG` squared of what is known already. That estimator is not the best by as
  little, and its covariance as stated is its own, exactly.
- A reading that is not there has an infinite sigma and no say.
- What is not known beforehand has a large sigma (`least_squares`), never an infinite one.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.sparse.linalg import LinearOperator, svds

from algorithms.api.network_tables import Floats
from algorithms.grid.estimation.node_table import NodeTable
from algorithms.grid.estimation.tangent import Tangent

WHOLE = 700
"""Largest state that is decomposed whole [1]."""
DIRECTIONS = 64
"""Directions kept of a larger one."""
CACHED = 50_000
"""Entries of a matrix that the processor's own caches hold [1]."""
STRONG = 0.1
"""Where the weakest direction kept is stronger, more are kept: those left out may tell of the state too."""
WEAKEST = 3e-2
"""Weakest direction worth keeping of a larger one."""


@dataclass(frozen=True, eq=False)
class Gain:
    """
    Directions of the state that readings tell of.

    Attributes
    ----------
    tangent : Tangent
    u_state : numpy.ndarray
        Sigma of what is known beforehand, shape (n,).
    u_readings : numpy.ndarray
        Sigma of the readings, infinite for those that are not there, shape (e,).
    strength : numpy.ndarray
        s, shape (r,).
    left : numpy.ndarray
        U, divided by the sigma of each reading, shape (e, r).
    right : numpy.ndarray
        V, multiplied by the sigma of each entry of the state, shape (n, r).
    shrink : numpy.ndarray
        1 / (1 + s squared), shape (r,).
    step : numpy.ndarray
        From residuals to the change of c, shape (r, e).
    moves : numpy.ndarray
        How emfs, powers of elements and voltages across them change with c, real and imaginary part of each after
        another, shape (2 (3 s + 2 m), r) [V, VA, V].
    """

    tangent: Tangent
    u_state: Floats
    u_readings: Floats
    strength: Floats
    left: Floats
    right: Floats
    shrink: Floats
    step: Floats
    moves: Floats

    @cached_property
    def nodes(self) -> NodeTable:
        """Variances of the voltages of all nodes."""
        return NodeTable(self.tangent, self.u_state, self.right, self.shrink)

    @cached_property
    def u_magnitude(self) -> Floats:
        """Standard uncertainty of voltages from phase to neutral, shape (n_nodes, 3) [V]."""
        return self.nodes.laid_out(self.nodes.variances(angles=False), angles=False)

    @cached_property
    def u_angle(self) -> Floats:
        """Standard uncertainty of their angles, shape (n_nodes, 3) [rad]."""
        return self.nodes.laid_out(self.nodes.variances(angles=True), angles=True)

    def spread(self, loadings: Floats) -> Floats:
        """Give F of J, shape (q, n) -> (q, r)."""
        return loadings @ self.right

    def variance(self, loadings: Floats) -> Floats:
        """Give the variance of J dx for each row of J, shape (q, n) -> (q,)."""
        before = np.einsum("ij,ij->i", loadings * self.u_state, loadings * self.u_state)
        told = self.spread(loadings)
        after: Floats = np.maximum(before - np.einsum("ij,ij,j->i", told, told, 1.0 - self.shrink), 0.0)
        return after

    def weighted(self) -> Floats:
        """Give U, 0 for readings that are not there, shape (e, r)."""
        known = np.where(np.isfinite(self.u_readings), self.u_readings, 0.0)
        return self.left * known[:, np.newaxis]


def make_gain(tangent: Tangent, u_state: Floats, u_readings: Floats) -> Gain:
    """
    Decompose.

    Parameters
    ----------
    tangent : Tangent
    u_state : numpy.ndarray
        Finite, 0 for what is fixed, shape (n,).
    u_readings : numpy.ndarray
        Above 0, infinite for what is not there, shape (e,).
    """
    weight = 1.0 / u_readings
    if tangent.of_seen is not None and len(u_state) <= WHOLE:
        sensitivity = tangent.observation.equations.change(tangent.seen, tangent.of_seen)
        strength, left, right = _whole(weight[:, np.newaxis] * sensitivity * u_state)
    else:
        strength, left, right = _strongest(tangent, u_state, weight)
    shrink = 1.0 / (1.0 + strength**2)
    left, right = left * weight[:, np.newaxis], right * u_state[:, np.newaxis]
    return Gain(
        tangent=tangent,
        u_state=u_state,
        u_readings=u_readings,
        strength=strength,
        left=np.ascontiguousarray(left),
        right=np.ascontiguousarray(right),
        shrink=shrink,
        step=_for_steps((left * (strength * shrink)).T),
        moves=_for_steps(tangent.moves(right)),
    )


def _for_steps(matrix: Floats) -> Floats:
    """
    Make a matrix ready to be read at each step.

    What does not fit the fast caches is kept with half the digits: steps correct each other, so that only their number
    could suffer.
    """
    single = matrix.size > CACHED
    return np.ascontiguousarray(matrix, dtype=np.float32 if single else np.float64)


def _whole(sensitivity: Floats) -> tuple[Floats, Floats, Floats]:
    """Decompose a matrix by the eigenvectors of its smaller square."""
    readings, size = sensitivity.shape
    if not readings or not size:
        return np.zeros(0), np.zeros((readings, 0)), np.zeros((size, 0))
    wide = readings < size
    square = sensitivity @ sensitivity.T if wide else sensitivity.T @ sensitivity
    values, vectors = np.linalg.eigh(square)
    kept = values > 1e-12 + 1e-14 * values[-1]
    strength, vectors = np.sqrt(values[kept]), vectors[:, kept]
    others = (sensitivity.T @ vectors if wide else sensitivity @ vectors) / strength
    return (strength, vectors, others) if wide else (strength, others, vectors)


def _strongest(tangent: Tangent, u_state: Floats, weight: Floats) -> tuple[Floats, Floats, Floats]:
    """Find the strongest directions by products with the sensitivity alone."""
    readings, size = len(weight), len(u_state)

    def forward(vectors: Floats) -> Floats:
        columns = vectors.reshape(size, -1)
        return weight[:, np.newaxis] * tangent.forward(u_state[:, np.newaxis] * columns)

    def adjoint(vectors: Floats) -> Floats:
        columns = vectors.reshape(readings, -1)
        return u_state[:, np.newaxis] * tangent.adjoint(weight[:, np.newaxis] * columns)

    operator = LinearOperator(
        (readings, size), matvec=forward, rmatvec=adjoint, matmat=forward, rmatmat=adjoint, dtype=float
    )
    smaller = min(readings, size)
    count = min(DIRECTIONS, smaller - 1)
    # The same start, so that the same network gives the same numbers.
    start = np.random.default_rng(0).standard_normal(smaller)
    if count < 1 or not np.any(forward(start) if size <= readings else adjoint(start)):
        return np.zeros(0), np.zeros((readings, 0)), np.zeros((size, 0))
    left, strength, right = svds(operator, k=count, v0=start, solver="arpack", tol=1e-6)
    while strength.min() > STRONG and count < smaller - 1:  # flows that are metered tell of a direction each
        count = 4 * count
        if count > smaller // 3:
            return _whole(adjoint(np.eye(readings)).T if readings <= size else forward(np.eye(size)))
        left, strength, right = svds(operator, k=count, v0=start, solver="arpack", tol=1e-6)
    kept = strength > WEAKEST
    return strength[kept], left[:, kept], right[kept].T
