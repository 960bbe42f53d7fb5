"""
What hangs on a feeder and of what its sections are made, as admittances and impedances of three phases.

Where it stands: `feeder` assembles them. Neutrals at earth at both ends belong to the phases (Kron's reduction); what
is behind a transformer is one admittance at the node above it.
"""

import numpy as np

from algorithms.api.network import NetworkModel
from algorithms.api.network_equipment import Connection
from algorithms.api.network_tables import Complexes, Floats, Injections, Integers
from algorithms.grid.primitives import transformer_primitives
from algorithms.grid.radial import NOTHING, Forest

_PAIRS = np.array([[1.0, -1.0, 0.0], [0.0, 1.0, -1.0], [-1.0, 0.0, 1.0]])


def three_phases(z: Complexes) -> Complexes:
    """Give the series impedance of the phases; a neutral that is there is taken to be at earth at both ends."""
    if z[3, 3] == 0:
        return z[:3, :3]
    reduced: Complexes = z[:3, :3] - np.outer(z[:3, 3], z[3, :3]) / z[3, 3]
    return reduced


def through_transformer(model: NetworkModel, forest: Forest, node: int) -> Complexes:
    """Give the admittance, seen from above, of a transformer and all loads behind it."""
    primitive = transformer_primitives(model)[int(forest.row[node])]
    place = int(np.flatnonzero(forest.order == node)[0])
    behind = set(forest.order[place : int(forest.end[place])].tolist())
    load = np.zeros((3, 3), dtype=complex)
    table = model.loads
    for row in range(len(table)):
        if int(table.node[row]) in behind:
            delta = table.connection[row] is Connection.DELTA
            base = model.nodes.base_voltage[table.node[row]] / (1.0 if delta else np.sqrt(3.0))
            for column in np.flatnonzero(table.connected[row]):
                across = _PAIRS[column] if delta else np.eye(3)[column]
                load += (table.p[row, column] - 1j * table.q[row, column]) / base**2 * np.outer(across, across)
    low = primitive[4:7, 4:7] + load
    if not np.abs(load).max():
        return np.zeros((3, 3), dtype=complex)
    seen: Complexes = primitive[:3, :3] - primitive[:3, 4:7] @ np.linalg.solve(low, primitive[4:7, :3])
    return seen


def elements_along(
    model: NetworkModel, table: Injections, place: Integers
) -> tuple[Integers, Floats, Complexes, Complexes, Floats, Floats]:
    """List loads at positions of the feeder, each phase or pair by itself."""
    rows, columns = np.nonzero(table.connected & (place[table.node] != NOTHING)[:, np.newaxis])
    delta = np.array([table.connection[row] is Connection.DELTA for row in rows], dtype=bool)
    across = np.where(delta[:, np.newaxis], _PAIRS[columns], np.eye(3)[columns])
    power = table.p[rows, columns] + 1j * table.q[rows, columns]
    known = np.isfinite(table.u_p[rows, columns]) & np.isfinite(table.u_q[rows, columns])
    fifth = 0.2 * np.abs(power)
    u_p = np.where(known, table.u_p[rows, columns], fifth)
    u_q = np.where(known, table.u_q[rows, columns], fifth)
    base = model.nodes.base_voltage[table.node[rows]]
    nominal = np.where(delta, base, base / np.sqrt(3.0))
    return place[table.node[rows]], across, power, u_p + 1j * u_q, nominal, table.exponents[rows]
