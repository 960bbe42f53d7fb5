"""
Powers and currents into equipment, each beside its standard uncertainty.

Where it stands: `estimate.Estimate.flow` gives them of one scan. What a place answers to the inputs of the network is
the same in every scan, and kept (`Probes`): areas tell the same flows each interval.

Rules:

- SI, positive from the node into the equipment (CIM), RMS.
- Memory for what is kept is bounded; what is beyond is worked out each time.
"""

from dataclasses import dataclass

import numpy as np

from algorithms.api.network_tables import Complexes, Floats, Integers
from algorithms.grid.elements import incidence
from algorithms.grid.estimation.combination import gathered
from algorithms.grid.estimation.measurement import Measurement, Quantity
from algorithms.grid.estimation.response import Response
from algorithms.grid.estimation.terminals import Terminals

KEPT_ENTRIES = 300_000
"""Entries of all matrices that are kept [1], 5 MB."""


@dataclass(frozen=True, slots=True, eq=False)
class Flow:
    """
    Powers and currents into equipment by its phases, each beside its standard uncertainty.

    Attributes
    ----------
    phases : tuple of str
        Phases, or pairs of them, that are there, in the order of the arrays.
    p, u_p, q, u_q : numpy.ndarray
        Shape (k,) [W, var].
    current, u_current : numpy.ndarray
        Magnitude, shape (k,) [A].
    angle : numpy.ndarray
        Of the current, shape (k,) [rad].
    u_total : tuple of float
        Standard uncertainty of the sums of P and of Q, what phases have in common included [W, var].
    """

    phases: tuple[str, ...]
    p: Floats
    u_p: Floats
    q: Floats
    u_q: Floats
    current: Floats
    u_current: Floats
    angle: Floats
    u_total: tuple[float, float]


@dataclass(frozen=True, slots=True, eq=False)
class Probe:
    """
    What the terminal of a piece of equipment answers to each input of 1.

    Attributes
    ----------
    phases : tuple of str
    seen : numpy.ndarray
        Voltages of all phases, then currents into the equipment, shape (2 k, n) [V, A].
    """

    phases: tuple[str, ...]
    seen: Complexes


class Probes:
    """
    The probes of a network.

    Parameters
    ----------
    terminals : Terminals
    response : Response
    """

    def __init__(self, terminals: Terminals, response: Response) -> None:
        self._terminals, self._response = terminals, response
        self._kept: dict[tuple[str, int], Probe] = {}
        self._between: dict[bytes, Complexes] = {}
        self._entries = 0

    def at(self, equipment: str, end: int) -> Probe:
        """
        Give the probe of a terminal.

        Raises
        ------
        KeyError
            When there is no equipment of this id.
        """
        probe = self._kept.get((equipment, end))
        if probe is None:
            probe = self._made(equipment, end)
            if self._fits(probe.seen):
                self._kept[equipment, end] = probe
        return probe

    def _made(self, equipment: str, end: int) -> Probe:
        letters, pairs, currents = [], [], []
        for letter in self._terminals.phases(equipment):
            measurement = Measurement(equipment, Quantity.P, equipment, letter, 1.0, end)
            pair = self._terminals.between(measurement, letter)
            if pair is not None:
                letters.append(letter)
                pairs.append(pair)
                currents.append(self._terminals.current(measurement, letter))
        ends, points = np.array(pairs, dtype=np.intp).reshape(-1, 2), self._response.points.count
        across = self._response.seen(incidence(ends[:, 0], ends[:, 1], points))
        entries = [(row, at, value) for row, current in enumerate(currents) for at, value in current.points]
        direct = [(row, at, value) for row, current in enumerate(currents) for at, value in current.inputs]
        carried = self._response.seen(gathered(entries, (len(ends), points)))
        carried = carried + gathered(direct, (len(ends), self._response.size)).toarray()
        return Probe(tuple(letters), np.concatenate([across, carried]))

    def between_phases(self, rows: Integers) -> Complexes:
        """Give what the voltages AB, BC, CA of nodes answer to each input of 1, 0 where dead, shape (3 k, n)."""
        first = self._response.points.at_node[rows, :3]
        return self.between(first.ravel(), np.roll(first, -1, axis=1).ravel())

    def between(self, first: Integers, second: Integers) -> Complexes:
        """Give what the voltages between points answer to each input of 1, shape (k, n)."""
        key = first.tobytes() + second.tobytes()
        seen = self._between.get(key)
        if seen is None:
            seen = self._response.seen(incidence(first, second, self._response.points.count))
            if self._fits(seen):
                self._between[key] = seen
        return seen

    def _fits(self, seen: Complexes) -> bool:
        """Tell whether there is room to keep something, and take it."""
        fits = self._entries + seen.size <= KEPT_ENTRIES
        self._entries += seen.size if fits else 0
        return fits
