"""
A fault on one of two feeders, as agents along it live through it: the network, the waveforms, and who runs what.

The network is that of `feeder_pair`, its cables and loads as `emt` simulates them; what agents believe of both is a
little wrong, as data bases are. One recording holds a whole occurrence: load, the fault, the relay's trip, a reclosure
onto the fault, the final trip, a dead line. The meters play it again and again at the same time, so that faults come at
instants known beforehand.
"""

import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from algorithms.api.samples import Channel
from algorithms.api.wire import time_text
from hardware.block_recording import record_blocks
from hardware.comtrade import write_recording
from tests.support.agent import Plant
from tests.support.emt import Simulator, Stage, opening
from tests.support.fault_grids import CABLE_B, CABLE_Z, Feeder, Neutral, perturbed
from tests.support.fault_trials import Blocks, Converter, Fault
from tests.support.feeder_pair import SUBSTATIONS, feeder_pair_document
from tests.support.networks import Document, element

NETWORK = "pair"
RATE = 3200.0
"""Of all boards [Hz]."""
POWER = 200e3
"""Of each secondary substation [W]."""
SECTION = 220.0
"""Length of a cable between two [m]."""
BOARD = Converter(16, 31e3, 20e3, 1.5)
"""Of all meters; its currents reach beyond those of any fault here, with their offset."""
SWITCHES = {"breaker-p": "closed", "p4-near": "closed", "p4-far": "closed", "tie": "open"}
"""Operated from afar, with their normal state."""
METERS = ("p2", "p5")
"""Substations of the feeder with a voltage meter."""
HEAD, CONTROL = "m-head", "control-1"


@dataclass(frozen=True)
class FlisrCase:
    """
    What happens.

    Attributes
    ----------
    fault : Fault
        Section 3 lies between the third and the fourth substation. `before` is the time from the beginning of a
        round to the fault [s].
    pause : float
        From the relay's trip to the reclosure in the waveforms [s].
    period : float
        Of a round [s].
    operating_time : float
        Of each switch [s].
    """

    fault: Fault = field(default_factory=lambda: Fault(3, 140.0, "LL", (0, 2), 2.0, before=3.0, duration=0.15))
    pause: float = 0.6
    period: float = 9.0
    operating_time: float = 0.1
    seed: int = 1

    def feeder(self) -> Feeder:
        """Give the faulted feeder as the simulator knows it."""
        names = ["bus", *(f"p{number}" for number in range(1, SUBSTATIONS + 1))]
        sections = [(one, other, "cable", SECTION) for one, other in itertools.pairwise(names)]
        loads = dict.fromkeys(names[1:], (POWER, POWER / 3))
        return Feeder(NETWORK, sections, loads, METERS, Neutral("resistance", 42.0), (0.05, 0.9))

    def document(self, *, lines: float = 0.02, loads: float = 0.2) -> Document:
        """Write the network as agents are told: lines and loads wrong by these standard deviations [1]."""
        made = feeder_pair_document(power=POWER)
        (cable,) = made["line_types"]
        rating = cable.pop("rating")
        del cable["sequence"]
        cable |= {"r": CABLE_Z.real.tolist(), "x": CABLE_Z.imag.tolist(), "b": CABLE_B.tolist()}
        cable |= {"impedance_uncertainty": 0.002, "shunt_uncertainty": 0.05}
        for load in made["loads"]:
            load |= {"p_exponent": 2.0, "q_exponent": 2.0}
        for switch in made["switches"]:
            switch["operation"] = "remote" if switch["id"] in SWITCHES else "local"
            switch["operating_time"] = self.operating_time
        made["terminals"] = [
            {"id": "head", "node": "p0", "phases": "ABC", "equipment": "breaker-p", "device": HEAD},
            *({"id": f"at-{node}", "node": node, "phases": "ABC", "device": f"m-{node}"} for node in METERS),
        ]
        changed = perturbed(made, np.random.default_rng(self.seed), lines=lines, loads=loads)
        for branch in changed["branches"]:
            branch["rating"] = rating
        element(changed, "relay-p")["dead_times"] = [self.pause / 2]
        return changed

    def waveforms(self) -> tuple[Any, Any]:
        """
        Simulate one round.

        Returns
        -------
        head : numpy.ndarray
            Voltages and currents A, B, C before the breaker, shape (6, n) [V, A].
        meters : numpy.ndarray
            Voltages, shape (n_meters, 3, n) [V].
        """
        fault, feeder = self.fault, self.feeder()
        grid = feeder.grid(section=fault.section, distance=fault.distance, angle=fault.angle)
        simulator = Simulator(grid, 0, feeder.meters, sample_rate=RATE)
        faulted = Stage(fault.duration, {"fault": fault.conductance()})
        first, state = simulator.run([Stage(fault.before), faulted])
        pieces = [first]
        for pause in (self.pause, self.period):
            piece, state, stage = opening(simulator, faulted, 0, state)
            pieces.append(piece)
            piece, state = simulator.run([replace(stage, duration=pause)], state)
            pieces.append(piece)
            if pause == self.pause:
                piece, state = simulator.run([faulted], state)
                pieces.append(piece)
        together = np.hstack(pieces)[:, : round(self.period * RATE)]
        return together[:6], together[6:].reshape(len(feeder.meters), 3, -1)

    def recordings(self, folder: Path) -> dict[str, str]:
        """Write what boards of 16 bit make of a round as COMTRADE; return the files by device."""
        head, meters = self.waveforms()
        generator = np.random.default_rng(self.seed)
        channels = BOARD.channels(RATE)
        plain = tuple(replace(channel, skew=0.0) for channel in channels[:3])
        gains = 1.0 + 0.005 * generator.standard_normal((len(METERS), 3, 1))  # transformers of class 0.5
        found = {HEAD: written(folder, HEAD, BOARD.sampled(head, generator), channels)}
        for node, waves, gain in zip(METERS, meters, gains, strict=True):
            found[f"m-{node}"] = written(folder, f"m-{node}", BOARD.sampled(waves, generator, gain), plain)
        return found


def written(folder: Path, name: str, values: Any, channels: Sequence[Channel]) -> str:
    """Write samples as a COMTRADE recording; return its path."""
    path = folder / f"{name}.cfg"
    blocks = Blocks(tuple(channels), RATE, 320).cut(values)
    write_recording(path, record_blocks(blocks, station=name, device="emt", nominal_frequency=50.0))
    return str(path)


def add_agents(plant: Plant, case: FlisrCase, files: Mapping[str, str], **more: Any) -> int:
    """
    Store the network and start all agents; the first round begins when they may be there.

    Parameters
    ----------
    plant : Plant
    case : FlisrCase
    files : mapping
        Recordings by device.
    more : keyword arguments
        Further parts of the meters' configuration.

    Returns
    -------
    int
        Beginning of a round; others follow and went before by whole periods [ns UTC].
    """
    stored = plant.catalog.operator("PUT", f"/v1/networks/{NETWORK}", json=case.document(), headers={"If-Match": "*"})
    assert stored.status_code == 200, stored.text
    begin_ns = time.time_ns() + 1_000_000_000
    for device, path in files.items():
        head = device == HEAD
        algorithms = [{"algorithm": "fault_detection"}, {"algorithm": "fault_location"}] if head else [
            {"algorithm": "phasors", "settings": {"window": 4, "report_rate": 10}},
            {"algorithm": "fault_voltages"},
        ]  # fmt: skip
        options = {"path": path, "start_time": time_text(begin_ns), "repeat": True}
        place: dict[str, Any] = {"topology": {"network": NETWORK}} if head else {}
        plant.add(
            device,
            acquisition={"driver": "recorded", "options": options, "sample_rate": RATE, "nominal_voltage": 12.7e3,
                         "block_duration": 0.02},
            algorithms=algorithms,
            terminal="head" if head else f"at-{device.removeprefix('m-')}",
            **place,
            **more,
        )  # fmt: skip
    for name in SWITCHES:
        add_switch(plant, case, name)
    plant.add(
        CONTROL,
        acquisition=None,
        algorithms=[
            {
                "algorithm": "reconfiguration",
                "settings": {"closed_loop": True, "response": 3.0, "aftercare": 0.0},  # recordings follow no switch
                "neighbours": [
                    {"kind": "event", "areas": [NETWORK]},
                    {"kind": "result", "areas": list(SWITCHES)},
                    {"kind": "frame", "devices": [f"m-{node}" for node in METERS]},
                ],
            }
        ],
        topology={"network": NETWORK},
    )
    return begin_ns


def add_switch(plant: Plant, case: FlisrCase, name: str) -> None:
    """Start the agent at a switch; the breaker's relay picks up at what the head detects."""
    settings = {
        "switch": name,
        "network": NETWORK,
        "state": SWITCHES[name],
        "operating_time": case.operating_time,
        "report_interval": 5.0,
    }
    neighbours = [{"kind": "command", "areas": [name]}]
    if name == "breaker-p":
        settings |= {"trips_on": ["fault"], "trip_terminal": "head", "trip_delay": 0.1, "reclaim_time": 2.0}
        settings["dead_times"] = [case.pause / 2]
        neighbours.append({"kind": "event", "devices": [HEAD]})
    plant.add(
        f"rtu-{name}",
        acquisition=None,
        algorithms=[{"algorithm": "switch", "settings": settings, "neighbours": neighbours}],
        topology={"network": NETWORK},
    )
