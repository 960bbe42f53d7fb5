r"""
A gain for a scan in which a few meters are silent: worked into the one that is there instead of made anew.

Where it stands: between `gain` and `least_squares`. Where sigmas of k entries of the state grow by
:math:`\Delta` (variance) and readings J are missing, the state gets k more directions, and the matrix whose inverse is
the covariance of all directions becomes

.. math:: M' = \mathrm{diag}(1 + s^2, 1) + W C W^T

with W of 2 k + |J| columns. Its inverse follows by the formula of Woodbury, as do all covariances.

Rules:

- Nothing is approximated: the result is that of a gain made anew, but for the truncation the gain itself has.
- Only sigmas that grow can be worked in; what narrows or comes back needs a gain made anew.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from algorithms.api.network_tables import Complexes, Floats, Integers
from algorithms.grid.estimation.gain import Gain
from algorithms.grid.estimation.tangent import side_by_side


@dataclass(frozen=True, eq=False)
class Patch:
    """
    What changes in a gain.

    Attributes
    ----------
    gain : Gain
    widened : numpy.ndarray
        Entries of the state whose sigma grew, shape (k,).
    added : numpy.ndarray
        Root of what their variances grew by, shape (k,).
    removed : numpy.ndarray
        Readings that are missing, shape (j,).
    pull : numpy.ndarray
        How readings pull at the new directions, divided by their sigma, shape (e, k).
    base : numpy.ndarray
        Variances of the directions before, shape (r + k,).
    across : numpy.ndarray
        Of Woodbury's formula, shape (r + k, q).
    middle : numpy.ndarray
        Of Woodbury's formula, shape (q, q).
    moves : numpy.ndarray
        How emfs, powers and voltages change with the new directions, as in `Gain`, shape (2 (3 s + 2 m), k).
    of_inputs : numpy.ndarray
        How inputs change with them, shape (n_inputs, k).
    """

    gain: Gain
    widened: Integers
    added: Floats
    removed: Integers
    pull: Floats
    base: Floats
    across: Floats
    middle: Floats
    moves: Floats
    of_inputs: Complexes

    def solve(self, gradient: Floats) -> Floats:
        """Apply the inverse of M', shape (r + k,)."""
        direct: Floats = self.base * gradient
        return direct - self.across @ (self.middle @ (self.across.T @ gradient))

    def variance(self, loadings: Floats) -> Floats:
        """Give the variance of J dx for each row of J, shape (q, n) -> (q,)."""
        gain = self.gain
        told = np.concatenate([gain.spread(loadings), loadings[:, self.widened] * self.added], axis=1)
        towards = told @ self.across
        lost = np.einsum("ij,jk,ik->i", towards, self.middle, towards)
        wide = np.einsum("ij,ij->i", told[:, len(gain.strength) :], told[:, len(gain.strength) :])
        after: Floats = np.maximum(gain.variance(loadings) + wide - lost, 0.0)
        return after

    @cached_property
    def u_magnitude(self) -> Floats:
        """Standard uncertainty of voltages from phase to neutral, shape (n_nodes, 3) [V]."""
        return self._of_nodes(angles=False)

    @cached_property
    def u_angle(self) -> Floats:
        """Standard uncertainty of their angles, shape (n_nodes, 3) [rad]."""
        return self._of_nodes(angles=True)

    def _of_nodes(self, *, angles: bool) -> Floats:
        nodes, directions = self.gain.nodes, len(self.gain.strength)
        more = nodes.projected(self.of_inputs, angles=angles)
        towards = nodes.spread(angles=angles) @ self.across[:directions] + more @ self.across[directions:]
        lost = np.einsum("ij,ij->i", towards @ self.middle, towards)
        variances = nodes.variances(angles=angles) + np.einsum("ij,ij->i", more, more) - lost
        return nodes.laid_out(np.maximum(variances, 0.0), angles=angles)

    def fits(self, widened: Integers, added: Floats, removed: Integers) -> bool:
        """Tell whether it is what is asked for."""
        return (
            np.array_equal(widened, self.widened)
            and np.array_equal(removed, self.removed)
            and bool(np.allclose(added, self.added, rtol=1e-3))
        )


def make_patch(gain: Gain, widened: Integers, added: Floats, removed: Integers) -> Patch:
    """Work grown sigmas and missing readings into a gain."""
    strength, directions, more = gain.strength, len(gain.strength), len(widened)
    tangent, weight = gain.tangent, 1.0 / gain.u_readings
    of_inputs, of_seen = tangent.columns(widened, added)
    pull = weight[:, np.newaxis] * tangent.observation.equations.change(tangent.seen, of_seen)
    pull[removed] = 0.0
    known = np.where(np.isfinite(gain.u_readings), gain.u_readings, 0.0)
    square = pull.T @ pull
    columns = np.zeros((directions + more, 2 * more + len(removed)))
    columns[:directions, :more] = strength[:, np.newaxis] * (gain.left.T @ (known[:, np.newaxis] * pull))
    columns[directions:, more : 2 * more] = np.eye(more)
    columns[:directions, 2 * more :] = strength[:, np.newaxis] * (gain.left[removed] * known[removed, np.newaxis]).T
    base = np.concatenate([gain.shrink, np.ones(more)])
    inverse = np.zeros((columns.shape[1], columns.shape[1]))
    inverse[:more, :more] = -square
    inverse[:more, more : 2 * more] = inverse[more : 2 * more, :more] = np.eye(more)
    gone = np.arange(2 * more, columns.shape[1])
    inverse[gone, gone] = -1.0
    across = base[:, np.newaxis] * columns
    middle = np.asarray(np.linalg.inv(inverse + columns.T @ across), dtype=float)
    return Patch(
        gain=gain,
        widened=widened,
        added=added,
        removed=removed,
        pull=np.ascontiguousarray(weight[:, np.newaxis] * pull),
        base=base,
        across=across,
        middle=middle,
        moves=_moves(gain, widened, added, of_inputs, of_seen),
        of_inputs=of_inputs,
    )


def _moves(gain: Gain, widened: Integers, added: Floats, of_inputs: Complexes, of_seen: Complexes) -> Floats:
    sources, elements = gain.tangent.emf.shape[1], len(gain.tangent.inverse)
    powers = np.zeros((elements, len(widened)), dtype=complex)
    at = widened - sources
    drawn = at >= 0
    reactive = at >= elements
    powers[at[drawn] % elements, np.flatnonzero(drawn)] = np.where(reactive, 1j, 1.0)[drawn] * added[drawn]
    emfs = of_inputs[: gain.tangent.emf.shape[0]]
    return side_by_side(np.concatenate([emfs, powers, of_seen[:elements]]))
