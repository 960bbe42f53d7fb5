r"""
Reconfiguration: the radial position of the switches that serves an objective best, all that can be fed being fed.

Where it stands: the reconfiguration plug-in calls it with what is drawn now; `tree_flow` solves each position and
`limits` judges it; `switching_order` says how to get there.

The way: close everything, share the currents of the loops (`exchange.closed_currents`), weigh each switch by
:math:`w = 1 - |I| / \max |I|`, keep the spanning tree of least weight (Kruskal), then exchange one open switch for
another of its loop as long as that gains. Where the network has few radial positions, all of them are tried instead.

Rules:

- Limits come first: of two positions, the one that breaks them less is better, whatever the objective.
- Ties are broken by the losses, then by the position that is there, so that nothing is switched for nothing.
- Every position is judged by a power flow before it counts; the promise of an exchange only says which to try.

References
----------
M. Pau, E. Patti, L. Barbierato, A. Estebsari, E. Pons, F. Ponci, A. Monti, Sustainable Energy, Grids and Networks 15
(2018) 14-23 (spanning tree). M. E. Baran, F. F. Wu, IEEE Trans. Power Delivery 4:2 (1989) 1401-1407,
doi 10.1109/61.25627 (branch exchange).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from algorithms.api.network_tables import Truths
from algorithms.grid.switching.exchange import Exchange, Loop, closed_currents, exchanges, loops_of, with_currents
from algorithms.grid.switching.limits import Judge, Limits
from algorithms.grid.switching.switched import SwitchedNetwork
from algorithms.grid.switching.tree_flow import TreeFlow, TreeSolution

EXCHANGES = 200
"""Exchanges made at most in one search."""
TRIED = 4
"""Of the exchanges that promise fewer losses, so many are tried by a power flow before the search gives up."""


class Objective(StrEnum):
    """What a position of the switches is to serve."""

    LOSSES = "losses"
    """Active power turned to heat in lines."""
    VOLTAGE = "voltage-deviation"
    """The largest distance of a voltage from nominal."""
    GENERATION = "local-generation"
    """The power fed back at feeding points: what is generated shall be used where it is."""


class Effort(StrEnum):
    """How hard to look."""

    QUICK = "quick"
    """One spanning tree, then single exchanges."""
    THOROUGH = "thorough"
    """From several starts, and with pairs of exchanges of which the first alone gains nothing."""


ALL_TRIED = {Effort.QUICK: 8, Effort.THOROUGH: 250}
"""Up to so many radial positions are all tried: what a search would cost too."""


@dataclass(frozen=True, slots=True)
class Figures:
    """
    What a position comes to.

    Attributes
    ----------
    losses : float
        [W]
    deviation : float
        Largest distance of a voltage from nominal [1].
    exported : float
        Power fed back at feeding points [W].
    excess : float
        By how much limits are broken, relative to them; 0 within all [1].
    served : int
        Nodes that are fed.
    """

    losses: float
    deviation: float
    exported: float
    excess: float
    served: int


@dataclass(frozen=True, slots=True, eq=False)
class Reconfiguration:
    """
    What was found.

    Attributes
    ----------
    closed : numpy.ndarray
        Where each switch should stand, shape (n_switches,), bool.
    before, after : Figures
    to_open, to_close : tuple of str
        Ids of the switches that differ from how they stand now.
    exact : bool
        Whether every radial position was tried.
    tried : int
        Positions judged by a power flow.
    broken : tuple of str
        Limits that even this position breaks.
    """

    closed: Truths
    before: Figures
    after: Figures
    to_open: tuple[str, ...]
    to_close: tuple[str, ...]
    exact: bool
    tried: int
    broken: tuple[str, ...]


def reconfigure(
    flow: TreeFlow,
    objective: Objective = Objective.LOSSES,
    limits: Limits | None = None,
    *,
    effort: Effort = Effort.QUICK,
    exact: int | None = None,
) -> Reconfiguration:
    """
    Find the radial position that serves an objective best.

    Parameters
    ----------
    flow : TreeFlow
        The network as its switches stand, with what is drawn.
    objective : Objective
    limits : Limits or None
        None for the usual ones.
    effort : Effort
    exact : int or None
        Up to so many radial positions are all tried; None for what suits the effort (`ALL_TRIED`).

    Returns
    -------
    Reconfiguration
        Never worse than the present position where that is radial and feeds as much.
    """
    search = _Search(flow, objective, Judge(flow, limits or Limits()))
    return search.result(effort, ALL_TRIED[effort] if exact is None else exact)


_Score = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True, eq=False)
class _Position:
    closed: Truths
    solution: TreeSolution
    score: _Score


class _Search:
    """One search."""

    def __init__(self, flow: TreeFlow, objective: Objective, judge: Judge) -> None:
        self.flow, self.network, self.judge, self.objective = flow, flow.network, judge, objective
        self.present = self.network.model.switches.closed
        self.tried = 0

    def result(self, effort: Effort, exact: int) -> Reconfiguration:
        network, switches = self.network, self.network.model.switches
        present = self.judged(self.present)
        all_tried = network.count_trees() <= exact + 0.5
        best = self.best_of_all() if all_tried else self.searched(present, effort)
        if not present.solution.tree.loops and present.score <= best.score:
            best = present
        changed = best.closed != self.present
        return Reconfiguration(
            closed=best.closed,
            before=self.figures(present.solution),
            after=self.figures(best.solution),
            to_open=tuple(switches.ids[row] for row in np.flatnonzero(changed & ~best.closed)),
            to_close=tuple(switches.ids[row] for row in np.flatnonzero(changed & best.closed)),
            exact=all_tried,
            tried=self.tried,
            broken=tuple(self.judge.broken(best.solution)),
        )

    # ---- judging

    def judged(self, closed: Truths) -> _Position:
        self.tried += 1
        solution = self.flow.solve(self.network.tree(closed))
        return _Position(closed, solution, self.score(solution))

    def score(self, solution: TreeSolution) -> _Score:
        """Say how bad a position is: nodes that are dark, excess, objective, losses."""
        dark = float(len(self.network.zone) - len(solution.tree.order))
        excess = round(self.judge.excess(solution), 6)
        match self.objective:
            case Objective.LOSSES:
                value = solution.losses
            case Objective.VOLTAGE:
                value = round(self.judge.deviation(solution), 7)
            case Objective.GENERATION:
                value = round(self.judge.exported(solution), 0)
        return dark, excess, value, solution.losses

    def figures(self, solution: TreeSolution) -> Figures:
        judge = self.judge
        return Figures(
            losses=solution.losses,
            deviation=judge.deviation(solution),
            exported=judge.exported(solution),
            excess=judge.excess(solution),
            served=len(solution.tree.order),
        )

    # ---- searching

    def searched(self, present: _Position, effort: Effort) -> _Position:
        beginning = self.spanned(present)
        loops = loops_of(self.network, beginning.solution.tree, beginning.closed)
        if not loops:
            return beginning
        starts = [self.kruskal(beginning.solution, loops, resistive=False)]
        if effort is Effort.THOROUGH:
            starts += [self.kruskal(beginning.solution, loops, resistive=True), beginning]
        best = self.descend(starts[0], effort)
        for start in starts[1:]:
            found = self.descend(start, effort)
            if found.score < best.score:
                best = found
        return best

    def spanned(self, present: _Position) -> _Position:
        """Give a radial position near the present one that feeds all that can be fed."""
        rows = np.flatnonzero(self.network.operable)
        preference = sorted(rows.tolist(), key=lambda row: (not self.present[row], row))
        closed = self.network.spanning(preference)
        return present if (closed == self.present).all() else self.judged(closed)

    def kruskal(self, solution: TreeSolution, loops: list[Loop], *, resistive: bool) -> _Position:
        current = closed_currents(self.flow, solution, loops, resistive=resistive)
        weight = 1.0 - current / (float(current.max(initial=0.0)) or 1.0)
        rows = np.flatnonzero(self.network.operable)
        return self.judged(self.network.spanning(rows[np.argsort(weight[rows], kind="stable")].tolist()))

    def descend(self, position: _Position, effort: Effort) -> _Position:
        for _ in range(EXCHANGES):
            better = self.single(position)
            if better is None and effort is Effort.THOROUGH:
                better = self.pair(position)
            if better is None:
                break
            position = better
        return position

    def single(self, position: _Position) -> _Position | None:
        """Make the best exchange that gains, if there is one."""
        loops = loops_of(self.network, position.solution.tree, position.closed)
        offered = exchanges(self.flow, position.solution, loops)
        if self.objective is Objective.LOSSES and position.score[1] == 0.0:
            for exchange in offered[:TRIED]:
                if exchange.change >= 0.0:
                    break
                found = self.judged(_moved(position.closed, exchange))
                if found.score < position.score:
                    return found
            return None
        best = min((self.judged(_moved(position.closed, one)) for one in offered), key=_score, default=None)
        return best if best is not None and best.score < position.score else None

    def pair(self, position: _Position) -> _Position | None:
        """Make the best two exchanges that gain together."""
        network, flow = self.network, self.flow
        if self.objective is not Objective.LOSSES:
            return None
        loops = loops_of(network, position.solution.tree, position.closed)
        first = exchanges(flow, position.solution, loops)
        drawn = np.zeros((len(network.zone), 3), dtype=complex)
        drawn[position.solution.tree.order] = position.solution.drawn
        promises: list[tuple[float, Truths]] = []
        of_loop: dict[int, int] = {}
        for exchange in first:
            of_loop[exchange.close] = of_loop.get(exchange.close, 0) + 1
            if of_loop[exchange.close] > TRIED:
                continue
            closed = _moved(position.closed, exchange)
            tree = network.tree(closed)
            second = exchanges(flow, with_currents(flow, tree, drawn), loops_of(network, tree, closed))
            if second and exchange.change + second[0].change < 0.0:
                promises.append((exchange.change + second[0].change, _moved(closed, second[0])))
        promises.sort(key=lambda one: one[0])
        for _, closed in promises[:TRIED]:
            found = self.judged(closed)
            if found.score < position.score:
                return found
        return None

    def best_of_all(self) -> _Position:
        return min((self.judged(closed) for closed in positions(self.network)), key=_score)


def _score(position: _Position) -> _Score:
    return position.score


def _moved(closed: Truths, exchange: Exchange) -> Truths:
    moved = closed.copy()
    moved[exchange.close] = True
    moved[exchange.open] = False
    return moved


def positions(network: SwitchedNetwork) -> Iterator[Truths]:
    """Give every radial position that feeds all that can be fed, in a fixed order."""
    rows = np.flatnonzero(network.operable).tolist()
    whole = int(network.spanning(rows)[rows].sum())

    def complete(kept: list[int], ahead: list[int]) -> Iterator[Truths]:
        closed = network.spanning(kept + ahead)
        if int(closed[rows].sum()) < whole or not closed[kept].all():
            return
        if not ahead:
            yield closed
            return
        row, *rest = ahead
        yield from complete([*kept, row], rest)
        yield from complete(kept, rest)

    yield from complete([], rows)
