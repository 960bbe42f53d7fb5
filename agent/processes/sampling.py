"""
The sampler's process: a waveform source on one side, the ring in shared memory on the other.

Where it stands: forked by `fork_server`, told by `workers` what to sample, read by `algorithm_loop`.

Rules:

- It waits for the source only: never for a reader, never for the agent. A status that cannot be sent is left out.
- It wakes up once for each block.
- Indices go on where the sampler before it ended, with a gap as long as the time between, so that algorithms which
  outlive a sampler see a gap like any other. A step of UTC is no missing time.
- A source that breaks, ends or refuses is reported in one message; starting again is the agent's decision.
- A live source is read at real-time priority where the system allows it.
"""

import math
import os
import socket
import time
import traceback
from contextlib import suppress
from typing import Any

from agent.clock import synchronisation
from agent.processes import ring
from agent.processes.channel import Channel, ChannelError
from agent.processes.loading import load
from agent.processes.protocol import CONTROL_SIZE, REPORT_INTERVAL, Stop
from agent.processes.ring_memory import SealedMemory
from agent.processes.sampler_messages import (
    AddReader,
    ChannelPlan,
    RemoveReader,
    Sampled,
    SamplingEnded,
    SamplingPlan,
    SamplingStarted,
    SamplingStatus,
    StartSampling,
    ToSampler,
)
from agent.processes.usage import Usage
from algorithms.api.samples import NANOSECONDS, Phase, Quantity, SampleBlock, SampleFlag
from device_catalog.contract.documents import Acquisition
from hardware.errors import SourceError, SourceLost, SourceRefused
from hardware.source import ChannelRequest, EndOfRecording, SourcePlan, SourceRequest, WaveformSource

READ_TIMEOUT = 0.25
"""How long the agent may have to wait for an answer while the source is silent [s]."""

_PRIORITY = 10  # of SCHED_FIFO: above all ordinary processes, below the kernel's own threads (50)


def main(sock: socket.socket) -> int:
    """Sample until the agent says stop, or goes, or the source ends."""
    channel = Channel(sock, ToSampler, CONTROL_SIZE)
    try:
        received = channel.receive(None)
        if received is None or not isinstance(received[0], StartSampling):
            return 70
        return _Sampling(channel, received[0]).run()
    except ChannelError:
        return 0


def source_request(acquisition: Acquisition) -> SourceRequest:
    """
    Say in the source's words what the catalog asks for.

    Raises
    ------
    SourceRefused
        When a channel's quantity or phase is none.
    """
    channels = []
    for channel in acquisition.channels:
        try:
            quantity, phase = Quantity(channel.quantity), Phase(channel.phase)
        except ValueError as error:
            raise SourceRefused(
                f"channel {channel.name}: expected a quantity of {', '.join(Quantity)} and a phase of "
                f"{', '.join(Phase)}, found {channel.quantity} and {channel.phase}; correct the channel's settings"
            ) from error
        calibration = {
            name: getattr(channel, name)
            for name in (
                *("ratio", "gain", "offset", "phase_correction"),
                *("reversed", "gain_uncertainty", "phase_uncertainty"),
            )
        }
        channels.append(ChannelRequest(channel.name, quantity, phase, channel.input, **calibration))
    return SourceRequest(
        acquisition.sample_rate,
        tuple(channels),
        acquisition.block_duration,
        acquisition.nominal_frequency,
        acquisition.nominal_voltage,
    )


def open_source(driver: str, options: dict[str, Any]) -> WaveformSource:
    """
    Make the source that `driver` names: registered, or a source class as ``package.module:Class``.

    Raises
    ------
    SourceError
        When there is none, or its options are wrong.
    """
    if ":" not in driver:
        from hardware import registry  # noqa: PLC0415 - finding drivers costs time that other children should not pay

        return registry.open_source(driver, options)
    try:
        source_class = load(driver, lambda found: all(hasattr(found, name) for name in _source_names), "source")
    except (ImportError, TypeError) as error:
        raise SourceRefused(str(error)) from error
    source: WaveformSource = source_class(options)
    return source


_source_names = ("info", "start", "read", "stop")


STAMPED_NOW = 10 * NANOSECONDS
"""A block that ends this close to now was stamped by this machine's clock; a recording's own times are not [ns]."""

SAME_CLOCK = 0.05
"""Time between two samplers by their stamps is believed when the steady clock agrees to within this [s]."""


def index_offset(before: StartSampling, first: SampleBlock, now_ns: int) -> int:
    """
    Find what to add to a source's indices, so that they go on from the sampler before with a gap.

    Parameters
    ----------
    before : StartSampling
        Where the sampler before ended; 0 everywhere for none.
    first : SampleBlock
        The new source's first, just read.
    now_ns : int
        Monotonic time [ns].

    Returns
    -------
    int
        The gap is the time between by stamps; by the steady clock where UTC was stepped meanwhile, or where stamps are
        a recording's own.
    """
    if not before.previous_ns:
        return 0
    between = (first.time_ns - before.previous_ns) / NANOSECONDS
    steady = (now_ns - before.previous_written_ns) / NANOSECONDS - first.duration
    if abs(between - steady) > SAME_CLOCK:
        between = steady
    return before.previous_index + max(1, round(between * first.sample_rate)) - first.first_index


class _Sampling:
    def __init__(self, channel: Channel, start: StartSampling) -> None:
        self._channel = channel
        self._acquisition = start.acquisition
        self._previous = start
        self._offset: int | None = None
        self._readers: dict[int, int] = {}
        self._usage = Usage()
        self._samples = self._lost = self._end_index = self._last_ns = self._flags = 0
        self._uncertainty = 0.0
        self._clock = synchronisation()
        self._judged = False  # whether the source says itself how well its stamps follow UTC

    def run(self) -> int:
        source: WaveformSource | None = None
        kind, message, trace = "stopped", "it was told to stop", ""
        try:
            request = source_request(self._acquisition)
            source = open_source(self._acquisition.driver, self._acquisition.options)
            plan = source.start(request)
            self._sample(source, plan)
        except EndOfRecording as end:
            kind, message = "ended", str(end) or "the recording has ended"
        except SourceLost as error:
            kind, message = "lost", str(error)
        except SourceError as error:
            kind, message = "refused", str(error)
        except ChannelError:
            raise
        except Exception as error:  # noqa: BLE001 - a third party's source; said in one sentence
            kind, message = "failed", f"{type(error).__name__}: {error}"
            trace = traceback.format_exc(limit=-8)
        finally:
            if source is not None:
                with suppress(SourceError):
                    source.stop()
        self._channel.send(SamplingEnded(kind, message, self._status(), trace[-4000:]))
        return 0

    def _sample(self, source: WaveformSource, plan: SourcePlan) -> None:
        layout = ring.layout_for(plan.sample_rate, plan.channels, plan.block_samples, self._acquisition.history)
        writer = ring.RingWriter(layout)
        memory = writer.memory
        if not isinstance(memory, SealedMemory):
            raise TypeError("expected sealed memory, which can be handed on")
        info = source.info
        self._judged = info.judges_time
        priority = raise_priority() if info.live else "ordinary"
        channels = tuple(
            ChannelPlan(
                **{name: getattr(channel, name) for name in ChannelPlan.__struct_fields__}  # the same names in both
            )
            for channel in plan.channels
        )
        granted = SamplingPlan(
            plan.sample_rate,
            channels,
            plan.block_samples,
            driver=info.driver,
            description=info.description,
            live=info.live,
            judges_time=info.judges_time,
            realtime=priority,
            history=(layout.slots - 2) * layout.block_samples / layout.sample_rate,
        )
        self._channel.send(SamplingStarted(granted, memory.sealed), [memory.fd])
        report_at = time.monotonic() + REPORT_INTERVAL
        while True:
            block = source.read(READ_TIMEOUT)
            if block is not None:
                self._write(writer, block)
                for number in tuple(self._readers):
                    self._wake(number)
            now = time.monotonic()
            if now >= report_at:
                report_at = now + REPORT_INTERVAL
                self._clock = synchronisation()
                self._channel.offer(Sampled(self._status()))
                self._flags = 0
            if not self._obey():
                return

    def _write(self, writer: ring.RingWriter, block: SampleBlock) -> None:
        if self._offset is None:
            self._offset = index_offset(self._previous, block, time.monotonic_ns())
        elif block.first_index + self._offset > self._end_index:
            self._lost += block.first_index + self._offset - self._end_index
        uncertainty, flags = self._time_quality(block)
        if self._offset or uncertainty != block.time_uncertainty or flags != block.flags:
            block = SampleBlock(
                block.values,
                block.channels,
                block.sample_rate,
                block.first_index + self._offset,
                block.time_ns,
                uncertainty,
                flags,
                block.rate_uncertainty,
            )
        writer.write(block)
        self._samples += block.n_samples
        self._end_index, self._last_ns = block.end_index, block.end_ns
        self._uncertainty = block.time_uncertainty
        self._flags |= int(block.flags)

    def _time_quality(self, block: SampleBlock) -> tuple[float, SampleFlag]:
        """Tell how well a block's stamp follows UTC: where it is of this machine's clock, no better than that does."""
        if self._judged or abs(time.time_ns() - block.end_ns) > STAMPED_NOW:
            return block.time_uncertainty, block.flags
        own = self._clock.uncertainty or 0.0
        free = SampleFlag.NONE if self._clock.synchronised else SampleFlag.UNSYNCHRONISED
        return math.hypot(block.time_uncertainty, own), block.flags | free

    def _wake(self, number: int) -> None:
        try:
            os.write(self._readers[number], b"\0")
        except BlockingIOError:
            return  # it has not read for long: it is awake, or being dealt with
        except OSError:  # it is gone
            self._remove(number)

    def _remove(self, number: int) -> None:
        fd = self._readers.pop(number, None)
        if fd is not None:
            os.close(fd)

    def _obey(self) -> bool:
        """Take what the agent says; say whether to go on."""
        while (received := self._channel.receive(0.0)) is not None:
            message, fds = received
            match message:
                case AddReader():
                    os.set_blocking(fds[0], False)
                    self._readers[message.number] = fds[0]
                    self._wake(message.number)  # history may be waiting
                case RemoveReader():
                    self._remove(message.number)
                case Stop():
                    return False
        return True

    def _status(self) -> SamplingStatus:
        return SamplingStatus(
            samples=self._samples,
            lost=self._lost,
            last_ns=self._last_ns,
            end_index=self._end_index,
            flags=self._flags,
            time_uncertainty=self._uncertainty,
            processor=self._usage.processor(),
            memory=self._usage.memory(),
        )


def raise_priority() -> str:
    """Run ahead of ordinary processes as far as the system allows; say how: ``fifo``, ``nice`` or ``ordinary``."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(_PRIORITY))
    except OSError:
        try:
            os.setpriority(os.PRIO_PROCESS, 0, -10)
        except OSError:
            return "ordinary"
        return "nice"
    return "fifo"
