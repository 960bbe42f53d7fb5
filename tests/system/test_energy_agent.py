"""Energy registers of a real agent: they outlive kills and changes of settings, and lose no more than stated."""

import os
import signal
import time

import pytest
from paho.mqtt import publish

from algorithms.api.records import Command
from algorithms.api.wire import Header, encode
from device_catalog.contract import topics
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
    They never go below what was told, whichever process is killed; what the agent's death took is told as missing time
    and is an interval and its own absence at most; a change of settings loses nothing, since the ring still holds what
    came meanwhile.
    """
    with Plant() as plant, Listener(plant.data.port, "v1/default/meters/+/energy") as listener:
        agent = plant.add("m-1", algorithms=[ENERGY])
        wait_until(lambda: len(listener.heard) >= 3, "three results", timeout=40.0)
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
        again = [register(item) for item in results(listener) if item["boot"] > boot]
        assert again == sorted(again)
        assert again[0] >= register(last)
        missing = first["payload"]["seconds"]["missing"]
        assert missing <= 30
        assert any("gap" in item["payload"]["quality"] for item in results(listener) if item["boot"] == first["boot"])

        before = len(listener.heard)
        changed = {"algorithm": "energy", "settings": {"interval": 1, "rated_current": 20.0}}
        plant.wait_for_revision("m-1", plant.configure("m-1", algorithms=[changed]))

        def of_the_new_settings():
            found = [item for item in results(listener)[before:] if item["payload"]["starts"] == 3]
            return found if len(found) >= 2 else None

        after = wait_until(of_the_new_settings, "results with the new settings", timeout=40.0)
        assert after[-1]["payload"]["seconds"]["missing"] == missing
        assert "gap" not in after[-1]["payload"]["quality"]
        one_boot = [register(item) for item in results(listener) if item["boot"] == first["boot"]]
        assert one_boot == sorted(one_boot)
        counted = register(after[-1]) / POWER
        assert counted == pytest.approx(after[-1]["payload"]["seconds"]["measured"], abs=1.0)

        for role in ("fork server", "agent"):
            told = register(results(listener)[-1])
            starts = results(listener)[-1]["payload"]["starts"]
            if role == "agent":
                agent.kill()
                told = max(told, register(results(listener)[-1]))
                agent.start()
            else:
                server = next(pid for pid, what in agent.tree().items() if what == role)
                os.kill(server, signal.SIGKILL)

            def of_the_start_after(starts=starts):
                return [item for item in results(listener) if item["payload"]["starts"] > starts]

            wait_until(of_the_start_after, f"results after the end of the {role}", timeout=40.0)
            assert register(of_the_start_after()[0]) >= told


def test_an_order_over_the_broker_sets_registers_to_zero_once():
    """The last values are told before the first of zero; the order repeated, or to another device, changes nothing."""

    def ordered(plant, recipient):
        now = time.time_ns()
        command = Command("reset-7", recipient, "reset-energy", now, now + 60 * 10**9)
        payload = encode(command, Header("operator", 1, 1, 1, now))
        publish.single(topics.commands("default", "m-1"), payload, qos=1, port=plant.grid.port)

    with Plant() as plant, Listener(plant.data.port, "v1/default/meters/+/energy") as listener:
        plant.add("m-1", algorithms=[ENERGY])
        wait_until(lambda: len(listener.heard) >= 3, "three results", timeout=40.0)
        ordered(plant, "m-2")
        ordered(plant, "m-1")

        def reset():
            return [item for item in results(listener) if item["payload"]["resets"] == 1]

        first = wait_until(reset, "a result after the order", timeout=20.0)[0]
        assert register(first) == 0
        assert first["payload"]["reset_command"] == "reset-7"
        last = [item for item in results(listener) if item["payload"]["resets"] == 0][-1]
        assert last["time"] == first["time"] == first["payload"]["reset"]
        assert register(last) >= register(results(listener)[2]) > 0
        ordered(plant, "m-1")
        before = len(listener.heard)
        wait_until(lambda: len(listener.heard) >= before + 2, "results after the order repeated", timeout=20.0)
        assert {item["payload"]["resets"] for item in results(listener)[before:]} == {1}


def test_an_order_that_was_answered_is_not_forgotten_by_a_kill():
    """The answer goes out once the zeroed registers are durable: the registers of before do not come back."""
    with Plant() as plant, Listener(plant.data.port, "v1/default/meters/+/energy") as listener:
        hourly = {"algorithm": "energy", "settings": {"interval": 3600}}
        agent = plant.add("m-1", algorithms=[ENERGY])
        wait_until(lambda: len(listener.heard) >= 3, "three results", timeout=40.0)
        plant.wait_for_revision("m-1", plant.configure("m-1", algorithms=[hourly]))
        now = time.time_ns()
        command = Command("reset-8", "m-1", "reset-energy", now, now + 60 * 10**9)
        payload = encode(command, Header("operator", 1, 1, 1, now))
        publish.single(topics.commands("default", "m-1"), payload, qos=1, port=plant.grid.port)
        wait_until(lambda: results(listener)[-1]["payload"]["resets"] == 1, "the answer", timeout=20.0)
        agent.kill()
        before = len(listener.heard)
        agent.start()
        plant.wait_for_revision("m-1", plant.configure("m-1", algorithms=[ENERGY]), timeout=40.0)

        def again():
            return [item for item in results(listener)[before:] if item["payload"]["starts"] >= 3]

        first = wait_until(again, "results of the next start", timeout=40.0)[0]
        assert first["payload"]["resets"] == 1
        assert first["payload"]["reset_command"] == "reset-8"


def test_registers_go_on_after_another_rate_and_after_having_been_removed():
    """An edit that is accepted is no error in the log, and takes nothing of what was counted."""
    with Plant() as plant, Listener(plant.data.port, "v1/default/meters/+/energy") as listener:
        agent = plant.add("m-1", algorithms=[ENERGY])
        wait_until(lambda: len(listener.heard) >= 3, "three results", timeout=40.0)

        def after(starts):
            found = [item for item in results(listener) if item["payload"]["starts"] == starts]
            return found if len(found) >= 2 else None

        faster = {"driver": "simulated", "sample_rate": 12800}
        plant.wait_for_revision("m-1", plant.configure("m-1", acquisition=faster))
        wait_until(lambda: after(2), "results at the other rate", timeout=20.0)
        plant.wait_for_revision("m-1", plant.configure("m-1", algorithms=[]))
        plant.wait_for_revision("m-1", plant.configure("m-1", algorithms=[ENERGY]))
        wait_until(lambda: after(3), "results after its return", timeout=20.0)
        told = [register(item) for item in results(listener)]
        assert told == sorted(told)
        assert results(listener)[-1]["payload"]["seconds"]["missing"] <= 5
        assert "ERROR" not in agent.said()
