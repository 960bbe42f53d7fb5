"""Many cards side by side: each has its own end, and what stops one stops no other."""

import subprocess
from pathlib import Path

import pytest

from device_catalog.contract.card import Card, Page
from device_catalog.contract.card_files import read_card, write
from device_catalog.contract.enrolment import Token, digest
from device_catalog.operator.__main__ import main
from device_catalog.operator.errors import CatalogAway, OperatorError
from device_catalog.operator.flashing.cards import DONE, REFUSED, WOULD, Cards, Orders, rounds
from device_catalog.operator.flashing.image import Image
from device_catalog.operator.flashing.progress import Reporter
from device_catalog.operator.flashing.tray import Line, Memory
from tests.support.card_image import FIRMWARE, boots, make_image, read_file


def token(device):
    return Token(device, "s" * 43, digest(b"authorities"), "").text()


class Catalog:
    """Gives tokens, and counts how often it was asked."""

    def __init__(self, error=None):
        self.asked, self.error = [], error

    def __call__(self, device):
        self.asked.append(device)
        if self.error is not None:
            raise self.error
        return Card(device, "https://catalog.example.org", token(device))


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    with Image(make_image(tmp_path_factory.mktemp("images") / "meter.img")) as one:
        yield one


@pytest.fixture
def written(image):
    """Write cards for meters into files of a folder; give the results by meter."""

    def run(*lines, catalog=None, orders=None, memory=None, jobs=4):
        cards = Cards(image, orders or Orders(), catalog or Catalog(), Reporter(is_terminal=False), memory)
        return {result.device: result for result in cards.side_by_side(lines, jobs)}

    return run


def line(folder, device, **more):
    return Line(2, device, str(folder / f"{device}.img"), **more)


def test_each_card_is_for_its_own_meter_and_a_bad_one_costs_no_token(image, written, tmp_path):
    (tmp_path / "m-2.img").write_bytes(b"something of somebody's")
    catalog, memory = Catalog(), Memory(tmp_path / "done")
    results = written(*(line(tmp_path, f"m-{n}") for n in range(4)), catalog=catalog, memory=memory)
    assert {device: one.outcome for device, one in results.items()} == {
        "m-0": DONE, "m-1": DONE, "m-2": REFUSED, "m-3": DONE,
    }  # fmt: skip
    assert sorted(catalog.asked) == ["m-0", "m-1", "m-3"]
    for device in catalog.asked:
        assert read_card(read_file(tmp_path / f"{device}.img", "tresma/card.yaml")).device == device
        assert memory.done(device, image.digest)
    assert "something in it" in results["m-2"].reason


def test_a_catalog_that_is_away_is_asked_once_for_all_and_no_empty_file_stays(written, tmp_path):
    catalog = Catalog(CatalogAway("the catalog cannot be reached"))
    results = written(*(line(tmp_path, f"m-{n}") for n in range(5)), catalog=catalog, jobs=1)
    assert {one.outcome for one in results.values()} == {REFUSED}
    assert len(catalog.asked) == 1
    assert list(tmp_path.iterdir()) == []


def test_one_refusal_of_the_catalogs_stops_no_other_card(written, tmp_path):
    catalog = Catalog()

    def picky(device):
        if device == "m-1":
            raise OperatorError("the catalog knows no m-1")
        return catalog(device)

    results = written(*(line(tmp_path, f"m-{n}") for n in range(3)), catalog=picky)
    assert [results[f"m-{n}"].outcome for n in range(3)] == [DONE, REFUSED, DONE]


def test_a_card_that_was_written_before_is_taken_with_the_place_of_the_list(written, tmp_path):
    (tmp_path / "card.yaml").write_bytes(write(Card("m-7", "https://c.example.org", token("m-7"), label="Old Street")))
    given = line(tmp_path, "m-7", card=str(tmp_path / "card.yaml"), place="New Street", pin="12345678")
    catalog = Catalog()
    assert written(given, catalog=catalog)["m-7"].outcome == DONE
    card = read_card(read_file(tmp_path / "m-7.img", "tresma/card.yaml"))
    assert (card.label, card.page.pin) == ("New Street", "12345678")
    assert catalog.asked == []
    wrong = line(tmp_path, "m-8", card=str(tmp_path / "card.yaml"))
    assert "expected a card for m-8, found one for m-7" in written(wrong)["m-8"].reason


def test_a_dry_run_judges_what_would_be_on_a_card_and_asks_nobody(written, tmp_path):
    (tmp_path / "bad.yaml").write_text("schema: network/1\nlte: {apn: 'a b'}\n")
    catalog, orders = Catalog(), Orders(dry_run=True)
    good, bad = line(tmp_path, "m-1"), line(tmp_path, "m-2", network=str(tmp_path / "bad.yaml"))
    results = written(good, bad, catalog=catalog, orders=orders)
    assert (results["m-1"].outcome, results["m-2"].outcome) == (WOULD, REFUSED)
    assert "network.yaml: lte.apn" in results["m-2"].reason
    assert catalog.asked == []
    assert not (tmp_path / "m-1.img").exists()


def test_a_label_that_cannot_be_written_does_not_undo_a_card(written, tmp_path):
    (tmp_path / "labels").write_text("in the way")
    result = written(line(tmp_path, "m-1"), orders=Orders(labels=tmp_path / "labels"))["m-1"]
    assert result.outcome == DONE
    assert "the label of m-1 cannot be written" in result.reason
    assert boots(tmp_path / "m-1.img")


def test_cards_for_one_reader_follow_each_other(tmp_path):
    (tmp_path / "link.img").symlink_to("a.img")
    (tmp_path / "a.img").write_bytes(b"")
    lines = [Line(n, f"m-{n}", str(tmp_path / name)) for n, name in enumerate(["a.img", "b.img", "link.img", "a.img"])]
    assert [[one.device for one in batch] for batch in rounds(lines)] == [["m-0", "m-1"], ["m-2"], ["m-3"]]


def test_an_interrupted_tray_leaves_no_card_that_boots_half_written(image, tmp_path):
    cards = Cards(image, Orders(), Catalog(), Reporter(is_terminal=False))
    cards.stop.set()
    (result,) = cards.side_by_side([line(tmp_path, "m-1")], 1)
    assert (result.outcome, result.reason) == (REFUSED, "interrupted before its turn")
    assert not (tmp_path / "m-1.img").exists() or not boots(tmp_path / "m-1.img")


def test_a_tray_that_goes_on_leaves_the_card_alone_that_is_still_in_the_reader(written, tmp_path):
    memory, orders, catalog = Memory(tmp_path / "tray.csv.done"), Orders(overwrite=True), Catalog()
    reader = tmp_path / "reader.img"
    first, second = (Line(2, device, str(reader)) for device in ("m-1", "m-2"))
    assert written(first, memory=memory, catalog=catalog, orders=orders)["m-1"].outcome == DONE
    before = reader.read_bytes()
    refused = written(second, memory=Memory(memory.path), catalog=catalog, orders=orders)["m-2"]
    assert refused.outcome == REFUSED
    assert "expected the next card in" in refused.reason
    assert "found the one that was written for m-1 (20" in refused.reason
    assert (catalog.asked, reader.read_bytes()) == (["m-1"], before)
    again = written(first, memory=Memory(memory.path), catalog=catalog, orders=orders)["m-1"]
    assert again.outcome == DONE  # for the same meter it may be written again
    # Another card was put in; and the one of before has been in its meter, which took the files off it.
    reader.unlink()
    assert written(second, memory=memory, catalog=catalog, orders=orders)["m-2"].outcome == DONE
    subprocess.run(["mdel", "-i", f"{reader}@@{FIRMWARE}", "::tresma/card.yaml"], check=True, capture_output=True)
    third = Line(4, "m-3", str(reader))
    assert written(third, memory=memory, catalog=catalog, orders=orders)["m-3"].outcome == DONE


@pytest.mark.parametrize(
    ("wrong", "orders", "said"),
    [
        ({"pin": "12"}, {}, "card.yaml: page.pin: expected 6 to 12 digits"),
        ({"tenant": "a b"}, {}, "card.yaml: tenant"),
        ({"place": "x" * 101}, {}, "card.yaml: label"),
        ({}, {"interfaces": ("no such thing",)}, "card.yaml: page.interfaces[0]: expected an interface such as eth0"),
        ({}, {"catalog": "ftp://catalog.example.org"}, "card.yaml: catalog: expected an address"),
        ({}, {"authorities": "ca.pem"}, "catalog-ca.pem: expected certificates"),
    ],
)
@pytest.mark.parametrize("dry_run", [True, False])
def test_what_is_wrong_with_a_card_costs_no_token_and_is_found_by_a_dry_run(
    written, tmp_path, *, wrong, orders, said, dry_run
):
    (tmp_path / "ca.pem").write_text("no certificate")
    files = {"authorities": tmp_path / "ca.pem"} if "authorities" in orders else {}
    catalog, given = Catalog(), Orders(dry_run=dry_run, **{**orders, **files})
    result = written(line(tmp_path, "m-1", **wrong), catalog=catalog, orders=given)["m-1"]
    assert (result.outcome, catalog.asked) == (REFUSED, [])
    assert said in result.reason
    assert not (tmp_path / "m-1.img").exists()


def test_where_the_page_answers_is_said_for_all_cards_or_by_each(written, tmp_path):
    (tmp_path / "card.yaml").write_bytes(
        write(Card("m-7", "https://c.example.org", token("m-7"), page=Page(interfaces=("eth0",))))
    )
    given = line(tmp_path, "m-7", card=str(tmp_path / "card.yaml"))

    def interfaces(orders, one):
        written(one, orders=orders)
        return read_card(read_file(Path(one.target), "tresma/card.yaml")).page.interfaces

    assert interfaces(Orders(overwrite=True), given) == ("eth0",)
    assert interfaces(Orders(overwrite=True, interfaces=("eth1", "ap0")), given) == ("eth1", "ap0")
    assert interfaces(Orders(interfaces=("eth1",)), line(tmp_path, "m-8")) == ("eth1",)


def test_a_card_that_sends_a_meter_to_itself_is_told(written, tmp_path):
    (tmp_path / "card.yaml").write_bytes(write(Card("m-7", "http://127.0.0.1:8080", token("m-7"))))
    given = line(tmp_path, "m-7", card=str(tmp_path / "card.yaml"))
    for orders, outcome in ((Orders(dry_run=True), WOULD), (Orders(), DONE)):
        result = written(given, orders=orders)["m-7"]
        assert result.outcome == outcome
        assert "http://127.0.0.1:8080, which is the meter itself" in result.reason


def test_an_operators_own_address_of_the_catalog_does_not_get_onto_cards(image, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("TRESMA_OPERATOR_FILE", str(tmp_path / "none.yaml"))
    words = ["flash", str(image.path), str(tmp_path / "m-1.img"), "--catalog", "http://localhost:8080", "--dry-run"]
    assert main([*words, "--device", "m-1"]) == 2
    said = capsys.readouterr().err
    assert "found http://localhost:8080, which would be each meter itself; say --card-catalog" in said
    assert main([*words, "--device", "m-1", "--card-catalog", "https://catalog.example.org"]) == 0
