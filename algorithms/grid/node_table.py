"""
Uncertainties of the voltages of all nodes: computed once for a gain, corrected for a patch.

Where it stands: `gain` and `patch` keep one each; `estimate` reads it, so that all scans with the same gain share it.

Rules:

- Voltages are those from phase to neutral, at the operating point of the gain; magnitudes are taken along the voltage,
  angles across it.
- Large networks are worked through by slices of nodes, so that memory stays bounded.
"""

from functools import cached_property

import numpy as np

from algorithms.api.network_tables import Complexes, Floats, Integers
from algorithms.grid.elements import incidence
from algorithms.grid.points import EARTH
from algorithms.grid.tangent import Tangent

SLICE = 512
"""Voltages worked through at once."""


class NodeTable:
    """
    Variances of voltages from phase to neutral, and how they spread over the directions of a gain.

    Parameters
    ----------
    tangent : Tangent
    u_state : numpy.ndarray
        Shape (n,).
    right : numpy.ndarray
        Directions, shape (n, r).
    shrink : numpy.ndarray
        Shape (r,).

    Attributes
    ----------
    places : numpy.ndarray
        Of the voltages there are, in an array of shape (n_nodes, 3) laid flat, shape (q,).
    magnitudes, angles : numpy.ndarray
        Variances, shape (q,) [V squared, rad squared].
    """

    def __init__(self, tangent: Tangent, u_state: Floats, right: Floats, shrink: Floats) -> None:
        self._tangent, self._u_state, self._right, self._told = tangent, u_state, right, 1.0 - shrink
        points = tangent.response.admittance.points
        self.shape = (len(points.at_node), 3)
        self.places: Integers = np.flatnonzero((points.energised[:, :3] & (points.at_node[:, :3] != EARTH)).ravel())
        node, phase = self.places // 3, self.places % 3
        self._first = points.at_node[node, phase]
        self._second = np.where(points.energised[node, 3], points.at_node[node, 3], EARTH)

    @cached_property
    def _direction(self) -> Complexes:
        """Conjugate of each voltage, divided by its magnitude squared, shape (q,) [1/V]."""
        voltages = np.append(self._tangent.response.voltages(self._tangent.point), 0.0)
        across = voltages[self._first] - voltages[self._second]
        return 1.0 / across

    @cached_property
    def _tables(self) -> tuple[Floats, Floats, Floats, Floats]:
        """Give variances and spreads of logarithms of magnitudes, then of angles."""
        count, directions = len(self.places), self._right.shape[1]
        variances, spreads = np.empty((2, count)), np.empty((2, count, directions))
        for start in range(0, count, SLICE):
            part = slice(start, start + SLICE)
            watch = incidence(self._first[part], self._second[part], self._tangent.response.admittance.points.count)
            loadings = self._tangent.loadings(self._tangent.response.seen(watch)) * self._direction[part, np.newaxis]
            for each, projected in enumerate((loadings.real, loadings.imag)):
                spreads[each, part] = spread = projected @ self._right
                weighted = projected * self._u_state
                before = np.einsum("ij,ij->i", weighted, weighted)
                variances[each, part] = np.maximum(before - np.einsum("ij,ij,j->i", spread, spread, self._told), 0.0)
        return variances[0], spreads[0], variances[1], spreads[1]

    def variances(self, *, angles: bool) -> Floats:
        """Give the variances, relative to the magnitude squared or in rad squared, shape (q,)."""
        return self._tables[2 if angles else 0]

    def spread(self, *, angles: bool) -> Floats:
        """Give how voltages spread over the directions, shape (q, r)."""
        return self._tables[3 if angles else 1]

    def of_entries(self, entries: Floats, *, angles: bool) -> Floats:
        """Give how voltages change with entries of the state, shape (n, k) -> (q, k)."""
        voltages = self._tangent.response.voltages(self._tangent.of_inputs(entries))
        voltages = np.concatenate([voltages, np.zeros((1, voltages.shape[1]))])
        change = (voltages[self._first] - voltages[self._second]) * self._direction[:, np.newaxis]
        return np.ascontiguousarray(change.imag if angles else change.real)

    def laid_out(self, variances: Floats) -> Floats:
        """Give standard uncertainties as an array of nodes and phases, 0 where there is no voltage, shape (n_nodes, 3)."""
        found = np.zeros(self.shape)
        found.ravel()[self.places] = np.sqrt(variances)
        return found
