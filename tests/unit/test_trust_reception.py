"""What the catalog lets into the repository that it serves: what every meter would believe, whole, or nothing."""

import hashlib
from datetime import UTC, datetime

import pytest
from tuf.api.metadata import Metadata

from device_catalog.contract.packages import PackageError, read_package
from device_catalog.packages.errors import RepositoryError
from device_catalog.packages.reception import receive_documents
from device_catalog.packages.storing import receive_package
from tests.support.packages import NAME, package_of
from tests.support.trust import Dso

NOW = datetime.now(UTC)  # the catalog's own clock judges


@pytest.fixture
def dso(tmp_path):
    return Dso(tmp_path / "dso", now=NOW)


@pytest.fixture
def served(tmp_path):
    return tmp_path / "served"


def documents(dso, **instead):
    found = {path.name: path.read_bytes() for path in (dso.folder / "metadata").iterdir()}
    return {**found, **{name.replace("__", "."): content for name, content in instead.items()}}


def pushed(dso, served, version="0.1.0", release=1):
    name, data = package_of(version, release)
    receive_package(served, NAME, f"{hashlib.sha256(data).hexdigest()}.{name}", data)
    dso.release(version, release, NOW)
    return receive_documents(served, documents(dso))


def state(served):
    return {path: path.read_bytes() for path in served.rglob("*") if path.is_file()}


def refused(served, offered, words):
    before = state(served)
    with pytest.raises(RepositoryError, match=words):
        receive_documents(served, offered)
    assert state(served) == before


def test_a_repository_is_served_as_it_was_signed_and_goes_on(dso, served):
    assert "timestamp.json" in receive_documents(served, documents(dso))
    assert "2.targets.json" in pushed(dso, served)
    assert receive_documents(served, documents(dso)) == []
    assert {path.name: path.read_bytes() for path in (served / "metadata").iterdir()} == documents(dso)


def test_what_no_meter_would_believe_is_not_stored(dso, served, tmp_path):
    pushed(dso, served)
    good = documents(dso)
    stranger = Dso(tmp_path / "stranger", now=NOW)
    refused(served, documents(stranger), "served already, with another content")
    refused(served, {"timestamp.json": documents(stranger)["timestamp.json"]}, "would believe")
    refused(served, {"../evil.json": b""}, "documents such as")
    refused(served, {"timestamp.json": b"{"}, "would believe")
    old = documents(dso)
    pushed(dso, served, "0.2.0", 2)
    refused(served, {"timestamp.json": old["timestamp.json"]}, "would believe")
    refused(served, {**documents(dso), "root.json": b"{}"}, "not the newest root")
    assert good["1.root.json"] == (served / "metadata" / "1.root.json").read_bytes()


def test_a_package_comes_before_the_document_that_names_it(dso, served):
    dso.release(now=NOW)
    refused(served, documents(dso), "its package is not here; send it first")


def test_a_new_root_under_too_few_old_keys_is_not_stored(dso, served):
    receive_documents(served, documents(dso))
    root = Metadata.from_bytes(documents(dso)["1.root.json"])
    root.signed.version = 2
    root.signatures.clear()
    root.sign(dso.keys["anna"])
    refused(served, {**documents(dso), "2.root.json": root.to_bytes()}, "would believe")


def test_publishers_are_verified_by_their_own_keys(dso, served):
    name, data = package_of()
    dso.at(NOW).delegate("lab", [NAME], [dso.public("carl")], 1)
    dso.confirm(NOW, by="anna bert carl")
    receive_documents(served, documents(dso))
    receive_package(served, NAME, f"{hashlib.sha256(data).hexdigest()}.{name}", data)
    dso.at(NOW).add(read_package(name, data), data, "lab")
    dso.confirm(NOW, by="carl")
    forged = Metadata.from_bytes(documents(dso)["2.lab.json"])
    forged.signatures.clear()
    forged.sign(dso.keys["mallory"])
    refused(served, {**documents(dso), "2.lab.json": forged.to_bytes()}, "would believe")
    assert "2.lab.json" in receive_documents(served, documents(dso))


def test_a_package_stands_under_its_own_digest_and_name(served):
    name, data = package_of()
    digest = hashlib.sha256(data).hexdigest()
    for algorithm, file_name, content in (
        (NAME, f"{64 * '0'}.{name}", data),
        ("other", f"{digest}.{name}", data),
        (NAME, f"{digest}.{name}", data[:-1]),
    ):
        with pytest.raises(PackageError):
            receive_package(served, algorithm, file_name, content)
    assert not served.exists()
