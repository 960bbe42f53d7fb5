r"""
The readings of one source in one interval become one value each, with an honest uncertainty.

Where it stands: between `state_collector`, which gathers readings, and the estimator. Pure functions on arrays.

Rules:

- What a meter states as its uncertainty is taken as a fault it has in all its readings (class, gain, ratio): it does
  not shrink by averaging.
- What shrinks is how far a mean over the windows that were seen may be from the mean over the whole interval. It is
  nothing where the windows cover the interval, and for a single snapshot all that a load wanders in it
  (`fluctuation`).
- A reading that comes twice counts once. Two that contradict each other at one instant are both left out.
- Of more readings than are kept, those of each small part of the interval become one (`condense`), window and all.

With n readings in k tenths of the interval, of scatter s, covering a share c of it, and s0 what is expected beforehand
with the weight of two readings:

.. math::
    u^2 = \bar u^2 + (1 - c) \frac{s_k^2}{k}, \quad s_k^2 = \frac{2 s_0^2 + (k - 1) s^2}{k + 1}

k, not n: readings close together say little of the rest of the interval. The first term is Type B, the second Type A
with the correction for a finite population (JCGM 100:2008, 4.2 and 4.3).
"""

from dataclasses import dataclass

import numpy as np

from algorithms.api.network_tables import Floats, Integers, Truths

PARTS = 10
"""Parts of an interval within which readings count as one for the scatter."""
BEFOREHAND = 2.0
"""How many readings the scatter expected beforehand weighs."""

LARGEST = 1e12
"""Whoever tells of more volts, watts or amperes measures nothing."""
SAME = 0.01
"""Two readings of one instant are the same one when they differ by less than this share of their uncertainty."""


@dataclass(frozen=True, slots=True, eq=False)
class Condensed:
    """
    Many readings of a source as fewer.

    Attributes
    ----------
    rows : numpy.ndarray
        One mean for each part of the interval with readings, as `average` takes them, shape (k, 2 + 2 m).
    weights : numpy.ndarray
        How many readings each is made of, shape (k,).
    duplicates, contradictions, invalid : int
        As in `Averaged`.
    """

    rows: Floats
    weights: Floats
    duplicates: int
    contradictions: int
    invalid: int


def condense(rows: Floats, weights: Floats, interval: float, parts: int) -> Condensed:
    """
    Make one reading of all in each of equally long parts of an interval: the mean, seen as long as they were together.

    Parameters
    ----------
    rows : numpy.ndarray
        As `average` takes them, sorted by time, shape (n, 2 + 2 m).
    weights : numpy.ndarray
        How many readings each row is already made of, shape (n,).
    interval : float
        [ns]
    parts : int
    """
    rows, invalid = _numbers(rows)
    chosen, duplicates, contradictions = _chosen(rows)
    rows, weights = rows[chosen], weights[chosen]
    if not len(rows):
        return Condensed(rows, weights, duplicates, contradictions, invalid)
    part = np.clip((rows[:, 0] * parts / interval).astype(int), 0, parts - 1)
    first = np.flatnonzero(np.concatenate([[True], part[1:] != part[:-1]]))
    total = np.add.reduceat(weights, first)
    merged = np.empty((len(first), rows.shape[1]))
    merged[:, 0] = np.add.reduceat(weights * rows[:, 0], first) / total
    merged[:, 1] = np.add.reduceat(_newly_seen(rows), first)
    numbers, squares = rows[:, 2:], rows[:, 2:] ** 2
    there = ~np.isnan(numbers)
    weight = np.add.reduceat(np.where(there, weights[:, np.newaxis], 0.0), first)
    weighted = np.where(there, weights[:, np.newaxis] * numbers, 0.0)
    weighted[:, 1::2] = np.where(there, weights[:, np.newaxis] * squares, 0.0)[:, 1::2]
    mean = np.add.reduceat(weighted, first) / np.maximum(weight, 1.0)
    mean[:, 1::2] = np.sqrt(mean[:, 1::2])
    merged[:, 2:] = np.where(weight > 0, mean, np.nan)
    return Condensed(merged, total, duplicates, contradictions, invalid)


def _newly_seen(rows: Floats) -> Floats:
    """Tell how long each window is that no earlier one covers [ns]."""
    start, end = rows[:, 0] - rows[:, 1] / 2, rows[:, 0] + rows[:, 1] / 2
    before = np.concatenate([[-np.inf], np.maximum.accumulate(end)[:-1]])
    seen: Floats = np.maximum(end - np.maximum(start, before), 0.0)
    return seen


@dataclass(frozen=True, slots=True, eq=False)
class Averaged:
    """
    Mean values of an interval.

    Attributes
    ----------
    values, uncertainty : numpy.ndarray
        NaN where there is no reading, shape (m,).
    instant : float
        Mean time of the readings after the interval's start [ns].
    duplicates, contradictions, invalid : int
        Readings left out, and values that are no measurement (not finite, or of no uncertainty).
    """

    values: Floats
    uncertainty: Floats
    instant: float
    duplicates: int
    contradictions: int
    invalid: int


def average(rows: Floats, interval: float, fluctuation: Floats, powers: Integers) -> Averaged:
    """
    Average the readings of a source.

    Parameters
    ----------
    rows : numpy.ndarray
        Sorted by time: time after the interval's start and window [ns], then values and their standard uncertainties
        in turn, NaN where one is not there, shape (n, 2 + 2 m).
    interval : float
        [ns]
    fluctuation : numpy.ndarray
        How far a snapshot may be from the mean of an interval, relative, shape (m,) [1].
    powers : numpy.ndarray
        For each value the one of the same phase it makes a complex power with, itself where there is none: what
        wanders is the load, not its reactive part alone, shape (m,), int.
    """
    rows, invalid = _numbers(rows)
    if len(rows) == 1:
        return _of_one(rows, interval, fluctuation, powers, invalid)
    kept, duplicates, contradictions = _believable(rows)
    count = (rows.shape[1] - 2) // 2
    if not len(kept):
        nothing = np.full(count, np.nan)
        return Averaged(nothing, nothing, interval / 2, duplicates, contradictions, invalid)
    values, sigmas = kept[:, 2::2], kept[:, 3::2]
    there = ~np.isnan(values)
    number = there.sum(axis=0)
    divisor = np.maximum(number, 1)
    mean = np.where(there, values, 0.0).sum(axis=0) / divisor
    own = np.where(there, sigmas**2, 0.0).sum(axis=0) / divisor
    scatter = np.where(there, (values - mean) ** 2, 0.0).sum(axis=0) / np.maximum(number - 1, 1)
    part = np.clip((kept[:, 0] * PARTS / interval).astype(int), 0, PARTS - 1)
    parts = np.maximum([len(np.unique(part[column])) for column in there.T], 1)
    expected = (fluctuation * np.hypot(mean, np.where(powers == np.arange(count), 0.0, mean[powers]))) ** 2
    spread = (BEFOREHAND * expected + (parts - 1) * scatter) / (BEFOREHAND + parts - 1)
    variance = own + (1.0 - _covered(kept, interval)) * spread / parts
    empty = number == 0
    return Averaged(
        values=np.where(empty, np.nan, mean),
        uncertainty=np.where(empty, np.nan, np.sqrt(variance)),
        instant=float(kept[:, 0].mean()),
        duplicates=duplicates,
        contradictions=contradictions,
        invalid=invalid,
    )


def _numbers(rows: Floats) -> tuple[Floats, int]:
    """Put NaN for what is no measurement, and count what was stated and is none."""
    values, sigmas = rows[:, 2::2], rows[:, 3::2]
    there = (np.abs(values) < LARGEST) & (sigmas >= 0) & (sigmas < LARGEST)
    if there.all():
        return rows, 0
    told = ~np.isnan(values) | ~np.isnan(sigmas)
    cleaned = rows.copy()
    cleaned[:, 2::2][~there] = cleaned[:, 3::2][~there] = np.nan
    return cleaned, int(np.count_nonzero(told & ~there))


def _of_one(rows: Floats, interval: float, fluctuation: Floats, powers: Integers, invalid: int) -> Averaged:
    """Do the same for a single reading, which is what most meters give."""
    values, sigmas = rows[0, 2::2], rows[0, 3::2]
    size = np.where(np.isnan(values), 0.0, values)
    partner = np.where(powers == np.arange(len(size)), 0.0, size[powers])
    unseen = 1.0 - _covered(rows, interval)
    spread = (fluctuation * fluctuation) * (size * size + partner * partner)
    return Averaged(values, np.sqrt(sigmas * sigmas + unseen * spread), float(rows[0, 0]), 0, 0, invalid)


def _believable(rows: Floats) -> tuple[Floats, int, int]:
    """Leave out repetitions, and all of what contradicts itself."""
    chosen, duplicates, contradictions = _chosen(rows)
    return rows[chosen], duplicates, contradictions


def _chosen(rows: Floats) -> tuple[Truths, int, int]:
    every = np.ones(len(rows), dtype=bool)
    if len(rows) < 2:
        return every, 0, 0
    same_time = rows[1:, 0] == rows[:-1, 0]
    if not same_time.any():
        return every, 0, 0
    there = ~np.isnan(rows)
    filled = np.where(there, rows, 0.0)
    apart = np.abs(filled[1:, 2::2] - filled[:-1, 2::2]) > SAME * np.maximum(filled[1:, 3::2], filled[:-1, 3::2])
    same = same_time & (there[1:] == there[:-1]).all(axis=1) & ~apart.any(axis=1)
    contradicting = np.unique(rows[1:, 0][same_time & ~same])
    first = np.concatenate([[True], ~same])
    kept = first & ~np.isin(rows[:, 0], contradicting)
    return kept, int(np.count_nonzero(same)), int(np.count_nonzero(first & ~kept))


def _covered(rows: Floats, interval: float) -> float:
    """Tell which share of the interval was seen."""
    start = np.clip(rows[:, 0] - rows[:, 1] / 2, 0.0, interval)
    end = np.clip(rows[:, 0] + rows[:, 1] / 2, 0.0, interval)
    before = np.concatenate([[0.0], np.maximum.accumulate(end)[:-1]])
    seen = np.maximum(end - np.maximum(start, before), 0.0)
    return float(min(seen.sum() / interval, 1.0))
