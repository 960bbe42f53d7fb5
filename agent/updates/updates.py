"""
Which version of each algorithm is to run now, and how those that are asked for come to be it.

Where it stands: `service` asks it, before a document is applied, what of it can run at once (`effective`): where
another version is asked for than the one in force, that one goes on as it is until the other has proved itself.
Everything else in the document is applied as ever. Each algorithm's update is a task of its own, so none waits for
another but for the download. What a document changes around an algorithm on probation ends that attempt; the next
begins in what is then.

Rules: while a fault is being handled here, no version is begun beside one in force; the report says ``deferred``, and
why. A version needs no maintenance window: nothing restarts, and whoever reads misses nothing. A version that failed is
not tried again until another is asked for, or, where it refused its settings, other settings. What could not be fetched
is tried again as `fetches` says; what was refused there, after the next start.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping

import msgspec

from agent.clock import Clock
from agent.errors import ConfigError, TrustError
from agent.reconcile import reconcile
from agent.running import RunningSet
from agent.updates.fetches import Fetches
from agent.updates.journal import Aside, Chosen, Entry, Failure, Journal
from agent.updates.places import Places
from agent.updates.shadows import Shadows
from agent.updates.standing import possible, touched
from agent.updates.trial import Interrupted, Trial, Unfit
from algorithms.api.errors import Problem
from device_catalog.contract.documents import Assignment, Configuration
from device_catalog.contract.reports import AlgorithmReport, UpdateReport

log = logging.getLogger(__name__)

STARTS = 5
"""A probation that agents began so often without an end is a failure: the version may be what ends them."""

LONGEST_DEFERRAL = 1800.0
"""So long at most an update waits because of faults, however many there are [s]."""

LOOK = 2.0
"""How often it is looked whether they are over [s]."""

AGAIN = 5.0
"""After an interruption the probation begins anew [s]."""

CARD = 60.0
"""A card that could not be written is tried again after this [s]."""


class Updates:
    """
    The versions of one agent's algorithms.

    Parameters
    ----------
    running : RunningSet
    journal : Journal
    places : Places
    fetches : Fetches
    changing : asyncio.Lock
        Held while what runs is changed.
    clock : Clock
    aside : callable, optional
        Calls a function where it holds up nothing; in a thread by default.
    """

    def __init__(
        self,
        running: RunningSet,
        journal: Journal,
        *,
        places: Places,
        fetches: Fetches,
        changing: asyncio.Lock,
        clock: Clock,
        aside: Aside = asyncio.to_thread,
    ) -> None:
        self._running = running
        self._journal = journal
        self._places = places
        self._fetches = fetches
        self._changing = changing
        self._clock = clock
        self._aside = aside
        self._wanted: dict[str, Assignment] = {}
        self._tasks: dict[str, tuple[Chosen, asyncio.Task[None]]] = {}
        self._trials: dict[str, Trial] = {}
        self._reports: dict[str, UpdateReport] = {}
        self._refused: dict[str, Failure] = {}
        self._ending: set[str] = set()
        self._shadows = Shadows(running, journal, places=places, fetches=fetches, clock=clock)
        running.locate = lambda one: places.start(one.algorithm, one.version, one.package)
        running.state_name = journal.state_name

    # ---- around the application of a document

    def effective(self, configuration: Configuration) -> Configuration:
        """Replace in a configuration what cannot run yet by what runs in its place."""
        return possible(configuration, self._journal)

    async def make_way(self, before: Configuration, wanted: Configuration) -> None:
        """
        Note what is in force before other versions come, and end attempts in whose surroundings something changes.

        Parameters
        ----------
        before, wanted : Configuration
            What was asked for, and is now.

        Raises
        ------
        ConfigError
            When what is in force cannot be noted.
        """
        known = {assignment.algorithm: assignment for assignment in before.algorithms}
        for assignment in wanted.algorithms:
            name = assignment.algorithm
            if assignment.package is not None and self._journal[name] is None:
                await self._begin(name, known.get(name))
        steps = reconcile(self.effective(before), self.effective(wanted), self._running.infos)
        changed = touched(before, wanted, steps, {*self._tasks, *self._shadows.names})
        asked = {assignment.algorithm: Chosen.of(assignment) for assignment in wanted.algorithms}
        for name, (chosen, _) in list(self._tasks.items()):
            if name in changed or asked.get(name) != chosen:
                await self._withdraw(name)
        for name in changed:
            await self._shadows.drop(name)

    async def take(self, wanted: Configuration, *, known: bool) -> None:
        """
        Do what remains to be done for what was asked for; to be called once the rest is applied.

        Parameters
        ----------
        wanted : Configuration
        known : bool
            Whether that was asked for before this agent was started.
        """
        self._wanted = {assignment.algorithm: assignment for assignment in wanted.algorithms}
        for name in [name for name in self._reports if name not in self._wanted]:
            del self._reports[name]
        for name, assignment in self._wanted.items():
            await self._begin_update(name, assignment, known=known)
        for name in {*self._wanted, *self._shadows.names}:
            if not self._is_under_way(name):
                await self._shadows.want(name, self._wanted.get(name))

    def reports(self, reports: Mapping[str, AlgorithmReport]) -> dict[str, AlgorithmReport]:
        """Add to the algorithms' reports where their updates stand."""
        found = {
            name: msgspec.structs.replace(report, update=self._reports.get(name)) for name, report in reports.items()
        }
        for name, update in self._reports.items():
            if name not in found:
                state = "quarantined" if update.step == "failed" else "starting"
                found[name] = AlgorithmReport("", state, last_error=update.reason, update=update)
        return self._shadows.reports(found)

    async def close(self) -> None:
        """Leave everything as it is; the next start goes on from what the journal says."""
        tasks = [task for _, task in self._tasks.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, self._shadows.close(), return_exceptions=True)

    # ---- one algorithm

    async def _begin_update(self, name: str, assignment: Assignment, *, known: bool) -> None:
        chosen, entry = Chosen.of(assignment), self._journal[name]
        if entry is None or self._is_running(name, chosen):
            return
        if entry.active is not None and entry.active.is_version_of(chosen):
            await self._settled(name, entry, chosen)
            if not self._places.has(name, chosen):
                self._begin_task(name, chosen, self._restore(assignment))
            return
        failure = entry.failure_of(chosen) or self._refusal_of(name, chosen)
        if failure is not None:
            self._reports[name] = msgspec.structs.replace(failure.report, rollout=assignment.rollout)
            return
        self._teller(assignment)("pending")
        self._begin_task(name, chosen, self._update(assignment, trusting=known or entry.names(chosen)))

    async def _update(self, assignment: Assignment, *, trusting: bool) -> None:
        """Bring a version into force, or note that it failed."""
        name, chosen = assignment.algorithm, Chosen.of(assignment)
        tell = self._teller(assignment)
        try:
            if not (trusting and self._places.has(name, chosen)):
                await self._fetch(assignment, tell)
            tell("installed")
            while True:
                await self._until_quiet(name, tell)
                try:
                    await self._attempt(assignment, tell)
                except Interrupted as interruption:
                    await asyncio.shield(self._trials[name].withdraw())
                    tell("starting", f"its probation was interrupted and begins anew: {interruption}")
                    await asyncio.sleep(AGAIN)
                else:
                    break
        except Unfit as unfit:
            await self._failed(assignment, unfit)
        except Exception:  # an error of this program must not stay unsaid in a task nobody waits for
            log.exception("the update of %s was given up", name)
            await self._failed(assignment, Unfit("starting", "the agent itself failed; its log says more"))
        await self._shadows.want(name, self._wanted.get(name))

    async def _until_quiet(self, name: str, tell: Callable[..., None]) -> None:
        """Wait while a fault is being handled here: whoever handles it is not changed half-way."""
        begin = self._clock.monotonic()
        while self._journal.entry(name).active is not None and self._clock.monotonic() < begin + LONGEST_DEFERRAL:
            handled = self._running.faults.handled()
            if not handled:
                break
            tell("deferred", f"{handled} is being handled; it is begun afterwards")
            await asyncio.sleep(LOOK)

    async def _restore(self, assignment: Assignment) -> None:
        """Fetch again what is in force and was lost from the card; the supervisor starts it when it is there."""
        try:
            await self._fetch(assignment, self._teller(assignment))
        except Unfit as unfit:
            self._teller(assignment)("pending", f"it is in force, but lost from the card, and: {unfit.reason}")
        else:
            self._teller(assignment)("active")

    async def _fetch(self, assignment: Assignment, tell: Callable[..., None]) -> None:
        if assignment.package is None:
            return
        tell("downloading")
        try:
            await self._fetches.fetch(
                assignment.algorithm, assignment.version, assignment.package, lambda why: tell("downloading", why)
            )
        except TrustError as error:
            raise Unfit("downloading", error) from error

    async def _attempt(self, assignment: Assignment, tell: Callable[..., None]) -> None:
        name, chosen = assignment.algorithm, Chosen.of(assignment)
        entry = self._journal.entry(name).tried(chosen)
        if entry.trial is not None and entry.trial.starts > STARTS:
            raise Unfit("probation", f"its probation was begun {STARTS} times and never came to an end")
        await self._write(name, entry, tell)
        tell("starting")
        await self._shadows.drop(name)
        self._trials[name] = trial = Trial(assignment, entry, self._running, self._clock)
        await trial.start()
        tell("probation")
        await trial.prove()
        confirmed = await self._confirmed(name, entry, trial, tell)
        while not confirmed:
            await asyncio.sleep(CARD)
            confirmed = await self._confirmed(name, entry, trial, tell)
        log.info("%s %s is in force", name, assignment.version or "as it came with the agent")
        await self._clear()

    async def _confirmed(self, name: str, entry: Entry, trial: Trial, tell: Callable[..., None]) -> bool:
        """Write down that a version is in force, and let the one before go; tell whether that was possible."""
        async with self._changing:
            trial.settle()
            if not await self._keep(name, entry.confirmed(), tell):
                trial.unsettle()
                return False
            del self._trials[name]
            tell("active")
            await trial.part()
        return True

    async def _failed(self, assignment: Assignment, unfit: Unfit) -> None:
        """Go back to the version before, and never try this one again."""
        name = assignment.algorithm
        self._ending.add(name)
        try:
            await self._give_up(assignment, unfit)
        finally:
            self._ending.discard(name)

    async def _give_up(self, assignment: Assignment, unfit: Unfit) -> None:
        name = assignment.algorithm
        trial = self._trials.pop(name, None)
        if trial is not None:
            await trial.withdraw()
        reason = unfit.reason if unfit.step == "downloading" else f"{unfit.step}: {unfit.reason}"
        report = UpdateReport(assignment.version, "failed", reason, unfit.log, assignment.rollout)
        self._reports[name] = report
        log.error("%s %s is not taken: %s", name, assignment.version, unfit.reason)
        failure = Failure(Chosen.of(assignment), unfit.any_settings, report)
        if unfit.step == "downloading":
            self._refused[name] = failure
            return
        if not await self._keep(name, self._journal.entry(name).failed(failure)):
            self._refused[name] = failure
        await self._clear()

    async def _withdraw(self, name: str) -> None:
        """End an attempt without a verdict; the caller holds what may change."""
        _, task = self._tasks.pop(name)
        if name not in self._ending:
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        trial = self._trials.pop(name, None)
        if trial is not None:
            await trial.withdraw()
            await self._keep(name, msgspec.structs.replace(self._journal.entry(name), trial=None))

    async def _begin(self, name: str, before: Assignment | None) -> None:
        entry = Entry(active=None if before is None else Chosen.of(before))
        try:
            await self._journal.change(name, entry)
        except OSError as error:
            found = error.strerror or str(error)
            raise ConfigError([Problem(f"algorithms.{name}", "a card to note versions on", found)]) from error

    async def _settled(self, name: str, entry: Entry, chosen: Chosen) -> None:
        """Note with which settings the version in force runs."""
        assignment = self._wanted[name]
        report = self._reports.get(name)
        if report is None or (report.version, report.rollout) != (chosen.version, assignment.rollout):
            self._reports[name] = UpdateReport(chosen.version, "active", rollout=assignment.rollout)
        await self._keep(name, msgspec.structs.replace(entry, active=chosen))

    # ---- within

    def _begin_task(self, name: str, chosen: Chosen, work: Coroutine[None, None, None]) -> None:
        self._tasks[name] = chosen, asyncio.get_running_loop().create_task(work, name=f"update {name}")

    def _is_running(self, name: str, chosen: Chosen) -> bool:
        """Tell whether an update to `chosen` is under way."""
        under_way, task = self._tasks.get(name, (None, None))
        return task is not None and not task.done() and under_way == chosen

    def _is_under_way(self, name: str) -> bool:
        return name in self._tasks and not self._tasks[name][1].done()

    def _refusal_of(self, name: str, chosen: Chosen) -> Failure | None:
        failure = self._refused.get(name)
        return failure if failure is not None and failure.concerns(chosen) else None

    def _teller(self, assignment: Assignment) -> Callable[..., None]:
        def tell(step: str, reason: str = "") -> None:
            report = UpdateReport(assignment.version, step, reason, rollout=assignment.rollout)
            if self._reports.get(assignment.algorithm) != report:
                log.info("%s %s: %s", assignment.algorithm, assignment.version, f"{step}: {reason}" if reason else step)
            self._reports[assignment.algorithm] = report

        return tell

    async def _write(self, name: str, entry: Entry, tell: Callable[..., None]) -> None:
        """Have the journal say something before it is relied upon, however long that takes."""
        kept = await self._keep(name, entry, tell)
        while not kept:
            await asyncio.sleep(CARD)
            kept = await self._keep(name, entry, tell)

    async def _keep(self, name: str, entry: Entry, tell: Callable[..., None] | None = None) -> bool:
        try:
            await self._journal.change(name, entry)
        except OSError as error:
            problem = f"expected a card that can be written, found: {error.strerror or error}"
            log.error("the versions of %s cannot be noted: %s", name, problem)
            if tell is not None:
                tell("pending", problem)
            return False
        return True

    async def _clear(self) -> None:
        """Take from the card what nobody needs any more."""
        named = self._journal.named()
        for name, (chosen, task) in self._tasks.items():
            if not task.done():
                named.setdefault(name, []).append(chosen)
        for name, chosen in self._shadows.chosen():
            named.setdefault(name, []).append(chosen)
        await self._aside(self._places.clear, named)
