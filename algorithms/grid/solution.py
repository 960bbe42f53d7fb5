"""
What a power flow found, whichever way it was solved.

Where it stands: `current_injection` and `sweep` return it; `powerflow` is where both are called from; `flows` derives
currents and powers of equipment from it.
"""

import math
from dataclasses import dataclass

import numpy as np

from algorithms.api.network_tables import Complexes, Floats, Truths

HIGHEST = 1.8
"""A load that lost its neutral may have the voltage between phases; more is no state of a network, in nominal [1]."""


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """
    Voltages of a network, and how sure they are.

    Attributes
    ----------
    voltages : numpy.ndarray
        To earth, 0 where a conductor is absent or dead, shape (n_nodes, 4) [V].
    energised : numpy.ndarray
        Whether a conductor is there and fed, shape (n_nodes, 4), bool.
    currents : numpy.ndarray
        What each phase or pair of phases of loads, then generators, draws, shape (n_loads + n_generators, 3) [A].
    converged : bool
        Whether the voltages can be believed. Where not, they are those of the last iteration, for a look at what
        went wrong, and nothing else.
    iterations : int
    mismatch : float
        Largest change of a voltage in the last iteration, relative to nominal [1].
    worst : str
        Conductor or element it changed at, such as ``l1.A``; empty where nothing draws power.
    reason : str
        Why it did not converge; empty where it did.
    references : tuple of str
        What voltages refer to in parts of the network without a path to earth.
    method : str
        ``current injection`` or ``sweep``.
    """

    voltages: Complexes
    energised: Truths
    currents: Complexes
    converged: bool
    iterations: int
    mismatch: float
    worst: str
    reason: str
    references: tuple[str, ...]
    method: str


def verdict(mismatch: float, tolerance: float, iterations: int, worst: str) -> str:
    """Say why an iteration did not converge; nothing where it did."""
    if mismatch <= tolerance:
        return ""
    if not math.isfinite(mismatch):
        return f"the voltages grew beyond all bounds, worst at {worst}: more power is drawn than can be carried there"
    return (
        f"voltages still change by {mismatch:.2g} of nominal after {iterations} iterations, worst at {worst}: more "
        "power is drawn than can be carried there, or the limit of iterations is too low"
    )


def beyond(across: Complexes, nominal: Floats, names: tuple[str, ...]) -> str:
    """
    Say that voltages across elements are those of no network at work; nothing where they are not.

    Powers that stay the same whatever the voltage can be drawn at several voltages, of which one is sensible; a network
    that has none, or misses it, stands still at another.
    """
    if not len(across):
        return ""
    size = np.abs(across) / nominal
    worst = int(np.argmax(size))
    if not size[worst] > HIGHEST:
        return ""
    return (
        f"a voltage of {size[worst]:.3g} of nominal would follow at {names[worst]}: look for a source, a tap or a base "
        "voltage that does not fit, for lines that charge too much, and for generators that hold a voltage"
    )


def without_return(returning: float, words: str) -> str:
    """Say that a current [A] has no way back."""
    return (
        f"{returning:.3g} A would have to return through earth, to which there is no path ({words} was chosen as "
        "reference): connect loads to the neutral or between phases, ground the neutral, or state r0m and x0m of a "
        "star-star transformer, whose tank may be the way back"
    )
