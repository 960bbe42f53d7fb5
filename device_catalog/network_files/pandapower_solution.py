"""
What pandapower finds for a net, and the sources that hold in the document what it holds.

Where it stands: a part of `pandapower_import`, which solves the net before it is taken over.

Rule: pandapower holds the positive-sequence voltage at the bus of an external grid; a document states the voltage
behind an impedance. The voltage behind it is therefore that at which, with the powers of the file, the bus is held.
"""

import cmath
import math
import warnings
from collections.abc import Mapping
from typing import Any

from algorithms.api.network_equipment import GroundingKind, Source
from device_catalog.network_files.frames import Row, has, master_id, name_of, number, rows, text
from device_catalog.network_files.imported import Ids, Remarks

SHORT_CIRCUIT_CURRENT = 10e3
"""Of an external grid whose file tells none [A]."""

VOLTAGE_FACTOR = 1.1
"""By which pandapower's three-phase power flow multiplies the impedance of an external grid (IEC 60909-0)."""

SMALL_BASE = 1e-3
"""Base power for a solution by phases [MVA]."""

OF_OLD_NETS = ("tap_dependency_table is missing in net",)
"""How warnings begin that pandapower gives its developers about nets that were saved long ago."""

_turn = cmath.rect(1.0, 2 * math.pi / 3)

Phasors = tuple[complex, complex, complex]


def solve(net: Any, remarks: Remarks) -> str:
    """
    Have pandapower solve a net, by phases where it has the data, and balanced elsewhere.

    Returns
    -------
    str
        ``3ph``, ``balanced``, or nothing where there is no solution.
    """
    import pandapower  # noqa: PLC0415 - optional

    uneven = any(len(net[table]) for table in ("asymmetric_load", "asymmetric_sgen") if table in net)
    try:
        with warnings.catch_warnings():
            for message in OF_OLD_NETS:
                warnings.filterwarnings("ignore", message=message)
            if uneven and _has_zero_sequence(net):
                _by_phases(net)
                return "3ph"
            pandapower.runpp(net, numba=False, tolerance_mva=1e-11, calculate_voltage_angles=True, max_iteration=50)
    except (pandapower.LoadflowNotConverged, KeyError, ValueError, NotImplementedError, UserWarning) as error:
        why = f"pandapower finds no solution ({error}): sources stand at their set-point"
        remarks.assumed("voltages behind sources", why)
        return ""
    if uneven:
        why = (
            "the zero sequence of lines, transformers or sources is not in the file, so pandapower was solved balanced"
        )
        remarks.assumed("voltages behind sources", why)
        return ""
    return "balanced"


def _by_phases(net: Any) -> None:
    """Solve by phases; the iteration stops at a fixed share of the base power, which is therefore made small."""
    import pandapower  # noqa: PLC0415 - optional

    base, net.sn_mva = net.sn_mva, SMALL_BASE
    try:
        pandapower.runpp_3ph(net, numba=False, tolerance_mva=1e-11)
    finally:
        net.sn_mva = base


def _has_zero_sequence(net: Any) -> bool:
    lines = all(has(row, "r0_ohm_per_km", "x0_ohm_per_km") for row in rows(net, "line"))
    grids = all(has(row, "s_sc_max_mva", "rx_max", "r0x0_max", "x0x_max") for row in rows(net, "ext_grid"))
    return lines and grids and all(text(row, "vector_group") for row in rows(net, "trafo"))


def voltages(net: Any, nodes: Mapping[Any, str], method: str) -> dict[str, dict[str, complex]]:
    """Give the voltages of nodes to earth [V]."""
    if not method:
        return {}
    found = {bus["index"]: _voltage(net, bus, method) for bus in rows(net, "bus") if bus["index"] in nodes}
    return {
        nodes[bus]: dict(zip("ABC", phasors, strict=True))
        for bus, phasors in found.items()
        if all(cmath.isfinite(value) for value in phasors)
    }


def _voltage(net: Any, bus: Row, method: str) -> Phasors:
    base, index = number(bus, "vn_kv") * 1e3 / math.sqrt(3), bus["index"]
    if method == "balanced":
        result = net.res_bus
        first = cmath.rect(base * result.vm_pu.at[index], math.radians(result.va_degree.at[index]))
        return first, first * _turn**2, first * _turn
    result = net.res_bus_3ph
    a, b, c = (
        cmath.rect(base * result[f"vm_{phase}_pu"].at[index], math.radians(result[f"va_{phase}_degree"].at[index]))
        for phase in "abc"
    )
    return a, b, c


def sources(net: Any, nodes: Mapping[Any, str], ids: Ids, remarks: Remarks, method: str) -> list[Source]:
    """Give the external grids and the generators that are slack."""
    buses = {bus["index"]: bus for bus in rows(net, "bus")}
    found = []
    slack = [row for row in rows(net, "gen") if row.get("slack")]
    for table, row in (*(("ext_grid", row) for row in rows(net, "ext_grid")), *(("gen", row) for row in slack)):
        if row.get("in_service", True) and row["bus"] in nodes:
            found.append(_source(net, table, row, buses[row["bus"]], (nodes, ids, remarks, method)))
    return found


def _source(net: Any, table: str, row: Row, bus: Row, context: tuple[Any, Ids, Remarks, str]) -> Source:
    nodes, ids, remarks, method = context
    base = number(bus, "vn_kv") * 1e3
    z1 = _impedance(row, base, remarks)
    zero = complex(z1.real, z1.imag)
    if has(row, "x0x_max", "r0x0_max"):
        x0 = number(row, "x0x_max") * z1.imag
        zero = complex(number(row, "r0x0_max") * x0, x0)
    elif table == "ext_grid":
        why = "not in the file: as the positive sequence"
        remarks.assumed("zero sequence of sources", why, [name_of(row, table)])
    held = cmath.rect(base / math.sqrt(3) * number(row, "vm_pu", 1.0), math.radians(number(row, "va_degree")))
    behind = held + (z1 * _current(net, table, row, bus, method) if method else 0j)
    name = ids.take(master_id(row), "source", "source")
    return Source(
        id=name,
        name=text(row, "name") if text(row, "name") != name else "",
        node=nodes[row["bus"]],
        voltage=abs(behind),
        angle=cmath.phase(behind),
        r1=z1.real,
        x1=z1.imag,
        r0=zero.real,
        x0=zero.imag,
        grounding=GroundingKind.SOLID,
    )


def _impedance(row: Row, base: float, remarks: Remarks) -> complex:
    power, ratio = number(row, "s_sc_max_mva") * 1e6, number(row, "rx_max", 0.1)
    if power <= 0:
        power = math.sqrt(3) * base * SHORT_CIRCUIT_CURRENT
        why = f"not in the file: {SHORT_CIRCUIT_CURRENT / 1e3:g} kA, R/X {ratio:g}"
        remarks.assumed("short-circuit current of sources", why, [name_of(row, "ext_grid")])
    size = VOLTAGE_FACTOR * base**2 / power
    return complex(ratio, 1.0) * size / math.sqrt(1 + ratio**2)


def _current(net: Any, table: str, row: Row, bus: Row, method: str) -> complex:
    """Give the positive-sequence current that a grid feeds [A]."""
    at = row["index"]
    phasors = _voltage(net, bus, method)
    if method == "balanced":
        result = net[f"res_{table}"]
        power = complex(result.p_mw.at[at], result.q_mvar.at[at]) * 1e6 / 3
        return (power / phasors[0]).conjugate() if cmath.isfinite(power) else 0j
    result = net[f"res_{table}_3ph"]
    powers = [complex(result[f"p_{phase}_mw"].at[at], result[f"q_{phase}_mvar"].at[at]) * 1e6 for phase in "abc"]
    currents = [(power / voltage).conjugate() for power, voltage in zip(powers, phasors, strict=True)]
    return (currents[0] + _turn * currents[1] + _turn**2 * currents[2]) / 3
