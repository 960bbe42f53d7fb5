"""
One version on probation: started beside the one in force, told once it is abreast, given up at the first fault.

Where it stands: made by `updates` for each attempt; `turn` says which records go out, `probation` what is missing.

How it goes: the new version starts from the newest state of the one in force, beside it and on the same records, and
is silent. Once it makes what the other makes, up to the same instant, it is told instead: nothing is lost and nothing
told twice. The one before goes on beside it, silent in its turn and counting on by itself, until the probation is
over. Whatever goes wrong before that, it is told again at once, from its own state, including what the new one did not
get to tell. Each of both keeps its state under its own name, so neither counts what the other counted.

Where nothing ran before, the new version is told from the start. One that proved itself earlier and is asked for again
is the way back from a version that turned out to be no good: it need only run, whatever the other one made.
"""

import asyncio
from collections.abc import Sequence

from agent.clock import Clock
from agent.errors import AgentError, AlgorithmRefused
from agent.pipeline import contested, cycles
from agent.running import RunningSet
from agent.updates.journal import Chosen, Entry
from agent.updates.probation import declared, is_abreast, shortfall
from agent.updates.turn import NEW, OLD, Series, Turn
from algorithms.api.errors import printable, shortened
from algorithms.api.records import Record
from device_catalog.contract.documents import Assignment

SELF_TEST = 10.0
"""After this the new version is told though the one before made nothing to compare with [s]."""

WINDOW = 10.0
"""What both made is compared over this time, again and again [s]."""

LOG_LINES, LOG_LINE = 20, 200
"""Of what a failed version said last, so many lines of so many characters are told."""

_LOOK = 0.1
_TOGETHER = 0.3  # the one before is given this long to turn out to have ended, too [s]


class Unfit(Exception):  # noqa: N818 - what was found, not an error of this program
    """
    A version does not prove itself.

    Attributes
    ----------
    step : str
        As of `UpdateReport`, where it failed.
    reason : str
        One sentence.
    log : tuple of str
        Its last lines.
    any_settings : bool
        Whether other settings would change nothing.
    """

    def __init__(self, step: str, reason: object, *, log: str = "", any_settings: bool = True) -> None:
        self.step = step
        self.reason = shortened(printable(str(reason)), 500)
        lines = [line.rstrip() for line in printable(log).splitlines() if line.strip()]
        self.log = tuple(line[:LOG_LINE] for line in lines[-LOG_LINES:])
        self.any_settings = any_settings
        super().__init__(self.reason)


class Interrupted(Exception):  # noqa: N818 - as above
    """What surrounds both versions failed; it says nothing about either of them."""


class Trial:
    """
    One attempt with one version.

    Parameters
    ----------
    assignment : Assignment
        With the version that is wanted.
    entry : Entry
        What is known of the algorithm.
    running : RunningSet
    clock : Clock
    """

    def __init__(self, assignment: Assignment, entry: Entry, running: RunningSet, clock: Clock) -> None:
        name = assignment.algorithm
        self._assignment = assignment
        self._running = running
        self._clock = clock
        self._turn = Turn()
        self._old = running.in_force(name)
        own, theirs = name + entry.other_slot, name + entry.slot
        self._new = running.make(assignment, state_name=own, inherits=theirs)
        self._same_settings = entry.active is not None and entry.active.settings == assignment.settings
        self._is_return = assignment.package is None or entry.was_before(Chosen.of(assignment))
        self._why: object = None
        self._ended_at = 0.0
        self._old_ran = False
        self._may_change = False
        self._look = asyncio.Event()

    async def start(self) -> None:
        """
        Start it, silent where another is told.

        Raises
        ------
        Unfit
            When it does not start, refuses its settings, or cannot read the state of the version before.
        """
        self._new.in_force = True
        self._new.through = self._take
        self._new.ended = self._ended
        self._running.stand_beside(self._new)
        if self._old is not None:
            self._old.through = lambda records: self._turn.take(OLD, records, self._clock.monotonic())
            self._old_ran = self._old.runs
            self._new.go_behind(self._old)
            self._new.begin_with(await self._old.hand_over())  # and it is fed whatever is fed from here on
        else:
            self._turn.speaker = NEW
        try:
            started = await self._new.start()
            while not started:  # it waits for the source or the network, as every other would
                await asyncio.sleep(_LOOK)
                started = await self._new.start()
        except AlgorithmRefused as refused:
            raise Unfit("starting", f"it refuses what it is given: {refused}", any_settings=False) from refused
        except AgentError as error:
            await self._blame("starting", error, getattr(error, "traceback", ""))
        if self._new.note and self._is_return:
            self._new.complain(f"{self._new.note}; that state stays where it is")
        elif self._new.note:
            raise Unfit("starting", f"it cannot go on from the state of the version before: {self._new.note}")
        self._judge_place()
        self._turn.reset()
        if self._old is None:
            self._running.exchange(self._new)
        self._running.began(self._new)

    async def prove(self) -> None:
        """
        Wait until it has proved itself; from some moment on it is told.

        Raises
        ------
        Unfit
            When it does not.
        Interrupted
            When that could not be found out.
        """
        begin = self._clock.monotonic()
        until = begin + self._assignment.probation
        self._may_change = self._old is not None
        self._change_if_abreast()
        while self._may_change and self._clock.monotonic() < min(until, begin + SELF_TEST):
            await self._wait(_LOOK)
            self._change_if_abreast()
        if self._may_change:
            self._compare()
            self._change()
        while (left := until - self._clock.monotonic()) > 0:
            self._turn.reset()
            await self._wait(min(left, WINDOW), to_the_end=True)
            self._compare()

    def settle(self) -> None:
        """Let it be an algorithm like any other, before that is written down."""
        self._new.ended = self._new.through = None

    def unsettle(self) -> None:
        """Go on with the probation: it could not be written down."""
        self._new.ended, self._new.through = self._ended, self._take
        if not self._new.runs:
            self._ended("it ended while its probation was being concluded")

    async def part(self) -> None:
        """End the version before, which keeps its last state under its own name."""
        if self._old is not None:
            self._running.leave(self._old)
            await self._old.stop()
            self._old.in_force = False

    async def withdraw(self) -> None:
        """Go back to the version before, whatever was reached; may come twice."""
        self._may_change = False
        self._go_back()
        self._running.leave(self._new)
        self._new.ended = lambda _: None
        await self._new.stop()
        self._new.in_force = False
        if self._old is not None:
            self._old.through = None

    # ---- within

    def _take(self, records: Sequence[Record]) -> Sequence[Record]:
        going = self._turn.take(NEW, records, self._clock.monotonic())
        self._change_if_abreast()
        return going

    def _change_if_abreast(self) -> None:
        if not self._may_change:
            return
        status = self._new.status
        newest, made = self._turn.newest, self._expected()
        if is_abreast(newest[OLD], newest[NEW], made, seen_working=bool(status.processed or status.produced)):
            self._change()

    def _change(self) -> None:
        """Tell the new one from now on."""
        self._may_change = False
        records = self._turn.change(self._clock.monotonic())
        self._running.exchange(self._new)
        self._new.release(records)

    def _go_back(self) -> None:
        """Tell the old one again."""
        if self._old is None or self._turn.speaker == OLD:
            return
        records = self._turn.change(self._clock.monotonic())
        self._running.exchange(self._old)
        self._old.release(records)

    def _ended(self, reason: object) -> None:
        if self._why is None:
            self._why = reason
            self._may_change = False
            self._go_back()
            self._look.set()

    async def _wait(self, seconds: float, *, to_the_end: bool = False) -> None:
        """Let time pass; raise where the new version ended."""
        until = self._clock.monotonic() + seconds
        while self._why is None and (left := until - self._clock.monotonic()) > 0:
            try:
                async with asyncio.timeout(left):
                    await self._look.wait()
            except TimeoutError:
                break
            if not to_the_end:
                break
        if self._why is not None:
            await self._blame("probation", self._why, getattr(self._why, "traceback", ""))

    async def _blame(self, step: str, reason: object, log: str) -> None:
        """Raise what an end means: where the version before went at the same time, it was neither's fault."""
        if self._old is not None and self._old_ran:
            await asyncio.sleep(_TOGETHER)
            if not self._old.runs:
                raise Interrupted(str(reason))
        raise Unfit(step, reason, log=log)

    def _compare(self) -> None:
        if self._old is None or not self._old.runs or self._is_return:
            return
        missing = shortfall(self._expected(), self._turn.made[NEW], same_settings=self._same_settings)
        if missing:
            raise Unfit("probation", missing)

    def _expected(self) -> dict[Series, int]:
        """Count what the old one made, as far as the new one declares to make such things."""
        info = self._new.info
        return {} if info is None else declared(self._turn.made[OLD], info)

    def _judge_place(self) -> None:
        """Refuse a version that would feed on itself, or publish what another publishes."""
        name, info = self._assignment.algorithm, self._new.info
        if info is None:
            return
        infos = {**self._running.infos, name: info}
        problems = [*cycles(infos), *([found] if (found := contested(infos).get(name)) else [])]
        if problems:
            raise Unfit("starting", "; ".join(str(problem) for problem in problems))
