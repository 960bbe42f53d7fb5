r"""
What voltages of a network follow from its sources' emfs and its loads' currents: the linear half of an estimator.

Where it stands: `observation` asks it for what meters see, `least_squares` for the voltages of all nodes. With Y of
`admittance`, the emfs E of sources, and the currents I of `elements` with incidence C,

.. math:: V = Y^{-1} (Y_s E - C^T I)

Zero injections are exact, because a point without element has no current to inject.

Rules:

- Inputs are the emfs A, B, C of each source, then the currents of the elements, in one vector of length n.
- Y is factorised once for a position of all switches. Where the whole answer is a moderate matrix it is kept as one;
  otherwise a sweep answers where the network is radial, and the factors where it is not.
"""

from functools import cached_property

import numpy as np
from scipy.sparse import coo_array, csc_array, csr_array, hstack, vstack

from algorithms.api.errors import NetworkError
from algorithms.api.network import NetworkModel
from algorithms.api.network_tables import Complexes
from algorithms.grid.admittance import Admittance, describe, nodal_admittance
from algorithms.grid.elements import Elements, find_elements
from algorithms.grid.factor import Factor
from algorithms.grid.points import EARTH
from algorithms.grid.primitives import source_voltages
from algorithms.grid.sweep import Sweep

DENSE_ENTRIES = 300_000
"""Largest answer kept as a matrix [1], 5 MB: beyond it, solving with the factors is faster than reading it."""


def _sweep(model: NetworkModel) -> Sweep | None:
    """Give the sweep of a network that it answers for in one pass; None for meshed ones and those that charge."""
    try:
        sweep = Sweep(model)
    except NetworkError:
        return None
    return None if sweep.charging else sweep


class Response:
    """
    A network ready to answer.

    Parameters
    ----------
    model : NetworkModel

    Attributes
    ----------
    admittance : Admittance
    elements : Elements
    emfs : numpy.ndarray
        Emfs of the sources as the model states them, shape (3 s,) [V].
    size : int
        Number of inputs.
    references : tuple of str
        What voltages refer to where there is no path to earth.

    Raises
    ------
    NetworkError
        When the network cannot be solved as it stands.
    """

    def __init__(self, model: NetworkModel) -> None:
        self.admittance: Admittance = nodal_admittance(model)
        self.elements: Elements = find_elements(model, self.admittance.points)
        self.references = tuple(describe(model, reference) for reference in self.admittance.references)
        self.emfs: Complexes = source_voltages(model.sources).ravel()
        self.size = len(self.emfs) + len(self.elements)
        self.drive: csc_array = csc_array(hstack([self._driven(), -self.elements.incidence.T], format="csc"))
        self._factor = Factor(self.admittance)
        self._sweep = None if self.dense else _sweep(model)

    def _driven(self) -> csc_array:
        """Give the currents into the points for emfs of 1 V, shape (k, 3 s)."""
        points, sources = self.admittance.points, self.admittance.sources
        count = len(sources)
        rows = np.broadcast_to(points.at_source[:, :, np.newaxis], (count, 4, 3))
        columns = np.broadcast_to(np.arange(3 * count).reshape(count, 1, 3), (count, 4, 3))
        kept = rows != EARTH
        shape = (points.count, 3 * count)
        return csc_array(coo_array((sources[:, :, :3][kept], (rows[kept], columns[kept])), shape=shape))

    @property
    def dense(self) -> bool:
        """Whether the whole answer is kept as a matrix."""
        return self.admittance.points.count * self.size <= DENSE_ENTRIES

    @cached_property
    def matrix(self) -> Complexes:
        """Voltages of points for each input of 1, shape (k, n)."""
        return np.ascontiguousarray(self._factor.solve(self.drive.toarray().astype(complex)))

    @cached_property
    def returns(self) -> Complexes:
        """Current that would return through each reference for each input of 1, shape (r, n) [S, 1]."""
        anchors, references = self.admittance.anchors.tocsr(), self.admittance.references
        rows = [anchors[[reference.points[0]], :] * len(reference.points) for reference in references]
        return self.seen(csr_array(vstack(rows)))

    def voltages(self, inputs: Complexes) -> Complexes:
        """
        Give voltages of points.

        Parameters
        ----------
        inputs : numpy.ndarray
            Shape (n,) or (n, j) [V, A].

        Returns
        -------
        numpy.ndarray
            Shape (k,) or (k, j) [V].
        """
        if self.dense:
            return self.matrix @ inputs
        if self._sweep is not None and inputs.ndim == 1:
            emfs = len(self.emfs)
            return self._sweep.respond(inputs[:emfs].reshape(-1, 3), inputs[emfs:])
        return self._factor.solve(np.asarray(self.drive @ inputs))

    def seen(self, watch: csr_array) -> Complexes:
        """
        Give what linear combinations of voltages answer to each input of 1.

        Parameters
        ----------
        watch : scipy.sparse.csr_array
            Shape (j, k).

        Returns
        -------
        numpy.ndarray
            Shape (j, n).
        """
        if self.dense:
            return np.ascontiguousarray(watch @ self.matrix)
        # As few right-hand sides as possible: of combinations by the transposed system, or of inputs.
        if watch.shape[0] < self.size:
            across = self._factor.solve(watch.T.toarray().astype(complex), transposed="T")
            return np.ascontiguousarray((self.drive.T @ across).T)
        return np.ascontiguousarray(watch @ self._factor.solve(self.drive.toarray().astype(complex)))

    def back(self, towards: Complexes) -> Complexes:
        """Apply the conjugate transpose of `voltages`, shape (k, j) -> (n, j)."""
        return np.asarray(self.drive.conj().T @ self._factor.solve(towards, transposed="H"))
