"""From a desk to an enrolled meter: ``tresma flash``, then ``tresma-agent provision``, with a real catalog."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import zstandard

from agent.config import read_config
from agent.identity.files import Identity
from device_catalog.contract.card import Card
from device_catalog.contract.card_files import read_card, write
from device_catalog.contract.enrolment import Token
from tests.support.card_image import boots, make_image, mounted, read_file
from tests.support.catalog import CatalogProcess
from tests.support.enrolment import invite

pytestmark = pytest.mark.slow

METERS = [f"m-{number:04}" for number in range(10)]
BAD = "m-0006"


@pytest.fixture(scope="module")
def catalog():
    with CatalogProcess(tls=True) as running:
        for meter in (*METERS, "m-1970"):
            running.register(meter)
        yield running


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A folder with an image and a list of ten cards, one of them bad."""
    folder = tmp_path_factory.mktemp("desk")
    image = make_image(folder / "meter.img")
    (folder / "meter.img.zst").write_bytes(zstandard.ZstdCompressor(level=1).compress(image.read_bytes()))
    lines = [f"{meter},{meter}.img,Main Street {number}" for number, meter in enumerate(METERS)]
    (folder / "tray.csv").write_text("\n".join(["device,target,place", *lines]))
    with (folder / f"{BAD}.img").open("wb") as small:
        small.truncate(2**20)
    return folder


@pytest.fixture(scope="module")
def flash(catalog, desk):
    """Run ``tresma flash`` there, as an operator of the catalog."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("TRESMA_")}
    environment = plain | {"TRESMA_CATALOG": catalog.url, "TRESMA_TOKEN": catalog.token, "TMPDIR": str(desk)}
    environment |= {"TRESMA_OPERATOR_FILE": str(desk / "none.yaml"), "TRESMA_CA": str(catalog.anchors)}

    def run(*words, status=0):
        command = [sys.executable, "-m", "device_catalog.operator", "flash", "meter.img.zst"]
        done = subprocess.run(
            [*command, *words, "--card-catalog", catalog.url],
            capture_output=True, text=True, timeout=60, env=environment, cwd=desk, check=False,
        )  # fmt: skip
        assert done.returncode == status, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    return run


@pytest.fixture(scope="module")
def tray(flash):
    """What became of the ten cards, by meter."""
    done = flash("--batch", "tray.csv", "--json", status=1)
    return {result["device"]: result for result in json.loads(done.stdout)["results"]}


def provision(folder, root, *words, status=0, **environment):
    """Start a meter; return the status that it leaves, and what it said."""
    done = subprocess.run(
        [sys.executable, "-m", "agent", "provision", "--card", folder, "--root", root, *words],
        capture_output=True, text=True, timeout=60, env={**os.environ, **environment}, check=False,
    )  # fmt: skip
    assert done.returncode == status, done.stderr
    return json.loads((root / "run/tresma/provisioning.json").read_bytes()), done.stderr


def test_of_ten_cards_with_a_bad_one_nine_are_done_and_none_is_half_written(tray, desk, catalog):
    assert {meter: tray[meter]["outcome"] for meter in METERS} == {
        meter: "refused" if meter == BAD else "done" for meter in METERS
    }
    assert tray[BAD]["reason"] == "expected room for 15.7 MB, found a file of 1.0 MB"
    assert (desk / f"{BAD}.img").read_bytes() == bytes(2**20)
    tokens = set()
    for meter in METERS:
        if meter != BAD:
            card = read_card(read_file(desk / f"{meter}.img", "tresma/card.yaml"))
            assert boots(desk / f"{meter}.img")
            assert (card.device, card.catalog) == (meter, catalog.url)
            assert (desk / f"labels/{meter}.png").stat().st_size > 1000
            tokens.add(card.token)
    assert len(tokens) == 9


@pytest.mark.usefixtures("tray")
def test_a_tray_goes_on_where_it_ended(flash, desk):
    (desk / f"{BAD}.img").unlink()
    before = (desk / "m-0009.img").stat().st_mtime_ns
    assert flash("--batch", "tray.csv", "--no-label").stdout.count("done before") == 9
    assert boots(desk / f"{BAD}.img")
    assert (desk / "m-0009.img").stat().st_mtime_ns == before


def test_a_meter_that_the_catalog_does_not_know_gets_no_card(flash, desk):
    done = flash("card.img", "--device", "m-000", status=1)
    assert "the catalog knows no m-000; did you mean m-00" in done.stderr
    assert not (desk / "card.img").exists()


@pytest.mark.usefixtures("tray")
def test_a_card_becomes_an_enrolled_meter_and_its_copy_does_not(desk, catalog, tmp_path):
    first, copy = (mounted(desk / "m-0001.img", tmp_path / name) for name in ("first", "copy"))
    secret = Token.read(read_card((first / "card.yaml").read_bytes()).token).secret
    root = tmp_path / "meter"

    now, said = provision(first, root)
    assert (now["state"], now["step"], now["problem"], now["host"]) == ("done", "enrolled", "", "tresma-m-0001")
    assert secret not in said
    assert [file.name for file in first.iterdir()] == ["README.txt"]
    config = read_config(root / "etc/tresma/agent.yaml", {})
    assert Identity(config.state_dir).facts().device == "m-0001"
    everything = b"".join(file.read_bytes() for file in root.rglob("*") if file.is_file())
    assert secret.encode() not in everything, "a token that was used is kept nowhere"

    now, said = provision(copy, tmp_path / "other", "--once", status=1)
    assert (now["state"], now["step"]) == ("failed", "token")
    assert now["problem"].startswith("this card's token was used before")
    assert "another meter may have this one's identity" in now["remedy"]
    assert now["remedy"] in said
    assert not (tmp_path / "other/etc/tresma/agent.yaml").exists()

    (copy / "card.yaml").write_bytes(write(Card("m-0001", catalog.url, invite(catalog, "m-0001").text())))
    now, _ = provision(copy, tmp_path / "other")
    assert now["state"] == "done", "put right, it goes on"


def test_a_clock_in_1970_is_said_and_once_it_is_set_the_meter_is_let_in(catalog, tmp_path):
    folder, root = tmp_path / "tresma", tmp_path / "meter"
    folder.mkdir()
    (folder / "card.yaml").write_bytes(write(Card("m-1970", catalog.url, invite(catalog, "m-1970").text())))
    (library,) = Path("/usr/lib").glob("*/faketime/libfaketime.so.1")
    now, _ = provision(folder, root, "--once", status=1, LD_PRELOAD=str(library), FAKETIME="@1970-01-02 00:00:00")
    assert (now["state"], now["step"]) == ("waiting", "clock")
    assert now["problem"] == "the clock says 1970-01-02: no time server has answered yet"
    now, _ = provision(folder, root, "--once")
    assert now["state"] == "done"
