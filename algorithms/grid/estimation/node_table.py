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
from algorithms.grid.estimation.tangent import Tangent
from algorithms.grid.points import EARTH

SLICE = 512
"""Voltages worked through at once."""
COLUMNS = 64
"""Elements worked through at once."""


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
        points = tangent.response.points
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
        direction: Complexes = 1.0 / across
        return direction

    @cached_property
    def _tables(self) -> tuple[Floats, Floats, Floats, Floats]:
        """Give variances and spreads of logarithms of magnitudes, then of angles."""
        told = self._told
        before = self._before_by_rows() if self._tangent.inputs is not None else self._before_by_columns()
        spreads = [self._of_state(self._right, angles=angles) for angles in (False, True)]
        variances = [
            np.maximum(all_of_it - np.einsum("ij,ij,j->i", spread, spread, told), 0.0)
            for all_of_it, spread in zip(before, spreads, strict=True)
        ]
        return variances[0], spreads[0], variances[1], spreads[1]

    def _before_by_rows(self) -> tuple[Floats, Floats]:
        """Give variances before any reading, voltage by voltage, from derivatives that are kept."""
        before = np.empty((2, len(self.places)))
        for start in range(0, len(self.places), SLICE):
            part = slice(start, start + SLICE)
            seen = self._tangent.observation.probes.between(self._first[part], self._second[part])
            loadings = self._tangent.loadings(seen) * self._direction[part, np.newaxis]
            for each, projected in enumerate((loadings.real, loadings.imag)):
                weighted = projected * self._u_state
                before[each, part] = np.einsum("ij,ij->i", weighted, weighted)
        return before[0], before[1]

    def _before_by_columns(self) -> tuple[Floats, Floats]:
        """Give variances before any reading, element by element: one solution of the network for each."""
        tangent, sources = self._tangent, self._tangent.emf.shape[1]
        elements = len(tangent.inverse)
        unit = np.eye(tangent.size, sources) * self._u_state[:, np.newaxis]
        of_sources = [self._of_state(unit, angles=angles) for angles in (False, True)]
        magnitudes, angles = (np.einsum("ij,ij->i", each, each) for each in of_sources)
        for start in range(0, elements, COLUMNS):
            at = np.arange(start, min(start + COLUMNS, elements))
            for first in (sources, sources + elements):
                entries = np.zeros((tangent.size, len(at)))
                entries[first + at, at - start] = self._u_state[first + at]
                change = self._projected(tangent.of_inputs(entries))
                magnitudes += np.einsum("ij,ij->i", change.real, change.real)
                angles += np.einsum("ij,ij->i", change.imag, change.imag)
        return magnitudes, angles

    def _projected(self, inputs: Complexes) -> Complexes:
        """Give relative changes of voltages for changes of inputs, shape (n_inputs, j) -> (q, j)."""
        voltages = self._tangent.response.voltages(inputs)
        voltages = np.concatenate([voltages, np.zeros((1, voltages.shape[1]))])
        return (voltages[self._first] - voltages[self._second]) * self._direction[:, np.newaxis]

    def variances(self, *, angles: bool) -> Floats:
        """Give the variances, relative to the magnitude squared or in rad squared, shape (q,)."""
        return self._tables[2 if angles else 0]

    def spread(self, *, angles: bool) -> Floats:
        """Give how voltages spread over the directions, shape (q, r)."""
        return self._tables[3 if angles else 1]

    def _of_state(self, change: Floats, *, angles: bool) -> Floats:
        """Give relative changes of voltages for changes of the state, shape (n, k) -> (q, k)."""
        return self.projected(self._tangent.of_inputs(change), angles=angles)

    def projected(self, of_inputs: Complexes, *, angles: bool) -> Floats:
        """Give relative changes of voltages, or of angles, for changes of inputs, shape (n_inputs, j) -> (q, j)."""
        change = self._projected(of_inputs)
        return np.ascontiguousarray(change.imag if angles else change.real)

    def laid_out(self, variances: Floats, *, angles: bool) -> Floats:
        """
        Give standard uncertainties by node and phase, 0 where there is no voltage, shape (n_nodes, 3) [V, rad].

        Those of magnitudes are absolute: as meters' are, they stay the same when voltages move a little.
        """
        found = np.zeros(self.shape)
        sigma = np.sqrt(variances)
        found.ravel()[self.places] = sigma if angles else sigma / np.abs(self._direction)
        return found
