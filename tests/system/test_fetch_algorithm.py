"""``tresma-agent fetch-algorithm``: from people's signatures through a real catalog onto a meter's card, at any cut."""

import hashlib
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import requests

from agent.errors import TrustError
from agent.trust.staging import judge, stage
from device_catalog.contract.packages import contents
from device_catalog.operator.__main__ import main
from tests.support.catalog import CatalogProcess
from tests.support.packages import NAME, package_of
from tests.support.policies import Key
from tests.support.powercut import calls
from tests.support.trust import NOW, Dso, Meter, serving

FILES = set(contents(package_of()[1]))


def operator(*words):
    assert main([str(word) for word in words]) == 0


@pytest.fixture
def signed(tmp_path):
    """A repository that two people signed with the commands, one file after the other."""
    folder = tmp_path / "trust"
    secret = tmp_path / "passphrase"
    secret.write_text("correct horse battery\n")
    key = ("--passphrase-file", secret)
    for name in ("anna", "bert", "online"):
        operator("keys", "new", tmp_path / f"{name}.key", *key)
    anna, bert, online = (tmp_path / f"{name}.pub" for name in ("anna", "bert", "online"))
    people = ("--root", anna, bert, "--targets", anna, bert)
    operator("repository", "init", folder, *people, "--snapshot", online, "--timestamp", online)
    name, data = package_of()
    (tmp_path / name).write_bytes(data)
    operator("repository", "add", folder, tmp_path / name)
    director = f"catalog={Key(1).public}"
    operator("policy", "new", tmp_path / "policy.json", "--director", director, "--broker", "mqtts://*.example.org")
    operator("repository", "policy", folder, tmp_path / "policy.json")
    for who in ("anna", "bert"):
        operator("repository", "sign", folder, "--key", tmp_path / f"{who}.key", *key)
    operator("repository", "publish", folder, "--key", tmp_path / "online.key", *key)
    return folder


def test_what_two_people_signed_reaches_a_meter_through_the_catalog(signed, tmp_path, capsys):
    with CatalogProcess(state=tmp_path / "catalog") as catalog:
        push = (
            "repository",
            "push",
            "--catalog",
            catalog.url,
            "--token-file",
            catalog.state / "operator.token",
            signed,
        )
        operator(*push)
        assert "1 packages and 5 documents are new" in capsys.readouterr().out
        operator(*push)
        assert "0 packages and 0 documents are new" in capsys.readouterr().out
        policy = (tmp_path / "policy.json").read_bytes()
        name = f"{hashlib.sha256(policy).hexdigest()}.policy.json"
        assert requests.get(f"{catalog.url}/v1/trust/targets/policy/{name}", timeout=5).content == policy
        for path in (
            "metadata",
            f"targets/algorithms/{NAME}/{64 * '0'}.{package_of()[0]}",
            f"targets/policy/{64 * '0'}.policy.json",
        ):
            assert requests.put(f"{catalog.url}/v1/trust/{path}", data=b"{}", timeout=5).status_code == 401
            assert catalog.operator("PUT", f"/v1/trust/{path}", data=b'{"documents": {"x": "y"}}').status_code == 422
        answer = requests.get(f"{catalog.url}/v1/trust/metadata/timestamp.json", timeout=5)
        tag = {"If-None-Match": answer.headers["ETag"]}
        again = requests.get(f"{catalog.url}/v1/trust/metadata/timestamp.json", headers=tag, timeout=5)
        assert (answer.status_code, answer.headers["Cache-Control"], again.status_code) == (200, "no-cache", 304)
        for path in (
            "metadata/..%2Fcatalog.db",
            "metadata/%2e%2e",
            "targets/algorithms/x/y.whl",
            "metadata/9.root.json",
        ):
            assert requests.get(f"{catalog.url}/v1/trust/{path}", timeout=5).status_code == 404
        config = tmp_path / "agent.yaml"
        config.write_text(f"device: m-1\ncatalog: {catalog.url}\ncredential: x\nstate_dir: {tmp_path / 'state'}\n")
        (tmp_path / "root.json").write_bytes((signed / "metadata" / "1.root.json").read_bytes())
        command = [sys.executable, "-m", "agent", "fetch-algorithm", "--config", str(config)]
        ended = subprocess.run([*command, f"{NAME}==0.1.0", "--json"], capture_output=True, check=True, timeout=60)
        said = json.loads(ended.stdout)
        assert (said["name"], said["version"], said["release"]) == (NAME, "0.1.0", 1)
        run = "import sys; from voltage_band.algorithm import VoltageBand; print(VoltageBand.info.name)"
        path = {"PYTHONPATH": f"{said['folder']}:{Path.cwd()}"}
        assert (
            subprocess.run([sys.executable, "-c", run], capture_output=True, env=path, check=True).stdout
            == b"voltage-band\n"
        )
        ended = subprocess.run([*command, f"{NAME}==0.2.0"], capture_output=True, text=True, check=False, timeout=60)
        assert (ended.returncode, ended.stdout) == (69, "")
        assert ended.stderr.count("\n") == 1
        assert "found nothing of that name for this machine" in ended.stderr


@pytest.fixture
def package():
    name, data = package_of()
    return judge(name, data, "x86_64"), data


def test_a_cut_at_any_line_leaves_the_sets_whole(package, tmp_path):
    """Each run is killed one step later than the one before, until one comes through; then everything is there."""
    algorithms = tmp_path / "algorithms"
    old = package_of("0.0.9", 1)
    before = stage(judge(*old, "x86_64"), old[1], algorithms)
    steps = 0
    while _killed_at(steps, package, algorithms):
        steps += 1
        assert before.is_dir()
        for folder in algorithms.glob("voltage-band/0.1.0-*"):
            assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.suffix != ".pyc"} >= FILES
        assert steps < 500
    assert steps > 30
    final = stage(*package, algorithms)
    assert all((final / name).read_bytes() == content for name, content in contents(package[1]).items())
    assert sorted(path.name for path in algorithms.iterdir()) == [NAME]


def _killed_at(step, package, algorithms):
    """Stage in a fork that dies at the n-th change of a file or folder; tell whether it did."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        seen = 0

        def watch(event, _):
            nonlocal seen
            if event in ("open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "shutil.rmtree"):
                seen += 1
                if seen > step:
                    os._exit(9)

        sys.addaudithook(watch)
        stage(*package, algorithms)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


def test_every_byte_and_name_is_durable_before_the_name_appears(tmp_path):
    name, data = package_of()
    (tmp_path / name).write_bytes(data)
    trace = tmp_path / "trace"
    program = (
        "import sys; from pathlib import Path; from agent.trust.staging import judge, stage\n"
        "path = Path(sys.argv[1]); data = path.read_bytes()\n"
        "stage(judge(path.name, data, 'x86_64'), data, path.parent / 'algorithms')\n"
    )
    strace = ["strace", "-f", "-qq", "-y", "-ttt", "-xx", "-s", "4096", "-o", str(trace), "-e"]
    command = [*strace, "trace=openat,fsync,rename", sys.executable, "-c", program, str(tmp_path / name)]
    subprocess.run(command, check=True, timeout=60)
    recorded = list(calls(trace))
    renames = [number for number, call in enumerate(recorded) if call.name == "rename" and "-" in Path(call.other).name]
    (place,) = [number for number in renames if recorded[number].path.endswith("/.new")]
    before = {call.path for call in recorded[:place] if call.name == "sync"}
    after = {call.path for call in recorded[place:] if call.name == "sync"}
    unfinished = recorded[place].path
    final = Path(recorded[place].other)
    needed = {f"{unfinished}/{path.relative_to(final).as_posix()}" for path in final.rglob("*")} | {unfinished}
    assert needed <= before
    assert str(final.parent) in after


def test_a_damaged_set_is_made_anew(package, tmp_path):
    folder = stage(*package, tmp_path)
    (folder / "voltage_band" / "algorithm.py").write_text("")
    (folder / "json.py").write_text("")
    assert stage(*package, tmp_path) == folder
    assert (folder / "voltage_band" / "algorithm.py").read_text()
    assert not (folder / "json.py").exists()


def test_a_card_without_room_is_told_and_nothing_is_left(package, tmp_path):
    (tmp_path / "algorithms").mkdir()
    (tmp_path / "algorithms" / NAME).write_text("in the way")
    with pytest.raises(TrustError, match="cannot be put in place"):
        stage(*package, tmp_path / "algorithms")
    assert [path.name for path in (tmp_path / "algorithms").iterdir()] == [NAME]


def test_one_fetch_is_under_way_at_a_time(tmp_path):
    import fcntl

    dso = Dso(tmp_path / "trust")
    with serving(dso.folder) as server:
        meter = Meter(tmp_path / "state", dso.root, server.url)
        (meter.state / "trust").mkdir()
        with (meter.state / "trust" / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with pytest.raises(TrustError, match="another under way"):
                meter.fetch(now=NOW)


def test_a_cut_while_fetching_leaves_what_is_believed_whole(tmp_path):
    """Every seventh step of an update is tried as the last one; the old set stays, and a later fetch succeeds."""
    dso = Dso(tmp_path / "trust")
    dso.release()
    with serving(dso.folder) as server:
        meter = Meter(tmp_path / "state", dso.root, server.url)
        meter.fetch()
        dso.at(NOW).change_keys("timestamp", add=[dso.public("other")])
        dso.release("0.2.0", 2)
        step = 0
        while _fetch_killed_at(step, meter):
            step += 7
            kept = meter.state / "trust"
            for path in (*(kept / "metadata").glob("*.json"), kept / "floors.json"):
                assert json.loads(path.read_bytes())
            assert "0.1.0" in meter.installed()
            assert step < 1000
        assert step > 50
        assert meter.fetch("0.2.0").package.manifest.release == 2
        assert meter.installed() == ["0.1.0", "0.2.0"]
        assert sorted(path.name for path in (meter.state / "trust").iterdir()) == ["floors.json", "lock", "metadata"]


def _fetch_killed_at(step, meter):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        seen = 0

        def watch(event, _):
            nonlocal seen
            seen += event in ("open", "os.rename", "os.mkdir", "os.remove", "os.rmdir")
            if seen > step:
                os._exit(9)

        sys.addaudithook(watch)
        try:
            meter.fetch("0.2.0")
        except BaseException:  # noqa: BLE001 - the verifier's fork was the one that was cut
            os._exit(9)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
