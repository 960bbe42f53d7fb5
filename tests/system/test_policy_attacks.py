"""Attacks on the DSO's policy by somebody who answers for the repository: none changes what a meter is allowed."""

import shutil

import pytest
from tuf.api.metadata import TargetFile

from agent.errors import TrustError
from device_catalog.contract.policy import MAXIMUM_POLICY
from device_catalog.contract.policy_rules import PolicyError
from device_catalog.packages.errors import RepositoryError
from tests.support.policies import policy_bytes
from tests.support.trust import DAY, NOW, Dso, Meter, endless, saying, serving, trickling


@pytest.fixture
def dso(tmp_path):
    dso = Dso(tmp_path / "trust")
    dso.release()
    return dso


@pytest.fixture
def server(dso):
    with serving(dso.folder) as server:
        yield server


@pytest.fixture
def meter(dso, server, tmp_path):
    return Meter(tmp_path / "state", dso.root, server.url)


def policies(dso, tmp_path):
    """Publish two policies, one after the other; return the bytes of the second, and the repository before it."""
    dso.at(NOW).set_policy(policy_bytes())
    dso.confirm()
    shutil.copytree(dso.folder, tmp_path / "old")
    newest = policy_bytes(revision=2, brokers=["mqtts://*.example.org"])
    dso.at(NOW).set_policy(newest)
    dso.confirm()
    return newest


def no_policy(meter, words, **how):
    with pytest.raises(TrustError, match=words):
        meter.fetch_policy(**how)


def test_a_policy_is_taken_as_it_was_signed_and_that_there_is_none_is_signed_too(meter, dso, tmp_path):
    assert meter.fetch_policy().document == b""
    newest = policies(dso, tmp_path)
    fetched = meter.fetch_policy()
    assert fetched.document == newest
    assert fetched.expires == (NOW + 180 * DAY).timestamp()


def test_another_policy_in_the_place_of_the_signed_one_is_refused(meter, dso, server, tmp_path):
    policies(dso, tmp_path)
    server.instead["policy.json"] = saying(policy_bytes(revision=3, brokers=["mqtt://*"]))
    no_policy(meter, "length and hash that are signed|no more than is allowed")


def test_an_older_policy_is_not_taken_again(meter, dso, tmp_path):
    policies(dso, tmp_path)
    meter.fetch_policy()
    with serving(tmp_path / "old") as old:
        meter.url = old.url
        no_policy(meter, "no older metadata than is known")


@pytest.mark.parametrize("end", ["timestamp.json", "policy.json"])
def test_a_policy_without_end_or_without_haste_is_not_waited_for(meter, dso, server, tmp_path, end):
    policies(dso, tmp_path)
    server.instead[end] = endless
    no_policy(meter, "no more than is allowed")
    server.instead[end] = trickling
    no_policy(meter, "answer in time", file=0.3)


@pytest.mark.parametrize("thief", ["anna", "bert", "online", "publisher"])
def test_no_single_stolen_key_makes_a_policy(meter, dso, thief):
    """Each thief signs targets with another policy by his key, and snapshot and timestamp are as he needs them."""
    dso.keys["publisher"] = dso.keys["carl"]
    dso.at(NOW).delegate("carl", ["voltage-band", "../policy"], [dso.public("carl")], 1)
    dso.confirm(by="anna bert carl")
    forger = Dso(dso.folder.parent / "forged")
    forger.keys = {**dso.keys}
    shutil.copytree(dso.folder, forger.folder, dirs_exist_ok=True)
    role = "carl" if thief == "publisher" else "targets"
    metadata = forger.at(NOW).published(role)
    data = policy_bytes(revision=9, brokers=["mqtt://*"])
    metadata.signed.targets["policy/policy.json"] = TargetFile.from_data("policy/policy.json", data, ["sha256"])
    metadata.signed.version += 1
    metadata.signatures.clear()
    metadata.sign(dso.keys[thief])
    (forger.folder / "metadata" / f"{metadata.signed.version}.{role}.json").write_bytes(metadata.to_bytes())
    forger.at(NOW).publish([dso.keys["online"]])
    with serving(forger.folder) as theirs:
        meter.url = theirs.url
        theirs.instead["policy.json"] = saying(data)
        if thief == "publisher":
            assert meter.fetch_policy().document == b""
        else:
            no_policy(meter, "signed by enough of its keys")


def test_a_policy_beyond_its_length_is_not_taken_whoever_signed_it(meter, dso):
    metadata = dso.at(NOW)._next("targets")
    data = b" " * (MAXIMUM_POLICY + 1)
    metadata.signed.targets["policy/policy.json"] = TargetFile.from_data("policy/policy.json", data, ["sha256"])
    dso.at(NOW)._put_pending("targets", metadata)
    dso.confirm()
    no_policy(meter, "at most 262144 bytes")


@pytest.mark.parametrize("days", [200, 100_000])
def test_expired_signatures_bring_no_policy(meter, dso, tmp_path, days):
    policies(dso, tmp_path)
    no_policy(meter, "expired", now=NOW + days * DAY)


def test_a_repository_gives_none_of_its_keys_another_task_and_no_revision_twice(dso):
    for name in ("anna", "online"):
        public = dso.public(name).keyval["public"]
        with pytest.raises(RepositoryError, match="other keys than those of the repository"):
            dso.at(NOW).set_policy(policy_bytes(directors=[{"name": "catalog", "public": public}]))
    dso.at(NOW).set_policy(policy_bytes(revision=4))
    for revision in (3, 4):
        with pytest.raises(RepositoryError, match="expected a policy of revision 5 or more"):
            dso.at(NOW).set_policy(policy_bytes(revision=revision, brokers=["mqtts://other"]))
    dso.at(NOW).set_policy(policy_bytes(revision=4))
    with pytest.raises(PolicyError, match=r"policy\.revision"):
        dso.at(NOW).set_policy(policy_bytes(revision=0))
