r"""
Power flow of radial networks by backward and forward sweep.

Where it stands: one of the two ways of `powerflow`, for radial networks. Backward, each line
carries the sum of what is drawn below it; forward, each voltage is that of the root less the drops on the way:

.. math:: J_i = \sum_{j\ \text{below}\ i} I_j(V_j), \quad V_i = V_{root} - \sum_{j\ \text{on the way}} Z_j J_j

Rules:

- As a subtree is one slice of the order (`radial`), sums below are differences of one running sum, and sums on the
  way are one running sum of drops that are taken back where their subtree ends. So there is no loop over depth, only
  over levels of transformers, of which a network has one to three.
- Topology, impedances and places of loads are prepared once.
- Charging currents follow the voltages of the iteration before, as loads do; many kilometres of cable behind a weak
  source take many iterations, where current injection, which has them in its matrix, takes few.

References
----------
C. S. Cheng, D. Shirmohammadi, IEEE Trans. Power Systems 10:2 (1995) 671-679, doi 10.1109/59.387902 (three-phase
sweep; here voltages and currents only, without its compensation of loops). W. H. Kersting, *Distribution System
Modeling and Analysis*, CRC Press, chapter 10.
"""

import math
from dataclasses import dataclass

import numpy as np

from algorithms.api.errors import NetworkError
from algorithms.api.network import NetworkModel
from algorithms.api.network_tables import Complexes, Integers
from algorithms.grid.admittance import describe, name_of
from algorithms.grid.elements import check_power, check_powers, demand, find_elements, incidence
from algorithms.grid.points import EARTH, find_points, find_references
from algorithms.grid.primitives import source_voltages
from algorithms.grid.radial import Forest, grow
from algorithms.grid.sections import Sections, judge, lay_out
from algorithms.grid.solution import Solution, beyond, verdict, without_return


@dataclass(frozen=True, slots=True, eq=False)
class _Level:
    """One level of sections: a slice of positions, and what joins it with the level above."""

    here: slice
    end: Integers
    """Where the subtree of each position ends, within the slice."""
    entering: Integers
    leaving: Integers
    """Places of each position in a walk around the trees."""
    drop: Complexes
    roots: Integers
    """Positions fed from above, or by sources."""
    impedance: Complexes
    lowering: Complexes
    feeding: Integers
    """Positions above the roots; none at the level of the sources."""


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
        problems = judge(model, points, forest, self.elements)
        if problems:
            raise NetworkError(problems)
        self.power = demand(model)
        self.references = tuple(describe(model, reference) for reference in find_references(model, points))
        self._energised = points.energised
        neutral = bool((points.at_node[forest.order, 3] != EARTH).any())
        self._width = 4 if neutral else 3
        sections = lay_out(model, points, forest, self._width)
        by_level = np.argsort(sections.level, kind="stable")
        position = np.empty_like(by_level)
        position[by_level] = np.arange(len(by_level))
        self._levels = _levels(sections, forest, by_level, position)
        self._nodes = forest.order[by_level]
        self._nominal = model.nodes.nominal_voltage[self._nodes]
        self._behind = np.zeros((self._width, len(forest.source)), dtype=complex)
        self._behind[:3] = source_voltages(model.sources)[forest.source].T
        self._without_return = position[sections.without_return]
        shunt = sections.shunt[by_level]
        charged = np.flatnonzero(shunt.any(axis=(1, 2)))
        self._shunt = _last(shunt[charged])
        self._charged = slice(None) if len(charged) == len(by_level) else charged
        at = np.full(len(model.nodes), EARTH, dtype=np.intp)
        at[self._nodes] = np.arange(len(self._nodes))
        place = np.append(points.conductor * len(self._nodes) + at[points.node], EARTH)
        self._point_place = place[:-1]
        self._roots_of = forest.source
        first, second = place[self.elements.first], place[self.elements.second]
        self._across = incidence(first, second, len(self._nodes) * self._width)
        self._drawing = self._across.T.tocsr()
        self._names = tuple(name_of(model, points, point) for point in self.elements.first)

    @property
    def charging(self) -> bool:
        """Whether lines charge: their currents then depend on voltages, and one pass is not the answer."""
        return self._shunt.size > 0

    def respond(self, emfs: Complexes, currents: Complexes) -> Complexes:
        """
        Give voltages of points for given currents, in one pass; right where nothing charges.

        Parameters
        ----------
        emfs : numpy.ndarray
            Of the sources, shape (n_sources, 3) [V].
        currents : numpy.ndarray
            What the elements draw, shape (m,) [A].

        Returns
        -------
        numpy.ndarray
            To earth, shape (k,) [V].
        """
        behind = np.zeros_like(self._behind)
        behind[:3] = emfs[self._roots_of].T
        found: Complexes = self._forward(self._backward(self._drawn(currents)), behind).ravel()[self._point_place]
        return found

    def solve(self, power: Complexes | None = None, *, tolerance: float = 1e-9, iterations: int = 300) -> Solution:
        """Find the voltages, starting from those without load; parameters and errors as in `CurrentInjection.solve`."""
        power = check_power(power, self.power)
        elements = self.elements
        drawing = power[elements.row, elements.column]
        voltages = self._forward(np.zeros((self._width, len(self._nodes)), dtype=complex))
        current, change = np.zeros(len(elements), dtype=complex), np.zeros(len(elements))
        mismatch, count, charging = 0.0, 0, self._shunt.size > 0
        across = self._across @ voltages.ravel()
        with np.errstate(all="ignore"):
            while count < iterations:
                count += 1
                current = elements.currents(drawing, across)
                drawn = self._drawn(current)
                if charging:
                    drawn[:, self._charged] += np.einsum("ijk,jk->ik", self._shunt, voltages[:, self._charged])
                before, voltages = voltages, self._forward(self._backward(drawn))
                found = self._across @ voltages.ravel()
                change = np.abs(found - across) / elements.nominal
                across, mismatch = found, float(change.max(initial=0.0))
                if charging and not mismatch > tolerance:
                    mismatch = max(mismatch, float((np.abs(voltages - before) / self._nominal).max()))
                if not mismatch > tolerance or not math.isfinite(mismatch):
                    break
        worst = self._names[int(np.argmax(np.nan_to_num(change, nan=np.inf)))] if len(elements) else ""
        drawn_by = np.zeros(power.shape, dtype=complex)
        drawn_by[elements.row, elements.column] = current
        full = np.zeros(self._energised.shape, dtype=complex)
        full[self._nodes, : self._width] = voltages.T
        full[~self._energised] = 0.0
        reason = verdict(mismatch, tolerance, count, worst) or self._returning(current)
        reason = reason or beyond(across, elements.nominal, self._names)
        return Solution(
            voltages=full,
            energised=self._energised,
            currents=drawn_by,
            converged=not reason,
            iterations=count,
            mismatch=mismatch,
            worst=worst,
            reason=reason,
            references=self.references,
            method=self.method,
        )

    def solve_all(self, powers: Complexes, *, tolerance: float = 1e-9, iterations: int = 300) -> tuple[Solution, ...]:
        """Find the voltages for many demands; parameters as in `CurrentInjection.solve_all`."""
        checked = check_powers(powers, self.power)
        return tuple(self.solve(power, tolerance=tolerance, iterations=iterations) for power in checked)

    def _drawn(self, current: Complexes) -> Complexes:
        """Give what elements draw at each position, shape (c, k) [A]."""
        drawn: Complexes = (self._drawing @ current).reshape(self._width, -1)
        return drawn

    def _backward(self, drawn: Complexes) -> Complexes:
        """Sum what is drawn at and below each position, shape (c, k) [A]; `drawn` is used up."""
        carried = np.empty_like(drawn)
        for level in reversed(self._levels):
            here = drawn[:, level.here]
            running = np.zeros((self._width, here.shape[1] + 1), dtype=complex)
            np.cumsum(here, axis=1, out=running[:, 1:])
            np.subtract(running[:, level.end], running[:, :-1], out=carried[:, level.here])
            if len(level.feeding):
                above = np.einsum("jit,jt->it", level.lowering.conj(), carried[:, level.roots])
                for conductor, currents in enumerate(above):
                    np.add.at(drawn[conductor], level.feeding, currents)
        return carried

    def _forward(self, carried: Complexes, behind: Complexes | None = None) -> Complexes:
        """Give voltages of what the ways to each position carry, shape (c, k) [V]."""
        voltages = np.empty_like(carried)
        emfs = self._behind if behind is None else behind
        for level in self._levels:
            change = -np.einsum("ijk,jk->ik", level.drop, carried[:, level.here])
            above = emfs
            if len(level.feeding):
                above = np.einsum("ijt,jt->it", level.lowering, voltages[:, level.feeding])
            change[:, level.roots - level.here.start] = above - np.einsum(
                "ijt,jt->it", level.impedance, carried[:, level.roots]
            )
            running = np.empty((self._width, 2 * change.shape[1]), dtype=complex)
            running[:, level.entering] = change
            running[:, level.leaving] = -change
            np.cumsum(running, axis=1, out=running)
            voltages[:, level.here] = running[:, level.entering]
        return voltages

    def _returning(self, current: Complexes) -> str:
        """Tell at which root zero-sequence current would have to flow where it cannot, if any."""
        if not len(self._without_return) or not len(current):
            return ""
        returning = np.abs(self._backward(self._drawn(current))[:3, self._without_return].sum(axis=0))
        if returning.max() <= 1e-6 * np.abs(current).max():
            return ""
        return without_return(float(returning.max()), "; ".join(self.references))


def _last(matrices: Complexes) -> Complexes:
    """Put the first axis last, where sums run fastest."""
    return np.ascontiguousarray(np.moveaxis(matrices, 0, -1))


def _levels(sections: Sections, forest: Forest, by_level: Integers, position: Integers) -> tuple[_Level, ...]:
    """Prepare running sums for each level of sections."""
    levels = []
    for number in range(int(sections.level.max(initial=0)) + 1):
        before = np.flatnonzero(sections.level == number)
        end = np.searchsorted(before, forest.end[before])
        count, start = len(before), int(np.count_nonzero(sections.level < number))
        # Before position i is entered, every subtree that ends at i or before has been left. As nothing is read between
        # two leavings, their order does not matter.
        walk = np.argsort(np.concatenate([2 * np.arange(count) + 1, 2 * end]), kind="stable")
        place = np.empty_like(walk)
        place[walk] = np.arange(2 * count)
        fed = np.flatnonzero(sections.level[sections.fed] == number)
        levels.append(
            _Level(
                here=slice(start, start + count),
                end=end,
                entering=place[:count],
                leaving=place[count:],
                drop=_last(sections.drop[by_level[start : start + count]]),
                roots=position[sections.fed[fed] if number else sections.roots],
                impedance=_last(sections.fed_impedance[fed] if number else sections.root_impedance),
                lowering=_last(sections.lowering[fed]),
                feeding=position[sections.feeding[fed]],
            )
        )
    return tuple(levels)
