"""Ten algorithms that try to harm their meter, all at once: a whole agent measures on as though they were not there."""

from pathlib import Path

import pytest

from tests.support.agent import PHASORS, Plant
from tests.support.hostile_algorithms import ATTACKS, STUBBORN, installed_in
from tests.support.listener import Listener
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

IMPATIENT = {"memory": 24 << 20, "response": 1.0, "processor": 0.5, "records_per_second": 50.0}
LEFT = ("/tmp/hostile", "/dev/shm/hostile", "/etc/cron.d/hostile")


@pytest.fixture(scope="module")
def attacked(tmp_path_factory):
    """A meter that runs all attacks beside its phasors, once each of them had its turn; and all that was published."""
    with Plant() as plant, Listener(plant.data.port) as data, Listener(plant.grid.port) as grid:
        hostile = [{"algorithm": attack, "limits": IMPATIENT} for attack in ATTACKS]
        prefix = installed_in(tmp_path_factory.mktemp("hostile"))
        agent = plant.add("m-1", prefix=prefix, algorithms=[PHASORS, *hostile])
        reports = wait_until(lambda: ended(plant), "the stubborn ones in quarantine", timeout=120.0, interval=0.5)
        yield plant, agent, reports, [item for listener in (data, grid) for item in listener.heard]


def ended(plant):
    """Return what is reported of the algorithms, once all ran and those that do not give up are in quarantine."""
    reports = plant.reported("m-1").get("algorithms", {})
    ran = len(reports) > len(ATTACKS) and all(reports[name]["version"] for name in ATTACKS)
    return reports if ran and all(reports[name]["state"] == "quarantined" for name in STUBBORN) else None


def test_no_sample_and_no_frame_is_lost_and_none_is_another_than_it_would_be(attacked):
    plant, _, reports, heard = attacked
    frames = [item.fields for item in heard if item.topic.endswith("/frames")]
    assert len(frames) > 250
    numbers = [frame["number"] for frame in frames]
    assert len(numbers) == len(set(numbers))
    assert all(abs(frame["voltage"]["A"][0] - 230.0) < 1e-3 for frame in frames)
    times = sorted({frame["time"] for frame in frames})
    assert len(times) == len(frames)
    assert plant.reported("m-1")["source"]["lost"] == 0
    assert plant.reported("m-1")["source"]["restarts"] == 0
    assert (reports["phasors"]["state"], reports["phasors"]["restarts"]) == ("running", 0)
    assert (reports["phasors"]["lost_samples"], reports["phasors"]["dropped"]) == (0, 0)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("memory-hog", "MemoryError"),
        ("busy-loop", "no progress for 1 s"),
        ("endless-output", "records without end"),
    ],
)
def test_who_does_not_stop_by_itself_is_quarantined_with_what_it_did(attacked, name, words):
    _, _, reports, _ = attacked
    assert words in reports[name]["last_error"]


def test_what_they_could_get_hold_of_is_nothing(attacked):
    _, _, _, heard = attacked
    leaks = [item.fields["payload"]["got"][:200] for item in heard if b"LEAK" in item.payload]
    assert leaks == []
    assert [place for place in LEFT if Path(place).exists()] == []


def test_the_agent_and_its_processes_are_the_ones_that_were_started(attacked):
    plant, agent, reports, heard = attacked
    # Agent, fork server, sampler, phasors and the attacks that still run: nothing was forked, nothing is left.
    running = [name for name in ATTACKS if reports[name]["state"] == "running"]
    wait_until(lambda: len(agent.tree()) == 4 + len(running), "no process but those", timeout=10.0)
    assert {item.fields["boot"] for item in heard if item.topic.endswith("/frames")} == {plant.reported("m-1")["boot"]}
