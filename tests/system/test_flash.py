"""``tresma flash`` against a real catalog: a tray of cards with a bad one among them, tokens, what goes on later."""

import json
import os
import subprocess
import sys

import pytest
import zstandard

from device_catalog.contract.card_files import read_card
from device_catalog.contract.enrolment import Token
from tests.support.card_image import boots, make_image, read_file
from tests.support.catalog import CatalogProcess
from tests.support.enrolment import enrol, new_key

pytestmark = pytest.mark.slow

METERS = [f"m-{number:04}" for number in range(10)]
BAD = "m-0006"


@pytest.fixture(scope="module")
def catalog():
    with CatalogProcess() as running:
        for meter in METERS:
            running.register(meter)
        yield running


@pytest.fixture
def flash(catalog, tmp_path):
    """Run the command in a folder of its own, as an operator of the catalog."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("TRESMA_")}
    environment = plain | {"TRESMA_CATALOG": catalog.url, "TRESMA_TOKEN": catalog.token, "TMPDIR": str(tmp_path)}
    environment |= {"TRESMA_OPERATOR_FILE": str(tmp_path / "none.yaml")}
    image = make_image(tmp_path / "meter.img")
    packed = tmp_path / "meter.img.zst"
    packed.write_bytes(zstandard.ZstdCompressor(level=1).compress(image.read_bytes()))

    def run(*words, status=0):
        done = subprocess.run(
            [sys.executable, "-m", "device_catalog.operator", "flash", str(packed), *words],
            capture_output=True, text=True, timeout=60, env=environment, cwd=tmp_path, check=False,
        )  # fmt: skip
        assert done.returncode == status, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    return run


def test_of_ten_cards_with_a_bad_one_nine_are_done_and_the_rest_is_done_later(flash, catalog, tmp_path):
    lines = [f"{meter},{meter}.img,Main Street {number}" for number, meter in enumerate(METERS)]
    (tmp_path / "tray.csv").write_text("\n".join(["device,target,place", *lines]))
    with (tmp_path / f"{BAD}.img").open("wb") as small:
        small.truncate(2**20)

    done = flash("--batch", "tray.csv", "--json", status=1)
    assert done.stdout, done.stderr
    answer = json.loads(done.stdout)
    outcomes = {result["device"]: result["outcome"] for result in answer["results"]}
    assert outcomes == {meter: "refused" if meter == BAD else "done" for meter in METERS}
    (reason,) = [result["reason"] for result in answer["results"] if result["reason"]]
    assert reason == "expected room for 15.7 MB, found a file of 1.0 MB"
    assert (tmp_path / f"{BAD}.img").read_bytes() == bytes(2**20)
    tokens = set()
    for meter in METERS:
        if meter != BAD:
            card = read_card(read_file(tmp_path / f"{meter}.img", "tresma/card.yaml"))
            assert boots(tmp_path / f"{meter}.img")
            assert (card.device, card.catalog) == (meter, catalog.url)
            assert (tmp_path / f"labels/{meter}.png").stat().st_size > 1000
            tokens.add(card.token)
    assert len(tokens) == 9
    assert enrol(catalog, Token.read(min(tokens)), new_key()).status_code == 201

    (tmp_path / f"{BAD}.img").unlink()
    before = (tmp_path / "m-0000.img").stat().st_mtime_ns
    done = flash("--batch", "tray.csv", "--no-label")
    assert done.stdout.count("done before") == 9
    assert boots(tmp_path / f"{BAD}.img")
    assert (tmp_path / "m-0000.img").stat().st_mtime_ns == before


def test_a_meter_that_the_catalog_does_not_know_gets_no_card(flash, tmp_path):
    done = flash("card.img", "--device", "m-000", status=1)
    assert "the catalog knows no m-000; did you mean m-00" in done.stderr
    assert not (tmp_path / "card.img").exists()


def test_a_label_that_cannot_be_written_does_not_undo_a_card(flash, tmp_path):
    (tmp_path / "labels").write_text("in the way")
    done = flash("card.img", "--device", "m-0002")
    assert "is written and read back" in done.stdout
    assert "the label of m-0002 cannot be written" in done.stderr
    assert boots(tmp_path / "card.img")


def test_a_dry_run_writes_nothing_and_asks_for_no_token(flash, catalog, tmp_path):
    earlier = len(catalog.operator("GET", "/v1/audit").json()["items"])
    assert "may be written; nothing was" in flash("card.img", "--device", "m-0001", "--dry-run").stdout
    assert not (tmp_path / "card.img").exists()
    assert len(catalog.operator("GET", "/v1/audit").json()["items"]) == earlier
