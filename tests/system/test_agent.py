"""The whole agent, with real processes: it configures itself, publishes, and survives what happens to it."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from paho.mqtt import publish

from algorithms.api.records import Request
from algorithms.api.wire import Header, encode
from device_catalog.contract import topics
from tests.support.agent import PHASORS, Plant
from tests.support.listener import Listener
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

SMALL_DISK = Path(__file__).parents[1] / "support" / "small_disk.py"


@pytest.fixture
def plant():
    with Plant() as one:
        yield one


@pytest.fixture
def meter(plant):
    """A meter that publishes fifty frames a second, and somebody who listens to all of them."""
    with Listener(plant.data.port, "v1/default/meters/+/frames") as listener:
        agent = plant.add("m-1")
        wait_for_frames(listener, 10)
        yield plant, agent, listener


def wait_for_frames(listener, count, timeout=30.0):
    wait_until(lambda: len(listener.heard) >= count, f"{count} frames", timeout=timeout)


def first_boot(listener):
    return listener.keys[0][0]


def numbers(listener, *, start=0):
    """Tell the numbers heard of the agent's first start, or of the `start`-th after it; none before there are any."""
    boots = sorted({boot for boot, _ in listener.keys})
    return sorted({number for boot, number in listener.keys if boots[start : start + 1] == [boot]})


def frames_after(listener):
    """Wait until frames come again that were measured from now on."""
    now = time.time()
    before = len(listener.heard)

    def fresh():
        return any(item.fields["time"] > time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now + 1)) for item in
                   listener.heard[before:])  # fmt: skip

    wait_until(fresh, "frames measured from now on", timeout=40.0, interval=0.05)


def test_a_meter_knowing_only_its_catalog_publishes_every_frame_once_and_in_order(meter):
    plant, _, listener = meter
    wait_for_frames(listener, 100)
    keys = listener.keys
    boot, first = keys[0]
    assert keys == [(boot, first + k) for k in range(len(keys))]
    frame = listener.heard[-1].fields
    assert frame["frequency"][0] == pytest.approx(50.0, abs=1e-6)
    assert frame["voltage"]["A"][0] == pytest.approx(230.0, rel=1e-6)
    assert all(len(item.payload) <= 1400 for item in listener.heard)
    report = wait_until(lambda: plant.reported("m-1"), "a report")
    assert report["applied_revision"] == 1
    assert report["algorithms"]["phasors"]["state"] == "running"
    assert report["isolation"]["network"] is True


@pytest.mark.parametrize("which", ["sampler", "algorithm"])
def test_a_killed_process_is_started_again_and_the_rest_goes_on(meter, which):
    _, agent, listener = meter
    pids = agent.workers()
    victim = pids[0] if which == "sampler" else pids[-1]
    other = pids[-1] if which == "sampler" else pids[0]
    os.kill(victim, signal.SIGKILL)
    frames_after(listener)
    assert victim not in agent.workers()
    assert other in agent.workers()
    assert missing(listener) == []


def test_the_fork_server_killed_takes_no_frame_number_with_it_and_everything_comes_back(meter):
    _, agent, listener = meter
    server = next(pid for pid, role in agent.tree().items() if role == "fork server")
    os.kill(server, signal.SIGKILL)
    frames_after(listener)
    assert missing(listener) == []


def test_a_killed_agent_leaves_no_process_and_goes_on_under_its_next_boot(meter):
    _, agent, listener = meter
    pids = list(agent.tree())
    agent.kill()
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids[1:]), "its processes being gone")
    agent.start()
    wait_until(lambda: numbers(listener, start=1), "frames of the next boot", timeout=30)
    assert min(numbers(listener, start=1)) == 1


def test_a_stopped_agent_says_offline_and_leaves_no_process(meter):
    plant, agent, _ = meter
    pids = list(agent.tree())
    with Listener(plant.grid.port, "v1/default/meters/m-1/session") as sessions:
        agent.stop()
        wait_until(lambda: sessions.heard[-1].fields["state"] == "offline", "the word offline")
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    assert "Traceback" not in agent.said()


def missing(listener):
    """Tell which frames were not heard: each names the one before it, since numbers count all topics together."""
    found = set(numbers(listener))
    before = {item.fields["previous"] for item in list(listener.heard) if item.fields["boot"] == first_boot(listener)}
    return sorted(before - found - {0, min(found) - 1})


def ask_again(plant, boot, first, last):
    """Ask the meter for messages that were missed, as any receiver may."""
    now = time.time_ns()
    request = Request("r-1", "reader", "m-1", "replay", now, now + 60 * 10**9,
                      {"broker": "data", "boot": boot, "first": first, "last": last})  # fmt: skip
    payload = encode(request, Header("reader", 1, 1, 1, now))
    publish.single(topics.requests("default", "m-1"), payload, qos=1, hostname="127.0.0.1", port=plant.grid.port)


def test_what_a_receiver_missed_while_a_broker_was_away_comes_when_it_asks_by_number(meter):
    plant, _, listener = meter
    plant.data.kill()
    wait_until(lambda: plant.reported("m-1")["links"]["data"]["connected"] is False, "the loss being reported")
    plant.data.start()
    listener.wait()
    frames_after(listener)
    gap = missing(listener)
    if gap:  # the receiver was back later than the meter
        first = max(k for k in numbers(listener) if k < gap[0]) + 1
        ask_again(plant, first_boot(listener), first, gap[-1])
    wait_until(lambda: not missing(listener), "every number being there")
    assert len({boot for boot, _ in list(listener.keys)}) == 1


def test_the_grid_broker_being_away_does_not_hold_up_a_single_frame(meter):
    plant, _, listener = meter
    plant.grid.kill()
    before = len(listener.heard)
    wait_for_frames(listener, before + 100, timeout=6.0)


def test_a_killed_catalog_changes_nothing_until_it_is_back(meter):
    plant, _, listener = meter
    plant.catalog.kill()
    wait_for_frames(listener, len(listener.heard) + 100, timeout=6.0)
    plant.catalog.start()
    revision = plant.configure("m-1", algorithms=[{**PHASORS, "publish": 1.0}])
    assert plant.wait_for_revision("m-1", revision)["refused"] is None


def test_an_agent_starts_with_its_last_good_settings_while_the_catalog_is_away(meter):
    plant, agent, listener = meter
    plant.wait_for_revision("m-1", 1)
    agent.stop()
    plant.catalog.kill()
    agent.start()
    wait_until(lambda: numbers(listener, start=1), "frames of the next boot", timeout=30)


def test_new_settings_come_into_force_without_touching_what_did_not_change(meter):
    plant, agent, listener = meter
    pids = agent.workers()
    revision = plant.configure("m-1", algorithms=[{**PHASORS, "publish": 10.0}])
    plant.wait_for_revision("m-1", revision)
    assert agent.workers() == pids
    revision = plant.configure("m-1", algorithms=[{**PHASORS, "settings": {"window": 10, "report_rate": 10}}])
    plant.wait_for_revision("m-1", revision)
    assert agent.workers()[0] == pids[0]
    assert agent.workers()[-1] != pids[-1]
    wait_until(lambda: listener.heard[-1].fields["window"] > 0.19, "frames with the longer window")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"algorithms": [{"algorithm": "fasors"}]}, "phasors"),
        ({"algorithms": [{"algorithm": "phasors", "settings": {"window": 5}}]}, "3, 4, 10"),
        (
            {"algorithms": [{"algorithm": "phasors", "settings": {"report_rate": {"value": 3, "unit": "kHz"}}}]},
            "Hz",
        ),
        ({"acquisition": {"driver": "simulate", "sample_rate": 6400}}, "simulated"),
        ({"acquisition": {"driver": "simulated", "sample_rate": 100}}, "sample"),
    ],
    ids=["unknown algorithm", "wrong value", "wrong unit", "unknown source", "too few samples"],
)
def test_settings_that_cannot_be_used_are_refused_with_a_remedy_and_the_old_ones_stay(meter, change, word):
    plant, _, listener = meter
    revision = plant.configure("m-1", **change)
    report = plant.wait_for_revision("m-1", revision)
    assert report["applied_revision"] == 1
    assert word in str(report["refused"]["problems"])
    frames_after(listener)


def test_endpoints_can_change_while_it_runs(meter):
    plant, _, listener = meter
    brokers = {"grid": [plant.grid.url], "data": ["mqtt://127.0.0.1:1", plant.data.url]}
    revision = plant.configure("m-1", brokers=brokers)
    plant.wait_for_revision("m-1", revision)
    frames_after(listener)
    assert missing(listener) == []


def test_two_agents_never_share_a_state_folder(meter):
    _, agent, _ = meter
    second = subprocess.run(
        [sys.executable, "-m", "agent", "run", "--config", str(agent.config)],
        capture_output=True, text=True, timeout=30, cwd=Path(__file__).parents[2], check=False,
    )  # fmt: skip
    assert second.returncode == 78
    assert "in use" in second.stderr


def test_the_credential_is_in_no_log(meter):
    plant, agent, _ = meter
    credential = agent.config.read_text().split("credential: ")[1].split()[0]
    plant.catalog.stop()
    plant.catalog.start()
    assert credential not in agent.said()
    assert credential not in plant.catalog.log.read_text()


def test_a_full_disk_costs_no_frame_while_memory_lasts_and_is_reported(plant):
    with Listener(plant.data.port, "v1/default/meters/+/frames") as listener:
        plant.add("m-1", prefix=(sys.executable, str(SMALL_DISK), "{state}", "200k"))
        wait_for_frames(listener, 10)
        plant.data.pause()
        wait_until(lambda: plant.reported("m-1").get("problems"), "the full disk being reported", timeout=60)
        before = len(listener.heard)
        plant.data.resume()
        wait_for_frames(listener, before + 100, timeout=30)
        wait_until(lambda: not missing(listener), "every frame being there")


def test_a_stepped_clock_is_noticed_and_loses_nothing(plant, tmp_path):
    (library,) = Path("/usr/lib").glob("*/faketime/libfaketime.so.1")
    offset = tmp_path / "offset"
    offset.write_text("+0")
    faked = (f"LD_PRELOAD={library}", f"FAKETIME_TIMESTAMP_FILE={offset}", "FAKETIME_NO_CACHE=1",
             "FAKETIME_DONT_FAKE_MONOTONIC=1")  # fmt: skip
    with Listener(plant.data.port, "v1/default/meters/+/frames") as listener:
        agent = plant.add("m-1", prefix=("env", *faked))
        wait_for_frames(listener, 10)
        offset.write_text("-3600")
        wait_until(lambda: plant.reported("m-1").get("time", {}).get("steps"), "the step being reported", timeout=20)
        assert float(re.search(r"stepped by (\S+) s", agent.said())[1]) == pytest.approx(-3600, abs=0.5)
        wait_for_frames(listener, len(listener.heard) + 50)
        assert missing(listener) == []
