"""
A small world for a reconfigurator: a network, simulated switches, relays, meters, a lease; one clock moved by hand.

The switches are the real simulated ones. Whether a node is alive follows from where their contacts truly stand, a fault
trips the breaker that feeds it, and meters say what they see. Messages arrive at once unless a test holds them up.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from algorithms.api.algorithm import Context
from algorithms.api.errors import Problem
from algorithms.api.grid_records import GridState, NodeState
from algorithms.api.network import NetworkModel
from algorithms.api.network_reader import parse
from algorithms.api.readings import ChannelReading, Estimate
from algorithms.api.records import (
    AngleReference,
    Command,
    Event,
    MeasurementFrame,
    Proposal,
    Reply,
    Request,
    Severity,
)
from algorithms.api.switching import CLAIM, read_report
from algorithms.api.wire import NANOSECONDS
from algorithms.builtin.switching.reconfiguration import Reconfiguration
from algorithms.builtin.switching.switch import Switch
from algorithms.grid.switching.switched import SwitchedNetwork

EPOCH = 1_800_000_000 * NANOSECONDS
STEP = 0.05
STRIDE = 4.0


HEAVY = {f"p{number}": 1.2e6 for number in range(1, 7)}
"""What nodes of one feeder of a pair draw, where another open point would serve better [W]."""


def state(made: "World", **power: float) -> GridState:
    """Say what some nodes draw in all phases [W]; all others as the model expects."""
    nodes = tuple(
        NodeState(
            name,
            {},
            {pair: Estimate(watts / 3, 1.0) for pair in ("AB", "BC", "CA")},
            {pair: Estimate(watts / 9, 1.0) for pair in ("AB", "BC", "CA")},
        )
        for name, watts in power.items()
    )
    return GridState("mv", "mv", made.now, 1, 0, nodes)


class LeaseOffice:
    """Gives out one lease, as a catalog does."""

    def __init__(self) -> None:
        self.token = 0
        self.holder = ""
        self.refuses = ""
        self.answers = True
        self.seconds = 60.0
        self.told: dict[str, str] = {}

    def ask(self, request: Request) -> Reply | None:
        if not self.answers:
            return None
        arguments = request.arguments
        if "states" in arguments:
            self.told = dict(arguments["states"])
            return None
        if arguments.get("release"):
            if self.holder == request.sender:
                self.holder = ""
            return Reply(request.id, request.recipient, request.sender, request.time_ns, {})
        refusal = self.refuses or (f"held by {self.holder}" if self.holder not in ("", request.sender) else "")
        if refusal:
            problem = Problem("lease", "a network that nobody switches", refusal)
            return Reply(request.id, request.recipient, request.sender, request.time_ns, {}, (problem,))
        if self.holder != request.sender or arguments.get("token") != self.token:
            self.token = max(self.token, int(arguments.get("seen", 0))) + 1
            self.holder = request.sender
        payload = {"token": self.token, "seconds": min(self.seconds, float(arguments["seconds"]))}
        return Reply(request.id, request.recipient, request.sender, request.time_ns, payload)


class World:
    """
    Everything around one reconfigurator.

    Parameters
    ----------
    document : dict
    switches : dict
        Further settings of some switches.
    settings : keyword arguments
        Of the reconfigurator.
    """

    def __init__(self, document: Any, switches: dict[str, dict[str, Any]] | None = None, **settings: Any) -> None:
        self.model: NetworkModel = parse(document)
        self.time = 0.0
        self.lease = LeaseOffice()
        self.commands: list[Command] = []
        self.claims: list[Command] = []
        self.proposals: list[Proposal] = []
        self.events: list[Event] = []
        self.faults: set[str] = set()
        self.silent_meters: set[str] = set()
        self.lying_meters: dict[str, float] = {}
        self.lost: Callable[[Any], bool] = lambda _: False
        self._wiring = SwitchedNetwork(self.model, np.ones(len(self.model.switches), dtype=bool))
        self.switches: dict[str, Switch] = {}
        table = self.model.switches
        relays = {protection.switch: protection for protection in self.model.protections}
        for row, name in enumerate(table.ids):
            own: dict[str, Any] = {
                "switch": name,
                "network": self.model.network,
                "state": "closed" if table.closed[row] else "open",
                "operating_time": float(table.operating_time[row]),
            }
            if name in relays:
                relay = relays[name]
                own |= {
                    "trips_on": ["pick-up"],
                    "trip_terminal": name,
                    "trip_delay": relay.delay,
                    "dead_times": list(relay.dead_times),
                    "reclaim_time": relay.reclaim_time,
                }
            self.switches[name] = Switch({**own, **(switches or {}).get(name, {})})
            self.switches[name].start(Context(f"rtu-{name}"), None)
        self.settings = settings
        self.subject = Reconfiguration(settings)
        self.subject.start(Context("reconfigurator", network=self.model), None)
        self.rival: Reconfiguration | None = None
        self._framed = -1.0
        self._memory: bytes | None = None
        self._retained: dict[str, Any] = {}
        self._kept = 0.0
        self.wait(0.1)

    @property
    def now(self) -> int:
        return EPOCH + round(self.time * NANOSECONDS)

    def restart(self) -> None:
        """Stop the reconfigurator and start it again over what it asks to keep at the end."""
        self._memory = self.subject.checkpoint()
        self.kill()

    def kill(self) -> None:
        """Kill the reconfigurator and start it again over its last checkpoint, taken when it asked for one or due."""
        self.subject.stop()
        self.subject = Reconfiguration(self.settings)
        self.subject.start(Context("reconfigurator", network=self.model), self._memory)
        for report in list(self._retained.values()):  # the broker has what each switch said last
            self.give(report)

    def _keep(self) -> None:
        """Take a checkpoint where it asks for one or its time has come, as a host does."""
        if self.subject.keep_now or self.time - self._kept >= self.subject.info.checkpoint_interval:
            self._memory, self._kept = self.subject.checkpoint(), self.time
            self.subject.keep_now = False

    # ---- truth

    def contacts(self) -> Any:
        """Where contacts truly stand, shape (n_switches,)."""
        return np.array([self.switches[name]._true == "closed" for name in self.model.switches.ids])

    def live(self) -> set[str]:
        tree = self._wiring.tree(self.contacts())
        return {self.model.nodes.ids[node] for node in tree.order}

    def loops(self) -> tuple[int, ...]:
        return self._wiring.tree(self.contacts()).loops

    # ---- time

    def wait(self, seconds: float) -> None:
        end = self.time + seconds
        while self.time < end - 1e-9:
            self.time += STEP
            self._relays()
            for name, switch in self.switches.items():
                self.route(switch.tick(self.now), f"rtu-{name}")
            if self.time - self._framed >= 0.5:
                self._framed = self.time
                self._meters()
            given = self.subject.tick(self.now)
            self._keep()
            self.route(given, "reconfigurator")
            if self.rival is not None:
                self.route(self.rival.tick(self.now), "rival")

    def skip(self, seconds: float) -> None:
        """Let time pass quickly, in which meters say nothing."""
        end = self.time + seconds
        while self.time < end - 1e-9:
            self.time = min(self.time + STRIDE, end)
            told = {f"rtu-{name}": switch.tick(self.now) for name, switch in self.switches.items()}
            self.route(self.subject.tick(self.now), "reconfigurator")  # every clock moves before anything is said
            for maker, records in told.items():
                self.route(records, maker)

    def add_rival(self) -> None:
        """Let another reconfigurator look after the same network."""
        self.rival = Reconfiguration(self.settings)
        self.rival.start(Context("rival", network=self.model), None)

    def until(self, condition: Callable[[], Any], seconds: float = 60.0) -> None:
        end = self.time + seconds
        while not condition():
            assert self.time < end, f"nothing happened within {seconds} s"
            self.wait(STEP)

    def _relays(self) -> None:
        """Let the breaker that feeds a fault pick up."""
        tree = self._wiring.tree(self.contacts())
        for branch in self.faults:
            node = int(self.model.branches.from_node[self.model.branches.rows[branch]])
            for place in tree.way(node):
                row = int(tree.edge[place]) - self._wiring.branches
                if row >= 0 and self.model.switches.kind[row] == "breaker":
                    name = self.model.switches.ids[row]
                    event = Event("pick-up", name, self.now, None, Severity.CRITICAL)
                    self.route(self.switches[name].process(event), f"rtu-{name}")
                    break

    def _meters(self) -> None:
        live = self.live()
        for terminal in self.model.terminals:
            if terminal.id in self.silent_meters:
                continue
            share = self.lying_meters.get(terminal.id, 1.0 if terminal.node in live else 0.0)
            magnitude = share * float(self.model.nodes.nominal_voltage[self.model.nodes.rows[terminal.node]])
            reading = ChannelReading(magnitude, None, 1.0, None, magnitude, 1.0)
            frame = MeasurementFrame(
                terminal.id,
                self.now,
                1e-3,
                0.1,
                AngleReference.OWN,
                None,
                None,
                dict.fromkeys("ABC", reading),
                {},
                {},
            )
            self.give(frame)

    # ---- messages

    def give(self, record: Any) -> None:
        """Hand a record to the reconfigurator."""
        if self.lost(record):
            return
        if not isinstance(record, Reply) or record.recipient == "reconfigurator":
            given = self.subject.process(record)
            self._keep()
            self.route(given, "reconfigurator")
        if self.rival is not None and (not isinstance(record, Reply) or record.recipient == "rival"):
            self.route(self.rival.process(record), "rival")

    def route(self, records: Any, maker: str) -> None:
        for record in records:
            if maker not in ("reconfigurator", "rival"):
                self._retained[maker] = record
                self.give(record)
                continue
            match record:
                case Command():
                    (self.claims if record.verb == CLAIM else self.commands).append(record)
                    if not self.lost(record):
                        self.route(self.switches[record.recipient].process(record), f"rtu-{record.recipient}")
                case Request():
                    answer = self.lease.ask(record)
                    if answer is not None:
                        self.give(answer)
                case Proposal():
                    self.proposals.append(record)
                case Event():
                    self.events.append(record)

    # ---- what happens

    def strike(self, branch: str) -> None:
        """Put a fault on a branch."""
        self.faults.add(branch)

    def tell(self, branch: str, *alternatives: str, kind: str = "fault-located", **evidence: Any) -> None:
        """Tell where a fault is."""
        said = {
            "network": self.model.network,
            "branch": branch,
            "alternatives": [{"branch": name} for name in alternatives],
            **evidence,
        }
        head = f"t-{branch[:1] or 'p'}h"
        self.give(Event(kind, head, self.now, None, Severity.CRITICAL, ("A",), said))

    def says(self, name: str) -> Any:
        return read_report(self.switches[name]._tell()[0])

    @property
    def outcome(self) -> dict[str, Any]:
        return self.events[-1].evidence
