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
from algorithms.grid.sweep import Sweep


class Method(StrEnum):
    """How to solve."""

    CURRENT_INJECTION = "current injection"
    """Any network."""
    SWEEP = "sweep"
    """Radial ones; without factorisation, and faster for thousands of nodes whose lines charge little."""


class Prepared(Protocol):
    """A network ready to be solved."""

    power: Complexes
    method: str

    def solve(self, power: Complexes | None = None, *, tolerance: float = 1e-9, iterations: int = 300) -> Solution:
        """Find the voltages for a demand; see `CurrentInjection.solve`."""

    def solve_all(self, powers: Complexes, *, tolerance: float = 1e-9, iterations: int = 300) -> tuple[Solution, ...]:
        """Find the voltages for many demands; see `CurrentInjection.solve_all`."""


def prepare(model: NetworkModel, method: Method = Method.CURRENT_INJECTION) -> Prepared:
    """
    Prepare a network, as its switches stand, for any number of solutions.

    Parameters
    ----------
    model : NetworkModel
    method : Method

    Raises
    ------
    NetworkError
        When the network cannot be solved as it stands, or not by this method, with every reason found.
    """
    return Sweep(model) if method == Method.SWEEP else CurrentInjection(model)
