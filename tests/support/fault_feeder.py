"""
A feeder at work: the head with fault detection and location, meters that answer, and a bus between them.

The real algorithms, fed with what boards would sample, each with a clock of its own; requests and replies pass through
the wire format. What is silent, late or lying is chosen by the test.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from algorithms.api.algorithm import Algorithm, Context
from algorithms.api.network_reader import parse
from algorithms.api.records import Event, Record, Reply, Request
from algorithms.api.samples import SampleBlock
from algorithms.api.wire import Header, decode, encode
from algorithms.builtin.faults.fault_detection import FaultDetection
from algorithms.builtin.faults.fault_location import FaultLocation
from algorithms.builtin.faults.fault_voltages import FaultVoltages
from tests.support.fault_grids import VOLTAGE, Feeder
from tests.support.fault_trials import EPOCH_NS, Blocks, Converter, Recording

Tamper = Callable[[Reply], Reply]


def through_the_wire(record: Record, device: str) -> Any:
    """Write a record as a message and read it again."""
    return decode(encode(record, Header(device=device, boot=1, session=1, number=1, time_ns=EPOCH_NS)))[1]


@dataclass
class FeederAtWork:
    """
    All meters of a feeder.

    Attributes
    ----------
    feeder : Feeder
    converter : Converter
        Of all of them.
    document : dict
        What the head believes of the network; the truth where not stated.
    gain : float
        Standard deviation of the meters' gains [1].
    clocks : float
        Standard deviation of the meters' clocks [s].
    """

    feeder: Feeder
    converter: Converter
    document: Mapping[str, Any] | None = None
    gain: float = 0.005
    clocks: float = 0.005
    block: int = 64
    location: dict[str, Any] = field(default_factory=dict)
    neutral_settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.network = parse(dict(self.document or self.feeder.document()))

    def run(
        self, recording: Recording, generator: np.random.Generator, *, silent: Collection[str] = (),
        late: Mapping[str, float] | None = None, tamper: Mapping[str, Tamper] | None = None,
        waiting: float = 1.0, spoil: Callable[[Any], Any] | None = None,
    ) -> list[Event]:  # fmt: skip
        """
        Play a recording to all of them.

        Parameters
        ----------
        silent : collection of str
            Devices that never answer.
        late : mapping
            Delay of answers by device [s].
        tamper : mapping
            What becomes of answers, by device.
        waiting : float
            Time that passes after the last sample [s].
        spoil : callable, optional
            Changes the head's samples.

        Returns
        -------
        list of Event
            All events of the head, in order.
        """
        rate = recording.sample_rate
        values = self.converter.sampled(recording.head, generator)
        head = self._blocks(spoil(values) if spoil else values, rate, 0.0, six=True)
        streams: dict[str, list[SampleBlock]] = {}
        algorithms: dict[str, Algorithm] = {}
        for node, waves in zip(self.feeder.meters, recording.meters, strict=True):
            device = f"m-{node}"
            gains = 1.0 + self.gain * generator.standard_normal((3, 1))
            offset = self.clocks * float(np.clip(generator.standard_normal(), -2.5, 2.5))
            streams[device] = self._blocks(self.converter.sampled(waves, generator, gains), rate, offset, six=False)
            algorithms[device] = FaultVoltages({})
            algorithms[device].start(self._context(device, f"at-{node}", rate, six=False), None)
        context = self._context("m-head", "head", rate, six=True)
        detection, location = FaultDetection(self.neutral_settings), FaultLocation(self.location)
        detection.start(context, None)
        location.start(context, None)
        return self._play(head, streams, (detection, location), algorithms, (silent, late or {}, tamper or {}, waiting))

    @staticmethod
    def _play(head: Any, streams: Any, own: Any, algorithms: Any, manners: Any) -> list[Event]:
        bus = _Bus(*own, algorithms, *manners[:3])
        now = EPOCH_NS
        for number, block in enumerate(head):
            now = block.end_ns
            for device, blocks in streams.items():
                bus.answer(device, algorithms[device].process(blocks[number]), now)
            bus.take([*own[0].process(block)], now)
            bus.take(own[1].process(block), now)
            bus.deliver(now)
        end = now + round(1e9 * manners[3])
        while now < end:
            now += 20_000_000
            bus.deliver(now)
            bus.take(own[1].tick(now), now)
            for device in streams:
                bus.answer(device, algorithms[device].tick(now), now)
        return bus.events

    def _context(self, device: str, terminal: str, rate: float, *, six: bool) -> Context:
        channels = self.converter.channels(rate)[: 6 if six else 3]
        return Context(device, terminal, 50.0, VOLTAGE, channels, rate, network=self.network if six else None)

    def _blocks(self, values: Any, rate: float, offset: float, *, six: bool) -> list[SampleBlock]:
        channels = self.converter.channels(rate)[: 6 if six else 3]
        if not six:
            channels = tuple(
                type(c)(c.name, c.quantity, c.phase, 0.0, c.resolution, 0.0, 0.0, c.full_scale) for c in channels
            )
        return Blocks(channels, rate, self.block, EPOCH_NS + round(1e9 * offset)).cut(values)


@dataclass
class _Bus:
    """What passes between them, through the wire format."""

    detection: FaultDetection
    location: FaultLocation
    meters: dict[str, Algorithm]
    silent: Collection[str]
    late: Mapping[str, float]
    tamper: Mapping[str, Tamper]
    events: list[Event] = field(default_factory=list)
    post: list[tuple[int, Any]] = field(default_factory=list)

    def take(self, records: Any, now_ns: int) -> None:
        """Carry what the head says to whom it is for."""
        for record in records:
            if isinstance(record, Event):
                self.events.append(record)
                self.take(self.location.process(through_the_wire(record, "m-head")), now_ns)
            elif isinstance(record, Request) and record.recipient not in self.silent:
                request = through_the_wire(record, "m-head")
                self.answer(request.recipient, self.meters[request.recipient].process(request), now_ns)

    def answer(self, device: str, replies: Any, now_ns: int) -> None:
        """Post what a meter says."""
        for reply in replies:
            changed = self.tamper[device](reply) if device in self.tamper else reply
            self.post.append((now_ns + round(1e9 * self.late.get(device, 0.002)), through_the_wire(changed, device)))

    def deliver(self, now_ns: int) -> None:
        """Hand over what has arrived."""
        for due in [item for item in self.post if item[0] <= now_ns]:
            self.post.remove(due)
            self.take(self.location.process(due[1]), now_ns)


def located(events: Collection[Event]) -> list[Event]:
    """Give the events that name a place."""
    return [event for event in events if event.kind == "fault-located"]
