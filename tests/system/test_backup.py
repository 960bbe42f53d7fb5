"""Backup and restore of a real catalog: copied while it serves, put back, and what meters are told then."""

import hashlib
import json
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from device_catalog.__main__ import EXIT_CONFIGURATION, EXIT_UNAVAILABLE, main
from tests.support.catalog import CatalogProcess
from tests.support.enrolment import catalog_command, enrol, identity, invite, new_key
from tests.support.postgresql import PostgreSQL

pytestmark = pytest.mark.slow


def configure(catalog, device, rate):
    document = {"algorithms": [{"algorithm": "phasors", "settings": {"report_rate": rate}}]}
    path = f"/v1/devices/{device}/configuration"
    answer = catalog.operator("PUT", path, headers={"If-Match": "*"}, json=document)
    assert answer.status_code == 200, answer.text
    return answer.json()["revision"]


def rate_of(desired):
    return desired["configuration"]["algorithms"][0]["settings"]["report_rate"]


def test_a_copy_taken_while_the_catalog_works_gives_the_same_catalog_on_another_machine(tmp_path):
    archive = tmp_path / "copy.tar.gz"
    recording = b"waveform" * 1000
    with CatalogProcess(state=tmp_path / "first", tls=True) as first:
        credential = first.register("m-1")
        first.register("m-2")
        first.register("m-3")
        certificate = identity(first, "m-3", tmp_path)
        waiting = invite(first, "m-2")
        configure(first, "m-1", 10)
        digest = hashlib.sha256(recording).hexdigest()
        kept = first.state / "recordings" / digest[:2] / f"{digest}.cff"
        kept.parent.mkdir(parents=True)
        kept.write_bytes(recording)
        ended = threading.Event()

        def work():
            while not ended.wait(0.01):
                configure(first, "m-2", 25)

        worker = threading.Thread(target=work)
        worker.start()
        said = catalog_command(first, "backup", str(archive))
        ended.set()
        worker.join()
        assert "copy.tar.gz" in said
        assert stat.S_IMODE(archive.stat().st_mode) == 0o600
        assert not list(tmp_path.glob(".copy*")), "no copy of the keys is left beside it"
        later = configure(first, "m-1", 50)
        told = first.poll("m-1", credential, **{"Agent-Boot": "1", "Agent-Applied-Revision": str(later)})
        assert rate_of(told.json()) == 50

        assert main(["restore", str(archive), "--replace", f"--state={first.state}"]) == EXIT_UNAVAILABLE
        assert configure(first, "m-2", 10), "a catalog that runs is left alone"

    second = CatalogProcess(state=tmp_path / "second", tls=True)
    said = catalog_command(second, "restore", str(archive))
    assert "3 devices" in said
    assert "1 tokens" in said
    with second:
        assert second.token == first.token
        assert second.anchors.read_bytes() == first.anchors.read_bytes()
        desired = second.poll("m-1", credential, told.headers["ETag"])
        assert desired.status_code == 200, "the tag of a revision that is unknown here is no reason to say nothing"
        assert rate_of(desired.json()) == 10
        assert desired.json()["revision"] > later, "a meter takes no smaller one"
        by_certificate = second._session.get(
            f"{second.url}/v1/devices/m-3/desired", cert=str(certificate), verify=second.verify, timeout=5
        )
        assert by_certificate.status_code == 200
        assert enrol(second, waiting, new_key()).status_code in {401, 403}, "it may have been used since"
        audit = second.operator("GET", "/v1/audit").text
        assert "RESTORE" in audit
    assert (second.state / "recordings" / digest[:2] / f"{digest}.cff").read_bytes() == recording


def test_what_is_there_is_replaced_only_when_that_is_asked_for_and_is_kept(tmp_path, capsys):
    archive = tmp_path / "copy.tar.gz"
    with CatalogProcess(state=tmp_path / "state") as catalog:
        catalog.register("m-1")
        catalog_command(catalog, "backup", str(archive), "--no-recordings")
        catalog.register("m-2")
    here = {path: path.read_bytes() for path in (tmp_path / "state").rglob("*") if path.is_file()}
    before = (tmp_path / "state" / "director.key").read_bytes()
    arguments = ["restore", str(archive), f"--state={tmp_path / 'state'}"]
    assert main(arguments) == EXIT_CONFIGURATION
    assert "--replace" in capsys.readouterr().err
    damaged = tmp_path / "damaged.tar.gz"
    damaged.write_bytes(archive.read_bytes()[:-2000])
    assert main(["restore", str(damaged), "--replace", f"--state={tmp_path / 'state'}"]) == EXIT_CONFIGURATION
    assert {path: path.read_bytes() for path in (tmp_path / "state").rglob("*") if path.is_file()} == here

    assert main([*arguments, "--replace"]) == 0
    (kept,) = (tmp_path / "state").glob("before-restore-*")
    assert (kept / "director.key").read_bytes() == before
    with CatalogProcess(state=tmp_path / "state") as catalog:
        assert catalog.operator("GET", "/v1/devices/m-1").status_code == 200
        assert catalog.operator("GET", "/v1/devices/m-2").status_code == 404
    assert not list((tmp_path / "state").glob(".restore*"))


def test_postgresql_is_copied_and_put_back_with_what_meters_have_seen(tmp_path):
    archive = tmp_path / "copy.tar.gz"
    with PostgreSQL() as server:
        options = [f"--database={server.url}"]
        with CatalogProcess(state=tmp_path / "state", options=options) as catalog:
            credential = catalog.register("m-1")
            configure(catalog, "m-1", 10)
            catalog_command(catalog, "backup", str(archive), *options)
            later = configure(catalog, "m-1", 50)
            arguments = ["restore", str(archive), "--replace", f"--state={catalog.state}", *options]
            assert main(arguments) == EXIT_UNAVAILABLE, "it runs"
        assert main(arguments) == 0
        (kept,) = (tmp_path / "state").glob("before-restore-*")
        assert (kept / "catalog.dump").stat().st_size > 0
        with CatalogProcess(state=tmp_path / "state", options=options) as catalog:
            desired = catalog.poll("m-1", credential).json()
            assert rate_of(desired) == 10
            assert desired["revision"] > later
        sqlite = [f"--state={tmp_path / 'other'}"]
        assert main(["restore", str(archive), *sqlite]) == EXIT_CONFIGURATION, "one of another kind"


def test_power_may_fail_at_every_step_of_a_restore(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.restore_to_kill", str(tmp_path)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    tries = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(tries) > 5, "it was cut off in the middle, too"
    assert [one["died"] for one in tries] == [True] * (len(tries) - 1) + [False]
    for one in tries:
        token = one["after"]["operator.token"]
        assert token in {"here", "unfinished", "copied"}, "a catalog would make itself another one"
        if token != "unfinished":  # a catalog starts with this
            assert set(one["after"].values()) == {token}, "parts of two catalogs"
        assert set(one["repeated"].values()) == {"copied"}
        assert one["kept"], "nothing that was there is lost"
        assert one["left"] == 0
