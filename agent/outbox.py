"""
The way out: numbers messages, keeps what must survive, and hands each broker its own in order.

``put -> Lane (memory) -> Link -> broker``, and beside it, in a worker thread, ``Lane -> Spool`` (disk). An urgent
message is durable before it is sent. A stream message is sent at once and written only if it is not acknowledged
soon: a commit in the path would cost the latency, and a card wears by commits. While a broker is away, messages are
written in batches just often enough that a power cut takes no more than the stated time.

All of it runs on the event loop's thread except `Spool`. Whatever fails on the disk, messages go on from memory;
what is dropped, by either limit, is counted and published as a result (``drop-report/1``).
"""

import asyncio
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from agent.errors import SpoolError
from agent.kept import Kept
from agent.lane import Lane
from agent.ledger import Ledger, What
from agent.messages import Key, Message, OutboxLimits, Range, ranges_of
from agent.spool import Commit, Loaded, Opened, Spool, is_damage
from agent.spool_thread import Clock, Submitter, Worker
from algorithms.api.records import Result
from algorithms.api.wire import Header, encode
from device_catalog.contract import topics
from device_catalog.contract.topics import BROKERS, BrokerName

REPORTS = 100
"""Reports of what was dropped that are remembered until they arrive; one a minute at most is made."""
HOUSEKEEPING = 5.0
"""Cursors and counts that changed alone are written at most this often [s]."""
TRIM_INTERVAL = 600.0
"""How often messages are looked for that were kept long enough [s]."""
RETRY = 5.0
"""After a failed commit, the disk is left alone for this long [s]."""
EPOCH_OF_BOOTS = 1_577_836_800
"""2020-01-01 [s UTC]: a boot number made of the clock counts seconds since."""
REPEATS = 10_000
"""Messages waiting at most to be sent again on request."""


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


class _Damage(msgspec.Struct, frozen=True):
    note: str


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
        self._spool, self._worker, self._clock, self._utc_ns = spool, worker, clock, utc_ns
        self._device, self.tenant, self._limits = device, tenant, limits
        self._usable = usable
        self._notes = list(opened.notes)
        self._problem = "" if usable else opened.notes[-1]
        self._lanes = {
            broker: Lane(stored.cursor, stored.last, stored.count) for broker, stored in opened.stored.items()
        }
        for lane in self._lanes.values():
            lane.storage_fails = not usable
        self._sessions = dict.fromkeys(self._lanes, 0)
        self._wakes: dict[str, Callable[[], None]] = {}
        self._kept = {broker: Kept(limits) for broker in self._lanes}
        self._number = 0
        self._on_topic: dict[str, int] = {}
        self._ledger = Ledger(opened.dropped)
        self._reports: dict[Key, list[tuple[str, Range]]] = {}  # sent, and perhaps dropped before they arrive
        self._cursors = {broker: lane.cursor for broker, lane in self._lanes.items()}
        self._rows_to = {broker: stored.last or stored.cursor for broker, stored in opened.stored.items()}
        self._uptime_offset = opened.uptime - clock.time()
        self._commits = 0
        self._slowest_commit = 0.0
        self._committing = False
        self._closed = False
        self._retry_at = self._housekept_at = self._reported_at = float("-inf")
        self._trimmed_at = clock.time()
        self._timer: Any = None
        self._timer_at = float("inf")

    @classmethod
    def open(
        cls, path: Path, *, device: str, tenant: str = "default", limits: OutboxLimits | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
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

        Raises
        ------
        SpoolError
            When another process uses the spool: two agents must not speak for one device.
        """
        limits = limits or OutboxLimits()
        loop = loop or asyncio.get_running_loop()
        spool = Spool(path, limits)
        fallback_boot = max(1, int(time.time()) - EPOCH_OF_BOOTS)
        usable = True
        try:
            opened = spool.open(BROKERS, fallback_boot)
        except (sqlite3.Error, OSError) as error:
            spool.close()
            opened = Opened.without_spool(BROKERS, fallback_boot, str(error))
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
        now = self._clock.time()
        lane.add(Message(self.boot, number, topic, payload, retain, urgent), now)
        if lane.memory > self._limits.memory // 2:
            self._shrink(broker, lane)
        if urgent:
            self._advance()
        else:
            self._arm(now + self._write_after(lane))
        if lane.connected:
            self._wake(broker)
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
            self._load(broker)
        return messages + self._kept[broker].take_repeats(count - len(messages))

    def acknowledge(self, broker: str, key: Key) -> None:
        """Note that the broker has message `key`."""
        message = self._lanes[broker].settle(key, accepted=True)
        if message is None:
            return
        self._kept[broker].add(message, self._clock.time())
        self._reports.pop(key, None)
        self._note_settled(broker)

    def refuse(self, broker: str, key: Key, reason: str) -> None:
        """Set message `key` aside, because the broker will never take it."""
        if self._lanes[broker].settle(key, accepted=False) is None:
            return
        self._enter(broker, "refused", [Range(*key, key[1], 1)], reason)
        self._note_settled(broker)

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

        def read(found: Any) -> None:
            if isinstance(found, Exception):
                self._fail(found)
                found = []
            wanted.update((message.key, message) for message in found if message.key <= cursor)
            done([wanted[key] for key in sorted(wanted)])

        if self._usable:
            self._worker.submit(lambda: self._spool.find(broker, boot, first, last), read)
        else:
            read([])

    def kept_from(self, broker: str) -> Key | None:
        """Tell from which key on every message of `broker` is kept; None when none is."""
        return self._kept[broker].first

    def repeat(self, broker: str, messages: list[Message]) -> int:
        """Send messages again, unchanged, after what waits now; returns how many were accepted."""
        repeats = self._kept[broker].repeats
        accepted = messages[: REPEATS - len(repeats)]
        repeats.extend(accepted)
        self._wake(broker)
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
            disk=self._spool.size,
            commits=self._commits,
            problem=self._problem,
            notes=tuple(self._notes),
        )

    def close(self) -> None:
        """Write what is not settled yet, and end; call it after the links have stopped."""
        if self._closed:
            return
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._usable:
            commit, _ = self._commit(float("inf"))
            self._worker.submit(lambda: self._spool.commit(commit), lambda _: None)
        self._worker.close()
        self._spool.close()

    # Moving to disk

    def _write_after(self, lane: Lane) -> float:
        """Tell how old a message may become before it is written [s]."""
        if lane.connected:
            return self._limits.write_after
        return max(self._limits.write_after / 2, 0.9 * self._limits.loss - 2 * self._slowest_commit - 0.02)

    def _advance(self) -> None:
        """Commit what must be, or wake up again when something must."""
        now = self._clock.time()
        if self._timer_at <= now:
            self._timer_at = float("inf")
        if self._closed or self._committing:
            return
        self._report_drops(now)
        if not self._usable or self._committing:  # a report just put has begun a commit
            return
        if now < self._retry_at:
            self._arm(self._retry_at)
            return
        for broker, lane in self._lanes.items():
            if lane.wants_load and lane.connected:
                self._load(broker)
        due = self._due()
        if now < due:
            self._arm(due)
            return
        self._committing = True
        commit, entries = self._commit(now)
        started = time.perf_counter()

        def done(result: Any) -> None:
            self._committed(commit, entries, result, time.perf_counter() - started)

        self._worker.submit(lambda: self._try(commit), done)

    def _due(self) -> float:
        """Tell when the next commit must begin [s]."""
        due = float("inf")
        for lane in self._lanes.values():
            if lane.unwritten_urgent():
                return float("-inf")
            oldest = lane.oldest_unwritten()
            if oldest is not None:
                due = min(due, oldest + self._write_after(lane))
        return min(due, self._housekept_at + HOUSEKEEPING) if self._housekeeping_due() else due

    def _commit(self, until: float) -> tuple[Commit, dict[str, list[Any]]]:
        """Put together what a commit must hold that is due by `until` [s]."""
        now = self._clock.time()
        messages: list[tuple[str, list[Message]]] = []
        entries: dict[str, list[Any]] = {}
        for broker, lane in self._lanes.items():
            oldest = lane.oldest_unwritten()
            due = oldest is not None and oldest + self._write_after(lane) <= until
            entries[broker] = lane.write(streams=due or not lane.connected)
            for wanted in (True, False):
                part = [entry.message for entry in entries[broker] if entry.message.urgent is wanted]
                if part:
                    messages.append((broker, sorted(part, key=lambda message: message.key)))
        cursors = {broker: lane.cursor for broker, lane in self._lanes.items() if lane.cursor != self._cursors[broker]}
        trim = None
        if self._spool.size > self._limits.disk or now - self._trimmed_at > TRIM_INTERVAL:
            self._trimmed_at = now
            trim = {
                broker: (lane.cursor, lane.loaded, lane.disk_last or lane.loaded)
                for broker, lane in self._lanes.items()
                if not lane.loading
            }
        dropped = None
        if self._ledger.changed:
            self._ledger.changed = False
            dropped = self._ledger.rows()
        self._housekept_at = now
        return Commit(messages, cursors, now + self._uptime_offset, dropped, trim), entries

    def _try(self, commit: Commit) -> Any:
        """Commit, in the worker; a damaged database is replaced."""
        try:
            return self._spool.commit(commit)
        except sqlite3.Error as error:
            if not is_damage(error):
                raise
            return self._replace(error)

    def _replace(self, error: sqlite3.Error) -> _Damage:
        note = self._spool.replace_damaged(error)
        self._spool.keep_boot(self.boot)
        return _Damage(note)

    def _committed(self, commit: Commit, entries: dict[str, list[Any]], result: Any, duration: float) -> None:
        self._committing = False
        durable = isinstance(result, list)
        if durable:
            self._commits += 1
            self._slowest_commit = max(duration, 0.95 * self._slowest_commit)
            self._problem = ""
            self._cursors.update(commit.cursors)
            for broker, messages in commit.messages:
                self._rows_to[broker] = max(self._rows_to[broker], messages[-1].key)
            for name, item in result:
                broker = name.partition("/")[0]
                self._lanes[broker].trimmed(item.count)
                self._enter(broker, "dropped", [item])
        elif commit.dropped is not None:
            self._ledger.changed = True
        for broker, lane in self._lanes.items():
            lane.written(entries[broker], durable=durable)
            lane.storage_fails = not durable and not isinstance(result, _Damage)
            self._shrink(broker, lane)
        if isinstance(result, _Damage):
            self._damaged(result.note)
        elif not durable:
            self._fail(result)
        for broker in self._lanes:
            self._wake(broker)
        self._advance()

    def _load(self, broker: str) -> None:
        lane = self._lanes[broker]
        if not self._usable or self._closed:
            return
        lane.loading = True
        after = lane.loaded

        def job() -> Loaded | _Damage:
            try:
                return self._spool.load(broker, after)
            except sqlite3.Error as error:
                if not is_damage(error):
                    raise
                return self._replace(error)

        def done(result: Any) -> None:
            if isinstance(result, Loaded):
                if not lane.storage_fails:
                    self._problem = ""
                lane.load(result.messages, self._clock.time(), exhausted=result.exhausted)
                lane.trimmed(sum(item.count for item in result.damaged))
                self._enter(broker, "dropped", result.damaged)
                self._wake(broker)
                return
            lane.loading = False
            if isinstance(result, _Damage):
                self._damaged(result.note)
            else:
                self._fail(result)

        self._worker.submit(job, done)

    def _fail(self, error: Exception) -> None:
        """Go on from memory, and try the disk again later."""
        self._problem = f"expected to write to {self._spool.path}, found: {error}; messages are kept in memory only"
        self._retry_at = self._clock.time() + RETRY
        self._arm(self._retry_at)

    def _damaged(self, note: str) -> None:
        """Begin again with the empty spool that replaced a damaged one."""
        self._notes = [*self._notes[-9:], note]
        for broker, lane in self._lanes.items():
            self._enter(broker, "dropped", lane.forget_durable(self._clock.time()))
            self._cursors[broker] = (0, 0)
        self._ledger.changed = True
        self._advance()

    def _housekeeping_due(self) -> bool:
        """Tell whether something on disk is settled that the disk does not know of, or counts changed."""
        return self._ledger.changed or any(
            self._cursors[broker] < self._rows_to[broker] and lane.cursor > self._cursors[broker]
            for broker, lane in self._lanes.items()
        )

    # Counting

    def _note_settled(self, broker: str) -> None:
        if self._cursors[broker] < self._rows_to[broker]:
            self._arm(self._housekept_at + HOUSEKEEPING)

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
            self._arm(max(self._clock.time() + 1.0, self._reported_at + self._limits.report_interval))

    def _report_drops(self, now: float) -> None:
        """Publish what was dropped or set aside since the last report."""
        if not self._ledger:
            return
        due = self._reported_at + self._limits.report_interval
        if now < due:
            self._arm(due)
            return
        self._reported_at = now
        content = "drop-report/1"
        self._reports[self.boot, self._number + 1] = self._ledger.rows()
        if len(self._reports) > REPORTS:
            del self._reports[next(iter(self._reports))]
        payload = {**self._ledger.report(), "undurable": self._undurable(), "storage": self._problem}
        topic = topics.results(self.tenant, self._device, content)
        record = Result(content, self._device, self._utc_ns(), payload, urgent=True)
        self.put("data", topic, record, urgent=True)

    def _undurable(self) -> int:
        return sum(lane.undurable for lane in self._lanes.values())

    def _wake(self, broker: str) -> None:
        wake = self._wakes.get(broker)
        if wake is not None:
            wake()

    def _arm(self, when: float) -> None:
        """Have `_advance` called at `when` [s] or before."""
        if when >= self._timer_at or self._closed:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = when
        self._timer = self._clock.call_at(when, self._on_timer)

    def _on_timer(self) -> None:
        self._timer_at = float("inf")
        self._advance()
