r"""
What meters see of a network, written as equations of what an estimator varies.

Where it stands: between `measurement` (what is measured) with `response` (what follows from what), and `least_squares`.

Rules:

- A power P or Q of one element (a phase of a load or generator) is no equation: it takes the place of what is expected
  of that element beforehand. The first measurement of it does; a second one is an equation like the others.
- All else is an equation: h of voltages U between points and currents I into equipment, both linear in the inputs of
  `response`. Magnitudes, angles and powers of them are taken here.
- The voltages across all elements come first among the U, since each iteration needs them.
- The magnitude of a current has no slope at 0, and an idle phase is read as 0 every night. Readings and currents are
  both taken as the root of their square plus (`SOFT` sigma) squared: the same thing where there is current, a weak
  bound where there is none.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.sparse import coo_array, csr_array

from algorithms.api.network import NetworkModel
from algorithms.api.network_tables import Complexes, Floats, Integers
from algorithms.grid.estimation.measurement import ALL, POWERS, VOLTAGES, Measurement, Quantity
from algorithms.grid.estimation.response import Response
from algorithms.grid.estimation.terminals import Current, Terminals
from algorithms.grid.points import EARTH

NONE = -1
COLUMNS = 64
"""Elements asked about at once."""
SOFT = 3.0
TINY = 1e-9
"""What is smaller has no angle [V, A]."""
DENSE_ENTRIES = 4_000_000
"""Largest matrix of what is seen that is kept, to take derivatives of [1], 64 MB."""
QUICK_ENTRIES = 150_000
"""Largest one that is read each time; beyond it, solving for voltages is faster."""

_ORDER = (Quantity.VOLTAGE, Quantity.VOLTAGE_ANGLE, Quantity.CURRENT, Quantity.CURRENT_ANGLE, Quantity.P, Quantity.Q)


@dataclass(slots=True)
class _Seen:
    """Linear combinations gathered one by one: of voltages of points, and of inputs."""

    count: int = 0
    points: list[tuple[int, int, complex]] = field(default_factory=list)
    inputs: list[tuple[int, int, complex]] = field(default_factory=list)
    keys: dict[object, int] = field(default_factory=dict)

    def add(self, key: object, current: Current) -> int:
        """Give the number of what `key` names, adding it where it is new."""
        if key in self.keys:
            return self.keys[key]
        at = self.keys[key] = self.count
        self.count += 1
        self.points += [(at, point, value) for point, value in current.points]
        self.inputs += [(at, place, value) for place, value in current.inputs]
        return at

    def between(self, key: object, pair: tuple[int, int]) -> int:
        """Give the number of the voltage between two points, adding it where it is new."""
        if key in self.keys:
            return self.keys[key]
        at = self.keys[key] = self.count
        self.count += 1
        first, second = pair
        if first != EARTH:
            self.points.append((at, first, 1.0))
        if second != EARTH:
            self.points.append((at, second, -1.0))
        return at


def gathered(entries: list[tuple[int, int, complex]], shape: tuple[int, int]) -> csr_array:
    """Make a matrix of its entries, given as row, column and value."""
    if not entries:
        return csr_array(shape, dtype=complex)
    rows, columns, values = ([entry[part] for entry in entries] for part in range(3))
    return csr_array(coo_array((np.array(values, dtype=complex), (rows, columns)), shape=shape))


def _sums(rows: list[tuple[int, list[tuple[int, int]]]], number: dict[tuple[int, int], int]) -> csr_array:
    """Give what sums up the powers of phases, of the numbers given, for each measurement."""
    shape = len(rows), len(number)
    entries = [(row, number[pair]) for row, (_, parts) in enumerate(rows) for pair in parts]
    if not entries:
        return csr_array(shape)
    at, of = zip(*entries, strict=True)
    return csr_array(coo_array((np.ones(len(at)), (at, of)), shape=shape))


_Rows = dict[Quantity, list[tuple[int, list[tuple[int, int]]]]]
"""Measurements of each quantity with the voltages and currents, by their numbers, that they are made of."""


def _parts(
    terminals: Terminals, measurement: Measurement, voltages: _Seen, currents: _Seen
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
    extra : numpy.ndarray
        Measurements that are equations, in the order of the equations, shape (e,).
    dead : tuple of int
        Measurements of what no source feeds; they tell nothing of the network.
    n_voltages : int
        How many of what is seen are voltages; currents follow them.
    angle_rows : numpy.ndarray
        Equations whose residuals are angles.
    current_rows : numpy.ndarray
        Equations of magnitudes of currents.
    only_magnitudes : bool
        Whether all equations are magnitudes of voltages.
    """

    def __init__(self, model: NetworkModel, response: Response, measurements: Sequence[Measurement]) -> None:
        terminals = Terminals(model, response)
        elements = response.elements
        self.own: Integers = np.full((len(elements), 2), NONE, dtype=np.intp)
        voltages, currents = _Seen(), _Seen()
        across = zip(elements.first.tolist(), elements.second.tolist(), strict=True)
        for number, pair in enumerate(across):  # several may be between the same points
            voltages.between((number, pair), pair)
            voltages.keys.setdefault(pair, number)
        rows: _Rows = {quantity: [] for quantity in _ORDER}
        dead = []
        for index, measurement in enumerate(measurements):
            element = terminals.element(measurement) if measurement.quantity in POWERS else None
            if element is not None:
                column = int(measurement.quantity == Quantity.Q)
                if self.own[element, column] == NONE:
                    self.own[element, column] = index
                    continue
            parts = list(_parts(terminals, measurement, voltages, currents))
            if parts:
                rows[measurement.quantity].append((index, parts))
            else:
                dead.append(index)
        self.dead = tuple(dead)
        soft = [SOFT * measurements[index].uncertainty for index, _ in rows[Quantity.CURRENT]]
        self._soft: Floats = np.array(soft, dtype=float)
        self._sigma: Floats = np.array(
            [measurements[index].uncertainty for quantity in _ORDER for index, _ in rows[quantity]], dtype=float
        )
        self.n_voltages = voltages.count
        self._compile(rows)
        shift = self.n_voltages
        points = [*voltages.points, *((row + shift, column, value) for row, column, value in currents.points)]
        inputs = [(row + shift, column, value) for row, column, value in currents.inputs]
        count = shift + currents.count
        self.watch = gathered(points, (count, response.points.count))
        self.direct = gathered(inputs, (count, response.size))
        self._response = response
        self.dense = count * response.size <= DENSE_ENTRIES
        self._quick = count * response.size <= QUICK_ENTRIES
        self.matrix: Complexes = np.zeros((0, 0), dtype=complex)
        if self.dense:
            self.matrix = response.seen(self.watch)
            if self.direct.nnz:
                self.matrix += self.direct.toarray()

    def _compile(self, rows: _Rows) -> None:
        """Put equations in order of their quantity, and say where each finds its voltage and its current."""
        self.extra: Integers = np.array([index for quantity in _ORDER for index, _ in rows[quantity]], dtype=np.intp)

        def singles(quantity: Quantity, part: int) -> Integers:
            return np.array([parts[0][part] for _, parts in rows[quantity]], dtype=np.intp)

        self._magnitude, self._angle = singles(Quantity.VOLTAGE, 0), singles(Quantity.VOLTAGE_ANGLE, 0)
        self._current = singles(Quantity.CURRENT, 1) + self.n_voltages
        self._current_angle = singles(Quantity.CURRENT_ANGLE, 1) + self.n_voltages
        powers = [*rows[Quantity.P], *rows[Quantity.Q]]
        number: dict[tuple[int, int], int] = {}
        for _, parts in powers:
            for pair in parts:
                number.setdefault(pair, len(number))
        self._pair_voltage = np.array([pair[0] for pair in number], dtype=np.intp)
        self._pair_current = np.array([pair[1] for pair in number], dtype=np.intp) + self.n_voltages
        self._sum_p, self._sum_q = (_sums(rows[quantity], number) for quantity in (Quantity.P, Quantity.Q))
        first = len(self._magnitude)
        second = first + len(self._angle) + len(self._current)
        self.angle_rows = np.concatenate(
            [np.arange(first, first + len(self._angle)), np.arange(second, second + len(self._current_angle))]
        ).astype(np.intp)
        currents = np.arange(first + len(self._angle), second)
        self.current_rows: Integers = currents.astype(np.intp)
        self.only_magnitudes = len(self.extra) == first

    def __len__(self) -> int:
        return len(self.extra)

    def comparable(self, readings: Floats) -> Floats:
        """Give readings as `values` gives them, where they differ from what meters tell, shape (e,)."""
        if not len(self._soft):
            return readings
        first = len(self._magnitude) + len(self._angle)
        taken = readings.copy()
        at = slice(first, first + len(self._soft))
        taken[at] = np.hypot(readings[at], self._soft)
        return taken

    def see(self, inputs: Complexes) -> Complexes:
        """Give voltages, then currents, that follow from the inputs, shape (u,) or (u, j) [V, A]."""
        if self._quick:
            return self.matrix @ inputs
        return self.combine(self._response.voltages(inputs), inputs)

    def combine(self, voltages: Complexes, inputs: Complexes) -> Complexes:
        """Give what is seen of voltages of points that are known already."""
        seen: Complexes = np.asarray(self.watch @ voltages)
        return seen + np.asarray(self.direct @ inputs) if self.direct.nnz else seen

    def values(self, seen: Complexes) -> Floats:
        """
        Give what meters would tell.

        Parameters
        ----------
        seen : numpy.ndarray
            Of `see`, shape (u,).

        Returns
        -------
        numpy.ndarray
            Shape (e,) [V, rad, A, rad, W, var].
        """
        if self.only_magnitudes:
            return np.abs(seen[self._magnitude])
        powers = seen[self._pair_voltage] * seen[self._pair_current].conj()
        return np.concatenate(
            [
                np.abs(seen[self._magnitude]),
                np.angle(seen[self._angle]),
                np.hypot(np.abs(seen[self._current]), self._soft),
                np.angle(seen[self._current_angle]),
                self._sum_p @ powers.real,
                self._sum_q @ powers.imag,
            ]
        )

    def level(self, seen: Complexes, readings: Floats, missing: Integers) -> float:
        """
        Tell how high the voltages that are read are, relative to what is seen.

        The middle one of all, so that a few wrong readings do not matter; 1 where it is no likely level.
        """
        read = readings[: len(self._magnitude)]
        there = np.ones(len(read), dtype=bool)
        there[missing[missing < len(read)]] = False
        if not there.any():
            return 1.0
        found = float(np.median(read[there] / np.maximum(np.abs(seen[self._magnitude[there]]), TINY)))
        return found if 0.8 < found < 1.25 else 1.0

    def change(self, seen: Complexes, of_seen: Complexes) -> Floats:
        """
        Give how what meters tell changes when what they see changes a little.

        Parameters
        ----------
        seen : numpy.ndarray
            Where, shape (u,).
        of_seen : numpy.ndarray
            Changes of it, one in each column, shape (u, j).

        Returns
        -------
        numpy.ndarray
            Shape (e, j).
        """
        unit = _unit(seen)[:, np.newaxis]
        at = self._magnitude
        magnitudes = (unit[at].conj() * of_seen[at]).real
        if self.only_magnitudes:
            return magnitudes
        size = np.maximum(np.abs(seen), TINY)[:, np.newaxis]

        def along(at: Integers) -> Floats:
            soft = np.hypot(np.abs(seen[at]), self._soft)[:, np.newaxis]
            return (seen[at].conj()[:, np.newaxis] * of_seen[at]).real / soft

        def turning(at: Integers) -> Floats:
            return (unit[at].conj() * of_seen[at]).imag / size[at]

        voltage, current = self._pair_voltage, self._pair_current
        powers = of_seen[voltage] * seen[current].conj()[:, np.newaxis]
        powers += seen[voltage][:, np.newaxis] * of_seen[current].conj()
        return np.concatenate(
            [
                magnitudes,
                turning(self._angle),
                along(self._current),
                turning(self._current_angle),
                self._sum_p @ powers.real,
                self._sum_q @ powers.imag,
            ]
        )

    def bend(self, before: Complexes, now: Complexes) -> Floats:
        """
        Give how much readings differ from what derivatives elsewhere make of them, in their stated uncertainty.

        Parameters
        ----------
        before, now : numpy.ndarray
            What was seen where the derivatives were taken, and what is seen, shape (u,).

        Returns
        -------
        numpy.ndarray
            To second order, shape (e,) [1].
        """
        away = np.abs(now - before)
        size = np.maximum(np.abs(now), TINY)
        angles = away**2 / size**2
        powers = away[self._pair_voltage] * away[self._pair_current]
        bent = [
            away[self._magnitude] ** 2 / (2.0 * size[self._magnitude]),
            angles[self._angle],
            away[self._current] ** 2 / (2.0 * np.hypot(size[self._current], self._soft)),
            angles[self._current_angle],
            self._sum_p @ powers,
            self._sum_q @ powers,
        ]
        found: Floats = np.concatenate(bent) / self._sigma
        return found

    def tilt(self, before: Complexes, now: Complexes) -> Floats:
        """
        Give how much otherwise powers depend on voltages than where derivatives were taken: as currents have changed.

        Returns
        -------
        numpy.ndarray
            For voltages that change by all of themselves, in the stated uncertainty of each power, shape (k,) [1].
        """
        voltage, current = self._pair_voltage, self._pair_current
        tilted = np.abs(now[voltage]) * np.abs(now[current] - before[current])
        powers = np.concatenate([self._sum_p @ tilted, self._sum_q @ tilted])
        found: Floats = powers / self._sigma[len(self._sigma) - len(powers) :]
        return found

    def towards(self, seen: Complexes, weights: Floats) -> Complexes:
        """
        Apply the transpose of `change`: in which direction of what is seen weighted readings grow.

        Parameters
        ----------
        seen : numpy.ndarray
            Where, shape (u,).
        weights : numpy.ndarray
            Shape (e, j).

        Returns
        -------
        numpy.ndarray
            Shape (u, j); the change of the weighted sum is the real part of its conjugate times the change of `seen`.
        """
        found = np.zeros((len(seen), weights.shape[1]), dtype=complex)
        unit, size = _unit(seen)[:, np.newaxis], np.maximum(np.abs(seen), TINY)[:, np.newaxis]
        start = 0
        for at, turning in (
            (self._magnitude, False),
            (self._angle, True),
            (self._current, False),
            (self._current_angle, True),
        ):
            along = 1j * unit[at] / size[at] if turning else unit[at]
            if at is self._current:
                along = (seen[at] / np.hypot(np.abs(seen[at]), self._soft))[:, np.newaxis]
            np.add.at(found, at, along * weights[start : start + len(at)])
            start += len(at)
        active = self._sum_p.shape[0]
        if len(self._pair_voltage):
            complex_weights = self._sum_p.T @ weights[start : start + active] + 1j * (
                self._sum_q.T @ weights[start + active :]
            )
            voltage, current = self._pair_voltage, self._pair_current
            np.add.at(found, voltage, seen[current][:, np.newaxis] * complex_weights)
            np.add.at(found, current, seen[voltage][:, np.newaxis] * complex_weights.conj())
        return found

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


def _unit(seen: Complexes) -> Complexes:
    return seen / np.maximum(np.abs(seen), TINY)
