"""
What happened, read off the frames alone: dips, swells, interruptions and phase jumps (pure).

For people who watch: the meters' own event algorithms judge samples and know better. Thresholds are those of
EN 50160 and IEC 61000-4-30 (dip below 0.9, swell above 1.1, interruption below 0.05, hysteresis 0.02 of nominal).

A frame looks at a window, so a step of the voltage is smeared over the frames around it. At the frame whose window
is centred on the step the magnitude stands half-way, and that is where start and end are put, by interpolation
between frames: better than the frame interval for a step that lasts longer than the window.
"""

import math
from collections import deque
from dataclasses import dataclass, field
from itertools import pairwise

from algorithms.api.records import MeasurementFrame, Quality

DIP = 0.9
SWELL = 1.1
INTERRUPTION = 0.05
HYSTERESIS = 0.02
PHASE_JUMP = math.radians(5.0)
"""Smallest jump of the voltage angle that is told [rad]."""

BEFORE = 0.25
"""How long before a dip the voltage is taken for what it was before: more than the window that smears it [s]."""

MAXIMUM_POINTS = 10_000
"""Frames of one dip that are looked back on."""

TOGETHER_NS = 40_000_000
"""Phases whose excursions begin within this time are told as one [ns]."""

LINGER_NS = 100_000_000
"""How long a phase that is well again waits to be told with one that is not yet [ns]."""

JUMP_SPAN = 0.2
"""Longest time over which an angle is extrapolated to find a jump [s]."""


@dataclass(frozen=True, slots=True)
class Occurrence:
    """
    Something that happened at one meter.

    Attributes
    ----------
    device : str
    kind : str
        ``voltage-dip``, ``voltage-swell``, ``interruption`` or ``phase-jump``.
    phases : tuple of str
    start_ns : int
        [ns UTC]
    end_ns : int or None
        None while it lasts.
    extreme : float
        Lowest or highest voltage [1, of nominal]; for a phase jump, the angle [rad].
    current_before, current : float
        Of the phases, just before and the highest meanwhile [A].
    """

    device: str
    kind: str
    phases: tuple[str, ...]
    start_ns: int
    end_ns: int | None
    extreme: float
    current_before: float = 0.0
    current: float = 0.0

    def text(self) -> str:
        """Say it in a few words, without the time."""
        if self.kind == "phase-jump":
            return f"phase jump of {math.degrees(self.extreme):+.0f}°"
        grew = self.current > 1.5 * self.current_before
        current = f", I {_written(self.current_before)} -> {_written(self.current)} A" if grew else ""
        length = "" if self.end_ns is None else f" for {(self.end_ns - self.start_ns) / 1e6:.0f} ms"
        kind = self.kind.replace("-", " ")
        return f"{kind} of {' '.join(self.phases)} to {self.extreme:.2f} pu{length}{current}"


@dataclass
class _Excursion:
    """
    One phase's voltage outside its bounds: the points of it, after those of the last while before it.

    `steady` are its values from windows that held no step: those beside a step say too little or too much.
    """

    points: list[tuple[int, float]]
    first: int
    steady: list[float]
    current_before: float
    current_highest: float = 0.0

    def look(self, frame: MeasurementFrame, voltage: float, current: float) -> None:
        """Take note of a frame."""
        self.current_highest = max(self.current_highest, current)
        if Quality.TRANSIENT not in frame.quality and len(self.steady) < MAXIMUM_POINTS:
            self.steady.append(voltage)


@dataclass
class OccurrenceFinder:
    """
    Finds what happened in the frames of one device, given in order of time.

    Parameters
    ----------
    device : str
    nominal_voltage : float
        Phase to neutral [V].
    nominal_frequency : float
        [Hz]
    """

    device: str
    nominal_voltage: float
    nominal_frequency: float = 50.0
    _well: dict[str, deque[tuple[int, float, float]]] = field(default_factory=dict)
    _excursions: dict[str, _Excursion] = field(default_factory=dict)
    _ended: list[Occurrence] = field(default_factory=list)
    _angles: deque[tuple[int, float, float | None]] = field(default_factory=lambda: deque(maxlen=64))
    _quiet_until_ns: int = 0

    def look(self, frame: MeasurementFrame) -> list[Occurrence]:
        """Return what came to its end with this frame (a phase jump: what was seen in it)."""
        found = [
            occurrence
            for phase, reading in frame.voltage.items()
            if (occurrence := self._voltage(frame, phase, reading.magnitude / self.nominal_voltage)) is not None
        ]
        jump = self._phase_jump(frame)
        return self._complete(found, frame.time_ns) + ([jump] if jump is not None else [])

    def lasting(self) -> list[Occurrence]:
        """Return what goes on at the moment."""
        return self._joined([self._occurrence(phase, item, None) for phase, item in self._excursions.items()])

    def forget(self) -> None:
        """Begin anew: what comes next is not the continuation of what came before (a new boot, a gap, a repeat)."""
        self._well.clear()
        self._excursions.clear()
        self._angles.clear()

    def _voltage(self, frame: MeasurementFrame, phase: str, voltage: float) -> Occurrence | None:
        reading = frame.current.get(phase)
        current = reading.magnitude if reading is not None else 0.0
        excursion = self._excursions.get(phase)
        if excursion is None:
            if DIP <= voltage <= SWELL:
                self._is_well(phase, frame.time_ns, voltage, current)
            elif well := self._well.pop(phase, None):  # a line that was never alive did not dip
                points = [*((time_ns, value) for time_ns, value, _ in well), (frame.time_ns, voltage)]
                excursion = self._excursions[phase] = _Excursion(points, len(well), [], well[0][2])
                excursion.look(frame, voltage, current)
            return None
        excursion.look(frame, voltage, current)
        if len(excursion.points) < MAXIMUM_POINTS:
            excursion.points.append((frame.time_ns, voltage))
        if not DIP + HYSTERESIS <= voltage <= SWELL - HYSTERESIS:
            return None
        del self._excursions[phase]
        self._is_well(phase, frame.time_ns, voltage, current)
        return self._occurrence(phase, excursion, frame.time_ns)

    def _is_well(self, phase: str, time_ns: int, voltage: float, current: float) -> None:
        well = self._well.setdefault(phase, deque(maxlen=64))
        well.append((time_ns, voltage, current))
        while time_ns - well[0][0] > BEFORE * 1e9:
            well.popleft()

    def _occurrence(self, phase: str, excursion: _Excursion, end_ns: int | None) -> Occurrence:
        """Put start and end where the voltage is half-way between before and the extreme."""
        points = excursion.points
        outside = [value for _, value in points[excursion.first :]]
        swell = outside[0] > 1.0
        told = [value for value in excursion.steady if (value > SWELL if swell else value < DIP)] or outside
        extreme = max(told) if swell else min(told)
        kind = "voltage-swell" if swell else "interruption" if extreme < INTERRUPTION else "voltage-dip"
        level = (points[0][1] + extreme) / 2
        start_ns = _crossing(points, level, points[excursion.first][0])
        if end_ns is not None:
            end_ns = _crossing(points[: excursion.first - 1 : -1], level, end_ns)
        currents = (excursion.current_before, excursion.current_highest)
        return Occurrence(self.device, kind, (phase,), start_ns, end_ns, extreme, *currents)

    def _complete(self, found: list[Occurrence], now_ns: int) -> list[Occurrence]:
        """Hold what ended in one phase back for a moment while another that began with it goes on."""
        starts = [self._occurrence(phase, item, None).start_ns for phase, item in self._excursions.items()]
        waiting: list[Occurrence] = []
        ready: list[Occurrence] = []
        for item in [*self._ended, *found]:
            goes_on = any(abs(start - item.start_ns) < TOGETHER_NS for start in starts)
            ended_ns = item.end_ns or now_ns
            (waiting if goes_on and now_ns - ended_ns < LINGER_NS else ready).append(item)
        self._ended = waiting
        return self._joined(ready)

    def _joined(self, found: list[Occurrence]) -> list[Occurrence]:
        """Make one of the phases that did the same at the same time."""
        joined: list[Occurrence] = []
        for item in sorted(found, key=lambda occurrence: occurrence.start_ns):
            last = joined[-1] if joined else None
            if last is not None and last.kind == item.kind and item.start_ns - last.start_ns < TOGETHER_NS:
                worst = max if item.kind == "voltage-swell" else min
                joined[-1] = Occurrence(
                    self.device,
                    item.kind,
                    tuple(sorted({*last.phases, *item.phases})),
                    last.start_ns,
                    None if last.end_ns is None or item.end_ns is None else max(last.end_ns, item.end_ns),
                    worst(last.extreme, item.extreme),
                    max(last.current_before, item.current_before),
                    max(last.current, item.current),
                )
            else:
                joined.append(item)
        return joined

    def _phase_jump(self, frame: MeasurementFrame) -> Occurrence | None:
        """
        Compare the angle with the one extrapolated from before.

        Over `JUMP_SPAN` an angle advances by 2 pi (f - f_nominal) t. What exceeds it by `PHASE_JUMP` is a jump; it is
        told once the window has passed it, when the angle has arrived at its new value. Frames whose window held the
        step have no frequency to extrapolate with; their angles only tell when it was.
        """
        sequence = frame.voltage_sequence
        angle = sequence.positive.angle if sequence is not None else None
        if angle is None or self._excursions:
            # a dip moves the angle as well, and is told as what it is
            self._quiet_until_ns = frame.time_ns + int(JUMP_SPAN * 1e9)
        if angle is None or frame.time_ns < self._quiet_until_ns:
            self._angles.clear()
            return None
        frequency = frame.frequency.value if frame.frequency and Quality.TRANSIENT not in frame.quality else None
        self._angles.append((frame.time_ns, angle, frequency))
        while frame.time_ns - self._angles[0][0] > JUMP_SPAN * 1e9:
            self._angles.popleft()
        steady = [item for item in self._angles if item[2] is not None]
        if len(steady) < 3 or frequency is None:
            return None
        first_ns, first_angle, first_frequency = steady[0]
        if first_frequency is None or frame.time_ns - first_ns < 2e9 * frame.window:
            return None
        slope = math.tau * (first_frequency - self.nominal_frequency) / 1e9
        moved = [
            (time_ns, _wrapped(item - first_angle - slope * (time_ns - first_ns)))
            for time_ns, item, _ in self._angles
            if time_ns >= first_ns
        ]
        jump = moved[-1][1]
        settled = self._angles[-2][2] is not None and abs(_wrapped(jump - moved[-2][1])) < PHASE_JUMP / 5
        if abs(jump) < PHASE_JUMP or not settled:
            return None
        self._quiet_until_ns = frame.time_ns + int(JUMP_SPAN * 1e9)
        self._angles.clear()
        half_ns = _crossing(moved, jump / 2, frame.time_ns)
        return Occurrence(self.device, "phase-jump", ("A", "B", "C"), half_ns, None, jump)


def _written(current: float) -> str:
    return f"{current:.0f}" if current >= 100.0 else f"{current:.3g}"


def _wrapped(angle: float) -> float:
    return (angle + math.pi) % math.tau - math.pi


def _crossing(points: list[tuple[int, float]], level: float, otherwise: int) -> int:
    """Return when the straight line through `points` first crosses `level` [ns]; `otherwise` where it never does."""
    for (time_before, before), (time_after, after) in pairwise(points):
        if (before - level) * (after - level) <= 0.0 and before != after:
            return time_before + round((time_after - time_before) * (level - before) / (after - before))
    return otherwise
