"""
Feeders that faults are made on: their network documents for the kernels, and the same as grids for `emt`.

*Urban*: six sections of cable, 1.3 km. *Rural*: twenty sections of untransposed overhead line and cable, 14 km, with
three laterals. Both 22 kV, with meters at the head and a few nodes. The document and the grid are written from one
table; where the document is to be wrong, `perturbed` changes it and leaves the grid alone.
"""

import copy
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.support.emt import DeltaLoad, Grid, Line, Source

OMEGA = 2 * np.pi * 50.0
VOLTAGE = 22e3 / 3**0.5


def _of_sequence(zero: complex, positive: complex) -> Any:
    return (zero - positive) / 3 * np.ones((3, 3)) + positive * np.eye(3)


CABLE_Z = _of_sequence(0.72e-3 + 0.41e-3j, 0.161e-3 + 0.117e-3j)
CABLE_B = _of_sequence(75e-9, 75e-9)
THIN_Z = _of_sequence(1.05e-3 + 0.52e-3j, 0.32e-3 + 0.124e-3j)
THIN_B = _of_sequence(57e-9, 57e-9)
OVERHEAD_Z = 1e-3 * np.array(
    [
        [0.404 + 0.742j, 0.0483 + 0.388j, 0.0481 + 0.345j],
        [0.0483 + 0.388j, 0.406 + 0.740j, 0.0483 + 0.388j],
        [0.0481 + 0.345j, 0.0483 + 0.388j, 0.404 + 0.742j],
    ]
)
OVERHEAD_B = 1e-9 * np.array([[3.05, -0.62, -0.31], [-0.62, 3.16, -0.62], [-0.31, -0.62, 3.05]])
TYPES: Mapping[str, tuple[Any, Any]] = {
    "cable": (CABLE_Z, CABLE_B),
    "thin": (THIN_Z, THIN_B),
    "overhead": (OVERHEAD_Z, OVERHEAD_B),
}
"""Series impedance [ohm/m] and susceptance [S/m] at 50 Hz."""


@dataclass(frozen=True)
class Neutral:
    """How the neutral of the substation is earthed, and what other feeders there are [ohm, H, F]."""

    kind: str = "resistance"
    r: float = 42.0
    coil_l: float = 0.0
    background: float = 0.0


RESISTANCE = Neutral()
SOLID = Neutral("solid", 0.0)
ISOLATED = Neutral("isolated", 1e5, 0.0, 6e-6)
COMPENSATED = Neutral("compensated", 770.0, 1 / (3 * OMEGA**2 * 7.0e-6), 6e-6)
"""A coil tuned 5 % beside resonance with 6 uF of other feeders and the cable's own, a resistor in parallel."""


@dataclass(frozen=True)
class Feeder:
    """
    A feeder: sections as (from, to, type, length [m]), loads as (P, Q) by node [W, var], nodes with voltage meters.
    """

    name: str
    sections: Sequence[tuple[str, str, str, float]]
    loads: Mapping[str, tuple[float, float]]
    meters: Sequence[str]
    neutral: Neutral = RESISTANCE
    source: tuple[float, float] = (0.08, 2.0)
    """R and X behind the substation's bus [ohm]."""

    def document(self) -> dict[str, Any]:
        """Write the network document."""
        nodes = ["bus", *(section[1] for section in self.sections)]
        rs, xs = self.source
        zero: dict[str, Any] = {}
        if self.neutral.kind == "compensated":
            through = 1 / (1 / self.neutral.r + 1 / (1j * OMEGA * self.neutral.coil_l))
            zero = {"r0": rs + 3 * through.real, "x0": xs + 3 * through.imag}
        elif self.neutral.kind != "isolated":
            zero = {"r0": rs + 3 * self.neutral.r, "x0": xs}
        return {
            "schema": "network/1",
            "network": self.name,
            "revision": 1,
            "nodes": [{"id": node, "phases": "ABC", "base_voltage": 22e3} for node in nodes],
            "sources": [
                {"id": "grid", "node": "bus", "voltage": VOLTAGE, "r1": rs, "x1": xs, "grounding": self.neutral.kind}
                | zero
            ],
            "line_types": [
                {
                    "id": kind,
                    "phases": "ABC",
                    "r": z.real.tolist(),
                    "x": z.imag.tolist(),
                    "b": b.tolist(),
                    "impedance_uncertainty": 0.002,
                    "shunt_uncertainty": 0.05,
                }
                for kind, (z, b) in TYPES.items()
            ],
            "branches": [
                {"id": f"{one}-{other}", "from_node": one, "to_node": other, "length": length, "line_type": kind}
                for one, other, kind, length in self.sections
            ],
            "loads": [
                {
                    "id": f"load-{node}",
                    "node": node,
                    "connection": "delta",
                    "p": dict.fromkeys(("AB", "BC", "CA"), p / 3),
                    "q": dict.fromkeys(("AB", "BC", "CA"), q / 3),
                    "u_p": dict.fromkeys(("AB", "BC", "CA"), 0.02 * p / 3),
                    "u_q": dict.fromkeys(("AB", "BC", "CA"), 0.02 * p / 3),
                    "p_exponent": 2.0,
                    "q_exponent": 2.0,
                }
                for node, (p, q) in self.loads.items()
            ],
            "terminals": [
                {"id": "head", "node": "bus", "phases": "ABC", "device": "m-head",
                 "equipment": f"{self.sections[0][0]}-{self.sections[0][1]}"},
                *({"id": f"at-{node}", "node": node, "phases": "ABC", "device": f"m-{node}"} for node in self.meters),
            ],
        }  # fmt: skip

    def grid(
        self, *, section: int | None = None, distance: float = 0.0, angle: float = 0.0, frequency: float = 50.0,
        loads: Mapping[str, tuple[float, float]] | None = None, cells: int = 2, voltage: float = 1.0,
        extra: Sequence[Line] = (), more: Sequence[DeltaLoad] = (), capacitances: Mapping[str, Any] | None = None,
    ) -> Grid:  # fmt: skip
        """Write the grid; where a section is named, with the node ``fault`` at a distance from its first node [m]."""
        lines = []
        for number, (one, other, kind, length) in enumerate(self.sections):
            z, b = TYPES[kind]
            parts = [(one, other, length)]
            if number == section:
                parts = [(one, "fault", distance), ("fault", other, length - distance)]
            lines += [
                Line(start, end, part * z.real, part * z.imag / OMEGA, part * b / OMEGA, cells)
                for start, end, part in parts
            ]
        found = [
            DeltaLoad(node, np.full(3, p / 3 / (22e3) ** 2), np.full(3, OMEGA * q / 3 / (22e3) ** 2))
            for node, (p, q) in (loads or self.loads).items()
        ]
        rs, xs = self.source
        source = Source(
            "bus", np.sqrt(2) * VOLTAGE * voltage, rs, xs / OMEGA, self.neutral.r, self.neutral.coil_l, angle, frequency
        )
        shunts = {"bus": np.eye(3) * (1e-8 + self.neutral.background)} | dict(capacitances or {})
        return Grid([*lines, *extra], [*found, *more], source, shunts)


def urban(neutral: Neutral = RESISTANCE) -> Feeder:
    """Six sections of 220 m."""
    names = ["bus", "u1", "u2", "u3", "u4", "u5", "u6"]
    sections = [(one, other, "cable", 220.0) for one, other in itertools.pairwise(names)]
    powers = [320e3, 250e3, 410e3, 180e3, 300e3, 360e3]
    loads = {name: (p, 0.3 * p) for name, p in zip(names[1:], powers, strict=True)}
    return Feeder("urban", sections, loads, ("u2", "u4", "u6"), neutral)


def rural(neutral: Neutral = RESISTANCE) -> Feeder:
    """Twenty sections, 14 km to the end of the trunk, three laterals."""
    sections = [
        ("bus", "r1", "cable", 600.0), ("r1", "r2", "overhead", 1250.0), ("r2", "r3", "overhead", 1400.0),
        ("r3", "r4", "overhead", 1600.0), ("r4", "r5", "overhead", 1350.0), ("r5", "r6", "overhead", 1500.0),
        ("r6", "r7", "overhead", 1300.0), ("r7", "r8", "overhead", 1700.0), ("r8", "r9", "overhead", 1600.0),
        ("r9", "r10", "overhead", 1700.0),
        ("r2", "s1", "overhead", 900.0), ("s1", "s2", "overhead", 1200.0), ("s2", "s3", "thin", 700.0),
        ("r4", "t1", "overhead", 1100.0), ("t1", "t2", "overhead", 1000.0), ("t2", "t3", "overhead", 1300.0),
        ("t1", "t4", "thin", 500.0),
        ("r7", "v1", "overhead", 800.0), ("v1", "v2", "overhead", 1500.0), ("v2", "v3", "overhead", 900.0),
    ]  # fmt: skip
    powers = [160e3, 100e3, 63e3, 100e3, 160e3, 50e3, 100e3, 63e3, 100e3, 125e3,
              63e3, 100e3, 160e3, 50e3, 63e3, 100e3, 125e3, 63e3, 80e3, 100e3]  # fmt: skip
    nodes = [section[1] for section in sections]
    loads = {name: (p, 0.35 * p) for name, p in zip(nodes, powers, strict=True)}
    return Feeder("rural", sections, loads, ("s3", "t3", "v3", "r10", "t4"), neutral, (0.3, 3.2))


def perturbed(
    document: Mapping[str, Any], generator: np.random.Generator, *, lines: float = 0.0, loads: float = 0.0,
    alike: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """
    Falsify a document as data bases are false: every line's R and X, and every load's P and Q, by its own factor.

    Parameters
    ----------
    lines, loads : float
        Standard deviation of the factors, which the document then states as its uncertainty [1].
    alike : bool
        Whether all lines have one factor, R and X together, as where lengths or a temperature are wrong.
    """
    changed = copy.deepcopy(dict(document))
    shared = 1 + lines * generator.standard_normal() if alike else 0.0
    for branch in changed["branches"]:
        name_of_type = branch.pop("line_type")
        kind = next(item for item in changed["line_types"] if item["id"] == name_of_type)
        length = branch["length"]
        for name in ("r", "x", "b"):
            factor = shared or 1 + lines * generator.standard_normal()
            branch[name] = (length * np.array(kind[name]) * factor).tolist()
        branch["phases"] = "ABC"
        branch["impedance_uncertainty"] = max(lines, kind["impedance_uncertainty"])
        branch["shunt_uncertainty"] = max(lines, kind["shunt_uncertainty"])
    for load in changed["loads"]:
        for name in ("p", "q"):
            factor = 1 + loads * generator.standard_normal()
            size = next(iter(load["p"].values()))
            load[name] = {pair: value * factor for pair, value in load[name].items()}
            load[f"u_{name}"] = {pair: max(loads, 0.02) * abs(size) for pair in load[name]}
    return changed
