r"""
Loads and generators one by one, each phase or pair of phases as an element between two points, and what they draw.

Where it stands: the nonlinear half of a power flow; `admittance` is the linear one. An element draws the power

.. math:: S(U) = p (|U| / U_n)^a + j q (|U| / U_n)^b, \quad I = (S / U)^*

where U is the voltage across it, a and b are 0 for constant power, 1 for constant current, 2 for constant impedance,
and anything between or beyond for what was measured.

Rules:

- Loads come first, generators after them, in the order of their tables: the rows of a *demand*.
- Currents are positive from the first point through the element to the second; powers likewise (CIM).
- An element between dead points is left out. One with a live and a dead end is a fault of the network and refused.
"""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from algorithms.api.errors import NetworkError, Problem
from algorithms.api.network import NetworkModel
from algorithms.api.network_equipment import Connection
from algorithms.api.network_tables import Complexes, Floats, Integers
from algorithms.grid.points import EARTH, Points


def demand(model: NetworkModel) -> Complexes:
    """Give what loads, then generators, are expected to draw at nominal voltage, shape (n, 3) [VA]."""
    power = [table.p + 1j * table.q for table in (model.loads, model.generators)]
    return np.concatenate(power)


def check_power(power: Complexes | None, expected: Complexes) -> Complexes:
    """Judge what is demanded, or take what is expected."""
    if power is None:
        return expected
    if power.shape != expected.shape:
        raise ValueError(f"powers of shape {expected.shape} expected (loads, then generators), found {power.shape}")
    if not np.isfinite(power).all():
        raise ValueError("finite powers expected, found a value that is none; state 0 for what is not there")
    return power


def check_powers(powers: Complexes, expected: Complexes) -> Complexes:
    """Judge many demands."""
    if powers.ndim != 3 or powers.shape[1:] != expected.shape:
        raise ValueError(f"powers of shape (s, {expected.shape[0]}, 3) expected, found {powers.shape}")
    if not np.isfinite(powers).all():
        raise ValueError("finite powers expected, found a value that is none; state 0 for what is not there")
    return powers


@dataclass(frozen=True, slots=True, eq=False)
class Elements:
    """
    What draws power, between points.

    Attributes
    ----------
    row, column : numpy.ndarray
        Where each stands in a demand, shape (m,).
    first, second : numpy.ndarray
        Points it is between, shape (m,).
    nominal : numpy.ndarray
        Voltage across it at which it draws what is stated, shape (m,) [V].
    exponents : numpy.ndarray
        Of P and Q, shape (m, 2) [1].
    flexible : numpy.ndarray
        Elements whose power follows the voltage, shape (f,).
    incidence : scipy.sparse.csr_array
        1 at the first and -1 at the second point of each element, shape (m, k).
    """

    row: Integers
    column: Integers
    first: Integers
    second: Integers
    nominal: Floats
    exponents: Floats
    flexible: Integers
    incidence: csr_array

    def __len__(self) -> int:
        return len(self.row)

    def currents(self, power: Complexes, voltages: Complexes) -> Complexes:
        """
        Give what elements draw of stated powers.

        Parameters
        ----------
        power : numpy.ndarray
            At nominal voltage, shape (m,) or (m, s) [VA].
        voltages : numpy.ndarray
            Across the elements, of the same shape [V].
        """
        if len(self.flexible):
            at = self.flexible
            exponents, nominal = self.exponents[at].T, self.nominal[at]
            if voltages.ndim == 2:
                exponents, nominal = exponents[:, :, np.newaxis], nominal[:, np.newaxis]
            ratio = np.abs(voltages[at]) / nominal
            power = power.copy()
            power[at] = power[at].real * ratio ** exponents[0] + 1j * (power[at].imag * ratio ** exponents[1])
        drawn: Complexes = np.conj(power / voltages)
        return drawn


def find_elements(model: NetworkModel, points: Points) -> Elements:
    """
    List what draws power in the network.

    Raises
    ------
    NetworkError
        When one end of an element is fed and the other hangs on nothing.
    """
    tables = (model.loads, model.generators)
    node = np.concatenate([table.node for table in tables])
    connected = np.concatenate([table.connected for table in tables])
    exponents = np.concatenate([table.exponents for table in tables])
    delta = np.array([kind == Connection.DELTA for table in tables for kind in table.connection], dtype=bool)
    row, column = np.nonzero(connected)
    at, pair = node[row], delta[row]
    second_conductor = np.where(pair, (column + 1) % 3, 3)
    live_first = points.energised[at, column]
    live_second = np.where(pair | model.nodes.conductors[at, 3], points.energised[at, second_conductor], live_first)
    half_dead = np.flatnonzero(live_first != live_second)
    if len(half_dead):
        raise NetworkError(_half_dead(model, row[half_dead].tolist(), at[half_dead].tolist()))
    live = live_first & live_second
    row, column, at, pair = row[live], column[live], at[live], pair[live]
    first, second = points.at_node[at, column], points.at_node[at, second_conductor[live]]
    nominal = np.where(pair, model.nodes.base_voltage[at], model.nodes.nominal_voltage[at])
    return Elements(
        row=row,
        column=column,
        first=first,
        second=second,
        nominal=nominal,
        exponents=exponents[row],
        flexible=np.flatnonzero(exponents[row].any(axis=1)),
        incidence=incidence(first, second, points.count),
    )


def _half_dead(model: NetworkModel, rows: list[int], nodes: list[int]) -> list[Problem]:
    ids = [*(f"loads[{name}]" for name in model.loads.ids), *(f"generators[{name}]" for name in model.generators.ids)]
    problems = []
    for row, node in zip(rows, nodes, strict=True):
        expected = f"both ends of each of its phases fed at node {model.nodes.ids[node]}"
        remedy = "connect the neutral or phase it returns by, or open all its phases"
        problems.append(Problem(ids[row], expected, "one end that hangs on nothing", remedy))
    return problems


def incidence(first: Integers, second: Integers, count: int) -> csr_array:
    """Give 1 at the first and -1 at the second point of each row, leaving out earth, shape (m, count)."""
    ends = np.stack([first, second], axis=1)
    there = ends != EARTH
    starts = np.append(0, np.cumsum(np.count_nonzero(there, axis=1)))
    values = np.broadcast_to([1.0, -1.0], ends.shape)[there]
    return csr_array((values, ends[there], starts), shape=(len(first), count))
