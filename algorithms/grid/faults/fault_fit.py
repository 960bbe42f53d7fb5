r"""
The likeliest point of every section: residuals made white, their cost looked at from several points, then refined.

Where it stands: the numerical half of `fault_location`, which says what is measured and judges what is found. Rules:

- A residual weighs by the covariance of all residuals at the point asked about, from the scenarios of
  `fault_scenarios`.
- Places with different covariances are compared by :math:`J + \ln \det C`, their likelihood.
- Where one place explains everything no more is asked; elsewhere the likeliest sections are judged closer.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from algorithms.api.network_tables import Floats, Integers, Truths
from algorithms.grid.faults.fault_impedance import Hypothesis, reactive_voltage
from algorithms.grid.faults.fault_walk import Walk, at_points

POINTS = 11
"""Points of a section at which the cost is looked at first."""
STEPS, STEPS_AGAIN = 4, 2
CLOSER = (2, 6)
"""Least and most sections that are judged closer."""
LIKELY = 9.0
"""An alternative's cost exceeds the best by no more than this: three standard deviations."""
UNEXPLAINED = 2e-5
"""Share of a voltage that no model explains: converters are not quite linear, no load is a constant [1]."""
SMALL = 0.05
"""And what of none is explained, however small it is [V]."""


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """The best point of every section: share of length, cost, cost with likelihood, squared slope of residuals."""

    shares: Floats
    cost: Floats
    weighed: Floats
    slope: Floats


class PlaceFit:
    """
    Fits places to what was measured.

    Parameters
    ----------
    walked : Walk
        All scenarios.
    expected : numpy.ndarray
        What meters read in each scenario, after calibration by their own reading before, shape (s, m, 3) [V].
    uncertainty : numpy.ndarray
        Relative standard uncertainty of that from the meters, shape (m, 3) [1].
    nominal : float
        Phase to neutral [V].
    mirrored : sequence of tuple of int
        Of the `Scenarios`.

    Attributes
    ----------
    plain : Walk
        The feeder as written.
    """

    def __init__(
        self,
        walked: Walk,
        expected: Floats,
        uncertainty: Floats,
        nominal: float,
        mirrored: Sequence[tuple[int, int]] = (),
    ) -> None:
        self._plus, self._minus = (np.array([pair[end] for pair in mirrored], dtype=np.intp) for end in (0, 1))
        self._walked, self.plain = walked, _first(walked)
        self._expected, self._uncertainty, self._nominal = expected, uncertainty, nominal

    def rough(self, hypothesis: Hypothesis, use: Truths) -> tuple[int, float]:
        """Find the best place by a rough scale, without any scenario: the section's row and the share of its length."""
        grid, points = self._grid(hypothesis, use)
        scale = self._rough_scale(use)
        rows = np.arange(grid.shape[0])
        starts = points[np.square(grid / scale).sum(axis=2).argmin(axis=1)]
        found = self._refine(
            hypothesis, use, rows, starts, np.broadcast_to(np.diag(1.0 / scale), (rows.size,) + (scale.size,) * 2)
        )
        best = int(found.cost.argmin())
        return best, float(found.shares[best])

    def _grid(self, hypothesis: Hypothesis, use: Truths) -> tuple[Floats, Floats]:
        """Give the residuals at points of every section, shape (u, p, r) [V], and the points' shares of its length."""
        sections = self._walked.ways.sections.size
        every, points = np.arange(sections), np.linspace(0.0, 1.0, POINTS)
        residuals = self._residuals(self.plain, hypothesis, use, np.repeat(every, POINTS), np.tile(points, sections))[0]
        return residuals.reshape(sections, POINTS, -1), points

    def fit(self, hypothesis: Hypothesis, use: Truths, *, quick: bool = False) -> Fit:
        """
        Fit every section: look at points, refine the best of each, then judge the likeliest sections closer.

        Parameters
        ----------
        use : numpy.ndarray
            Readings that count, shape (m, 3), bool.
        quick : bool
            Leave the last out, where only the size of the cost is asked for.
        """
        grid, points = self._grid(hypothesis, use)
        sections = grid.shape[0]
        every = np.arange(sections)
        best = np.square(grid / self._rough_scale(use)).sum(axis=2).argmin(axis=1)
        whitening, spread = self._whitening(hypothesis, use, every, points[best])
        cost = np.square(grid @ whitening.transpose(0, 2, 1)).sum(axis=2)
        starts = points[_two_lowest(cost)].ravel()
        rows = np.repeat(every, 2)
        found = self._refine(hypothesis, use, rows, starts, whitening[rows])
        fit = _lowest(found, rows, found.cost + spread[rows], sections)
        order = np.argsort(fit.weighed)
        count = int(np.count_nonzero(fit.weighed < fit.weighed.min() + 4 * LIKELY))
        if quick or (count == 1 and fit.cost.min() < use.sum()):  # one place explains everything
            return self._closer(hypothesis, use, fit, order[:1], grid[:, :0])
        return self._closer(hypothesis, use, fit, np.sort(order[: min(max(count, CLOSER[0]), CLOSER[1])]), grid)

    def _closer(self, hypothesis: Hypothesis, use: Truths, fit: Fit, near: Integers, grid: Floats) -> Fit:
        """
        Judge some sections with the covariance of every place itself.

        What wrong data do to a meter's voltage depends on where the fault is; near a metallic one it turns its sign.
        """
        places = np.arange(0, grid.shape[1], 2)
        rows, shares = np.repeat(near, places.size), np.tile(places / (POINTS - 1), near.size)
        whitening, spread = self._whitening(hypothesis, use, np.append(rows, near), np.append(shares, fit.shares[near]))
        starts, both, chosen = fit.shares[near], near, rows.size + np.arange(near.size)
        if places.size:
            white = (whitening[: rows.size] @ grid[rows, np.tile(places, near.size)][..., None])[..., 0]
            weighed = (np.square(white).sum(axis=1) + spread[: rows.size]).reshape(near.size, -1)
            lowest = weighed.argmin(axis=1) + places.size * np.arange(near.size)
            starts, both = np.append(shares[lowest], starts), np.append(near, near)
            chosen = np.append(lowest, chosen)
        found = self._refine(hypothesis, use, both, starts, whitening[chosen])
        whitening, spread = self._whitening(hypothesis, use, both, found.shares)
        found = self._refine(hypothesis, use, both, found.shares, whitening, steps=STEPS_AGAIN)
        closer = _lowest(found, both, found.cost + spread, fit.shares.size)
        judged = np.isfinite(closer.weighed)
        # What was not judged closer is as unlikely as it was, by the yardstick of the nearest.
        offset = float(closer.weighed.min() - fit.weighed[near].min())
        return Fit(
            np.where(judged, closer.shares, fit.shares),
            np.where(judged, closer.cost, fit.cost),
            np.where(judged, closer.weighed, fit.weighed + max(offset, 0.0)),
            np.where(judged, closer.slope, fit.slope),
        )

    def _refine(
        self,
        hypothesis: Hypothesis,
        use: Truths,
        rows: Integers,
        shares: Floats,
        weights: Floats,
        *,
        steps: int = STEPS,
    ) -> Fit:
        """Take Gauss-Newton steps along sections, clipped to them, and keep the best point met."""
        best = Fit(shares, np.full(rows.size, np.inf), np.zeros(0), np.zeros(rows.size))
        length = 1e-3
        for step in range(steps + 1):
            ahead = np.where(shares + length <= 1.0, length, -length)
            both = self._residuals(
                self.plain, hypothesis, use, np.concatenate([rows, rows]), np.concatenate([shares, shares + ahead])
            )[0]
            white = (weights @ np.stack([both[: rows.size], both[rows.size :]], axis=-1)).transpose(2, 0, 1)
            slope = (white[1] - white[0]) / ahead[:, None]
            cost = np.square(white[0]).sum(axis=1)
            square = np.maximum(np.square(slope).sum(axis=1), 1e-30)
            better = cost < best.cost
            best = Fit(
                np.where(better, shares, best.shares), np.where(better, cost, best.cost), best.weighed,
                np.where(better, square, best.slope),
            )  # fmt: skip
            if step < steps:
                move = np.clip(-(slope * white[0]).sum(axis=1) / square, -0.25, 0.25)
                shares = np.clip(best.shares + move if step == 0 else shares + move, 0.0, 1.0)
        return best

    def _residuals(self, walked: Walk, hypothesis: Hypothesis, use: Truths, rows: Integers, shares: Floats) -> Floats:
        """Give all residuals at points, shape (s, n, 1 + used readings) [V]."""
        point = at_points(walked, rows, shares)
        rho, _ = reactive_voltage(hypothesis, point.voltage, point.current)
        apart = np.abs(point.meters[:, :, use]) - self._expected[: rho.shape[0], None][:, :, use]
        return np.concatenate([rho[..., None], apart], axis=2)

    def _rough_scale(self, use: Truths) -> Floats:
        """Give a scale of each residual that is good enough to find where to look closer [V]."""
        voltage = self._nominal
        scale = 1.0 + 1e-3 * self._expected[0][use]
        return np.concatenate([[0.5 + 1e-3 * voltage], scale])

    def _whitening(self, hypothesis: Hypothesis, use: Truths, rows: Integers, shares: Floats) -> tuple[Floats, Floats]:
        """Give what makes residuals at points white, shape (n, r, r), and the logarithm of their spread, (n,)."""
        residuals = self._residuals(self._walked, hypothesis, use, rows, shares)
        change = residuals - residuals[:1]
        # Of an error e of 1 sigma, x e + y e^2 / 2 varies by x^2 + y^2 / 2.
        change[self._minus] = (change[self._plus] + change[self._minus]) / np.sqrt(2.0)
        change = change[1:].transpose(1, 2, 0)
        covariance = change @ change.transpose(0, 2, 1)
        expected = self._expected[0][use]
        own = np.square(self._uncertainty[use] * expected) + np.square(UNEXPLAINED * expected + SMALL)
        loop = float(np.abs(self.plain.volts[0, 0] @ hypothesis.across()))
        floor = UNEXPLAINED * loop + SMALL
        places = np.arange(covariance.shape[1])
        covariance[:, places, places] += np.concatenate([[np.square(floor)], own])
        lower = np.linalg.cholesky(covariance)
        spread = 2.0 * np.log(lower[:, places, places]).sum(axis=1)
        return np.linalg.inv(lower), spread


def _lowest(found: Fit, rows: Integers, weighed: Floats, sections: int) -> Fit:
    """Give the likeliest of several points of each section; infinite costs where there is none."""
    order = np.lexsort((weighed, rows))
    first = order[np.unique(rows[order], return_index=True)[1]]
    shares, slope = np.zeros((2, sections))
    cost, likely = np.full((2, sections), np.inf)
    at = rows[first]
    shares[at], slope[at], cost[at], likely[at] = (
        found.shares[first],
        found.slope[first],
        found.cost[first],
        weighed[first],
    )
    return Fit(shares, cost, likely, slope)


def _first(walked: Walk) -> Walk:
    """Give the first scenario alone."""
    looking = walked.looking
    one = replace(
        looking, z=looking.z[:1], y=looking.y[:1], down=looking.down[:1], into=looking.into[:1],
        transfer=looking.transfer[:1],
    )  # fmt: skip
    return replace(
        walked, looking=one, sending=walked.sending[:1], current=walked.current[:1], aside=walked.aside[:1],
        onward=walked.onward[:1],
    )  # fmt: skip


def _two_lowest(cost: Floats) -> Integers:
    """Give the lowest point of each row, and the lowest that is no neighbour of it, shape (n, 2)."""
    first = cost.argmin(axis=1)
    away = np.abs(np.arange(cost.shape[1])[None] - first[:, None]) > 1
    second = np.where(away, cost, np.inf).argmin(axis=1)
    return np.stack([first, second], axis=1)
