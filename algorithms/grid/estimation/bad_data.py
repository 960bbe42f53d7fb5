"""
Readings that contradict the others: found, named with their alternatives, left out, and the state estimated again.

Where it stands: plug-ins call `examine` instead of `Estimator.estimate`.

Rules:

- Two tests: chi squared on J, and the largest normalised residual against what the largest of so many reaches by
  chance. One reading is left out at a time, and the state solved again.
- A critical reading is never blamed. Where several readings would explain a contradiction as well, all are named.
- Where readings ask for more than the network can carry, as W in place of kW do, the one furthest beyond that is left
  out first, since no estimate has such a reading; failing such, the largest residual of the linear estimate.
- What is left out is replaced as if the meter had fallen silent, uncertainty included; a power goes with the other
  powers of the same meter.
- Where several readings explain a contradiction as well, none is left out: each becomes as unsure as it would be wrong.
  So no wrong state is told with a small sigma, whichever it was.

References
----------
A. Abur, A. G. Exposito, *Power System State Estimation*, Marcel Dekker 2004, sections 5.6 and 5.7. E. Handschin et al.,
IEEE Trans. PAS 94:2 (1975) 329-337, doi 10.1109/T-PAS.1975.31858.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import chdtri, ndtri

from algorithms.api.network_tables import Complexes, Floats, Integers
from algorithms.grid.estimation.estimate import Estimate
from algorithms.grid.estimation.least_squares import Estimator
from algorithms.grid.estimation.measurement import POWERS, Measurement
from algorithms.grid.estimation.residuals import judge_residuals

CONFIDENCE = 0.99
"""Share of scans without any bad reading that pass each of the two tests."""
LARGEST = 3.0
"""A reading whose normalised residual is above this is suspected where J is too large [1]."""
TINY = 1e-9
MOST = 10
"""Most contradictions followed up in one scan."""


@dataclass(frozen=True, slots=True)
class Contradiction:
    """
    A reading that was left out.

    Attributes
    ----------
    measurement : str
    normalised_residual : float
        Reading less estimate, over its standard deviation; where no estimate has such a reading, all of it [1].
    alternatives : tuple of str
        Readings that would explain it as well.
    """

    measurement: str
    normalised_residual: float
    alternatives: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Examined:
    """
    An estimate, and what was left out to get it.

    Attributes
    ----------
    estimate : Estimate
    suspects : tuple of Contradiction
        In the order they were left out.
    consistent : bool
        Whether what is left agrees with itself.
    limit : float
        What J must not exceed [1].
    """

    estimate: Estimate
    suspects: tuple[Contradiction, ...]
    consistent: bool
    limit: float


def examine(
    estimator: Estimator,
    values: Floats,
    uncertainty: Floats | None = None,
    *,
    prior: Complexes | None = None,
    u_prior: Complexes | None = None,
    confidence: float = CONFIDENCE,
    most: int = MOST,
) -> Examined:
    """
    Estimate the state, leaving out what contradicts the rest.

    Parameters
    ----------
    estimator : Estimator
    values, uncertainty, prior, u_prior
        As in `Estimator.estimate`.
    confidence : float
        Share of scans without any bad reading that pass each of the two tests [1].
    most : int
        Most readings to leave out.
    """
    values = np.array(values, dtype=float)
    sigma = np.array([each.uncertainty for each in estimator.measurements]) if uncertainty is None else uncertainty
    widened: Floats | None = None
    suspects: list[Contradiction] = []
    while True:
        taken = uncertainty if widened is None else widened
        estimate = estimator.estimate(values, taken, prior=prior, u_prior=u_prior)
        limit = chi_squared_limit(estimate.degrees_of_freedom, confidence)
        beyond = None if estimate.converged else estimator.unbearable(values)
        if beyond is not None and len(suspects) < most:
            index = beyond[0]
            name = estimator.measurements[index].id
            suspects.append(Contradiction(name, float(values[index]) / max(float(sigma[index]), TINY), ()))
            values[_with_it(estimator.measurements, index)] = np.nan
            continue
        if not estimate.converged and not estimate.returning:
            estimate = estimator.estimate(values, taken, prior=prior, u_prior=u_prior, iterations=1)
        excessive = not estimate.converged or estimate.objective > limit
        worst = _worst(estimate, confidence, excessive=excessive)
        if worst is None or len(suspects) >= most:
            return Examined(estimate, tuple(suspects), not excessive and worst is None, limit)
        suspects.append(worst.contradiction)
        if len(worst.rows) == 1:
            values[_with_it(estimator.measurements, int(worst.rows[0]))] = np.nan
            continue
        widened = sigma.copy() if widened is None else widened.copy()
        widened[worst.rows] = np.hypot(widened[worst.rows], worst.errors)


def _with_it(measurements: Sequence[Measurement], index: int) -> list[int]:
    """Give a reading and those believed no more than it: a meter wrong in one power is wrong in all of them."""
    one = measurements[index]
    if one.quantity not in POWERS:
        return [index]
    return [
        number
        for number, each in enumerate(measurements)
        if each.quantity in POWERS and (each.place, each.end) == (one.place, one.end)
    ]


def chi_squared_limit(degrees_of_freedom: int, confidence: float) -> float:
    """Give what a sum of as many squared normal numbers exceeds in a share of 1 - `confidence` of all cases [1]."""
    return float(chdtri(degrees_of_freedom, 1.0 - confidence)) if degrees_of_freedom else np.inf


@dataclass(frozen=True, slots=True, eq=False)
class _Worst:
    contradiction: Contradiction
    rows: Integers
    """Measurements that explain it, the most suspicious first."""
    errors: Floats
    """How wrong each would be [unit of its quantity]."""


def _worst(estimate: Estimate, confidence: float, *, excessive: bool) -> _Worst | None:
    residuals = judge_residuals(estimate)
    judged = int(np.count_nonzero(~residuals.critical))
    if not judged:
        return None
    limit = LARGEST if excessive else float(ndtri(1.0 - (1.0 - confidence) / (2.0 * judged)))
    row = int(np.argmax(np.abs(residuals.normalised)))
    if not abs(residuals.normalised[row]) > limit:
        return None
    names = [measurement.id for measurement in estimate.measurements]
    rows = np.concatenate([[row], residuals.alternatives(row)]).astype(np.intp)
    measurements = residuals.measurement[rows]
    contradiction = Contradiction(
        names[int(measurements[0])],
        float(residuals.normalised[row]),
        tuple(names[int(index)] for index in measurements[1:]),
    )
    return _Worst(contradiction, measurements, np.abs(residuals.errors(rows)))
