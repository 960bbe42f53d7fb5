r"""
Power flow of radial networks by backward and forward sweep.

Where it stands: one of the two ways of `powerflow`; the faster one for large radial networks. Backward, each line
carries the sum of what is drawn below it; forward, each voltage is that of the root less the drops on the way:

.. math:: J_i = \sum_{j\ \text{below}\ i} I_j(V_j), \quad V_i = V_{root} - \sum_{j\ \text{on the way}} Z_j J_j

Rules:

- As a subtree is one slice of the order (`radial`), sums below are differences of one running sum, and sums on the way
  are one running sum of drops that are taken back where their subtree ends. So there is no loop over depth, only over
  levels of transformers, of which a network has one to three.
- Topology, impedances and places of loads are prepared once.
- Charging currents follow the voltages of the iteration before, as loads do.

References
----------
C. S. Cheng, D. Shirmohammadi, IEEE Trans. Power Systems 10:2 (1995) 671-679, doi 10.1109/59.387902 (three-phase
sweep; here voltages and currents only, without its compensation of loops). W. H. Kersting, *Distribution System Modeling
and Analysis*, CRC Press, chapter 10.
"""

import math
from dataclasses import dataclass

import numpy as np

from algorithms.api.errors import NetworkError
from algorithms.api.network import NetworkModel
from algorithms.api.network_tables import Complexes, Integers
from algorithms.grid.admittance import describe, name_of
from algorithms.grid.elements import check_power, demand, find_elements, incidence
from algorithms.grid.points import EARTH, find_points, find_references
from algorithms.grid.primitives import source_voltages
from algorithms.grid.radial import Forest, grow
from algorithms.grid.sections import Sections, judge, lay_out
from algorithms.grid.solution import Solution, verdict, without_return


@dataclass(frozen=True, slots=True, eq=False)
class _Level:
    """One level of sections: positions, ends of their subtrees, places in a walk, what feeds the roots, and these."""

    positions: Integers
    end: Integers
    leaving: Integers
    entering: Integers
    drop: Complexes
    fed: Integers
    roots: Integers


class Sweep:
    """
    A radial network prepared for any number of solutions.

    Parameters
    ----------
    model : NetworkModel

    Raises
    ------
    NetworkError
        When the network does not suit a sweep, or cannot be solved at all, with every reason found.
    """

    method = "sweep"

    def __init__(self, model: NetworkModel) -> None:
        points, forest = find_points(model), grow(model)
        self.elements = find_elements(model, points)
        references = find_references(model, points)
        problems = judge(model, points, forest, self.elements)
        if problems:
            raise NetworkError(problems)
        self.power = demand(model)
        self.references = tuple(describe(model, reference) for reference in references)
        self.points, self.forest = points, forest
        neutral = bool((points.at_node[forest.order, 3] != EARTH).any())
        self._width = 4 if neutral else 3
        self._sections: Sections = lay_out(model, points, forest, self._width)
        self._levels = _levels(self._sections, forest)
        self._behind = np.zeros((len(forest.source), self._width), dtype=complex)
        self._behind[:, :3] = source_voltages(model.sources)[forest.source]
        self._charged = np.flatnonzero(self._sections.shunt.any(axis=(1, 2)))
        self._shunt = self._sections.shunt[self._charged]
        self._nominal = model.nodes.nominal_voltage[forest.order]
        self._names = tuple(name_of(model, points, point) for point in self.elements.first)
        self._dead = ~points.energised
        position = np.full(len(model.nodes), -1, dtype=np.intp)
        position[forest.order] = np.arange(len(forest.order))
        place = np.append(position[points.node] * self._width + points.conductor, EARTH)
        first, second = place[self.elements.first], place[self.elements.second]
        self._incidence = incidence(first, second, len(forest.order) * self._width)
        self._drawing = self._incidence.T.tocsr()

    def solve(self, power: Complexes | None = None, *, tolerance: float = 1e-9, iterations: int = 100) -> Solution:
        """
        Find the voltages; parameters and errors are those of `CurrentInjection.solve`.

        `voltages` start from those without load.
        """
        power = check_power(power, self.power)
        elements = self.elements
        drawing = power[elements.row, elements.column]
        nothing = np.zeros((len(self.forest.order), self._width), dtype=complex)
        voltages = self._forward(nothing)
        current, change = np.zeros(len(elements), dtype=complex), np.zeros(len(elements))
        mismatch, count = 0.0, 0
        across = self._incidence @ voltages.ravel()
        with np.errstate(all="ignore"):
            while count < iterations:
                count += 1
                current = elements.currents(drawing, across)
                drawn = (self._drawing @ current).reshape(nothing.shape)
                if len(self._charged):
                    drawn[self._charged] += np.einsum("kij,kj->ki", self._shunt, voltages[self._charged])
                before, voltages = voltages, self._forward(self._backward(drawn))
                found = self._incidence @ voltages.ravel()
                change = np.abs(found - across) / elements.nominal
                across = found
                mismatch = float(change.max(initial=0.0))
                if len(self._charged):
                    moved = np.abs(voltages - before)[self._charged].max(axis=1)
                    mismatch = max(mismatch, float((moved / self._nominal[self._charged]).max()))
                if not mismatch > tolerance or not math.isfinite(mismatch):
                    break
        worst = self._names[int(np.argmax(np.nan_to_num(change, nan=np.inf)))] if len(elements) else ""
        reason = verdict(mismatch, tolerance, count, worst) or self._returning(current)
        in_all = np.zeros(power.shape, dtype=complex)
        in_all[elements.row, elements.column] = current
        full = np.zeros(self._dead.shape, dtype=complex)
        full[self.forest.order, : self._width] = voltages
        full[self._dead] = 0.0
        return Solution(
            voltages=full,
            energised=self.points.energised,
            currents=in_all,
            converged=not reason,
            iterations=count,
            mismatch=mismatch,
            worst=worst,
            reason=reason,
            references=self.references,
            method=self.method,
        )

    def _backward(self, drawn: Complexes) -> Complexes:
        """Sum what is drawn at and below each position, shape (k, c) [A]; `drawn` is used up."""
        sections, carried = self._sections, np.empty_like(drawn)
        for level in reversed(self._levels):
            running = np.zeros((len(level.positions) + 1, self._width), dtype=complex)
            np.cumsum(drawn[level.positions], axis=0, out=running[1:])
            carried[level.positions] = running[level.end] - running[:-1]
            if len(level.fed):
                above = np.einsum("tji,tj->ti", sections.lowering[level.fed].conj(), carried[sections.fed[level.fed]])
                np.add.at(drawn, sections.feeding[level.fed], above)
        return carried

    def _forward(self, carried: Complexes) -> Complexes:
        """Give voltages of what the ways to each position carry, shape (k, c) [V]."""
        voltages = np.empty_like(carried)
        for number, level in enumerate(self._levels):
            here = carried[level.positions]
            change = -np.einsum("kij,kj->ki", level.drop, here)
            change[level.roots] = self._at_roots(number, carried, voltages)
            running = np.empty((2 * len(level.positions), self._width), dtype=complex)
            running[level.entering] = change
            running[level.leaving] = -change
            np.cumsum(running, axis=0, out=running)
            voltages[level.positions] = running[level.entering]
        return voltages

    def _at_roots(self, number: int, carried: Complexes, voltages: Complexes) -> Complexes:
        sections = self._sections
        if number == 0:
            return self._behind - np.einsum("sij,sj->si", sections.root_impedance, carried[sections.roots])
        fed = self._levels[number].fed
        fed_voltages: Complexes = np.einsum(
            "tij,tj->ti", sections.lowering[fed], voltages[sections.feeding[fed]]
        ) - np.einsum("tij,tj->ti", sections.fed_impedance[fed], carried[sections.fed[fed]])
        return fed_voltages

    def _returning(self, current: Complexes) -> str:
        """Tell at which root zero-sequence current would have to flow where it cannot, if any."""
        places = self._sections.without_return
        if not len(places) or not len(current):
            return ""
        drawn = (self._drawing @ current).reshape(-1, self._width)
        returning = np.abs(self._backward(drawn)[places, :3].sum(axis=1))
        if returning.max() <= 1e-6 * np.abs(current).max():
            return ""
        return without_return(float(returning.max()), "; ".join(self.references))


def _levels(sections: Sections, forest: Forest) -> tuple[_Level, ...]:
    """Prepare running sums for each level of sections."""
    levels = []
    for number in range(int(sections.level.max(initial=0)) + 1):
        positions = np.flatnonzero(sections.level == number)
        end = np.searchsorted(positions, forest.end[positions])
        depth_first = np.argsort(_turns(end), kind="stable")
        place = np.empty_like(depth_first)
        place[depth_first] = np.arange(len(depth_first))
        count = len(positions)
        fed = np.flatnonzero(sections.level[sections.fed] == number)
        roots = sections.fed[fed] if number else sections.roots
        levels.append(
            _Level(
                positions=positions,
                end=end,
                entering=place[:count],
                leaving=place[count:],
                drop=sections.drop[positions],
                fed=fed,
                roots=np.searchsorted(positions, roots),
            )
        )
    return tuple(levels)


def _turns(end: Integers) -> Integers:
    """Give keys that sort subtrees' entering, then their leaving, as a walk meets them."""
    # Before position i is entered, every subtree that ends at i or before has been left. As nothing is read between two
    # leavings, their order does not matter.
    start = np.arange(len(end))
    entering = 2 * start + 1
    leaving = 2 * end
    return np.concatenate([entering, leaving])
