r"""
What meters see of a network, as linear combinations of what an estimator varies.

Where it stands: between `measurement` (what is measured) with `response` (what follows from what), and `least_squares`;
`equations` takes magnitudes, angles and powers of what is seen.

Rules:

- A power P or Q of one element (a phase of a load or generator) is no equation: it takes the place of what is expected
  of that element beforehand. The first measurement of it does; a second one is an equation like the others.
- All else is an equation: h of voltages U between points and currents I into equipment, both linear in the inputs of
  `response`.
- The voltages across all elements come first among the U, since each iteration needs them.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np

from algorithms.api.network import NetworkModel
from algorithms.api.network_tables import Complexes, Floats, Integers
from algorithms.grid.estimation.combination import Combinations, gathered
from algorithms.grid.estimation.equations import ORDER, Equations, Rows
from algorithms.grid.estimation.flow import Probes
from algorithms.grid.estimation.measurement import ALL, VOLTAGES, Measurement, Quantity
from algorithms.grid.estimation.response import Response
from algorithms.grid.estimation.terminals import Terminals

NONE = -1
COLUMNS = 64
"""Elements asked about at once."""
DENSE_ENTRIES = 4_000_000
"""Largest matrix of what is seen that is kept, to take derivatives of [1], 64 MB."""
QUICK_ENTRIES = 150_000
"""Largest one that is read each time; beyond it, solving for voltages is faster."""


def _parts(
    terminals: Terminals, measurement: Measurement, voltages: Combinations, currents: Combinations
) -> Iterator[tuple[int, int]]:
    """Give the voltages and currents that a measurement is made of, phase by phase; none where all is dead."""
    for phase in measurement.phases if measurement.phases == ALL else (measurement.phases,):
        pair = terminals.between(measurement, phase)
        if pair is None:
            continue
        at = voltages.between(pair, pair)
        if measurement.quantity in VOLTAGES:
            yield at, NONE
            continue
        key = (measurement.place, measurement.end, phase)
        if key not in currents.keys:
            currents.add(key, terminals.current(measurement, phase))
        yield at, currents.keys[key]


class Observation:
    """
    The equations of a list of measurements.

    Parameters
    ----------
    model : NetworkModel
    response : Response
        Of the same model.
    measurements : sequence of Measurement
        Judged right (`measurement.check_measurements`).

    Attributes
    ----------
    own : numpy.ndarray
        Measurement that tells P, and Q, of each element, or `NONE`, shape (m, 2).
    equations : Equations
        All other measurements.
    dead : tuple of int
        Measurements of what no source feeds; they tell nothing of the network.
    """

    def __init__(self, model: NetworkModel, response: Response, measurements: Sequence[Measurement]) -> None:
        self._response, self._terminals = response, Terminals(model, response)
        terminals, elements = self._terminals, response.elements
        voltages, currents = Combinations(), Combinations()
        across = zip(elements.first.tolist(), elements.second.tolist(), strict=True)
        for number, pair in enumerate(across):  # several may be between the same points
            voltages.between((number, pair), pair)
            voltages.keys.setdefault(pair, number)
        rows: Rows = {quantity: [] for quantity in ORDER}
        dead = []
        told = [[NONE, NONE] for _ in range(len(elements))]
        for index, measurement in enumerate(measurements):
            quantity = measurement.quantity
            if quantity is Quantity.P or quantity is Quantity.Q:
                element = terminals.element(measurement)
                if element is not None and told[element][quantity is Quantity.Q] == NONE:
                    told[element][quantity is Quantity.Q] = index
                    continue
            parts = list(_parts(terminals, measurement, voltages, currents))
            if parts:
                rows[measurement.quantity].append((index, parts))
            else:
                dead.append(index)
        self.own: Integers = np.array(told, dtype=np.intp).reshape(-1, 2)
        self.dead = tuple(dead)
        shift = voltages.count
        self.equations = Equations(rows, measurements, shift)
        points = [*voltages.points, *((row + shift, column, value) for row, column, value in currents.points)]
        inputs = [(row + shift, column, value) for row, column, value in currents.inputs]
        count = shift + currents.count
        self.watch = gathered(points, (count, response.points.count))
        self.direct = gathered(inputs, (count, response.size))
        self.dense = count * response.size <= DENSE_ENTRIES
        self._quick = count * response.size <= QUICK_ENTRIES
        self.matrix: Complexes = np.zeros((0, 0), dtype=complex)
        if self.dense:
            self.matrix = response.seen(self.watch)
            if self.direct.nnz:
                self.matrix += self.direct.toarray()

    @cached_property
    def probes(self) -> Probes:
        """What pieces of equipment answer, as far as somebody asks."""
        return Probes(self._terminals, self._response)

    def see(self, inputs: Complexes) -> Complexes:
        """Give voltages, then currents, that follow from the inputs, shape (u,) or (u, j) [V, A]."""
        if self._quick:
            return self.matrix @ inputs
        return self.combine(self._response.voltages(inputs), inputs)

    def combine(self, voltages: Complexes, inputs: Complexes) -> Complexes:
        """Give what is seen of voltages of points that are known already."""
        seen: Complexes = np.asarray(self.watch @ voltages)
        return seen + np.asarray(self.direct @ inputs) if self.direct.nnz else seen

    def across(self, inputs: Complexes) -> Complexes:
        """Give the voltages across the elements alone, shape (n_inputs, j) -> (m, j)."""
        elements = self._response.elements
        if self.dense:
            return self.matrix[: len(elements)] @ inputs
        found: Complexes = np.asarray(elements.incidence @ self._response.voltages(inputs))
        return found

    def impedances(self, elements: Integers) -> Floats:
        """Give the impedances that single elements see, shape (k,) [ohm]."""
        emfs, found = len(self._response.emfs), np.empty(len(elements))
        if self.dense:
            return np.abs(self.matrix[elements, emfs + elements])
        for start in range(0, len(elements), COLUMNS):
            part = elements[start : start + COLUMNS]
            currents = np.zeros((self._response.size, len(part)), dtype=complex)
            currents[emfs + part, np.arange(len(part))] = 1.0
            found[start : start + COLUMNS] = np.abs(self.across(currents)[part, np.arange(len(part))])
        return found

    def back_across(self, towards: Complexes) -> Complexes:
        """Apply the conjugate transpose of `across`, shape (m, j) -> (n_inputs, j)."""
        elements = self._response.elements
        if self.dense:
            return (self.matrix[: len(elements)].T @ towards.conj()).conj()  # the smaller one is copied
        return self._response.back(np.asarray(elements.incidence.T @ towards))

    def back(self, towards: Complexes) -> Complexes:
        """Apply the conjugate transpose of `see`, shape (u, j) -> (n_inputs, j)."""
        if self.dense:
            return (self.matrix.T @ towards.conj()).conj()
        found = self._response.back(np.asarray(self.watch.conj().T @ towards))
        return found + np.asarray(self.direct.conj().T @ towards) if self.direct.nnz else found
