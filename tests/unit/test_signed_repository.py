"""The DSO's side of trust: keys under a passphrase, pending documents, thresholds, and refusals in a sentence."""

import msgspec
import pytest
from tuf.api.metadata import Metadata

from device_catalog.contract.packages import read_package
from device_catalog.operator.__main__ import main
from device_catalog.packages.errors import RepositoryError
from device_catalog.packages.keys import load_signer, new_key, read_public
from device_catalog.packages.repository import Repository
from tests.support.packages import NAME, package_of
from tests.support.trust import DAY, NOW, Dso


@pytest.fixture
def dso(tmp_path):
    return Dso(tmp_path / "trust")


def added(dso, version="0.1.0", release=1, role="targets"):
    name, data = package_of(version, release)
    dso.at(NOW).add(read_package(name, data), data, role)


def test_a_key_is_its_owners_alone_and_needs_its_passphrase(tmp_path):
    path = tmp_path / "anna.key"
    public = new_key(path, b"correct horse")
    assert path.stat().st_mode & 0o777 == 0o600
    assert b"ENCRYPTED" in path.read_bytes()
    assert read_public(tmp_path / "anna.pub").keyid == public.keyid
    assert load_signer(path, b"correct horse").public_key.keyid == public.keyid
    for call, words in (
        (lambda: load_signer(path, b"wrong horse"), "its passphrase"),
        (lambda: load_signer(tmp_path / "anna.pub", b"x"), "no encrypted key"),
        (lambda: load_signer(tmp_path / "none.key", b"x"), "No such file"),
        (lambda: read_public(path), "public half"),
        (lambda: new_key(path, b"correct horse"), "never overwritten"),
        (lambda: new_key(tmp_path / "b.key", b"short"), "at least 8"),
    ):
        with pytest.raises(RepositoryError, match=words):
            call()


def test_nothing_is_published_that_too_few_have_signed(dso):
    added(dso)
    with pytest.raises(RepositoryError, match=r"some missing: targets \(2\)"):
        dso.at(NOW).publish([dso.keys["online"]])
    dso.at(NOW).sign(dso.keys["anna"])
    dso.at(NOW).sign(dso.keys["anna"])
    with pytest.raises(RepositoryError, match=r"targets \(1\)"):
        dso.at(NOW).publish([dso.keys["online"]])
    with pytest.raises(RepositoryError, match="found nothing"):
        dso.at(NOW).sign(dso.keys["mallory"])
    dso.at(NOW).sign(dso.keys["bert"])
    with pytest.raises(RepositoryError, match="the key of snapshot"):
        dso.at(NOW).publish([dso.keys["anna"]])
    assert dso.at(NOW).publish([dso.keys["online"]]) == ["targets"]


def test_a_change_after_a_signature_takes_the_signature_away(dso):
    added(dso)
    dso.at(NOW).sign(dso.keys["anna"])
    added(dso, "0.2.0", 2)
    assert dso.at(NOW).missing("targets") == 2


def test_a_new_root_is_signed_by_the_old_keys_and_the_new(dso):
    dso.at(NOW).change_keys("root", add=[dso.public("carl")], remove=[dso.public("anna").keyid])
    for name, missing in (("bert", 1), ("carl", 1), ("anna", 0)):
        dso.at(NOW).sign(dso.keys[name])
        assert dso.at(NOW).missing("root") == missing
    dso.at(NOW).publish([dso.keys["online"]])
    assert (dso.folder / "metadata" / "2.root.json").read_bytes() == (
        dso.folder / "metadata" / "root.json"
    ).read_bytes()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda repository, _: repository.change_keys("root", threshold=1), "at least 2 for root"),
        (lambda repository, _: repository.change_keys("targets", threshold=3), "at least 3 keys for targets, found 2"),
        (lambda repository, _: repository.change_keys("root", remove=["0" * 64]), "a key of root"),
        (lambda repository, _: repository.change_keys("nobody"), "expected one of"),
        (lambda repository, dso: repository.change_keys("root", add=[dso.public("online")]), "found one in both"),
        (lambda repository, dso: repository.delegate("root", [NAME], [dso.public("carl")], 1), "a publisher's name"),
        (lambda repository, dso: repository.delegate("lab", [NAME], [dso.public("carl")], 2), "number of keys"),
        (lambda repository, _: repository.withdraw(NAME, "9.9.9"), "found voltage-band==9.9.9"),
        (lambda repository, _: repository.expire("nobody", 5.0), "expected one of root, targets"),
        (lambda repository, _: repository.begin({}, 2), "holds a repository already"),
    ],
)
def test_what_would_weaken_or_break_it_is_refused(dso, change, words):
    with pytest.raises(RepositoryError, match=words):
        change(dso.at(NOW), dso)
    assert not list((dso.folder / "pending").iterdir())


def test_a_release_only_goes_up_and_a_version_keeps_its_bytes(dso):
    added(dso)
    dso.confirm()
    with pytest.raises(RepositoryError, match="expected a release above 1"):
        added(dso, "0.2.0", 1)
    name, data = package_of("0.1.0", 7)
    with pytest.raises(RepositoryError, match="other bytes"):
        dso.at(NOW).add(read_package(name, data), data)
    with pytest.raises(RepositoryError, match="found none"):
        dso.at(NOW).add(read_package(name, data), data, "lab")


def test_a_publisher_adds_only_its_own(dso):
    dso.at(NOW).delegate("lab", ["something-else"], [dso.public("carl")], 1)
    with pytest.raises(RepositoryError, match="lab may not publish voltage-band"):
        added(dso, role="lab")


def test_published_documents_never_change(dso):
    before = {path.name: path.read_bytes() for path in (dso.folder / "metadata").glob("[0-9]*")}
    dso.release()
    dso.at(NOW).expire("root", 700)
    dso.confirm(NOW + DAY)
    assert all((dso.folder / "metadata" / name).read_bytes() == content for name, content in before.items())
    root = Metadata.from_file(str(dso.folder / "metadata" / "root.json")).signed
    assert (root.version, root.expires.replace(tzinfo=None)) == (2, (NOW + 700 * DAY).replace(tzinfo=None))


def test_a_cut_in_the_middle_of_publishing_is_made_good_by_publishing_again(dso):
    added(dso)
    for name in ("anna", "bert"):
        dso.at(NOW).sign(dso.keys[name])
    pending = (dso.folder / "pending" / "targets.json").read_bytes()
    dso.at(NOW).publish([dso.keys["online"]])
    (dso.folder / "pending" / "targets.json").write_bytes(pending)  # as if power had failed before it was removed
    assert Repository(dso.folder, NOW).publish([dso.keys["online"]]) == ["targets"]
    added(dso, "0.2.0", 2)
    assert dso.at(NOW).pending("targets").signed.version == 3


def test_status_tells_keys_expiry_and_what_is_pending(dso, capsys):
    added(dso)
    assert main(["repository", "status", "--json", str(dso.folder)]) == 0
    found = {role["role"]: role for role in msgspec.json.decode(capsys.readouterr().out)}
    assert (found["targets"]["pending"], found["targets"]["missing"], found["root"]["version"]) == (2, 2, 1)
    assert main(["repository", "status", str(dso.folder)]) == 0
    assert "pending: version 2, 2 signatures missing" in capsys.readouterr().out


@pytest.mark.parametrize("verb", ["add-key", "rotate", "delegate", "withdraw", "expire"])
def test_every_change_is_a_command(dso, tmp_path, verb, capsys):
    dso.release()
    new_key(tmp_path / "new.key", b"correct horse")
    words = {
        "add-key": ["--role", "root", "--new", tmp_path / "new.pub", "--threshold", "3"],
        "rotate": ["--role", "timestamp", "--old", dso.public("online").keyid, "--new", tmp_path / "new.pub"],
        "delegate": ["lab", "--algorithm", NAME, "--key", tmp_path / "new.pub"],
        "withdraw": [f"{NAME}==0.1.0"],
        "expire": ["targets", "--days", "30"],
    }[verb]
    assert main(["repository", verb, str(dso.folder), *map(str, words)]) == 0
    assert "signatures missing" in capsys.readouterr().out


def test_damaged_metadata_is_told_with_its_file(dso, capsys):
    (dso.folder / "metadata" / "1.targets.json").write_text("{")
    assert main(["repository", "status", str(dso.folder)]) == 1
    assert "1.targets.json: expected TUF metadata" in capsys.readouterr().err
