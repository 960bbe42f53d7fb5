"""
Assembles the catalog and runs it: the only place that knows every concrete part.

The start: database opened and brought to the newest shape, register read, publisher started, then the door opened.
The end (SIGTERM): door closed, signs of life written, good-bye said on the broker.
"""

import asyncio
import contextlib
import hashlib
import hmac
import logging
import socket
from pathlib import Path
from typing import NamedTuple

import uvicorn
from sqlalchemy import Engine

from device_catalog.api.application import make_application
from device_catalog.api.gateway import Gateway
from device_catalog.api.metrics import metrics_text
from device_catalog.changes import Changes
from device_catalog.config import CatalogConfig, operator_token
from device_catalog.desired import DesiredDocuments
from device_catalog.domain import Guard
from device_catalog.errors import AddressError, StorageError
from device_catalog.fault_listener import FaultListener
from device_catalog.faults import Faults
from device_catalog.fleet import Fleet
from device_catalog.network_leases import NetworkLeases
from device_catalog.network_parts import Shelf
from device_catalog.network_questions import NetworkQuestions
from device_catalog.networks import Networks
from device_catalog.publisher import Publisher
from device_catalog.questions import Questions
from device_catalog.recordings import Recordings
from device_catalog.register import Register
from device_catalog.rollouts.orders import RolloutOrders
from device_catalog.rollouts.questions import RolloutQuestions
from device_catalog.rollouts.releases import read_releases
from device_catalog.rollouts.ticking import Ticking
from device_catalog.signs_of_life import SignsOfLife
from device_catalog.storage.database import held, migrate, open_engine
from device_catalog.storage.faults import FaultStore
from device_catalog.storage.groups import GroupStore
from device_catalog.storage.network_leases import NetworkLeaseStore
from device_catalog.storage.networks import NetworkStore
from device_catalog.storage.recording_files import RecordingFiles
from device_catalog.storage.recordings import RecordingStore
from device_catalog.storage.rollouts import RolloutStore
from device_catalog.storage.store import Store
from device_catalog.storage.threads import StorageThreads
from device_catalog.switch_news import SwitchNews

TICK = 0.1
"""How often leases are looked at [s]."""

BACKLOG = 4096
"""Connections that may wait to be accepted: a fleet comes back at once after an outage."""

SWEEP_ROUND = 300.0
"""In this time the signs of life of the whole fleet are written once [s]."""

ROLLOUT_TICK = 1.0
"""How often rollouts are looked at [s]."""

TIDYING = 60.0
"""How often old recordings are looked for [s]."""

_log = logging.getLogger(__name__)


class OperatorToken:
    """Tells the operator's token, of which only the digest is kept in memory."""

    def __init__(self, token: bytes) -> None:
        self._digest = hashlib.sha256(token).digest()

    def recognises(self, token: bytes) -> bool:
        """Tell whether `token` is the operator's."""
        return hmac.compare_digest(hashlib.sha256(token).digest(), self._digest)


def serve(config: CatalogConfig) -> None:
    """
    Run the catalog until it is told to end.

    Raises
    ------
    StorageError, AddressError, ConfigError
        When it cannot start.
    """
    if config.database.startswith("sqlite:///"):
        folder = Path(config.database.removeprefix("sqlite:///")).parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            found = f"{folder}: {error.strerror}"
            raise StorageError(f"expected a folder that can be made, found {found}; give another --state") from error
    engine = open_engine(config.database)
    with held(engine):
        before, after = migrate(engine)
        if before != after:
            _log.info("database brought from shape %s to %s", before or "none", after)
        token_file = Path(config.operator_token_file)
        operators = OperatorToken(operator_token(token_file))
        _log.info("operator's token: see %s", token_file)
        Server(config, Stores.of(engine), operators).run()


class Stores(NamedTuple):
    """The tables, by subject."""

    devices: Store
    recordings: RecordingStore
    networks: NetworkStore
    leases: NetworkLeaseStore
    faults: FaultStore
    rollouts: RolloutStore
    groups: GroupStore

    @classmethod
    def of(cls, engine: Engine) -> "Stores":
        """Make all of them over one database."""
        return cls(
            Store(engine),
            RecordingStore(engine),
            NetworkStore(engine),
            NetworkLeaseStore(engine),
            FaultStore(engine),
            RolloutStore(engine),
            GroupStore(engine),
        )


class Server:
    """One running catalog."""

    def __init__(self, config: CatalogConfig, stores: Stores, operators: OperatorToken) -> None:
        store = stores.devices
        self._config = config
        self._publisher = Publisher(config.grid_brokers, config.tenant)
        guard = Guard(share=config.suspicious_share, minimum=config.suspicious_minimum)
        self._fleet = Fleet(self._publisher, guard)
        self._store = store
        self._threads = StorageThreads()
        register = Register(self._fleet, store, self._threads)
        self._signs_of_life = SignsOfLife(register)
        self._recordings = Recordings(
            stores.recordings,
            RecordingFiles(Path(config.state) / "recordings"),
            self._fleet,
            self._threads,
            config.recordings_budget,
            config.recordings_days,
        )
        faults = Faults(stores.faults, self._recordings, self._threads)
        self._fault_listener = FaultListener(config.grid_brokers, config.tenant, faults.hear)
        shelf = Shelf(stores.networks)
        self._networks = Networks(register, stores.networks, shelf, self._publisher, config.tenant)
        self._missing = "the register is being read"
        self._rollouts = Ticking(register, stores.rollouts)
        signed = Path(config.state) / "trust"
        rollout_orders = RolloutOrders(
            register, stores.rollouts, stores.groups, self._rollouts, lambda: read_releases(signed)
        )
        leases = NetworkLeases(stores.leases, stores.networks, self._threads)
        application = make_application(
            self._fleet,
            Changes(register, stores.networks),
            Questions(register),
            self._recordings,
            faults,
            (self._networks, NetworkQuestions(stores.networks, shelf, self._threads)),
            (leases, SwitchNews(leases, self._networks, shelf, self._threads)),
            (rollout_orders, RolloutQuestions(stores.rollouts, stores.groups, self._threads)),
            operators,
            ready=lambda: self._missing,
            metrics=lambda: metrics_text(self._fleet, self._threads, self._publisher),
            trust=Path(config.state) / "trust",
        )
        application.on_startup.append(self._open)
        application.on_shutdown.append(self._close)
        self._gateway = Gateway(self._fleet, DesiredDocuments(register), operators, application)
        self._clocks: list[asyncio.Task[None]] = []

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT."""
        family = socket.AF_INET6 if ":" in self._config.host else socket.AF_INET
        address = (self._config.host, self._config.port)
        try:
            listener = socket.create_server(address, family=family, backlog=BACKLOG)
        except OSError as error:
            raise AddressError(*address, error) from error
        with listener:
            _log.info("listening on %s port %d", *address)
            configuration = uvicorn.Config(
                self._gateway,
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=5,
                timeout_keep_alive=75,
                ws="none",
            )
            uvicorn.Server(configuration).run(sockets=[listener])

    async def _open(self) -> None:
        await asyncio.get_running_loop().run_in_executor(None, self._load)
        self._publisher.start(self._fleet.everything)
        self._fault_listener.start()
        self._fleet.tick()
        self._clocks = [asyncio.create_task(clock()) for clock in (self._tick, self._sweep, self._tidy, self._roll)]
        self._missing = ""
        _log.info("ready; %d devices registered", len(self._fleet.devices))

    def _load(self) -> None:
        self._fleet.load(self._store.load(), self._store.tenants())
        self._recordings.load()
        self._networks.load()

    async def _close(self) -> None:
        self._missing = "the catalog is ending"
        await asyncio.get_running_loop().run_in_executor(None, self._fault_listener.stop)
        for clock in self._clocks:
            clock.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await clock
        try:
            await self._signs_of_life.write_all()
        except StorageError as error:
            _log.warning("the last signs of life are not kept: %s", error)
        self._recordings.close()
        self._networks.close()
        self._threads.close()
        self._store.close()
        await asyncio.get_running_loop().run_in_executor(None, self._publisher.stop)

    async def _tick(self) -> None:
        while True:
            try:
                self._fleet.tick()
            except Exception:  # noqa: BLE001 - one bad look must not end the watch; it is logged
                _log.exception("looking at the leases failed")
            await asyncio.sleep(TICK)

    async def _sweep(self) -> None:
        failing = False
        while True:
            await asyncio.sleep(1)
            try:
                written = await self._signs_of_life.write_share(1 / SWEEP_ROUND)
            except StorageError as error:
                if not failing:
                    _log.warning("signs of life are kept in memory only, until the database takes them: %s", error)
                failing = True
            except Exception:  # noqa: BLE001 - one bad round must not end the sweep; it is logged
                _log.exception("writing signs of life failed; trying again")
            else:
                if failing and written:
                    _log.warning("the database takes signs of life again")
                    failing = False

    async def _roll(self) -> None:
        while True:
            await asyncio.sleep(ROLLOUT_TICK)
            try:
                await self._rollouts.tick()
            except StorageError as error:
                _log.warning("rollouts stand still until the database takes them: %s", error)
            except Exception:  # noqa: BLE001 - one bad look must not end the watch; it is logged
                _log.exception("looking at the rollouts failed; trying again")

    async def _tidy(self) -> None:
        while True:
            try:
                dropped = await self._recordings.tidy()
                if dropped:
                    _log.info("%d recordings dropped for their age, or for want of room", dropped)
            except Exception:  # noqa: BLE001 - one bad round must not end the tidying; it is logged
                _log.exception("old recordings could not be dropped; trying again")
            await asyncio.sleep(TIDYING)
