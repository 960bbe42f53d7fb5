"""
What meters make of the voltages and currents they see: magnitudes, angles and powers, and how these change.

Where it stands: `observation` says what is seen of a network, linearly; here is what is not linear.

Rules:

- Equations stand in the order of `QUANTITIES`, whatever the order of the measurements.
- The magnitude of a current has no slope at 0, and an idle phase is read as 0 every night. Readings and currents are
  both taken as the root of their square plus (`SOFT` sigma) squared: the same thing where there is current, a weak
  bound where there is none.
"""

import numpy as np
from scipy.sparse import csr_array

from algorithms.api.network_tables import Complexes, Floats, Integers
from algorithms.grid.estimation.measurement_table import QUANTITIES, MeasurementTable

SOFT = 3.0
TINY = 1e-9
"""What is smaller has no angle [V, A]."""


class Equations:
    """
    What a list of measurements tells of what is seen.

    Parameters
    ----------
    table : MeasurementTable
    measurement : numpy.ndarray
        Which measurement each part is of, phase by phase, shape (p,).
    voltage, current : numpy.ndarray
        What of all that is seen its parts are made of; voltages have no current, shape (p,).

    Attributes
    ----------
    extra : numpy.ndarray
        Measurements that are equations, in the order of the equations, shape (e,).
    angle_rows : numpy.ndarray
        Equations whose residuals are angles.
    current_rows : numpy.ndarray
        Equations of magnitudes of currents.
    only_magnitudes : bool
        Whether all equations are magnitudes of voltages.
    """

    def __init__(self, table: MeasurementTable, measurement: Integers, voltage: Integers, current: Integers) -> None:
        order = np.lexsort((measurement, table.quantity[measurement]))
        measurement, voltage, current = measurement[order], voltage[order], current[order]
        starts = np.flatnonzero(np.diff(measurement, prepend=-1))
        self.extra: Integers = measurement[starts]
        self._sigma: Floats = table.uncertainty[self.extra]
        magnitude, angle, drawn, turned, p, q = (table.quantity[measurement] == each for each in range(len(QUANTITIES)))
        self._magnitude: Integers = voltage[magnitude]
        self._angle: Integers = voltage[angle]
        self._current, self._current_angle = current[drawn], current[turned]
        powers = p | q
        _, earliest, number = np.unique(
            voltage[powers] * (current.max(initial=0) + 1) + current[powers], return_index=True, return_inverse=True
        )
        self._pair_voltage, self._pair_current = voltage[powers][earliest], current[powers][earliest]
        active = np.count_nonzero(p)
        self._sum_p = _sums(measurement[p], number[:active], len(earliest))
        self._sum_q = _sums(measurement[q], number[active:], len(earliest))
        first = len(self._magnitude)
        second = first + len(self._angle) + len(self._current)
        self.angle_rows = np.concatenate(
            [np.arange(first, first + len(self._angle)), np.arange(second, second + len(self._current_angle))]
        ).astype(np.intp)
        currents = np.arange(first + len(self._angle), second)
        self.current_rows: Integers = currents.astype(np.intp)
        self._soft: Floats = SOFT * self._sigma[self.current_rows]
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


def _unit(seen: Complexes) -> Complexes:
    return seen / np.maximum(np.abs(seen), TINY)


def _sums(measurement: Integers, number: Integers, count: int) -> csr_array:
    """Give what sums up the powers of phases, of the numbers given, for each measurement in turn."""
    starts = np.flatnonzero(np.diff(measurement, prepend=-1))
    return csr_array((np.ones(len(number)), number, np.append(starts, len(number))), shape=(len(starts), count))
