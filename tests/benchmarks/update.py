"""
From an operator's change to the new version's first result, and what everybody else notices of it.

A real catalog with a signed repository, real brokers and a whole agent, which samples, makes fifty frames a second with
the phasor estimator, and counts them with an algorithm that came as a package itself. Version after version of the
estimator is asked for, each a package on the catalog; the meter is told over the broker, asks the catalog, fetches,
verifies, unpacks, compiles and starts it beside the one in force. The time runs from before the request that changes
the configuration until a subscriber has the first frame of the new version; it contains up to a second by chance, which
keeps a fleet from asking all at once (`agent.conversation`). Every other version raises an exception in the middle of
its probation, and the one before goes on.

The meter's clock times the frames, so that a gap is counted in frames that are missing between two that were heard.
"""

import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import itertools

from algorithms.api.records import MeasurementFrame, Result
from algorithms.api.wire import decode
from tests.benchmarks.report import Report, arguments
from tests.support.agent import PHASORS, Plant
from tests.support.listener import Heard, Listener
from tests.support.versions import Repository, assigned, count_version, phasors_version, update_of
from tests.support.waiting import wait_until

PERIOD_NS = 20_000_000
PROBATION = 2.0
WINDOW, MARK = 513 / 6400, 1e-4
"""A version says which one it is by a window that is longer than that by so many of these [s]."""

_good = "records = [msgspec.structs.replace(one, window=one.window + @MARK@) for one in records]"
_bad = """self.made = getattr(self, "made", 0) + len(records)
        if self.made > 60:
            raise RuntimeError("no more than a second of this")
        """


def release(number: int) -> str:
    """Name a version."""
    return f"9.{number}.0"


def source(number: int) -> str:
    """Write what a version does to the frames; every other one fails after a second."""
    marked = _good.replace("@MARK@", repr(number * MARK))
    return (_bad if number % 2 == 0 else "") + marked


def version_of(window: float) -> int:
    """Tell which version made a frame; 0 for the one that came with the agent."""
    return round((window - WINDOW) / MARK)


def main() -> None:
    """Measure and tell."""
    options = arguments("updates of a running meter").parse_args()
    count = 4 if options.quick else 20
    report = Report("Updates of a running meter", {"updates": count, "probation_s": PROBATION, "frames_per_s": 50})
    with tempfile.TemporaryDirectory() as folder, Plant() as plant, Listener(plant.data.port) as listener:
        repository = Repository(Path(folder) / "trust", plant)
        counter = count_version("1.0.0", 1)
        versions = [phasors_version(release(k), k, process=source(k)) for k in range(1, count + 1)]
        repository.release(counter, *versions)
        other = assigned(counter[0], probation=0.5)
        poll = {"interval": 60.0, "lease": 195.0}
        agent = plant.add("m-1", prefix=repository.prefix, algorithms=[PHASORS, other], poll=poll)
        wait_until(lambda: update_of(plant, "m-1", "count").get("step") == "active", "the counter", timeout=60)
        pid, delays = agent.pid, []
        for number, (package, _) in enumerate(versions, 1):
            seen = len(listener.heard)
            wanted = assigned(package, probation=PROBATION, settings=PHASORS["settings"])
            begin = time.monotonic_ns()
            plant.configure("m-1", algorithms=[wanted, other])
            first = wait_until(lambda: _first(listener.heard[seen:], number), f"{release(number)}", timeout=60)  # noqa: B023
            delays.append((first.at_ns - begin) / 1e9)
            wait_until(lambda: _settled(plant, number), f"the end of {release(number)}", timeout=60)  # noqa: B023
        same = agent.pid == pid and len({boot for boot, _ in listener.keys}) == 1
        report_figures(report, sorted(delays), [decode(item.payload)[1] for item in listener.heard], restarted=not same)
    report.finish(as_json=options.json)


def report_figures(report: Report, delays: Sequence[float], records: Sequence[object], *, restarted: bool) -> None:
    """Add what was measured."""
    frames = [record for record in records if isinstance(record, MeasurementFrame)]
    counts = [record.payload["count"] for record in records if isinstance(record, Result)]
    steps = [round((b.time_ns - a.time_ns) / PERIOD_NS) for a, b in itertools.pairwise(frames)]
    others = [b - a for a, b in itertools.pairwise(counts)]
    makers = [version_of(frame.window) for frame in frames]
    report.figure("change to first result: median", delays[len(delays) // 2], "s", "<= 3")
    report.figure("change to first result: longest", delays[-1], "s", "<= 3")
    report.figure("take-overs and returns", sum(a != b for a, b in itertools.pairwise(makers)), "1")
    report.figure("replaced one's longest gap", max(steps) - 1, "frames", "<= 1")
    report.figure("replaced one's frames told twice", sum(step < 1 for step in steps), "1", "== 0")
    report.figure("others' longest gap", max(others) - 1, "results", "== 0")
    report.figure("others' results told twice", sum(step < 1 for step in others), "1", "== 0")
    report.figure("agent restarted", float(restarted), "1", "== 0")
    report.figure("frames", len(frames), "1")


def _first(heard: Sequence[Heard], number: int) -> Heard | None:
    for item in heard:
        if item.topic.endswith("/frames"):
            record = decode(item.payload)[1]
            if isinstance(record, MeasurementFrame) and version_of(record.window) == number:
                return item
    return None


def _settled(plant: Plant, number: int) -> bool:
    update = update_of(plant, "m-1", "phasors")
    return update.get("version") == release(number) and update.get("step") in ("active", "failed")


if __name__ == "__main__":
    main()
