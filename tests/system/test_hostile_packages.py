"""Packages whose first line already does harm: nothing of a package runs before everything that confines it holds."""

import asyncio
import itertools
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.errors import WorkerError
from agent.processes import box
from agent.processes.algorithm_messages import AlgorithmSpec
from agent.processes.workers import Workers
from agent.trust.staging import judge, stage
from algorithms.api.records import AngleReference, MeasurementFrame
from tests.support import hostile_algorithms
from tests.support.agent import PHASORS, Plant
from tests.support.hostile_algorithms import STUBBORN
from tests.support.listener import Listener
from tests.support.policies import trusting
from tests.support.versions import Repository, assigned, update_of, version_with
from tests.support.waiting import wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are confined on Linux only")

ATTACKS = {"attacks.py": Path(hostile_algorithms.__file__).read_bytes()}
EVERYTHING = f"""
from hostile_versions.attacks import ATTACKS
got = [found[:60] for name, attack in ATTACKS.items() if name not in {STUBBORN} for found in attack() if found]
raise RuntimeError(f"got {{len(got)}}: {{got}}")
"""
WITNESSED = """
import os
import socket
import subprocess
got = []
for name, attempt in {
    "secret": lambda: open(@SECRET@).read(),
    "list": lambda: os.listdir(os.path.dirname(@SECRET@)),
    "mark": lambda: open(@SECRET@ + ".mark", "w").write("was here"),
    "mine": lambda: open(os.path.join(os.path.dirname(__file__), "later.py"), "w").write("was here"),
    "socket": lambda: socket.create_connection(("127.0.0.1", @PORT@), 0.5).send(b"was here"),
    "fork": lambda: os.fork() or os._exit(0),
    "run": lambda: subprocess.run(["true"], check=True),
    "signal": lambda: os.kill(os.getppid(), 0),
    "user": lambda: os.setuid(os.getuid()),
    "bytecode": lambda: os.replace(__file__, __file__ + ".old") or os.replace(__file__ + ".old", __file__),
}.items():
    try:
        attempt()
    except OSError:
        continue
    got.append(name)
raise RuntimeError(f"got {got}")
"""


def put_in_place(  # noqa: PLR0917 - what a package is made of
    folder: Path, name: str, first: str, files: dict[str, bytes] | None = None, start: str = "", content: str = ""
) -> AlgorithmSpec:
    """Put a package in place as an update does, below a folder that is the agent's alone."""
    folder.mkdir(exist_ok=True)
    folder.chmod(0o700)
    package, data = version_with("1.0.0", 1, name=name, first=first, files=files, start=start, content=content)
    place = stage(judge(package.file_name, data, "x86_64"), data, folder / "algorithms")
    return AlgorithmSpec(name, package.manifest.entry, folder=str(place))


def boxed(spec: AlgorithmSpec) -> AlgorithmSpec:
    """Let it run in bubblewrap only."""
    return msgspec.structs.replace(spec, boxed=True)


@asynccontextmanager
async def working():
    workers = Workers()
    await workers.start()
    try:
        yield workers
    finally:
        await workers.stop()


async def start(workers: Workers, spec: AlgorithmSpec, on_records: Callable[[list[Any]], None] | None = None):
    def nothing(_):
        """Nobody listens."""

    return await workers.start_algorithm(
        spec, None, on_records=on_records or nothing, on_report=nothing, on_checkpoint=nothing, on_exit=nothing
    )


def boxes_work(spec: AlgorithmSpec) -> bool:
    """Tell whether this machine lets bubblewrap work; where it does not, what needs it must be refused."""
    problem = asyncio.run(box.problem())
    assert not problem or refusal_of(boxed(spec)).endswith(problem)
    return not problem


def children_of(pid: int) -> list[str]:
    """List the children of a process."""
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def refusal_of(spec: AlgorithmSpec) -> str:
    """Return why an algorithm does not start."""

    async def scenario():
        async with working() as workers:
            with pytest.raises(WorkerError) as refused:
                await start(workers, spec)
            return str(refused.value)

    return asyncio.run(scenario())


class Witness:
    """A secret, a folder and a listener that a package's first lines try to get at."""

    def __init__(self, folder: Path) -> None:
        self.secret = folder / "device.key"
        self.secret.write_text("a key")
        self.secret.chmod(0o600)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setblocking(False)
        port = str(self.listener.getsockname()[1])
        self.source = WITNESSED.replace("@SECRET@", repr(str(self.secret))).replace("@PORT@", port)

    def called(self) -> bool:
        """Tell whether anybody called."""
        try:
            self.listener.accept()[0].close()
        except BlockingIOError:
            return False
        return True


@pytest.fixture
def witness(tmp_path):
    found = Witness(tmp_path)
    with found.listener:
        yield found


def test_the_first_line_of_a_package_gets_nothing_that_it_would_get_without_confinement(witness, tmp_path):
    spec = put_in_place(tmp_path / "state", "hostile", witness.source)
    said = refusal_of(spec)
    assert "hostile_versions.algorithm cannot be imported: RuntimeError: got []" in said
    assert not witness.called()
    assert [path.name for path in tmp_path.iterdir() if "mark" in path.name] == []
    assert list(Path(spec.folder).rglob("later*")) == []
    # The same lines in a process that nothing confines: the attempts are real ones.
    command = [sys.executable, "-c", "import hostile_versions.algorithm"]
    free = subprocess.run(command, cwd=spec.folder, capture_output=True, text=True, check=False, timeout=30)
    names = ["secret", "list", "mark", "mine", "socket", "fork", "run", "signal", "user", "bytecode"]
    assert f"got {names}" in free.stderr
    assert witness.called()


def test_every_attack_on_the_meter_fails_also_where_a_package_makes_it_when_it_is_imported(tmp_path):
    spec = put_in_place(tmp_path, "hostile", EVERYTHING, ATTACKS)
    said = refusal_of(spec)
    assert "RuntimeError: got 0: []" in said


LIES = """
import algorithms.api.manifest as manifest
from algorithms.api.records import Kind
of_old = manifest.AlgorithmInfo
manifest.AlgorithmInfo = lambda name, version, summary, consumes, produces, contents, **rest: of_old(
    name, version, summary, consumes, tuple(produces) + (Kind.COMMAND,), ("count/1", "energy/1"), **rest
)
"""
LIES_LATE = """
import gc
from algorithms.api.records import Result
def lie(record):
    for one in gc.get_objects():
        if type(one).__name__ == "AlgorithmCalls":
            one._contents = {"count/1", "energy/1"}
    return [Result("energy/1", record.terminal, record.time_ns, {})]
"""
SPEAKS_FOR_ANOTHER = """
from algorithms.api.records import Result
def lie(record):
    return [Result("switch-state/1", "s-12", record.time_ns, {})]
"""


def end_of(spec: AlgorithmSpec) -> tuple[str, list[Any]]:
    """Return why an algorithm's process ended that was fed one frame, and what it had made."""

    async def scenario():
        made: list[Any] = []
        async with working() as workers:
            worker = await start(workers, spec, made.extend)
            worker.feed(MeasurementFrame("t-1", 1, 1e-6, 0.02, AngleReference.UTC, None, None, {}, {}, {}))
            async with asyncio.timeout(10):
                return (await worker.wait()).reason, made

    return asyncio.run(scenario())


def test_a_package_that_says_of_itself_what_was_not_signed_is_refused_in_one_sentence(tmp_path):
    said = refusal_of(put_in_place(tmp_path, "liar", LIES))
    assert "algorithm liar says of itself what its signed manifest does not: produces is" in said


def test_a_package_that_turns_off_its_own_checks_makes_nothing_that_it_did_not_declare(tmp_path):
    reason, made = end_of(put_in_place(tmp_path, "count", LIES_LATE, start="self.process = lie"))
    assert reason == "algorithm count sent a result with content energy/1, which it does not declare"
    assert made == []


def test_a_package_tells_the_state_of_a_switch_only_where_its_settings_name_it(tmp_path):
    spec = put_in_place(tmp_path, "count", SPEAKS_FOR_ANOTHER, start="self.process = lie", content="switch-state/1")
    reason, made = end_of(msgspec.structs.replace(spec, settings={"switch": "s-11"}))
    assert reason == "algorithm count sent the state of switch s-12, which its settings do not name"
    assert made == []


def test_a_package_that_takes_memory_when_it_is_imported_is_stopped_by_its_limit(tmp_path):
    spec = put_in_place(tmp_path, "hog", "kept = [bytearray(1 << 20) for _ in range(4096)]")
    said = refusal_of(spec)
    assert "MemoryError" in said


def test_a_package_that_leaves_when_it_is_imported_is_refused_in_one_sentence(tmp_path):
    said = refusal_of(put_in_place(tmp_path, "leaver", "raise SystemExit('done')"))
    assert "SystemExit: done" in said


def test_a_package_finds_its_own_modules_files_and_the_runtime_also_late_and_behind_closed_folders(tmp_path):
    first = """
import importlib.resources
import scipy.signal
words = importlib.resources.files("late_versions").joinpath("data/words.txt").read_text()
"""
    late = "from late_versions.later import WORD; import scipy.integrate; assert WORD == words == 'right'"
    files = {"later.py": b"WORD = 'right'", "data/words.txt": b"right"}
    spec = put_in_place(tmp_path, "late", first, files, start=late)

    async def scenario():
        async with working() as workers:
            worker, built_in = (
                await start(workers, spec),
                await start(workers, AlgorithmSpec("counter", "tests.support.algorithms:Echo")),
            )
            assert worker.info.name == "late"
            return worker.isolation, built_in.isolation, await workers.probe()

    of_package, of_built_in, probed = asyncio.run(scenario())
    assert of_package == of_built_in
    assert of_package == {layer: probed[layer] for layer in of_package}


def test_in_bubblewrap_a_package_sees_its_own_files_and_no_others_and_everything_else_holds_too(tmp_path):
    look = """
import os
found = sorted(os.listdir(@FOLDER@)), os.path.exists(@BESIDE@), os.path.exists("/etc/passwd"), os.getpid() < 10
raise RuntimeError(f"found {found}")
"""
    spec = put_in_place(tmp_path / "state", "box", "")
    if not boxes_work(spec):
        return
    beside = tmp_path / "state" / "device.key"
    beside.write_text("a key")
    words = look.replace("@FOLDER@", repr("/proc/self/cwd")).replace("@BESIDE@", repr(str(beside)))
    said = refusal_of(boxed(put_in_place(tmp_path / "other", "box", words)))
    assert "found (['box-1.0.0.dist-info', 'box_versions', 'tresma-signer'], False, False, True)" in said

    async def scenario():
        async with working() as workers:
            worker = await start(workers, boxed(spec))
            layers = await workers.probe()
            assert worker.isolation == {layer: layers[layer] for layer in worker.isolation}
            inside = children_of(worker.pid)
            await worker.stop()
            return inside

    inside = asyncio.run(scenario())
    assert inside
    for child in inside:
        wait_until(lambda pid=child: not Path(f"/proc/{pid}").exists(), "the end of what was in the box")


def test_every_attack_fails_in_bubblewrap_as_well(tmp_path):
    spec = put_in_place(tmp_path, "hostile", EVERYTHING, ATTACKS)
    if boxes_work(spec):
        assert "RuntimeError: got 0: []" in refusal_of(boxed(spec))


def test_where_bubblewrap_does_not_work_what_needs_it_is_refused_and_never_run_without(tmp_path, monkeypatch):
    spec = boxed(put_in_place(tmp_path / "state", "box", "raise RuntimeError('it ran')"))
    refusing = tmp_path / "bwrap"
    refusing.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    refusing.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    words = "expected bubblewrap to run box in, as the policy wants it for code of publishers, found"
    assert refusal_of(spec) == f"{words}: bwrap: No permissions to create new namespace"
    monkeypatch.setenv("PATH", "/nowhere")
    assert refusal_of(spec) == f"{words} no program bwrap; install bubblewrap"


@pytest.mark.slow
def test_a_hostile_package_that_comes_to_a_meter_is_refused_and_named_and_nothing_else_notices(tmp_path):
    with Plant() as plant, Listener(plant.data.port, "v1/default/meters/+/frames") as listener:
        repository = Repository(tmp_path / "trust", plant)
        good = version_with("1.0.0", 1, name="hostile", first="")
        evil = version_with("1.1.0", 2, name="hostile", first=EVERYTHING, files=ATTACKS)
        repository.release(good, evil)
        agent = plant.add("m-1", prefix=repository.prefix, algorithms=[PHASORS, assigned(good[0], probation=0.5)])
        wait_until(lambda: update_of(plant, "m-1", "hostile").get("step") == "active", "the good one", timeout=90)
        processes = agent.tree()
        plant.configure("m-1", algorithms=[PHASORS, assigned(evil[0], probation=0.5)])
        wait_until(lambda: update_of(plant, "m-1", "hostile").get("step") == "failed", "its refusal", timeout=90)
        report = plant.reported("m-1")["algorithms"]["hostile"]
        assert (report["version"], report["state"], report["update"]["version"]) == ("1.0.0", "running", "1.1.0")
        assert report["update"]["reason"].startswith("starting: algorithm hostile failed: hostile_versions.algorithm")
        assert "RuntimeError: got 0: []" in report["update"]["reason"]
        assert agent.tree() == processes  # nobody was ended, nobody is left, and it is not tried again and again
        frames = [int(item.fields["time"][20:29]) for item in list(listener.heard)]
        assert {(after - before) % 10**9 for before, after in itertools.pairwise(frames)} == {20_000_000}
        assert plant.reported("m-1")["source"]["lost"] == 0


@pytest.mark.slow
def test_a_version_of_a_publisher_runs_in_bubblewrap_by_the_policy_that_the_dso_signed(tmp_path):
    with Plant() as plant:
        dso, now = trusting(plant, tmp_path), datetime.now(UTC)
        dso.at(now).delegate("lab", ["count"], [dso.public("carl")], 1)
        dso.confirm(now, by="anna bert carl")
        package, data = version_with("1.0.0", 1, name="count", first="")
        dso.at(now).add(package, data, "lab")
        dso.confirm(now, by="carl")
        shutil.copytree(dso.folder, plant.catalog.state / "trust", dirs_exist_ok=True)
        agent = plant.add("m-1", algorithms=[PHASORS, assigned(package, probation=0.5)])
        ends = ("active", "failed")
        wait_until(lambda: update_of(plant, "m-1", "count").get("step") in ends, "its end", timeout=90)
        update = update_of(plant, "m-1", "count")
        boxes = [pid for pid in agent.workers() if Path(f"/proc/{pid}/comm").read_text() == "bwrap\n"]
        if asyncio.run(box.problem()):
            assert (update["step"], len(boxes)) == ("failed", 0)
            assert "expected bubblewrap to run count in" in update["reason"]
        else:
            assert (update["step"], len(boxes)) == ("active", 1)
