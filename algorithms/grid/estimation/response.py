r"""
What voltages of a network follow from its sources' emfs and its loads' currents: the linear half of an estimator.

Where it stands: `observation` asks it for what meters see, `least_squares` for the voltages of all nodes. With Y of
`admittance`, the emfs E of sources, and the currents I of `elements` with incidence C,

.. math:: V = Y^{-1} (Y_s E - C^T I)

Zero injections are exact, because a point without element has no current to inject.

Rules:

- Inputs are the emfs A, B, C of each source, then the currents of the elements, in one vector of length n.
- Nodes inside chains of lines are left out of Y (`chains`), which changes no answer.
- Y is factorised once for a position of all switches. Where the whole answer is a moderate matrix it is kept as one;
  otherwise a sweep answers where the network is radial, and the factors where it is not.
"""

from dataclasses import replace
from functools import cached_property

import numpy as np
from scipy.sparse import csc_array, csr_array, vstack

from algorithms.api.errors import NetworkError
from algorithms.api.network import NetworkModel
from algorithms.api.network_tables import Complexes, Integers
from algorithms.grid.admittance import Admittance, describe, join
from algorithms.grid.elements import Elements, find_elements
from algorithms.grid.estimation.chains import find_chains
from algorithms.grid.estimation.trees import find_trees
from algorithms.grid.factor import Factor
from algorithms.grid.points import EARTH, Points, find_points, find_references
from algorithms.grid.primitives import branch_primitives, pi_primitives, source_voltages
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
    points : Points
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
        self.points: Points = find_points(model)
        references = find_references(model, self.points)
        self.elements: Elements = find_elements(model, self.points)
        self.references = tuple(describe(model, reference) for reference in references)
        self.emfs: Complexes = source_voltages(model.sources).ravel()
        self.size = len(self.emfs) + len(self.elements)
        self._model = model
        chains = find_chains(model, self.points, references)
        self._chains = chains
        # What holds a reference is as large as what conducts beside it, which is to be the same with and without trees.
        cut = self.dense and not references
        self._trees = find_trees(model, chains, chains.number[self.points.at_node]) if cut else None
        number, kept, lines = chains.number, chains.kept, np.ones(len(chains.ends), dtype=bool)
        if self._trees is not None:
            number, kept, lines = self._trees.base[number], kept[self._trees.kept], ~self._trees.lines
        left = _left(self.points, number, kept)
        held = tuple(replace(each, points=tuple(number[list(each.points)].tolist())) for each in references)
        there = chains.conductors[lines]
        terminals = np.where(there[:, np.newaxis], left.at_node[chains.ends[lines]], EARTH).reshape(-1, 8)
        primitives = pi_primitives(chains.series[lines], chains.shunt[lines], there)
        self._admittance: Admittance = join(model, left, held, terminals, primitives)
        self._drive = self._driving(number)
        self._factor = Factor(self._admittance)
        self._sweep = None if self.dense else _sweep(model)

    @cached_property
    def branches(self) -> Complexes:
        """Primitive admittances of the branches, shape (n, 8, 8) [S]."""
        return branch_primitives(self._model.branches)

    @property
    def transformers(self) -> Complexes:
        """Primitive admittances of the transformers, shape (n, 8, 8) [S]."""
        return self._admittance.transformers

    @property
    def sources(self) -> Complexes:
        """Primitive admittances of the sources, shape (n, 4, 4) [S]."""
        return self._admittance.sources

    def _driving(self, number: Integers) -> csc_array:
        """Give the currents into the points that are left for inputs of 1, shape (c, n)."""
        points, sources, emfs = self._admittance.points, self._admittance.sources, len(self.emfs)
        shape = (len(sources), 4, 3)
        rows = np.broadcast_to(points.at_source[:, :, np.newaxis], shape).ravel()
        columns = np.broadcast_to(np.arange(emfs).reshape(-1, 1, 3), shape).ravel()
        own = emfs + np.arange(len(self.elements))
        ones = np.ones(len(own))
        rows = np.concatenate([rows, number[self.elements.first], number[self.elements.second]])
        columns = np.concatenate([columns, own, own])
        values = np.concatenate([sources[:, :, :3].ravel(), -ones, ones])
        kept = (rows != EARTH) & (values != 0)
        return csc_array((values[kept], (rows[kept], columns[kept])), shape=(points.count, self.size))

    @property
    def dense(self) -> bool:
        """Whether the whole answer is kept as a matrix."""
        return self.points.count * self.size <= DENSE_ENTRIES

    @cached_property
    def _solved(self) -> Complexes:
        """Voltages of the points that are solved for, for each input of 1, shape (c, n)."""
        return np.ascontiguousarray(self._factor.solve(self._drive.toarray()))

    @cached_property
    def _matrix(self) -> Complexes:
        """Voltages of the points that chains leave, for each input of 1, shape (c, n)."""
        trees, number = self._trees, self._chains.number
        if trees is None:
            return self._solved
        found = np.concatenate([self._solved, np.zeros((1, self.size))])[trees.base[:-1]]
        found[:, len(self.emfs) :] -= trees.drops(number[self.elements.first], number[self.elements.second])
        return found

    @cached_property
    def returns(self) -> Complexes:
        """Current that would return through each reference for each input of 1, shape (r, n) [S, 1]."""
        anchors, references = self._admittance.anchors.tocsr(), self._admittance.references
        rows = csr_array(vstack([anchors[[each.points[0]], :] * len(each.points) for each in references]))
        return rows @ self._solved if self.dense else self._seen(rows)

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
            return self._chains.everywhere(self._matrix @ inputs)
        if self._sweep is not None and inputs.ndim == 1:
            emfs = len(self.emfs)
            return self._sweep.respond(inputs[:emfs].reshape(-1, 3), inputs[emfs:])
        return self._chains.everywhere(self._factor.solve(np.asarray(self._drive @ inputs)))

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
        return self._seen(self._chains.left(watch))

    def _seen(self, watch: csr_array) -> Complexes:
        if self.dense:
            return np.ascontiguousarray(watch @ self._matrix)
        # As few right-hand sides as possible: of combinations by the transposed system, or of inputs.
        if watch.shape[0] < self.size:
            across = self._factor.solve(watch.T.toarray().astype(complex), transposed="T")
            return np.ascontiguousarray((self._drive.T @ across).T)
        return np.ascontiguousarray(watch @ self._factor.solve(self._drive.toarray()))

    def back(self, towards: Complexes) -> Complexes:
        """Apply the conjugate transpose of `voltages`, shape (k, j) -> (n, j)."""
        spread = self._chains.spread
        if spread is not None:
            towards = np.asarray(spread.conj().T @ towards)
        if self.dense:
            return np.asarray(self._matrix.conj().T @ towards)
        return np.asarray(self._drive.conj().T @ self._factor.solve(towards, transposed="H"))


def _left(points: Points, number: Integers, kept: Integers) -> Points:
    """Give the points that are left to solve for, by their own numbers."""
    return replace(
        points,
        count=len(kept),
        at_node=number[points.at_node],
        at_transformer=number[points.at_transformer],
        at_source=number[points.at_source],
        node=points.node[kept],
        conductor=points.conductor[kept],
        star_impedance=tuple((int(number[point]), impedance) for point, impedance in points.star_impedance),
    )
