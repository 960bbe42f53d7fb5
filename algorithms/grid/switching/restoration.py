"""
Restoration: which switches enclose a fault, and which then bring back every healthy node that can be brought back.

Where it stands: the reconfiguration plug-in calls it with the branches a fault may be on; `switched` says what hangs
together, `tree_flow` what that carries, `limits` whether it may. It decides no order in time but that of its lists.

The way: the zones of all places the fault may be in are taken out by opening every switch around them. What is dark
then falls into islands. The one with the most customers comes first: it is closed to the neighbour whole, or, where
limits forbid that, in as few parts as will do, of which some may stay dark. Once no island can be helped, it ends.

Rules:

- All alternatives of a location are enclosed. A switch that cannot be opened makes the zones on both its sides one.
- Radial always: an island gets one way in. Most customers first, then most power, then fewest operations, then losses.
- What was dead before the fault stays dead: somebody may work there. So does what can be reached only over
  switches that are kept open.
- Limits that were broken before need not hold, but nothing may be made worse.
- Generators of what was dark are not counted on: they wait before they come back.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from algorithms.api.network_operation import SwitchKind
from algorithms.api.network_tables import Floats, Truths
from algorithms.grid.switching.limits import Judge, Limits
from algorithms.grid.switching.switched import NOTHING, SwitchedNetwork
from algorithms.grid.switching.tree_flow import Demand, TreeFlow, TreeSolution

PARTED = 3
"""An island is parted at so many switches at most."""
FAULTED, DEAD_BEFORE = "in the section that is faulted", "dead before the fault"
"""Why a node stays dark that nothing could bring back."""
TRIED = 400
"""Positions judged by a power flow at most, for one island."""


@dataclass(frozen=True, slots=True, eq=False)
class Restoration:
    """
    What to do about a fault.

    Attributes
    ----------
    isolate : tuple of str
        Switches that enclose the fault and stand closed: to be opened first.
    locked : tuple of str
        All switches that enclose it: to be locked open until it is repaired.
    to_open : tuple of str
        Switches that part an island, to be opened while it is dark.
    to_close : tuple of str
        Switches that bring it back, in this order: breakers of its own feeder, then ways round, most customers first.
    closed : numpy.ndarray
        Where each switch stands in the end, shape (n_switches,), bool.
    unserved : dict
        Nodes that stay dark, each with the reason.
    restored_customers, unserved_customers : int
    complete : bool
        Whether every way of parting islands that the search allows was looked at.
    tried : int
        Positions judged by a power flow.
    """

    isolate: tuple[str, ...]
    locked: tuple[str, ...]
    to_open: tuple[str, ...]
    to_close: tuple[str, ...]
    closed: Truths
    unserved: dict[str, str]
    restored_customers: int
    unserved_customers: int
    complete: bool
    tried: int


def faulted_zones(network: SwitchedNetwork, branches: tuple[str, ...], nodes: tuple[str, ...] = ()) -> set[int]:
    """
    Give the zones in which a fault on any of these branches or at any of these nodes is.

    Raises
    ------
    ValueError
        When the network has no such branch or node.
    """
    model = network.model
    at = []
    for name in branches:
        if name not in model.branches.rows:
            raise ValueError(f"a branch of {model.network} expected, found {name}")
        at.append(int(model.branches.from_node[model.branches.rows[name]]))
    for name in nodes:
        if name not in model.nodes.rows:
            raise ValueError(f"a node of {model.network} expected, found {name}")
        at.append(model.nodes.rows[name])
    return {int(network.zone[node]) for node in at}


def enclosing(network: SwitchedNetwork, zones: set[int]) -> list[int]:
    """Give the rows of the switches that part `zones` from the rest, wherever they stand."""
    switches = network.model.switches
    one, other = network.zone[switches.from_node], network.zone[switches.to_node]
    inside = np.isin(one, list(zones)), np.isin(other, list(zones))
    return [int(row) for row in np.flatnonzero((inside[0] != inside[1]) & network.operable)]


def restore(
    flow: TreeFlow,
    branches: tuple[str, ...],
    before: Truths,
    limits: Limits | None = None,
    *,
    nodes: tuple[str, ...] = (),
    pickup: float = 1.0,
    kept_open: tuple[str, ...] = (),
) -> Restoration:
    """
    Work out how to isolate a fault and to restore what is healthy.

    Parameters
    ----------
    flow : TreeFlow
        The network as its switches stand now, only those operable that obey and are not locked by others; and what
        nodes drew before the fault.
    branches : tuple of str
        All branches the fault may be on.
    before : numpy.ndarray
        Where switches stood before the fault, shape (n_switches,), bool.
    limits : Limits or None
        None for the usual ones.
    nodes : tuple of str
        Nodes it may be at.
    pickup : float
        What dark nodes draw when they come back, relative to what they drew before [1].
    kept_open : tuple of str
        Switches that must not be closed, although they could be: somebody opened them since.

    Raises
    ------
    ValueError
        When the network has no such branch or node, or none is named.
    """
    if not branches and not nodes:
        raise ValueError("a branch or a node that may be faulted expected, found none")
    faulted = faulted_zones(flow.network, branches, nodes)
    kept = np.isin(flow.network.model.switches.ids, kept_open)
    return _Restoring(flow, faulted, before, limits or Limits(), pickup=pickup, kept=kept).result()


_Key = tuple[int, float, int]


@dataclass(frozen=True, slots=True)
class _Plan:
    """One way of helping an island: parted at `opened`, brought back by `closed`."""

    key: _Key
    opened: tuple[int, ...]
    closed: tuple[int, ...]


class _Restoring:
    """One restoration."""

    def __init__(
        self, flow: TreeFlow, faulted: set[int], before: Truths, limits: Limits, *, pickup: float, kept: Truths
    ) -> None:
        self.network, self.limits, self.kept = flow.network, limits, kept
        self.model = flow.network.model
        self.zone = flow.network.zone.tolist()
        self.faulted = faulted
        switches = self.model.switches
        self.around = enclosing(self.network, faulted)
        self.present = switches.closed
        self.closed = switches.closed.copy()
        self.closed[self.around] = False
        self.fed_before = self.fed(before)
        dark = np.array([zone not in self.fed(self.closed) for zone in self.zone])
        self.flow = _with_pickup(flow, dark, pickup)
        self.judge = Judge(self.flow, limits)
        zones = range(self.network.zones)
        customers = self.model.nodes.customers.astype(float)
        self.supplied: Floats = np.zeros(len(customers))  # by the node that stands for them
        np.add.at(self.supplied, self.network.standing_for, customers)
        self.customers = self.per_zone(self.supplied)
        drawn = np.maximum((flow.demand.wye + flow.demand.delta).real.sum(axis=1), 0.0)
        self.power = self.per_zone(drawn)
        self.helpless: dict[int, str] = dict.fromkeys(zones, "")
        self.refused: dict[int, str] = {}
        self.opened: list[int] = []
        self.closing: list[int] = []
        self.tried = 0
        self.complete = True
        self.excess = self.judge.excess(self.solve(self.closed))

    # ---- the network

    def per_zone(self, values: Floats) -> list[float]:
        return [float(value) for value in np.bincount(self.zone, weights=values, minlength=self.network.zones)]

    def fed(self, closed: Truths) -> set[int]:
        return {self.zone[node] for node in self.network.tree(closed).order.tolist()}

    def solve(self, closed: Truths) -> TreeSolution:
        self.tried += 1
        return self.flow.solve(self.network.tree(closed))

    def ends(self, row: int) -> tuple[int, int]:
        one, other = self.network.ends[self.network.branches + row]
        return self.zone[one], self.zone[other]

    # ---- the way

    def result(self) -> Restoration:
        start = self.fed(self.closed)
        while True:
            live = self.fed(self.closed)
            islands = [one for one in self.islands(live) if not all(self.helpless[zone] for zone in one)]
            if not islands:
                break
            self.help(max(islands, key=self.weight), live)
        names = self.model.switches.ids
        live = self.fed(self.closed)
        back = [node for node, zone in enumerate(self.zone) if zone in live - start]
        unserved = {
            self.model.nodes.ids[node]: self.reason(zone)
            for node, zone in enumerate(self.zone)
            if zone not in live and self.network.counted[node]
        }
        dark = [self.model.nodes.rows[name] for name in unserved]
        return Restoration(
            isolate=tuple(names[row] for row in self.around if self.present[row]),
            locked=tuple(names[row] for row in self.around),
            to_open=tuple(names[row] for row in self.opened),
            to_close=tuple(names[row] for row in self.in_order(start)),
            closed=self.closed,
            unserved=unserved,
            restored_customers=int(self.supplied[back].sum()),
            unserved_customers=int(self.supplied[dark].sum()),
            complete=self.complete,
            tried=self.tried,
        )

    def in_order(self, live: set[int]) -> list[int]:
        """Put breakers that can feed at once first: what hangs on its own feeder comes back by that."""
        own = (SwitchKind.BREAKER, SwitchKind.RECLOSER)
        kind = self.model.switches.kind
        return sorted(
            self.closing, key=lambda row: kind[row] not in own or not any(zone in live for zone in self.ends(row))
        )

    def reason(self, zone: int) -> str:
        if zone in self.faulted:
            return FAULTED
        if zone not in self.fed_before:
            return DEAD_BEFORE
        return self.refused.get(zone, self.helpless[zone])

    def weight(self, island: frozenset[int]) -> tuple[float, float, int]:
        return sum(self.customers[zone] for zone in island), sum(self.power[zone] for zone in island), -min(island)

    def islands(self, live: set[int]) -> list[frozenset[int]]:
        """Give what is dark, healthy and was not dead before, by what hangs together as switches stand."""
        wanted = self.fed_before - live - self.faulted
        return self.parts(wanted, self.closed)

    def parts(self, wanted: set[int] | frozenset[int], closed: Truths) -> list[frozenset[int]]:
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

    # ---- one island

    def help(self, island: frozenset[int], live: set[int]) -> None:
        """Bring back as much of an island as can be, or note why nothing can."""
        ways = self.ways_in(island, live)
        if not ways:
            for zone in island:
                self.helpless[zone] = self.helpless[zone] or "no switch that can be closed leads to it"
            return
        chosen, refusal = self.choose(island, ways)
        if refusal:
            self.refused |= dict.fromkeys(island, refusal)
        if chosen is None:
            self.helpless |= dict.fromkeys(island, refusal)
            return
        for row in chosen.opened:
            self.closed[row] = False
            self.opened.append(row)
        for row in chosen.closed:
            self.closed[row] = True
            self.closing.append(row)
        self.helpless = dict.fromkeys(self.helpless, "")  # what is fed now may lead to what is still dark

    def ways_in(self, island: frozenset[int], live: set[int]) -> list[int]:
        closes = self.model.switches.closes
        found = []
        for row in np.flatnonzero(self.network.operable & ~self.closed & ~self.kept).tolist():
            one, other = self.ends(row)
            leads = (one in island and other in live) or (other in island and one in live)
            if leads and row not in self.around and row not in self.opened and closes[row] > 0:
                found.append(row)
        return found

    def choose(self, island: frozenset[int], ways: list[int]) -> tuple[_Plan | None, str]:
        """Give the best plan within limits, and what kept better ones from being taken."""
        best: _Plan | None = None
        refusal = ""
        budget = self.tried + TRIED
        for count in range(PARTED + 1):
            plans = sorted(self.plans(island, ways, count), key=lambda plan: plan.key)
            for key, group in itertools.groupby(plans, key=lambda plan: plan.key):
                if best is not None and key >= best.key:
                    break
                found: list[tuple[float, int, _Plan]] = []
                for number, plan in enumerate(group):
                    if self.tried >= budget:
                        self.complete = False
                        break
                    position = self.closed.copy()
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

    def broken(self, solution: TreeSolution, plan: _Plan) -> str:
        """Say what speaks against a plan; nothing where nothing does."""
        if self.judge.excess(solution) > self.excess + 1e-9:
            return f"closed to its neighbour it would break a limit: {'; '.join(self.judge.broken(solution))}"
        closes, tree = self.model.switches.closes, solution.tree
        below = dict(zip(tree.edge.tolist(), range(len(tree.edge)), strict=True))
        for row in plan.closed:
            place = below.get(self.network.branches + row, NOTHING)
            current = float(np.abs(solution.carried[place]).max()) if place != NOTHING else 0.0
            if current > closes[row]:
                name = self.model.switches.ids[row]
                return f"{name} may be closed onto {closes[row]:g} A, not {current:.0f} A"
        return ""

    def plans(self, island: frozenset[int], ways: list[int], count: int) -> Iterator[_Plan]:
        """Give every way of helping an island that is parted at `count` switches."""
        inner = [
            row
            for row in np.flatnonzero(self.network.operable & self.closed).tolist()
            if self.ends(row)[0] in island and self.ends(row)[1] in island
        ]
        for opened in itertools.combinations(inner, count):
            closed = self.closed.copy()
            closed[list(opened)] = False
            parts = self.parts(island, closed)
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
                yield _Plan(
                    (customers, power, count + len(taken)), opened, tuple(row for _, row in order if row != NOTHING)
                )


def _with_pickup(flow: TreeFlow, dark: Truths, pickup: float) -> TreeFlow:
    """Let dark nodes draw what they will when they come back: more than before, and nothing is generated there yet."""
    parts = []
    for power in (flow.demand.wye, flow.demand.delta):
        feeding = dark[:, np.newaxis] & (power.real < 0)
        parts.append(np.where(feeding, 0.0, power))
    return TreeFlow(flow.network, Demand(*parts).scaled(np.where(dark, pickup, 1.0)))
