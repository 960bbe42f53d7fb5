"""A broker in a container of its own reads its lists again when the catalog wrote them, with a real Mosquitto."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.ports import free_port
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

FOLLOW = Path(__file__).parents[2] / "packaging" / "catalog" / "broker-follow"


def test_a_broker_waits_for_its_lists_reads_them_again_when_they_change_and_ends_when_asked(tmp_path):
    lists = tmp_path / "lists"
    lists.mkdir()
    (tmp_path / "conf").write_text(
        f"listener {free_port()} 127.0.0.1\nallow_anonymous true\nuser root\nacl_file {lists}/grid.acl\n"
    )
    log = tmp_path / "log"
    path = f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin"
    with log.open("wb") as words:
        process = subprocess.Popen(
            ["/bin/sh", str(FOLLOW), str(tmp_path / "conf"), str(lists)],
            stdout=words,
            stderr=words,
            env={**os.environ, "PATH": path, "FOLLOW_SECONDS": "0.1", "RUN_FOLDER": str(tmp_path)},
        )
    try:

        def said(text):
            return lambda: text in log.read_text()

        wait_until(said("waiting for the catalog"), "the broker waiting", timeout=10)
        (lists / "grid.acl").write_text("topic read a\n")
        (lists / "anchors.pem").write_text("x")
        (lists / "revocations.pem").write_text("x")
        wait_until(said("running"), "Mosquitto running", timeout=10)
        (lists / "grid.acl.new").write_text("topic read b\n")
        (lists / "grid.acl.new").replace(lists / "grid.acl")
        wait_until(said("Reloading config"), "Mosquitto reading again", timeout=10)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert "terminating" in log.read_text()
    finally:
        process.kill()
        process.wait(10)
