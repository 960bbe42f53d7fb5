"""
Restoration: which switches enclose a fault, and which then bring back every healthy node that can be brought back.

Where it stands: the reconfiguration plug-in calls it with the branches a fault may be on; `enclosing` says what parts
them from the rest, `island_supply` how an island that is dark then comes back. It decides no order in time but that of
its lists.

The way: the zones of all places the fault may be in are taken out by opening every switch around them. What is dark
then falls into islands. The one of which most customers can be brought back comes first: it is closed to the
neighbour whole, or, where limits forbid that, in as few parts as will do, each by a way of its own, of which some may
stay dark. Once no island can be helped, it ends.

Rules:

- All alternatives of a location are enclosed. A switch that cannot be opened makes the zones on both its sides one.
- Radial always: an island gets one way in. Most customers first, then most power, then fewest operations, then losses.
- What was dead before the fault stays dead: somebody may work there. So does what can be reached only over
  switches that are kept open.
- Limits that were broken before need not hold, but nothing may be made worse. A demand that no power flow can carry as
  switches stand was never drawn: what the model expects takes its place.
- Generators of what was dark are not counted on: they wait before they come back.
"""

from dataclasses import dataclass

import numpy as np

from algorithms.api.network_operation import SwitchKind
from algorithms.api.network_tables import Floats, Truths
from algorithms.grid.switching.enclosing import enclosing, faulted_zones
from algorithms.grid.switching.island_supply import IslandSupply, Plan
from algorithms.grid.switching.limits import Limits
from algorithms.grid.switching.tree_flow import Demand, TreeFlow

FAULTED, DEAD_BEFORE = "in the section that is faulted", "dead before the fault"
"""Why a node stays dark that nothing could bring back."""


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
    within_limits : bool
        Whether every limit holds in the end.
    assumed : bool
        Whether it was judged by what the model expects, since the demand given was impossible.
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
    within_limits: bool = True
    assumed: bool = False


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
    kept = {flow.network.model.switches.rows[name] for name in kept_open}
    return _Restoring(flow, faulted, before, limits or Limits(), pickup=pickup, kept=kept).result()


class _Restoring:
    """One restoration."""

    def __init__(
        self, flow: TreeFlow, faulted: set[int], before: Truths, limits: Limits, *, pickup: float, kept: set[int]
    ) -> None:
        self.network, self.kept = flow.network, kept
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
        self.assumed = not flow.solve(self.network.tree(self.closed)).converged
        if self.assumed:
            flow = TreeFlow(flow.network)
        self.flow = _with_pickup(flow, dark, pickup)
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
        self.supply = IslandSupply(self.flow, limits, self.customers, self.power, self.closed)

    # ---- the network

    def per_zone(self, values: Floats) -> list[float]:
        return [float(value) for value in np.bincount(self.zone, weights=values, minlength=self.network.zones)]

    def fed(self, closed: Truths) -> set[int]:
        return {self.zone[node] for node in self.network.tree(closed).order.tolist()}

    # ---- the way

    def result(self) -> Restoration:
        start = self.fed(self.closed)
        while True:
            live = self.fed(self.closed)
            islands = [one for one in self.islands(live) if not all(self.helpless[zone] for zone in one)]
            if not islands:
                break
            self.help(sorted(islands, key=self.supply.weight, reverse=True), live)
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
            complete=self.supply.complete,
            tried=self.supply.tried,
            within_limits=self.supply.within(self.closed),
            assumed=self.assumed,
        )

    def in_order(self, live: set[int]) -> list[int]:
        """Put breakers that can feed at once first: what hangs on its own feeder comes back by that."""
        own = (SwitchKind.BREAKER, SwitchKind.RECLOSER)
        kind, ends = self.model.switches.kind, self.supply.ends
        return sorted(self.closing, key=lambda row: kind[row] not in own or not live.intersection(ends(row)))

    def reason(self, zone: int) -> str:
        if zone in self.faulted:
            return FAULTED
        if zone not in self.fed_before:
            return DEAD_BEFORE
        return self.refused.get(zone, self.helpless[zone])

    def islands(self, live: set[int]) -> list[frozenset[int]]:
        """Give what is dark, healthy and was not dead before, by what hangs together as switches stand."""
        wanted = self.fed_before - live - self.faulted
        return self.supply.parts(wanted, self.closed)

    # ---- one island

    def help(self, islands: list[frozenset[int]], live: set[int]) -> None:
        """Bring back the island of which most comes back, the largest first; note why nothing of others can."""
        chosen: Plan | None = None
        most = 0.0, 0.0
        for island in islands:
            customers, power, _ = self.supply.weight(island)
            if chosen is not None and (customers, power) <= most:
                break  # not even the whole of it would be more
            plan = self.plan_for(island, live)
            back = (customers - plan.key[0], power - plan.key[1]) if plan is not None else most
            if plan is not None and (chosen is None or back > most):
                chosen, most = plan, back
        if chosen is None:
            return
        for row in chosen.opened:
            self.closed[row] = False
            self.opened.append(row)
        for row in chosen.closed:
            self.closed[row] = True
            self.closing.append(row)
        self.helpless = dict.fromkeys(self.helpless, "")  # what is fed now may lead to what is still dark

    def plan_for(self, island: frozenset[int], live: set[int]) -> Plan | None:
        """Give the best plan for an island, or note why there is none."""
        ways = self.supply.ways_in(island, live, self.closed, {*self.around, *self.opened, *self.kept})
        if not ways:
            for zone in island:
                self.helpless[zone] = self.helpless[zone] or "no switch that can be closed leads to it"
            return None
        plan, refusal = self.supply.choose(island, ways, self.closed)
        if refusal:
            self.refused |= dict.fromkeys(island, refusal)
        if plan is None:
            self.helpless |= dict.fromkeys(island, refusal)
        return plan


def _with_pickup(flow: TreeFlow, dark: Truths, pickup: float) -> TreeFlow:
    """Let dark nodes draw what they will when they come back: more than before, and nothing is generated there yet."""
    parts = []
    for power in (flow.demand.wye, flow.demand.delta):
        feeding = dark[:, np.newaxis] & (power.real < 0)
        parts.append(np.where(feeding, 0.0, power))
    return TreeFlow(flow.network, Demand(*parts).scaled(np.where(dark, pickup, 1.0)))
