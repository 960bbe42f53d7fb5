"""A device with a root of trust, the repository it asks, a clock moved by hand, and documents and orders for it."""

import asyncio
from datetime import UTC, datetime, timedelta

import msgspec

from agent.config import AgentConfig
from agent.errors import TrustError
from agent.settings_in_force import SettingsInForce
from agent.store import Store
from agent.trust.decisions import RELEASED
from agent.trust.fetching import FetchedPolicy
from agent.trust.in_force import TrustInForce
from agent.trust.policy_keeper import PolicyKeeper
from algorithms.api.records import Command
from algorithms.api.wire import NANOSECONDS, Header, decode, encode
from device_catalog.contract.documents import Brokers, Configuration, Desired
from device_catalog.contract.signatures import enveloped, order_bytes
from tests.support.policies import Key, policy_bytes

NOW = RELEASED + 40 * 86_400
DIRECTOR, COMMANDER, MALLORY = Key(1), Key(2), Key(66)
ALLOWED, EVIL = "mqtts://grid.example.org", "mqtts://grid.evil.example"
COMMANDERS = [{"name": "anna", "public": COMMANDER.public, "networks": ["lv-*"], "devices": ["m-1"]}]
DAY = timedelta(days=1)


class Clock:
    """Moved by hand."""

    def __init__(self):
        self.utc, self.steady = NOW, 100.0

    def now_ns(self):
        return round(self.utc * NANOSECONDS)

    def monotonic(self):
        return self.steady


class Now:
    """Runs requests at once."""

    async def run(self, call):
        return call()

    def close(self):
        """Nothing is open."""


class Bench:
    """A device with a root of trust, and the repository it asks."""

    def __init__(self, folder, root=b"root"):
        self.folder, self.clock = folder, Clock()
        self.synchronised = True
        self.config = AgentConfig("m-1", "http://catalog", "x", folder, root=root)
        self.signed: FetchedPolicy | str = FetchedPolicy(policy_bytes(commanders=COMMANDERS), NOW + 90 * 86_400, NOW)
        self.changes = 0
        self.start()

    def start(self):
        self.keeper = PolicyKeeper(
            self.config,
            self.clock,
            self.changed,
            requests=Now(),
            fetch=self.fetch,
            follows_utc=lambda: self.synchronised,
        )
        self.trust = TrustInForce(self.config, self.keeper)
        self.trust.load()
        self.store, self.brought = Store(self.folder), []
        self.settings = SettingsInForce("m-1", self.store, self.clock, self.bring_about, self.trust)
        asyncio.run(self.settings.start_from_store())

    def changed(self):
        self.changes += 1
        self.settings.reconsider()

    def fetch(self, **_):
        if isinstance(self.signed, str):
            raise TrustError(self.signed)
        return self.signed

    def refresh(self):
        return asyncio.run(self.keeper.refresh())

    async def bring_about(self, desired, _known):
        self.brought.append(desired.revision)

    def take(self, document, key=DIRECTOR):
        asyncio.run(self.settings.take(enveloped(document, key.header(document)) if key else document))
        return [problem.where for problem in self.settings.refused.problems] if self.settings.refused else []


def document(revision=1, *, device="m-1", broker=ALLOWED, issued=NOW, life=14 * DAY, **fields):
    begun = datetime.fromtimestamp(issued, UTC)
    configuration = Configuration(brokers=Brokers(grid=(broker,)), **fields)
    expires = None if life is None else begun + life
    return msgspec.json.encode(Desired(device, "default", revision, begun, configuration, expires))


def order(name="o-1", key=COMMANDER, issued=NOW, recipient="s-7", **fields):
    issued_ns = round(issued * NANOSECONDS)
    arguments = {"network": "lv-1", "token": 4, "sequence": 1, "share": 0.1 + 0.2}
    command = Command(name, recipient, "open", issued_ns, issued_ns + 30 * NANOSECONDS, arguments)
    command = msgspec.structs.replace(command, **fields, key_id=key.id)
    return msgspec.structs.replace(command, signature=key.sign(order_bytes(command)).hex())


def heard(command):
    """Send an order by the broker."""
    return decode(encode(command, Header("anna", 1, 1, 1, command.issued_ns)))[1]
