"""
From the last meter's reading to the state of the MV grid, over three levels and two brokers; and whether it is right.

First part: how fast. 9 stations, 108 concentrators, 648 customers' meters and 10 MV meters (`state_grid`). Three whole
agents, one of each level on one path (a concentrator, its LV grid, the MV grid), run against a catalog and two
Mosquitto brokers on loopback: processes, confinement, inbox, outbox and spool as in the field. The other 107
concentrators and 8 LV grids are the same plug-ins in one further process behind one MQTT client
(`tests/support/state_rest.py`), since 118 agents do not fit on one machine. All frames are published by this process,
QoS 1. An interval lasts 4 s instead of 60, so that the load is fifteen times the usual one.

- *last meter*: all have told by the middle of the interval but the meters of the agents' concentrator, which then do.
  The time from just before the last one's frame is published to the MV state being heard.
- *one missing*: as the first, but another meter of that concentrator, a different one each time, tells nothing: it is
  waited for `deadline` (0.5 s here, 2 s unless set otherwise) after it was due.

Second part: how right. A chain in one process (`state_chain`), truth by power-grid-model, errors drawn anew each
minute; the share of voltages whose truth lies within 2 standard uncertainties, by level, and their largest errors.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from algorithms.api.grid_records import GridState
from algorithms.api.network_reader import parse
from algorithms.api.wire import Header, decode, encode
from device_catalog.contract import topics
from tests.benchmarks.report import Report, arguments
from tests.support.agent import Plant
from tests.support.listener import Heard, Listener
from tests.support.metering import find_truth
from tests.support.state_chain import MINUTE, START_NS, Chain, Meters, document_of
from tests.support.state_grid import three_level_document
from tests.support.waiting import wait_until

INTERVAL = 4.0
DEADLINES = {"concentrator": 0.5, "lv": 2.0, "mv": 2.5}
SETTINGS = {
    level: {"interval": INTERVAL, "deadline": deadline, "tolerance": 0.4} for level, deadline in DEADLINES.items()
}
PATH = {"c-s1-1": "concentrator", "lv-1": "lv", "mv": "mv"}
"""Areas with an agent of their own."""
WAYS = ("last meter", "one missing")
LEARNING = 1
"""Intervals at the start that are not counted: when sources tell has to be known."""


class Crowd:
    """
    All meters of a network, behind one client.

    Parameters
    ----------
    document : dict
    port : int
        Of the data broker.
    """

    def __init__(self, document: dict[str, Any], port: int) -> None:
        model = parse(document)
        self._meters, self._truth = Meters(model), find_truth(model)
        self._device = {terminal.id: terminal.device for terminal in model.terminals}
        self.own = [terminal.id for terminal in model.terminals if terminal.id.startswith("at-s1-1-")]
        self.all = [terminal.id for terminal in model.terminals]
        self._numbers = 0
        self._rng = np.random.default_rng(1)
        self._client = Client(CallbackAPIVersion.VERSION2, client_id="crowd", protocol=MQTTv5)
        self._client.max_inflight_messages_set(1000)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self._frames = self._meters.read(self._truth, 0, self._rng, window=0.08)

    def read(self) -> None:
        """Draw the next readings."""
        self._frames = self._meters.read(self._truth, time.time_ns(), self._rng, window=INTERVAL)

    def tell(self, terminals: Iterable[str]) -> int:
        """Let meters tell; return when the last frame was handed over [ns, monotonic]."""
        messages = []
        for name in terminals:
            self._numbers += 1
            time_ns = time.time_ns()
            frame = msgspec.structs.replace(self._frames[name], time_ns=time_ns)
            messages.append((topics.frames("default", self._device[name]), self._written(name, frame, time_ns)))
        at = time.monotonic_ns()
        for topic, payload in messages:
            at = time.monotonic_ns()
            self._client.publish(topic, payload, qos=1)
        return at

    def spread(self, terminals: Sequence[str], seconds: float) -> None:
        """Let meters tell one after the other within some time."""
        start, parts = time.monotonic(), 40
        for part in range(parts):
            time.sleep(max(0.0, start + part * seconds / parts - time.monotonic()))
            self.tell(terminals[part::parts])

    def _written(self, name: str, frame: Any, time_ns: int) -> bytes:
        return encode(frame, Header(self._device[name], 1, 1, self._numbers, time_ns))

    def close(self) -> None:
        """Leave."""
        self._client.disconnect()
        self._client.loop_stop()


def speed(intervals: int, report: Report) -> None:
    """Run three agents and the rest of the network, and time the ways."""
    document = three_level_document(stations=9, concentrators=12, customers=6)
    for area in document["areas"]:
        area["device"] = f"agent-{area['id']}"
    with tempfile.TemporaryDirectory(prefix="se-chain-") as folder, Plant() as plant:
        path = Path(folder) / "network.json"
        path.write_text(json.dumps(document))
        answer = plant.catalog.operator(
            "PUT", f"/v1/networks/{document['network']}", json=document, headers={"If-Match": "*"}
        )
        assert answer.status_code in (200, 201), answer.text
        for area, level in PATH.items():
            plant.add(
                f"agent-{area}",
                acquisition=None,
                algorithms=[{"algorithm": f"{level}_state", "settings": SETTINGS[level]}],
                topology={"network": document["network"], "area": area},
            )
        order = {"document": str(path), "port": plant.data.port, "without": list(PATH), "settings": SETTINGS}
        script = Path(__file__).resolve().parents[1] / "support" / "state_rest.py"
        alone = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
        command = [sys.executable, str(script), json.dumps(order)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=alone) as rest:
            try:
                assert rest.stdout is not None
                rest.stdout.readline()
                with Listener(plant.data.port, topics.states("default", "mv", "mv")) as listener:
                    _drive(Crowd(document, plant.data.port), listener, intervals, report)
            finally:
                rest.terminate()
        report.conditions["MV state"] = f"{max(len(item.payload) for item in listener.heard)} bytes"


def _drive(crowd: Crowd, listener: Listener, intervals: int, report: Report) -> None:
    last, others = crowd.own[-1], crowd.own[:-1]
    early = [name for name in crowd.all if name != last]
    until = time.monotonic() + 60

    def after_interval(offset: float) -> None:
        now = time.time()
        time.sleep((-now + offset) % INTERVAL)

    while not listener.heard or state_of(listener.heard[-1]).missing:  # until everybody is there
        assert time.monotonic() < until, "no whole MV state within 60 s"
        crowd.read()
        after_interval(0.2)
        crowd.spread(crowd.all, 1.2)
        time.sleep(0.5)
    found: dict[str, list[float]] = {}
    lost: dict[str, int] = {}
    for way in WAYS:
        ages: list[float] = []
        for number in range(0 if found else -LEARNING, intervals):
            crowd.read()
            after_interval(0.2)
            heard = len(listener.heard)
            silent = others[number % len(others)] if way == "one missing" else ""
            crowd.spread([name for name in early if name not in crowd.own], 1.2)
            after_interval(2.8)
            at = crowd.tell(name for name in (*others, last) if name != silent)
            item = _next(listener, heard, INTERVAL - 0.3)
            if number < 0:
                continue
            if item is None or item.at_ns < at or state_of(item).missing:
                lost[way] = lost.get(way, 0) + 1
            else:
                ages.append((item.at_ns - at) / 1e9)
        found[way] = sorted(ages)
    crowd.close()
    for way, ages in found.items():
        judged = "<= 0.5" if way == "last meter" else ""
        if ages:
            report.figure(f"{way}: p50", ages[(len(ages) - 1) // 2], "s", judged)
            report.figure(f"{way}: p99", ages[min(int(0.99 * len(ages)), len(ages) - 1)], "s")
        report.figure(f"{way}: intervals without a whole state in time", lost.get(way, 0), "1", "<= 0")


def state_of(item: Heard) -> GridState:
    """Read what was heard."""
    state = decode(item.payload)[1]
    assert isinstance(state, GridState)
    return state


def _next(listener: Listener, heard: int, timeout: float) -> Heard | None:
    try:
        wait_until(lambda: len(listener.heard) > heard, "a state", timeout=timeout, interval=0.005)
    except AssertionError:
        return None
    return listener.heard[heard]


def accuracy(draws: int, report: Report) -> None:
    """Draw errors, estimate all levels, and compare with the truth."""
    document = document_of(three_level_document(stations=2, concentrators=2, customers=4))
    model = parse(document)
    truth, meters, chain = find_truth(model), Meters(model), Chain(document)
    rng = np.random.default_rng(5)
    rows, voltages = model.nodes.rows, truth.voltages[:, :3]
    found: dict[str, list[tuple[float, float]]] = {}
    suspected: dict[str, int] = {}
    for draw in range(draws):
        start = START_NS + draw * MINUTE
        chain.tick(start + MINUTE // 2)
        for state in chain.feed(meters.read(truth, start + MINUTE // 2, rng).values()).values():
            suspected[state.level] = suspected.get(state.level, 0) + bool(state.suspects)
            for node in state.nodes:
                true = voltages[rows[node.node]]
                for key, phasor in node.voltage.items():
                    at = ["ABC".index(letter) for letter in key]
                    exact = abs(true[at[0]] - (true[at[1]] if len(at) == 2 else 0.0))
                    off = (phasor.magnitude - exact) / phasor.u_magnitude, (phasor.magnitude - exact) / exact
                    found.setdefault(state.level, []).append(off)
    for level, pairs in found.items():
        off, relative = np.abs(np.array(pairs)).T
        share = 100.0 * float(np.mean(off < 2.0))
        report.figure(f"{level}: voltages within 2 u, {draws} draws", share, "%", ">= 94")
        report.figure(f"{level}: and no more than normal", share, "%", "<= 97")
        report.figure(f"{level}: largest voltage error", 100.0 * float(relative.max()), "%")
        report.figure(f"{level}: RMS voltage error", 100.0 * float(np.sqrt(np.mean(relative**2))), "%")
        areas = sum(area.level == level for area in chain.areas.values())
        report.figure(f"{level}: good states with a suspect", 100.0 * suspected[level] / (areas * draws), "%")


def main() -> None:
    """Measure and tell."""
    options = arguments("three levels of state estimation: time and accuracy").parse_args()
    intervals, draws = (2, 40) if options.quick else (30, 3000)
    conditions = {"interval": f"{INTERVAL:g} s", "deadlines": str(DEADLINES), "intervals": intervals}
    report = Report("Three levels of state estimation, 108 concentrators, QoS 1, local brokers", conditions)
    speed(intervals, report)
    accuracy(draws, report)
    report.finish(as_json=options.json)


if __name__ == "__main__":
    main()
