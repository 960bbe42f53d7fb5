"""
How one dark island can be brought back: whole by one way, or in parts by several, within limits.

Where it stands: `restoration` decides which islands there are and which comes first; this searches for one of them.

Rules: an island gets one way in, and so does each part of it; few parts are tried before many; of two plans that leave
as many customers and as much power dark, the one with fewer operations, then with fewer losses, is taken.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from algorithms.api.network_tables import Truths
from algorithms.grid.switching.limits import Judge, Limits
from algorithms.grid.switching.switched import NOTHING
from algorithms.grid.switching.tree_flow import TreeFlow, TreeSolution

PARTED = 3
"""An island is parted at so many switches at most."""
TRIED = 400
"""Positions judged by a power flow at most, for one island."""

_Key = tuple[int, float, int]


@dataclass(frozen=True, slots=True)
class Plan:
    """
    One way of bringing back an island.

    Attributes
    ----------
    key : tuple
        Customers and power [W] that stay dark, and operations: less is better, in this order.
    opened, closed : tuple of int
        Rows of switches: those that part it, and those that bring the parts back, most customers first.
    """

    key: _Key
    opened: tuple[int, ...]
    closed: tuple[int, ...]


class IslandSupply:
    """
    The search for one network.

    Parameters
    ----------
    flow : TreeFlow
        With what nodes draw when they come back.
    limits : Limits
    customers, power : list of float
        Of each zone [1], [W].
    closed : numpy.ndarray
        Where switches stand with the fault enclosed, shape (n_switches,), bool: limits may be broken by no more.

    Attributes
    ----------
    tried : int
        Positions judged by a power flow.
    complete : bool
        Whether every way of parting that the search allows was looked at.
    excess : float
        By how much limits are broken already; infinite where what is drawn has no solution, and nothing is closed then.
    """

    def __init__(
        self, flow: TreeFlow, limits: Limits, customers: list[float], power: list[float], closed: Truths
    ) -> None:
        self.flow, self.network, self.customers, self.power = flow, flow.network, customers, power
        self.zone = flow.network.zone.tolist()
        self.judge = Judge(flow, limits)
        self.tried = 0
        self.complete = True
        self.excess = self.judge.excess(self.solve(closed))

    def within(self, closed: Truths) -> bool:
        """Tell whether a position keeps every limit."""
        return self.judge.excess(self.solve(closed)) <= 1e-9

    def solve(self, closed: Truths) -> TreeSolution:
        """Solve one position, and count it."""
        self.tried += 1
        return self.flow.solve(self.network.tree(closed))

    def ends(self, row: int) -> tuple[int, int]:
        """Give the zones at both ends of a switch."""
        one, other = self.network.ends[self.network.branches + row]
        return self.zone[one], self.zone[other]

    def weight(self, island: frozenset[int]) -> tuple[float, float, int]:
        """Give customers and power [W] of an island, and a number that makes the order certain."""
        return sum(self.customers[zone] for zone in island), sum(self.power[zone] for zone in island), -min(island)

    def parts(self, wanted: set[int] | frozenset[int], closed: Truths) -> list[frozenset[int]]:
        """Part zones into what hangs together, the switches standing as `closed` says."""
        beside: dict[int, list[int]] = {zone: [] for zone in wanted}
        for row in np.flatnonzero(closed & self.network.operable).tolist():
            one, other = self.ends(row)
            if one in beside and other in beside:
                beside[one].append(other)
                beside[other].append(one)
        found, seen = [], set[int]()
        for zone in sorted(wanted):
            if zone in seen:
                continue
            part, ahead = {zone}, [zone]
            while ahead:
                for other in beside[ahead.pop()]:
                    if other not in part:
                        part.add(other)
                        ahead.append(other)
            seen |= part
            found.append(frozenset(part))
        return found

    def ways_in(self, island: frozenset[int], live: set[int], closed: Truths, barred: set[int]) -> list[int]:
        """Give the switches that lead to an island from what is live, but those in `barred`."""
        closes = self.network.model.switches.closes
        found = []
        for row in np.flatnonzero(self.network.operable & ~closed).tolist():
            one, other = self.ends(row)
            leads = (one in island and other in live) or (other in island and one in live)
            if leads and row not in barred and closes[row] > 0:
                found.append(row)
        return found

    def choose(self, island: frozenset[int], ways: list[int], closed: Truths) -> tuple[Plan | None, str]:
        """Give the best plan within limits, and what kept better ones from being taken."""
        best: Plan | None = None
        refusal = ""
        budget = self.tried + TRIED
        for count in range(PARTED + 1):
            plans = sorted(self.plans(island, ways, closed, count), key=lambda plan: plan.key)
            for key, group in itertools.groupby(plans, key=lambda plan: plan.key):
                if best is not None and key >= best.key:
                    break
                found: list[tuple[float, int, Plan]] = []
                for number, plan in enumerate(group):
                    if self.tried >= budget:
                        self.complete = False
                        break
                    position = closed.copy()
                    position[list(plan.opened)] = False
                    position[list(plan.closed)] = True
                    solution = self.solve(position)
                    broken = self.broken(solution, plan)
                    if not broken:
                        found.append((solution.losses, number, plan))
                    refusal = refusal or broken
                if found:
                    best = min(found)[2]
                    break
            if best is not None and best.key[0] == 0 and best.key[1] == 0.0:
                break
        return best, refusal or ("" if best is not None else "every way to it breaks a limit")

    def broken(self, solution: TreeSolution, plan: Plan) -> str:
        """Say what speaks against a plan; nothing where nothing does."""
        excess = self.judge.excess(solution)
        if not solution.converged or excess > self.excess + 1e-9:  # what has no solution is worse than anything
            return f"closed to its neighbour it would break a limit: {'; '.join(self.judge.broken(solution))}"
        closes, tree = self.network.model.switches.closes, solution.tree
        below = dict(zip(tree.edge.tolist(), range(len(tree.edge)), strict=True))
        for row in plan.closed:
            place = below.get(self.network.branches + row, NOTHING)
            current = float(np.abs(solution.carried[place]).max()) if place != NOTHING else 0.0
            if current > closes[row]:
                name = self.network.model.switches.ids[row]
                return f"{name} may be closed onto {closes[row]:g} A, not {current:.0f} A"
        return ""

    def plans(self, island: frozenset[int], ways: list[int], closed: Truths, count: int) -> Iterator[Plan]:
        """Give every way of helping an island that is parted at `count` switches."""
        inner = [
            row
            for row in np.flatnonzero(self.network.operable & closed).tolist()
            if self.ends(row)[0] in island and self.ends(row)[1] in island
        ]
        for opened in itertools.combinations(inner, count):
            parted = closed.copy()
            parted[list(opened)] = False
            parts = self.parts(island, parted)
            if len(parts) != count + 1:
                continue
            choices = [
                [*(row for row in ways if self.ends(row)[0] in part or self.ends(row)[1] in part), NOTHING]
                for part in parts
            ]
            for chosen in itertools.product(*choices):
                taken = tuple(row for row in chosen if row != NOTHING)
                if not taken:
                    continue
                dark = [part for part, row in zip(parts, chosen, strict=True) if row == NOTHING]
                customers = round(sum(self.customers[zone] for part in dark for zone in part))
                power = round(sum(self.power[zone] for part in dark for zone in part), 3)
                order = sorted(zip(parts, chosen, strict=True), key=lambda pair: self.weight(pair[0]), reverse=True)
                yield Plan(
                    (customers, power, count + len(taken)), opened, tuple(row for _, row in order if row != NOTHING)
                )
