"""
The way out: numbers messages, keeps what must survive, and hands each broker its own in order.

``put -> Lane (memory) -> Link -> broker``, and beside it, in a worker thread, ``Lane -> Spool`` (disk). An urgent
message is durable before it is sent. A stream message is sent at once and written only if it is not acknowledged
soon: a commit in the path would cost the latency, and a card wears by commits. While a broker is away, messages are
written in batches just often enough that a power cut takes no more than the stated time.

All of it runs on the event loop's thread except `Spool`; `Storing` decides when to write. Whatever fails on the disk,
messages go on from memory; what is dropped, by either limit, is counted and published as a result (``drop-report/1``).
"""

import asyncio
import sqlite3
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import msgspec

from agent.delivery.kept import Kept
from agent.delivery.lane import Lane
from agent.delivery.ledger import Ledger, What
from agent.delivery.messages import Key, Message, OutboxLimits, Range, ranges_of
from agent.delivery.spool import Spool
from agent.delivery.spool_records import Opened
from agent.delivery.spool_thread import Clock, Submitter, Worker
from agent.delivery.storing import Storing
from agent.errors import SpoolError
from algorithms.api.records import Result
from algorithms.api.wire import Header, encode
from device_catalog.contract import topics
from device_catalog.contract.topics import BROKERS, BrokerName

REPORTS = 100
"""Reports of what was dropped that are remembered until they arrive; one a minute at most is made."""
EPOCH_OF_BOOTS = 1_577_836_800
"""2020-01-01 [s UTC]: a boot number is at least the seconds since, where the clock is right."""
REPEATS = 10_000
"""Messages waiting at most to be sent again on request."""
TOPICS = 1000
"""Topics whose last number is remembered; whoever asks something names the topic of the answer."""


class OutboxReport(msgspec.Struct, frozen=True):
    """
    How the outbox is doing.

    Attributes
    ----------
    pending, acknowledged, refused, dropped : dict
        Messages by broker.
    undurable : int
        Urgent messages that went out without being durable first.
    disk : int
        Content of the spool [bytes].
    commits : int
        Since the start.
    problem : str
        What is wrong with storage; empty when nothing is.
    notes : tuple of str
        What was found at the start.
    """

    pending: dict[str, int]
    acknowledged: dict[str, int]
    refused: dict[str, int]
    dropped: dict[str, int]
    undurable: int
    disk: int
    commits: int
    problem: str
    notes: tuple[str, ...]


class Outbox:
    """
    Owns the boot number, the message numbers and one lane for each broker.

    Use `open`. Every method is called on the event loop's thread.

    Attributes
    ----------
    boot : int
    previous : tuple of int
        The boot before, and its highest number that is durable.
    tenant : str
        Where what was dropped is reported; the catalog may name it after the start.
    """

    def __init__(
        self, spool: Spool, opened: Opened, worker: Submitter, clock: Clock,
        *, device: str, tenant: str, limits: OutboxLimits,
        utc_ns: Callable[[], int] = time.time_ns, usable: bool = True,
    ) -> None:  # fmt: skip
        self.boot = opened.boot
        self.previous = opened.previous
        self._clock, self._utc_ns = clock, utc_ns
        self._device, self.tenant, self._limits = device, tenant, limits
        self._lanes = {
            broker: Lane(stored.cursor, stored.last, stored.count) for broker, stored in opened.stored.items()
        }
        self._sessions = dict.fromkeys(self._lanes, 0)
        self._wakes: dict[str, Callable[[], None]] = {}
        self._kept = {broker: Kept(limits) for broker in self._lanes}
        self._number = 0
        self._on_topic: OrderedDict[str, int] = OrderedDict()  # the one unused for longest first
        self._ledger = Ledger(opened.dropped)
        self._reports: dict[Key, list[tuple[str, Range]]] = {}  # sent, and perhaps dropped before they arrive
        self._reported_at = float("-inf")
        self._storing = Storing(
            spool, opened, worker, clock,
            lanes=self._lanes, ledger=self._ledger, limits=limits, owner=self, usable=usable,
        )  # fmt: skip

    @classmethod
    def open(
        cls, path: Path, *, device: str, tenant: str = "default", limits: OutboxLimits | None = None,
        loop: asyncio.AbstractEventLoop | None = None, least_boot: int | None = None,
    ) -> "Outbox":  # fmt: skip
        """
        Open the spool at `path` and make the boot number durable, before anything is sent.

        Where the disk refuses (full, read-only), the outbox runs from memory and says so in its report.

        Parameters
        ----------
        path : pathlib.Path
        device, tenant : str
        limits : OutboxLimits, optional
        loop : asyncio.AbstractEventLoop, optional
            The running one unless given.
        least_boot : int, optional
            Lowest boot number; seconds since 2020 by the clock unless given.

        Raises
        ------
        SpoolError
            When another process uses the spool: two agents must not speak for one device.
        """
        limits = limits or OutboxLimits()
        loop = loop or asyncio.get_running_loop()
        spool = Spool(path, limits)
        if least_boot is None:  # counting starts would do, were it not for cards replaced or not writable for a while
            least_boot = max(1, int(time.time()) - EPOCH_OF_BOOTS)
        usable = True
        try:
            opened = spool.open(BROKERS, least_boot)
        except (sqlite3.Error, OSError) as error:
            spool.close()
            opened = Opened.without_spool(BROKERS, least_boot, str(error))
            usable = False
        except SpoolError:
            spool.close()
            raise
        return cls(spool, opened, Worker(loop), loop, device=device, tenant=tenant, limits=limits, usable=usable)

    def put(
        self, broker: BrokerName, topic: str, document: msgspec.Struct,
        *, retain: bool = False, urgent: bool = False, time_ns: int | None = None,
    ) -> int:  # fmt: skip
        """
        Send `document` to `topic` of `broker`, now or as soon as it can be.

        Parameters
        ----------
        broker : str
        topic : str
        document : msgspec.Struct
            A record, or any tagged document.
        retain : bool
        urgent : bool
            Whether it must survive a power cut, from before it is sent.
        time_ns : int, optional
            UTC, for documents without a time of their own [ns].

        Returns
        -------
        int
            Its number in this boot.

        Raises
        ------
        ValueError
            When it holds a number that is not finite; no number is used up.
        """
        lane = self._lanes[broker]
        number = self._number + 1
        header = Header(
            device=self._device,
            boot=self.boot,
            session=self._sessions[broker],
            number=number,
            time_ns=self._utc_ns() if time_ns is None else time_ns,
            previous=self._on_topic.get(topic, 0),
        )
        payload = encode(document, header)
        self._number = self._on_topic[topic] = number
        self._on_topic.move_to_end(topic)
        if len(self._on_topic) > TOPICS:
            self._on_topic.popitem(last=False)
        now = self._clock.time()
        lane.add(Message(self.boot, number, topic, payload, retain, urgent), now)
        if lane.memory > self._limits.memory // 2:
            self._shrink(broker, lane)
        if urgent:
            self._storing.advance()
        else:
            self._storing.arm(now + self._storing.due_after(lane))
        if lane.connected:
            self.wake(broker)
        return number

    def lane(self, broker: str) -> Lane:
        """Give the lane of `broker`, to look at."""
        return self._lanes[broker]

    # What a link calls

    def attach(self, broker: str, wake: Callable[[], None]) -> None:
        """Have `wake` called whenever there may be something to take."""
        self._wakes[broker] = wake

    def connecting(self, broker: str) -> int:
        """Count a connection about to be made; its number goes into what is sent from now on."""
        self._sessions[broker] += 1
        return self._sessions[broker]

    def connected(self, broker: str) -> None:
        """Note that the broker takes messages."""
        self._lanes[broker].connected = True

    def take(self, broker: str, count: int) -> list[Message]:
        """Give out the next messages of `broker`; each must be settled, or all of them lost."""
        lane = self._lanes[broker]
        messages = lane.take(count)
        if lane.wants_load:
            self._storing.load(broker)
        return messages + self._kept[broker].take_repeats(count - len(messages))

    def acknowledge(self, broker: str, key: Key) -> None:
        """Note that the broker has message `key`."""
        message = self._lanes[broker].settle(key, accepted=True)
        if message is None:
            return
        self._kept[broker].add(message, self._clock.time())
        self._reports.pop(key, None)
        self._storing.settled(broker)

    def refuse(self, broker: str, key: Key, reason: str) -> None:
        """Set message `key` aside, because the broker will never take it."""
        if self._lanes[broker].settle(key, accepted=False) is None:
            return
        self._enter(broker, "refused", [Range(*key, key[1], 1)], reason)
        self._storing.settled(broker)

    def lose(self, broker: str) -> None:
        """Take back what the broker did not answer, to be sent again first."""
        lane = self._lanes[broker]
        lane.connected = False
        lane.lose()
        self._kept[broker].repeats.clear()

    # Repeating on request

    def find(self, broker: str, boot: int, first: int, last: int, done: Callable[[list[Message]], None]) -> None:
        """Look for settled messages of `broker` that are still kept, and call `done` with them, in order."""
        cursor = self._lanes[broker].cursor
        wanted = self._kept[broker].find(boot, first, last)

        def read(found: list[Message]) -> None:
            wanted.update((message.key, message) for message in found if message.key <= cursor)
            done([wanted[key] for key in sorted(wanted)])

        self._storing.find(broker, boot, first, last, read)

    def kept_from(self, broker: str) -> Key | None:
        """Tell from which key on every message of `broker` is kept; None when none is."""
        return self._kept[broker].first

    def repeat(self, broker: str, messages: list[Message]) -> int:
        """Send messages again, unchanged, after what waits now; returns how many were accepted."""
        repeats = self._kept[broker].repeats
        accepted = messages[: REPEATS - len(repeats)]
        repeats.extend(accepted)
        self.wake(broker)
        return len(accepted)

    # Looking on, and ending

    def report(self) -> OutboxReport:
        """Tell how it is doing."""
        lanes = self._lanes
        return OutboxReport(
            pending={broker: lane.pending for broker, lane in lanes.items()},
            acknowledged={broker: lane.acknowledged for broker, lane in lanes.items()},
            refused={broker: lane.refused for broker, lane in lanes.items()},
            dropped={broker: lane.dropped for broker, lane in lanes.items()},
            undurable=self._undurable(),
            disk=self._storing.size,
            commits=self._storing.commits,
            problem=self._storing.problem,
            notes=tuple(self._storing.notes),
        )

    def close(self) -> None:
        """Write what is not settled yet, and end; call it after the links have stopped."""
        self._storing.close()

    # Counting

    def _shrink(self, broker: str, lane: Lane) -> None:
        """Keep a lane within memory; a report that is dropped itself is made again with what stood in it."""
        dropped = lane.shrink(self._limits.memory)
        self._enter(broker, "dropped", ranges_of(dropped))
        for key in dropped:
            for name, item in self._reports.pop(key, ()):
                about, _, what = name.partition("/")
                self._enter(about, "refused" if what == "refused" else "dropped", [item])

    def _enter(self, broker: str, what: What, ranges: list[Range], reason: str = "") -> None:
        if ranges:
            self._ledger.enter(broker, what, ranges, reason)
            if what == "dropped":
                self._storing.count_soon()
            self._storing.arm(max(self._clock.time() + 1.0, self._reported_at + self._limits.report_interval))

    # What storing calls

    def lost(self, broker: str, ranges: list[Range]) -> None:
        """Count messages that are gone."""
        self._enter(broker, "dropped", ranges)

    def written(self, broker: str) -> None:
        """Keep a lane within memory: what it holds may be on disk now."""
        self._shrink(broker, self._lanes[broker])

    def wake(self, broker: str) -> None:
        """Have what there is now sent."""
        wake = self._wakes.get(broker)
        if wake is not None:
            wake()

    def report_drops(self, now: float) -> None:
        """Publish what was dropped or set aside since the last report, unless that was a short while ago."""
        if not self._ledger:
            return
        due = self._reported_at + self._limits.report_interval
        if now < due:
            self._storing.arm(due)
            return
        self._reported_at = now
        content = "drop-report/1"
        self._reports[self.boot, self._number + 1] = self._ledger.rows()
        if len(self._reports) > REPORTS:
            del self._reports[next(iter(self._reports))]
        payload = {**self._ledger.report(), "undurable": self._undurable(), "storage": self._storing.problem}
        topic = topics.results(self.tenant, self._device, content)
        record = Result(content, self._device, self._utc_ns(), payload, urgent=True)
        self.put("data", topic, record, urgent=True)

    def _undurable(self) -> int:
        return sum(lane.undurable for lane in self._lanes.values())
