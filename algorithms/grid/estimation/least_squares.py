r"""
Weighted least squares: the state of a network that agrees best with what meters tell and what was expected.

Where it stands: plug-ins call it once a scan; `bad_data.examine` calls it when readings contradict each other. It
joins `response` (linear), `observation` (what meters see), `gain` (made once) and gives an `estimate.Estimate`.

With sources' emfs and the powers S of all elements as state x, expected to be x0, it repeats

.. math::
    I \leftarrow (S / U)^*, \quad U \leftarrow \text{response},\quad
    c \leftarrow c + (1 + s^2)^{-1} \left(A^T R^{-1/2} (z - h(x)) - c\right), \quad x = x_0 + P^{1/2} V c

until voltages stand still. Its fixed point is the weighted-least-squares solution, but that the derivatives are those
of the operating point the gain was made at.

Rules:

- Zero injections are exact: what has no element has no state.
- Each P and Q of each element is always known beforehand: measured, or else forecast with a wide sigma. A meter that
  falls silent hands over to the forecast in the same scan, sigma included.
- Other sigmas than the gain was made with: a few rows widened or missing are worked into it (`patch`), many make a new
  one. No result ever carries the sigma of another scan.
- Derivatives are those of where the state is: a state that has moved from where the gain was made gets a new one, and
  after a scan that found no state nothing of it is kept. So the first scan, and one after any other, are as right.
- Every scan is solved to the same tolerance, the first one too.

References
----------
M. Pau et al., IEEE Trans. Instrum. Meas. 68:11 (2019) 4300-4312, doi 10.1109/TIM.2018.2890399 (three levels);
A. Abur, A. G. Exposito, *Power System State Estimation*, Marcel Dekker 2004, chapters 2 and 5.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from algorithms.api.errors import NetworkError
from algorithms.api.network import NetworkModel
from algorithms.api.network_tables import Complexes, Floats, Integers
from algorithms.grid.estimation.beforehand import Anchor, Beforehand, Scan
from algorithms.grid.estimation.estimate import Estimate
from algorithms.grid.estimation.gain import WHOLE, Gain, make_gain
from algorithms.grid.estimation.iteration import Iteration
from algorithms.grid.estimation.measurement import Measurement
from algorithms.grid.estimation.measurement_table import check_measurements, tabulate
from algorithms.grid.estimation.observation import Observation
from algorithms.grid.estimation.patch import Patch, make_patch
from algorithms.grid.estimation.response import Response
from algorithms.grid.estimation.tangent import emf_directions, tangent_at

CANDIDATES = 5
"""Largest powers that are looked at when a scan asks for more than the network can carry."""
BENT = 0.02
"""Readings that bend by more ask for new derivatives, in their own standard uncertainty [1]."""
MOVED = 0.01
"""Voltages that have moved by more ask for new derivatives, relative to nominal [1]."""
UNSURE, TILTED = 0.005, 0.05
"""What voltages may be unsure of, relative to nominal, and what that may change readings by, in their own sigma [1]."""
MOVES = 3
"""Most times that derivatives are taken anew in a scan that has converged."""
SAME = 0.01
"""Sigmas that differ by less, relatively, are those the gain was made with."""
PATCHED = 24
"""Most rows worked into a gain; more make a new one."""
CREPT = 0.25
"""
Two searches on fresh derivatives that change the objective by less end: the state is within half its sigma, in all
directions together. Magnitudes of idle currents, whose equations bend most where they matter least, let it creep [1].
"""
ITERATIONS = 90
RELINEARISED = 8
"""Most steps on derivatives that were made anew within a scan, before they are made anew again."""


class Estimator:
    """
    A network and its metering, ready for any number of scans.

    Parameters
    ----------
    model : NetworkModel
        As its switches stand; another state of them is another estimator.
    measurements : sequence of Measurement
    anchor : Anchor

    Attributes
    ----------
    dead : tuple of str
        Measurements of what no source feeds; they are passed over.

    Raises
    ------
    NetworkError
        When the network cannot be solved, or measurements do not fit it, with every reason found.
    """

    def __init__(self, model: NetworkModel, measurements: Sequence[Measurement], *, anchor: Anchor = Anchor()) -> None:  # noqa: B008 - frozen
        table = tabulate(model, measurements)
        problems = check_measurements(model, measurements, table)
        if problems:
            raise NetworkError(problems)
        self.model, self.measurements = model, tuple(measurements)
        self.response = Response(model)
        self.observation = Observation(model, self.response, measurements, table)
        self.dead = tuple(measurements[index].id for index in self.observation.dead)
        self._beforehand = Beforehand(model, self.response, self.observation, table, anchor)
        self._emf = emf_directions(self.response.emfs)
        self._iteration = Iteration(self.response, self.observation)
        self._gain: Gain | None = None
        self._patch: Patch | None = None

    def estimate(
        self,
        values: Floats,
        uncertainty: Floats | None = None,
        *,
        prior: Complexes | None = None,
        u_prior: Complexes | None = None,
        iterations: int = ITERATIONS,
    ) -> Estimate:
        """
        Find the state of one scan.

        Parameters
        ----------
        values : numpy.ndarray
            Readings in the order of the measurements, NaN for those that are not there, shape (m,).
        uncertainty : numpy.ndarray or None
            Their standard uncertainties, shape (m,); None for those of the measurements.
        prior : numpy.ndarray or None
            What loads, then generators, are expected to draw, P + j Q, shape (n_loads + n_generators, 3) [VA]; None
            for what the model says.
        u_prior : numpy.ndarray or None
            Standard uncertainties of P as real and of Q as imaginary part; infinite where nothing is known. None for
            what the model says.
        iterations : int
            At most.

        Raises
        ------
        ValueError
            When an array has another shape.
        """
        scan = self._beforehand.scan(values, uncertainty, prior, u_prior)
        found = self._estimated(scan, iterations)
        if not found.converged or found.gain is not self._gain or len(self.observation.equations.current_rows):
            # What led to no state, or to another one than was told, is nothing for the next scan to start from; nor is
            # anything where magnitudes of currents leave several valleys: which one it is, each scan says for itself.
            self._gain = self._patch = None
        return found

    def _estimated(self, scan: Scan, iterations: int) -> Estimate:
        gain, patch = self._weigh(scan)
        turn = self._turn(gain, scan) if len(self.observation.equations.angle_rows) else 0.0
        found = self._solve(scan, gain, patch, turn, iterations)
        for _ in range(MOVES):
            if iterations == 1 or not found.converged or not self._has_moved(found):
                break
            found = self._solve(scan, self._moved(found.gain, scan, self._iteration), None, turn, iterations)
        currents = self.observation.equations.current_rows
        if not len(currents) or iterations == 1 or (found.converged and found.objective <= self._plausible(found)):
            return found
        return self._around_currents(scan, found, turn, iterations)

    def unbearable(self, values: Floats) -> tuple[int, float] | None:
        """
        Find the reading of a power that is furthest beyond what the network can carry to where it was read.

        Parameters
        ----------
        values : numpy.ndarray
            Readings as in `estimate`.

        Returns
        -------
        tuple or None
            Measurement, and how many times what can be carried it is; None where nothing is beyond.
        """
        powers, measurement = self._beforehand.own_readings(values)
        elements = self.response.elements
        draw = np.abs(powers) / elements.nominal**2
        worst = None
        for element in np.argsort(draw)[: -CANDIDATES - 1 : -1].tolist():
            current = np.zeros(self.response.size, dtype=complex)
            current[len(self.response.emfs) + element] = 1.0
            # U squared over 4 |Z| is the most that can be drawn by an impedance behind another one of the same angle.
            times = 4.0 * abs(self.observation.see(current)[element]) * float(draw[element])
            if times > 1.0 and (worst is None or times > worst[1]):
                worst = int(measurement[element]), times
        return worst

    def _has_moved(self, found: Estimate) -> bool:
        """Tell whether the state, or what meters see, is far from where the derivatives were taken."""
        if self._iteration.moved_from(found.gain) > MOVED:
            return True
        if self.observation.equations.only_magnitudes:  # of voltages, which hardly turn
            return False
        before, now = found.gain.tangent.seen, self.observation.see(found.inputs)
        if (self.observation.equations.bend(before, now) > BENT).any():
            return True
        return bool((UNSURE * self.observation.equations.tilt(before, now) > TILTED).any())

    def _solve(self, scan: Scan, gain: Gain, patch: Patch | None, turn: float, iterations: int) -> Estimate:
        iteration = self._iteration
        iteration.run(scan, gain, patch, turn, iterations)
        steps, reached, crept = iteration.steps, math.inf, 0
        while not iteration.converged and steps < iterations:
            # The operating point has moved too far for the derivatives: take them where the steps have led.
            gain, patch = self._moved(gain, scan, iteration), None
            iteration.run_carefully(scan, gain, turn, min(RELINEARISED, iterations - steps))
            steps += iteration.steps
            creeps = abs(reached - iteration.reached) < CREPT and iteration.change < MOVED
            crept = crept + 1 if creeps else 0
            reached = iteration.reached
            iteration.converged |= crept >= 2
        iteration.steps = steps
        return Estimate(self.model, self.measurements, gain, patch, scan, turn, iteration)

    @staticmethod
    def _plausible(found: Estimate) -> float:
        """Give a bound that J of the right state hardly exceeds, whatever is wrong with one or two readings."""
        freedom = found.degrees_of_freedom
        return freedom + 10.0 * math.sqrt(2.0 * freedom) + 100.0

    def _around_currents(self, scan: Scan, first: Estimate, turn: float, iterations: int) -> Estimate:
        """
        Find the state without magnitudes of currents, then with them from there.

        A magnitude fits two directions of the current: with it, the objective may have several valleys.
        """
        rows = self.observation.equations.current_rows
        without = replace(scan, readings=scan.readings.copy(), u_readings=scan.u_readings.copy())
        without.readings[rows], without.u_readings[rows] = 0.0, np.inf
        without = replace(without, missing=np.union1d(scan.missing, rows).astype(np.intp))
        second = self._solve(without, self._make(without, self._operating_point(scan)), None, turn, iterations)
        if not second.converged:
            return first if first.converged else second
        gain = self._moved(second.gain, scan, self._iteration)
        third = self._solve(scan, gain, None, turn, iterations)
        good = [each for each in (first, third) if each.converged]
        best = min(good, key=lambda each: each.objective, default=second)
        contradicted = best.objective > self._plausible(best) and second.objective <= self._plausible(second)
        return second if contradicted else best

    def _moved(self, gain: Gain, scan: Scan, iteration: Iteration) -> Gain:
        """Make the gain anew at the state that steps have led to, or at what was expected where they led nowhere."""
        inputs = iteration.inputs
        with np.errstate(all="ignore"):
            across = np.abs(self.observation.see(inputs)[: len(self.response.elements)])
        nominal = self.response.elements.nominal
        sound = bool(np.isfinite(inputs).all()) and bool(((across > 0.5 * nominal) & (across < 1.5 * nominal)).all())
        away = np.zeros(len(scan.start))
        if sound:
            away = gain.right @ iteration.along[: len(gain.strength)] + iteration.beside
            if self._patch is not None and len(iteration.along) > len(gain.strength):
                away[self._patch.widened] += self._patch.added * iteration.along[len(gain.strength) :]
        new = self._make(scan, inputs if sound else self._operating_point(scan))
        if sound:
            self._iteration.resume(new, away, scan.u_state)
        return new

    def _weigh(self, scan: Scan) -> tuple[Gain, Patch | None]:
        """Give the gain for the sigmas of a scan, with a few rows worked into it where that suffices."""
        gain, u_state, u_readings = self._gain, scan.u_state, scan.u_readings
        if gain is not None:
            if gain.u_state is u_state and gain.u_readings is u_readings:
                return gain, None
            wider = u_state > (1.0 + SAME) * gain.u_state
            narrower = gain.u_state > (1.0 + SAME) * u_state
            known, now = np.isfinite(gain.u_readings), np.isfinite(u_readings)
            both = known & now
            others = now & ~known
            others[both] = np.abs(u_readings[both] - gain.u_readings[both]) > SAME * gain.u_readings[both]
            removed = known & ~now
            rows = np.count_nonzero(wider) + np.count_nonzero(removed)
            if not (narrower.any() or others.any() or rows > PATCHED):
                return gain, self._patched(gain, np.flatnonzero(wider), u_state, np.flatnonzero(removed))
        return self._make(scan, self._operating_point(scan)), None

    def _make(self, scan: Scan, point: Complexes) -> Gain:
        """Make the gain at an operating point, given as inputs."""
        dense = self.observation.dense and len(scan.u_state) <= WHOLE
        tangent = tangent_at(self.response, self.observation, self._emf, point, dense=dense)
        gain = make_gain(tangent, scan.u_state, scan.u_readings)
        self._gain, self._patch = gain, None
        self._iteration.restart(gain)
        return gain

    def _patched(self, gain: Gain, widened: Integers, u_state: Floats, removed: Integers) -> Patch | None:
        if not len(widened) and not len(removed):
            return None
        added = np.sqrt(u_state[widened] ** 2 - gain.u_state[widened] ** 2)
        if self._patch is None or not self._patch.fits(widened, added, removed):
            self._patch = make_patch(gain, widened, added, removed)
        return self._patch

    def _operating_point(self, scan: Scan) -> Complexes:
        """Let the expected powers flow, as far as the network carries them, at about the voltage that is read."""
        emfs, count, start = self.response.emfs, len(self.response.elements), scan.start
        inputs = np.concatenate([emfs, np.zeros(count, dtype=complex)])
        unloaded = self.observation.see(inputs)[:count]
        powers = start[len(start) - 2 * count : len(start) - count] + 1j * start[len(start) - count :]
        across = seen = unloaded
        for _ in range(5):
            inputs[len(emfs) :] = (powers / across).conj()
            seen = self.observation.see(inputs)
            across = seen[:count]
            size = np.abs(across) / np.abs(unloaded)
            wild = (size < 0.7) | (size > 1.3)
            if wild.any():  # expected powers far from the truth: those of the elements concerned count for nothing
                powers = np.where(wild, 0.0, powers)
                across = np.where(wild, unloaded, across)
        level = self.observation.equations.level(seen, scan.readings, scan.missing)
        inputs[: len(emfs)] *= level
        inputs[len(emfs) :] /= level
        return inputs

    def _turn(self, gain: Gain, scan: Scan) -> float:
        """Tell by how much the readings' angles are ahead of the model's [rad]."""
        rows = np.setdiff1d(self.observation.equations.angle_rows, scan.missing)
        expected = self.observation.equations.values(gain.tangent.seen)[rows]
        return float(np.angle(np.exp(1j * (scan.readings[rows] - expected)).sum()))
