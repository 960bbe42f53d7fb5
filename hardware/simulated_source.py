"""
A waveform source that computes what a meter would see, in real time or as fast as it is read.

Between `simulated_signal`, which computes, and whoever reads samples; the same protocol, timing, loss and limits as a
board's. Same options and start, same samples, whatever the size of the blocks. In real time the first sample is taken
at a whole multiple of the block's duration in UTC, so that blocks of 20 ms end at multiples of 20 ms.
"""

from collections import deque
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np

from algorithms.api.errors import shortened
from algorithms.api.samples import NANOSECONDS, Phase, SampleBlock
from hardware.checks import problems_of_request, refuse
from hardware.framing import Framer
from hardware.pacing import Clock, Pace, SystemClock
from hardware.scaling import described, scaling_of
from hardware.simulated_options import Simulation, quantity_of, read_simulation
from hardware.simulated_settings import CHANNELS, DRIVER
from hardware.simulated_signal import Signal, active
from hardware.source import ChannelRequest, EndOfRecording, SourceInfo, SourcePlan, SourceRequest

MAXIMUM_RATE = 1e6
"""Highest rate per channel [Hz]."""
CELLS_AHEAD = 10
"""
Cells computed together in real time: between two blocks a processor forgets this code, and finding it again would cost
more than the work.
"""


class SimulatedSource:
    """
    A simulated three-phase connection as a waveform source.

    Parameters
    ----------
    options : mapping
        See `simulated_settings.OPTIONS`.
    clock : Clock or None
        None for the machine's own.

    Raises
    ------
    OptionsError
        With everything that is wrong with the options.

    Examples
    --------
    >>> source = SimulatedSource({"pace": "as-fast-as-possible", "voltage": 230.0, "duration": 1.0})
    >>> plan = source.start(SourceRequest(sample_rate=6400.0))
    >>> [channel.name for channel in plan.channels], plan.block_samples
    (['ua', 'ub', 'uc', 'ia', 'ib', 'ic'], 128)
    >>> block = source.read(timeout=0.1)
    >>> round(float(np.sqrt(np.mean(block.values[0] ** 2))), 6)
    230.0
    """

    def __init__(self, options: Mapping[str, Any], clock: Clock | None = None) -> None:
        self._simulation = read_simulation(options)
        self._clock = clock if clock is not None else SystemClock()
        self._run: _Run | None = None

    @property
    def info(self) -> SourceInfo:
        """What it is."""
        simulation = self._simulation
        description = f"simulated three-phase connection, {len(simulation.events)} events, seed {simulation.seed}"
        return SourceInfo(DRIVER, description, live=simulation.live, maximum_rate=MAXIMUM_RATE)

    def start(self, request: SourceRequest) -> SourcePlan:
        """
        Begin at the next whole multiple of the block's duration, or at the stated start.

        Raises
        ------
        SourceRefused
            With everything that cannot be granted.
        """
        if self._run is not None:
            raise RuntimeError("a stopped source expected; this one has been started")
        channels = request.channels or tuple(
            ChannelRequest(name, quantity_of(name), Phase(name[1].upper()), name) for name in CHANNELS
        )
        rows, problems = _rows_of(channels)
        refuse(DRIVER, problems_of_request(request, MAXIMUM_RATE) + problems)
        self._run = _Run(self._simulation, self._clock, request, channels, rows)
        return self._run.plan

    def read(self, timeout: float) -> SampleBlock | None:
        """
        Return the next block, once its last sample's time has passed.

        Raises
        ------
        EndOfRecording
            When the stated duration is over.
        """
        if self._run is None:
            raise RuntimeError("a started source expected; call start first")
        return self._run.read(timeout)

    def stop(self) -> None:
        """Stop; a new start begins anew."""
        self._run = None


def _rows_of(channels: tuple[ChannelRequest, ...]) -> tuple[tuple[int, ...], list[str]]:
    """Find which simulated channel each requested one is; also what is wrong."""
    rows: list[int] = []
    problems: list[str] = []
    for channel in channels:
        wanted = channel.input
        row = CHANNELS.index(wanted) if wanted in CHANNELS else wanted if isinstance(wanted, int) else -1
        if not 0 <= row < len(CHANNELS):
            problems.append(
                f"channel {channel.name}: expected the input {', '.join(CHANNELS)} or its number from 0 to "
                f"{len(CHANNELS) - 1}, found {shortened(wanted)}"
            )
        elif quantity_of(CHANNELS[row]) is not channel.quantity:
            problems.append(f"channel {channel.name}: expected a {channel.quantity}, found input {CHANNELS[row]}")
        else:
            rows.append(row)
    return tuple(rows), problems


class _Run:
    """One run of a simulated source, from its start to its stop."""

    def __init__(
        self,
        simulation: Simulation,
        clock: Clock,
        request: SourceRequest,
        channels: tuple[ChannelRequest, ...],
        rows: tuple[int, ...],
    ) -> None:
        self._simulation = simulation
        self._rate = request.sample_rate
        self._numerator, self._denominator = Fraction(str(request.sample_rate)).as_integer_ratio()
        grid_ns = max(1, round(request.block_duration * NANOSECONDS))
        if simulation.start_ns is None:
            self._origin_ns = -(-clock.now_ns() // grid_ns) * grid_ns
        else:
            self._origin_ns = simulation.start_ns
        paced_from = self._origin_ns if simulation.start_ns is None else clock.now_ns()
        self._pace = Pace(clock, paced_from) if simulation.live else None
        self._signal = Signal(
            simulation,
            rows,
            sample_rate=self._rate,
            origin_ns=self._origin_ns,
            frequency=simulation.frequency or request.nominal_frequency,
            voltage=request.nominal_voltage if simulation.voltage is None else simulation.voltage,
        )
        described_channels = tuple(
            described(
                channel,
                nominal_frequency=request.nominal_frequency,
                skew=simulation.skews[row],
                step=step,
                low=-full_scale,
                high=full_scale,
            )
            for channel, row, step, full_scale in zip(
                channels, rows, self._signal.steps, self._signal.full_scales, strict=True
            )
        )
        block_samples = max(1, round(self._rate * request.block_duration))
        self.plan = SourcePlan(self._rate, described_channels, block_samples)
        scaling = scaling_of(channels)
        plain = bool((scaling.factor == 1).all() and (scaling.constant == 0).all())
        self._scaling = None if plain else scaling
        self._framer = Framer(described_channels, self._rate, block_samples, self._stamp)
        self._last = round(simulation.duration * self._rate) if simulation.duration else None
        self._number = 0
        self._ready: deque[SampleBlock] = deque()
        self._ended = False

    def read(self, timeout: float) -> SampleBlock | None:
        """Return the next block, once its time has come."""
        while not self._ready:
            if self._ended:
                raise EndOfRecording(f"the simulated {self._simulation.duration:g} s are over")
            for _ in range(CELLS_AHEAD if self._pace is not None else 1):
                if not self._ended:
                    self._make_cell()
        block = self._ready[0]
        # A clock that runs fast is early at every sample.
        due = block.end_index / self._rate / (1 + self._simulation.clock_error)
        if self._pace is not None and not self._pace.wait(due, timeout):
            return None
        return self._ready.popleft()

    def _stamp(self, index: int) -> tuple[int, float]:
        """Tell a sample's time, rounded to the nanosecond once."""
        elapsed = (2 * index * self._denominator * NANOSECONDS + self._numerator) // (2 * self._numerator)
        return self._origin_ns + elapsed, 0.0

    def _make_cell(self) -> None:
        size = self._signal.cell_samples
        if self._pace is not None:
            late = self._pace.late(self._number * size / self._rate)
            if late > self._simulation.buffer:  # as on a board, what nobody fetched in time is gone
                self._number += int(late * self._rate / size)
        first = self._number * size
        values, flags = self._signal.cell(self._number)
        self._number += 1
        if self._scaling is not None:
            values = np.ascontiguousarray(self._scaling.apply(values))
        values.flags.writeable = False
        if self._last is not None and first + size >= self._last:
            values = values[:, : max(0, self._last - first)]
            self._ended = True
        for start, end in self._kept(first, values.shape[1]):
            self._ready += self._framer.push(values[:, start:end], first + start, flags)
        if self._ended:
            self._ready += self._framer.flush()

    def _kept(self, first: int, count: int) -> list[tuple[int, int]]:
        """Return the stretches of a cell that do not get lost."""
        if not self._simulation.losses:
            return [(0, count)] if count else []
        time = (first + np.arange(count)) / self._rate
        kept = np.ones(count + 2, np.int8)
        kept[[0, -1]] = 0
        for loss in self._simulation.losses:
            kept[1:-1][active(loss, time)] = 0
        edges = np.flatnonzero(np.diff(kept)).tolist()
        return list(zip(edges[0::2], edges[1::2], strict=True))
