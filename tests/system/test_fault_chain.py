"""Real agents with recordings of one fault: the head finds it, asks the meters by the broker, and says where it is."""

import time

import numpy as np
import pytest

from algorithms.api.wire import time_text
from hardware.block_recording import record_blocks
from hardware.comtrade import write_recording
from tests.support.agent import Plant
from tests.support.fault_grids import urban
from tests.support.fault_trials import SIXTEEN, Blocks, Fault, recorded
from tests.support.listener import Listener
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

RATE = 3200.0
FAULT = Fault(3, 140.0, "LL", (0, 2), 2.0, before=2.0, duration=0.15, angle=0.5)
METERS = ("u2", "u4", "u6")


@pytest.fixture
def plant():
    with Plant() as one:
        yield one


def written(folder, values, channels):
    """Write samples as a COMTRADE recording; return its path."""
    path = folder / f"{len(values)}-{abs(hash(values.tobytes())) % 10**6}.cfg"
    write_recording(path, record_blocks(Blocks(channels, RATE, 320).cut(values), station="test", device="emt",
                                        nominal_frequency=50.0))  # fmt: skip
    return str(path)


def acquisition(path, start):
    options = {"path": path, "start_time": start, "repeat": True}
    return {"driver": "recorded", "options": options, "sample_rate": RATE, "nominal_voltage": 12.7e3,
            "block_duration": 0.02}  # fmt: skip


def test_agents_locate_a_fault_together(plant, tmp_path):
    feeder = urban()
    stored = plant.catalog.operator("PUT", "/v1/networks/urban", json=feeder.document(), headers={"If-Match": "*"})
    assert stored.status_code == 200, stored.text
    recording, generator = recorded(feeder, FAULT, sample_rate=RATE, after=1.5), np.random.default_rng(1)
    channels = SIXTEEN.channels(RATE)
    start = time_text(time.time_ns() + 1_000_000_000)
    with (
        Listener(plant.grid.port, "v1/default/faults/urban") as faults,
        Listener(plant.data.port, "v1/default/meters/m-head/events") as events,
    ):
        plant.add(
            "m-head",
            acquisition=acquisition(written(tmp_path, SIXTEEN.sampled(recording.head, generator), channels), start),
            algorithms=[{"algorithm": "fault_detection"}, {"algorithm": "fault_location"}],
            terminal="head",
            topology={"network": "urban"},
        )
        plain = tuple(type(one)(one.name, one.quantity, one.phase, 0.0, one.resolution) for one in channels[:3])
        for node, waves in zip(feeder.meters, recording.meters, strict=True):
            plant.add(
                f"m-{node}",
                acquisition=acquisition(written(tmp_path, SIXTEEN.sampled(waves, generator), plain), start),
                algorithms=[{"algorithm": "fault_voltages"}],
                terminal=f"at-{node}",
            )

        def complete():
            for heard in list(faults.heard):
                evidence = heard.fields["evidence"]
                if heard.fields["kind"] == "fault-located" and len(evidence["meters"]) == len(METERS):
                    return evidence
            return None

        evidence = wait_until(complete, "a fault located with all meters", timeout=60)
        # Detection does without a network, and works with it as soon as it is there.
        wait_until(
            lambda: any(heard.fields["evidence"].get("network") == "urban" for heard in list(events.heard)),
            "a fault detected with thresholds of the network",
            timeout=20,
        )
    assert evidence["branch"] == "u3-u4"
    assert evidence["distance"] == pytest.approx(140.0, abs=5.0)
    assert evidence["fault_resistance"] == pytest.approx(2.0, abs=0.1)
    assert evidence["trusted"] is True
