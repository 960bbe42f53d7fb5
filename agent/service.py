"""
The agent while it runs: one event loop that polls the catalog, applies what it says, routes and publishes.

The loop owns everything that decides. What may block is elsewhere: sampling and algorithms in processes of their own
(`workers`), the spool's commits in a thread (`outbox`), requests to the catalog in another (`conversation`). The order
of a start is that of trust in what is known: the last good settings run at once, then the catalog is asked. Being told
to stop ends whatever is under way, also a start.
"""

import asyncio
import logging
import signal
from contextlib import AsyncExitStack
from importlib.metadata import version
from pathlib import Path

from agent.apply import apply
from agent.calibration import Calibrations
from agent.catalog import CatalogClient
from agent.checkpoints import Checkpoints
from agent.clock import Clock, StepWatch, synchronisation
from agent.command_gate import CommandGate
from agent.commissioning.office import Office
from agent.config import AgentConfig
from agent.conversation import Conversation
from agent.delivery.links import Links
from agent.delivery.outbox import Outbox
from agent.delivery.replay import SUBJECT, Replay
from agent.errands import Errands
from agent.errors import ConfigError
from agent.network import Networks
from agent.network_duty import NetworkDuty
from agent.network_leases import SUBJECT as LEASE
from agent.network_leases import LeaseDesk
from agent.notify import ServiceManager
from agent.outputs import Outputs
from agent.pipeline import Publication
from agent.processes.workers import Workers
from agent.recording.recorder import SUBJECT as RECORD
from agent.recording.recorder import EventRecorder
from agent.recording.recordings_upload import Handover
from agent.running import Place, RunningSet
from agent.settings_in_force import SettingsInForce
from agent.store import Store
from agent.support.desk import SupportDesk
from agent.support.kept_log import KeptLog
from agent.trust.in_force import TrustInForce
from agent.trust.policy_keeper import PolicyKeeper
from agent.updates.fetches import Fetches, asking_process
from agent.updates.image_meter import AgentMeter, images_of
from agent.updates.journal import Journal
from agent.updates.places import Places
from agent.updates.updates import Updates
from agent.watchdog import Watchdog
from algorithms.api.records import Command, Event, Record, Request
from algorithms.api.wire import Header
from device_catalog.contract import topics
from device_catalog.contract.documents import Configuration, Desired, Poll
from device_catalog.contract.presence import Session
from device_catalog.contract.reports import Reported, TimeReport
from device_catalog.contract.topics import BrokerName

log = logging.getLogger(__name__)

HOUSEKEEPING = 1.0
"""How often the agent looks after itself [s]."""


class Service:
    """
    One running agent.

    Parameters
    ----------
    config : AgentConfig
    store : Store
    outbox : Outbox
    workers : Workers
    catalog : CatalogClient
    clock : Clock
    manager : ServiceManager
    file : pathlib.Path, optional
        The agent's own few lines.
    kept_log : KeptLog, optional
        Its log, for whoever is to help from afar.
    """

    def __init__(
        self,
        config: AgentConfig,
        *,
        store: Store,
        outbox: Outbox,
        workers: Workers,
        catalog: CatalogClient,
        clock: Clock,
        manager: ServiceManager,
        file: Path | None = None,
        kept_log: KeptLog | None = None,
    ) -> None:
        self._config = config
        self._store = store
        self._keeper = PolicyKeeper(config, clock, self._reconsider)
        self._trust = TrustInForce(config, self._keeper)
        self._support = SupportDesk(config, outbox, clock, file, kept_log)
        self._settings = SettingsInForce(
            config.device,
            store,
            clock,
            self._bring_about,
            self._trust,
            heed=lambda desired: self._support.heed(desired.support, desired.tenant),
        )
        self._outbox = outbox
        self._links = Links(config, outbox, self._birth, self._hear)
        self._workers = workers
        self._clock = clock
        self._manager = manager
        self._outputs = Outputs(config.device)
        self._checkpoints = Checkpoints(store)
        self._running = RunningSet(
            workers, self._checkpoints, clock, self._publish, self._outputs.take, ask=self._links.ask
        )
        self._changing = asyncio.Lock()  # one thing at a time changes what runs
        self._networks = Networks(
            config,
            store,
            lambda: self._duty.changed(),  # noqa: PLW0108 - made below
            lambda: self._conversation.pace,
        )
        self._updates = Updates(
            self._running,
            Journal(store),
            places=Places(store.folder / "algorithms", self._trust.wants_box),
            fetches=Fetches(asking_process(config)),
            changing=self._changing,
            clock=clock,
        )
        self._recorder = EventRecorder(workers, store.folder / "recordings", config.device, self._publish, clock)
        self._handover = Handover(config, self._recorder)
        self._calibrations = Calibrations(store, clock)
        self._leases = LeaseDesk(
            config.device, CatalogClient(config), clock, lambda reply: self._running.deliver(config.device, reply)
        )
        self._commands = CommandGate(config.device, self._trust, self._leases, clock, self._running.deliver)
        self._watchdog = Watchdog(manager, self._running, self._settings, self._links.by_broker, clock)
        self._configuration = Configuration()
        self._steps = StepWatch(clock)
        self._time = synchronisation()
        self._conversation = Conversation(catalog, self._settings, self, self._calibrations, clock, boot=outbox.boot)
        self._commissioning = Office(
            config,
            clock,
            reported=self.reported,
            configuration=lambda: self._configuration,
            ring=workers.ring,
            asking=self._conversation,
        )
        meter = AgentMeter(self._settings, self._running, outbox, self._links.by_broker, self._conversation, clock)
        self._images = images_of(config, store, meter, clock)
        self._stopping = asyncio.Event()
        self._errands = Errands()
        self._duty = NetworkDuty(self._networks, self._running, self._changing, self._conversation.ask_now)
        self._isolation: dict[str, bool] = {}
        self._version = version("tresma")

    async def run(self) -> None:
        """Run until told to stop, then end in order."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        try:
            living = loop.create_task(self._live(), name="agent")
            stopping = loop.create_task(self._stopping.wait())
            await asyncio.wait([living, stopping], return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            living.cancel()
            (outcome,) = await asyncio.gather(living, return_exceptions=True)
            if isinstance(outcome, Exception):
                raise outcome
        finally:
            self._manager.stopping()
            await self._close()

    async def _live(self) -> None:
        loop = asyncio.get_running_loop()
        await self._workers.start()
        self._isolation = await self._workers.probe()
        self._networks.load()
        self._trust.load()
        self._commissioning.open()
        await self._settings.start_from_store()
        self._watchdog.ready()
        tasks = [
            loop.create_task(self._converse(), name="catalog"),
            loop.create_task(self._networks.hold(), name="network"),
            loop.create_task(self._keeper.hold(), name="trust"),
            loop.create_task(self._keep_house(), name="housekeeping"),
            loop.create_task(self._images.hold(), name="image"),
        ]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _close(self) -> None:
        """End in the order of the records' way, so that what is under way goes out; a fault stops no other end."""
        async with AsyncExitStack() as ends:  # the last named ends first
            ends.callback(self._keeper.close)
            ends.callback(self._networks.close)
            ends.callback(self._conversation.close)
            ends.callback(self._images.close)
            ends.callback(self._outbox.close)
            ends.callback(self._checkpoints.close)
            ends.push_async_callback(self._links.stop)
            ends.push_async_callback(self._workers.stop)
            ends.push_async_callback(self._handover.close)
            ends.push_async_callback(self._support.close)
            ends.push_async_callback(self._leases.close)
            ends.push_async_callback(self._recorder.close)
            ends.push_async_callback(self._outputs.close)
            ends.push_async_callback(self._running.close)
            ends.push_async_callback(self._updates.close)
            ends.push_async_callback(self._commissioning.close)
            await self._errands.close()

    # ---- settings

    async def _converse(self) -> None:
        """Ask the catalog for ever, as soon as it is known what the DSO signed, or that this takes longer."""
        await self._keeper.first()
        await self._conversation.hold()

    def _reconsider(self) -> None:
        """Judge anew what was refused, and what is in force: the DSO allows other things now."""
        if self._settings.desired is not None:
            self._trust.problems_of_document(self._settings.desired, known=True)
        self._settings.reconsider()
        self._conversation.ask_now()

    async def _bring_about(self, desired: Desired, known: bool) -> None:
        async with self._changing:
            await self._apply(desired, patient=known, known=known)
        self._handover.want(desired.recordings)

    async def _apply(self, desired: Desired, *, patient: bool, known: bool = False) -> None:
        configuration = self._calibrations.applied_to(desired)
        self._meet_brokers(desired.tenant)
        before = self._running.place
        terminal = configuration.terminal or self._config.device
        self._running.place = Place(self._config.device, desired.tenant, terminal)
        named = self._duty.reference
        self._duty.look_after(configuration.topology)
        try:
            await self._updates.make_way(self._configuration, configuration)
            current, possible = self._updates.effective(self._configuration), self._updates.effective(configuration)
            await apply(current, possible, self._running, self, patient=patient)
        except ConfigError:
            self._running.place = before
            self._duty.look_after(named)
            await self._updates.take(self._configuration, known=False)
            raise
        self._duty.look_after(configuration.topology)
        self._configuration = configuration
        await self._updates.take(configuration, known=known)
        self._images.want(configuration.image)
        await self._recorder.configure(configuration, desired.tenant, terminal)
        await self._outputs.configure(configuration)
        self._commissioning.configure(configuration)
        self._running.reroute()
        self._links.by_broker["grid"].announce()

    def _meet_brokers(self, tenant: str) -> None:
        """Make the links at the first settings; where a device belongs is fixed at its registration."""
        if self._links.by_broker:
            return
        device = self._config.device
        inbox = self._links.make(tenant)
        inbox.answer(SUBJECT, Replay(self._outbox, device, tenant).answer)
        inbox.answer(RECORD, self._recorder.answer)
        inbox.listen("grid", topics.commands(tenant, device), self._commands.obey)
        self._duty.meet(inbox, tenant)
        inbox.listen("grid", topics.notify(tenant, device), lambda *_: self._conversation.ask_now())
        self._links.start()

    def set_endpoints(self, broker: BrokerName, endpoints: tuple[str, ...]) -> None:
        """Use these endpoints from now on."""
        self._links.by_broker[broker].set_endpoints(endpoints)

    def set_poll(self, poll: Poll) -> None:
        """Ask the catalog at this pace."""
        self._conversation.pace = poll

    def _birth(self) -> Session:
        boot, number = self._outbox.previous
        return Session("online", self._version, self._settings.applied, previous_boot=boot, previous_number=number)

    # ---- the catalog

    async def refresh(self) -> None:
        """
        Apply the settings again when the device was calibrated, or its calibration has aged by a quarter.

        Algorithms that did not start with the network as it is now are tried again.
        """
        desired = self._settings.desired
        if desired is None:
            return
        await self._duty.refresh()
        if not self._calibrations.stale():
            return
        try:
            async with self._changing:
                await self._apply(desired, patient=True)
        except ConfigError as error:
            log.error("the calibration cannot be applied: %s", "; ".join(str(problem) for problem in error.problems))

    def reported(self) -> Reported:
        """Say how everything is."""
        problems = [*self._store.complaints, *self._calibrations.problems, *self._outputs.problems()]
        problems.extend(
            [
                *self._trust.problems(),
                *self._settings.problems(),
                *self._checkpoints.problems(),
                *self._networks.problems(),
            ]
        )
        outbox = self._outbox.report()
        problems.extend(outbox.notes)
        if outbox.problem:
            problems.append(outbox.problem)
        return Reported(
            device=self._config.device,
            boot=self._outbox.boot,
            agent_version=self._version,
            applied_revision=self._settings.applied,
            refused=self._settings.refused,
            algorithms=self._updates.reports(self._running.algorithm_reports()),
            links={name: link.report() for name, link in self._links.by_broker.items()},
            source=self._running.sampler.report(),
            time=self._time,
            calibration=self._calibrations.report(),
            recordings=self._recorder.report(),
            network=self._duty.report(),
            trust=self._trust.report(),
            image=self._images.report(),
            isolation=self._isolation,
            problems=tuple(problems),
        )

    # ---- records

    def _publish(self, record: Record, where: Publication) -> None:
        if isinstance(record, Request) and record.subject == LEASE and record.recipient == self._config.device:
            self._leases.take(record)
            return
        if isinstance(record, Command):
            signed = self._commands.signed(record, where.maker)
            if signed is None:
                return
            record = signed
        self._outbox.put(where.broker, where.topic, record, retain=where.retain, urgent=where.urgent)
        if isinstance(record, Event):
            self._recorder.take(record)
        if isinstance(record, Command) and self._running.has_switch(record.recipient):
            self._commands.obey_order(record)

    def _hear(self, header: Header, record: Record) -> None:
        if isinstance(record, Command):
            self._commands.obey_order(record)
            return
        self._running.deliver(header.device, record)

    # ---- looking after itself

    async def _keep_house(self) -> None:
        interval = self._watchdog.interval(HOUSEKEEPING)
        while True:
            await asyncio.sleep(interval)
            step = self._steps.look()
            if step:
                log.warning("the clock was stepped by %+.3f s", step)
                self._errands.begin("restamp", self._restamp())
            time = synchronisation()
            self._time = TimeReport(time.synchronised, time.uncertainty, self._steps.steps)
            self._commands.tell_withheld()
            self._watchdog.look()
            if self._conversation.report_is_due():
                self._errands.begin("report", self._conversation.report())
            if self._support.is_due():
                self._errands.begin("support", self._support.keep(self.reported()))

    async def _restamp(self) -> None:
        async with self._changing:
            await self._running.sampler.restamp()
