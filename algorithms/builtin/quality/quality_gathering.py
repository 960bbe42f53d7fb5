"""
Windows gathered to 150 cycles, ten minutes and two hours, and flicker to Pst and Plt.

Between `quality_meter`, which measures windows, and `quality_intervals`, which sums them. Ten minutes and two hours
are those of UTC; 150 (180) cycles begin anew at each ten minutes while those under way are finished beside them. Ten
minutes are told once flicker has come as far. What is under way can be kept (`kept`) and taken up again (`take_up`);
ten minutes told before that are not told again.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from algorithms.api.errors import CheckpointError
from algorithms.api.records import Record
from algorithms.api.samples import NANOSECONDS
from algorithms.builtin.quality.quality_intervals import (
    GAP,
    TEN_MINUTES,
    TWO_HOURS,
    FrequencyCount,
    Interval,
    Window,
    flicker_classes,
    next_tick,
)
from algorithms.builtin.quality.quality_results import ResultMaker
from algorithms.builtin.quality.quality_state import Kept, interval_kept, interval_to_keep
from algorithms.waveform.flicker import N_CLASSES, long_term_severity, short_term_severity
from algorithms.waveform.phasor import Floats

GROUP = 15
"""Windows in 150 (180) cycles."""
LEAST_FLICKER = 300.0
"""Pst is told from this much of its ten minutes on [s]."""

PATIENCE = 5 * NANOSECONDS
"""How long after the end of an interval samples may still come [ns]."""


class Gathering:
    """
    Intervals of one arrangement of channels.

    Parameters
    ----------
    maker : ResultMaker
    shape : tuple of int
        Of `Window.squares`: channels and values of each.
    phases : sequence of str
        Those with flicker.
    cycles : int
        In a window.
    detail : int
        As `QualitySettings.detail`.
    """

    def __init__(
        self, maker: ResultMaker, shape: tuple[int, int], phases: Sequence[str], *, cycles: int, detail: int
    ) -> None:
        self._maker = maker
        self._shape = shape
        self._phases = tuple(phases)
        self._cycles = cycles
        self._detail = detail
        self._ten: Interval | None = None
        self._two: Interval | None = None
        self._group: Interval | None = None
        self._old_group: Interval | None = None
        self._frequency = FrequencyCount()
        self._flicker: dict[int, tuple[Floats, float]] = {}
        self._severities: dict[str, list[float | None]] = {phase: [] for phase in self._phases}
        self._closing: list[tuple[Interval, list[float | None]]] = []
        self._told_ns = 0  # end of the last ten minutes told
        self._told_before_ns = 0  # the same, of before the restart

    @staticmethod
    def tick_after(time_ns: int) -> int:
        """Return the end of the ten minutes that a time is in [ns UTC]."""
        return next_tick(time_ns, TEN_MINUTES)

    def add(self, window: Window) -> list[Record]:
        """Take the next window; return what is told at once."""
        ten = self._ten
        if ten is not None and not ten.begin_ns <= window.begin_ns < ten.end_ns:
            self._close()
            ten = None
        end_ns = self.tick_after(window.begin_ns)
        if ten is None and end_ns != self._told_before_ns:
            ten = self._ten = Interval.begin(end_ns - TEN_MINUTES, end_ns, *self._shape)
        if ten is not None:
            ten.add(window, self._cycles)
        self._frequency.add(window, self._cycles)
        records: list[Record] = []
        if self._detail:
            records = self._add_short(window)
        if window.end_ns >= end_ns:
            self._close()
        return records

    def _add_short(self, window: Window) -> list[Record]:
        records: list[Record] = []
        if self._detail > 1:
            one = Interval.begin(window.begin_ns, window.end_ns, *self._shape)
            one.add(replace(window, flags=()), self._cycles)  # told with its flags, though not averaged in
            one.flagged = dict.fromkeys(window.flags, 1)
            one.not_counted = min(1, len(window.flags))
            records.append(self._maker.result(one, f"{self._cycles}-cycle", end_ns=window.end_ns))
        if self._group is None:
            self._group = Interval.begin(window.begin_ns, window.end_ns, *self._shape)
        self._group, done = self._grouped(self._group, window)
        return records + done

    def _grouped(self, group: Interval, window: Window) -> tuple[Interval | None, list[Record]]:
        group.add(window, self._cycles)
        group.end_ns = window.end_ns
        if group.windows < GROUP:
            return group, []
        return None, [self._maker.result(group, f"{GROUP * self._cycles}-cycle", end_ns=group.end_ns)]

    def wants_trailing(self) -> bool:
        """Set the cycles under way aside at a tick; tell whether there are any."""
        self._old_group, self._group = self._group, None
        return self._old_group is not None

    def add_trailing(self, window: Window) -> tuple[list[Record], bool]:
        """Take a window for the cycles set aside; return what is told, and whether they are complete."""
        if self._old_group is None:
            return [], True
        self._old_group, done = self._grouped(self._old_group, window)
        return done, self._old_group is None

    def add_flicker(self, time_ns: int, counts: Floats, duration: float) -> None:
        """Take classified sensation (n_phases, N_CLASSES) of `duration` [s] from a time on [ns UTC]."""
        begin_ns = self.tick_after(time_ns) - TEN_MINUTES
        before = self._flicker.get(begin_ns)
        if before is None:
            before = flicker_classes(len(self._phases)), 0.0
        summed, seconds = before
        summed += counts
        self._flicker[begin_ns] = summed, seconds + duration

    def break_off(self) -> None:
        """Count a gap; what must be contiguous begins anew."""
        self._group = self._old_group = None
        if self._ten is not None:
            self._ten.flagged[GAP] = self._ten.flagged.get(GAP, 0) + 1

    def publish(self, flickered_ns: int | None) -> list[Record]:
        """Tell ten minutes that are complete, once flicker has come to `flickered_ns` (None for no flicker)."""
        records: list[Record] = []
        while self._closing:
            ten = self._closing[0][0]
            # A clock that was set back leaves flicker before the interval: nothing more will come for it.
            if flickered_ns is not None and ten.begin_ns <= flickered_ns < ten.end_ns:
                break
            records += self._tell(*self._closing.pop(0))
        return records

    def overdue(self, now_ns: int) -> list[Record]:
        """Tell intervals that ended before a time [ns UTC] without more samples having come."""
        if self._ten is not None and self._ten.end_ns + PATIENCE <= now_ns:
            self._close()
        records = self.publish(None)
        if self._two is not None and self._two.end_ns + PATIENCE <= now_ns:
            records += self._tell_two()
        return records

    def finish(self) -> list[Record]:
        """Tell everything as it is, complete or not."""
        self._group = self._old_group = None
        self._close()
        records = self.publish(None)
        return records + self._tell_two()

    def _close(self) -> None:
        if self._ten is not None:
            self._closing.append((self._ten, self._frequency.take(self._ten.begin_ns, self._ten.end_ns)))
            self._ten = None

    def _tell(self, ten: Interval, frequencies: list[float | None]) -> list[Record]:
        records: list[Record] = []
        if self._two is not None and not self._two.begin_ns <= ten.begin_ns < self._two.end_ns:
            records += self._tell_two()
        if self._two is None:
            end_ns = next_tick(ten.begin_ns, TWO_HOURS)
            self._two = Interval.begin(end_ns - TWO_HOURS, end_ns, *self._shape)
        counts, seconds = self._flicker.pop(ten.begin_ns, (None, 0.0))
        self._flicker = {at: kept for at, kept in self._flicker.items() if at > ten.begin_ns}
        flicker: dict[str, dict[str, Any]] = {}
        for row, phase in enumerate(self._phases):
            told = counts is not None and seconds >= LEAST_FLICKER and counts[row].any()
            severity = round(short_term_severity(counts[row]), 4) if told and counts is not None else None
            flicker[phase] = {"pst": severity}
            self._severities[phase].append(severity)
        records.append(self._maker.result(ten, "10-min", frequencies=frequencies, flicker=flicker))
        self._two.add_interval(ten)
        self._told_ns = ten.end_ns
        if ten.end_ns >= self._two.end_ns:
            records += self._tell_two()
        return records

    def _tell_two(self) -> list[Record]:
        two, self._two = self._two, None
        flicker: dict[str, dict[str, Any]] = {}
        for phase, severities in self._severities.items():
            known = [severity for severity in severities if severity is not None]
            whole = len(known) == TWO_HOURS // TEN_MINUTES
            flicker[phase] = {"plt": round(long_term_severity(known), 4) if whole else None}
            severities.clear()
        return [] if two is None else [self._maker.result(two, "2-h", flicker=flicker)]

    def kept(self) -> Kept:
        """Return what is under way, to be kept across a restart."""
        flicker = {}
        for begin_ns, (counts, seconds) in self._flicker.items():
            places = np.flatnonzero(counts)
            flicker[begin_ns] = places.tolist(), counts.ravel()[places].tolist(), seconds
        frequency = self._frequency
        return Kept(
            ten=None if self._ten is None else interval_to_keep(self._ten),
            two=None if self._two is None else interval_to_keep(self._two),
            ten_seconds=(frequency.begin_ns, frequency.cycles, frequency.duration),
            frequencies=dict(frequency.values),
            flicker=flicker,
            severities={phase: list(values) for phase, values in self._severities.items()},
            closing=[(interval_to_keep(ten), list(frequencies)) for ten, frequencies in self._closing],
            told_ns=self._told_ns,
        )

    def take_up(self, kept: Kept) -> None:
        """
        Go on with what was kept.

        Raises
        ------
        CheckpointError
            When it does not belong to this arrangement of channels.
        """
        if set(kept.severities) != set(self._phases):
            raise CheckpointError(f"a checkpoint of phases {', '.join(self._phases)} expected, found another's")
        ten, two = (None if one is None else interval_kept(one, self._shape) for one in (kept.ten, kept.two))
        closing = [(interval_kept(one, self._shape), list(frequencies)) for one, frequencies in kept.closing]
        flicker: dict[int, tuple[Floats, float]] = {}
        for begin_ns, (places, counts, seconds) in kept.flicker.items():
            classes = flicker_classes(len(self._phases))
            if len(places) != len(counts) or any(not 0 <= place < classes.size for place in places):
                raise CheckpointError(f"flicker in {N_CLASSES} classes expected, found others")
            classes.ravel()[places] = counts
            flicker[begin_ns] = classes, seconds
        told_ns = kept.told_ns
        self._ten = None if ten is not None and ten.end_ns == told_ns else ten
        self._closing = [(one, frequencies) for one, frequencies in closing if one.end_ns != told_ns]
        self._two, self._flicker = two, flicker
        self._told_ns = self._told_before_ns = told_ns
        if self._ten is not None:
            self._ten.flagged[GAP] = self._ten.flagged.get(GAP, 0) + 1
        begin_ns, cycles, duration = kept.ten_seconds
        self._frequency = FrequencyCount(begin_ns, cycles, duration, dict(kept.frequencies))
        self._severities = {phase: list(kept.severities[phase]) for phase in self._phases}
