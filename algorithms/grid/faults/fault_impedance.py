r"""
What a fault of a type says at its own place: which voltage drives which current, and that the two are in phase.

Where it stands: `fault_location` looks for the point where this holds. A fault is a resistance, whatever its size, so
with v across it and i through it

.. math:: \rho = \Im(v\,i^*) / |i| = 0, \qquad R = \Re(v / i)

Rules:

- Two phases to earth are judged by what is between them, as two phases without: the ground's part does not enter.
- Three phases are judged by the positive sequence.

References
----------
IEEE Std C37.114, *Guide for determining fault location on AC transmission and distribution lines* (loop quantities).
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from algorithms.api.network_tables import Complexes, Floats

_turn = np.exp(2j * np.pi / 3)


class FaultKind(StrEnum):
    """Which conductors a fault joins; `LLL` with or without earth."""

    LG = "LG"
    LL = "LL"
    LLG = "LLG"
    LLL = "LLL"


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A type of fault and its phases, 0 for A."""

    kind: FaultKind
    phases: tuple[int, ...]

    def across(self) -> Complexes:
        """Give the weights of phase voltages that drive the fault, shape (3,)."""
        weights = np.zeros(3, dtype=complex)
        if self.kind is FaultKind.LG:
            weights[self.phases[0]] = 1.0
        elif self.kind is FaultKind.LLL:
            weights[:] = np.array([1.0, _turn, _turn**2]) / 3.0
        else:
            weights[list(self.phases)] = 1.0, -1.0
        return weights

    def through(self) -> Complexes:
        """Give the weights of phase currents that flow through it, shape (3,)."""
        weights = self.across()
        return weights / 2.0 if self.kind in (FaultKind.LL, FaultKind.LLG) else weights

    def healthy(self) -> list[int]:
        """Give the phases through which no fault current flows."""
        return [phase for phase in range(3) if phase not in self.phases]


def reactive_voltage(hypothesis: Hypothesis, voltage: Complexes, current: Complexes) -> tuple[Floats, Floats]:
    """
    Judge voltages and currents of a fault.

    Parameters
    ----------
    hypothesis : Hypothesis
    voltage, current : numpy.ndarray
        Of the phases, shape (..., 3) [V, A].

    Returns
    -------
    rho : numpy.ndarray
        Part of the voltage that no resistance explains, shape (...) [V].
    resistance : numpy.ndarray
        Shape (...) [ohm]; between the two phases for `LL` and `LLG`, of one phase for `LLL`.

    Examples
    --------
    >>> rho, resistance = reactive_voltage(Hypothesis(FaultKind.LG, (0,)), np.array([20 + 5j, 0, 0]), np.ones(3) + 0j)
    >>> float(rho), float(resistance)
    (5.0, 20.0)
    """
    v, i = voltage @ hypothesis.across(), current @ hypothesis.through()
    size = np.maximum(np.abs(i), 1e-12)
    product = v * np.conj(i)
    return product.imag / size, product.real / np.square(size)
