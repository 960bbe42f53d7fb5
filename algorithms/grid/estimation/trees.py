r"""
What hangs on the rest of a network by a single line: its voltages are those of where it hangs, less drops on the way.

Where it stands: `response` solves for the rest alone where it keeps its whole answer; of a radial network, that is the
busbar its feeders start at. With a the node a tree hangs at, and :math:`Z_l` the impedance of line l,

.. math:: V_i = V_a - \sum_j \sum_{l\ \text{on both ways}} Z_l I_j

sums over what draws in the tree, and over the lines that are on the way from a to i and on that to j. It is exact.

Rules:

- In a tree are lines without shunt admittance, with all conductors of the node below, and loads and generators:
  no source, transformer, switch or grounding; where voltages need a reference, nothing is cut off.
- Nodes are numbered so that everything below a node follows it directly: a subtree is one slice of the order.
"""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import depth_first_order

from algorithms.api.network import NetworkModel
from algorithms.api.network_tables import Complexes, Integers, Truths
from algorithms.grid.estimation.chains import Chains
from algorithms.grid.points import EARTH, components


@dataclass(frozen=True, slots=True, eq=False)
class Trees:
    """
    The trees of a network, and the rest.

    Attributes
    ----------
    kept : numpy.ndarray
        Points of the rest, ascending, shape (c,).
    base : numpy.ndarray
        For each point that chains left, and last for earth, the one of the rest whose voltage it has where nothing is
        drawn, shape (k + 1,).
    lines : numpy.ndarray
        Which chains are lines of trees, shape (r,), bool.
    places : numpy.ndarray
        Points of the conductors of the nodes in trees, in their order, `EARTH` for those they lack, shape (t, w).
    impedance : numpy.ndarray
        Of the line above each, shape (t, w, w) [ohm].
    end : numpy.ndarray
        Place behind the last node of the subtree that starts at each, shape (t,).
    """

    kept: Integers
    base: Integers
    lines: Truths
    places: Integers
    impedance: Complexes
    end: Integers

    def drops(self, first: Integers, second: Integers) -> Complexes:
        """
        Give how far voltages drop for each current of 1 that is drawn.

        Parameters
        ----------
        first, second : numpy.ndarray
            Points it is drawn from and returns to, of one node, shape (m,).

        Returns
        -------
        numpy.ndarray
            Shape (k, m) [V].
        """
        count, width = self.places.shape
        there = self.places != EARTH
        node, conductor = np.full((2, len(self.base)), EARTH, dtype=np.intp)
        node[self.places[there]], conductor[self.places[there]] = np.nonzero(there)
        at, own = node[first], np.arange(len(first))
        drawn = np.zeros((width + 1, len(first)), dtype=complex)
        drawn[conductor[first], own], drawn[conductor[second], own] = 1.0, -1.0
        elsewhere = EARTH  # the last row: of what is no conductor of a tree
        on_lines = (self.impedance.reshape(-1, width) @ drawn[:elsewhere]).reshape(count, width, len(first))
        order = np.arange(count)
        on_lines *= ((order[:, np.newaxis] <= at) & (at < self.end[:, np.newaxis]))[:, np.newaxis]
        # What drops on the line above a node drops for all of its subtree, and is taken back where that ends.
        drops = on_lines.reshape(count, -1)
        drops -= _links(self.end, order, count) @ drops
        np.cumsum(drops, axis=0, out=drops)
        rank = np.zeros(len(self.base) - 1, dtype=np.intp)
        rank[self.places[there]] = np.flatnonzero(there)
        found = drops.reshape(count * width, len(first))[rank]
        found[self.kept] = 0.0
        return found


def find_trees(model: NetworkModel, chains: Chains, at_node: Integers) -> Trees | None:
    """
    Find what hangs on the rest of a network without the nodes inside chains.

    Parameters
    ----------
    model : NetworkModel
    chains : Chains
    at_node : numpy.ndarray
        Points, as chains left them, of the conductors of each node, shape (n_nodes, 4).

    Returns
    -------
    Trees or None
        None where nothing hangs.
    """
    nodes, ends, count = model.nodes, chains.ends, len(model.nodes)
    lines, inside, part = _hanging(model, chains)
    if not lines.any():
        return None
    links = np.where(inside, ends, count)[lines]  # all trees hang on one node more, for an order of all
    order, above = _ordered(links, count)
    place = np.zeros(count + 1, dtype=np.intp)
    place[order] = np.arange(len(order))
    one, other = links.T
    line_above = np.empty(len(order), dtype=np.intp)
    line_above[place[np.where(above[one] == other, one, other)]] = np.flatnonzero(lines)
    leading = np.flatnonzero(lines & (inside[:, 0] != inside[:, 1]))
    hanging_at = np.empty(count, dtype=np.intp)
    hanging_at[part[ends[leading, inside[leading].argmax(axis=1)]]] = ends[leading, inside[leading].argmin(axis=1)]
    width = 4 if nodes.conductors[order, 3].any() else 3
    places = at_node[order, :width]
    there = places != EARTH
    number = np.full(len(chains.kept) + 1, EARTH, dtype=np.intp)
    rest = np.ones(len(chains.kept), dtype=bool)
    rest[places[there]] = False
    kept = np.flatnonzero(rest)
    number[kept] = np.arange(len(kept))
    number[places[there]] = number[at_node[hanging_at[part[order]], :width][there]]
    impedance = chains.series[line_above, :width, :width]
    return Trees(kept, number, lines, places, impedance, _subtrees(place[above[order]], above[order] < count))


def _hanging(model: NetworkModel, chains: Chains) -> tuple[Truths, Truths, Integers]:
    """
    Judge what is a tree.

    Returns
    -------
    tuple of numpy.ndarray
        Which chains are lines of trees, shape (r,), which of their ends may be in one, shape (r, 2), and what hangs
        together, one number for each node, shape (n_nodes,).
    """
    nodes, ends, count = model.nodes, chains.ends, len(model.nodes)
    plain = chains.plain.copy()
    beyond = (chains.conductors[:, np.newaxis] & ~nodes.conductors[ends]).any(axis=(1, 2))
    plain[ends[beyond | chains.shunt.any(axis=(1, 2))]] = False
    inside = plain[ends]
    part = components(count, ends[inside.all(axis=1)])

    def of_parts(at: Integers, weights: Integers | None = None) -> Integers:
        return np.bincount(part[at], weights, minlength=count).astype(np.intp)

    # A part is a tree where one line leads to it and it has as many lines as nodes, that one among them: without a
    # ring, each node has one line above it. No line has a conductor that one of its ends lacks, so where all lines have
    # as many conductors as all nodes, each has those of the node below it.
    lines, own = inside.any(axis=1), np.flatnonzero(plain)
    at, leading = ends[np.arange(len(ends)), inside.argmax(axis=1)], inside[:, 0] != inside[:, 1]
    of_lines, of_nodes = chains.conductors[lines].sum(axis=1), nodes.conductors[own].sum(axis=1)
    hangs = (of_parts(at[leading]) == 1) & (of_parts(at[lines]) == of_parts(own))
    hangs &= of_parts(at[lines], of_lines) == of_parts(own, of_nodes)
    return lines & hangs[part[at]], inside, part


def _ordered(links: Integers, root: int) -> tuple[Integers, Integers]:
    """Give nodes from above, each subtree together, and the one above each."""
    one, other = links.T
    graph = _links(np.concatenate([one, other]), np.concatenate([other, one]), root + 1)
    order, above = depth_first_order(graph, root)
    return order[1:].astype(np.intp), above


def _links(rows: Integers, columns: Integers, count: int) -> csr_array:
    """Give 1 at rows and columns below a count."""
    order = np.argsort(rows, kind="stable")
    starts = np.searchsorted(rows[order], np.arange(count + 1))
    return csr_array((np.ones(starts[-1]), columns[order[: starts[-1]]], starts), shape=(count, count))


def _subtrees(above: Integers, below_one: Truths) -> Integers:
    """Give where the subtree of each place ends."""
    end = list(range(1, len(above) + 1))
    pairs = list(zip(above.tolist(), below_one.tolist(), strict=True))
    for place in range(len(end) - 1, -1, -1):
        upper, is_below = pairs[place]
        if is_below:
            end[upper] = max(end[upper], end[place])
    return np.array(end, dtype=np.intp)
