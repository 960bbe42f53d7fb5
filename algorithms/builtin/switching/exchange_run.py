"""
An exchange of open points carried out: pair by pair, taken back where one fails half-way or was cut off. Pure.

Where it stands: `loss_watch` decides that it is worth it and makes one of these, or one of what was remembered after a
restart; `grid.switching.switching_order` has said in which order, `switching_sequence` gives the orders. Rules:

- What is meant is remembered before the first order is given: who is killed in the middle knows it afterwards.
- A pair that fails half-way is undone: the network is left radial and everybody supplied, or that is said.
- Before each pair all switches must stand where the plan has them, and obey. Otherwise somebody else is at work: what
  is half done is taken back where it closed a loop, and the position is judged anew.
- After a restart, or with the right to switch lost in the middle and had again, only what the switches say counts, once
  they obey nobody's older lease. What is half made by its own order is taken back; what others have moved since is
  theirs, and told.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from algorithms.api.network_tables import Truths
from algorithms.api.records import Record
from algorithms.api.switching import SwitchReport
from algorithms.api.wire import NANOSECONDS
from algorithms.builtin.switching.exchange_pairs import ExchangeMemory, ExchangePairs, Pair
from algorithms.builtin.switching.loop_watch import LoopWatch
from algorithms.builtin.switching.reconfiguration_settings import LossSettings
from algorithms.builtin.switching.switch_board import SwitchBoard
from algorithms.builtin.switching.switching_sequence import Lease, Progress, Stage, SwitchingSequence

OTHERS = "others"
LOSSES = "losses"
"""What orders of it are given for."""
RESTART, LEASE_LOST = "it was cut off by a restart", "the right to switch was lost in it"


class ExchangePhase(StrEnum):
    """How far it is."""

    LEASE = "lease"
    SWITCHING = "switching"
    UNDOING = "undoing"
    RESUMING = "resuming"


@dataclass(slots=True)
class ExchangeRun:
    """
    One exchange.

    Parameters
    ----------
    board : SwitchBoard
    settings : LossSettings
    loops : LoopWatch
    ours : callable
        Tells of a report whether the switch stands so by an order of this reconfigurator.
    since_ns : int
        [ns UTC]
    name : str
        Tells its orders from those of others.
    pairs : ExchangePairs

    Attributes
    ----------
    steps : list of tuple
        Switch, verb and when it was confirmed [ns UTC].
    """

    board: SwitchBoard
    settings: LossSettings
    loops: LoopWatch
    ours: Callable[[SwitchReport], bool]
    since_ns: int
    name: str
    pairs: ExchangePairs
    phase: ExchangePhase = ExchangePhase.LEASE
    steps: list[tuple[str, str, int]] = field(default_factory=list)
    _sequence: SwitchingSequence | None = None
    _undone: str = ""
    _cut_off: str = RESTART
    _made_before: int = 0
    _resumed_ns: int | None = None

    # ---- what is remembered

    def remembered(self) -> ExchangeMemory | None:
        """Give what must outlive a restart; None as long as nothing was ordered."""
        if self.phase is ExchangePhase.LEASE:
            return None
        return ExchangeMemory(tuple(self.pairs.pairs), tuple(self.pairs.planned.tolist()), self.since_ns)

    def before_exchange(self) -> Truths | None:
        """Tell where switches stood but for the pair under way, shape (n_switches,); None where that is not known."""
        match self.phase:
            case ExchangePhase.LEASE:
                return None
            case ExchangePhase.RESUMING:
                made = self.pairs.made()
            case _:
                done = self.steps if self.phase is ExchangePhase.UNDOING else self._done()
                made = self._made_before + len(done)
        return None if made is None else self.pairs.after(made // 2 * 2)

    def is_half(self) -> bool:
        """Tell whether a pair is half made, or may be."""
        match self.phase:
            case ExchangePhase.LEASE:
                return False
            case ExchangePhase.RESUMING:
                made = self.pairs.made()
                return made is None or bool(made % 2)
            case ExchangePhase.UNDOING:
                return True
            case ExchangePhase.SWITCHING:
                waits = self._sequence is not None and self._sequence.waits
                return waits or bool(len(self._done()) % 2)

    # ---- what happens

    def hear(self, name: str, report: SwitchReport, now_ns: int) -> None:
        """Take what a switch says."""
        if self._sequence is not None:
            self._sequence.hear(name, report, now_ns)

    def advance(self, lease: Lease | None, refusal: str, now_ns: int) -> tuple[list[Record], tuple[str, str] | None]:
        """
        Do what can be done now.

        Returns
        -------
        given : list of Record
        ended : tuple of str, or None
            How it ended, and why; None while it goes on.
        """
        usable = lease if lease is not None and lease.until_ns > now_ns else None
        match self.phase:
            case ExchangePhase.LEASE:
                ended = self._begin(usable, refusal, now_ns)
            case ExchangePhase.RESUMING:
                ended = self._take_up(usable, refusal, now_ns)
            case _:
                ended = None
        given: list[Record] = []
        while ended is None and (sequence := self._sequence) is not None:
            between = self.phase is ExchangePhase.SWITCHING and not sequence.waits and not sequence.failed
            if between and self._disturbed(sequence.at + 1, now_ns):
                sequence.abandon()
                sequence.failed[OTHERS] = "moved or locked switches meanwhile"
            if sequence.progress is Progress.RUNNING:
                given += sequence.advance(now_ns)
            if sequence.progress is Progress.RUNNING:
                break
            ended = self._after(sequence)
        return given, ended

    def abandon(self) -> None:
        """Give no more orders."""
        if self._sequence is not None:
            self._sequence.abandon()
            self.steps += self._sequence.done

    def shift(self, by_ns: int) -> None:
        """Move what was timed with a clock that was set."""
        self.since_ns += by_ns
        self._resumed_ns = None if self._resumed_ns is None else self._resumed_ns + by_ns
        self.steps = [(name, verb, at + by_ns) for name, verb, at in self.steps]
        if self._sequence is not None:
            self._sequence.shift(by_ns)

    # ---- inside

    def _begin(self, lease: Lease | None, refusal: str, now_ns: int) -> tuple[str, str] | None:
        if self._disturbed(0, now_ns):
            return "superseded", "switches moved or were locked meanwhile"
        if lease is not None:
            self._order("loss", self.pairs.stages(), lease)
            self.phase = ExchangePhase.SWITCHING
            return None
        return None if self._patient(self.since_ns, now_ns) else ("no-lease", refusal or "no answer")

    def _take_up(self, lease: Lease | None, refusal: str, now_ns: int) -> tuple[str, str] | None:
        """Judge where it was cut off, once every switch of it has spoken and obeys no older lease."""
        self._resumed_ns = now_ns if self._resumed_ns is None else self._resumed_ns
        unsure = self.pairs.unsure()
        if lease is None or unsure:
            if self._patient(self._resumed_ns, now_ns):
                return None
            missing = f"the network could not be had: {refusal or 'no answer'}"
            missing = f"{', '.join(unsure)} did not say where they stand" if unsure else missing
            return ("half-way" if unsure or self.is_half() else "interrupted"), f"{self._cut_off}; {missing}"
        made, count = self.pairs.made(), len(self.pairs.pairs)
        if made is None:
            return "half-way", f"{self._cut_off}, and others have moved its switches since"
        if made % 2 == 0:
            return (
                "changed" if made == 2 * count else "interrupted"
            ), f"{self._cut_off} after {made // 2} of {count} pairs"
        pair = self.pairs.pairs[made // 2]
        if why := self._left_alone(pair):
            return "half-way", f"{self._cut_off} between {pair.close} and {pair.open}; {why}"
        self._made_before, self._undone = made - 1, self._cut_off
        self._order("undo", self.pairs.back(pair), lease)
        self.phase = ExchangePhase.UNDOING
        return None

    def _left_alone(self, pair: Pair) -> str:
        """Say why a pair that was cut off is not taken back; nothing where it is."""
        if not self.settings.closed_loop:
            return "the settings say to propose only"
        first = self.board.report(pair.close if pair.make_before_break else pair.open)
        if first is None or not self.ours(first):
            return "others have moved its switches since"
        return "others have switched since, and it would do harm" if self._would_harm(pair) else ""

    def _after(self, sequence: SwitchingSequence) -> tuple[str, str] | None:
        """Take back what failed half-way, or end."""
        self.steps += sequence.done
        undoing = self.phase is ExchangePhase.UNDOING
        if sequence.starved:  # whoever has the right again begins by looking where all stand
            self.phase, self._sequence, self._cut_off, self._resumed_ns = ExchangePhase.RESUMING, None, LEASE_LOST, None
            return None
        if sequence.progress is Progress.DONE:
            return "undone" if undoing else "changed", self._undone
        why = "; ".join(f"{name} {what}" for name, what in sequence.failed.items())
        stages = [] if undoing else self._undoing(sequence)
        if not stages:
            return "half-way" if undoing else "failed", f"{self._undone}; {why}".strip("; ")
        self._undone = why
        self._order("undo", stages, sequence.lease)
        self.phase = ExchangePhase.UNDOING
        return None

    def _order(self, kind: str, stages: Sequence[Stage], lease: Lease) -> None:
        self._sequence = SwitchingSequence(f"{kind}-{self.name}", lease, stages, purpose=LOSSES)

    def _undoing(self, sequence: SwitchingSequence) -> list[Stage]:
        """Take back the first half of a pair that failed after it, or in it where nobody knows how it ended."""
        if sequence.at < 0:
            return []
        pair = self.pairs.pairs[sequence.at // 2]
        first = pair.close if pair.make_before_break else pair.open
        moved = any(name == first for name, _, _ in sequence.done)
        if OTHERS in sequence.failed:  # `at` is the last step that was done
            if sequence.at % 2 or self._would_harm(pair):
                return []
        elif not moved and first not in sequence.unanswered:
            return []
        return self.pairs.back(pair)

    def _would_harm(self, pair: Pair) -> bool:
        """Tell whether taking back the first half of a pair would cut somebody off, or close a loop."""
        if pair.make_before_break:
            return not self.loops.closed_by()
        return bool(self.loops.closed_by(pair.open))

    def _disturbed(self, steps: int, now_ns: int) -> bool:
        """Tell whether switches do not stand as planned after so many steps, or those still to move do not obey."""
        rows, verbs = self.board.model.switches.rows, self.pairs.verbs()
        fit = self.board.operable(now_ns)
        begins = verbs if not steps else verbs[steps : steps + 2]
        begins = [] if steps % 2 else begins  # what has begun is better ended than left
        moved = (self.board.closed() != self.pairs.after(steps)).any()
        return bool(moved) or not all(fit[rows[name]] for name, _ in begins)

    def _done(self) -> list[tuple[str, str, int]]:
        return self._sequence.done if self._sequence is not None else self.steps

    def _patient(self, since_ns: int, now_ns: int) -> bool:
        return now_ns - since_ns < round(self.settings.patience * NANOSECONDS)
