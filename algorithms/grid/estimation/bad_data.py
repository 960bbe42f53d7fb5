"""
Readings that contradict the others: found, named with their alternatives, left out, and the state estimated again.

Where it stands: plug-ins call `examine` instead of `Estimator.estimate`.

Rules:

- Two tests: chi squared on J, and the largest normalised residual against what the largest of so many reaches by
  chance. One reading is left out at a time, and the state solved again.
- A critical reading is never blamed. Where several readings would explain a contradiction as well, all of them are
  named; the one with the largest residual is left out.
- Where readings ask for more than the network can carry, as W in place of kW do, the one furthest beyond that is left
  out first, since no estimate has such a reading; failing such, the largest residual of the linear estimate.
- What is left out is replaced as if the meter had fallen silent, uncertainty included.

References
----------
A. Abur, A. G. Exposito, *Power System State Estimation*, Marcel Dekker 2004, sections 5.6 and 5.7. E. Handschin et al.,
IEEE Trans. PAS 94:2 (1975) 329-337, doi 10.1109/T-PAS.1975.31858.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import chdtri, ndtri

from algorithms.api.network_tables import Complexes, Floats
from algorithms.grid.estimation.estimate import Estimate
from algorithms.grid.estimation.least_squares import Estimator
from algorithms.grid.estimation.residuals import judge_residuals

CONFIDENCE = 0.99
"""Share of scans without any bad reading that pass each of the two tests."""
LARGEST = 3.0
"""A reading whose normalised residual is above this is suspected where J is too large [1]."""
MOST = 10
"""Most readings left out of one scan."""


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
    values = values.copy()
    suspects: list[Contradiction] = []
    while True:
        estimate = estimator.estimate(values, uncertainty, prior=prior, u_prior=u_prior)
        limit = chi_squared_limit(estimate.degrees_of_freedom, confidence)
        beyond = None if estimate.converged else estimator.unbearable(values)
        if beyond is not None and len(suspects) < most:
            index, _ = beyond
            sigma = estimator.measurements[index].uncertainty if uncertainty is None else float(uncertainty[index])
            suspects.append(Contradiction(estimator.measurements[index].id, float(values[index]) / sigma, ()))
            values[index] = np.nan
            continue
        if not estimate.converged:
            estimate = estimator.estimate(values, uncertainty, prior=prior, u_prior=u_prior, iterations=1)
        excessive = not estimate.converged or estimate.objective > limit
        worst = _worst(estimate, confidence, excessive=excessive)
        if worst is None or len(suspects) >= most:
            return Examined(estimate, tuple(suspects), not excessive and worst is None, limit)
        index, contradiction = worst
        suspects.append(contradiction)
        values[index] = np.nan


def chi_squared_limit(degrees_of_freedom: int, confidence: float) -> float:
    """Give what a sum of as many squared normal numbers exceeds in a share of 1 - `confidence` of all cases [1]."""
    return float(chdtri(degrees_of_freedom, 1.0 - confidence)) if degrees_of_freedom else np.inf


def _worst(estimate: Estimate, confidence: float, *, excessive: bool) -> tuple[int, Contradiction] | None:
    residuals = judge_residuals(estimate)
    judged = int(np.count_nonzero(~residuals.critical))
    if not judged:
        return None
    limit = LARGEST if excessive else float(ndtri(1.0 - (1.0 - confidence) / (2.0 * judged)))
    row = int(np.argmax(np.abs(residuals.normalised)))
    if not abs(residuals.normalised[row]) > limit:
        return None
    names = [measurement.id for measurement in estimate.measurements]
    index = int(residuals.measurement[row])
    alternatives = tuple(names[int(residuals.measurement[other])] for other in residuals.alternatives(row))
    return index, Contradiction(names[index], float(residuals.normalised[row]), alternatives)
