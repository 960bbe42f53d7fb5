"""A rollout and a running meter, everything real: a broken version comes back, and what the meter counts goes on."""

import itertools

import pytest

from tests.support.agent import PHASORS, Plant
from tests.support.listener import Listener
from tests.support.versions import Repository, count_version
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow


def test_a_meter_gets_an_algorithm_a_broken_version_and_a_better_one_and_counts_on(tmp_path):
    first = count_version("1.0.0", 1)
    broken = count_version("1.1.0", 2, process="1 / (self.here < 40)")
    better = count_version("1.2.0", 3)
    with Plant() as plant, Listener(plant.data.port, "v1/default/meters/+/#") as listener:
        repository = Repository(tmp_path / "trust", plant)
        repository.release(first, broken, better)
        plant.add("m-1", prefix=repository.prefix, algorithms=[PHASORS])

        def roll(version, **fields):
            document = {
                "algorithm": "count",
                "version": version,
                "to": {"devices": ["m-1"]},
                "probation": 1.5,
                **fields,
            }
            document["stages"] = [{"percent": 100, "soak": 0}]
            answer = plant.catalog.operator("POST", "/v1/rollouts", json=document)
            assert answer.status_code == 201, answer.text
            name = answer.json()["summary"]["rollout"]

            def ended():
                detail = plant.catalog.operator("GET", f"/v1/rollouts/{name}").json()
                summary = detail["summary"]
                over = summary["state"] != "running" and not summary["counts"]["going_back"]
                return detail if over and not summary["restoring"] else None

            return wait_until(ended, f"the end of {name}", timeout=90)

        def counts():
            heard = [item.fields for item in list(listener.heard) if "/results/count" in item.topic]
            return [(one["payload"]["count"], one["payload"]["version"]) for one in heard]

        wait_until(lambda: plant.reported("m-1").get("algorithms"), "a meter that runs")
        assert roll("1.0.0", add=True)["summary"]["state"] == "finished"
        wait_until(lambda: len(counts()) > 10, "counts", timeout=30)
        failed = roll("1.1.0")
        assert failed["summary"]["state"] == "failed"
        assert "ZeroDivisionError" in failed["troubled"][0]["reason"]
        assert plant.reported("m-1")["algorithms"]["count"]["version"] == "1.0.0"
        assert roll("1.2.0")["summary"]["state"] == "finished"
        wait_until(lambda: counts()[-1][1] == "1.2.0", "counts of the better version", timeout=30)
        told = [count for count, _ in counts()]
        assert all(after == before + 1 for before, after in itertools.pairwise(told)), "nothing lost, nothing twice"
