"""The event recorder of a real agent: what happened is on the disk, whatever is killed on the way."""

import json
import os
import signal
import sys
import time
from pathlib import Path

import comtrade
import msgspec
import numpy as np
import pytest
from paho.mqtt import publish

from algorithms.api.records import Request
from algorithms.api.wire import Header, encode, time_from_text
from device_catalog.contract import topics
from hardware.comtrade import read_recording
from tests.support import recorder_meter
from tests.support.agent import Plant
from tests.support.listener import Listener
from tests.support.recorder_meter import recording, sag
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

SMALL_DISK = Path(__file__).parents[1] / "support" / "small_disk.py"
ANNOUNCED = "v1/default/meters/m-1/results/recording"


@pytest.fixture
def plant(tmp_path, monkeypatch):
    recorder_meter.install(tmp_path, monkeypatch)
    with Plant() as one, Listener(one.data.port, ANNOUNCED) as listener:
        one.listener = listener
        yield one


def announced(plant, count=1, timeout=30.0):
    """Wait for so many announcements; return what they say."""
    wait_until(lambda: len(plant.listener.heard) >= count, f"{count} recordings", timeout=timeout, interval=0.02)
    return [item.fields["payload"] for item in plant.listener.heard]


def folder_of(agent):
    return agent.state / "recordings"


def names(agent):
    return sorted(path.name for path in folder_of(agent).iterdir()) if folder_of(agent).is_dir() else []


def recorder_of(agent, before):
    """Wait for the process that was not there before."""
    found = wait_until(lambda: set(agent.workers()) - before, "the recorder's process", timeout=20.0)
    return found.pop()


def check_dip(path, depth=0.5):
    """See that a file shows a dip of phase A where it says, and not a sample besides."""
    file = read_recording(path)
    config = file.config
    values = file.values(slice(None))
    lead = round((config.trigger_ns - config.start_ns) * 1e-9 * 6400)
    marked = np.flatnonzero(file.digital(0))
    assert marked[0] == lead
    cycle = slice(lead + 128, lead + 256)
    peak = np.sqrt(2) * 230
    assert np.abs(values[0, cycle]).max() == pytest.approx(depth * peak, rel=2e-3)
    assert np.abs(values[1, cycle]).max() == pytest.approx(peak, rel=2e-3)
    assert np.abs(values[0, lead - 129 : lead - 1]).max() == pytest.approx(peak, rel=2e-3)
    return file


def test_a_dip_is_recorded_announced_and_read_by_others(plant):
    agent = plant.add("m-1", **recording(sag(1.2), before=0.4, after=0.6))
    before = set(wait_until(lambda: len(agent.workers()) == 2 and agent.workers(), "sampler and algorithm"))
    (said,) = announced(plant)
    path = folder_of(agent) / f"{said['id']}.cff"
    file = check_dip(path)
    assert (said["kind"], said["severity"], said["lacks"], said["missing"]) == ("voltage-dip", "notice", [], 0)
    label = json.loads((folder_of(agent) / f"{said['id']}.json").read_text())["info"]
    start, end = (time_from_text(label["events"][0][name]) for name in ("start", "end"))
    assert (end - start) * 1e-9 == pytest.approx(0.3, abs=0.05), "told by blocks"
    assert said["duration"] == pytest.approx(0.4 + (end - start) * 1e-9 + 0.6, abs=0.001)
    assert file.n_samples == said["samples"] == round(said["duration"] * 6400)
    assert path.stat().st_size == said["bytes"]
    other = comtrade.Comtrade()
    other.load(str(path))
    assert other.analog_channel_ids == ["ua", "ub", "uc", "ia", "ib", "ic"]
    assert (other.rec_dev_id, other.status_channel_ids, other.total_samples) == (
        "m-1",
        ["voltage-dip A"],
        said["samples"],
    )
    assert label["sha256"] == said["sha256"]
    wait_until(lambda: (plant.reported("m-1")["recordings"] or {}).get("recorded"), "a report")
    report = plant.reported("m-1")["recordings"]
    assert (report["recorded"], report["kept"], report["bytes"], report["last_error"]) == (1, 1, said["bytes"], "")
    # The process is there while it is needed and no longer.
    wait_until(lambda: set(agent.workers()) == before, "the recorder's process gone", timeout=20.0, interval=0.1)


def test_an_installer_asks_for_a_recording_and_is_told_its_name(plant):
    agent = plant.add("m-1", **recording(kinds=["fault"]))
    wait_until(lambda: plant.reported("m-1").get("source", {}).get("samples"), "samples", timeout=20.0)
    replies = topics.replies("default", "lab")
    with Listener(plant.grid.port, replies) as listener:

        def ask(number, **arguments):
            now = time.time_ns()
            request = Request(f"r-{number}", "lab", "m-1", "record", now, now + 10**10, arguments)
            payload = encode(request, Header("lab", 1, 1, number, now))
            topic = topics.requests("default", "m-1")
            publish.single(topic, payload, qos=1, hostname="127.0.0.1", port=plant.grid.port)
            wait_until(lambda: len(listener.heard) >= number, "a reply")
            return listener.heard[-1].fields

        wrong = ask(1, duration="long")
        assert wrong["problems"][0]["where"] == "arguments.duration"
        reply = ask(2, duration=0.5)
        assert reply["problems"] == []
    (said,) = announced(plant)
    assert (said["id"], said["kind"]) == (reply["payload"]["id"], "request")
    assert said["duration"] == pytest.approx(1.5, abs=0.001)
    assert f"{said['id']}.cff" in names(agent)


def test_a_recorder_killed_half_way_is_replaced_and_the_recording_is_whole(plant):
    agent = plant.add("m-1", **recording(sag(1.2, duration=0.5), after=1.0))
    before = set(wait_until(lambda: len(agent.workers()) == 2 and agent.workers(), "sampler and algorithm"))
    os.kill(recorder_of(agent, before), signal.SIGKILL)
    (said,) = announced(plant)
    assert (said["lacks"], said["missing"]) == ([], 0)
    check_dip(folder_of(agent) / f"{said['id']}.cff")
    assert "the event recorder was ended by SIGKILL" in agent.said()


def test_an_agent_killed_half_way_leaves_nothing_torn_and_records_the_next_event(plant):
    agent = plant.add("m-1", **recording(sag(1.2, duration=0.5, period=3.0), after=1.0))
    before = set(wait_until(lambda: len(agent.workers()) == 2 and agent.workers(), "sampler and algorithm"))
    recorder_of(agent, before)
    agent.kill()
    (folder_of(agent) / "20260101T000000000Z.cff.new").write_bytes(b"cut off")
    agent.start()
    (said,) = announced(plant)
    wait_until(lambda: names(agent) == [f"{said['id']}.cff", f"{said['id']}.json"], "nothing but the recording")
    check_dip(folder_of(agent) / f"{said['id']}.cff")
    assert "20260101T000000000Z.cff.new" in agent.said()


def test_a_ring_that_laps_its_reader_is_said_and_the_rest_is_in_its_place(plant):
    """The recorder is stopped for longer than the ring lasts."""
    agent = plant.add("m-1", **recording(sag(1.2, duration=4.0), history=1.6, after=0.6))
    before = set(wait_until(lambda: len(agent.workers()) == 2 and agent.workers(), "sampler and algorithm"))
    victim = recorder_of(agent, before)
    time.sleep(0.6)  # so that it has begun: what it holds by then is kept
    os.kill(victim, signal.SIGSTOP)
    time.sleep(2.6)
    os.kill(victim, signal.SIGCONT)
    (said,) = announced(plant)
    assert said["lacks"] == ["samples"]
    assert 3200 < said["missing"] < 3 * 6400
    file = check_dip(folder_of(agent) / f"{said['id']}.cff")
    gone = np.flatnonzero(file.missing([0])[0])
    assert len(gone) == said["missing"] == gone[-1] - gone[0] + 1
    assert said["duration"] == pytest.approx(0.5 + 4.0 + 0.6, abs=0.05)
    assert "lost_samples" not in plant.reported("m-1")["recordings"]["last_error"]


def test_a_sampler_that_dies_during_an_event_leaves_a_gap_and_not_the_end(plant):
    agent = plant.add("m-1", **recording(sag(1.2, duration=1.0), after=2.0))
    before = set(wait_until(lambda: len(agent.workers()) == 2 and agent.workers(), "sampler and algorithm"))
    recorder_of(agent, before)
    os.kill(min(before), signal.SIGKILL)
    (said,) = announced(plant)
    assert said["lacks"] == ["samples"]
    assert said["missing"] > 0
    values = read_recording(folder_of(agent) / f"{said['id']}.cff").values([1])[0]
    assert np.isfinite(values[-6400:]).all(), "the new sampler's are there"
    assert np.isfinite(values[:3200]).all()


def test_recordings_stay_within_their_budget_and_the_report_says_so(plant):
    """Each takes about 650 kB, of which one fits."""
    events = sag(1.2, duration=0.1, period=0.7)
    agent = plant.add("m-1", **recording(events, rate=51_200.0, before=0.2, after=0.28, budget=2**20, per_hour=3600))
    announced(plant, 3)
    wait_until(lambda: plant.reported("m-1")["recordings"]["dropped"] >= 2, "a report")
    assert sum(path.stat().st_size for path in folder_of(agent).iterdir()) <= 2**20
    first = plant.listener.heard[0].fields["payload"]["id"]
    assert f"{first}.cff" not in names(agent)


def test_a_recording_that_a_full_disk_does_not_take_is_reported_and_the_meter_goes_on(plant):
    """About 1 MB for a disk of 600 kB; what was asked for before takes a tenth of that."""
    prefix = (sys.executable, str(SMALL_DISK), "{state}", "600k")
    acquired = recording(sag(1.2, duration=0.5), rate=25_600.0, after=1.0)
    agent = plant.add("m-1", prefix=prefix, **acquired)

    def failed():
        report = plant.reported("m-1").get("recordings") or {}
        return report if report.get("failed") else None

    report = wait_until(failed, "the failure in a report", timeout=30.0)
    assert "on the disk, found it full" in report["last_error"]
    assert (report["recorded"], report["kept"]) == (0, 0)
    plant.configure("m-1", **recording(sag(1.2, duration=0.1), rate=6400.0, before=0.2, after=0.2))
    (said,) = announced(plant)
    assert said["lacks"] == []
    assert agent.said().count("not recorded") == 1


def test_a_stopped_agent_writes_what_it_has(plant):
    agent = plant.add("m-1", **recording(sag(1.2, duration=0.5), after=8.0))
    before = set(wait_until(lambda: len(agent.workers()) == 2 and agent.workers(), "sampler and algorithm"))
    recorder_of(agent, before)
    time.sleep(0.6)  # so that the dip is over, and the time after it has begun
    agent.stop()
    files = [name for name in names(agent) if name.endswith(".cff")]
    label = msgspec.json.decode((folder_of(agent) / files[0].replace(".cff", ".json")).read_bytes())
    assert label["info"]["lacks"] == ["end"]
    check_dip(Path(folder_of(agent) / files[0]))
