"""Imported networks have the voltages that the program they came from finds, within 1e-6 of nominal."""

import cmath
import math

import numpy as np
import pytest

from algorithms.api.network_problems import problems
from algorithms.api.network_reader import parse
from algorithms.grid.powerflow import prepare
from device_catalog.network_files import opendss_import, pandapower_import
from device_catalog.network_files.comparison import difference
from tests.support.foreign_networks import (
    FOUR_WIRE,
    REGULATED,
    SWITCHED,
    small_pandapower_net,
    uneven_pandapower_net,
    write_master,
)

AGREED = 1e-6
"""Largest difference of a complex voltage, relative to nominal [1]."""


def solved(document):
    """Give voltages by node and conductor, relative to nominal."""
    assert problems(document) == []
    model = parse(document)
    solution = prepare(model).solve()
    assert solution.converged
    relative = solution.voltages / model.nodes.nominal_voltage[:, np.newaxis]
    return {node: dict(zip("ABCN", relative[row], strict=True)) for node, row in model.nodes.rows.items()}


def balanced_example(name, **arguments):
    from pandapower import networks

    return getattr(networks, name)(**arguments)


@pytest.mark.parametrize(
    "make",
    [
        lambda: balanced_example("create_cigre_network_mv"),
        lambda: balanced_example("create_cigre_network_mv", with_der="pv_wind"),
        lambda: balanced_example("create_cigre_network_lv"),
        lambda: balanced_example("case33bw"),
        small_pandapower_net,
    ],
    ids=["cigre-mv", "cigre-mv-der", "cigre-lv", "case33bw", "small-town"],
)
def test_a_balanced_pandapower_net_keeps_its_voltages(make):
    import pandapower

    net = make()
    imported = pandapower_import.take_over(net, "test", "test")
    pandapower.runpp(net, numba=False, tolerance_mva=1e-11, calculate_voltage_angles=True)
    ours = solved(imported.document)
    for index, bus in net.bus.iterrows():
        expected = cmath.rect(net.res_bus.vm_pu[index], math.radians(net.res_bus.va_degree[index]))
        name = bus["name"] if isinstance(bus["name"], str) else f"bus-{index}"
        node = next(one.id for one in imported.document.nodes if name in (one.name, one.id))
        for phase, turn in zip("ABC", (0, -120, 120), strict=True):
            assert abs(ours[node][phase] - expected * cmath.rect(1.0, math.radians(turn))) < AGREED


def european():
    from pandapower import networks

    return networks.ieee_european_lv_asymmetric()


@pytest.mark.parametrize("make", [uneven_pandapower_net, european], ids=["uneven", "european-lv"])
def test_a_pandapower_net_solved_by_phases_keeps_its_voltages(make):
    net = make()
    imported = pandapower_import.take_over(net, "test", "test")
    ours, result = solved(imported.document), net.res_bus_3ph  # of the importer's own call of runpp_3ph
    assert len(ours) == len(net.bus)
    for node, index in zip(imported.document.nodes, net.bus.index, strict=True):
        for phase in "ABC":
            letter = phase.lower()
            angle = math.radians(result[f"va_{letter}_degree"][index])
            expected = cmath.rect(result[f"vm_{letter}_pu"][index], angle)
            assert abs(ours[node.id][phase] - expected) < AGREED


def test_the_european_feeder_is_whole():
    imported = pandapower_import.read_european_lv()
    document = imported.document
    low = [node for node in document.nodes if node.base_voltage == 416.0]
    assert (len(low), len(document.loads), len(document.branches)) == (906, 55, 905)
    assert all(len(load.p) == 1 for load in document.loads)
    assert sum(node.customers for node in document.nodes) == 55
    assert [one.vector_group for one in document.transformers] == ["Dyn1"]
    assert "IEEE PES Test Feeder Working Group" in imported.origin
    found = difference(imported)
    assert found is not None
    assert found.compared == 3 * 907
    assert found.relative < AGREED


@pytest.mark.parametrize(
    ("name", "text"),
    [("regulated", REGULATED), ("four-wire", FOUR_WIRE), ("switched", SWITCHED)],
    ids=["regulated", "four-wire", "switched"],
)
def test_an_opendss_circuit_keeps_its_voltages(tmp_path, name, text):
    from dss import DSS

    file = write_master(tmp_path, name, text)
    imported = opendss_import.read_file(file)
    ours = solved(imported.document)
    engine = DSS.NewContext()
    engine.AllowChangeDir = False
    for command in (
        f'redirect "{file}"',
        "set controlmode=off",
        "set maxiterations=500",
        "set tolerance=1e-11",
        "solve",
    ):
        engine.Text.Command = command
    compared = 0
    nominal = {node.id: node.base_voltage / math.sqrt(3) for node in imported.document.nodes}
    for bus in engine.ActiveCircuit.ActiveBus:
        values = np.array(bus.Voltages, dtype=float).view(complex)
        for conductor, value in zip(bus.Nodes, values, strict=True):
            if bus.Name not in ours:
                continue
            phase = "ABCN"[conductor - 1]
            assert abs(ours[bus.Name][phase] - value / nominal[bus.Name]) < AGREED, (bus.Name, phase)
            compared += 1
    assert compared == {"regulated": 29, "four-wire": 19, "switched": 20}[name]
