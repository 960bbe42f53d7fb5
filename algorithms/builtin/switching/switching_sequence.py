"""
Orders to switches, one stage after another, each waited for until the switch itself confirms it. Pure.

Where it stands: fault handling and loss reduction in the reconfiguration plug-in make one for each thing they do. It
gives commands to be sent and hears reports; it knows neither networks nor faults.

Rules:

- The orders of a stage are given together; the next stage begins when all of them are confirmed.
- What is not confirmed in time is ordered once more, under a new number, or waited for as long again where the switch
  says that it moves; then it has failed. So has what the switch refuses or reports as failed; a refusal after it said
  that it moves is of the same order delivered again.
- An order lives no longer than it is waited for: what is late is worthless at the switch too.
- Nothing is given without a lease that lasts longer than the order.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import msgspec

from algorithms.api.network_operation import SwitchState
from algorithms.api.records import Command
from algorithms.api.switching import CLAIM, CLOSE, OPEN, Order, Outcome, SwitchReport, tags_of
from algorithms.api.wire import NANOSECONDS

ATTEMPTS = 2
NAMED = 40
"""Characters of its name that a sequence gives its orders."""


class Progress(StrEnum):
    """How far a sequence is."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Wish:
    """One thing a switch shall do, with the longest it may take [s]."""

    switch: str
    verb: str
    patience: float
    tag: str = ""


@dataclass(frozen=True, slots=True)
class Stage:
    """Wishes that are given together; `pause` is waited for after they are fulfilled [s]."""

    name: str
    wishes: tuple[Wish, ...]
    pause: float = 0.0


@dataclass(slots=True)
class Lease:
    """
    The right to switch a network, and the numbers of the orders given under it.

    Attributes
    ----------
    network : str
    token : int
    until_ns : int
        [ns UTC]
    given : int
        Number of the last order.
    """

    network: str
    token: int
    until_ns: int
    given: int = 0


@dataclass(slots=True)
class _Waiting:
    wish: Wish
    command: str
    until_ns: int
    attempt: int
    moving: bool = False


@dataclass(slots=True)
class SwitchingSequence:
    """
    A sequence under way.

    Parameters
    ----------
    name : str
        Names its commands.
    lease : Lease
    stages : sequence of Stage
    purpose : str
        What its orders are given for.

    Attributes
    ----------
    progress : Progress
    at : int
        The stage it is at.
    done : list of tuple
        Switch, verb and when it was confirmed [ns UTC], in that order.
    failed : dict
        Switches that did not do as they were told, with what they did.
    unanswered : set of str
        Those of which nothing was heard: they may have moved or not.
    starved : bool
        Whether it ended because the lease would not have lasted.
    """

    name: str
    lease: Lease
    stages: Sequence[Stage]
    purpose: str = ""
    progress: Progress = Progress.RUNNING
    at: int = -1
    done: list[tuple[str, str, int]] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    unanswered: set[str] = field(default_factory=set)
    starved: bool = False
    _waiting: dict[str, _Waiting] = field(default_factory=dict)
    _rested: int = -1
    _resume_ns: int = 0

    def advance(self, now_ns: int) -> list[Command]:
        """Give what is to be sent now."""
        sent = self._remind(now_ns)
        while self.progress is Progress.RUNNING and not self._waiting:
            if self.failed:
                self.progress = Progress.FAILED
                break
            if self.at > self._rested and self.stages[self.at].pause:
                self._rested, self._resume_ns = self.at, now_ns + round(self.stages[self.at].pause * NANOSECONDS)
            if now_ns < self._resume_ns:
                break
            if self.at + 1 == len(self.stages):
                self.progress = Progress.DONE
                break
            self.at += 1
            for wish in self.stages[self.at].wishes:
                sent += self._give(wish, now_ns, 1)
        return sent

    def hear(self, switch: str, report: SwitchReport, now_ns: int) -> None:
        """Take what a switch says."""
        waiting = self._waiting.get(switch)
        if waiting is None or report.command != waiting.command:
            return
        if report.outcome is Outcome.DONE and _fulfils(waiting.wish, report):
            del self._waiting[switch]
            self.done.append((switch, waiting.wish.verb, now_ns))
        elif report.outcome is Outcome.REFUSED and waiting.moving:
            return
        elif report.outcome in (Outcome.REFUSED, Outcome.FAILED):
            self._fail(switch, f"{report.outcome}: {report.reason}")
        else:
            waiting.moving = report.outcome is Outcome.UNDER_WAY

    def shift(self, by_ns: int) -> None:
        """Move what is waited for with a clock that was set."""
        self._resume_ns += by_ns
        self.done = [(switch, verb, at + by_ns) for switch, verb, at in self.done]
        for waiting in self._waiting.values():
            waiting.until_ns += by_ns

    def abandon(self) -> None:
        """Give nothing more."""
        self._waiting.clear()
        self.progress = Progress.FAILED

    @property
    def waits(self) -> bool:
        """Whether an order is under way."""
        return bool(self._waiting)

    def _remind(self, now_ns: int) -> list[Command]:
        """Order again, or wait on for, what was not confirmed in time."""
        sent: list[Command] = []
        for waiting in list(self._waiting.values()):
            if now_ns < waiting.until_ns:
                continue
            if waiting.attempt == ATTEMPTS:
                self._fail(waiting.wish.switch, "did not answer in time")
                self.unanswered.add(waiting.wish.switch)
            elif waiting.moving:  # it is slow: another order would not help
                waiting.until_ns = now_ns + round(waiting.wish.patience * NANOSECONDS)
                waiting.attempt += 1
            else:
                sent += self._give(waiting.wish, now_ns, waiting.attempt + 1)
        return sent

    def _give(self, wish: Wish, now_ns: int, attempt: int) -> list[Command]:
        until_ns = now_ns + round(wish.patience * NANOSECONDS)
        if until_ns >= self.lease.until_ns:
            self.starved = True
            self._fail(wish.switch, "was not ordered: the lease ends before it could be carried out")
            return []
        self.lease.given += 1
        command = Command(
            id=f"{self.name[:NAMED]}-{self.lease.token}-{self.lease.given}"[:64],
            recipient=wish.switch,
            verb=wish.verb,
            issued_ns=now_ns,
            expires_ns=until_ns,
            arguments=msgspec.to_builtins(
                Order(self.lease.network, self.lease.token, self.lease.given, wish.tag, self.purpose)
            ),
        )
        self._waiting[wish.switch] = _Waiting(wish, command.id, until_ns, attempt)
        return [command]

    def _fail(self, switch: str, what: str) -> None:
        self._waiting.pop(switch, None)
        self.failed[switch] = what


def _fulfils(wish: Wish, report: SwitchReport) -> bool:
    match wish.verb:
        case "open":
            return report.state is SwitchState.OPEN and tags_of(wish.tag) <= tags_of(report.tag)
        case "close":
            return report.state is SwitchState.CLOSED
        case "claim":
            return True
        case _:
            return not tags_of(wish.tag) & tags_of(report.tag)


def opening(switch: str, patience: float, tag: str = "") -> Wish:
    """Wish a switch open, and locked under `tag` unless that is empty."""
    return Wish(switch, OPEN, patience, tag)


def closing(switch: str, patience: float) -> Wish:
    """Wish a switch closed."""
    return Wish(switch, CLOSE, patience)


def claiming(switch: str, patience: float) -> Wish:
    """Wish that a switch obeys no older lease from now on."""
    return Wish(switch, CLAIM, patience)
