r"""
The feeder ahead of a terminal as a tree of three-phase sections, its loads, and the meters along it.

Where it stands: fault detection derives its thresholds from it (`fault_settings`), fault location walks along it
(`fault_walk`). It is made once for a network model and a position of its switches.

Rules:

- Radial, three phases; a section may lack phases. Neutrals at earth at both ends belong to the phases (Kron's
  reduction); one that floats carries nothing here.
- What hangs behind a transformer is drawn together to one admittance at the node above it, its loads taken at nominal
  voltage.
- The head is position 0 and parents come before children; a subtree is one slice.
- Distances count from a section's `from_node`, whichever way the walk goes.
"""

from dataclasses import dataclass, replace

import numpy as np

from algorithms.api.errors import NetworkError, Problem
from algorithms.api.network import NetworkModel
from algorithms.api.network_operation import Terminal
from algorithms.api.network_tables import Complexes, Floats, Integers, Truths
from algorithms.grid.faults.feeder_equipment import elements_along, three_phases, through_transformer
from algorithms.grid.radial import NOTHING, EdgeKind, Forest, grow


@dataclass(frozen=True, slots=True, eq=False)
class Meter:
    """A terminal along the feeder with a meter, and the position of its node."""

    device: str
    terminal: str
    position: int


@dataclass(frozen=True, slots=True, eq=False)
class Infeed:
    """
    Generators along the feeder, each phase or pair of phases by itself.

    Attributes
    ----------
    at, across, power, nominal, exponents
        As the loads of `Feeder`; power is negative where it feeds.
    size : numpy.ndarray
        Most that each may feed in a fault, shape (m,) [VA].
    """

    at: Integers
    across: Floats
    power: Complexes
    nominal: Floats
    exponents: Floats
    size: Floats

    def admittance(self, count: int, voltages: Complexes | None = None) -> Complexes:
        """Give their admittance at `count` positions for voltages there, shape (k, 3, 3) [S]; nominal where None."""
        p, q = self.power.real, self.power.imag
        if voltages is not None:
            # Converters hold their current down to low voltages.
            ratio = np.maximum(np.abs((self.across * voltages[self.at]).sum(axis=1)) / self.nominal, 0.2)
            p, q = p * ratio ** (self.exponents[:, 0] - 2.0), q * ratio ** (self.exponents[:, 1] - 2.0)
        each = (p - 1j * q) / self.nominal**2
        total = np.zeros((count, 3, 3), dtype=complex)
        np.add.at(total, self.at, each[:, None, None] * self.across[:, :, None] * self.across[:, None, :])
        return total


@dataclass(frozen=True, slots=True, eq=False)
class Feeder:
    """
    What hangs ahead of a terminal.

    Attributes
    ----------
    network : str
    topology_revision, revision : int
    terminal : str
    frequency : float
        [Hz]
    nominal_voltage : float
        Phase to neutral at the head [V].
    nodes : tuple of str
        Ids by position.
    parent, end : numpy.ndarray
        Position of the parent, and behind the last of the subtree, shape (k,).
    section : tuple of str
        Id of the branch above each position; empty for the head and behind a switch.
    forward : numpy.ndarray
        Whether that branch's `from_node` is the parent, shape (k,), bool.
    z, y : numpy.ndarray
        Series impedance and shunt admittance of the section above, shape (k, 3, 3) [ohm, S].
    length : numpy.ndarray
        Shape (k,) [m].
    phases : numpy.ndarray
        Which phases the section above has, shape (k, 3), bool.
    z_uncertainty, y_uncertainty : numpy.ndarray
        Relative standard uncertainty, shape (k,) [1].
    fixed : numpy.ndarray
        Admittance at each position of what is behind transformers, shape (k, 3, 3) [S].
    at : numpy.ndarray
        Position of each element of load, shape (m,).
    across : numpy.ndarray
        How its voltage follows from those of the phases, shape (m, 3).
    power : numpy.ndarray
        P + jQ at nominal voltage, shape (m,) [VA].
    power_uncertainty : numpy.ndarray
        Standard uncertainty of P + jQ, in real and imaginary part; a fifth of the power where unknown, shape (m,) [VA].
    nominal : numpy.ndarray
        Voltage across it, shape (m,) [V].
    exponents : numpy.ndarray
        Of P and Q, shape (m, 2) [1].
    infeed : Infeed
        Generators that are not behind a transformer.
    generation : float
        Apparent power of all generators ahead [VA].
    meters : tuple of Meter
        Others than the one at the head.
    reverse : bool
        Whether currents at the head are measured against the way ahead, as below a breaker; position 1 is then the
        head's own node.
    """

    network: str
    revision: int
    topology_revision: int
    terminal: str
    frequency: float
    nominal_voltage: float
    nodes: tuple[str, ...]
    parent: Integers
    end: Integers
    section: tuple[str, ...]
    forward: Truths
    z: Complexes
    y: Complexes
    length: Floats
    phases: Truths
    z_uncertainty: Floats
    y_uncertainty: Floats
    fixed: Complexes
    at: Integers
    across: Floats
    power: Complexes
    power_uncertainty: Complexes
    nominal: Floats
    exponents: Floats
    infeed: Infeed
    generation: float
    meters: tuple[Meter, ...]
    reverse: bool

    def path(self, position: int) -> list[int]:
        """Give the positions from below the head down to one."""
        way = []
        while position > 0:
            way.append(position)
            position = int(self.parent[position])
        return way[::-1]

    def load_admittance(self, voltages: Complexes | None = None) -> Complexes:
        """
        Give the admittance of loads at each position.

        Parameters
        ----------
        voltages : numpy.ndarray or None
            Of the phases at each position, shape (k, 3) [V]; None for nominal ones. Below 0.7 of nominal a load is
            taken for an impedance, since no motor or converter goes on drawing its power there.

        Returns
        -------
        numpy.ndarray
            Shape (k, 3, 3) [S].
        """
        p, q = self.power.real, self.power.imag
        if voltages is not None:
            ratio = np.maximum(np.abs((self.across * voltages[self.at]).sum(axis=1)) / self.nominal, 0.7)
            p, q = p * ratio ** (self.exponents[:, 0] - 2.0), q * ratio ** (self.exponents[:, 1] - 2.0)
        each = (p - 1j * q) / self.nominal**2
        total = self.fixed.copy()
        np.add.at(total, self.at, each[:, None, None] * self.across[:, :, None] * self.across[:, None, :])
        return total

    def at_frequency(self, frequency: float) -> "Feeder":
        """
        Give the feeder as it is at another frequency.

        Reactances and susceptances of lines go with the frequency, and so does the reactive power of loads: less of it
        at a higher one where it magnetises, more where it charges. Generators hold theirs.

        Parameters
        ----------
        frequency : float
            [Hz]
        """
        ratio = frequency / self.frequency
        inductive = np.trace(self.fixed, axis1=1, axis2=2).imag < 0.0
        behind = np.where(inductive, 1.0 / ratio, ratio)[:, None, None]
        p, q = self.power.real, self.power.imag
        return replace(
            self,
            frequency=frequency,
            z=self.z.real + 1j * ratio * self.z.imag,
            y=self.y.real + 1j * ratio * self.y.imag,
            fixed=self.fixed.real + 1j * behind * self.fixed.imag,
            power=p + 1j * np.where(q > 0.0, q / ratio, q * ratio),
        )


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
