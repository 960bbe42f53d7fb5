"""
What the commissioning page sees of the samples: it reads the agent's ring, which it cannot write, about once a second.

Where it stands: the only part of the page that needs numpy; `diagnosis` judges what comes out. The page estimates its
own phasors, with the estimator that meters run, so that it shows something before any algorithm is assigned and shows
the same as ``tresma-agent check``, which shares `statistics_of`.
"""

import os
import time
from collections import deque
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from agent.commissioning.diagnosis import Observation, Waveform
from agent.commissioning.messages import Settings
from agent.commissioning.wiring import ChannelStatistics
from agent.processes.algorithm_calls import AlgorithmCalls
from agent.processes.loading import load_algorithm
from agent.processes.ring import RingReader
from agent.processes.ring_memory import SealedMemory
from algorithms.api.algorithm import Context
from algorithms.api.errors import SettingsError
from algorithms.api.records import MeasurementFrame
from algorithms.api.samples import Channel, Quantity, SampleBlock, SampleFlag
from device_catalog.contract.documents import Direction

SPAN = 1.0
"""Of what is judged [s]."""

STALE = 3.0
"""Samples that did not come for so long are none [s]."""

CYCLES = 2
POINTS = 128
"""Of a waveform that is drawn, and at most so many points of it."""


class Samples:
    """The newest second of samples, and the newest phasors; begins with nothing."""

    def __init__(self) -> None:
        self._reader: RingReader | None = None
        self._inode = 0
        self._blocks: deque[SampleBlock] = deque()
        self._settings = Settings()
        self._calls: AlgorithmCalls | None = None
        self._frame: MeasurementFrame | None = None
        self._came = 0.0

    def attach(self, fd: int, settings: Settings) -> None:
        """Read from the ring behind `fd` from now on, which this owns; one that is read already goes on."""
        inode = os.fstat(fd).st_ino
        if inode == self._inode and settings == self._settings:
            os.close(fd)
            return
        self.close()
        self._reader = RingReader(SealedMemory.open(fd), history=SPAN)
        self._inode, self._settings = inode, settings
        self._calls = self._estimator(self._reader)

    def close(self) -> None:
        """Let go of the ring."""
        if self._reader is not None:
            self._reader.close()
        if self._calls is not None:
            self._calls.stop()
        self._reader = self._calls = self._frame = None
        self._inode = 0
        self._blocks.clear()

    def look(self) -> Observation | None:
        """Take what has come, and say what the newest second shows; None where nothing comes."""
        self._collect()
        if self._reader is None or not self._blocks or time.monotonic() - self._came > STALE:
            return None
        settings = self._settings
        channels = self._reader.layout.channels
        expected = self._blocks[-1].end_index - self._blocks[0].first_index
        there = sum(block.n_samples for block in self._blocks)
        return Observation(
            statistics_of(self._blocks, channels),
            self._frame,
            settings.nominal_voltage,
            settings.nominal_frequency,
            Direction(settings.direction),
            max(0.0, 1.0 - there / expected) if expected > 0 else 0.0,
        )

    def waveforms(self) -> tuple[float, list[Waveform]]:
        """Give a few cycles of every channel, from where the first voltage rises through zero, and their length [s]."""
        if self._reader is None or not self._blocks:
            return 0.0, []
        channels = self._reader.layout.channels
        rate = self._blocks[-1].sample_rate
        frequency = self._settings.nominal_frequency
        if self._frame is not None and self._frame.frequency is not None:
            frequency = self._frame.frequency.value
        cycle = max(2, round(rate / frequency))
        values = np.concatenate([block.values for block in self._tail((2 * CYCLES + 2) * cycle)], axis=1).astype(float)
        count = CYCLES * cycle
        if values.shape[1] < count:
            return 0.0, []
        first = _rise(values, channels, values.shape[1] - count)
        step = -(-count // POINTS)
        shown = np.nan_to_num(values[:, first : first + count + 1 : step])
        drawn = [
            Waveform(channel.quantity, channel.phase, tuple(float(value) for value in row))
            for channel, row in zip(channels, shown, strict=True)
        ]
        return count / rate, drawn

    def _tail(self, count: int) -> list[SampleBlock]:
        found: list[SampleBlock] = []
        for block in reversed(self._blocks):
            if count <= 0 or (found and block.end_index != found[-1].first_index):
                break
            found.append(block)
            count -= block.n_samples
        return found[::-1]

    def _collect(self) -> None:
        while self._reader is not None and (block := self._reader.read()) is not None:
            self._came = time.monotonic()
            self._blocks.append(block)
            while (self._blocks[-1].end_index - self._blocks[0].end_index) / block.sample_rate >= SPAN:
                self._blocks.popleft()
            if self._calls is not None:
                frames = [one for one in self._calls.process(block) if isinstance(one, MeasurementFrame)]
                self._frame = frames[-1] if frames else self._frame

    def _estimator(self, reader: RingReader) -> AlgorithmCalls | None:
        """Start the phasor estimator; None where these samples are none for it."""
        layout, settings = reader.layout, self._settings
        calls = AlgorithmCalls(load_algorithm("phasors"), {"window": 10, "report_rate": 10})
        context = Context(
            device="commissioning",
            terminal=settings.terminal or "commissioning",
            nominal_frequency=settings.nominal_frequency,
            nominal_voltage=settings.nominal_voltage,
            channels=layout.channels,
            sample_rate=layout.sample_rate,
        )
        try:
            calls.start(context, None)
        except SettingsError:  # no voltages, or too few samples: the channels are judged without phasors
            return None
        return calls


def statistics_of(blocks: Iterable[SampleBlock], channels: Sequence[Channel]) -> dict[str, ChannelStatistics]:
    """Sum up each channel, by name."""
    blocks = list(blocks)
    together = np.concatenate([block.values for block in blocks], axis=1).astype(float)
    flagged = any(block.flags & SampleFlag.CLIPPED for block in blocks)
    return {channel.name: _statistics(together[row], channel, flagged) for row, channel in enumerate(channels)}


def _statistics(values: NDArray[np.float64], channel: Channel, flagged: bool) -> ChannelStatistics:
    values = values[np.isfinite(values)]
    kind = channel.quantity, channel.phase
    if not values.size:
        return ChannelStatistics(*kind, 0.0, 0.0, 0.0, channel.resolution, channel.full_scale)
    at_end = channel.full_scale > 0 and np.abs(values) >= channel.full_scale - channel.resolution
    clipped = float(np.mean(at_end))
    if not clipped and flagged:
        clipped = float(np.mean(np.isin(values, (values.min(), values.max()))))
    return ChannelStatistics(
        *kind, float(values.std()), float(values.mean()), clipped, channel.resolution, channel.full_scale
    )


def _rise(values: NDArray[np.float64], channels: Sequence[Channel], last: int) -> int:
    """Find where the first living voltage rises through zero, as late as `last` allows."""
    for row, channel in enumerate(channels):
        if channel.quantity is not Quantity.VOLTAGE:
            continue
        wave = values[row] - values[row].mean()
        rises = np.flatnonzero((wave[:-1] < 0) & (wave[1:] >= 0))
        rises = rises[rises <= last]
        if rises.size and wave.std() > 0:
            return int(rises[-1])
    return last
