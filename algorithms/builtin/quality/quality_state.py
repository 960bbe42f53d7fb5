"""Intervals under way as bytes, to outlive a restart: what `Gathering` keeps in the checkpoint of `power_quality`."""

import msgspec
import numpy as np

from algorithms.api.errors import CheckpointError
from algorithms.builtin.quality.quality_intervals import Interval


class KeptInterval(msgspec.Struct, frozen=True):
    """An interval under way as bytes; arrays one after the other, little endian."""

    begin_ns: int
    end_ns: int
    numbers: bytes
    windows: int
    measured: float
    flagged: dict[str, int]
    not_counted: int
    time_uncertainty: float = 0.0
    phase_order: str = ""


class Kept(msgspec.Struct, frozen=True):
    """
    Everything under way.

    Attributes
    ----------
    ten, two
        Ten minutes and two hours.
    ten_seconds, frequencies
        As `FrequencyCount`.
    flicker
        Classes that are not empty, their counts and the time they took [s], by the beginning of ten minutes [ns UTC].
    severities
        Pst of the two hours, by phase.
    closing
        Ten minutes that are over and wait for flicker, with their ten-second frequencies [Hz].
    told_ns
        End of the last ten minutes told [ns UTC]; 0 before the first.
    """

    ten: KeptInterval | None
    two: KeptInterval | None
    ten_seconds: tuple[int, float, float]
    frequencies: dict[int, float]
    flicker: dict[int, tuple[list[int], list[float], float]]
    severities: dict[str, list[float | None]]
    closing: list[tuple[KeptInterval, list[float | None]]] = []
    told_ns: int = 0


def interval_to_keep(interval: Interval) -> KeptInterval:
    """Write an interval down."""
    arrays = (interval.sums, interval.counts, interval.low, interval.high, interval.unbalance, interval.turns)
    numbers = np.concatenate([array.ravel() for array in arrays]).astype("<f8").tobytes()
    return KeptInterval(
        interval.begin_ns,
        interval.end_ns,
        numbers,
        interval.windows,
        interval.measured,
        dict(interval.flagged),
        interval.not_counted,
        interval.time_uncertainty,
        interval.phase_order,
    )


def interval_kept(kept: KeptInterval, shape: tuple[int, int]) -> Interval:
    """
    Read an interval of channels and values of `shape`.

    Raises
    ------
    CheckpointError
        When it is none of that shape.
    """
    n_channels, n_values = shape
    sizes = (n_channels * n_values, n_channels, n_channels, n_channels, 3, 2)
    if len(kept.numbers) != 8 * sum(sizes):
        raise CheckpointError(f"an interval of {sum(sizes)} numbers expected, found {len(kept.numbers) // 8}")
    numbers = np.frombuffer(kept.numbers, "<f8").astype(float)
    if np.isnan(numbers).any():
        raise CheckpointError("numbers expected in an interval, found some that are none")
    sums, counts, low, high, unbalance, turns = np.split(numbers, np.cumsum(sizes)[:-1])
    return Interval(
        kept.begin_ns,
        kept.end_ns,
        sums.reshape(shape),
        counts,
        low,
        high,
        unbalance,
        turns,
        kept.windows,
        kept.measured,
        dict(kept.flagged),
        kept.not_counted,
        kept.time_uncertainty,
        kept.phase_order,
    )
