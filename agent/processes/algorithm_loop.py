"""
The life of an algorithm's process once it has started: wait for samples and messages, call, send what came of it.

Where it stands: begun by `algorithm_host`, and gone through beforehand by `rehearsal`.

Rules:

- It sleeps until there are samples or messages, takes all there are, and sends what came of them in one message.
- It says how it is doing every second, also between the calls of a backlog. Silence therefore means that one call
  does not return, and the agent ends the process.
- Before urgent results goes the state that counts them, where an algorithm keeps one: what was told is never taken back
  by an end that nobody saw coming. An algorithm may ask for that itself (`Algorithm.keep_now`).
"""

import os
import select
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

import msgspec

from agent.processes import ring
from agent.processes.algorithm_calls import AlgorithmCalls
from agent.processes.algorithm_messages import (
    BATCH_SIZE,
    CHECKPOINT_SIZE,
    AlgorithmReported,
    AlgorithmSpec,
    AlgorithmStatus,
    AlgorithmStopped,
    Attach,
    Checkpointed,
    Feed,
    Produced,
    TakeCheckpoint,
    record_decoder,
)
from agent.processes.channel import Channel, ChannelClosed, ChannelError
from agent.processes.last_words import failure
from agent.processes.protocol import REPORT_INTERVAL, Stop
from agent.processes.ring_memory import SealedMemory
from agent.processes.usage import Usage
from algorithms.api.records import Record, Result

_WAITING_RECORDS = 256


class AlgorithmLoop:
    """
    The loop: wait, call, send.

    Parameters
    ----------
    channel : Channel
    spec : AlgorithmSpec
    calls : AlgorithmCalls
        Started already.
    usage : Usage
    samples : tuple
        The ring's reader and the reading end of its wake-up pipe; None and -1 without samples.
    """

    def __init__(
        self,
        channel: Channel,
        spec: AlgorithmSpec,
        calls: AlgorithmCalls,
        usage: Usage,
        samples: tuple[ring.RingReader | None, int],
    ) -> None:
        self._channel = channel
        self._spec = spec
        self._calls = calls
        self._usage = usage
        self._reader, wake = samples
        self._lost_before = 0
        self._wake = -1
        self._poll = select.poll()
        self._poll.register(channel.fileno(), select.POLLIN)
        if wake >= 0:
            self._listen(wake)
        self._waiting: deque[msgspec.Raw] = deque(maxlen=_WAITING_RECORDS)
        self._before_checkpoint: int | None = None  # records to take before the agent's question is answered
        self._decode = record_decoder().decode
        self._encode = msgspec.msgpack.Encoder().encode
        self._out: list[msgspec.Raw] = []
        self._out_size = 0
        self._out_counts = False  # whether an urgent result is among what goes out next
        self._dropped = 0
        self._last_index = 0
        self._stopping = False
        now = time.monotonic()
        self._report_at = now + REPORT_INTERVAL
        self._checkpoint_at = now + calls.info.checkpoint_interval if calls.info.checkpoint_interval else None
        # With samples, the algorithm's time is theirs.
        ticks_by_clock = calls.info.tick_interval and not calls.wants_samples
        self._tick_at = now + calls.info.tick_interval if ticks_by_clock else None

    def run(self) -> int:
        """Live until the agent says stop, or goes; return the exit status."""
        try:
            while not self._stopping:
                self.turn()
            self._send_checkpoint(asked=False)
            self._calls.stop()
            self._channel.send(AlgorithmStopped())
        except ChannelClosed:
            return 0
        except ChannelError:
            raise
        except BaseException as error:  # noqa: BLE001 - someone else's code; said in one sentence
            if not self._out_counts or self._checkpoint_at is None:  # else a later instance tells them, with its state
                with suppress(BaseException):
                    self._send_records()
            self._reader = None
            self._waiting.clear()
            self._channel.send(failure(error))
            return 70
        return 0

    def close(self) -> None:
        """Let go of ring and pipe; a process that ends need not."""
        self._unlisten()
        if self._reader is not None:
            self._reader.close()

    def turn(self) -> None:
        """Wait until something is due or there, take what there is, and send what came of it."""
        due = [at for at in (self._report_at, self._checkpoint_at, self._tick_at) if at is not None]
        backlog = self._waiting or (self._reader is not None and self._reader.waiting > 0)
        timeout = 0.0 if backlog else max(0.0, min(due) - time.monotonic())
        for fd, _ in self._poll.poll(timeout * 1000):
            if fd == self._wake:
                self._woken()
            else:
                self._obey()
        # Take what is there, but look at the agent's messages and the time again within a second's fraction.
        until = time.monotonic() + REPORT_INTERVAL / 4
        while self._waiting and not self._stopping:
            self._keep(self._calls.process(self._decode(self._waiting.popleft())))
            self._passed(1)
            if time.monotonic() > until:
                break
        while self._reader is not None and not self._stopping:
            block = self._reader.read()
            if block is None:
                break
            self._last_index = block.end_index
            self._keep(self._calls.process(block))
            if time.monotonic() > until:
                break
        self._by_the_clock(time.monotonic())
        self._flush()

    def _by_the_clock(self, now: float) -> None:
        if self._tick_at is not None and now >= self._tick_at:
            self._tick_at = max(self._tick_at + self._calls.info.tick_interval, now)
            self._keep(self._calls.tick(time.time_ns()))
        if self._checkpoint_at is not None and now >= self._checkpoint_at:
            self._send_checkpoint(asked=False)
        if now >= self._report_at:
            self._report_at = now + REPORT_INTERVAL
            self._channel.send(AlgorithmReported(self._status()))

    def _obey(self) -> None:
        while (received := self._channel.receive(0.0)) is not None:
            message, fds = received
            match message:
                case Feed():
                    dropped = max(0, len(self._waiting) + len(message.records) - _WAITING_RECORDS)
                    self._dropped += dropped
                    self._waiting.extend(message.records)
                    self._passed(dropped)
                case Attach():
                    self._attach(*fds)
                case TakeCheckpoint():
                    self._before_checkpoint = len(self._waiting)
                    self._passed(0)
                case Stop():
                    self._stopping = True
                    return

    def _passed(self, count: int) -> None:
        """Answer the agent once everything is taken that came before its question: who goes on gets what came after."""
        if self._before_checkpoint is None:
            return
        self._before_checkpoint = max(0, self._before_checkpoint - count)
        if self._before_checkpoint == 0:
            self._before_checkpoint = None
            self._send_checkpoint(asked=True)

    def _attach(self, memory: int, wake: int) -> None:
        """Read a new sampler's ring from its beginning; what happened between is a gap."""
        reader = ring.RingReader(SealedMemory.open(memory), history=float("inf"))
        reader.interrupted()
        if self._reader is not None:
            while (block := self._reader.read()) is not None:  # the last blocks of the sampler that went
                self._last_index = block.end_index
                self._keep(self._calls.process(block))
            self._lost_before += self._reader.lost_samples
            self._reader.close()
        self._reader = reader
        self._listen(wake)

    def _listen(self, wake: int) -> None:
        self._unlisten()
        self._wake = wake
        self._poll.register(wake, select.POLLIN)

    def _unlisten(self) -> None:
        if self._wake >= 0:
            self._poll.unregister(self._wake)
            os.close(self._wake)
            self._wake = -1

    def _woken(self) -> None:
        with suppress(BlockingIOError):
            if not os.read(self._wake, 4096):  # the sampler is gone; a new one will be handed over
                self._unlisten()

    def _keep(self, records: Sequence[Record]) -> None:
        for record in records:
            data = self._encode(record)
            if len(data) > self._spec.limits.record_size:
                self._dropped += 1
                continue
            if self._out_size + len(data) > BATCH_SIZE:
                self._flush()
            self._out.append(msgspec.Raw(data))
            self._out_size += len(data)
            self._out_counts |= isinstance(record, Result) and record.urgent

    def _flush(self) -> None:
        if (self._out_counts or self._calls.asks_to_be_kept) and self._checkpoint_at is not None:
            self._send_checkpoint(asked=False)
        else:
            self._send_records()

    def _send_records(self) -> None:
        if self._out:
            message = Produced(tuple(self._out))
            self._out, self._out_size, self._out_counts = [], 0, False
            self._channel.send(message)

    def _send_checkpoint(self, *, asked: bool) -> None:
        data = self._calls.checkpoint()
        if len(data) > CHECKPOINT_SIZE:
            raise ValueError(f"expected a checkpoint of at most {CHECKPOINT_SIZE} bytes, found {len(data)}")
        if self._checkpoint_at is not None:
            self._checkpoint_at = time.monotonic() + self._calls.info.checkpoint_interval
        self._channel.send(Checkpointed(data, asked))
        self._send_records()

    def _status(self) -> AlgorithmStatus:
        return AlgorithmStatus(
            processed=self._calls.processed,
            produced=self._calls.produced,
            dropped=self._dropped,
            lost_samples=self._lost_before + (self._reader.lost_samples if self._reader else 0),
            last_index=self._last_index,
            processor=self._usage.processor(),
            memory=self._usage.memory(),
            slowest=self._calls.take_slowest(),
            over_budget=self._calls.over_budget,
        )
