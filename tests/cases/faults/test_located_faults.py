"""The location's model against OpenDSS, which solves the same faulted feeders by its own equations. See README.md."""

import copy

import numpy as np
import pytest

from algorithms.api.network_reader import parse
from algorithms.grid.faults.fault_impedance import FaultKind, Hypothesis
from algorithms.grid.faults.fault_location import Readings, locate
from algorithms.grid.faults.fault_scenarios import HeadMeasurement
from algorithms.grid.faults.feeder_ahead import feeder_ahead
from tests.support.fault_grids import rural, urban
from tests.support.opendss import opendss_commands


def short_circuit(feeder, document, section, distance, commands):
    """Solve a feeder in OpenDSS, with a fault or without: head voltages and currents, magnitudes at the meters."""
    from dss import DSS

    document = copy.deepcopy(document)
    document["terminals"] = []
    one, other, _, length = feeder.sections[section]
    branch = next(item for item in document["branches"] if item["from_node"] == one and item["to_node"] == other)
    document["nodes"].append({"id": "fault", "phases": "ABC", "base_voltage": 22e3})
    rest = {**branch, "id": "rest", "from_node": "fault", "length": length - distance}
    branch["to_node"], branch["length"] = "fault", distance
    document["branches"].append(rest)
    model = parse(document)
    lines = list(opendss_commands(model))
    at = lines.index("set tolerance=1e-11")
    DSS.Text.Commands("\n".join([*lines[:at], *commands, *lines[at:]]))
    assert DSS.ActiveCircuit.Solution.Converged

    def voltages(node):
        DSS.ActiveCircuit.SetActiveBus(node)
        found = np.array(DSS.ActiveCircuit.ActiveBus.Voltages)
        return found[::2] + 1j * found[1::2]

    DSS.ActiveCircuit.SetActiveElement(f"line.{model.branches.ids[0]}")
    currents = np.array(DSS.ActiveCircuit.ActiveCktElement.Currents)
    currents = (currents[::2] + 1j * currents[1::2])[:3]
    return np.concatenate([voltages("bus"), currents]), np.array([np.abs(voltages(node)) for node in feeder.meters])


def located_short_circuit(feeder, document, kind, phases, commands, *, section=None, believed=None):
    """Locate a fault that OpenDSS solved, at two fifths of a section, the last but one unless stated."""
    section = len(feeder.sections) - 2 if section is None else section
    distance = 0.4 * feeder.sections[section][3]
    before, usual = short_circuit(feeder, document, section, distance, [])
    during, faulted = short_circuit(feeder, document, section, distance, commands)
    network = feeder_ahead(parse(believed or document), "head")
    small = np.full(6, 1e-2)
    measured = HeadMeasurement(before, during, small, small, np.full(6, 1e-6), np.full(6, 1e-6))
    positions = np.array([meter.position for meter in network.meters])
    names = tuple(meter.device for meter in network.meters)
    readings = Readings(names, positions, usual, faulted, np.full(usual.shape, 1e-5))
    location = locate(network, measured, readings, [Hypothesis(kind, phases)])
    assert location.candidates[0].section == "-".join(feeder.sections[section][:2])
    return location, location.candidates[0].distance - distance


@pytest.mark.parametrize("feeder", [urban(), rural()], ids=["urban", "rural"])
@pytest.mark.parametrize(
    ("kind", "phases", "resistance", "commands"),
    [
        (FaultKind.LG, (1,), 20.0, ["new fault.f phases=1 bus1=fault.2 r=20"]),
        (FaultKind.LL, (0, 2), 5.0, ["new fault.f phases=1 bus1=fault.1 bus2=fault.3 r=5"]),
        (FaultKind.LLL, (0, 1, 2), 1.0, ["new fault.f phases=3 bus1=fault.1.2.3 bus2=fault.4.4.4 r=1"]),
    ],
)
def test_a_short_circuit_of_opendss_is_located_within_a_metre(feeder, kind, phases, resistance, commands):
    location, error = located_short_circuit(feeder, feeder.document(), kind, phases, commands)
    assert abs(error) < 1.0
    assert location.candidates[0].resistance == pytest.approx(resistance, rel=1e-3)
    assert location.trusted
    assert abs(location.load_factor - 1.0) < 1e-3


@pytest.mark.parametrize("exponents", [(0.0, 0.0), (1.0, 1.0), (1.3, 2.5)])
@pytest.mark.parametrize(
    ("kind", "phases", "commands"),
    [
        (FaultKind.LG, (1,), ["new fault.f phases=1 bus1=fault.2 r=20"]),
        (FaultKind.LL, (0, 2), ["new fault.f phases=1 bus1=fault.1 bus2=fault.3 r=50"]),
    ],
)
def test_loads_that_follow_the_voltage_otherwise_than_impedances_are_followed(exponents, kind, phases, commands):
    feeder = rural()
    document = feeder.document()
    for load in document["loads"]:
        load["p_exponent"], load["q_exponent"] = exponents
    location, error = located_short_circuit(feeder, document, kind, phases, commands)
    assert abs(error) < 2.0
    assert location.trusted
    assert abs(location.load_factor - 1.0) < 2e-3


def behind_transformers(document):
    """Put every load behind a Dyn11 transformer of its own, unequal by phase, as impedances."""
    for load in document["loads"]:
        node, p = load["node"], sum(load["p"].values())
        document["nodes"].append({"id": f"lv-{node}", "phases": "ABC", "base_voltage": 400.0})
        document.setdefault("transformers", []).append(
            {"id": f"t-{node}", "from_node": node, "to_node": f"lv-{node}", "vector_group": "Dyn11",
             "rated_power": 630e3, "rated_voltage": [22e3, 400.0], "r": 8.0, "x": 40.0,
             "to_grounding": {"kind": "solid"}}
        )  # fmt: skip
        shares = {"A": 0.45, "B": 0.3, "C": 0.25}
        load |= {
            "node": f"lv-{node}", "connection": "wye", "p": {phase: share * p for phase, share in shares.items()},
            "q": {phase: 0.3 * share * p for phase, share in shares.items()}, "u_p": {}, "u_q": {},
        }  # fmt: skip
    return document


@pytest.mark.parametrize(
    ("kind", "phases", "commands"),
    [
        (FaultKind.LG, (1,), ["new fault.f phases=1 bus1=fault.2 r=20"]),
        (FaultKind.LL, (0, 2), ["new fault.f phases=1 bus1=fault.1 bus2=fault.3 r=5"]),
    ],
)
def test_loads_behind_transformers_are_seen_as_their_windings_show_them(kind, phases, commands):
    feeder = urban()
    location, error = located_short_circuit(feeder, behind_transformers(feeder.document()), kind, phases, commands)
    assert abs(error) < 1.0
    assert location.trusted
    assert abs(location.load_factor - 1.0) < 1e-3


@pytest.mark.parametrize("exponents", [(0.0, 0.0), (1.0, 1.0)])
@pytest.mark.parametrize(
    ("kind", "phases", "commands"),
    [
        (FaultKind.LG, (1,), ["new fault.f phases=1 bus1=fault.2 r=5"]),
        (FaultKind.LL, (0, 2), ["new fault.f phases=1 bus1=fault.1 bus2=fault.3 r=50"]),
    ],
)
def test_generators_ahead_are_part_of_the_walk_and_of_the_uncertainty(exponents, kind, phases, commands):
    feeder = rural()
    document = feeder.document()
    document["generators"] = [
        {"id": "pv", "node": "r6", "connection": "delta", "p": dict.fromkeys(("AB", "BC", "CA"), -2e5),
         "q": dict.fromkeys(("AB", "BC", "CA"), 0.0), "p_exponent": exponents[0], "q_exponent": exponents[1]}
    ]  # fmt: skip
    location, error = located_short_circuit(feeder, document, kind, phases, commands)
    best = location.candidates[0]
    assert abs(error) < min(2 * best.uncertainty, 5.0)
    assert abs(location.load_factor - 1.0) < 2e-3
    assert not location.trusted, "what generators feed is too much beside a fault of a few hundred ampere"


def misstated(document, resistance, reactance):
    """Write what a data base says that has all lines wrong alike, and states 5 %."""
    document = copy.deepcopy(document)
    for kind in document["line_types"]:
        kind["r"] = (resistance * np.array(kind["r"])).tolist()
        kind["x"] = (reactance * np.array(kind["x"])).tolist()
        kind["impedance_uncertainty"] = 0.05
    return document


@pytest.mark.parametrize("section", [4, 5, 9, 18], ids=["r4-r5", "r5-r6", "r9-r10", "v1-v2"])
@pytest.mark.parametrize(
    ("kind", "phases", "commands"),
    [
        (FaultKind.LL, (0, 2), ["new fault.f phases=1 bus1=fault.1 bus2=fault.3 r=2"]),
        (FaultKind.LLL, (0, 1, 2), ["new fault.f phases=3 bus1=fault.1.2.3 bus2=fault.4.4.4 r=1"]),
    ],
    ids=["LL", "LLL"],
)
def test_lines_that_are_all_wrong_alike_are_within_the_uncertainty_told(section, kind, phases, commands):
    feeder = rural()
    document = feeder.document()
    for factors in ((1.05, 1.05), (0.95, 0.95), (1.05, 0.95), (0.95, 1.05)):
        believed = misstated(document, *factors)
        location, error = located_short_circuit(
            feeder, document, kind, phases, commands, section=section, believed=believed
        )
        assert abs(error) < 2 * location.candidates[0].uncertainty, factors
        assert location.trusted, factors
