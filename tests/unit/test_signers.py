"""Who answers for a package is kept with it, and decides whether it runs in bubblewrap only."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from agent.config import AgentConfig
from agent.errors import TrustError
from agent.trust.in_force import TrustInForce
from agent.trust.staging import SIGNER, judge, signer_of, stage
from agent.updates.places import Places
from device_catalog.contract.documents import PackageReference
from device_catalog.contract.packages import Package, contents, read_package
from device_catalog.contract.policy_rules import parse_policy
from tests.support.packages import NAME, package_of, with_record, zipped
from tests.support.policies import policy_bytes
from tests.support.trust import NOW, Dso, Meter, serving


@pytest.fixture
def dso(tmp_path):
    dso = Dso(tmp_path / "trust")
    dso.at(NOW).delegate("lab", [NAME], [dso.public("carl")], 1)
    dso.confirm(by="anna bert carl")
    return dso


def release_by_lab(dso, version="0.1.0"):
    name, data = package_of(version)
    dso.at(NOW).add(read_package(name, data), data, "lab")
    dso.confirm(by="carl")


def started(folder, package: Package, *, bubblewrap):
    """Say how a set is started under a policy."""
    reference = PackageReference(package.manifest.release, package.length, package.sha256)
    places = Places(folder / "algorithms", trusting(bubblewrap=bubblewrap).wants_box)
    return places.start(NAME, package.manifest.info.version, reference)


def trusting(state="policy", *, bubblewrap=True):
    """Make what judges origins, under a policy."""
    policy = parse_policy(policy_bytes(bubblewrap=bubblewrap)) if state == "policy" else None
    return TrustInForce(
        AgentConfig("m-1", "http://catalog", "x", Path("state")), SimpleNamespace(policy=policy, state=state)
    )


def test_code_of_a_publisher_is_known_as_its_own_and_runs_in_bubblewrap_where_the_policy_says_so(dso, tmp_path):
    release_by_lab(dso)
    with serving(dso.folder) as server:
        fetched = Meter(tmp_path / "state", dso.root, server.url).fetch()
    assert signer_of(fetched.folder) == "lab"
    assert started(tmp_path / "state", fetched.package, bubblewrap=True).boxed
    assert not started(tmp_path / "state", fetched.package, bubblewrap=False).boxed


def test_code_of_the_dso_itself_runs_without_and_so_does_a_publishers_once_the_dso_signs_it_too(dso, tmp_path):
    release_by_lab(dso)
    with serving(dso.folder) as server:
        meter = Meter(tmp_path / "state", dso.root, server.url)
        before = meter.fetch()
        dso.release()
        after = meter.fetch()
    assert after.folder == before.folder
    assert signer_of(after.folder) == "targets"
    assert not started(tmp_path / "state", after.package, bubblewrap=True).boxed


def test_a_set_of_which_nobody_knows_who_signed_it_counts_as_a_publishers(tmp_path):
    name, data = package_of()
    package = judge(name, data, "x86_64")
    folder = stage(package, data, tmp_path / "algorithms")
    assert started(tmp_path, package, bubblewrap=True).boxed
    (folder / SIGNER).unlink()
    assert signer_of(folder) == ""
    assert started(tmp_path, package, bubblewrap=True).boxed


def test_a_package_cannot_say_itself_who_signed_it(tmp_path):
    name, data = package_of()
    forged = zipped(with_record({**contents(data), SIGNER: b"targets"}))
    with pytest.raises(TrustError, match=f"expected a package without a file {SIGNER}"):
        stage(judge(name, forged, "x86_64"), forged, tmp_path / "algorithms")
    assert not list((tmp_path / "algorithms").glob("*/*") if (tmp_path / "algorithms").exists() else ())


@pytest.mark.parametrize(("state", "wanted"), [("none", False), ("unrestricted", False), ("awaited", True)])
def test_without_a_policy_bubblewrap_is_asked_for_only_while_one_may_still_come(state, wanted):
    assert trusting(state).wants_box("lab") is wanted
    assert not trusting(state).wants_box("targets")
