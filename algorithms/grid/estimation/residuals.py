r"""
Residuals of all measurements, divided by their own standard deviation: which of them the others contradict.

Where it stands: `bad_data` judges readings by it. A reading that takes the place of what is expected of an element is
a measurement like the others; its row of the sensitivity is a unit vector. With rows g in the directions of the gain,

.. math:: \Omega_{ij} = \delta_{ij} - g_i M^{-1} g_j^T, \quad r^N_i = r_i / (\sigma_i \sqrt{\Omega_{ii}})

Rules:

- A measurement whose variance after the estimate is that before it (:math:`\Omega` near 0) is critical: nothing else
  tells of it, it has no residual, and it is never blamed.
- Two measurements whose residuals go together cannot be told apart; then both are named.

References
----------
A. Abur, A. G. Exposito, *Power System State Estimation*, Marcel Dekker 2004, chapter 5.
"""

from dataclasses import dataclass

import numpy as np

from algorithms.api.network_tables import Floats, Integers
from algorithms.grid.estimation.estimate import Estimate
from algorithms.grid.estimation.measurement_table import NONE

CRITICAL = 1e-9
"""Share of its variance below which a residual says nothing [1]."""
BENT = 0.1
"""Share of a residual that equations which are not straight add or take away [1]."""
CHANCE = 3.0
"""A normalised residual that chance explains [1]."""


@dataclass(frozen=True, slots=True, eq=False)
class Residuals:
    """
    Residuals of the measurements that could be judged.

    Attributes
    ----------
    measurement : numpy.ndarray
        Which measurement, shape (k,).
    normalised : numpy.ndarray
        Residual over its standard deviation, shape (k,) [1]; 0 for critical ones.
    critical : numpy.ndarray
        Shape (k,), bool.
    """

    measurement: Integers
    normalised: Floats
    critical: np.ndarray[tuple[int], np.dtype[np.bool_]]
    _rows: Floats
    _equations: int
    _inverse: Floats
    _gained: Floats
    _share: Floats
    _sigma: Floats

    def errors(self, rows: Integers) -> Floats:
        """Give how wrong each of these would be if it alone were, in the unit of its quantity, shape (k,)."""
        share = np.maximum(self._share[rows], CRITICAL)
        wrong: Floats = self.normalised[rows] * self._sigma[rows] / np.sqrt(share)
        return wrong

    def alternatives(self, row: int) -> Integers:
        """
        Give the rows that would explain the residual of `row` as well.

        Those without which the residual of `row` is one of chance, and with which J falls by less than 9 less: about
        three standard deviations of likelihood.
        """
        covariance = -(self._rows @ (self._inverse @ self._rows[row]))
        if row >= self._equations:
            covariance[self._equations :] = self._rows[self._equations :] @ (self._gained @ self._rows[row])
        judged = ~self.critical
        judged[row] = False
        others = np.flatnonzero(judged)
        together = np.clip(covariance[others] / np.sqrt(self._share[others] * self._share[row]), -1.0, 1.0)
        own, found = self.normalised[row], self.normalised[others]
        explained = np.abs(own - together * found) < CHANCE * np.sqrt(1.0 - together**2) + BENT * abs(own)
        alike: Integers = others[explained & (found**2 > ((1.0 - BENT) * own) ** 2 - CHANCE**2)]
        return alike


def judge_residuals(estimate: Estimate) -> Residuals:
    """Divide the residuals of an estimate by their standard deviations."""
    gain, patch, scan = estimate.gain, estimate.patch, estimate.scan
    directions = len(gain.strength)
    more = 0 if patch is None else len(patch.widened)
    observation = gain.tangent.observation
    inverse = np.diag(np.concatenate([gain.shrink, np.ones(more)]))
    if patch is not None:
        inverse -= patch.across @ patch.middle @ patch.across.T

    present = np.ones(len(estimate.residuals), dtype=bool)
    present[scan.missing] = False
    equations = np.flatnonzero(present)
    known = gain.u_readings[equations]
    rows = np.zeros((len(equations), directions + more))
    rows[:, :directions] = gain.left[equations] * (known[:, np.newaxis] * gain.strength)
    if patch is not None:
        rows[:, directions:] = patch.pull[equations] * known[:, np.newaxis]

    count = len(gain.tangent.inverse)
    start = len(scan.start) - 2 * count
    own = observation.own.T.ravel()  # P of all elements, then Q, as the state has them
    told = scan.told & (own != NONE) & (gain.u_state[start:] > 0)
    if patch is not None:
        widened = patch.widened[patch.widened >= start] - start
        told[widened] = False
    entries = np.flatnonzero(told)
    sigma = gain.u_state[start + entries]
    own_rows = np.zeros((len(entries), directions + more))
    own_rows[:, :directions] = gain.right[start + entries] / sigma[:, np.newaxis]

    # What readings tell of entries of the state may be as little as a billionth: sums of what they tell, not
    # differences of what is left, keep its digits.
    gained = np.diag(np.concatenate([1.0 - gain.shrink, np.zeros(more)]))
    if patch is not None:
        gained += patch.across @ patch.middle @ patch.across.T
    share = np.concatenate(
        [
            1.0 - np.einsum("ij,ij->i", rows @ inverse, rows),
            np.einsum("ij,ij->i", own_rows @ gained, own_rows),
        ]
    )
    rows = np.concatenate([rows, own_rows])
    critical = share < CRITICAL
    residuals = np.concatenate(
        [estimate.residuals[equations] / known, -(own_rows[:, :directions] @ estimate.along[:directions])]
    )
    normalised = np.where(critical, 0.0, residuals / np.sqrt(np.where(critical, 1.0, share)))
    measurement = np.concatenate([observation.equations.extra[equations], own[entries]])
    sigmas = np.concatenate([known, sigma])
    return Residuals(measurement, normalised, critical, rows, len(equations), inverse, gained, share, sigmas)
