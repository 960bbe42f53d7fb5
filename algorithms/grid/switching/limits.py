"""
The limits a network is operated within, and by how much a solution breaks them.

Where it stands: `reconfiguration` and `restoration` judge every position of the switches by it.
"""

from dataclasses import dataclass

import numpy as np

from algorithms.api.network_tables import Complexes, Floats
from algorithms.grid.switching.switched import NOTHING, Tree
from algorithms.grid.switching.tree_flow import TreeFlow, TreeSolution


@dataclass(frozen=True, slots=True)
class Limits:
    """
    What is allowed.

    Attributes
    ----------
    lowest, highest : float
        Voltage phase to neutral, relative to nominal [1].
    loading : float
        Current relative to the rating of lines and switches [1].
    """

    lowest: float = 0.9
    highest: float = 1.1
    loading: float = 1.0


class Judge:
    """
    Limits, applied to the trees of one network.

    Parameters
    ----------
    flow : TreeFlow
    limits : Limits
    """

    def __init__(self, flow: TreeFlow, limits: Limits) -> None:
        model = flow.network.model
        self.flow, self.limits = flow, limits
        self._rating = np.concatenate([model.branches.rating, model.switches.rating]) * limits.loading
        self._rated = bool(np.isfinite(self._rating).any())
        self._there = model.nodes.conductors[:, :3]
        self._whole = bool(self._there.all())

    def excess(self, solution: TreeSolution) -> float:
        """Give by how much limits are broken, all excesses relative to their limits added up [1]."""
        relative = self._relative(solution)
        limits = self.limits
        over = np.maximum(relative - limits.highest, 0.0).sum() + np.maximum(limits.lowest - relative, 0.0).sum()
        if self._rated:
            loading = self._loading(solution)
            over += np.maximum(loading - 1.0, 0.0).sum()
        return float(over) if solution.converged else float("inf")

    def deviation(self, solution: TreeSolution) -> float:
        """Give the largest distance of a voltage from nominal, relative to nominal [1]."""
        return float(np.abs(self._relative(solution) - 1.0).max(initial=0.0))

    def exported(self, solution: TreeSolution) -> float:
        """Give the power that is fed back at feeding points [W]."""
        top = solution.tree.edge == NOTHING
        power = (solution.voltages[top] * solution.carried[top].conj()).real.sum(axis=1)
        return float(np.maximum(-power, 0.0).sum())

    def broken(self, solution: TreeSolution) -> list[str]:
        """Say which limits are broken, the worst of each kind."""
        model, tree, limits = self.flow.network.model, solution.tree, self.limits
        if not solution.converged:
            return ["more power is drawn than can be carried"]
        found = []
        relative = self._relative(solution)
        for worst, bound, word in (
            (int(relative.min(axis=1).argmin()), limits.lowest, "below"),
            (int(relative.max(axis=1).argmax()), limits.highest, "above"),
        ):
            value = float(relative[worst].min() if word == "below" else relative[worst].max())
            if value < bound if word == "below" else value > bound:
                node = model.nodes.ids[tree.order[worst]]
                found.append(f"{100 * value:.1f} % of nominal voltage at {node}, {word} {100 * bound:.0f} %")
        if self._rated:
            loading = self._loading(solution)
            worst = int(loading.argmax())
            if loading[worst] > 1.0:
                edge = int(tree.edge[worst])
                ids = (*model.branches.ids, *model.switches.ids)
                found.append(f"{100 * loading[worst]:.0f} % of what {ids[edge]} may carry")
        return found

    def overloaded(self, tree: Tree, through: Complexes, places: list[int]) -> str:
        """Say which edge above one of `places` may not carry its current of `through`, shape (k, 3) [A]."""
        model = self.flow.network.model
        ids = (*model.branches.ids, *model.switches.ids)
        for place in places:
            edge, current = int(tree.edge[place]), float(np.abs(through[place]).max())
            if edge != NOTHING and current > self._rating[edge]:
                return f"{ids[edge]} may carry {self._rating[edge]:g} A"
        return ""

    def _relative(self, solution: TreeSolution) -> Floats:
        order = solution.tree.order
        relative: Floats = np.abs(solution.voltages) / self.flow.nominal[order][:, np.newaxis]
        if not self._whole:
            relative = np.where(self._there[order], relative, 1.0)
        return relative

    def _loading(self, solution: TreeSolution) -> Floats:
        edge = solution.tree.edge
        loading: Floats = np.abs(solution.carried).max(axis=1, initial=0.0) / self._rating[edge]
        loading[edge == NOTHING] = 0.0
        return loading
