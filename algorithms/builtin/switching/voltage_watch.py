"""
What meters saw last, and whether that proves a line dead.

Where it stands: the reconfiguration plug-in feeds it every frame; `restoration_checks` asks it before a line is
touched. Rules: each phase must be proven dead by one meter at least, and no meter may see any voltage; a frame that is
spoilt, or a phase without a finite voltage, may say that a node is alive and never that it is dead. Pure.
"""

import math
from dataclasses import dataclass, replace

from algorithms.api.network import NetworkModel
from algorithms.api.records import MeasurementFrame, Quality
from algorithms.api.wire import NANOSECONDS

DEAD = 0.1
"""Below this share of nominal voltage a phase is dead [1]."""
RECENT = 10.0
"""A meter that spoke this long ago is expected to speak again [s]."""
COVERAGE = 2.0
"""A phase is dead where its voltage is below that share with so many standard uncertainties in hand [1]."""
SPOILT = frozenset({Quality.TRANSIENT, Quality.CLIPPED, Quality.GAP, Quality.OUT_OF_RANGE})
"""What a frame that proves anything dead does not say of itself."""


@dataclass(frozen=True, slots=True)
class _Sight:
    """What a meter saw last: when [ns UTC], the highest voltage as share of nominal [1], and phases proven dead."""

    time_ns: int
    highest: float
    dead: frozenset[str]


class VoltageWatch:
    """
    The last voltage that each meter saw.

    A frame that is spoilt, or a phase without a finite voltage, may say that a node is alive and never that it is dead.

    Parameters
    ----------
    model : NetworkModel
    """

    def __init__(self, model: NetworkModel) -> None:
        self._nominal = dict(zip(model.nodes.ids, model.nodes.nominal_voltage.tolist(), strict=True))
        self._node = {terminal.id: terminal.node for terminal in model.terminals}
        self._node |= {terminal.device: terminal.node for terminal in model.terminals if terminal.device}
        self._phases = {
            node: frozenset(phase for phase, there in zip("ABC", row, strict=False) if there)
            for node, row in zip(model.nodes.ids, model.nodes.conductors.tolist(), strict=True)
        }
        self._seen: dict[str, _Sight] = {}

    def hear(self, frame: MeasurementFrame, now_ns: int) -> bool:
        """Take what a meter sees, whose clock may be wrong; tell whether it is one of this network."""
        node = self._node.get(frame.terminal)
        if node is None:
            return False
        nominal = self._nominal[node]
        readings = {phase: reading for phase, reading in frame.voltage.items() if phase in "ABC"}
        readings = {phase: one for phase, one in readings.items() if math.isfinite(one.rms) and one.rms >= 0.0}
        highest = max((one.rms / nominal for one in readings.values()), default=0.0)
        dead = frozenset(
            phase
            for phase, one in readings.items()
            if one.rms + COVERAGE * one.u_rms < DEAD * nominal and not SPOILT.intersection(frame.quality)
        )
        if highest < DEAD and not dead:
            return True  # it tells nothing
        time_ns, before = min(frame.time_ns, now_ns), self._seen.get(frame.terminal)
        if before is None or time_ns >= before.time_ns or now_ns - before.time_ns > RECENT * NANOSECONDS:
            self._seen[frame.terminal] = _Sight(time_ns, highest, dead)
        return True

    def dead(self, nodes: set[str], since_ns: int) -> tuple[bool, str]:
        """
        Tell whether meters prove that none of these nodes is alive: each phase of them, by one meter at least.

        Parameters
        ----------
        nodes : set of str
        since_ns : int
            Only what was seen after this counts [ns UTC].

        Returns
        -------
        dead : bool
        why : str
            What proves it, or what is missing.
        """
        seen = {
            terminal: sight
            for terminal, sight in self._seen.items()
            if self._node[terminal] in nodes and sight.time_ns > since_ns
        }
        alive = [
            f"{terminal} sees {100 * sight.highest:.0f} %"
            for terminal, sight in sorted(seen.items())
            if sight.highest >= DEAD
        ]
        if alive:
            return False, f"the line is alive: {', '.join(alive[:5])} of nominal voltage"
        if not seen:
            return False, "no meter on the line has said since that it is dead"
        proven = frozenset[str]().union(*(sight.dead for sight in seen.values()))
        unproven = frozenset[str]().union(*(self._phases[node] for node in nodes)) - proven
        if unproven:
            return False, f"no meter on the line has said since that {' and '.join(sorted(unproven))} of it are dead"
        return True, f"dead by {len(seen)} meters"

    def shift(self, by_ns: int) -> None:
        """Move what was timed with a clock that was set."""
        self._seen = {name: replace(sight, time_ns=sight.time_ns + by_ns) for name, sight in self._seen.items()}

    def missing(self, since_ns: int) -> list[str]:
        """Name the meters that were heard not long before and have said nothing since [ns UTC]."""
        recent = since_ns - round(RECENT * NANOSECONDS)
        return sorted(name for name, sight in self._seen.items() if recent <= sight.time_ns <= since_ns)

    def contradicting(self, nodes: set[str], since_ns: int) -> list[str]:
        """Name the meters at nodes that should be alive which have seen none of it since."""
        return sorted(
            terminal
            for terminal, sight in self._seen.items()
            if self._node[terminal] in nodes and sight.time_ns > since_ns and sight.highest < DEAD
        )
