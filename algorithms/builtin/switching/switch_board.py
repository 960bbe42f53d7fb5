"""
Where all switches of a network stand, as far as they said so, and which of them can be counted on.

Where it stands: the reconfiguration plug-in feeds it the switches' reports and asks it before every plan.

Rules:

- A switch that never said anything stands where the topology says, and is not counted on.
- One that is silent for too long is not counted on either; it stands where it last said.
- One that moves, or does not know, may be closed: for a plan it is, and it is not counted on.
"""

from collections.abc import Iterable

import numpy as np

from algorithms.api.network import NetworkModel
from algorithms.api.network_document import SwitchStates
from algorithms.api.network_operation import Operation, SwitchKind, SwitchState
from algorithms.api.network_tables import Truths
from algorithms.api.records import Result
from algorithms.api.switching import SwitchReport, read_report, tags_of
from algorithms.api.wire import NANOSECONDS

AHEAD = 60.0
"""A switch's clock is believed to be ahead by this at most [s]."""


class SwitchBoard:
    """
    The switches of one network.

    Parameters
    ----------
    model : NetworkModel
        As the topology has it.
    silence : float
        After this a switch is not counted on [s].
    """

    def __init__(self, model: NetworkModel, silence: float) -> None:
        self.model = model
        self._silence_ns = round(silence * NANOSECONDS)
        self._reports: dict[str, tuple[int, SwitchReport]] = {}
        self._stamps: dict[str, int] = {}
        self._first_ns: int | None = None
        self.bad: dict[str, str] = {}
        """Switches that did not do as they were told, with what they did."""

    def hear(self, record: Result, now_ns: int) -> tuple[SwitchReport | None, SwitchReport | None]:
        """Take a report; return the one before and this one, neither where it is none of ours."""
        report = read_report(record)
        if report is None or record.terminal not in self.model.switches.rows or report.network != self.model.network:
            return None, None
        before = self._reports.get(record.terminal)
        stamp_ns = self._stamps.get(record.terminal, 0)
        if before is not None and record.time_ns < stamp_ns and now_ns - before[0] < self._silence_ns:
            return None, None  # late
        self._stamps[record.terminal] = min(record.time_ns, now_ns)  # its clock may be wrong
        latest_ns = now_ns + round(AHEAD * NANOSECONDS)
        self._reports[record.terminal] = max(now_ns, min(record.time_ns, latest_ns)), report
        return (before[1] if before is not None else None), report

    def shift(self, by_ns: int) -> None:
        """Move what was timed with a clock that was set."""
        self._reports = {name: (heard_ns + by_ns, report) for name, (heard_ns, report) in self._reports.items()}
        self._stamps.clear()
        self._first_ns = None if self._first_ns is None else self._first_ns + by_ns

    def report(self, name: str) -> SwitchReport | None:
        """Return what a switch said last."""
        found = self._reports.get(name)
        return None if found is None else found[1]

    def closed(self) -> Truths:
        """Tell which switches are closed or may be, shape (n,)."""
        closed = self.model.switches.closed.copy()
        for name, (_, report) in self._reports.items():
            closed[self.model.switches.rows[name]] = report.state is not SwitchState.OPEN
        return closed

    def surely_closed(self) -> Truths:
        """Tell which switches are closed by their own word, or by the topology where they said nothing, shape (n,)."""
        closed = self.model.switches.closed.copy()
        for name, (_, report) in self._reports.items():
            closed[self.model.switches.rows[name]] = report.state is SwitchState.CLOSED
        return closed

    def operable(self, now_ns: int, tags: Iterable[str] = ()) -> Truths:
        """Tell which switches can be counted on, being locked by nobody but under `tags`, shape (n,)."""
        switches, own = self.model.switches, set(tags)
        fit = np.zeros(len(switches), dtype=bool)
        for name, (heard_ns, report) in self._reports.items():
            row = switches.rows[name]
            fit[row] = (
                switches.operation[row] == Operation.REMOTE
                and switches.kind[row] != SwitchKind.FUSE
                and now_ns - heard_ns <= self._silence_ns
                and (not report.tag or bool(own & tags_of(report.tag)))
                and report.state is not None
                and name not in self.bad
            )
        return fit

    def heard(self, now_ns: int) -> list[str]:
        """Name the switches operated from afar that are heard, whoever locked them."""
        switches, silent = self.model.switches, self.silent(now_ns)
        return [
            name
            for name, kind, operation in zip(switches.ids, switches.kind, switches.operation, strict=True)
            if operation == Operation.REMOTE and kind != SwitchKind.FUSE and name not in silent
        ]

    def reported(self) -> dict[str, str]:
        """Tell where switches stand by their own word."""
        return {name: report.state.value for name, (_, report) in self._reports.items() if report.state is not None}

    def silent(self, now_ns: int) -> list[str]:
        """Name the switches operated from afar that are not heard."""
        switches = self.model.switches
        return [
            name
            for name, operation in zip(switches.ids, switches.operation, strict=True)
            if operation == Operation.REMOTE
            and (name not in self._reports or now_ns - self._reports[name][0] > self._silence_ns)
        ]

    def gathering(self, now_ns: int) -> bool:
        """Tell whether switches that were never heard may yet be, since it was made not long ago."""
        if self._first_ns is None:
            self._first_ns = now_ns
        young = now_ns - self._first_ns < self._silence_ns
        return young and any(name not in self._reports for name in self.silent(now_ns))

    def now(self) -> NetworkModel:
        """Give the network as its switches stand."""
        return self.model.with_switches(self.states(self.closed()))

    def states(self, closed: Truths) -> SwitchStates:
        """Write positions as a document."""
        words = {True: SwitchState.CLOSED, False: SwitchState.OPEN}
        states = {name: words[there] for name, there in zip(self.model.switches.ids, closed.tolist(), strict=True)}
        return SwitchStates(self.model.network, self.model.topology_revision, states)
