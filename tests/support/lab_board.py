"""
A third party's source, as a laboratory would write it: its own board, 500 kS/s over all channels.

The board is imagined, its buffer is not: conversions come in transfers of an odd size, which `Framer` cuts into blocks,
and volts become primary values by `scaling`. Each conversion's code is its own number, so a test can tell whether a
sample was really taken.
"""

import time
from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np

from algorithms.api.samples import SampleBlock
from algorithms.api.settings import Setting
from hardware.checks import problems_of_request, read_options, refuse
from hardware.framing import Framer
from hardware.scaling import described, scaling_of
from hardware.source import SourceInfo, SourcePlan, SourceRequest

AGGREGATE_RATE = 500e3
TRANSFER = 777
RANGE = 10.0
STEP = 2 * RANGE / 2**16
OPTIONS = (Setting("serial", "text", "Of the board.", minimum=1),)


def volts_of(indices: np.ndarray, n_channels: int) -> np.ndarray:
    """Return what the board converts, shape (n_channels, n_samples): a code that counts, another for each channel."""
    codes = (indices[None, :] + 1000 * np.arange(n_channels)[:, None]) % 2**16
    return codes * STEP - RANGE


class LabBoard:
    """The laboratory's board."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._serial = read_options("lab-board", OPTIONS, options)["serial"]
        self._framer: Framer | None = None

    @property
    def info(self) -> SourceInfo:
        return SourceInfo("lab-board", f"board {self._serial}", maximum_rate=AGGREGATE_RATE)

    def start(self, request: SourceRequest) -> SourcePlan:
        problems = problems_of_request(request, AGGREGATE_RATE / max(1, len(request.channels)))
        problems += [] if request.channels else ["channels: expected the channels that are wired, found none"]
        problems += [
            f"channel {channel.name}: expected an input from 0 to 15, found {channel.input}"
            for channel in request.channels
            if not isinstance(channel.input, int) or not 0 <= channel.input <= 15
        ]
        refuse("lab-board", problems)
        step = 1 / (request.sample_rate * len(request.channels))
        channels = tuple(
            described(
                channel, nominal_frequency=request.nominal_frequency, skew=k * step, step=STEP, low=-RANGE, high=RANGE
            )
            for k, channel in enumerate(request.channels)
        )
        size = max(1, round(request.sample_rate * request.block_duration))
        self._rate, self._taken, self._scaling = request.sample_rate, 0, scaling_of(request.channels)
        self._begun, self._origin = time.monotonic(), time.time_ns()
        self._ready: deque[SampleBlock] = deque()
        self._framer = Framer(channels, request.sample_rate, size, self._stamp)
        return SourcePlan(request.sample_rate, channels, size)

    def _stamp(self, index: int) -> tuple[int, float]:
        return self._origin + round(index / self._rate * 1e9), 1e-3

    def read(self, timeout: float) -> SampleBlock | None:
        if self._framer is None:
            raise RuntimeError("a started source expected; call start first")
        deadline = time.monotonic() + timeout
        while not self._ready:
            due = self._begun + (self._taken + TRANSFER) / self._rate
            if due > deadline and time.monotonic() < due:
                time.sleep(max(0.0, deadline - time.monotonic()))
                return None
            time.sleep(max(0.0, due - time.monotonic()))
            volts = volts_of(self._taken + np.arange(TRANSFER), len(self._scaling.factor))
            self._ready += self._framer.push(self._scaling.apply(volts, out=volts), self._taken)
            self._taken += TRANSFER
        return self._ready.popleft()

    def stop(self) -> None:
        self._framer = None
