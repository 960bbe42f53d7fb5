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

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from scipy.sparse import csr_array, vstack

from algorithms.api.network import NetworkModel
from algorithms.api.network_tables import Complexes, Floats, Integers
from algorithms.grid.elements import incidence
from algorithms.grid.estimation.combination import Combinations, gathered
from algorithms.grid.estimation.equations import Equations
from algorithms.grid.estimation.flow import Probes
from algorithms.grid.estimation.measurement import ALL, PHASES, VOLTAGES, Measurement, Quantity
from algorithms.grid.estimation.measurement_table import KINDS, LEADS, NONE, MeasurementTable, tabulate
from algorithms.grid.estimation.response import Response
from algorithms.grid.estimation.terminals import Terminals
from algorithms.grid.points import EARTH

COLUMNS = 64
"""Elements asked about at once."""
DENSE_ENTRIES = 4_000_000
"""Largest matrix of what is seen that is kept, to take derivatives of [1], 64 MB."""
QUICK_ENTRIES = 150_000
"""Largest one that is read each time; beyond it, solving for voltages is faster."""


class Observation:
    """
    The equations of a list of measurements.

    Parameters
    ----------
    model : NetworkModel
    response : Response
        Of the same model.
    measurements : sequence of Measurement
        Judged right (`measurement_table.check_measurements`).
    table : MeasurementTable or None
        The same in columns, where somebody has them already.

    Attributes
    ----------
    own : numpy.ndarray
        Measurement that tells P, and Q, of each element, or `NONE`, shape (m, 2).
    equations : Equations
        All other measurements.
    dead : tuple of int
        Measurements of what no source feeds; they tell nothing of the network.
    """

    def __init__(
        self,
        model: NetworkModel,
        response: Response,
        measurements: Sequence[Measurement],
        table: MeasurementTable | None = None,
    ) -> None:
        self._response, self._terminals = response, Terminals(model, response)
        table = tabulate(model, measurements) if table is None else table
        self.own: Integers = self._own(len(model.loads), measurements, table)
        there = np.ones(len(measurements), dtype=bool)
        there[self.own[self.own != NONE]] = False
        parts = self._parts(np.flatnonzero(there), measurements, table)
        first, second = self._terminals.pairs(parts[:, 1], parts[:, 2])
        live = first != EARTH
        measurement, lead = parts[live, 0], parts[live, 2]
        there[measurement] = False
        self.dead = tuple(np.flatnonzero(there).tolist())
        currents = Combinations()
        carried = np.full(len(measurement), NONE, dtype=np.intp)
        for part in np.flatnonzero(~table.of(*VOLTAGES)[measurement]).tolist():
            one, phase = measurements[measurement[part]], LEADS[lead[part]]
            key = one.place, one.end, phase
            if key not in currents.keys:
                currents.add(key, self._terminals.current(one, phase))
            carried[part] = currents.keys[key]
        across, voltages = self._voltages(first[live], second[live])
        shift = voltages.shape[0]
        self.equations = Equations(table, measurement, across, shift + carried)
        count = shift + len(currents.keys)
        self.watch: csr_array = voltages
        if currents.keys:
            self.watch = csr_array(
                vstack([voltages, gathered(currents.points, (count - shift, response.points.count))])
            )
        self.direct = gathered([(row + shift, *entry) for row, *entry in currents.inputs], (count, response.size))
        self.dense = count * response.size <= DENSE_ENTRIES
        self._quick = count * response.size <= QUICK_ENTRIES
        self.matrix: Complexes = np.zeros((0, 0), dtype=complex)
        if self.dense:
            self.matrix = response.seen(self.watch)
            if self.direct.nnz:
                self.matrix += self.direct.toarray()

    def _own(self, loads: int, measurements: Sequence[Measurement], table: MeasurementTable) -> Integers:
        """Give the first measurement of P, and of Q, of each element."""
        powers = np.flatnonzero(table.of(Quantity.P, Quantity.Q))
        kind, leads = table.kind[powers], table.leads[powers]
        element = np.full(len(powers), NONE, dtype=np.intp)
        single = (kind <= KINDS.index("generator")) & (leads < len(LEADS) - 1)
        row = table.row[powers] + np.where(kind == KINDS.index("load"), 0, loads)
        element[single] = self._terminals.elements[row[single], leads[single] % len(PHASES)]
        for at in np.flatnonzero(~single).tolist():
            element[at] = self._terminals.element(measurements[powers[at]])
        powers, element = powers[element != NONE], element[element != NONE]
        own = np.full((len(self._response.elements), 2), NONE, dtype=np.intp)
        places, earliest = np.unique(2 * element + table.of(Quantity.Q)[powers], return_index=True)
        own.ravel()[places] = powers[earliest]
        return own

    def _parts(self, others: Integers, measurements: Sequence[Measurement], table: MeasurementTable) -> Integers:
        """Give measurement, node and place in `LEADS` of what equations are made of, phase by phase, shape (p, 3)."""
        voltage = table.of(*VOLTAGES)[others]
        at_nodes = others[voltage]
        flows = [
            (index, self._terminals.node(measurements[index]), lead)
            for index in others[~voltage].tolist()
            for lead in (range(len(PHASES)) if LEADS[table.leads[index]] == ALL else (table.leads[index],))
        ]
        of_nodes = np.stack([at_nodes, table.row[at_nodes], table.leads[at_nodes]], axis=1)
        return np.concatenate([of_nodes, np.array(flows, dtype=np.intp).reshape(-1, 3)])

    def _voltages(self, first: Integers, second: Integers) -> tuple[Integers, csr_array]:
        """
        Give numbers to voltages between points, those across the elements first, and others once each.

        Returns
        -------
        number : numpy.ndarray
            Of each voltage that is asked for, shape (k,).
        matrix : scipy.sparse.csr_array
            Voltages by number, of those of points.
        """
        elements, count = self._response.elements, len(self._response.elements)
        first, second = np.concatenate([elements.first, first]), np.concatenate([elements.second, second])
        points = self._response.points.count
        _, earliest, place = np.unique(first * (points + 1) + second, return_index=True, return_inverse=True)
        alike = earliest[place[count:]]
        new = np.unique(alike[alike >= count])
        taken = np.concatenate([np.arange(count), new])
        return np.searchsorted(taken, alike), incidence(first[taken], second[taken], points)

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
