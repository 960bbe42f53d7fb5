"""
The power-quality meter of one arrangement of channels: samples in, intervals and voltage events out.

Between `power_quality`, which owns settings and checkpoints, and the kernels. Five times a second, when another
window of 10 (12) cycles is complete, everything is looked at in one go, and in this order: Urms(1/2) and voltage events
a cycle beyond the window, the window itself, its flags, flicker. Windows are contiguous, begin anew at each ten minutes
of UTC, and the one across that tick is finished for the interval it began in (IEC 61000-4-30, 4.5).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from algorithms.api.algorithm import Context
from algorithms.api.records import Event, Record
from algorithms.api.samples import Channel, Phase, Quantity, SampleBlock, SampleFlag
from algorithms.builtin.cycle_follower import CycleFollower, HalfCycles
from algorithms.builtin.full_scale import largest_values
from algorithms.builtin.quality.quality_flicker import FlickerWatch
from algorithms.builtin.quality.quality_gathering import Gathering
from algorithms.builtin.quality.quality_intervals import (
    CLIPPED,
    DIP,
    FREQUENCY,
    INTERRUPTION,
    SWELL,
    WIRING,
    Window,
    joined_flags,
)
from algorithms.builtin.quality.quality_results import ResultMaker
from algorithms.builtin.quality.rapid_changes import RapidChanges
from algorithms.builtin.quality.voltage_events import USABLE, Thresholds, VoltageEvent, VoltageEvents
from algorithms.builtin.sample_store import SampleStore, Step
from algorithms.waveform.cycle_window import coherent, highest_harmonic, measure_window, phase_order, unbalance
from algorithms.waveform.flicker import LAMPS, WORKING_RATE

LONG = 1.0
"""An event that lasts longer is announced while it lasts [s]."""
_flag_of_event = {"voltage-dip": DIP, "voltage-swell": SWELL, "interruption": INTERRUPTION}
_three = (Phase.A, Phase.B, Phase.C)


@dataclass(frozen=True, slots=True)
class QualitySettings:
    """
    What the catalog said.

    Attributes
    ----------
    thresholds : Thresholds
    lamp : str
        A key of `flicker.LAMPS`.
    detail : int
        0: ten minutes and two hours; 1: 150 (180) cycles too; 2: 10 (12) cycles too.
    """

    thresholds: Thresholds
    lamp: str
    detail: int


class QualityMeter:
    """
    Measures one arrangement of channels at one sampling rate.

    Parameters
    ----------
    context : Context
    channels : sequence of Channel
    sample_rate : float
        [Hz]
    settings : QualitySettings

    Attributes
    ----------
    gathering : Gathering
        Intervals under way.
    events : VoltageEvents
    """

    def __init__(
        self, context: Context, channels: Sequence[Channel], sample_rate: float, settings: QualitySettings
    ) -> None:
        nominal = context.nominal_frequency
        self._cycles = _cycles(nominal)
        rows = _rows(channels)
        phases = _voltage_phases(rows)
        self._voltages = np.array([rows[Quantity.VOLTAGE, phase] for phase in phases], dtype=np.intp)
        currents = [rows[Quantity.CURRENT, phase] for phase in _three if (Quantity.CURRENT, phase) in rows]
        followed = self._voltages if self._voltages.size else np.array(currents, dtype=np.intp)
        self._followed = followed
        thresholds = settings.thresholds
        floor = USABLE * thresholds.declared if self._voltages.size else 0.0
        is_voltage = np.array([channel.quantity is Quantity.VOLTAGE for channel in channels])
        self._floor = np.where(is_voltage, floor * floor, 0.0)
        self._largest = np.square(largest_values(channels))
        self._skew = np.array([channel.skew for channel in channels])
        self._follower = CycleFollower(followed.tolist(), nominal / sample_rate, self._cycles, max(floor, 1e-6))
        self._store = SampleStore(len(channels), round(0.8 * sample_rate))
        names = [phase.value for phase in phases]
        self.events = VoltageEvents(names, thresholds)
        self._changes = RapidChanges(names, thresholds, round(2 * nominal)) if thresholds.change > 0 else None
        self._past: list[VoltageEvent] = []
        self._flicker: FlickerWatch | None = None
        if _has_flicker(phases, sample_rate):
            self._flicker = FlickerWatch(self._voltages, sample_rate, LAMPS[settings.lamp])
        self._maker, self.gathering, self.highest = gathering_of(context, channels, sample_rate, settings)
        self._begin = 0.0
        self._wake = 0
        self._trailing: float | None = None
        self._paused = False

    def push(self, block: SampleBlock) -> list[Record]:
        """Take a block; return what follows from it, oldest first."""
        records: list[Record] = []
        store = self._store
        for step in store.push(block):
            if step is Step.BREAKS:
                records += self._break_off()
                continue
            if step is Step.BEGINS:
                self._begin_stretch()
            while store.end >= self._wake:
                records += self._turn()
        return records

    def open_events(self) -> list[Event]:
        """Return the voltage events under way, as they are so far."""
        return [self._maker.event(event) for event in self.events.active.values()]

    def pause(self, now_ns: int) -> list[Record]:
        """Say all that can be said when no more samples come: the last half cycles, and intervals that are over."""
        store = self._store
        if store.end <= store.first:
            return []
        records: list[Record] = []
        if not self._paused:
            self._paused = True
            records += self._last_half_cycles()
            records += [self._maker.event(event) for event in self.events.cut(store.time_ns(store.end))]
        return records + self.gathering.overdue(now_ns)

    def finish(self) -> list[Record]:
        """Return what is under way as it is, before another arrangement begins."""
        records = self._break_off() if self._store.end > self._store.first else []
        return records + self.gathering.finish()

    def _break_off(self) -> list[Record]:
        """Finish a stretch of samples."""
        records = self._last_half_cycles()
        records += [self._maker.event(event) for event in self.events.cut(self._store.time_ns(self._store.end))]
        self.gathering.break_off()
        return records

    def _last_half_cycles(self) -> list[Record]:
        """Look at what is left at the end of a stretch, too short for a window."""
        store = self._store
        if not self._voltages.size:
            return []
        if self._follower.frequency is None:
            self._follower.find_shorter(store)
        cycles = self._follower.half_cycles(store, store.end - 3.0)
        return [] if cycles is None else self._watch(cycles)

    def _begin_stretch(self) -> None:
        store = self._store
        self._past.clear()
        self._follower.forget()
        if self._changes is not None:
            self._changes.forget()
        if self._flicker is not None:
            self._flicker.restart(store.first, store.rate)
        self._trailing = None
        self._begin = store.first + 3.0
        self._wake = self._follower.needed(self._begin)

    def _turn(self) -> list[Record]:
        store, follower = self._store, self._follower
        self._paused = False
        length, found = follower.find(store, self._begin)
        end = self._begin + length
        enough = int(end + 1.5 * follower.period) + 5
        if found and store.end < enough:
            self._wake = enough
            return []
        records: list[Record] = []
        if self._voltages.size:
            cycles = follower.half_cycles(store, end + 1.25 * follower.period)
            if cycles is not None:
                records += self._watch(cycles)
        window, coherent_here = self._window(self._begin, length, found=found)
        if found and not coherent_here:
            follower.lose()  # what was followed is no fundamental
        tick_ns = self.gathering.tick_after(window.begin_ns)
        records += self.gathering.add(window)
        if self._trailing is not None:
            records += self._trail()
        self._begin = end
        if window.end_ns >= tick_ns:
            if self.gathering.wants_trailing():
                self._trailing = end
            self._begin = max(store.position(tick_ns), store.first + 3.0)
        records += self.gathering.publish(self._follow_flicker())
        self._forget_past()
        keep = min(self._begin, follower.keeps, np.inf if self._flicker is None else self._flicker.position)
        if self._trailing is not None:
            keep = min(keep, self._trailing)
        store.let_go(keep - 4)
        self._wake = follower.needed(self._begin)
        return records

    def _window(self, begin: float, length: float, *, found: bool) -> tuple[Window, bool]:
        store, follower = self._store, self._follower
        first = int(begin) - 3
        samples = store.samples(first, min(int(begin + length) + 5, store.end))
        values = measure_window(samples, begin - first, length, self._cycles, self.highest)
        right = not found or coherent(values.squares, self._followed)
        begin_ns, end_ns = store.time_ns(begin), store.time_ns(begin + length)
        near = (*self.events.active.values(), *self._past)
        flags = [_flag_of_event[event.kind] for event in near if _overlaps(event, begin_ns, end_ns)]
        # Beyond what the converter can deliver nothing was measured; what is no number is not below it either.
        beyond = not (values.squares[:, 0] <= self._largest).all()
        if beyond or store.flags(begin, begin + length) & SampleFlag.CLIPPED:
            flags.append(CLIPPED)
        frequency = follower.frequency
        known = found and right and frequency is not None
        if not known or not follower.in_range():
            flags.append(FREQUENCY)
        alive = values.squares[:, 0] >= self._floor
        valid = alive.copy()
        valid[self._voltages] |= self.events.present  # a voltage that is gone is still a voltage
        if not flags and self._voltages.size:
            follower.learn_offset(values.offset[self._followed])
        balance, order = None, ""
        if known and self._voltages.size == 3 and alive[self._voltages].all():
            omega = 2 * np.pi * (frequency or 0.0) * store.rate
            phasors = values.fundamental[self._voltages] * np.exp(-1j * omega * self._skew[self._voltages])
            balance, order = unbalance(phasors), phase_order(phasors)
            if not order and not flags:  # a fault of the grid is told as that
                flags.append(WIRING)
        hertz = frequency * store.rate if known and frequency is not None else None
        window = Window(
            begin_ns,
            end_ns,
            values.squares,
            valid,
            balance,
            hertz,
            joined_flags(flags),
            time_uncertainty=store.time_uncertainty,
            phase_order=order,
        )
        return window, right

    def _trail(self) -> list[Record]:
        """Finish the 150 (180) cycles that were under way at the tick, beside the windows that began anew there."""
        begin = self._trailing
        if begin is None or self._store.end < self._follower.needed(begin):
            return []
        length, found = self._follower.find(self._store, begin)
        if begin + length + 5 > self._store.end:
            return []
        window, _ = self._window(begin, length, found=found)
        records, done = self.gathering.add_trailing(window)
        self._trailing = None if done else begin + length
        return records

    def _watch(self, cycles: HalfCycles) -> list[Record]:
        """Look for voltage events in Urms(1/2)."""
        store, events = self._store, self.events
        records: list[Record] = []
        spoilt = False
        if not events.quiet(cycles.rms):
            times = np.array(
                [store.time_ns(at) for at in cycles.positions[:2].ravel().tolist()], dtype=np.int64
            ).reshape(2, *cycles.rms.shape)
            ended = events.take(cycles.rms, times)
            self._past += ended
            records += [self._maker.event(event) for event in ended]
            now = store.time_ns(float(cycles.positions[2].max()))
            for event in events.active.values():
                if not event.told and now - event.start_ns > LONG * 1e9:
                    event.told = True
                    records.append(self._maker.event(event))
            spoilt = bool(ended or events.active)
            if spoilt and self._flicker is not None:
                position = max(int(cycles.positions[2].max()), self._flicker.position)
                self._flicker.restart(position, store.rate)
        if self._changes is not None and events.present.any():
            ends = cycles.positions[2].max(axis=0)
            start = store.time_ns(float(ends[0]))
            stamps = start + np.round((ends - ends[0]) / store.rate * 1e9).astype(np.int64)
            found = self._changes.take(cycles.rms, stamps, events.present, spoilt=spoilt)
            records += [self._maker.rapid_change(change) for change in found]
        return records

    def _follow_flicker(self) -> int | None:
        """Advance the flickermeter as far as voltage events are known; return how far [ns UTC]."""
        if self._flicker is None:
            return None
        for time_ns, counts, duration in self._flicker.sense(self._store, self._follower.done, self.events.present):
            self.gathering.add_flicker(time_ns, counts, duration)
        return self._store.time_ns(self._flicker.position)

    def _forget_past(self) -> None:
        if self._past:
            oldest = self._store.time_ns(min(self._begin, self._trailing or self._begin))
            self._past = [event for event in self._past if event.end_ns is None or event.end_ns >= oldest]


def gathering_of(
    context: Context, channels: Sequence[Channel], sample_rate: float, settings: QualitySettings
) -> tuple[ResultMaker, Gathering, int]:
    """Return what gathers the intervals of an arrangement of channels, what writes them, and the highest harmonic."""
    highest = highest_harmonic(sample_rate, context.nominal_frequency)
    phases = _voltage_phases(_rows(channels))
    lamp = settings.lamp if _has_flicker(phases, sample_rate) else ""
    maker = ResultMaker(context, channels, (sample_rate, highest), settings.thresholds, lamp)
    gathering = Gathering(
        maker,
        (len(channels), 2 + 2 * highest),
        [phase.value for phase in phases],
        cycles=_cycles(context.nominal_frequency),
        detail=settings.detail,
    )
    return maker, gathering, highest


def _cycles(nominal: float) -> int:
    """Return how many cycles a window has: 10 at 50 Hz, 12 at 60 Hz, 200 ms."""
    return 2 * round(nominal / 10)


def _rows(channels: Sequence[Channel]) -> dict[tuple[Quantity, Phase], int]:
    """Return the channel of each quantity and phase; of several the first counts."""
    rows: dict[tuple[Quantity, Phase], int] = {}
    for row, channel in enumerate(channels):
        rows.setdefault((channel.quantity, channel.phase), row)
    return rows


def _voltage_phases(rows: Mapping[tuple[Quantity, Phase], int]) -> list[Phase]:
    return [phase for phase in _three if (Quantity.VOLTAGE, phase) in rows]


def _has_flicker(phases: Sequence[Phase], sample_rate: float) -> bool:
    return bool(phases) and sample_rate >= 0.5 * WORKING_RATE


def _overlaps(event: VoltageEvent, begin_ns: int, end_ns: int) -> bool:
    return event.start_ns < end_ns and (event.end_ns is None or event.end_ns > begin_ns)
