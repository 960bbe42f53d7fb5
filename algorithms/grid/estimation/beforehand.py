"""
What an estimator knows before it looks at voltages: sources' emfs, and what each element draws, measured or forecast.

Where it stands: `least_squares` asks for a `Scan` of a list of readings; `iteration` starts from it.

Rules:

- P and Q of each element are known beforehand, each apart: read where a meter tells it, else forecast, else not known
  at all. A forecast beyond what the network can carry is none. A sigma of 0 fixes it; one that is not known becomes as
  large as what the network could carry there, or the element's rating.
- As long as every meter answers and sigmas are those of the measurements, a scan differs from the last one in numbers
  only, and is filled in as such: meters are many and scans are fast.
"""

from dataclasses import dataclass

import numpy as np

from algorithms.api.network import NetworkModel
from algorithms.api.network_tables import Complexes, Floats, Integers, Truths
from algorithms.grid.elements import demand
from algorithms.grid.estimation.measurement import Quantity
from algorithms.grid.estimation.measurement_table import NONE, QUANTITIES, MeasurementTable
from algorithms.grid.estimation.observation import Observation
from algorithms.grid.estimation.response import Response
from algorithms.grid.estimation.tangent import PER_SOURCE

FINEST = {
    Quantity.VOLTAGE: 1e-4,
    Quantity.VOLTAGE_ANGLE: 1e-7,
    Quantity.CURRENT: 1e-5,
    Quantity.CURRENT_ANGLE: 1e-7,
    Quantity.P: 1e-2,
    Quantity.Q: 1e-2,
}
"""No meter is surer than this, whatever it says: a sigma taken as a share of a reading of 0 is none [V, rad, A, W]."""


CANDIDATES = 5
"""Largest forecasts that are looked at together."""
DEEPEST = 0.1
"""An element of which nothing is known draws what makes the voltage drop by as much there, more or less [1]."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """
    What is known of sources without any reading, as standard uncertainties relative to nominal voltage.

    Attributes
    ----------
    magnitude : float
        Of the positive sequence [1].
    angle : float
        Of sources beyond the first of an island, whose angle is the reference [rad].
    negative_sequence, zero_sequence : float
        Unbalance, real and imaginary part each [1]. A meter below a winding without zero sequence (Dyn) cannot see
        the zero sequence above it: this figure is then all that is known.
    """

    magnitude: float = 0.2
    angle: float = 0.05
    negative_sequence: float = 0.01
    zero_sequence: float = 0.01


@dataclass(frozen=True, slots=True, eq=False)
class Scan:
    """
    What one scan starts from.

    Attributes
    ----------
    start : numpy.ndarray
        State expected beforehand, shape (n,).
    u_state : numpy.ndarray
        Its sigma, shape (n,).
    readings : numpy.ndarray
        Of the equations, 0 where missing, shape (e,).
    u_readings : numpy.ndarray
        Their sigma, infinite where missing, shape (e,).
    missing : numpy.ndarray
        Equations without a reading.
    told : numpy.ndarray
        Whether P, then Q, of each element was read, shape (2 m,), bool.
    known : numpy.ndarray
        Whether it was read or forecast, shape (2 m,), bool.
    """

    start: Floats
    u_state: Floats
    readings: Floats
    u_readings: Floats
    missing: Integers
    told: Truths
    known: Truths


class Beforehand:
    """
    What is known beforehand of one network.

    Parameters
    ----------
    model : NetworkModel
    response : Response
    observation : Observation
    table : MeasurementTable
    anchor : Anchor
    """

    def __init__(
        self,
        model: NetworkModel,
        response: Response,
        observation: Observation,
        table: MeasurementTable,
        anchor: Anchor,
    ) -> None:
        self._elements = response.elements
        self._extra, self._comparable = observation.equations.extra, observation.equations.comparable
        self._place = response.elements.row, response.elements.column
        self._finest = np.array([FINEST[quantity] for quantity in QUANTITIES])[table.quantity]
        self._u_measurements = np.maximum(table.uncertainty, self._finest)
        # Without synchrophasors, angles mean nothing but relative to each other.
        absolute = bool(table.of(Quantity.VOLTAGE_ANGLE, Quantity.CURRENT_ANGLE).any())
        self._sigma_of_sources = _anchored(model, anchor, absolute=absolute)
        self.sources = len(self._sigma_of_sources)
        tables = (model.loads, model.generators)
        self._shape = (len(model.loads) + len(model.generators), 3)
        self._expected = demand(model)[self._place]
        self._u_expected = np.empty(len(self._elements), dtype=complex)
        self._u_expected.real = np.concatenate([table.u_p for table in tables])[self._place]
        self._u_expected.imag = np.concatenate([table.u_q for table in tables])[self._place]
        self._rated = np.concatenate([table.rated_power for table in tables])[self._place[0]]
        self._unknown = np.full(len(self._elements), np.nan)
        self._impedances = observation.impedances
        own = observation.own.T.ravel()  # P of all elements, then Q, as the state has them
        self._read = np.flatnonzero(own != NONE)
        self._reading = own[self._read]
        self._usual: Scan | None = None
        self._usual_prior: tuple[Complexes | None, Complexes | None] = (None, None)

    def scan(
        self, values: Floats, uncertainty: Floats | None, prior: Complexes | None, u_prior: Complexes | None
    ) -> Scan:
        """
        Gather what one scan starts from; parameters and errors as in `least_squares.Estimator.estimate`.

        The same objects of sigmas come back as long as they are those of the scan before with all readings.
        """
        usual = self._usual
        if uncertainty is None and usual is not None and self._as_usual(values, prior, u_prior):
            start = usual.start.copy()
            start[self.sources + self._read] = values[self._reading]
            readings = self._comparable(values[self._extra])
            return Scan(start, usual.u_state, readings, usual.u_readings, usual.missing, usual.told, usual.known)
        scan = self._gathered(values, uncertainty, prior, u_prior)
        if uncertainty is None and not len(scan.missing) and np.count_nonzero(scan.told) == len(self._read):
            self._usual = scan
            self._usual_prior = tuple(None if each is None else each.copy() for each in (prior, u_prior))  # type: ignore[assignment]
        return scan

    def own_readings(self, values: Floats) -> tuple[Complexes, Integers]:
        """
        Give what meters read of the powers of elements.

        Returns
        -------
        powers : numpy.ndarray
            0 for what was not read, shape (m,) [VA].
        measurement : numpy.ndarray
            The larger of the one of P and the one of Q, shape (m,).
        """
        parts, count = np.zeros(2 * len(self._elements)), len(self._elements)
        parts[self._read] = np.nan_to_num(values[self._reading], posinf=0.0, neginf=0.0)
        index = np.zeros(2 * count, dtype=np.intp)
        index[self._read] = self._reading
        larger = np.where(np.abs(parts[:count]) >= np.abs(parts[count:]), index[:count], index[count:])
        return parts[:count] + 1j * parts[count:], larger

    def _as_usual(self, values: Floats, prior: Complexes | None, u_prior: Complexes | None) -> bool:
        """Tell whether nothing but numbers that meters read is different from the usual scan."""
        if values.shape != self._u_measurements.shape or not np.isfinite(values.sum()):
            return False
        if len(self._read) == 2 * len(self._elements):
            return (prior is None or prior.shape == self._shape) and (u_prior is None or u_prior.shape == self._shape)
        for now, before in zip((prior, u_prior), self._usual_prior, strict=True):
            if (now is None) != (before is None):
                return False
            if now is not None and before is not None and not np.array_equal(now, before):
                return False
        return True

    def _ignorance(self, wanted: Truths) -> Floats:
        """
        Say how large a power of each element may be of which nothing is known, shape (m,) [VA].

        Parameters
        ----------
        wanted : numpy.ndarray
            Which P, then which Q, are asked about, shape (2 m,), bool; others are 0 until they are.
        """
        new = np.flatnonzero(wanted.reshape(2, -1).any(axis=0) & np.isnan(self._unknown))
        if len(new):
            most = DEEPEST * self._elements.nominal[new] ** 2 / np.maximum(self._impedances(new), 1e-9)
            self._unknown[new] = np.minimum(most, self._rated[new])
        return np.asarray(np.nan_to_num(self._unknown))

    def _beyond(self, expected: Complexes) -> Truths:
        """
        Tell which forecasts are more than the network can carry, as watts written for kilowatts are, shape (m,).

        They are no knowledge: the load counts as one of which nothing is known.
        """
        with np.errstate(all="ignore"):
            draw = np.nan_to_num(np.abs(expected), posinf=0.0) / self._elements.nominal**2
        beyond = np.zeros(len(draw), dtype=bool)
        largest = np.argsort(draw)[::-1]
        for start in range(0, len(largest), CANDIDATES):
            some = largest[start : start + CANDIDATES]
            # U squared over 4 |Z| is the most that an impedance draws behind another one of the same angle.
            beyond[some] = 4.0 * self._impedances(some) * draw[some] > 1.0
            if not beyond[some].all():
                break
        return beyond

    def _check(self, values: Floats, uncertainty: Floats | None, *powers: Complexes | None) -> None:
        shape = self._u_measurements.shape
        for name, array in (("values", values), ("uncertainties", uncertainty)):
            if array is not None and array.shape != shape:
                raise ValueError(f"{name} of shape {shape} expected, one for each measurement, found {array.shape}")
        for power in powers:
            if power is not None and power.shape != self._shape:
                raise ValueError(
                    f"powers of shape {self._shape} expected (loads, then generators), found {power.shape}"
                )

    def _gathered(
        self, values: Floats, uncertainty: Floats | None, prior: Complexes | None, u_prior: Complexes | None
    ) -> Scan:
        self._check(values, uncertainty, prior, u_prior)
        u_values = self._u_measurements if uncertainty is None else np.maximum(uncertainty, self._finest)
        there = np.isfinite(values) & np.isfinite(u_values)
        expected = self._expected if prior is None else prior[self._place]
        sigma = self._u_expected if u_prior is None else u_prior[self._place]
        power = np.concatenate([expected.real, expected.imag])
        u_power = np.concatenate([sigma.real, sigma.imag])
        known = np.isfinite(power) & np.isfinite(u_power) & (u_power >= 0)
        known &= ~np.tile(self._beyond(expected), 2)
        power = np.where(known, power, 0.0)
        if not known.all():
            u_power = np.where(known, u_power, np.tile(self._ignorance(~known), 2))
        told = np.zeros(len(power), dtype=bool)
        told[self._read] = there[self._reading]
        at, reading = self._read[there[self._reading]], self._reading[there[self._reading]]
        power[at], u_power[at] = values[reading], u_values[reading]
        missing = ~there[self._extra]
        return Scan(
            start=np.concatenate([np.zeros(self.sources), power]),
            u_state=np.concatenate([self._sigma_of_sources, u_power]),
            readings=np.where(missing, 0.0, self._comparable(values[self._extra])),
            u_readings=np.where(missing, np.inf, u_values[self._extra]),
            missing=np.flatnonzero(missing),
            told=told,
            known=known | told,
        )


def _anchored(model: NetworkModel, anchor: Anchor, *, absolute: bool) -> Floats:
    """Give the sigma of the sources' state; one angle is fixed unless they are absolute, shape (6 s,) [V]."""
    sources = model.sources
    first = [0]
    if len(sources) != 1:
        first = [int(island.sources[0]) for island in model.islands() if len(island.sources)]
    sigma = np.zeros((len(sources), PER_SOURCE))
    sigma[:, 0:2], sigma[:, 4:6] = anchor.zero_sequence, anchor.negative_sequence
    sigma[:, 2] = np.where(sources.voltage_uncertainty > 0, sources.voltage_uncertainty, anchor.magnitude)
    sigma[:, 3] = anchor.angle
    sigma[first, 3] = anchor.magnitude if absolute else 0.0
    return (sigma * np.abs(sources.voltage)[:, np.newaxis]).ravel()
