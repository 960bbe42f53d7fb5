"""
What the measurement history bears: messages a second kept, packed and read, and room for a meter and a day.

Frames are of the built-in kind with all six channels, powers and sequences, every digit as noisy as a meter's own; they
come from many meters in turn, as a broker would bring them. The broker is left out, so that what is measured is the
history: judging a message, the durable batch, packing, one-minute sums, and answering from what is kept.
"""

import math
import random
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import msgspec

from algorithms.api.readings import ChannelReading, Estimate, Phasor, PowerReading, SequenceReading
from algorithms.api.records import MeasurementFrame
from algorithms.api.wire import Header, encode
from device_catalog.contract import topics
from device_catalog.history.arrival import Content
from device_catalog.history.keeper import Keeper
from device_catalog.history.listener import BATCH
from device_catalog.history.questions import History, Range
from device_catalog.history.room import Limits
from device_catalog.history.store import MINUTES, RAW, HistoryStore
from device_catalog.storage.database import open_engine
from tests.benchmarks.report import Report, arguments
from tests.support.frames import frame

METERS = 20
SECOND = 1_000_000_000
DAY = 86_400


class Noise:
    """Makes frames whose digits are noise below the third or fourth, as measured ones are."""

    def __init__(self, seed: int = 1) -> None:
        self._random = random.Random(seed)

    def frame(self, time_ns: int) -> MeasurementFrame:
        """Make one."""
        angles = {"A": 0.0, "B": -math.tau / 3, "C": math.tau / 3}
        return msgspec.structs.replace(
            frame(time_ns),
            frequency=Estimate(50.0 + self._near(0.0, 0.01), self._about(1e-3)),
            rocof=Estimate(self._near(0.0, 0.01), self._about(1e-2)),
            voltage={phase: self._channel(230.0, angle) for phase, angle in angles.items()},
            current={phase: self._channel(12.0, angle - 0.3) for phase, angle in angles.items()},
            power={phase: self._power(2700.0) for phase in "ABC"} | {"total": self._power(8100.0)},
            voltage_sequence=self._sequence(230.0),
            current_sequence=self._sequence(12.0),
        )

    def _near(self, value: float, spread: float) -> float:
        return self._random.gauss(value, spread)

    def _about(self, value: float) -> float:
        return self._near(value, 1e-3 * abs(value))

    def _channel(self, size: float, angle: float) -> ChannelReading:
        return ChannelReading(
            self._about(size),
            self._near(angle, 1e-3),
            self._about(1e-3 * size),
            self._about(1e-3),
            self._about(size),
            self._about(1e-3 * size),
        )

    def _power(self, size: float) -> PowerReading:
        values = [
            self._about(value) for value in (size, 2e-3 * size, 0.2 * size, 2e-3 * size, 1.02 * size, 2e-3 * size)
        ]
        return PowerReading(*values, self._about(0.98), self._about(1e-3))

    def _sequence(self, size: float) -> SequenceReading:
        return SequenceReading(*(self._phasor(share * size) for share in (0.01, 1.0, 0.01)))

    def _phasor(self, size: float) -> Phasor:
        angle = self._random.uniform(-math.pi, math.pi)
        return Phasor(self._about(size), angle, self._about(1e-3 * size), self._about(1e-3))


def main() -> None:
    """Measure."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--database", default="", help="postgresql://…; SQLite in a temporary folder otherwise")
    options = parser.parse_args()
    minutes = 3 if options.quick else 10
    report = Report("measurement history", {"meters": METERS, "minutes": minutes, "frames a second": 1})
    with tempfile.TemporaryDirectory() as folder:
        store = HistoryStore(open_engine(options.database or f"sqlite:///{folder}/history.db"))
        store.prepare()
        measure(report, store, minutes)
        store.close()
    report.finish(as_json=options.json)


def measure(report: Report, store: HistoryStore, minutes: int) -> None:
    """Keep, pack, read, and say how fast and in how much room."""
    start_ns = (time.time_ns() // (60 * SECOND) - minutes - 2) * 60 * SECOND
    noise, messages = Noise(), []
    for number in range(60 * minutes):
        for meter in range(METERS):
            name, time_ns = f"m-{meter}", start_ns + number * SECOND
            header = Header(name, 1, 1, number + 1, time_ns, number)
            messages.append((topics.frames("default", name), encode(noise.frame(time_ns), header)))
    report.figure("length of a message", sum(len(payload) for _, payload in messages) / len(messages), "bytes")
    keeper = Keeper(store, Limits(dict.fromkeys(Content, 7.0), 400.0, 2**40))
    began = time.process_time(), time.perf_counter()
    for first in range(0, len(messages), BATCH):
        for topic, payload in messages[first : first + BATCH]:
            keeper.take(topic, payload)
        keeper.commit()
    kept = time.process_time(), time.perf_counter()
    keeper.settle_everything()
    packed = time.process_time(), time.perf_counter()
    count = len(messages)
    report.figure("kept, durable, by wall clock", count / (kept[1] - began[1]), "rows/s")
    report.figure("kept, by processor time", count / (kept[0] - began[0]), "rows/s")
    report.figure("packed and summed up, by processor time", count / (packed[0] - kept[0]), "rows/s")
    report.figure("all together, by processor time", count / (packed[0] - began[0]), "rows/s", ">= 2000")
    report.figure("all together, by wall clock", count / (packed[1] - began[1]), "rows/s")

    sizes = dict.fromkeys((RAW, MINUTES), 0)
    records = dict(sizes)
    for meter in range(METERS):
        for held in store.held(store.series_of(f"m-{meter}")):
            sizes[held.level] += held.size
            records[held.level] += held.records
    report.figure("a packed frame", sizes[RAW] / records[RAW], "bytes", "<= 300")
    report.figure("a meter's day, one frame a second", sizes[RAW] / records[RAW] * DAY / 1e6, "MB")
    report.figure("a meter's day, ten frames a second", sizes[RAW] / records[RAW] * 10 * DAY / 1e6, "MB")
    report.figure("a meter's day of one-minute sums", sizes[MINUTES] / records[MINUTES] * 1440 / 1e6, "MB")
    report.figure("room in use for a packed byte", store.used() / sum(sizes.values()), "bytes")

    history = History(store)
    asked = Range(start_ns, start_ns + 60 * minutes * SECOND, limit=10_000)
    began_s = time.perf_counter()
    page = history.page_now("", "m-0", Content.FRAMES, asked)
    read_s = time.perf_counter()
    steps = history.page_now("", "m-0", Content.FRAMES, asked._replace(step=60))
    report.figure("records read", len(page.records) / (read_s - began_s), "rows/s")
    report.figure("a page of one-minute sums", 1e3 * (time.perf_counter() - read_s), "ms")
    report.figure("records and sums given as they were kept", len(page.records) / (60 * minutes), "1", "== 1")
    report.figure("records in the sums", sum(step.records for step in steps.steps) / (60 * minutes), "1", "== 1")


if __name__ == "__main__":
    main()
