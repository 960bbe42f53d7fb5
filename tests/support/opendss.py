"""The same network for OpenDSS, an engine of its own: commands from the model the kernels work on; its voltages."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from algorithms.api.network import NetworkModel
from algorithms.api.network_equipment import Connection

_shifts = {"Dyn1": "lag", "Dyn11": "lead", "YNyn0": "lag", "Ii0": "lag", "Dd0": "lag", "YNd1": "lag", "YNd11": "lead"}


def solved_by_opendss(model: NetworkModel) -> Any:
    """Give voltages to earth of A, B, C, N of all nodes, 0 where there is none, shape (n, 4) [V]."""
    from dss import DSS

    DSS.Text.Commands("\n".join(opendss_commands(model)))
    if not DSS.ActiveCircuit.Solution.Converged:
        raise ValueError("OpenDSS did not converge")
    voltages = np.zeros((len(model.nodes), 4), dtype=complex)
    for row, node in enumerate(model.nodes.ids):
        if DSS.ActiveCircuit.SetActiveBus(node) < 0:
            continue
        bus = DSS.ActiveCircuit.ActiveBus
        found = np.array(bus.Voltages)
        for place, conductor in enumerate(bus.Nodes):
            if conductor <= 4:
                voltages[row, conductor - 1] = complex(found[2 * place], found[2 * place + 1])
    return voltages


def opendss_commands(model: NetworkModel) -> Iterator[str]:
    """Write a network whose neutrals are grounded at nodes or star points; switches must be closed branches already."""
    earthed = _earthed(model)

    def bus(node: int, conductors: str) -> str:
        return ".".join(
            [model.nodes.ids[node], *(("0" if node in earthed else "4") if c == "4" else c for c in conductors)]
        )

    yield "clear"
    yield f"set defaultbasefrequency={model.frequency}"
    for row, source in enumerate(model.sources.ids):
        node = int(model.sources.node[row])
        voltage = model.sources.voltage[row]
        z1, z0 = model.sources.z1[row], model.sources.z0[row]
        back = bus(node, "444") if model.nodes.conductors[node, 3] else f"{model.nodes.ids[node]}.0.0.0"
        kind = "circuit.net" if row == 0 else f"vsource.{source}"
        yield (
            f"new {kind} bus1={bus(node, '123')} bus2={back} basekv={abs(voltage) * math.sqrt(3) / 1e3:.17g} pu=1 "
            f"angle={math.degrees(np.angle(voltage)):.17g} r1={z1.real} x1={z1.imag} r0={z0.real} x0={z0.imag}"
        )
    for row, branch in enumerate(model.branches.ids):
        at = np.flatnonzero(model.branches.conductors[row])
        conductors = "".join(str(conductor + 1) for conductor in at)
        z, y = model.branches.z[row][np.ix_(at, at)], model.branches.y[row][np.ix_(at, at)]
        yield (
            f"new line.{branch} phases={len(at)} length=1 units=none "
            f"bus1={bus(int(model.branches.from_node[row]), conductors)} "
            f"bus2={bus(int(model.branches.to_node[row]), conductors)} rmatrix={_matrix(z.real)} "
            f"xmatrix={_matrix(z.imag)} cmatrix={_matrix(y.imag / (2 * math.pi * model.frequency) * 1e9)}"
        )
    for row, transformer in enumerate(model.transformers.ids):
        yield _transformer(model, row, transformer, bus)
    for number, (row, z) in enumerate(_through_impedance(model)):
        node = model.nodes.ids[row]
        yield f"new reactor.ground{number} phases=1 bus1={node}.4 bus2={node}.0 r={z.real} x={z.imag}"
    yield from _loads(model, bus)
    yield "set tolerance=1e-11"
    yield "set maxiterations=500"
    yield "set mode=snapshot"
    yield "set controlmode=off"
    yield "calcvoltagebases"
    yield "solve"


def _earthed(model: NetworkModel) -> set[int]:
    """Give nodes whose neutral is at earth potential without impedance."""
    earthed = set(np.flatnonzero(model.nodes.grounded & (model.nodes.grounding_impedance == 0)).tolist())
    table = model.transformers
    for end, nodes in enumerate((table.from_node, table.to_node)):
        solid = table.grounded[:, end] & (table.grounding_impedance[:, end] == 0)
        earthed |= {int(node) for node in nodes[solid]}
    return earthed


def _through_impedance(model: NetworkModel) -> Iterator[tuple[int, complex]]:
    """Give nodes whose neutral is grounded through an impedance, there or at a star point."""
    nodes, table = model.nodes, model.transformers
    for row in np.flatnonzero(nodes.grounded & (nodes.grounding_impedance != 0)):
        yield int(row), nodes.grounding_impedance[row]
    for end, at in enumerate((table.from_node, table.to_node)):
        for row in np.flatnonzero(table.grounded[:, end] & (table.grounding_impedance[:, end] != 0)):
            if not nodes.conductors[at[row], 3]:
                raise ValueError("a star point grounded through an impedance where there is no neutral")
            yield int(at[row]), table.grounding_impedance[row, end]


def _matrix(values: Any) -> str:
    return "(" + " | ".join(" ".join(repr(float(value)) for value in row) for row in values) + ")"


def _transformer(model: NetworkModel, row: int, name: str, bus: Any) -> str:
    table, nodes = model.transformers, (model.transformers.from_node[row], model.transformers.to_node[row])
    group, rated, power = table.vector_group[row], table.rated_voltage[row], table.rated_power[row]
    at = "".join(str(conductor + 1) for conductor in np.flatnonzero(table.conductors[row]))
    buses, kinds = [], []
    for node, letter in zip(nodes, ("D" if group[0] == "D" else "Y", "D" if "d" in group else "Y"), strict=True):
        delta = letter == "D"
        neutral = "" if delta or len(at) == 2 else "4" if model.nodes.conductors[node, 3] else "0"
        buses.append(bus(int(node), at + neutral) if neutral != "0" else f"{bus(int(node), at)}.0")
        kinds.append("delta" if delta else "wye")
    base = rated[0] ** 2 / power
    tap, taps = table.tap[row], [1.0, 1.0]
    if tap is not None:
        taps[tap.end] += (tap.position - tap.neutral) * tap.step
    phases = 3 if len(at) == 3 else 1
    resistance = 50 * table.z[row].real / base
    return (
        f"new transformer.{name} phases={phases} windings=2 leadlag={_shifts[group]} buses=[{' '.join(buses)}] "
        f"conns=[{' '.join(kinds)}] kvs=[{rated[0] / 1e3:.17g} {rated[1] / 1e3:.17g}] "
        f"kvas=[{power / 1e3:.17g} {power / 1e3:.17g}] taps=[{taps[0]:.17g} {taps[1]:.17g}] "
        f"xhl={100 * table.z[row].imag / base:.17g} %rs=[{resistance:.17g} {resistance:.17g}] "
        "%noloadloss=0 %imag=0 ppm_antifloat=0 mintap=0.5 maxtap=1.5"
    )


def _loads(model: NetworkModel, bus: Any) -> Iterator[str]:
    for kind, table in (("load", model.loads), ("generator", model.generators)):
        for row, name in enumerate(table.ids):
            node = int(table.node[row])
            for column in np.flatnonzero(table.connected[row]):
                delta = table.connection[row] == Connection.DELTA
                base = model.nodes.base_voltage[node] / (1.0 if delta else math.sqrt(3))
                second = str((column + 1) % 3 + 1) if delta else "4" if model.nodes.conductors[node, 3] else ""
                at = bus(node, f"{column + 1}{second}") + ("" if second else ".0")
                a, b = table.exponents[row]
                models = {(0.0, 0.0): "1", (1.0, 1.0): "5", (2.0, 2.0): "2"}
                known = models.get((a, b), f"4 cvrwatts={a} cvrvars={b}")
                yield (
                    f"new load.{kind}-{name}-{column} phases=1 bus1={at} kv={base / 1e3:.17g} "
                    f"kw={table.p[row, column] / 1e3:.17g} kvar={table.q[row, column] / 1e3:.17g} "
                    f"vminpu=0.01 vmaxpu=5 vlowpu=0.001 model={known}"
                )
