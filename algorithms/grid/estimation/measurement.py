"""
What meters tell an estimator: which quantity, where, on which phases, and how sure.

Where it stands: plug-ins turn frames of meters and states of neighbouring areas into `Measurement`;
`measurement_table` finds what they are at, `observation` writes them as equations; `least_squares` solves.

Rules:

- Values are SI: |V|, |I| RMS in V and A, angles in rad, P and Q in W and var, positive from the node into the
  equipment (CIM), at the equipment's own terminal.
- A phase letter means phase to neutral, or to earth where the node has no neutral; two letters mean phase to phase.
- A meter of one phase gives measurements of that phase; nothing is made up for the others.
"""

from dataclasses import dataclass
from enum import StrEnum


class Quantity(StrEnum):
    """What is measured."""

    VOLTAGE = "voltage"
    """Magnitude [V]."""
    VOLTAGE_ANGLE = "voltage-angle"
    """Of a synchrophasor [rad]."""
    CURRENT = "current"
    """Magnitude, into the equipment [A]."""
    CURRENT_ANGLE = "current-angle"
    """Of a synchrophasor [rad]."""
    P = "p"
    """Active power into the equipment [W]."""
    Q = "q"
    """Reactive power into the equipment [var]."""


VOLTAGES = (Quantity.VOLTAGE, Quantity.VOLTAGE_ANGLE)
POWERS = (Quantity.P, Quantity.Q)
PHASES = ("A", "B", "C")
PAIRS = ("AB", "BC", "CA")
ALL = "ABC"


@dataclass(frozen=True, slots=True)
class Measurement:
    """
    One number that a meter tells each scan.

    Attributes
    ----------
    id : str
        Names it in findings, such as ``m-17.voltage.A``; no two bear the same.
    quantity : Quantity
    place : str
        A node for voltages; for the others the equipment the current flows into (load, generator, branch,
        transformer, source), or a node for all that its loads and generators draw.
    phases : str
        ``A``, ``B``, ``C``; ``AB``, ``BC``, ``CA`` for voltages between phases and for loads between them; ``ABC``
        for the sum of powers.
    uncertainty : float
        Standard uncertainty to be expected, in the unit of the quantity.
    end : int
        0 at `from_node` of a branch or transformer, 1 at `to_node`.
    """

    id: str
    quantity: Quantity
    place: str
    phases: str
    uncertainty: float
    end: int = 0
