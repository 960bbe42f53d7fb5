"""
Follows a network from the equipment that a terminal measures to the ends of its feeder.

Where it stands: makes the `Feeder` that detection takes its thresholds from and location walks along; once for a
network model and a position of its switches. What is no radial feeder is refused with every reason.
"""

import numpy as np

from algorithms.api.errors import NetworkError, Problem
from algorithms.api.network import NetworkModel
from algorithms.api.network_operation import Terminal
from algorithms.api.network_tables import Integers, Truths
from algorithms.grid.faults.feeder import Feeder, Infeed, Meter
from algorithms.grid.faults.feeder_equipment import elements_along, three_phases, through_transformer
from algorithms.grid.radial import NOTHING, EdgeKind, Forest, grow


def feeder_ahead(model: NetworkModel, terminal: str) -> Feeder:
    """
    Follow the network from the equipment whose current a terminal measures.

    Parameters
    ----------
    model : NetworkModel
    terminal : str
        Id of the terminal.

    Raises
    ------
    NetworkError
        With every reason why there is no feeder to walk along.
    """
    found = next((item for item in model.terminals if item.id == terminal), None)
    if found is None:
        remedy = "state the terminal the device measures"
        raise NetworkError([Problem("terminal", "a terminal of the network", terminal or "none", remedy)])
    forest = grow(model)
    first, reverse = _first(model, forest, found)
    order = _subtree(forest, first)
    position = np.full(len(model.nodes), NOTHING, dtype=np.intp)
    position[order] = np.arange(1, len(order) + 1)
    head = model.nodes.ids.index(found.node)
    parent = np.concatenate([[NOTHING], np.maximum(position[forest.parent[order]], 0)])
    problems = _judge(model, forest, order)
    if problems:
        raise NetworkError(problems)
    below = forest.kind[order] == EdgeKind.TRANSFORMER
    below[0] &= not reverse
    kept = np.concatenate([[True], ~_behind(parent, np.concatenate([[False], below]))])
    return _assemble(model, forest, found, np.concatenate([[head], order]), parent, kept=kept, reverse=reverse)


def _first(model: NetworkModel, forest: Forest, terminal: Terminal) -> tuple[int, bool]:
    """
    Give the row of the first node ahead, and whether the current measured counts against the way ahead.

    A terminal at the near end of its equipment looks along it; one at the far end, as below a breaker, has everything
    at its own node ahead, and measures the current from there back into the equipment.
    """
    node = model.nodes.ids.index(terminal.node)
    where = f"terminals[{terminal.id}].equipment"
    tables = (
        (EdgeKind.BRANCH, model.branches), (EdgeKind.SWITCH, model.switches), (EdgeKind.TRANSFORMER, model.transformers)
    )  # fmt: skip
    for kind, table in tables:
        if terminal.equipment in table.ids:
            row = table.ids.index(terminal.equipment)
            ends = int(table.from_node[row]), int(table.to_node[row])
            other = ends[1] if ends[0] == node else ends[0]
            ahead = forest.parent[other] == node and forest.kind[other] == kind and forest.row[other] == row
            if ahead and kind != EdgeKind.TRANSFORMER:
                return other, False
            if forest.parent[node] == other and forest.kind[node] == kind and forest.row[node] == row:
                return node, True
            expected, remedy = "equipment that feeds a line", "check the switches and the terminal"
            raise NetworkError([Problem(where, expected, terminal.equipment, remedy)])
    raise NetworkError([Problem(where, "the id of a branch, a switch or a transformer", terminal.equipment or "none")])


def _subtree(forest: Forest, first: int) -> Integers:
    place = int(np.flatnonzero(forest.order == first)[0])
    below: Integers = forest.order[place : int(forest.end[place])]
    return below


def _judge(model: NetworkModel, forest: Forest, order: Integers) -> list[Problem]:
    inside = {model.branches.ids[forest.row[node]] for node in order if forest.kind[node] == EdgeKind.BRANCH}
    inside |= {model.switches.ids[forest.row[node]] for node in order if forest.kind[node] == EdgeKind.SWITCH}
    return [
        Problem("network", "a radial feeder", f"a loop of {', '.join(loop.members[:6])}", "open a switch of it")
        for loop in forest.loops
        if inside & set(loop.members)
    ]


def _behind(parent: Integers, starts: Truths) -> Truths:
    """Tell which positions below the head are at or behind a transformer."""
    behind = starts.copy()
    for place in range(1, len(parent)):
        behind[place] |= behind[parent[place]]
    return behind[1:]


def _assemble(
    model: NetworkModel, forest: Forest, terminal: Terminal, order: Integers, parent: Integers, *, kept: Truths,
    reverse: bool,
) -> Feeder:  # fmt: skip
    names = [model.nodes.ids[node] for node in order]
    renumbered = np.cumsum(kept) - 1
    rows = order[kept]
    count = len(rows)
    place = np.full(len(model.nodes), NOTHING, dtype=np.intp)
    place[rows] = np.arange(count)
    parents = np.where(parent[kept] >= 0, renumbered[parent[kept]], NOTHING)
    end = np.arange(1, count + 1)
    for position in range(count - 1, 0, -1):
        end[parents[position]] = max(end[parents[position]], end[position])
    z, y = np.zeros((2, count, 3, 3), dtype=complex)
    length, z_u, y_u = np.zeros((3, count))
    forward, phases = np.ones(count, dtype=bool), np.ones((count, 3), dtype=bool)
    sections = [""] * count
    branches = model.branches
    for position in range(2 if reverse else 1, count):
        node = rows[position]
        row = int(forest.row[node])
        forward[position] = forest.downward[node]
        if forest.kind[node] != EdgeKind.BRANCH:
            phases[position] = model.switches.conductors[row, :3]
            continue
        sections[position] = branches.ids[row]
        z[position], y[position] = three_phases(branches.z[row]), branches.y[row, :3, :3]
        length[position], phases[position] = branches.length[row], branches.conductors[row, :3]
        z_u[position], y_u[position] = branches.impedance_uncertainty[row], branches.shunt_uncertainty[row]
    fixed = np.zeros((count, 3, 3), dtype=complex)
    for node in order[~kept]:
        above = int(forest.parent[node])
        if forest.kind[node] == EdgeKind.TRANSFORMER and place[above] != NOTHING:
            fixed[place[above]] += through_transformer(model, forest, int(node))
    elements = elements_along(model, model.loads, place)
    infeed = _infeed(model, place)
    inside = np.isin(model.generators.node, order)
    generation = float(np.abs(model.generators.p[inside] + 1j * model.generators.q[inside]).sum())
    meters = tuple(
        Meter(item.device, item.id, int(place[model.nodes.ids.index(item.node)]))
        for item in model.terminals
        if item.device and item.id != terminal.id and place[model.nodes.ids.index(item.node)] > 0
    )
    kept_names = tuple(name for name, stays in zip(names, kept, strict=True) if stays)
    return Feeder(
        model.network, model.revision, model.topology_revision, terminal.id, model.frequency,
        float(model.nodes.nominal_voltage[rows[0]]), kept_names, parents, end, tuple(sections), forward, z, y, length,
        phases, z_u, y_u, fixed, *elements, infeed, generation, meters, reverse,
    )  # fmt: skip


def _infeed(model: NetworkModel, place: Integers) -> Infeed:
    """List generators at positions of the feeder."""
    table = model.generators
    at, across, power, _, nominal, exponents = elements_along(model, table, place)
    columns = np.nonzero(table.connected & (place[table.node] != NOTHING)[:, np.newaxis])[0]
    share = table.rated_power[columns] / np.maximum(np.count_nonzero(table.connected[columns], axis=1), 1)
    size = np.maximum(np.abs(power), np.where(np.isfinite(share), share, 0.0))
    return Infeed(at, across, power, nominal, exponents, size)
