"""Energy registers of a real agent: they outlive kills and changes of settings, and lose no more than stated."""

import pytest

from tests.support.agent import Plant
from tests.support.listener import Listener
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

ENERGY = {"algorithm": "energy", "settings": {"interval": 1}}
POWER = 3000.0 * 0.95
"""Of the simulated load [W]."""


def results(listener):
    return [item.fields for item in listener.heard]


def register(fields):
    return fields["payload"]["registers"]["vectorial"]["active_import"][0]


def test_registers_go_on_after_a_kill_and_an_update():
    """
    They never go back; what the agent's death took is told as missing time and is 10 s and its own absence at most; a
    change of settings loses nothing, since the ring still holds what came meanwhile.
    """
    with Plant() as plant, Listener(plant.data.port, "v1/default/meters/+/energy") as listener:
        agent = plant.add("m-1", algorithms=[ENERGY])
        wait_until(lambda: len(listener.heard) >= 3, "three results", timeout=40.0)
        kept = agent.state / "checkpoints" / "energy"
        wait_until(kept.exists, "a checkpoint", timeout=20.0)
        before = len(listener.heard)
        wait_until(lambda: len(listener.heard) >= before + 2, "results after it", timeout=20.0)

        agent.kill()
        boot = results(listener)[-1]["boot"]
        agent.start()

        def of_the_next_start():
            found = [item for item in results(listener) if item["boot"] > boot]
            return found if len(found) >= 3 else None  # the first may be of an instant while it was away

        first = wait_until(of_the_next_start, "results of the next start", timeout=40.0)[2]
        last = [item for item in results(listener) if item["boot"] == boot][-1]
        assert first["payload"]["starts"] == 2
        counted_since = first["payload"]["seconds"]["measured"] - register(first) / POWER
        assert abs(counted_since) <= 1.0
        lost = register(last) / POWER - (register(first) / POWER - 3.0)
        assert lost <= 10.0
        missing = first["payload"]["seconds"]["missing"]
        assert 1 <= missing <= 30

        before = len(listener.heard)
        changed = {"algorithm": "energy", "settings": {"interval": 2}}
        plant.wait_for_revision("m-1", plant.configure("m-1", algorithms=[changed]))
        wait_until(lambda: len(listener.heard) >= before + 4, "results with the new settings", timeout=40.0)
        after = [item for item in results(listener)[before:] if item["payload"]["starts"] == 3]
        assert after
        assert after[-1]["payload"]["seconds"]["missing"] == missing
        assert "gap" not in after[-1]["payload"]["quality"]
        one_boot = [register(item) for item in results(listener) if item["boot"] == first["boot"]]
        assert one_boot == sorted(one_boot)
        counted = register(after[-1]) / POWER
        assert counted == pytest.approx(after[-1]["payload"]["seconds"]["measured"], abs=1.0)
