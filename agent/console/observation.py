"""
A few seconds of a device's own source, looked at by a person's command: what `check` judges and `calibrate` measures.

Opens the source as a meter would, reads it in this process, and lets go of it. Not used while an agent runs: a board
serves one at a time (`agent_runs` tells).
"""

import os
import time
from dataclasses import dataclass, field
from pathlib import Path

from agent.commissioning.sampled import statistics_of
from agent.commissioning.wiring import ChannelStatistics
from agent.processes.algorithm_calls import AlgorithmCalls
from agent.processes.loading import load_algorithm
from agent.processes.sampling import open_source, source_request
from algorithms.api.algorithm import Context
from algorithms.api.records import MeasurementFrame
from algorithms.api.samples import SampleBlock, SampleFlag
from device_catalog.contract.documents import Acquisition
from hardware.source import EndOfRecording, SourcePlan, WaveformSource

PATIENCE = 10.0
"""How much longer than asked for the samples may take to come [s]."""


@dataclass(slots=True)
class Observation:
    """
    What the blocks of a few seconds add up to.

    Attributes
    ----------
    plan : SourcePlan
    live : bool
        Whether the source takes the time that its samples cover.
    blocks : list of SampleBlock
    lost : int
        Times that samples were lost.
    elapsed : float
        From the first block to the last [s].
    """

    plan: SourcePlan
    live: bool
    blocks: list[SampleBlock] = field(default_factory=list)
    lost: int = 0
    elapsed: float = 0.0

    @property
    def samples(self) -> int:
        """Per channel."""
        return sum(block.n_samples for block in self.blocks)

    def statistics(self) -> dict[str, ChannelStatistics]:
        """Sum up each channel, by name."""
        return statistics_of(self.blocks, self.plan.channels)


def observe(acquisition: Acquisition, seconds: float) -> Observation:
    """
    Read the source that `acquisition` names.

    Parameters
    ----------
    acquisition : Acquisition
    seconds : float
        [s]

    Raises
    ------
    SourceError
        When it is not there, refuses, or breaks.
    """
    source = open_source(acquisition.driver, acquisition.options)
    live = source.info.live
    try:
        return _read(source, Observation(source.start(source_request(acquisition)), live), seconds)
    finally:
        source.stop()


def _read(source: WaveformSource, seen: Observation, seconds: float) -> Observation:
    first: float | None = None
    deadline = time.monotonic() + seconds + PATIENCE
    covered = 0.0
    while covered < seconds and time.monotonic() < deadline:
        try:
            block = source.read(0.5)
        except EndOfRecording:
            break
        if block is None:
            continue
        now = time.monotonic()
        if first is None:
            first = now
        else:
            seen.blocks.append(block)
            covered += block.duration
            seen.elapsed = now - first
        if block.flags & SampleFlag.LOST:
            seen.lost += 1
    return seen


def frames_of(acquisition: Acquisition, seen: Observation) -> list[MeasurementFrame]:
    """
    Run the phasor estimator over what was read; return the frames that have a frequency, ten a second.

    Raises
    ------
    SettingsError
        When the sampling rate is too low for it.
    """
    calls = AlgorithmCalls(load_algorithm("phasors"), {"window": 10, "report_rate": 10})
    context = Context(
        device="check",
        terminal="check",
        nominal_frequency=acquisition.nominal_frequency,
        nominal_voltage=acquisition.nominal_voltage,
        channels=seen.plan.channels,
        sample_rate=seen.plan.sample_rate,
    )
    calls.start(context, None)
    frames = [record for block in seen.blocks for record in calls.process(block)]
    calls.stop()
    return [frame for frame in frames if isinstance(frame, MeasurementFrame) and frame.frequency is not None]


def agent_runs(state_dir: Path) -> bool:
    """Tell whether an agent holds this folder, and with it perhaps the board."""
    import fcntl  # noqa: PLC0415 - not on Windows

    try:
        lock = os.open(state_dir / "lock", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False
