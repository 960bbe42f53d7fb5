"""
The pairs of an exchange of open points: what moves in which order, how much was made, what takes it back. Pure.

Where it stands: `exchange_run` asks it before each order and after a restart; `ExchangeMemory` is what outlives one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from algorithms.api.network_tables import Truths
from algorithms.builtin.switching.switch_board import SwitchBoard
from algorithms.builtin.switching.switching_sequence import Stage, closing, opening


class Pair(msgspec.Struct, frozen=True):
    """A switch to close and one to open, and which comes first."""

    close: str
    open: str
    make_before_break: bool


class ExchangeMemory(msgspec.Struct, frozen=True):
    """What outlives a restart: the pairs in their order, which switches were closed before, and since when [ns UTC]."""

    pairs: tuple[Pair, ...]
    planned: tuple[bool, ...]
    since_ns: int


@dataclass(slots=True)
class ExchangePairs:
    """
    What an exchange is to move.

    Attributes
    ----------
    board : SwitchBoard
    pairs : sequence of Pair
    planned : numpy.ndarray
        Which switches were closed when it was planned, shape (n_switches,).
    response : float
        A switch answers within its operating time and this [s].
    """

    board: SwitchBoard
    pairs: Sequence[Pair]
    planned: Truths
    response: float

    def stages(self) -> list[Stage]:
        """Give the orders of all pairs, one in each stage."""
        stages = []
        for pair in self.pairs:
            close = Stage("close", (closing(pair.close, self._patience(pair.close)),))
            opened = Stage("open", (opening(pair.open, self._patience(pair.open)),))
            stages += [close, opened] if pair.make_before_break else [opened, close]
        return stages

    def back(self, pair: Pair) -> list[Stage]:
        """Give the order that takes the first half of a pair back."""
        if pair.make_before_break:
            return [Stage("open", (opening(pair.close, self._patience(pair.close)),))]
        return [Stage("close", (closing(pair.open, self._patience(pair.open)),))]

    def verbs(self) -> list[tuple[str, str]]:
        """Give switch and verb of every step."""
        return [(wish.switch, stage.name) for stage in self.stages() for wish in stage.wishes]

    def after(self, steps: int) -> Truths:
        """Tell which switches are closed after so many steps, shape (n_switches,)."""
        closed, rows = self.planned.copy(), self.board.model.switches.rows
        for name, verb in self.verbs()[:steps]:
            closed[rows[name]] = verb == "close"
        return closed

    def made(self) -> int | None:
        """Tell after how many steps its switches would stand as they say; None where after none."""
        rows = [self.board.model.switches.rows[name] for name, _ in self.verbs()]
        closed = self.board.surely_closed()[rows]
        fits = [steps for steps in range(len(rows) + 1) if np.array_equal(self.after(steps)[rows], closed)]
        return fits[-1] if fits else None

    def unsure(self) -> list[str]:
        """Name its switches that have said nothing, or do not know where they stand."""
        reports = {name: self.board.report(name) for name, _ in self.verbs()}
        return [name for name, report in reports.items() if report is None or report.state is None]

    def _patience(self, name: str) -> float:
        switches = self.board.model.switches
        return float(switches.operating_time[switches.rows[name]]) + self.response
