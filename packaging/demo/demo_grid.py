"""
The demo's low-voltage grid: eight customers, two concentrators, one LV estimator, and the truth to hold them against.

Three agents without a board run `concentrator_state` and `lv_state`, each on the part of the network that the catalog
cuts for it. The customers' meters are simulated here, not agents: each two seconds the loads change, tresma's own power
flow says what voltages follow, and each meter tells |V|, P and Q with errors of 1 %, 1 % and 2 % (one standard
deviation). One meter falls silent for a while; what depends on it is told less surely at once. What the agents estimate
comes back from the broker and is compared with the state that was simulated.
"""

import math
import random
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from algorithms.api.errors import WireError
from algorithms.api.grid_records import GridState
from algorithms.api.network_reader import parse
from algorithms.api.readings import ChannelReading, PowerReading
from algorithms.api.records import AngleReference, MeasurementFrame
from algorithms.api.wire import NANOSECONDS, Header, decode, encode
from algorithms.grid.admittance import nodal_admittance
from algorithms.grid.flows import flows
from algorithms.grid.powerflow import prepare
from device_catalog.contract import topics

NETWORK = "demo-grid"
AREAS = {"lv": "lv", "feeder-1": "concentrator", "feeder-2": "concentrator"}
"""Each area with its level."""
DEVICES = {area: f"grid-{area}" for area in AREAS}
"""The agent of each area."""

INTERVAL = 2.0
"""Of the estimators [s]; a grid in the field takes a minute."""
SILENT = range(6, 9)
"""Intervals, of each ten, in which one meter tells nothing."""
KEPT = 30
"""Intervals whose truth is remembered."""
PHASES = "ABC"
OUTSIDE = 0.05
"""Share of voltages that lie beyond two standard uncertainties where these are right [1]."""
SURELY = 1e-6
"""A share that chance makes this rarely is a fault, not chance [1]."""


def document() -> dict[str, Any]:
    """Give the network: a 10/0.4 kV transformer, two feeders, four customers at each."""
    nodes: list[dict[str, Any]] = [{"id": "mv", "phases": "ABC", "base_voltage": 10e3}]
    nodes += [{"id": name, "phases": "ABC", "base_voltage": 400.0} for name in ("bus", "joint-1", "joint-2")]
    branches = [_line("cable-1", "bus", "joint-1", 140.0), _line("cable-2", "bus", "joint-2", 230.0)]
    loads: list[dict[str, Any]] = []
    terminals: list[dict[str, Any]] = []
    inside: dict[str, list[str]] = {"1": [], "2": []}
    for feeder, houses in inside.items():
        for number, phases in enumerate(("A", "B", "C", "ABC"), start=1):
            name = f"house-{feeder}{number}"
            houses.append(name)
            nodes.append({"id": name, "phases": "ABC", "base_voltage": 400.0, "customers": 1})
            branches.append(_line(f"service-{feeder}{number}", f"joint-{feeder}", name, 25.0))
            power = {phase: 2500.0 if len(phases) == 1 else 1500.0 for phase in phases}
            reactive = {phase: 0.25 * value for phase, value in power.items()}
            unsure = {phase: 0.5 * value for phase, value in power.items()}
            loads.append({"id": f"load-{feeder}{number}", "node": name, "p": power, "q": reactive, "u_p": unsure,
                          "u_q": {phase: 0.5 * value for phase, value in reactive.items()}})  # fmt: skip
            terminals.append({"id": f"at-{name}", "node": name, "phases": phases,
                              "equipment": f"load-{feeder}{number}", "device": f"meter-{name}"})  # fmt: skip
    areas = [{"id": "lv", "level": "lv", "nodes": ["bus", "joint-1", "joint-2"], "head": "mv", "device": DEVICES["lv"]}]
    areas += [
        {"id": f"feeder-{feeder}", "level": "concentrator", "nodes": names, "head": f"joint-{feeder}",
         "device": DEVICES[f"feeder-{feeder}"]}
        for feeder, names in inside.items()
    ]  # fmt: skip
    return {
        "schema": "network/1", "network": NETWORK, "revision": 1, "name": "The demo's grid", "nodes": nodes,
        "sources": [{"id": "grid", "node": "mv", "voltage": 5774.0, "r1": 0.1, "x1": 1.0, "r0": 0.2, "x0": 2.0}],
        "line_types": [
            {"id": "cable", "phases": "ABC", "sequence": {"r1": 3.2e-4, "x1": 8e-5, "r0": 1.2e-3, "x0": 3e-4}}
        ],
        "branches": branches, "loads": loads, "terminals": terminals, "areas": areas,
        "transformers": [
            {"id": "transformer", "from_node": "mv", "to_node": "bus", "vector_group": "Dyn11", "rated_power": 160e3,
             "rated_voltage": [10e3, 410.0], "r": 8.0, "x": 25.0, "to_grounding": {"kind": "solid"}}
        ],
    }  # fmt: skip


def algorithm_of(area: str) -> dict[str, Any]:
    """Give the assignment of an area's agent."""
    settings: dict[str, Any] = {"interval": INTERVAL, "tolerance": 0.5, "deadline": 0.5}
    if AREAS[area] == "lv":
        settings["deadline"] = 1.0
    else:  # all meters read at once what holds for the whole interval
        settings |= {"power_fluctuation": 0.0, "voltage_fluctuation": 0.0}
    return {"algorithm": f"{AREAS[area]}_state", "settings": settings}


def concerns(topic: str) -> bool:
    """Tell whether a message is of this grid, and none of the demo's three meters."""
    parts = topic.split("/")
    return parts[2] == "states" or (len(parts) > 3 and parts[3].startswith(("grid-", "meter-house-")))


@dataclass
class Score:
    """
    How an area's estimates compare with the truth.

    Attributes
    ----------
    states, voltages, within : int
        States, voltages compared, and those whose truth lay within two standard uncertainties.
    line : str
        The newest state in words.
    """

    states: int = 0
    voltages: int = 0
    within: int = 0
    line: str = ""

    @property
    def share(self) -> float:
        """Share of voltages within two standard uncertainties [1]."""
        return self.within / self.voltages if self.voltages else 0.0

    @property
    def is_too_sure(self) -> bool:
        """
        Whether the truth lay outside more often than chance explains.

        The voltages of one state share what errs, most of all the source's meter, so that they count as one draw.
        """
        missed = math.floor((1.0 - self.share) * self.states)
        chances = (
            math.comb(self.states, k) * OUTSIDE**k * (1.0 - OUTSIDE) ** (self.states - k)
            for k in range(missed, self.states + 1)
        )
        return sum(chances) < SURELY


@dataclass
class Truth:
    """One simulated state: voltages of nodes, and what areas draw [V, W]."""

    voltages: Any
    drawn: dict[str, float] = field(default_factory=dict)


class Grid:
    """
    The customers, and what became of their readings.

    Parameters
    ----------
    port : int
        Of the data broker.
    """

    def __init__(self, port: int) -> None:
        self._model = parse(document())
        self._flow = prepare(self._model)
        self._admittance = nodal_admittance(self._model)
        self._power = self._flow.power.copy()
        self._pick = random.Random(7)
        self._noise = np.random.default_rng(7)
        self._port, self._number, self._count = port, 0, 0
        self._truths: dict[int, Truth] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="customers", daemon=True)
        self.scores = {area: Score() for area in AREAS}

    def start(self) -> None:
        """Let the customers' meters tell."""
        self._thread.start()

    def stop(self) -> None:
        """Let them be silent."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(5.0)

    @property
    def is_estimated(self) -> bool:
        """Whether every area has told a state."""
        return all(score.states for score in self.scores.values())

    def arrived(self, topic: str, payload: bytes) -> None:
        """Take a message from the broker; states are compared with the truth."""
        if "/states/" not in topic:
            return
        try:
            _, state = decode(payload)
        except WireError:
            return
        truth = self._truths.get(int(state.time_ns / NANOSECONDS // INTERVAL)) if isinstance(state, GridState) else None
        if isinstance(state, GridState) and state.area in self.scores and truth is not None:
            self._compare(state, truth)

    def lines(self) -> list[str]:
        """Say how each area's newest state compares with the truth."""
        return [f"{area:<9} {score.line}" for area, score in self.scores.items() if score.line]

    def summary(self) -> list[str]:
        """Say how all states compared."""
        return [
            f"  {area:<9} {score.states} states, {score.share:.0%} of {score.voltages} voltages within 2 u of the truth"
            for area, score in self.scores.items()
        ]

    def faults(self) -> list[str]:
        """Say what did not go as it should."""
        found = [f"{area}: no state was estimated" for area, score in self.scores.items() if not score.states]
        return found + [
            f"{area}: only {100 * score.share:.0f} % of its voltages were as sure as told"
            for area, score in self.scores.items()
            if score.states and score.is_too_sure
        ]

    # ---- the customers

    def _run(self) -> None:
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="demo-customers", protocol=mqtt.MQTTv5)
        client.connect("127.0.0.1", self._port)
        client.loop_start()
        while not self._ended.wait(INTERVAL - time.time() % INTERVAL + 0.1):
            for topic, payload in self._tell(time.time_ns()):
                client.publish(topic, payload, qos=1)
        client.disconnect()
        client.loop_stop()

    def _tell(self, time_ns: int) -> list[tuple[str, bytes]]:
        """Let the loads change and the meters read; keep the truth."""
        self._count += 1
        wander = np.array([[self._pick.uniform(0.85, 1.18) for _ in PHASES] for _ in self._power])
        self._power = np.clip(self._power.real * wander, 0.0, 6e3) * (1 + 0.25j)
        self._power[~self._model.loads.connected] = 0.0
        voltages = self._flow.solve(self._power).voltages
        drawn = {area: self._drawn(area, voltages) for area in AREAS}
        self._truths[int(time_ns / NANOSECONDS // INTERVAL)] = Truth(voltages, drawn)
        while len(self._truths) > KEPT:
            del self._truths[min(self._truths)]
        silent = "at-house-11" if self._count % 10 in SILENT else ""
        frames = [
            self._read(terminal, voltages, time_ns) for terminal in self._model.terminals if terminal.id != silent
        ]
        return [
            (topics.frames("default", f"meter-{frame.terminal[3:]}"), encode(frame, self._header(frame)))
            for frame in frames
        ]

    def _drawn(self, area: str, voltages: Any) -> float:
        """Give the active power that an area draws at its head [W]."""
        flow = flows(self._model, self._admittance, voltages)
        if area == "lv":
            head = self._model.transformers.from_node[0]
            return float((voltages[head] * flow.transformers[0, 0].conj()).sum().real)
        service = area.replace("feeder-", "service-")
        rows = [row for name, row in self._model.branches.rows.items() if name.startswith(service)]
        heads = self._model.branches.from_node[rows]
        return float((voltages[heads] * flow.branches[rows, 0].conj()).sum().real)

    def _header(self, frame: MeasurementFrame) -> Header:
        self._number += 1
        return Header(f"meter-{frame.terminal[3:]}", 1, 1, self._number, frame.time_ns)

    def _read(self, terminal: Any, voltages: Any, time_ns: int) -> MeasurementFrame:
        row = self._model.loads.rows[terminal.equipment]
        node = self._model.nodes.rows[terminal.node]
        voltage, power = {}, {}
        for phase in terminal.phases:
            column = PHASES.index(phase)
            v = abs(voltages[node, column])
            p, q = self._power[row, column].real, self._power[row, column].imag
            told = np.array([v, p, q]) * (1.0 + np.array([0.01, 0.01, 0.02]) * self._noise.standard_normal(3))
            voltage[phase] = ChannelReading(told[0], None, 0.01 * v, None, told[0], 0.01 * v)
            size = math.hypot(told[1], told[2])
            power[phase] = PowerReading(told[1], 0.01 * p, told[2], 0.02 * q, size, 0.01 * size, None, None)
        return MeasurementFrame(
            terminal=terminal.id, time_ns=time_ns, time_uncertainty=1e-3, window=0.2, reference=AngleReference.OWN,
            frequency=None, rocof=None, voltage=voltage, current={}, power=power,
        )  # fmt: skip

    # ---- what was estimated

    def _compare(self, state: GridState, truth: Truth) -> None:
        score = self.scores[state.area]
        score.states += 1
        off, sigma = [0.0], [0.0]
        for node in state.nodes:
            true = truth.voltages[self._model.nodes.rows[node.node]]
            for key, phasor in node.voltage.items():
                ends = [PHASES.index(letter) for letter in key]
                exact = abs(true[ends[0]] - (true[ends[1]] if len(ends) == 2 else 0.0))
                score.voltages += 1
                score.within += abs(phasor.magnitude - exact) <= 2.0 * phasor.u_magnitude
                off.append(100.0 * abs(phasor.magnitude - exact) / exact)
                sigma.append(100.0 * phasor.u_magnitude / exact)
        power = _power(state, truth.drawn[state.area])
        missing = f", silent: {', '.join(state.missing)}" if state.missing else ""
        score.line = (
            f"|V| of {len(state.nodes)} nodes off by {max(off):.2f} % at most (u {max(sigma):.2f} %), {power}, "
            f"{100 * score.share:.0f} % within 2 u{missing}"
        )


def _power(state: GridState, true: float) -> str:
    if state.equivalent is None:
        return "P not observable"
    found = state.equivalent.p
    phases = [found[phase] for phase in PHASES if phase in found]
    total = found.get("ABC")
    value = total.value if total else sum(one.value for one in phases)
    u = total.uncertainty if total else math.sqrt(sum(one.uncertainty**2 for one in phases))
    return f"P {value / 1e3:.2f} ± {u / 1e3:.2f} kW (true {true / 1e3:.2f})"


def _line(name: str, one: str, other: str, length: float) -> dict[str, Any]:
    return {"id": name, "from_node": one, "to_node": other, "length": length, "line_type": "cable"}
