"""
Attacks of TUF's and Uptane's lists, each by somebody who answers for the repository: none puts an algorithm on a meter.

Beyond what an outsider has, some attackers hold one of the keys.
"""

import hashlib
import json
import shutil

import msgspec
import pytest
from tuf.api.metadata import Metadata

from agent.errors import TrustError
from device_catalog.contract.packages import read_package
from tests.support.packages import NAME, package_of, zipped
from tests.support.trust import DAY, NOW, Dso, Meter, endless, saying, serving, trickling

TARGET = ".whl"


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


def refused(meter, words, **how):
    before = meter.installed()
    with pytest.raises(TrustError, match=words):
        meter.fetch(**how)
    assert meter.installed() == before
    assert not list((meter.state / "trust").glob("fetch-*"))


def resigned(dso, path, by, change):
    """Change a published document and sign it with other keys."""
    metadata = Metadata.from_file(str(dso.folder / "metadata" / path))
    change(metadata.signed)
    metadata.signatures.clear()
    for name in by.split():
        metadata.sign(dso.keys[name], append=True)
    return metadata.to_bytes()


def test_what_is_signed_is_put_in_place_and_stays(meter, server):
    fetched = meter.fetch()
    assert (fetched.folder / "voltage_band" / "algorithm.py").exists()
    assert list(fetched.folder.glob("voltage_band/__pycache__/*.pyc"))
    assert meter.installed() == ["0.1.0"]
    server.asked.clear()
    assert meter.fetch(now=NOW + DAY).folder == fetched.folder
    assert [path for path in server.asked if "root" in path] == ["/metadata/2.root.json"]


def test_arbitrary_software_another_file_in_the_place_of_the_signed_one(meter, server):
    server.instead[TARGET] = saying(package_of("0.1.0", 5)[1])
    refused(meter, "length and hash that are signed")


def test_arbitrary_software_a_file_that_nobody_signed(meter):
    refused(meter, "found nothing of that name", version="9.9.9")


def test_arbitrary_software_targets_signed_by_a_stranger(meter, dso, server):
    forged = resigned(dso, "2.targets.json", "mallory", lambda _: None)
    server.instead["2.targets.json"] = saying(forged)
    refused(meter, "length and hash")


@pytest.mark.parametrize("by", ["mallory", "anna", "anna mallory", "anna anna"])
def test_a_stolen_key_of_root_alone_makes_no_root(meter, dso, server, by):
    def take_over(root):
        root.version = 2
        for role in root.roles:
            root.add_key(dso.public("mallory"), role)
            root.roles[role].threshold = 1

    server.instead["2.root.json"] = saying(resigned(dso, "1.root.json", by, take_over))
    refused(meter, "signed by enough of its keys")


@pytest.mark.parametrize("thief", ["anna", "online"])
def test_one_stolen_key_and_the_server_put_nothing_on_a_meter(meter, dso, thief):
    """Targets under one key of two; snapshot and timestamp as a thief of the online key would write them."""
    meter.fetch()
    _, data = package_of("6.6.6", 66)
    dso_targets = dso.folder / "metadata" / "2.targets.json"
    forger = Dso(dso.folder.parent / "forged")
    forger.keys = {**dso.keys}
    shutil.copytree(dso.folder / "metadata", forger.folder / "metadata", dirs_exist_ok=True)
    targets = Metadata.from_bytes(dso_targets.read_bytes())
    targets.signed.version = 3
    targets.signatures.clear()
    targets.sign(dso.keys[thief])
    targets.sign(dso.keys["mallory"], append=True)
    (forger.folder / "metadata" / "3.targets.json").write_bytes(targets.to_bytes())
    forger.at(NOW).publish([dso.keys["online"]])
    with serving(forger.folder) as theirs:
        meter.url = theirs.url
        theirs.instead[TARGET] = saying(data)
        refused(meter, "signed by enough of its keys", version="6.6.6")


def test_rollback_to_an_older_repository(meter, dso, tmp_path):
    shutil.copytree(dso.folder, tmp_path / "old")
    dso.release("0.2.0", 2)
    meter.fetch("0.2.0")
    with serving(tmp_path / "old") as old:
        meter.url = old.url
        refused(meter, "no older metadata than is known")
    assert meter.installed() == ["0.2.0"]


def test_rollback_to_an_older_release_that_is_still_signed(meter, dso):
    dso.release("0.2.0", 2)
    meter.fetch("0.2.0")
    refused(meter, "expected release 2 of voltage-band or a later one, found 1")


def test_rollback_by_whoever_holds_the_online_key(meter, dso, server):
    dso.release("0.2.0", 2)
    meter.fetch("0.2.0")

    def back(snapshot):
        snapshot.version += 1
        snapshot.meta["targets.json"].version = 2

    old = dso.folder / "metadata"
    (old / "4.snapshot.json").write_bytes(resigned(dso, "3.snapshot.json", "online", back))

    def point(timestamp):
        timestamp.version += 1
        timestamp.snapshot_meta.version = 4
        timestamp.snapshot_meta.length = timestamp.snapshot_meta.hashes = None

    server.instead["timestamp.json"] = saying(resigned(dso, "timestamp.json", "online", point))
    refused(meter, "no older metadata than is known")


@pytest.mark.parametrize(("days", "document"), [(3, "timestamp"), (30, "snapshot"), (200, "targets"), (400, "root")])
def test_freeze_what_expired_is_not_believed_and_what_is_there_goes_on(meter, dso, days, document):
    meter.fetch()
    now = NOW + days * DAY
    if document != "timestamp":
        for role in ("snapshot", "timestamp"):
            _last_for(dso, role, 1 if role == document else 1000)
        for role in ("root", "targets"):
            if role != document:
                dso.at(NOW).expire(role, 1000)
        if document != "snapshot":
            dso.confirm()
            for role in ("snapshot", "timestamp"):
                _last_for(dso, role, 1000)
    refused(meter, f"expired .*{document}", version="0.1.0", now=now)
    assert meter.installed() == ["0.1.0"]


def _last_for(dso, role, days):
    """Let an online document count longer or shorter, as its key allows."""
    folder = dso.folder / "metadata"
    snapshot = dso.at(NOW).published("snapshot").signed.version
    path = "timestamp.json" if role == "timestamp" else f"{snapshot}.snapshot.json"
    changed = resigned(dso, path, "online", lambda signed: setattr(signed, "expires", (NOW + days * DAY)))
    (folder / path).write_bytes(changed)

    def drop(timestamp):
        timestamp.version += 1
        timestamp.snapshot_meta.length = timestamp.snapshot_meta.hashes = None

    (folder / "timestamp.json").write_bytes(resigned(dso, "timestamp.json", "online", drop))


def test_mix_and_match_of_two_states_of_the_repository(meter, dso, server, tmp_path):
    shutil.copytree(dso.folder, tmp_path / "old")
    dso.release("0.2.0", 2)
    server.instead["3.targets.json"] = saying((tmp_path / "old" / "metadata" / "2.targets.json").read_bytes())
    refused(meter, "length and hash that are signed", version="0.2.0")


@pytest.mark.parametrize("end", ["2.root.json", "timestamp.json", "2.snapshot.json", "2.targets.json", TARGET])
def test_endless_data_ends_at_the_declared_length(meter, server, end):
    server.instead[end] = endless
    refused(meter, "no more than is allowed")


@pytest.mark.parametrize("end", ["timestamp.json", TARGET])
def test_slow_retrieval_ends_in_time(meter, server, end):
    server.instead[end] = trickling
    refused(meter, "answer in time", file=0.3)


def test_a_truncated_target_is_refused(meter, server):
    server.instead[TARGET] = saying(package_of()[1][:-1])
    refused(meter, "length and hash")


@pytest.mark.parametrize("content", [b"", b"{}", b"[" * 10000, b'{"signed": 1, "signatures": []}', b"\xff\xfe"])
def test_nonsense_is_told_in_a_sentence(meter, server, content):
    server.instead["timestamp.json"] = saying(content)
    refused(meter, "^expected metadata")


def test_a_repository_that_is_away_is_told(meter):
    meter.url = "http://127.0.0.1:9"
    refused(meter, "a repository that can be reached")


def test_fast_forward_by_the_online_key_is_undone_by_a_new_one(meter, dso, server):
    def forward(timestamp):
        timestamp.version = 2**31
        timestamp.expires = NOW.replace(year=2099)
        timestamp.unrecognized_fields["x-tresma-issued"] = "2098-01-01T00:00:00Z"

    server.instead["timestamp.json"] = saying(resigned(dso, "timestamp.json", "online", forward))
    meter.fetch()
    del server.instead["timestamp.json"]
    refused(meter, "expected")
    for role in ("snapshot", "timestamp"):
        dso.at(NOW).change_keys(role, add=[dso.public("other")], remove=[dso.public("online").keyid])
    dso.confirm(online="other")
    assert meter.fetch().package.manifest.info.version == "0.1.0"


@pytest.mark.parametrize("year", [1970, 2026, 2027, 2060])
def test_a_free_running_clock_neither_bricks_nor_opens_the_meter(meter, year):
    wrong = NOW.replace(year=year)
    meter.fetch(now=wrong, synchronised=False)
    known = json.loads((meter.state / "trust" / "floors.json").read_bytes())["time"]
    assert known == NOW.timestamp()


@pytest.mark.parametrize("year", [1970, 2025])
def test_a_clock_that_is_behind_does_not_revive_what_expired(meter, dso, year):
    dso.at(NOW + 90 * DAY).publish([dso.keys["online"]])
    meter.fetch(now=NOW + 90 * DAY)
    _last_for(dso, "timestamp", 2)
    refused(meter, "expired", now=NOW.replace(year=year))


def test_a_clock_that_was_ahead_leaves_nothing_behind(meter, dso):
    meter.fetch()
    refused(meter, "expired", now=NOW.replace(year=2060))
    dso.release("0.2.0", 2, NOW + DAY)
    assert meter.fetch("0.2.0", now=NOW + DAY).package.manifest.release == 2


def test_roots_are_followed_one_by_one_and_old_keys_count_no_more(meter, dso):
    meter.fetch()
    for old, new, by in (("anna", "carl", "anna bert carl"), ("bert", "other", "carl bert other")):
        for role in ("root", "targets"):
            dso.at(NOW).change_keys(role, add=[dso.public(new)], remove=[dso.public(old).keyid])
        dso.at(NOW).expire("targets", 180)
        dso.confirm(by=by)
    name = meter.fetch().package.manifest.info.name
    assert name == NAME
    assert json.loads((meter.state / "trust" / "metadata" / "root.json").read_bytes())["signed"]["version"] == 3


def test_a_publisher_signs_its_own_algorithms_and_no_others(meter, dso):
    dso.at(NOW).delegate("lab", [NAME], [dso.public("carl")], 1)
    dso.at(NOW).withdraw(NAME, "0.1.0")
    dso.confirm(by="anna bert carl")
    name, data = package_of("0.3.0", 3)
    dso.at(NOW).add(read_package(name, data), data, "lab")
    dso.confirm(by="carl")
    assert meter.fetch("0.3.0").package.manifest.release == 3
    dso.at(NOW).delegate("lab", ["something-else"], [dso.public("carl")], 1)
    dso.confirm()
    refused(meter, "found nothing of that name", version="0.3.0")


def test_a_damaged_card_falls_back_to_the_root_that_was_given(meter):
    meter.fetch()
    for damage in (b"", b"\x00" * 100, meter.root.replace(b'"version": 1', b'"version": 7')):
        (meter.state / "trust" / "metadata" / "root.json").write_bytes(damage)
        (meter.state / "trust" / "floors.json").write_bytes(damage)
        assert meter.fetch().package.manifest.release == 1


def test_a_signed_file_that_is_no_package_is_refused_with_every_reason(meter, dso):
    name, data = package_of("0.2.0", 2)
    right = read_package(name, data)
    bad = zipped({"../evil.py": b"", "/etc/evil": b""})
    dso.at(NOW).add(msgspec.structs.replace(right, sha256=hashlib.sha256(bad).hexdigest()), bad)
    dso.confirm()
    refused(meter, "one that leaves it.*an absolute one", version="0.2.0")
