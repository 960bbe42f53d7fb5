"""What the agent's side of the event recorder decides, with recorder processes that are played."""

import asyncio
import hashlib

import msgspec
import pytest

from agent.clock import SystemClock
from agent.errors import WorkerError
from agent.processes.process import Exit, ExitKind
from agent.processes.recorder_messages import NotRecorded, Recorded
from agent.recording.recorder import ATTEMPTS, EventRecorder
from agent.recording.recordings import Kept, Recordings
from algorithms.api.records import Event, Request, Severity
from device_catalog.contract.documents import Acquisition, Configuration, Recorder
from tests.support.recording_labels import info, label

SECOND = 1_000_000_000
NOW = 1_700_000_000 * SECOND
DATA = b"samples"


class PlayedRecorder:
    """A recorder's process as a test plays it."""

    def __init__(self, on_answer, on_exit):
        self.answer, self._on_exit = on_answer, on_exit
        self.exit = None
        self.spans = []

    def record(self, span):
        self.spans.append(span)

    def die(self):
        self.exit = Exit(ExitKind.DIED, "the event recorder was ended by SIGKILL")
        self._on_exit(self.exit)

    async def stop(self):
        self.exit = Exit(ExitKind.STOPPED, "stopped")


class PlayedWorkers:
    """Makes them; `refusal` is raised instead where it is set."""

    def __init__(self):
        self.made = []
        self.refusal = None
        self.end_ns = NOW

    def position(self):
        return 0, self.end_ns

    async def start_recorder(self, _start, *, on_answer, on_exit):
        if self.refusal is not None:
            raise self.refusal
        self.made.append(PlayedRecorder(on_answer, on_exit))
        return self.made[-1]


class Scene:
    """A recorder, what it published, and its processes."""

    def __init__(self, folder):
        self.workers = PlayedWorkers()
        self.published = []
        self.recorder = EventRecorder(
            self.workers, folder, "m-1", lambda record, where: self.published.append((record, where)), SystemClock()
        )

    async def configure(self, **fields):
        configuration = Configuration(acquisition=Acquisition("simulated", 6400.0), recorder=Recorder(**fields))
        await self.recorder.configure(configuration, "default", "T1")

    async def process(self, number):
        """Wait for the process of this number, counted from 1, to be told of a span."""
        await until(lambda: len(self.workers.made) >= number and self.workers.made[-1].spans)
        return self.workers.made[-1]


async def until(condition):
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it did not happen within 10 s")


def event(start, end=None):
    return Event("voltage-dip", "T1", start, end, Severity.NOTICE, ("A",))


def made(span, **fields):
    return info(label("m-1", span.id, DATA, **fields))


def play(folder, scenario):
    async def run():
        scene = Scene(folder)
        await scenario(scene)
        await scene.recorder.close()

    asyncio.run(run())


def test_a_recording_is_announced_once_and_marked(tmp_path):
    async def scenario(scene):
        await scene.configure()
        scene.recorder.take(event(NOW, NOW + SECOND))
        process = await scene.process(1)
        (span,) = process.spans
        label = made(span)
        Recordings(tmp_path / "r").keep(label, DATA, 10**9)
        process.answer(Recorded(span, label))
        ((record, where),) = scene.published
        assert (record.content, record.payload["id"]) == ("recording/1", span.id)
        assert record.urgent
        assert where.urgent
        assert where.topic == "v1/default/meters/m-1/results/recording"
        assert scene.recorder.report().recorded == 1

    play(tmp_path / "r", scenario)
    (kept,) = Recordings(tmp_path / "r").kept()
    assert kept.announced


def test_a_process_that_dies_is_replaced_and_told_the_span_again_but_not_for_ever(tmp_path):
    async def scenario(scene):
        await scene.configure()
        scene.recorder.take(event(NOW, NOW + SECOND))
        first = await scene.process(1)
        first.die()
        second = await scene.process(2)
        assert second.spans == first.spans
        second.die()
        (await scene.process(ATTEMPTS)).die()
        report = scene.recorder.report()
        assert (report.failed, report.state) == (1, "failing")
        assert "SIGKILL" in report.last_error

    play(tmp_path / "r", scenario)


def test_a_process_that_cannot_be_started_is_tried_again(tmp_path):
    async def scenario(scene):
        await scene.configure()
        scene.workers.refusal = WorkerError("no room for another process")
        scene.recorder.take(event(NOW, NOW + SECOND))
        await until(lambda: scene.recorder.report().last_error)
        scene.workers.refusal = None
        assert len((await scene.process(1)).spans) == 1

    play(tmp_path / "r", scenario)


def test_what_an_event_needs_beyond_what_was_written_meanwhile_is_recorded_next(tmp_path):
    async def scenario(scene):
        await scene.configure(after=1.0)
        scene.recorder.take(event(NOW))
        process = await scene.process(1)
        (begun,) = process.spans
        early = msgspec.structs.replace(begun, end_ns=NOW + 2 * SECOND)
        scene.workers.end_ns = NOW + 3 * SECOND
        scene.recorder.take(event(NOW, NOW + 3 * SECOND))
        process.answer(Recorded(early, made(begun)))
        rest = process.spans[-1]
        assert rest.id != begun.id
        assert (rest.start_ns, rest.end_ns) == (NOW + 2 * SECOND, NOW + 4 * SECOND)

    play(tmp_path / "r", scenario)


def test_what_could_not_be_written_is_counted_with_its_reason(tmp_path):
    async def scenario(scene):
        await scene.configure()
        scene.recorder.kept["old"] = Kept(info(label("m-1", "old", DATA)))
        scene.recorder.take(event(NOW, NOW + SECOND))
        process = await scene.process(1)
        process.answer(NotRecorded(process.spans[0].id, "the disk is full", ("old",)))
        report = scene.recorder.report()
        assert (report.failed, report.dropped, report.kept) == (1, 1, 0)
        assert "the disk is full" in report.last_error

    play(tmp_path / "r", scenario)


def test_a_folder_that_cannot_be_made_is_reported_and_harms_nothing(tmp_path):
    (tmp_path / "r").write_text("a file")

    async def scenario(scene):
        await scene.configure()
        scene.recorder.take(event(NOW, NOW + SECOND))
        report = scene.recorder.report()
        assert report.state == "failing"
        assert "expected a folder for recordings" in report.last_error
        assert scene.workers.made == []

    play(tmp_path / "r", scenario)


def test_recordings_of_before_are_known_also_without_a_recorder(tmp_path):
    data = DATA
    one = info(label("m-1", "r-1", data, sha256=hashlib.sha256(data).hexdigest()))
    Recordings(tmp_path / "r").keep(one, data, 10**9)

    async def scenario(scene):
        await scene.recorder.configure(Configuration(), "default", "T1")
        assert scene.recorder.is_open
        assert list(scene.recorder.kept) == ["r-1"]
        assert scene.recorder.report() is None
        assert [record.payload["id"] for record, _ in scene.published] == ["r-1"], "it was not announced before"

    play(tmp_path / "r", scenario)


@pytest.mark.parametrize(
    ("configured", "end_ns", "asked", "expected"),
    [
        (False, NOW, {}, "recorder"),
        (True, 0, {}, "recorder"),
        (True, NOW, {"arguments": {"duration": "long"}}, "arguments.duration"),
        (True, NOW, {"expires_ns": NOW}, "expires"),
        (True, NOW, {}, ""),
    ],
)
def test_whoever_asks_for_a_recording_is_told_its_name_or_what_is_wrong(tmp_path, configured, end_ns, asked, expected):
    async def scenario(scene):
        scene.workers.end_ns = end_ns
        if configured:
            await scene.configure()
        request = Request("1", "lab", "m-1", "record", NOW, 2**62, {"duration": 1})
        scene.recorder.answer(msgspec.structs.replace(request, **asked))
        ((reply, where),) = scene.published
        assert [problem.where for problem in reply.problems] == ([expected] if expected else [])
        assert bool(reply.payload.get("id")) is not bool(expected)
        assert (where.broker, where.urgent) == ("grid", False)

    play(tmp_path / "r", scenario)
