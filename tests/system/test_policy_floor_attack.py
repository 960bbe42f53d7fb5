"""Who holds a catalog and its online keys serves fresh meters what the DSO signed long ago: a floor keeps them safe."""

import argparse
import asyncio
import shutil
from datetime import timedelta

import pytest

from agent.config import AgentConfig
from agent.trust.in_force import TrustInForce
from agent.trust.policy_keeper import PolicyKeeper
from device_catalog.contract.enrolment import digest
from device_catalog.operator.access import promised
from device_catalog.operator.errors import OperatorError, UsageError
from device_catalog.packages.repository import Repository
from tests.support.policies import policy_bytes
from tests.support.trust import NOW, Dso, Meter, serving

LATER = NOW + timedelta(days=30)


class Clock:
    def now_ns(self):
        return round(LATER.timestamp() * 1e9)


class Now:
    """Runs requests at once."""

    async def run(self, call):
        return call()

    def close(self):
        """Nothing is open."""


@pytest.fixture(scope="module")
def dso(tmp_path_factory):
    """A DSO whose repository began without a policy, and has its second one by now; copies of what was before."""
    folder = tmp_path_factory.mktemp("dso")
    dso = Dso(folder / "trust")
    shutil.copytree(dso.folder, folder / "without")
    for revision in (1, 2):
        dso.at(NOW).set_policy(policy_bytes(revision=revision))
        dso.confirm(NOW)
        shutil.copytree(dso.folder, folder / f"policy-{revision}")
    dso.copies = folder
    return dso


def captured(dso, name):
    """Let whoever has the online keys sign that an old copy is the newest, again and again."""
    for _ in range(5):
        Repository(dso.copies / name, LATER).publish([dso.keys["online"]])
    return dso.copies / name


def fresh_meter(dso, state, url, least):
    meter = Meter(state, dso.root, url)
    config = AgentConfig("m-1", url, "x", state, root=dso.root, least_policy=least)
    keeper = PolicyKeeper(
        config,
        Clock(),
        lambda: None,
        requests=Now(),
        fetch=lambda **_: meter.fetch_policy(LATER),
        follows_utc=lambda: True,
    )
    trust = TrustInForce(config, keeper)
    trust.load()
    asyncio.run(keeper.refresh())
    return trust.report()


@pytest.mark.parametrize(("served", "without_floor"), [("without", "unrestricted"), ("policy-1", "policy")])
def test_a_fresh_meter_with_the_floor_of_its_token_believes_nothing_of_an_old_repository(
    dso, tmp_path, served, without_floor
):
    _, least = dso.at(NOW).pinned()
    assert least == 2
    with serving(captured(dso, served)) as server:
        assert fresh_meter(dso, tmp_path / "open", server.url, 0).state == without_floor
        report = fresh_meter(dso, tmp_path / "floor", server.url, least)
    assert report.state == "awaited"
    assert "expected the DSO's policy of revision 2 or newer" in report.last_error
    with serving(captured(dso, "policy-2")) as server:
        assert fresh_meter(dso, tmp_path / "floor", server.url, least).policy == 2


def asked(**fields):
    return argparse.Namespace(**{"trust": None, "root": "", "policy": 0, **fields})


def test_an_operator_takes_root_and_floor_from_his_own_repository_or_names_both(dso, tmp_path):
    assert promised(asked(trust=dso.folder)) == (digest(dso.root), 2)
    assert promised(asked(trust=dso.folder, policy=1)) == (digest(dso.root), 1)
    root = dso.folder / "metadata" / "1.root.json"
    assert promised(asked(root=str(root), policy=7)) == (digest(dso.root), 7)
    assert promised(asked(trust=dso.copies / "without")) == (digest(dso.root), 0)
    assert promised(asked()) == ("", 0)
    with pytest.raises(UsageError, match="expected --root or --trust beside --policy"):
        promised(asked(policy=7))
    with pytest.raises(UsageError, match="found both"):
        promised(asked(trust=dso.folder, root=str(root)))
    with pytest.raises(OperatorError, match=r"expected a published policy of revision 3 or newer .*found revision 2"):
        promised(asked(trust=dso.folder, policy=3))
    with pytest.raises(OperatorError, match="expected a published root"):
        promised(asked(trust=tmp_path))
