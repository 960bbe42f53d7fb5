"""
Power flow: the voltages of a network whose sources and loads are known.

Where it stands: plugins, estimators and reconfiguration call it; `current_injection` and `sweep` do the work. A
network is prepared once for a position of its switches and taps, then solved for any number of demands.

Rules:

- SI units at the border. P and Q are positive from the node into the equipment.
- A solution says whether it converged, and where it did worst if not. Its voltages are never given silently wrong.
"""

from enum import StrEnum
from typing import Protocol

from algorithms.api.network import NetworkModel
from algorithms.api.network_tables import Complexes
from algorithms.grid.current_injection import CurrentInjection
from algorithms.grid.solution import Solution


class Method(StrEnum):
    """How to solve."""

    CURRENT_INJECTION = "current injection"
    """Any network."""


class Prepared(Protocol):
    """A network ready to be solved."""

    power: Complexes
    method: str

    def solve(
        self, power: Complexes | None = None, *, tolerance: float = 1e-9, iterations: int = 100
    ) -> Solution:
        """Find the voltages for a demand."""


def prepare(model: NetworkModel) -> Prepared:
    """Prepare a network for solutions."""
    return CurrentInjection(model)
