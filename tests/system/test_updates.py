"""Versions of algorithms come to a running meter, and those that are no good go again; everything is real."""

import itertools
import re
import time

import pytest

from tests.support.agent import PHASORS, Plant
from tests.support.listener import Listener
from tests.support.versions import Repository, assigned, count_version, phasors_version, reference, update_of
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

FAULTS = {
    "refusing": {"start": "raise ValueError('no settings like these')"},
    "crashing": {"process": "1 / (self.here < 90)"},
    "silent": {"process": "return []"},
    "hoarding": {"process": "self.hoard.append(bytearray(8_000_000))"},
}
REASONS = {
    "refusing": "starting: .*no settings like these",
    "crashing": "probation: .*ZeroDivisionError",
    "silent": "probation: it made 0 records of result of silent/1",
    "hoarding": "probation: .*[mM]emory",
}


class World:
    """A plant with a DSO's repository, and a meter of which everything is heard."""

    def __init__(self, folder, plant, listener):
        self.plant, self.listener = plant, listener
        self.repository = Repository(folder, plant)
        self.agent = None

    def begin(self, *algorithms):
        self.agent = self.plant.add("m-1", prefix=self.repository.prefix, algorithms=[PHASORS, *algorithms])

    def assign(self, *algorithms, phasors=PHASORS):
        return self.plant.configure("m-1", algorithms=[phasors, *algorithms])

    def wait_for_step(self, step, *names, version="", timeout=90.0):
        def reached():
            updates = [update_of(self.plant, "m-1", name) for name in names]
            return all(one.get("step") == step and version in ("", one["version"]) for one in updates)

        wait_until(reached, f"{step} of {', '.join(names)}", timeout=timeout, interval=0.1)

    def report(self, name):
        return self.plant.reported("m-1")["algorithms"][name]

    def counts(self, name="count"):
        """List what a counter told, in order."""
        heard = [item.fields for item in list(self.listener.heard) if f"/results/{name}" in item.topic]
        return [(one["payload"]["count"], one["payload"]["version"]) for one in heard]

    def frames(self):
        return [item.fields["time"] for item in list(self.listener.heard) if item.topic.endswith("/frames")]

    def wait_for_counts(self, more, name="count"):
        before = len(self.counts(name))
        wait_until(lambda: len(self.counts(name)) >= before + more, f"{more} more counts", timeout=60)


@pytest.fixture
def world(tmp_path):
    with Plant() as plant, Listener(plant.data.port, "v1/default/meters/+/#") as listener:
        yield World(tmp_path / "trust", plant, listener)


def gaps(frames):
    """Tell how many periods of 20 ms lie between one frame and the next."""
    ns = [int(time[20:29]) // 1_000_000 for time in frames]
    return [(after - before) % 1000 // 20 for before, after in itertools.pairwise(ns)]


def test_good_versions_take_over_and_bad_ones_are_told_while_everything_else_goes_on(world):
    good = [count_version("1.0.0", 1, name=name) for name in FAULTS]
    bad = {name: count_version("1.1.0", 2, name=name, **fault) for name, fault in FAULTS.items()}
    newer = phasors_version("9.0.0", 2)
    world.repository.release(*good, *bad.values(), newer)
    world.begin(*(assigned(package, probation=0.5) for package, _ in good))
    world.wait_for_step("active", *FAULTS)
    pid, processes = world.agent.pid, len(world.agent.workers())
    phasors = assigned(newer[0], probation=2.0, settings=PHASORS["settings"])
    world.assign(*(assigned(package, probation=2.5) for package, _ in bad.values()), phasors=phasors)
    world.wait_for_step("failed", *FAULTS, version="1.1.0")
    world.wait_for_step("active", "phasors", version="9.0.0")
    for name in FAULTS:
        world.wait_for_counts(10, name)
        report = world.report(name)
        assert (report["version"], report["state"]) == ("1.0.0", "running")
        assert report["update"]["version"] == "1.1.0"
        assert re.search(REASONS[name], report["update"]["reason"])
        jumps = [pair for pair in itertools.pairwise(world.counts(name)) if pair[1][0] != pair[0][0] + 1]
        assert not jumps, name  # nothing lost, nothing twice, and all in order
    assert {version for _, version in world.counts("crashing")} == {"1.0.0", "1.1.0"}
    assert any("ZeroDivisionError" in line for line in world.report("crashing")["update"]["log"])
    assert world.report("phasors")["version"] == "9.0.0"
    assert set(gaps(world.frames())) == {1}
    assert world.agent.pid == pid
    assert len(world.agent.workers()) == processes


def test_an_agent_that_is_killed_on_probation_begins_it_anew_and_without_catalog_runs_what_was_confirmed(world):
    first, second = count_version("1.0.0", 1), count_version("1.1.0", 2)
    world.repository.release(first, second)
    world.begin(assigned(first[0], probation=0.5))
    world.wait_for_step("active", "count")
    world.wait_for_counts(5)
    world.assign(assigned(second[0], probation=1.5))
    wait_until(lambda: "1.1.0" in {version for _, version in world.counts()}, "the new version", timeout=60)
    told = world.counts()[-1][0]
    world.agent.kill()
    world.agent.start()
    world.wait_for_step("active", "count", version="1.1.0")
    world.wait_for_counts(5)
    world.agent.stop()
    stopped = len(world.counts())
    world.plant.catalog.stop()
    world.agent.start()
    wait_until(lambda: len(world.counts()) > stopped + 5, "counts without a catalog", timeout=60)
    after = world.counts()[stopped:]
    assert {version for _, version in after} == {"1.1.0"}
    assert after[0][0] == world.counts()[stopped - 1][0] + 1
    assert after[0][0] > told
    world.plant.catalog.start()


def test_a_shadow_is_compared_with_the_one_in_force_and_never_told(world):
    same, other = phasors_version("9.0.0", 2), phasors_version("9.1.0", 3, process=_SCALE)
    world.repository.release(same, other)
    phasors = {**PHASORS, "shadow": {"version": "9.0.0", "package": reference(same[0])}}
    world.agent = world.plant.add("m-1", prefix=world.repository.prefix, algorithms=[phasors])

    def shadow(version):
        found = world.plant.reported("m-1").get("algorithms", {}).get("phasors", {}).get("shadow") or {}
        return found if found.get("version") == version and found["compared"] > 50 else None

    found = wait_for_report(world, lambda: shadow("9.0.0"))
    assert (found["state"], found["differing"], found["missing"], found["extra"]) == ("running", 0, 0, 0)
    world.assign(phasors={**PHASORS, "shadow": {"version": "9.1.0", "package": reference(other[0])}})
    found = wait_for_report(world, lambda: shadow("9.1.0"))
    assert found["differing"] == found["compared"]
    assert found["largest"] == pytest.approx(0.01 / 1.01, rel=1e-3)
    assert found["where"].startswith("voltage.")
    assert found["memory"] > 0
    report = world.report("phasors")
    assert report["version"] not in ("9.0.0", "9.1.0")
    assert set(gaps(world.frames())) == {1}


_SCALE = """for index, frame in enumerate(records):
            voltage = {
                phase: msgspec.structs.replace(one, magnitude=one.magnitude * 1.01)
                for phase, one in frame.voltage.items()
            }
            records[index] = msgspec.structs.replace(frame, voltage=voltage)"""


def wait_for_report(world, condition):
    """Wait for what only a new report brings: counters alone are not worth one, so something else is changed."""
    until = time.monotonic() + 90
    rates = [1.0, 2.0]
    while time.monotonic() < until:
        found = condition()
        if found:
            return found
        rates.reverse()
        world.plant.configure("m-1", poll={"interval": rates[0], "lease": 6.0})
        time.sleep(0.5)
    raise AssertionError("no such report within 90 s")
