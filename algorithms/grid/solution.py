"""
What a power flow found, whichever way it was solved.

Where it stands: `current_injection` and `sweep` return it; `powerflow` is where both are called from; `flows` derives
currents and powers of equipment from it.
"""

from dataclasses import dataclass

from algorithms.api.network_tables import Complexes, Truths


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
