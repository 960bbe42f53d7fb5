"""The least policy a meter takes: what is older, or absent, is as if nothing had been signed; what runs goes on."""

import asyncio

import msgspec
import pytest

from agent.config import AgentConfig, read_config
from agent.errors import ConfigError
from agent.identity.files import Facts, Identity, token_digest
from agent.trust.decisions import RELEASED
from agent.trust.fetching import FetchedPolicy
from agent.trust.in_force import TrustInForce
from agent.trust.policy_keeper import PolicyKeeper
from algorithms.api.wire import NANOSECONDS
from device_catalog.contract.enrolment import Token, digest
from tests.support.policies import policy_bytes

NOW = RELEASED + 40 * 86_400
ROOT = b'{"signed": {"_type": "root"}}'


class Clock:
    def now_ns(self):
        return round(NOW * NANOSECONDS)


class Now:
    """Runs requests at once."""

    async def run(self, call):
        return call()

    def close(self):
        """Nothing is open."""


class Meter:
    """A device with a root of trust, and what a repository serves it."""

    def __init__(self, folder, least=0):
        self.folder, self.served = folder, b""
        self.changes = 0
        self.start(least)

    def start(self, least):
        config = AgentConfig("m-1", "http://catalog", "x", self.folder, root=ROOT, least_policy=least)
        self.keeper = PolicyKeeper(
            config, Clock(), self.changed, requests=Now(), fetch=self.fetch, follows_utc=lambda: True
        )
        self.trust = TrustInForce(config, self.keeper)
        self.trust.load()

    def changed(self):
        self.changes += 1

    def fetch(self, **_):
        return FetchedPolicy(self.served, NOW + 90 * 86_400, NOW)

    def offered(self, revision):
        """Let the catalog serve a policy, or none for 0; tell whether it was taken."""
        self.served = policy_bytes(revision=revision) if revision else b""
        return asyncio.run(self.keeper.refresh())


@pytest.mark.parametrize(("revision", "found"), [(0, "none"), (6, "revision 6")])
def test_a_fresh_meter_with_a_floor_does_not_run_unrestricted_or_under_an_older_policy(tmp_path, revision, found):
    meter = Meter(tmp_path, least=7)
    assert not meter.offered(revision)
    report = meter.trust.report()
    assert (report.state, report.policy, report.least_policy) == ("awaited", 0, 7)
    assert "expected the DSO's policy of revision 7 or newer" in report.last_error
    assert f"found {found}" in report.last_error
    assert report.last_error in meter.trust.problems()
    assert meter.offered(7)
    assert meter.trust.report().state == "policy"
    assert meter.trust.problems() == []


def test_the_highest_policy_that_was_in_force_is_the_floor_also_when_it_was_lost_from_the_card(tmp_path):
    meter = Meter(tmp_path)
    assert meter.offered(5)
    assert not meter.offered(4)
    assert meter.trust.report().policy == 5
    assert "found revision 4; the one before stays in force" in meter.trust.report().last_error
    (tmp_path / "trust" / "policy").write_bytes(b"damaged")
    meter.start(0)
    assert meter.trust.report().state == "awaited"
    assert not meter.offered(4)
    assert not meter.offered(0)
    assert meter.offered(5)


def test_a_floor_that_was_raised_above_what_is_kept_stops_what_is_new_until_the_newer_policy_is_here(tmp_path):
    meter = Meter(tmp_path)
    assert meter.offered(5)
    meter.start(6)
    report = meter.trust.report()
    assert (report.state, report.policy) == ("awaited", 0)
    assert "found revision 5" in report.last_error
    assert meter.offered(6)
    assert meter.changes == 2


def test_without_a_floor_a_dso_may_have_no_policy(tmp_path):
    meter = Meter(tmp_path)
    assert meter.offered(0)
    assert meter.trust.report().state == "unrestricted"
    meter.start(1)
    assert meter.trust.report().state == "awaited"


def configured(tmp_path, token_floor=None, **fields):
    state = tmp_path / "state"
    identity = Identity(state)
    if token_floor is not None:
        identity.make_folder()
        facts = Facts("m-1", 0.0, 1.0, 0.5, "token", policy=token_floor)
        identity.path.write_bytes(b"tresma identity " + msgspec.json.encode(facts) + b"\n")
        identity.root.write_bytes(ROOT)
    lines = {"device": "m-1", "catalog": "https://c.example", "credential": "x", "state_dir": str(state), **fields}
    file = tmp_path / "agent.yaml"
    file.write_text("".join(f"{key}: {value}\n" for key, value in lines.items()))
    return read_config(file, {})


@pytest.mark.parametrize(
    ("token_floor", "stated", "least"), [(None, "0", 0), (7, None, 7), (7, "3", 7), (3, "7", 7), (0, "2", 2)]
)
def test_the_higher_of_what_the_token_and_the_configuration_name_counts(tmp_path, token_floor, stated, least):
    fields = {} if stated is None else {"least_policy": stated}
    assert configured(tmp_path, token_floor, **fields).least_policy == least


@pytest.mark.parametrize("stated", ["-1", "seven", "1.5", "99999999999"])
def test_a_floor_that_is_no_revision_is_refused(tmp_path, stated):
    with pytest.raises(ConfigError, match="least_policy: expected a revision of the DSO's policy"):
        configured(tmp_path, 0, least_policy=f"'{stated}'")


def test_a_floor_without_a_root_of_trust_could_not_be_judged_and_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"least_policy: expected a root of trust .* found none; .*root_file"):
        configured(tmp_path, least_policy="7")
    (tmp_path / "token").write_text("a token that may bring one")
    assert configured(tmp_path, least_policy="7", token_file="token").least_policy == 7
    identity = Identity(tmp_path / "state")
    identity.make_folder()
    facts = Facts("m-1", 0.0, 1.0, 0.5, token_digest("a token that may bring one"))
    identity.path.write_bytes(b"tresma identity " + msgspec.json.encode(facts) + b"\n")
    with pytest.raises(ConfigError, match="expected a root of trust"):  # it was used, and brought none
        configured(tmp_path, least_policy="7", token_file="token")


def test_a_token_carries_the_floor_beside_the_root_and_is_as_before_without_one():
    anchors, root = digest(b"authorities"), digest(b"root")
    before = Token("m-1", "s" * 43, anchors, root)
    assert before.text().count(".") == 3
    assert Token.read(before.text()).policy == 0
    token = before._replace(policy=7)
    assert token.text() == f"{before.text()}.7"
    assert Token.read(token.text()) == token


@pytest.mark.parametrize("floor", ["0", "-1", "x", "07", "2147483648", "7.8", ""])
def test_a_token_whose_floor_is_no_revision_is_refused(floor):
    with pytest.raises(ValueError, match="expected a token as"):
        Token.read(f"m-1.{'s' * 43}.{digest(b'a')}.{digest(b'r')}.{floor}")


def test_a_token_with_a_floor_and_no_root_is_refused():
    with pytest.raises(ValueError, match="expected a token as"):
        Token.read(f"m-1.{'s' * 43}.{digest(b'a')}..7")
