"""
Assembles the catalog and runs it: the only place that knows every concrete part.

The start: database opened and brought to the newest shape, register read, publisher started, then the door opened.
The end (SIGTERM): door closed, signs of life written, good-bye said on the broker.
"""

import asyncio
import contextlib
import hashlib
import logging
import os
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path

import uvicorn
from sqlalchemy import Engine

from device_catalog.access.audit import Audit
from device_catalog.access.certificates import Certificates
from device_catalog.access.enrolments import Enrolments
from device_catalog.access.keys import Keys
from device_catalog.access.operators import Operators
from device_catalog.access.tls import ClientCertificates, is_loopback, speaks_tls
from device_catalog.api.application import make_application
from device_catalog.api.callers import Reception
from device_catalog.api.gateway import Gateway
from device_catalog.api.limits import Buckets
from device_catalog.api.metrics import metrics_text
from device_catalog.authority.authority import Authority
from device_catalog.brokers.files import BrokerFiles
from device_catalog.brokers.publisher import Publisher
from device_catalog.brokers.rights import Rights
from device_catalog.clocks import Clocks
from device_catalog.cluster.joining import folder_id, joined
from device_catalog.cluster.member import Member
from device_catalog.cluster.news import News, Rooms
from device_catalog.cluster.rounds import Rounds
from device_catalog.cluster.turns import Turns
from device_catalog.config import CatalogConfig, operator_token
from device_catalog.contract import topics
from device_catalog.errors import AddressError, StorageError
from device_catalog.fleet.changes import Changes
from device_catalog.fleet.commissionings import Commissionings
from device_catalog.fleet.desired import DesiredDocuments
from device_catalog.fleet.director import read_director
from device_catalog.fleet.domain import Guard
from device_catalog.fleet.fleet import Fleet
from device_catalog.fleet.questions import Questions
from device_catalog.fleet.register import Register
from device_catalog.fleet.signs_of_life import SignsOfLife
from device_catalog.grid.fault_listener import FaultListener
from device_catalog.grid.faults import Faults
from device_catalog.grid.networks import Networks
from device_catalog.grid.parts import Shelf
from device_catalog.grid.questions import NetworkQuestions
from device_catalog.grid.recordings import Recordings
from device_catalog.grid.switch_news import SwitchNews
from device_catalog.grid.switching_leases import NetworkLeases
from device_catalog.history.questions import History
from device_catalog.history.store import HistoryStore
from device_catalog.rollouts.orders import RolloutOrders
from device_catalog.rollouts.questions import RolloutQuestions
from device_catalog.rollouts.releases import read_releases
from device_catalog.rollouts.ticking import Ticking
from device_catalog.storage.database import held, migrate, open_engine
from device_catalog.storage.recording_files import RecordingFiles
from device_catalog.storage.stores import Stores
from device_catalog.storage.threads import StorageThreads
from device_catalog.support.requests import SupportRequests

BACKLOG = 4096
"""Connections that may wait to be accepted: a fleet comes back at once after an outage."""

DAY = 86_400.0
"""[s]"""

COMMISSIONINGS = 12
"""Records of commissionings that one device may hand in within an hour."""

BURST = 1000
"""Requests that one operator, or one device, may make at once after a quiet time."""

ADDRESSES = 20
"""An address may ask as much as so many devices: whole districts come through one gateway."""

_log = logging.getLogger(__name__)


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
    shared = engine.url.get_backend_name() != "sqlite"
    with joined(engine, lambda: identity(config)) if shared else _alone(engine) as (before, after):
        if before != after:
            _log.info("database brought from shape %s to %s", before or "none", after)
        token_file = Path(config.operator_token_file)
        first = operator_token(token_file)
        _log.info("operator's token: see %s", token_file)
        Server(config, Stores.of(engine), first, engine if shared else None).run()


@contextlib.contextmanager
def _alone(engine: Engine) -> Iterator[tuple[str | None, str]]:
    with held(engine):
        yield migrate(engine)


def identity(config: CatalogConfig) -> dict[str, str]:
    """Make the keys where there are none, and tell what all catalogs of one database have in common."""
    token = operator_token(Path(config.operator_token_file))
    authority = Authority.open(Path(config.state) / "authority")
    return {
        "folder of files": folder_id(Path(config.state)),
        "operator's token": hashlib.sha256(token).hexdigest(),
        "director's key": read_director(Path(config.director_key_file), DAY).public,
        "authority": hashlib.sha256(authority.anchors.encode()).hexdigest(),
    }


class Server:
    """One running catalog."""

    def __init__(self, config: CatalogConfig, stores: Stores, first: bytes, shared: Engine | None = None) -> None:
        store = stores.devices
        self._config = config
        self._keys = Keys(config)
        self._publisher = Publisher(config.grid_brokers, config.tenant, tls=self._keys.broker_context)
        guard = Guard(share=config.suspicious_share, minimum=config.suspicious_minimum)
        director = read_director(Path(config.director_key_file), config.desired_days * DAY)
        _log.info("desired documents are signed by the key %s", director.public)
        self._fleet = Fleet(self._publisher, guard, signer=director)
        self._store = store
        self._news = None if shared is None else News(shared)
        turns = None if shared is None or self._news is None else Turns(shared, self._news.catch_up)
        self._threads = StorageThreads(nullcontext if turns is None else turns.taken)
        self._measured = History(HistoryStore(open_engine(config.history_database)))
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
        files = RecordingFiles(Path(config.state) / "support")
        self._support = SupportRequests(stores.support, files, self._fleet, self._threads)
        faults = Faults(stores.faults, self._recordings, self._threads)
        self._hear_fault = faults.hear
        self._listeners: tuple[FaultListener, ...] = ()
        shelf = Shelf(stores.networks)
        self._networks = Networks(register, stores.networks, shelf, self._publisher, config.tenant)
        self._missing = "the register is being read"
        rollouts = Ticking(register, stores.rollouts)
        signed = Path(config.state) / "trust"
        rollout_orders = RolloutOrders(
            register, stores.rollouts, stores.groups, rollouts, lambda: read_releases(signed)
        )
        leases = NetworkLeases(stores.leases, stores.networks, self._threads)
        self._operators = Operators(first, stores.access, self._threads, self._fleet.wall)
        certificates = Certificates()
        trust = Path(config.state) / "trust"
        self._enrolments = Enrolments(
            register,
            stores.access,
            certificates,
            self._keys.authority,
            life=timedelta(days=config.certificate_days),
            roots=trust / "metadata",
            changed=lambda: self._broker_files.changed(),  # noqa: PLW0108 - made below
        )
        rights = Rights(register, shelf, certificates.enrolled)
        self._broker_files = BrokerFiles(config, rights, self._keys.authority.anchors, self._enrolments.revocations)
        audit = Audit(stores.trail, self._threads)
        handing_in = Buckets(rate=COMMISSIONINGS / 3600, burst=COMMISSIONINGS)  # each is kept for ever
        commissionings = Commissionings(
            register,
            stores.commissionings,
            certificates,
            self._keys.authority.anchors,
            wait=lambda device: handing_in.wait(device, time.monotonic()),
        )
        application = make_application(
            self._fleet,
            Changes(register, stores.networks),
            Questions(register),
            self._recordings,
            faults,
            (self._networks, NetworkQuestions(stores.networks, shelf, self._threads)),
            (leases, SwitchNews(leases, self._networks, shelf, self._threads)),
            (rollout_orders, RolloutQuestions(stores.rollouts, stores.groups, self._threads)),
            (self._enrolments, self._operators, audit),
            self._support,
            ready=lambda: self._missing or (self._member.missing if self._member is not None else ""),
            metrics=lambda: metrics_text(self._fleet, self._threads, self._publisher),
            trust=trust,
            measured=self._measured,
            secure=speaks_tls(config) or bool(config.proxies),
            commissionings=commissionings,
        )
        application.on_startup.append(self._open)
        application.on_shutdown.append(self._close)
        rates = (config.operator_rate, config.device_rate, ADDRESSES * config.device_rate)
        limits = (Buckets(rates[0], BURST), Buckets(rates[1], BURST), Buckets(rates[2], ADDRESSES * BURST))
        self._gateway = Gateway(
            self._fleet,
            DesiredDocuments(register),
            Reception(self._operators, certificates, config.proxies, self._fleet.wall),
            audit,
            limits,
            self._broker_files.changed,
            application,
        )
        self._clocks = Clocks(
            fleet=self._fleet,
            publisher=self._publisher,
            signs_of_life=self._signs_of_life,
            rollouts=rollouts,
            keys=self._keys,
            recordings=self._recordings,
            support=self._support,
        )
        self._member: Member | None = None
        if shared is not None and self._news is not None:
            name = f"{socket.gethostname()[:32]}-{os.getpid()}-{secrets.token_hex(4)}"
            self._member = Member(
                self._fleet,
                self._threads,
                self._news,
                Rounds(shared, name),
                self._lead,
                self._publisher.acknowledged,
            )
        self._register = register

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT."""
        family = socket.AF_INET6 if ":" in self._config.host else socket.AF_INET
        address = (self._config.host, self._config.port)
        try:
            listener = socket.create_server(address, family=family, backlog=BACKLOG)
        except OSError as error:
            raise AddressError(*address, error) from error
        with listener:
            _log.info("listening on %s port %d, %s", *address, "TLS" if self._keys.context else "plain HTTP")
            if self._config.insecure and not is_loopback(self._config.host):
                _log.warning("credentials can be read on their way here: --insecure is for networks that are trusted")
            context = self._keys.context
            configuration = uvicorn.Config(
                self._gateway,
                http=ClientCertificates,
                proxy_headers=False,
                ssl_context_factory=(lambda *_: context) if context is not None else None,
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
        if self._member is None:
            self._lead(leads=True)
        else:
            self._publisher.lead(leads=False)
            await self._member.start()
        self._publisher.start(self._fleet.everything)
        self._broker_files.start()
        self._fleet.tick()
        self._clocks.start()
        self._missing = ""
        _log.info("ready; %d devices registered", len(self._fleet.devices))

    def _lead(self, *, leads: bool, say: Callable[[], None] = lambda: None) -> None:
        """Speak for all catalogs, or no longer."""
        for name in self._publisher.lead(leads=leads, say=say):
            if name in self._fleet.devices:
                self._fleet.devices[name].told = None
        if leads:
            tenant, brokers, tls = self._config.tenant, self._config.grid_brokers, self._keys.broker_context
            self._listeners = (
                FaultListener(brokers, tenant, self._hear_fault, tls),
                FaultListener(brokers, tenant, self._support.hear, tls, about="logs", topic=topics.log("+", "+")),
            )
            for listener in self._listeners:
                listener.start()
        else:
            for listener in self._listeners:
                asyncio.get_running_loop().run_in_executor(None, listener.stop)
            self._listeners = ()

    def _load(self) -> None:
        if self._news is not None:
            self._news.begin()
        self._fleet.load(self._store.load(), self._store.tenants())
        self._recordings.load()
        self._support.load()
        self._networks.load()
        self._operators.load()
        self._enrolments.load()
        if self._news is None or self._member is None:
            return
        self._member.load()
        rooms = {
            "operators": self._operators.follow,
            "certificates": self._enrolments.follow,
            "networks": self._networks.follow,
            "recordings": self._recordings.follow,
            "support": self._support.follow,
        }
        self._news.follow_with(self._register, Rooms(rooms, self._broker_files.changed))

    async def _close(self) -> None:
        self._missing = "the catalog is ending"
        for listener in self._listeners:
            await asyncio.get_running_loop().run_in_executor(None, listener.stop)
        await self._clocks.stop()
        try:
            if self._fleet.leads:
                await self._signs_of_life.write_all()
        except StorageError as error:
            _log.warning("the last signs of life are not kept: %s", error)
        await self._broker_files.close()
        self._recordings.close()
        self._support.close()
        self._networks.close()
        self._measured.close()
        await asyncio.get_running_loop().run_in_executor(None, self._publisher.stop)
        if self._member is not None:
            await self._member.close()
        self._threads.close()
        self._store.close()
