"""``tresma-agent provision`` as the service manager runs it, against a real catalog: from card to certificate."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent.config import read_config
from agent.identity.files import Identity
from device_catalog.contract.card import Card, NetworkSettings, Page
from device_catalog.contract.card_files import write
from tests.support.catalog import CatalogProcess
from tests.support.enrolment import invite

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def catalog():
    with CatalogProcess(tls=True) as running:
        yield running


@pytest.fixture
def card(tmp_path):
    """Write a card's folder."""

    def make(name, catalog, token):
        folder = tmp_path / name / "tresma"
        folder.mkdir(parents=True)
        card = Card(token.device, catalog.url, token.text(), label="Main Street 7", page=Page("48151623"))
        (folder / "card.yaml").write_bytes(write(card))
        (folder / "network.yaml").write_bytes(write(NetworkSettings()))
        return folder

    return make


def provision(folder, root, *words, status=0, **environment):
    """Run a start of the meter; return the status that it leaves."""
    done = subprocess.run(
        [sys.executable, "-m", "agent", "provision", "--card", folder, "--root", root, *words],
        capture_output=True, text=True, timeout=60, env={**os.environ, **environment}, check=False,
    )  # fmt: skip
    assert done.returncode == status, done.stderr
    return json.loads((root / "run/tresma/provisioning.json").read_bytes()), done.stderr


def test_a_card_becomes_an_enrolled_meter_and_its_copy_does_not(catalog, card, tmp_path):
    catalog.register("m-0042")
    token = invite(catalog, "m-0042")
    first, copy = card("first", catalog, token), card("copy", catalog, token)
    root = tmp_path / "meter"

    now, said = provision(first, root)
    assert (now["state"], now["step"], now["problem"], now["host"]) == ("done", "enrolled", "", "tresma-m-0042")
    assert token.secret not in said
    assert [file.name for file in first.iterdir()] == ["README.txt"]
    config = read_config(root / "etc/tresma/agent.yaml", {})
    assert Identity(config.state_dir).facts().device == "m-0042"
    everything = b"".join(file.read_bytes() for file in root.rglob("*") if file.is_file())
    assert token.secret.encode() not in everything, "a token that was used is kept nowhere"

    now, _ = provision(first, root)
    assert now["state"] == "done"

    now, said = provision(copy, tmp_path / "other", "--once", status=1)
    assert (now["state"], now["step"]) == ("failed", "token")
    assert now["problem"].startswith("this card's token was used before")
    assert "another meter may have this one's identity" in now["remedy"]
    assert now["remedy"] in said
    assert not (tmp_path / "other/etc/tresma/agent.yaml").exists()

    (copy / "card.yaml").write_bytes(write(Card("m-0042", catalog.url, invite(catalog, "m-0042").text())))
    now, _ = provision(copy, tmp_path / "other")
    assert now["state"] == "done", "put right, it goes on"


def test_a_clock_in_1970_is_said_and_once_it_is_set_the_meter_is_let_in(catalog, card, tmp_path):
    catalog.register("m-0043")
    folder, root = card("card", catalog, invite(catalog, "m-0043")), tmp_path / "meter"
    (library,) = Path("/usr/lib").glob("*/faketime/libfaketime.so.1")
    now, _ = provision(folder, root, "--once", status=1, LD_PRELOAD=str(library), FAKETIME="@1970-01-02 00:00:00")
    assert (now["state"], now["step"]) == ("waiting", "clock")
    assert now["problem"] == "the clock says 1970-01-02: no time server has answered yet"
    now, _ = provision(folder, root, "--once")
    assert now["state"] == "done"
