"""
One fault as the reconfigurator knows it: what was said of it, and when its line may be touched.

Where it stands: fault handling in the reconfiguration plug-in makes one of each event that names a place, and asks it
before every step. Pure.

Rules:

- The protection's own sequence comes first: nothing is planned while the breaker may still close by itself.
- A line is dead when meters on it say so after the breaker opened for the last time, and none of them says otherwise.
- An earth fault on an isolated or compensated neutral leaves the feeder alive: neither is waited for.
- Only what the protection opened is a fault cleared. A breaker that a person opened or locked is in their hands.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from algorithms.api.errors import shortened
from algorithms.api.network import NetworkModel
from algorithms.api.network_operation import Protection, SwitchKind, SwitchState
from algorithms.api.network_tables import Truths
from algorithms.api.records import Event
from algorithms.api.switching import Cause, SwitchReport, case_name, tags_of
from algorithms.api.wire import NANOSECONDS
from algorithms.grid.switching.switched import SwitchedNetwork

LOCATED, EARTH_FAULT = "fault-located", "earth-fault"
NO_SECTION = "only the feeder is known: the section must be searched for"
MOST_PLACES = 200
"""Places that one word may name."""
MARGIN = 5.0
"""A breaker whose reclosing should have come this long ago will not come back by itself [s]."""


@dataclass(slots=True)
class FaultCase:
    """
    A fault that was told.

    Attributes
    ----------
    id : str
        Also the tag under which switches are locked for it.
    branches, nodes : tuple of str
        Where it may be, all alternatives.
    breaker : str
        The switch whose protection clears it; empty where none is known.
    breakers : dict
        All switches whose protection opened beside it, where loops were closed more than one, with when that was seen
        [ns UTC].
    live : bool
        Whether its feeder stays alive.
    trusted : bool
        Whether the location may be acted upon without a person.
    start_ns : int
        [ns UTC]
    opened_ns : int or None
        When the breaker was last seen to open [ns UTC].
    closed_ns : int or None
        When it was then seen to stand closed again [ns UTC].
    enclosed : bool
        Whether every switch around it was confirmed open and locked.
    settled : bool
        Whether all was done that could be, or handed to a person.
    told : bool
        Whether how it ended was told since the last word on it.
    also : tuple of str
        Names that later words on it would have given it, the newest.
    left_open : tuple of str
        Which of its breakers have stood open ever since it was settled.
    aside : str
        Why it is left out of what is done about others; empty where it is not.
    reclosed : dict
        Those of `breakers` that stand closed again, with when that was seen [ns UTC]: they may trip once more.
    """

    id: str
    branches: tuple[str, ...]
    nodes: tuple[str, ...]
    breaker: str
    live: bool
    trusted: bool
    start_ns: int
    opened_ns: int | None = None
    closed_ns: int | None = None
    enclosed: bool = False
    settled: bool = False
    breakers: dict[str, int] = field(default_factory=dict)
    told: bool = False
    also: tuple[str, ...] = ()
    left_open: tuple[str, ...] = ()
    aside: str = ""
    reclosed: dict[str, int] = field(default_factory=dict)

    @property
    def cleared_by(self) -> set[str]:
        """Every switch whose protection clears it."""
        return {self.breaker, *self.breakers} - {""}

    @property
    def cleared_ns(self) -> int:
        """When the last of them was seen to open; the start of the fault where none was [ns UTC]."""
        return max((self.opened_ns or self.start_ns, *self.breakers.values()))

    def beside(self, reports: dict[str, SwitchReport], protections: tuple[Protection, ...], now_ns: int) -> None:
        """
        Note which switches beside it their protection has opened.

        One that closes again has not done with it before its relay would begin anew. Where the one that was taken to
        clear it stands closed, and another one open, that one clears it.
        """
        opened = [name for name, report in reports.items() if report.state is SwitchState.OPEN]
        for name in opened:
            if name not in self.breakers or self.reclosed.pop(name, None) is not None:
                self.breakers[name] = now_ns
        for name in [name for name in self.breakers if name in reports and name not in opened]:
            closed_ns = self.reclosed.setdefault(name, now_ns)
            if reports[name].cause is not Cause.RECLOSING or _begun_anew(name, closed_ns, protections, now_ns):
                del self.breakers[name], self.reclosed[name]
        if self.closed_ns is not None and opened and self.breaker not in opened:
            self.breaker = opened[0]
            self.opened_ns, self.closed_ns = self.breakers[self.breaker], None

    def watch(self, report: SwitchReport, now_ns: int) -> None:
        """Note what the breaker says."""
        if report.state is SwitchState.OPEN:
            self.opened_ns = now_ns if self.opened_ns is None else self.opened_ns
            self.closed_ns = None
        elif report.state is SwitchState.CLOSED:
            if self.opened_ns is not None:
                self.closed_ns = now_ns
            self.opened_ns = None

    def shift(self, by_ns: int) -> None:
        """Move what was timed with a clock that was set."""
        self.start_ns += by_ns
        self.breakers = {name: at + by_ns for name, at in self.breakers.items()}
        self.reclosed = {name: at + by_ns for name, at in self.reclosed.items()}
        self.opened_ns = None if self.opened_ns is None else self.opened_ns + by_ns
        self.closed_ns = None if self.closed_ns is None else self.closed_ns + by_ns

    def passed(self, protections: tuple[Protection, ...], now_ns: int) -> bool:
        """Tell whether the breaker has stood closed for so long that its protection has begun anew."""
        return self.closed_ns is not None and _begun_anew(self.breaker, self.closed_ns, protections, now_ns)

    def idle(self, report: SwitchReport | None, *, waited: bool) -> str:
        """Say why nothing can be waited for, once it was `waited` for as long as a relay takes; nothing otherwise."""
        if not waited:
            return ""
        if not self.cleared_by:
            return "no breaker is known that clears it: a person must see to it"
        never = self.opened_ns is None and self.closed_ns is None and not self.breakers
        if never and report is not None and report.state is SwitchState.CLOSED:
            return f"{self.breaker} stands closed and was not seen to open: taken for passed"
        return ""

    def taken_over(self, report: SwitchReport | None, tags: tuple[str, ...]) -> str:
        """Say how a person has taken the breaker over; nothing where none has. Locks under `tags` are our own."""
        if report is None or report.state is not SwitchState.OPEN or tags_of(report.tag) & set(tags):
            return ""
        if report.tag:
            return f"{self.breaker} is locked under {report.tag}"
        return f"{self.breaker} was opened by an order" if report.cause is Cause.COMMAND else ""

    def locked_out(
        self, name: str, report: SwitchReport | None, protections: tuple[Protection, ...], now_ns: int
    ) -> bool:
        """Tell whether the protection of one of its breakers has ended its sequence with the breaker open."""
        if report is None or report.state is not SwitchState.OPEN or report.reclosing:
            return False
        if report.cause not in (Cause.PROTECTION, Cause.RECLOSING) and not report.lockout:
            return False
        if report.lockout:
            return True
        pauses = [time for protection in protections if protection.switch == name for time in protection.dead_times]
        opened_ns = self.opened_ns if name == self.breaker else self.breakers.get(name)
        opened = opened_ns if opened_ns is not None else now_ns
        return now_ns - opened > round((max(pauses, default=0.0) + MARGIN) * NANOSECONDS)


def _begun_anew(name: str, closed_ns: int, protections: tuple[Protection, ...], now_ns: int) -> bool:
    """Tell whether a breaker has stood closed for so long that its protection has begun anew."""
    quiet = [protection.reclaim_time for protection in protections if protection.switch == name]
    return now_ns - closed_ns > round((max(quiet, default=0.0) + MARGIN) * NANOSECONDS)


def read_fault(
    event: Event, model: NetworkModel, standing: Truths, before: Truths | None = None
) -> tuple[FaultCase | None, str]:
    """
    Read an event that names a place in this network.

    Parameters
    ----------
    event : Event
    model : NetworkModel
    standing : numpy.ndarray
        Where switches stand, but for what their protection did, shape (n_switches,), bool.
    before : numpy.ndarray or None
        Where they stood before faults that are known already: what was dead by then is looked up in that.

    Returns
    -------
    case : FaultCase or None
    problem : str
        Why there is none; empty for an event that is about something else.
    """
    if event.kind not in (LOCATED, EARTH_FAULT) or (event.kind == EARTH_FAULT and event.end_ns is not None):
        return None, ""
    evidence = event.evidence
    network = evidence.get("network")
    if network != model.network:
        return None, "" if isinstance(network, str) and network else "expected the network of the fault, found none"
    if problem := _unreadable(evidence):
        return None, problem
    places = [evidence, *evidence.get("alternatives", ())]
    branches = tuple(dict.fromkeys(one["branch"] for one in places if one.get("branch")))
    nodes = tuple(dict.fromkeys(one["node"] for one in places if one.get("node")))
    unknown = [name for name in branches if name not in model.branches.rows]
    unknown += [name for name in nodes if name not in model.nodes.rows]
    if unknown:
        return None, f"expected branches and nodes of {model.network}, found {', '.join(unknown)[:200]}"
    if not branches and not nodes:
        return None, NO_SECTION
    found = _protecting(model, standing, branches, nodes)
    if not found and before is not None:
        found = _protecting(model, before, branches, nodes)
    stated = evidence.get("breaker") or ""
    breaker = stated if stated in found else next(iter(found), "")
    case = FaultCase(
        id=case_name(event.kind, event.terminal, event.start_ns),
        branches=branches,
        nodes=nodes,
        breaker=breaker,
        live=event.kind == EARTH_FAULT,
        trusted=evidence.get("trusted", True) is True,
        start_ns=event.start_ns,
    )
    return case, ""


def _unreadable(evidence: Mapping[str, Any]) -> str:
    """Say which fields of an event's evidence are not what they are to be; nothing where all are."""
    others = evidence.get("alternatives", [])
    problems = []
    if not isinstance(others, list | tuple) or not all(isinstance(one, dict) for one in others):
        problems.append(f"alternatives: a list of places, found {shortened(str(others))}")
        others = ()
    elif len(others) > MOST_PLACES:
        problems.append(f"alternatives: at most {MOST_PLACES} places, found {len(others)}")
        others = ()
    texts = [("breaker", evidence), *((name, one) for one in (evidence, *others) for name in ("branch", "node"))]
    problems += [
        f"{name}: a name, found {shortened(str(one[name]))}"
        for name, one in texts
        if one.get(name) is not None and not isinstance(one[name], str)
    ]
    return f"expected {'; '.join(problems)}"[:300] if problems else ""


def protecting(model: NetworkModel, before: Truths, branches: tuple[str, ...], nodes: tuple[str, ...]) -> str:
    """Name the nearest breaker or recloser between a place and what fed it; empty where there is none."""
    return next(iter(_protecting(model, before, branches, nodes)), "")


def _protecting(model: NetworkModel, before: Truths, branches: tuple[str, ...], nodes: tuple[str, ...]) -> list[str]:
    """Name the breakers and reclosers between a place and what fed it, the nearest first."""
    network, found = SwitchedNetwork(model), []
    tree = network.tree(before)
    at = [int(model.branches.from_node[model.branches.rows[name]]) for name in branches]
    at += [model.nodes.rows[name] for name in nodes]
    for node in at:
        for place in tree.way(node):
            row = int(tree.edge[place]) - network.branches
            if row >= 0 and model.switches.kind[row] in (SwitchKind.BREAKER, SwitchKind.RECLOSER):
                found.append(model.switches.ids[row])
    return found


def head_of(event: Event, model: NetworkModel, before: Truths) -> str:
    """Name the breaker of the feeder on which an event was measured; empty where it is not known."""
    stated = event.evidence.get("breaker")
    if isinstance(stated, str) and stated in model.switches.rows:
        return stated
    nodes = tuple(terminal.node for terminal in model.terminals if event.terminal in (terminal.id, terminal.device))
    return protecting(model, before, (), nodes)
