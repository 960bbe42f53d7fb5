"""
An image's update by a real agent, its helper and a catalog, from the start of a rollout to its abort and back.

The machine is two files and a boot program of a few lines; what restarts is the agent. Root is needed, because the
agent finds its helper at one place only, which is laid over for it here. ``make test-power-cuts`` runs it first.
"""

from datetime import UTC, datetime

import pytest

from tests.support.agent import PHASORS, Plant
from tests.support.images import NAME, content_of, image_of
from tests.support.slot_files import FileSlots
from tests.support.slot_helper import helper
from tests.support.trust import Dso
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(600)


class Machine:
    """Two slots, and what the running image says of itself."""

    def __init__(self, folder):
        self.folder = folder
        self.slots = FileSlots(folder / "slots")
        self.slots.begin(content_of("1.0.0", 1))
        self._mount()

    def _mount(self):
        line = self.slots.content(self.slots.booted).partition(b"\n")[0]
        (self.folder / "about.json").write_bytes(line)

    def wait_for_restart(self):
        asked = self.folder / "restarted"
        wait_until(asked.exists, "a restart", timeout=200.0, interval=0.2)
        asked.unlink()

    def boot(self):
        slot = self.slots.boot()
        self._mount()
        return slot


def test_a_rollout_brings_an_image_to_a_meter_and_its_abort_the_one_before(tmp_path):
    place = f'mount -t tmpfs none /run && ln -s {tmp_path}/slots.sock /run/tresma-slots.sock && exec "$@"'
    machine, now = Machine(tmp_path), datetime.now(UTC)
    with Plant() as plant:
        dso = Dso(plant.catalog.state / "trust", now)
        _, data, payload = image_of(tmp_path / "images")
        dso.at(now).add_image(data, payload)
        dso.confirm(now)
        plant.root = tmp_path / "given.json"
        plant.root.write_bytes(dso.root)

        def image():
            return plant.reported("m-1").get("image") or {}

        def rollout(name=""):
            return plant.catalog.operator("GET", f"/v1/rollouts/{name}").json()["summary"]

        with helper(tmp_path, dso.root):
            agent = plant.add("m-1", prefix=("unshare", "-m", "sh", "-c", place, "sh"), algorithms=[PHASORS])
            wait_until(lambda: image().get("version") == "1.0.0", "the first image", timeout=100.0, interval=0.2)
            plant.configure("m-1", image={"name": NAME, "probation": 3.0}, poll={"interval": 2.0, "lease": 10.0})
            request = {"algorithm": NAME, "version": "1.1.0", "to": {"devices": ["m-1"]}, "deadline": 400.0}
            stages = [{"percent": 100, "soak": 1}]
            answer = plant.catalog.operator("POST", "/v1/rollouts", json={**request, "stages": stages})
            name = answer.json()["summary"]["rollout"]

            machine.wait_for_restart()
            agent.kill()
            assert machine.boot() == "B"
            agent.start()
            wait_until(lambda: rollout(name)["state"] == "finished", "the end", timeout=200.0, interval=0.5)
            assert (image()["version"], image()["before"], image()["slot"]) == ("1.1.0", "1.0.0", "B")
            assert machine.slots.record.default == "B"

            orders = f"/v1/rollouts/{name}/orders"
            plant.catalog.operator("POST", orders, json={"order": "abort"}, headers={"If-Match": "*"})
            machine.wait_for_restart()
            agent.kill()
            assert machine.boot() == "A"
            agent.start()
            wait_until(lambda: rollout(name)["counts"]["back"] == 1, "the way back", timeout=200.0, interval=0.5)
            assert (image()["version"], machine.slots.record.default) == ("1.0.0", "A")
