"""
The demo's medium-voltage feeder, which has a fault: the network, the waveforms of the fault, and who runs what.

Three stations hang on a breaker of a 22 kV substation; a switch that is normally open ties the last one to the feeder
of another substation. A fault between two phases strikes the first cable. A meter at the feeder's head and one at the
second station play what they would have sampled. The waveforms are made here: phasors before and in the fault by the
nodal method, and the direct current that makes them join, with noise. Agents at three switches, simulated, and a
reconfigurator do the rest.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np

from algorithms.api.samples import Channel, Phase, Quantity, SampleBlock
from algorithms.api.wire import time_text
from hardware.block_recording import record_blocks
from hardware.comtrade import write_recording

NETWORK = "demo-feeder"
HEAD, METER, CONTROL = "feeder-head", "feeder-meter", "feeder-control"
SWITCHES = {"breaker": "closed", "station-1-out": "closed", "tie": "open"}
"""With their normal state; each has an agent of its own."""
DEVICES = (HEAD, METER, CONTROL, *(f"feeder-{name}" for name in SWITCHES))
BRANCH, DISTANCE, RESISTANCE, PHASES = "cable-1", 420.0, 1.0, "BC"
"""The fault: where [m from the substation], through how much [ohm], between which phases."""
BEFORE, LASTING, PERIOD = 5.0, 0.15, 15.0
"""From the beginning of a recording to the fault, of the fault, of the recording [s]."""

RATE, FREQUENCY, BLOCK = 3200.0, 50.0, 320
VOLTAGE = 22e3
STATIONS = {"station-1": (520e3, 60), "station-2": (380e3, 80), "station-3": (450e3, 50)}
"""Active power [W] and customers."""
LENGTHS = (900.0, 700.0, 1100.0)
"""Of the cables from the substation on [m]."""
SEQUENCE = {"r1": 1.6e-4, "x1": 1.2e-4, "r0": 7.2e-4, "x0": 4.1e-4, "b1": 7.5e-8, "b0": 7.5e-8}
SOURCE = {"voltage": VOLTAGE / 3**0.5, "r1": 0.08, "x1": 2.0, "r0": 126.0, "x0": 2.0, "grounding": "resistance"}
NOISE = {Quantity.VOLTAGE: 2.0, Quantity.CURRENT: 0.3}
"""Standard deviation of a sample's noise [V, A]."""
PAIRS = ("AB", "BC", "CA")


def document() -> dict[str, Any]:
    """Give the network."""
    names = ["bus", "outgoing", "station-1a", *STATIONS, "bus-2", "station-4"]
    customers = {name: count for name, (_, count) in STATIONS.items()} | {"station-4": 70}
    powers = {name: power for name, (power, _) in STATIONS.items()} | {"station-4": 400e3}
    ends = [("outgoing", "station-1a"), ("station-1", "station-2"), ("station-2", "station-3"), ("bus-2", "station-4")]
    return {
        "schema": "network/1", "network": NETWORK, "revision": 1, "name": "The demo's feeder",
        "nodes": [
            {"id": name, "phases": "ABC", "base_voltage": VOLTAGE}
            | ({"customers": customers[name]} if name in customers else {})
            for name in names
        ],
        "sources": [{"id": f"grid-{bus}", "node": bus, **SOURCE} for bus in ("bus", "bus-2")],
        "line_types": [{"id": "cable", "phases": "ABC", "sequence": SEQUENCE, "impedance_uncertainty": 0.01,
                        "rating": 300.0}],
        "branches": [
            {"id": f"cable-{number}", "from_node": one, "to_node": other, "length": length, "line_type": "cable"}
            for number, ((one, other), length) in enumerate(zip(ends, (*LENGTHS, 800.0), strict=True), start=1)
        ],
        "loads": [_load(name, power) for name, power in powers.items()],
        "switches": [
            _switch("breaker", "bus", "outgoing", kind="breaker", breaks=16e3),
            _switch("station-1-out", "station-1a", "station-1"),
            _switch("tie", "station-3", "station-4", normal="open"),
        ],
        "protections": [{"id": "relay", "switch": "breaker", "phase_current": 400.0, "ground_current": 20.0,
                         "delay": 0.1, "dead_times": []}],
        "terminals": [
            {"id": "head", "node": "bus", "phases": "ABC", "equipment": "breaker", "device": HEAD},
            {"id": "at-station-2", "node": "station-2", "phases": "ABC", "device": METER},
        ],
    }  # fmt: skip


def devices(folder: Path, begin_ns: int) -> dict[str, dict[str, Any]]:
    """
    Write the recordings of the meters; return what is special in the configuration of each of them.

    Parameters
    ----------
    folder : pathlib.Path
    begin_ns : int
        When the recordings begin [ns UTC].
    """
    algorithms: dict[str, list[dict[str, Any]]] = {
        HEAD: [{"algorithm": "fault_detection"}, {"algorithm": "fault_location"}],
        METER: [
            {"algorithm": "phasors", "settings": {"window": 4, "report_rate": 10}},
            {"algorithm": "fault_voltages"},
        ],
    }
    found = {}
    for device, path in write_recordings(folder).items():
        options = {"path": str(path), "repeat": True, "start_time": time_text(begin_ns)}
        found[device] = {
            "acquisition": {"driver": "recorded", "sample_rate": RATE, "nominal_voltage": VOLTAGE / 3**0.5,
                            "nominal_frequency": FREQUENCY, "options": options},
            "algorithms": algorithms[device],
            "terminal": "head" if device == HEAD else "at-station-2",
        } | ({"topology": {"network": NETWORK}} if device == HEAD else {})  # fmt: skip
    return found


def switching() -> dict[str, dict[str, Any]]:
    """Return what is special in the configuration of the agents at the switches, and of the reconfigurator."""
    topology = {"network": NETWORK}
    found: dict[str, dict[str, Any]] = {}
    for name, state in SWITCHES.items():
        settings = {"switch": name, "network": NETWORK, "state": state, "operating_time": 0.1}
        neighbours: list[dict[str, Any]] = [{"kind": "command", "areas": [name]}]
        if name == "breaker":
            settings |= {"trips_on": ["fault"], "trip_terminal": "head", "trip_delay": 0.1}
            neighbours.append({"kind": "event", "devices": [HEAD]})
        algorithm = {"algorithm": "switch", "settings": settings, "neighbours": neighbours}
        found[f"feeder-{name}"] = {"algorithms": [algorithm], "topology": topology}
    hears = [
        {"kind": "event", "areas": [NETWORK]},
        {"kind": "result", "areas": list(SWITCHES)},
        {"kind": "frame", "devices": [METER]},
    ]
    settings = {"closed_loop": True, "response": 3.0, "aftercare": 0.0}  # its recordings follow no switch
    algorithm = {"algorithm": "reconfiguration", "settings": settings, "neighbours": hears}
    return {**found, CONTROL: {"algorithms": [algorithm], "topology": topology}}


def write_recordings(folder: Path) -> dict[str, Path]:
    """Make the waveforms and write them as COMTRADE; return the files by device."""
    head, meter = waveforms()
    found = {}
    for device, values in ((HEAD, head), (METER, meter)):
        quantities = [Quantity.VOLTAGE] * 3 + [Quantity.CURRENT] * (len(values) - 3)
        channels = tuple(
            Channel(f"{'u' if quantity is Quantity.VOLTAGE else 'i'}{letter.lower()}", quantity, Phase(letter))
            for quantity, letter in zip(quantities, "ABCABC", strict=False)
        )
        blocks = [
            SampleBlock(
                values[:, at : at + BLOCK], channels, RATE, at, 1_700_000_000_000_000_000 + round(at / RATE * 1e9)
            )
            for at in range(0, values.shape[1], BLOCK)
        ]
        found[device] = folder / f"{device}.cfg"
        recording = record_blocks(blocks, station="demo", device="computed", nominal_frequency=FREQUENCY)
        write_recording(found[device], recording)
    return found


def waveforms() -> tuple[Any, Any]:
    """
    Compute one recording.

    Returns
    -------
    head : numpy.ndarray
        Voltages A, B, C before the breaker and currents into the feeder, shape (6, n) [V, A].
    meter : numpy.ndarray
        Voltages at the second station, shape (3, n) [V].
    """
    time = np.arange(round(PERIOD * RATE)) / RATE
    start, omega = BEFORE, 2 * math.pi * FREQUENCY
    turning = math.sqrt(2) * np.exp(1j * omega * time)
    load, fault = (np.concatenate(_phasors(faulted=faulted)) for faulted in (False, True))
    healthy, faulty = ((one[:, None] * turning).real for one in (load, fault))
    values = np.where(time < start, healthy, faulty)
    at = round(start * RATE)
    offset = healthy[3:6, at] - faulty[3:6, at]
    values[3:6] += np.where(time >= start, offset[:, None] * np.exp(-(time - start) / 0.03), 0.0)
    dead = np.zeros_like(values)
    dead[:3] = (_open_circuit()[:, None] * turning).real
    opening = round((start + LASTING) * RATE)
    parted = np.empty(3, dtype=int)
    for phase in range(3):  # a breaker's arc goes out where the current is nought
        signs = np.signbit(values[3 + phase, opening : opening + round(RATE / FREQUENCY)])
        parted[phase] = opening + 1 + int(np.argmax(signs[1:] != signs[:-1]))
    gone = np.arange(len(time)) >= parted[:, None]
    values = np.where(np.tile(gone, (3, 1)), dead, values)
    noise = np.random.default_rng(5).standard_normal(values.shape)
    values += noise * np.repeat([NOISE[Quantity.VOLTAGE], NOISE[Quantity.CURRENT], NOISE[Quantity.VOLTAGE]], 3)[:, None]
    return values[:6], values[6:]


def _open_circuit() -> Any:
    return VOLTAGE / 3**0.5 * np.exp(-2j * math.pi / 3 * np.arange(3))


def _phasors(*, faulted: bool) -> tuple[Any, Any, Any]:
    """Give voltages and currents of the head and voltages of the second station, each of three phases [V, A]."""
    pieces = [("bus", "fault", DISTANCE), ("fault", "station-1", LENGTHS[0] - DISTANCE)]
    pieces += [("station-1", "station-2", LENGTHS[1]), ("station-2", "station-3", LENGTHS[2])]
    rows = {name: slice(3 * at, 3 * at + 3) for at, name in enumerate(("bus", "fault", *STATIONS))}
    total = np.zeros((3 * len(rows), 3 * len(rows)), dtype=complex)
    series = _phases(SEQUENCE["r1"] + 1j * SEQUENCE["x1"], SEQUENCE["r0"] + 1j * SEQUENCE["x0"])
    shunt = 1j * _phases(SEQUENCE["b1"], SEQUENCE["b0"])
    for one, other, length in pieces:
        y = np.linalg.inv(series * length)
        for end in (one, other):
            total[rows[end], rows[end]] += y + shunt * length / 2
        total[rows[one], rows[other]] -= y
        total[rows[other], rows[one]] -= y
    for name, (power, _) in STATIONS.items():
        total[rows[name], rows[name]] += power * (1 - 0.3j) / VOLTAGE**2 * (np.eye(3) - 1 / 3)
    if faulted:
        across = np.array([(letter == PHASES[0]) - float(letter == PHASES[1]) for letter in "ABC"])
        total[rows["fault"], rows["fault"]] += np.outer(across, across) / RESISTANCE
    source = _phases(SOURCE["r1"] + 1j * SOURCE["x1"], SOURCE["r0"] + 1j * SOURCE["x0"])  # type: ignore[operator]
    behind = np.linalg.inv(source)
    total[rows["bus"], rows["bus"]] += behind
    injected = np.zeros(len(total), dtype=complex)
    injected[rows["bus"]] = behind @ _open_circuit()
    voltages = np.linalg.solve(total, injected)
    bus = voltages[rows["bus"]]
    return bus, behind @ (_open_circuit() - bus), voltages[rows["station-2"]]


def _phases(positive: complex, zero: complex) -> Any:
    return (zero - positive) / 3 * np.ones((3, 3)) + positive * np.eye(3)


def _load(name: str, power: float) -> dict[str, Any]:
    p, q, unsure = (dict.fromkeys(PAIRS, share * power / 3) for share in (1.0, 0.3, 0.05))
    return {"id": f"load-{name}", "node": name, "connection": "delta", "p": p, "q": q, "u_p": unsure, "u_q": unsure,
            "p_exponent": 2.0, "q_exponent": 2.0}  # fmt: skip


def _switch(
    name: str, one: str, other: str, *, kind: str = "load-break-switch", normal: str = "closed", breaks: float = 630.0
) -> dict[str, Any]:
    return {"id": name, "from_node": one, "to_node": other, "kind": kind, "normal": normal, "operation": "remote",
            "rating": 630.0, "breaks": breaks, "closes": 16e3, "operating_time": 0.1}  # fmt: skip
