"""
When the samples of a COMTRADE recording were taken: its time stamps and its rate table brought together.

Pure. The stamps of the data file are authoritative: a rate table says nothing of the pauses between two rates, so
times summed up from it come out late or early, by 170 ms on real records. Where a declared rate agrees with the stamps
to within their resolution it is taken (stamps are rounded, the rate is not); where it does not, the stamps win, and
where they are absent the table is all there is.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from algorithms.api.errors import shortened
from hardware.comtrade_model import Recording
from hardware.errors import RecordingError

LONGEST = 20 * 366 * 86_400.0
"""Longest recording believed [s]."""
_WRAP = 2.0**32


@dataclass(frozen=True, slots=True)
class Segment:
    """
    Samples at one rate without a gap.

    Attributes
    ----------
    first, count : int
        Samples ``first`` to ``first + count - 1``, from 0.
    rate : float
        [Hz]
    start : float
        Time of the first sample after the recording's first [s].
    """

    first: int
    count: int
    rate: float
    start: float

    @property
    def end(self) -> float:
        """Time at which the next sample was due [s]."""
        return self.start + self.count / self.rate


def segments(recording: Recording, name: str) -> tuple[Segment, ...]:
    """
    Cut a recording into stretches of one rate without gaps.

    Raises
    ------
    RecordingError
        When stamps go backwards, or neither stamps nor rates tell the time.
    """
    found = _segments(recording, name)
    if not found[-1].end <= LONGEST:
        raise RecordingError(
            f"{name}, sample {found[-1].first + 1}: expected a recording of at most {LONGEST:g} s, found one that ends "
            f"after {found[-1].end:g} s; correct the time stamps, their multiplier or the rates"
        )
    return found


def _segments(recording: Recording, name: str) -> tuple[Segment, ...]:
    n = recording.n_samples
    stamps = _unwrapped(recording.stamps)
    absent = np.isnan(stamps)
    first_differs = n > 1 and not absent.any() and stamps[-1] != stamps[0]
    if n > 1 and not absent.all() and absent.any():
        stamps = _interpolated(stamps, absent, recording, name)
        first_differs = True
    if not first_differs:
        return _by_table(recording, name)
    steps = np.diff(stamps)
    if (steps < 0).any():
        place = int(np.argmax(steps < 0))
        raise RecordingError(
            f"{name}, sample {place + 2}: expected a time stamp of {stamps[place]:g} or later, "
            f"found {stamps[place + 1]:g}"
        )
    unit = recording.config.time_unit
    declared = [rate for _, _, rate in _declared(recording)]
    if (steps == steps[0]).all() and not any(0.5 < rate * unit * steps[0] < 2 for rate in declared) and all(declared):
        # Some writers count samples here, or milliseconds: perfectly even stamps of a wrong size tell nothing but that.
        return _by_table(recording, name)
    seconds = (stamps - stamps[0]) * unit
    found: list[Segment] = []
    for first, last, rate in _declared(recording):
        found += _runs(seconds, first, last, rate, resolution=unit, name=name)
    return tuple(found)


def _declared(recording: Recording) -> list[tuple[int, int, float]]:
    """Return (first, end, rate) of each declared stretch, clipped to the samples there are."""
    stretches = []
    first = 0
    for rate in recording.config.rates:
        end = min(rate.last or recording.n_samples, recording.n_samples)
        if end > first:
            stretches.append((first, end, rate.rate))
            first = end
    if first < recording.n_samples:
        stretches.append((first, recording.n_samples, 0.0))
    return stretches


def _by_table(recording: Recording, name: str) -> tuple[Segment, ...]:
    found: list[Segment] = []
    start = 0.0
    for first, end, rate in _declared(recording):
        if rate <= 0:
            raise RecordingError(
                f"{name}: expected time stamps or a sampling rate for sample {first + 1}, found neither; "
                "state the rate in the configuration"
            )
        found.append(Segment(first, end - first, rate, start))
        start = found[-1].end
    return tuple(found)


def _runs(
    seconds: NDArray[np.float64], first: int, end: int, rate: float, *, resolution: float, name: str
) -> list[Segment]:
    """Cut one declared stretch where its stamps jump."""
    steps = np.diff(seconds[first:end])
    if not steps.size:
        if rate <= 0:
            raise RecordingError(f"{name}: expected a sampling rate for sample {first + 1}, found none and no stamps")
        return [Segment(first, 1, rate, float(seconds[first]))]
    # Some recorders stamp whole milliseconds, so several samples share a stamp: the mean step then tells the period.
    period = 1 / rate if rate > 0 else 0.0
    typical = float(np.median(steps))
    if typical <= 0:
        typical = float(seconds[end - 1] - seconds[first]) / steps.size
    if typical <= 0:
        raise RecordingError(f"{name}, samples {first + 1} to {end}: expected rising time stamps, found equal ones")
    grain = max(resolution, float(steps[steps > 0].min()) if (steps == 0).any() else resolution)
    jumps = np.flatnonzero(steps > 1.5 * max(typical, period if period < 4 * typical else typical) + 2 * grain)
    bounds = [first, *(jumps + first + 1).tolist(), end]
    found = []
    for start, stop in pairwise(bounds):
        span = float(seconds[stop - 1] - seconds[start])
        count = stop - start
        measured = (count - 1) / span if span > 0 else 1 / typical
        # Stamps are rounded, and drift by some 0.05 % on real records: within both the declared rate is the better one.
        if rate > 0 and count > 2 and not 0.5 < measured * period < 2:
            raise RecordingError(
                f"{name}, samples {start + 1} to {stop}: expected time stamps at about the declared {rate:g} Hz, found "
                f"{measured:g} Hz; correct the time multiplier or the rate"
            )
        agrees = rate > 0 and abs(span - (count - 1) * period) <= 2 * grain + 1e-3 * span
        found.append(Segment(start, count, rate if agrees else measured, float(seconds[start])))
    if len(found) > 1 + steps.size // 2:
        raise RecordingError(
            f"{name}, samples {first + 1} to {end}: expected time stamps at a steady rate"
            f"{f' of {rate:g} Hz' if rate > 0 else ''}, found steps from {steps.min():g} to {steps.max():g} s"
        )
    return found


def _unwrapped(stamps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Undo the wrap of 32-bit stamps, after 71.6 minutes of microseconds."""
    steps = np.diff(stamps)
    wraps = steps < -(_WRAP / 2)
    if not wraps.any():
        return stamps
    result = stamps.copy()
    result[1:] += np.cumsum(wraps) * _WRAP
    return result


def _interpolated(
    stamps: NDArray[np.float64], absent: NDArray[np.bool_], recording: Recording, name: str
) -> NDArray[np.float64]:
    """Fill missing stamps from the declared rate, beginning at the sample before."""
    result = stamps.copy()
    unit = recording.config.time_unit
    for first, end, rate in _declared(recording):
        holes = np.flatnonzero(absent[first:end]) + first
        if not holes.size:
            continue
        known = np.flatnonzero(~absent[first:end]) + first
        if rate <= 0 or not known.size:
            raise RecordingError(
                f"{name}, sample {holes[0] + 1}: expected a time stamp, or a sampling rate and some stamps at it, "
                f"found {shortened('neither' if rate <= 0 else 'no stamp at this rate')}"
            )
        before = np.maximum(np.searchsorted(known, holes) - 1, 0)
        result[holes] = stamps[known[before]] + (holes - known[before]) / rate / unit
    return result
