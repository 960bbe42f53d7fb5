r"""
Nodes that only pass current on: their voltages follow from those at the ends of the chain of lines they are in.

Where it stands: `response` leaves them out of its equations; on feeders drawn pole by pole they are most of all nodes.
Along a chain from node a to node b the same current flows, so with :math:`Z_i` the impedance up to node i and
:math:`Z` that of the whole chain

.. math:: V_i = (1 - Z_i Z^{-1})\, V_a + Z_i Z^{-1}\, V_b

which is exact.

Rules:

- Inside a chain are nodes with two lines, both of the node's own conductors and without shunt admittance, and nothing
  else: no load, generator, source, transformer, switch, grounding or reference.
- A line that is in no chain is a chain of its own, with its shunt admittance.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.sparse import csr_array

from algorithms.api.network import NetworkModel
from algorithms.api.network_tables import Complexes, Integers, Truths
from algorithms.grid.points import EARTH, Points, Reference
from algorithms.grid.primitives import series_admittances


@dataclass(frozen=True, eq=False)
class Chains:
    """
    A network without the nodes inside chains.

    Attributes
    ----------
    number : numpy.ndarray
        Number of each point among those that are left, `EARTH` for those inside chains and, last, for earth, shape
        (k + 1,).
    kept : numpy.ndarray
        Points that are left, ascending, shape (c,).
    ends : numpy.ndarray
        Rows of the nodes at both ends of each chain, shape (r, 2).
    conductors : numpy.ndarray
        Of each chain, shape (r, 4), bool.
    series, shunt : numpy.ndarray
        Impedance along each chain and admittance to earth, shape (r, 4, 4) [ohm, S].
    plain : numpy.ndarray
        Nodes with live conductors that lines, loads and generators alone are at, shape (n_nodes,), bool.
    inside : Inside or None
        The nodes inside chains; None where there are none.
    """

    number: Integers
    kept: Integers
    ends: Integers
    conductors: Truths
    series: Complexes
    shunt: Complexes
    plain: Truths
    inside: "Inside | None"

    @cached_property
    def spread(self) -> csr_array | None:
        """Voltages of all points for those of the points that are left, shape (k, c) [1]; None where all are left."""
        return None if self.inside is None else _spread(self.kept, len(self.number) - 1, self.inside)

    def everywhere(self, voltages: Complexes) -> Complexes:
        """Give the voltages of all points for those that are left, shape (c,) or (c, j) [V]."""
        if voltages.ndim > 1:
            return voltages if self.spread is None else np.asarray(self.spread @ voltages)
        if self.inside is None:
            return voltages
        inside, ended = self.inside, np.append(voltages, 0.0)
        first, second = ended[inside.first], ended[inside.second]
        found = np.empty(len(self.number), dtype=complex)
        # A conductor that a node lacks is EARTH, the entry behind the last point.
        found[inside.at] = first + np.einsum("nij,nj->ni", inside.share, second - first)
        found[self.kept] = voltages
        return found[:-1]

    def left(self, watch: csr_array) -> csr_array:
        """Give for combinations of the voltages of all points those of the points that are left, the same in value."""
        if self.inside is None:
            return watch
        columns = self.number[watch.indices]
        if (columns == EARTH).any():
            return csr_array(watch @ self.spread)
        return csr_array((watch.data, columns, watch.indptr), shape=(watch.shape[0], len(self.kept)))


@dataclass(frozen=True, slots=True, eq=False)
class Inside:
    """
    Nodes inside chains, and where between both ends they stand.

    Attributes
    ----------
    at : numpy.ndarray
        Points of their conductors A, B, C, N, `EARTH` for those they lack, shape (n, 4).
    share : numpy.ndarray
        Of the voltage from the first to the second end, shape (n, 4, 4) [1].
    first, second : numpy.ndarray
        Points of the ends, as they are left, shape (n, 4).
    """

    at: Integers
    share: Complexes
    first: Integers
    second: Integers


def find_chains(model: NetworkModel, points: Points, references: Iterable[Reference]) -> Chains:
    """Find the chains of a network, those of single lines included."""
    branches, plain = model.branches, _plain(model, points, references)
    inside = _inside(model, plain)
    lines = np.arange(len(branches))
    tail = np.concatenate([branches.from_node, branches.to_node])
    head = np.concatenate([branches.to_node, branches.from_node])
    last, left = _walked(tail, head, inside)
    alone = lines[~inside[branches.from_node] & ~inside[branches.to_node]]
    # Each chain is walked both ways; one of them is taken.
    taken = np.where(last[: len(lines)] < last[len(lines) :], lines, len(lines) + lines)
    taken = taken[inside[branches.from_node] | inside[branches.to_node]]
    walk = taken[np.lexsort((-left[taken], last[taken]))]
    onward = last[walk] != walk
    ends = np.flatnonzero(~onward)
    starts = np.append(0, ends + 1)[: len(ends)]
    chain = np.repeat(np.arange(len(ends)), ends - starts + 1)
    series = branches.z[walk % max(len(lines), 1)]
    along = np.cumsum(series, axis=0)
    along -= (along[starts] - series[starts])[chain]

    line = np.concatenate([walk[ends] % max(len(lines), 1), alone])
    there = branches.conductors[line]
    whole = np.concatenate([along[ends], branches.z[alone]])
    gone = np.zeros(points.count + 1, dtype=bool)
    gone[points.at_node[inside]] = True
    kept = np.flatnonzero(~gone[:-1])
    number = np.full(points.count + 1, EARTH, dtype=np.intp)
    number[kept] = np.arange(len(kept))
    both = np.stack([tail[np.concatenate([walk[starts], alone])], head[np.concatenate([walk[ends], alone])]], axis=1)
    within = None
    if onward.any():
        of = chain[onward]
        share = along[onward] @ series_admittances(along[ends], there[: len(ends)])[of]
        first, second = (number[np.where(there[of], points.at_node[end], EARTH)] for end in both[of].T)
        at = np.where(there[of], points.at_node[head[walk[onward]]], EARTH)
        within = Inside(at, share, first, second)
    return Chains(number, kept, both, there, whole, branches.y[line], plain, within)


def _plain(model: NetworkModel, points: Points, references: Iterable[Reference]) -> Truths:
    """Tell which nodes have live conductors, and but lines, loads and generators nothing, shape (n_nodes,)."""
    nodes, live = model.nodes, points.at_node != EARTH
    plain: Truths = (live == nodes.conductors).all(axis=1) & ~nodes.grounded
    for table in (model.transformers, model.switches):
        plain[table.from_node] = plain[table.to_node] = False
    plain[model.sources.node] = False
    for reference in references:
        plain[points.node[list(reference.points)]] = False
    return plain


def _inside(model: NetworkModel, plain: Truths) -> Truths:
    """Tell which nodes are inside chains, shape (n_nodes,)."""
    nodes, branches = model.nodes, model.branches
    ends = np.stack([branches.from_node, branches.to_node], axis=1)
    suits = (branches.conductors[:, np.newaxis] == nodes.conductors[ends]).all(axis=2)
    charged: Truths = np.asarray(branches.y.any(axis=(1, 2)))
    suits[charged] = False
    count = len(nodes)
    inside: Truths = np.bincount(ends.ravel(), minlength=count) == 2
    inside &= np.bincount(ends[suits], minlength=count) == 2
    inside &= plain
    for equipment in (model.loads, model.generators):
        inside[equipment.node] = False
    return inside


def _walked(tail: Integers, head: Integers, inside: Truths) -> tuple[Integers, Integers]:
    """
    Follow lines onward through the nodes inside chains.

    Parameters
    ----------
    tail, head : numpy.ndarray
        Where each line starts and ends: all of them as they stand, then all of them the other way, shape (2 n,).
    inside : numpy.ndarray
        Nodes that are passed.

    Returns
    -------
    last, left : numpy.ndarray
        The last line on the way, and how many more there are to it, shape (2 n,).
    """
    count = len(tail)
    own = np.arange(count)
    back = np.roll(own, count // 2)
    leaving = np.bincount(tail, weights=own, minlength=len(inside)).astype(np.intp)  # both lines that leave a node
    passes = inside[head]
    last = np.where(passes, leaving[head] - back, own)
    left = passes.astype(np.intp)
    for _ in range(count.bit_length()):  # each time twice as far
        onward = last[last]
        if np.array_equal(onward, last):
            break
        left += left[last]
        last = onward
    return last, left


def _spread(kept: Integers, count: int, inside: Inside) -> csr_array:
    """Give the voltages of all points, those inside chains being between those at both ends."""
    rows, columns, values = [kept], [np.arange(len(kept))], [np.ones(len(kept), dtype=complex)]
    for end, part in ((inside.first, np.eye(4) - inside.share), (inside.second, inside.share)):
        row = np.broadcast_to(inside.at[:, :, np.newaxis], part.shape)
        column = np.broadcast_to(end[:, np.newaxis, :], part.shape)
        there = (row != EARTH) & (column != EARTH) & (part != 0)
        rows.append(row[there])
        columns.append(column[there])
        values.append(part[there])
    entries = np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))
    return csr_array(entries, shape=(count, len(kept)))
