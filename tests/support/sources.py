"""Small waveform sources for tests of the process layer: they deliver, break, refuse, end or hang as they are told."""

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from algorithms.api.samples import Channel, Phase, Quantity, SampleBlock
from hardware.errors import SourceLost, SourceRefused
from hardware.source import EndOfRecording, SourceInfo, SourcePlan, SourceRequest

CHANNELS = (
    *(Channel(f"u{phase.lower()}", Quantity.VOLTAGE, phase) for phase in (Phase.A, Phase.B, Phase.C)),
    *(Channel(f"i{phase.lower()}", Quantity.CURRENT, phase) for phase in (Phase.A, Phase.B, Phase.C)),
)


class Counting:
    """
    Delivers blocks in real time whose samples are their own index modulo 4096.

    Options: `end`, `lost`, `hang`, `fail` (what happens after this many blocks), `refuse` (say no at the start),
    `channels` (how many), `judged` (say of its own time that it follows UTC to 3 us), `ahead` (how far stamps are
    ahead of UTC, in s).
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = dict(options)
        self._channels = CHANNELS[: self._options.get("channels", 6)]

    @property
    def info(self) -> SourceInfo:
        return SourceInfo("counting", "counts samples", judges_time="judged" in self._options)

    def start(self, request: SourceRequest) -> SourcePlan:
        if "refuse" in self._options:
            raise SourceRefused("expected a rate of at most 100 Hz, found more; ask for less")
        self._rate = request.sample_rate
        self._count = round(request.sample_rate * request.block_duration)
        self._blocks = 0
        self._due = time.monotonic()
        return SourcePlan(self._rate, self._channels, self._count)

    def read(self, timeout: float) -> SampleBlock | None:  # noqa: ARG002
        self._due += self._count / self._rate
        delay = self._due - time.monotonic()
        if delay > 0:
            time.sleep(delay)
        self._what_happens()
        first = self._blocks * self._count
        self._blocks += 1
        row = ((first + np.arange(self._count)) % 4096).astype(np.float32)
        values = np.repeat(row[np.newaxis], len(self._channels), axis=0)
        ahead = self._options.get("ahead", 0.0)
        time_ns = time.time_ns() + round((ahead - self._count / self._rate) * 1e9)
        uncertainty = 3e-6 if "judged" in self._options else 0.0
        return SampleBlock(values, self._channels, self._rate, first, time_ns, uncertainty)

    def _what_happens(self) -> None:
        options, blocks = self._options, self._blocks
        if blocks == options.get("end"):
            raise EndOfRecording("that was all")
        if blocks == options.get("lost"):
            raise SourceLost("the board was unplugged")
        if blocks == options.get("fail"):
            raise ZeroDivisionError("a driver's bug")
        if blocks == options.get("hang"):
            time.sleep(3600)

    def stop(self) -> None:
        """Nothing is open."""
