"""The power-quality meter in a real agent: its results and events reach an operator, also after a kill."""

import json
import subprocess
import sys

import pytest

from tests.support.agent import Plant
from tests.support.listener import Listener
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

QUALITY = {"algorithm": "power_quality", "settings": {"shortest_interval": "10-cycle"}}
SAGS = {"kind": "sag", "start": 2.0, "duration": 0.3, "period": 2.5, "depth": 0.4, "phases": ["A"]}


def test_dips_and_windows_reach_an_operator_also_after_the_agent_was_killed():
    acquisition = {"driver": "simulated", "sample_rate": 3200, "options": {"events": [SAGS]}}
    with Plant() as plant, Listener(plant.data.port, "v1/default/meters/+/#") as listener:
        agent = plant.add("m-1", algorithms=[QUALITY], acquisition=acquisition)

        def dips():
            heard = [one.fields for one in listener.heard if one.topic.endswith("/events")]
            return [one for one in heard if one["kind"] == "voltage-dip" and one["end"]]

        def windows():
            return [one.fields["payload"] for one in listener.heard if one.topic.endswith("/quality")]

        wait_until(dips, "a dip on the broker", timeout=30)
        (first, *_) = dips()
        assert first["phases"] == ["A"]
        assert first["evidence"]["residual_voltage"] == pytest.approx(0.6 * 230, rel=0.01)
        assert first["evidence"]["duration"] == pytest.approx(0.3, abs=0.02)
        assert windows()[0]["interval"] == "10-cycle"
        assert windows()[0]["frequency"] == pytest.approx(50.0, abs=0.01)
        agent.kill()
        before = len(dips())
        agent.start()
        watched = subprocess.run(
            [
                sys.executable, "-m", "device_catalog.operator", "watch", "--json", "--all", "--seconds", "5",
                "--grid", plant.grid.url, "--data", plant.data.url,
            ],
            capture_output=True, timeout=60, check=True,
        )  # fmt: skip
        lines = [json.loads(line) for line in watched.stdout.splitlines()]
        assert any(line["schema"] == "result/1" and line["content"] == "quality/1" for line in lines)
        wait_until(lambda: len(dips()) > before, "a dip after the kill", timeout=30)
