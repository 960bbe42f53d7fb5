"""Intervals under way as bytes, to outlive a restart: what `Gathering` keeps in the checkpoint of `power_quality`."""

import msgspec
import numpy as np

from algorithms.api.errors import CheckpointError
from algorithms.builtin.quality_intervals import Interval


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


class Kept(msgspec.Struct, frozen=True):
    """Everything under way."""

    ten: KeptInterval | None
    two: KeptInterval | None
    ten_seconds: tuple[int, float, float]
    frequencies: dict[int, float]
    flicker: dict[int, tuple[list[int], list[float], float]]
    severities: dict[str, list[float | None]]


def interval_to_keep(interval: Interval | None) -> KeptInterval | None:
    """Write an interval down."""
    if interval is None:
        return None
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
    )


def interval_kept(kept: KeptInterval | None, shape: tuple[int, int]) -> Interval | None:
    """
    Read an interval of channels and values of `shape`.

    Raises
    ------
    CheckpointError
        When it is none of that shape.
    """
    if kept is None:
        return None
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
    )
