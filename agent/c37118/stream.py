"""
From measurement frames to a C37.118.2 stream: what it holds, and each frame of it. Pure.

Where it stands: `outputs` feeds it the records of one algorithm, `server` sends what comes out. The layout is
learnt from the records themselves: phases from the first, the rate from the first two. A phase that is not measured
any more is NaN; one that appears changes the layout, and its number of changes. So does another rate: a higher one at
once, a lower one when it has lasted, because a longer period alone is a gap.
"""

import msgspec

from agent.c37118.frames import Layout, configuration, data, header, stat_word, time_quality_code
from algorithms.api.readings import Phasor
from algorithms.api.records import AngleReference, MeasurementFrame, Quality
from algorithms.api.wire import NANOSECONDS

COVERAGE = 3.0
"""Largest error of a time stamp, as a multiple of its standard uncertainty [1]."""
UNUSABLE = frozenset((Quality.CLIPPED, Quality.OUT_OF_RANGE))
"""What makes values ones that must not be used: the method does not hold."""
RATE_TOLERANCE = 0.25
LASTING = 5
"""So many longer periods of one length, in a row, are a lower rate and no gaps [1]."""

_phases = ("A", "B", "C", "N")


class Stream:
    """
    The stream of one terminal.

    Parameters
    ----------
    id_code : int
    station : str
    nominal_frequency : float
        [Hz]
    polar, fixed_frequency : bool
        As `c37118_frames.Layout`.

    Attributes
    ----------
    layout : Layout or None
        None until two records have told it.
    """

    def __init__(
        self,
        id_code: int,
        station: str,
        nominal_frequency: float,
        *,
        polar: bool = False,
        fixed_frequency: bool = False,
    ) -> None:
        self.layout: Layout | None = None
        self._plan = Layout(
            id_code=id_code,
            station=station,
            phasors=(),
            rate=0,
            nominal_frequency=nominal_frequency,
            polar=polar,
            fixed_frequency=fixed_frequency,
        )
        self._last_ns: int | None = None
        self._terminal = ""
        self._longer = (0, 0)  # a rate lower than the one told, and for how many periods in a row

    def take(self, frame: MeasurementFrame) -> bytes | None:
        """Return the data frame of a record; None while the layout is not known."""
        self._learn(frame)
        layout = self.layout
        if layout is None:
            return None
        found = _phasors_of(frame)
        synchronised = frame.reference is AngleReference.UTC and Quality.UNSYNCHRONISED not in frame.quality
        unknown = Quality.UNSYNCHRONISED in frame.quality
        error = None if unknown else COVERAGE * frame.time_uncertainty
        return data(
            layout,
            frame.time_ns,
            phasors=[_polar(found.get(name)) for name in layout.phasors],
            frequency=frame.frequency.value if frame.frequency is not None else None,
            rocof=frame.rocof.value if frame.rocof is not None else None,
            stat=stat_word(usable=UNUSABLE.isdisjoint(frame.quality), synchronised=synchronised, time_error=error),
            time_quality=time_quality_code(error),
        )

    def configuration(self, *, first_kind: bool = False) -> bytes | None:
        """Return configuration 2, or the 1 that says the same, as of the last record; None while it is not known."""
        if self.layout is None or self._last_ns is None:
            return None
        return configuration(self.layout, self._last_ns, first_kind=first_kind)

    def header(self) -> bytes | None:
        """Return words on what this is; None before the first record."""
        if self._last_ns is None:
            return None
        kind = "polar" if self._plan.polar else "rectangular"
        text = f"tresma meter {self._plan.station}, terminal {self._terminal}: RMS phasors, {kind}, P > 0 into the load"
        return header(self._plan, self._last_ns, text)

    def _learn(self, frame: MeasurementFrame) -> None:
        last, self._last_ns = self._last_ns, frame.time_ns
        self._terminal = frame.terminal
        names = tuple(_phasors_of(frame))
        known = self.layout.phasors if self.layout is not None else self._plan.phasors
        if not set(names) <= set(known):
            known = names
        rate = self.layout.rate if self.layout is not None else 0
        if last is not None and frame.time_ns > last:
            rate = self._rate((frame.time_ns - last) / NANOSECONDS, rate)
        if self.layout is None:
            self._plan = msgspec.structs.replace(self._plan, phasors=known)
            if rate:
                self.layout = msgspec.structs.replace(self._plan, rate=rate)
        elif (known, rate) != (self.layout.phasors, self.layout.rate):
            changes = self.layout.changes + 1
            self.layout = msgspec.structs.replace(self.layout, phasors=known, rate=rate, changes=changes)

    def _rate(self, period: float, rate: int) -> int:
        """Tell the rate after a period [s], where `rate` was told so far; 0 for none."""
        found = max(1, round(1 / period)) if period < 1.5 else -min(round(period), 32_767)
        told = 1 / rate if rate > 0 else float(-rate)
        if rate and (1 - RATE_TOLERANCE) * told <= period <= (1 + RATE_TOLERANCE) * told:
            self._longer = (0, 0)
            return rate
        if rate and period > told:
            before, times = self._longer
            self._longer = (found, times + 1 if found == before else 1)
            if self._longer[1] < LASTING:
                return rate
        self._longer = (0, 0)
        return found


def _phasors_of(frame: MeasurementFrame) -> dict[str, Phasor]:
    """Name a record's phasors: phases of voltages, then of currents, then both positive sequences."""
    found: dict[str, Phasor] = {}
    for letter, readings in (("V", frame.voltage), ("I", frame.current)):
        found.update((letter + phase, readings[phase]) for phase in _phases if phase in readings)
    for letter, sequence in (("V", frame.voltage_sequence), ("I", frame.current_sequence)):
        if sequence is not None:
            found[f"{letter}1"] = sequence.positive
    return found


def _polar(phasor: Phasor | None) -> tuple[float, float] | None:
    return None if phasor is None or phasor.angle is None else (phasor.magnitude, phasor.angle)
