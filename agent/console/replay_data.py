"""
What a page of a recording is made of: its samples, and what the algorithms said of them.

Between `replay_command`, which hands in blocks and messages as they come, and `replay_plots` and `replay_page`, which
show them. Nothing is measured here. Times are seconds after the recording's trigger, or its beginning without one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from algorithms.api.samples import NANOSECONDS, Channel, SampleBlock, SampleFlag
from algorithms.api.wire import time_from_text
from hardware.comtrade_model import Recording
from hardware.comtrade_times import segments

LEAST_PER_CYCLE = 10
"""Samples a cycle below which a stretch of a recording is no waveform."""


@dataclass(frozen=True, slots=True)
class Row:
    """One frame: phasors as (magnitude, angle), sequences of the voltage as magnitudes, P and Q of all phases."""

    time: float
    voltage: dict[str, tuple[float, float | None]]
    current: dict[str, tuple[float, float | None]]
    sequences: dict[str, float]
    reference: float | None
    power: tuple[float, float] | None
    frequency: float | None
    rocof: float | None
    quality: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Happening:
    """An event that an algorithm told; `end` is None while it lasts."""

    kind: str
    begin: float
    end: float | None
    severity: str
    phases: tuple[str, ...]
    evidence: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Switching:
    """A digital channel that changed: its name, how it began, and when it went over."""

    name: str
    first: bool
    changes: tuple[float, ...]


@dataclass(slots=True)
class Recorded:
    """
    Everything that a page shows.

    Attributes
    ----------
    title : str
    facts : list
        Pairs of what and value.
    nominal_frequency, nominal_voltage : float
        [Hz], [V]
    channels : tuple of Channel
    stretches : list
        Times [s] and values (n_channels, n_samples) of each stretch without a pause.
    rows : list of Row
    happenings : list of Happening
    switchings : list of Switching
    energy : list
        Times [s] with registers of all phases by name [J].
    harmonics : dict
        Of the first window that nothing disturbs, by quantity and phase.
    windows : list
        Payloads of all windows of 10 or 12 cycles.
    slow : int
        Samples per channel that are too slow to be waveforms, and are not shown.
    """

    title: str
    nominal_frequency: float
    nominal_voltage: float
    origin_ns: int = 0
    facts: list[tuple[str, str]] = field(default_factory=list)
    channels: tuple[Channel, ...] = ()
    stretches: list[tuple[NDArray[np.float64], NDArray[np.float64]]] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    happenings: list[Happening] = field(default_factory=list)
    switchings: list[Switching] = field(default_factory=list)
    energy: list[tuple[float, dict[str, float]]] = field(default_factory=list)
    harmonics: dict[str, dict[str, list[float | None]]] = field(default_factory=dict)
    windows: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    slow: int = 0
    _pieces: list[tuple[NDArray[np.float64], NDArray[np.float64]]] = field(default_factory=list)

    @property
    def span(self) -> tuple[float, float]:
        """First and last instant of the samples [s]."""
        if not self.stretches:
            return 0.0, 1.0
        return float(self.stretches[0][0][0]), float(self.stretches[-1][0][-1])

    @property
    def moments(self) -> list[float]:
        """When events began, those less than ten cycles after another left out [s]."""
        found: list[float] = []
        for begin in sorted(one.begin for one in self.happenings):
            if not found or begin - found[-1] > 10 / self.nominal_frequency:
                found.append(begin)
        return found

    @property
    def frame_period(self) -> float:
        """Time from frame to frame [s]."""
        steps = np.diff([row.time for row in self.rows])
        return float(np.median(steps)) if steps.size else 0.02

    def take_block(self, block: SampleBlock) -> None:
        """Take samples."""
        if block.sample_rate < LEAST_PER_CYCLE * self.nominal_frequency:
            self.slow += block.n_samples  # a recorder's slow stretches are no waveforms
            return
        times = (block.time_ns - self.origin_ns) / NANOSECONDS + np.arange(block.n_samples) / block.sample_rate
        if block.flags & (SampleFlag.LOST | SampleFlag.RATE_CHANGED):
            self._join()
        self.channels = block.channels
        self._pieces.append((times, block.values.astype(float)))

    def take_message(self, line: bytes) -> None:
        """Take what an algorithm said."""
        message = msgspec.json.decode(line)
        schema = message.get("schema", "")
        if schema == "frame/1":
            self.rows.append(self._row(message))
        elif schema == "event/1":
            self._take_event(message)
        elif schema == "result/1" and message["content"] == "quality/1":
            self._take_quality(self._seconds(message["time"]), message["payload"])
        elif schema == "result/1" and message["content"].startswith("energy/"):
            self._take_energy(self._seconds(message["time"]), message["payload"])

    def finish(self, recording: Recording, name: str) -> None:
        """Take what stands in the file besides samples, once everything has come."""
        self._join()
        if self.slow:
            self.facts.append(("Left out", f"{self.slow} samples a channel at rates too low for waveforms"))
        parts = segments(recording, name)
        times = np.concatenate([part.start + np.arange(part.count) / part.rate for part in parts])
        start, trigger = recording.config.start_ns, recording.config.trigger_ns
        times -= (trigger - start) / NANOSECONDS if start is not None and trigger is not None else 0.0
        for index, channel in enumerate(recording.config.digital):
            states = recording.digital(index)
            at = np.flatnonzero(np.diff(states.astype(np.int8))) + 1
            if at.size:
                moments = tuple(float(times[k]) for k in at[:50])
                self.switchings.append(Switching(channel.name.strip(), bool(states[0]), moments))
        self.switchings.sort(key=lambda one: one.changes[0])

    def _join(self) -> None:
        if self._pieces:
            times, values = zip(*self._pieces, strict=True)
            self.stretches.append((np.concatenate(times), np.concatenate(values, axis=1)))
            self._pieces = []

    def _seconds(self, text: str) -> float:
        return (time_from_text(text) - self.origin_ns) / NANOSECONDS

    def _row(self, message: dict[str, Any]) -> Row:
        sequences = message.get("voltage_sequence")
        names = ("zero", "positive", "negative")
        total = message["power"].get("total")
        frequency, rocof = message.get("frequency"), message.get("rocof")
        return Row(
            time=self._seconds(message["time"]),
            voltage={phase: (one[0], one[1]) for phase, one in message["voltage"].items()},
            current={phase: (one[0], one[1]) for phase, one in message["current"].items()},
            sequences={name: one[0] for name, one in zip(names, sequences, strict=True)} if sequences else {},
            reference=_reference(message["voltage"], sequences),
            power=(total[0], total[2]) if total else None,
            frequency=frequency[0] if frequency else None,
            rocof=rocof[0] if rocof else None,
            quality=tuple(message["quality"]),
        )

    def _take_event(self, message: dict[str, Any]) -> None:
        begin = self._seconds(message["start"])
        end = None if message.get("end") is None else self._seconds(message["end"])
        told = Happening(
            message["kind"],
            begin,
            end,
            message["severity"],
            tuple(message.get("phases", ())),
            message.get("evidence", {}),
        )
        # What was announced while it lasted is superseded by how it ended.
        self.happenings = [one for one in self.happenings if (one.kind, one.begin) != (told.kind, told.begin)]
        self.happenings.append(told)
        self.happenings.sort(key=lambda one: one.begin)

    def _take_quality(self, time: float, payload: dict[str, Any]) -> None:
        if not payload["interval"].endswith("-cycle") or payload["windows"] != 1:
            return
        self.windows.append((time, payload))
        if not self.harmonics and not payload["flagged"]:
            for kind in ("voltage", "current"):
                by_phase = {phase: one["harmonics"] for phase, one in payload[kind].items() if one is not None}
                if by_phase:
                    self.harmonics[kind] = by_phase

    def _take_energy(self, time: float, payload: dict[str, Any]) -> None:
        registers = payload.get("registers", {}).get("vectorial", {})
        self.energy.append((time, {name: float(value[0]) for name, value in registers.items()}))


def _reference(voltage: dict[str, Any], sequences: Sequence[Any] | None) -> float | None:
    """Return the angle that the others are shown against: that of the positive sequence, or of the first voltage."""
    if sequences and sequences[1][1] is not None:
        return float(sequences[1][1])
    angles = [one[1] for one in voltage.values() if one[1] is not None]
    return float(angles[0]) if angles else None
