"""The label on a box is read by a phone: an independent decoder says what its code says."""

import zxingcpp
from PIL import Image as Picture

from device_catalog.contract.card import Card, Page
from device_catalog.operator.flashing import label


def decoded(path):
    with Picture.open(path) as picture:
        return [found.text for found in zxingcpp.read_barcodes(picture.convert("L"))]


def test_the_code_leads_to_the_meters_page_in_the_catalog_and_tells_nothing_secret(tmp_path):
    card = Card(
        "m-0042",
        "https://catalog.example.org",
        "m-0042.secret",
        label="Hauptstraße 7, Schrank 3",
        page=Page("48151623"),
    )
    picture, page = label.write(card, tmp_path / "labels")
    assert decoded(picture) == ["https://catalog.example.org/fleet/m-0042"]
    assert page.read_bytes().startswith(b"%PDF-")
    with Picture.open(picture) as drawn:
        assert drawn.size == (826, 425)
        assert drawn.info["dpi"][0] > 299


def test_the_longest_names_fit_and_are_read(tmp_path):
    card = Card(
        "M" * 64, "https://" + "catalog." * 8 + "example.org:8443/tresma", label="W" * 100, page=Page("123456789012")
    )
    picture, _ = label.write(card, tmp_path)
    assert decoded(picture) == [f"{card.catalog}/fleet/{card.device}"]
    with Picture.open(picture) as drawn:
        margins = drawn.convert("L").crop((drawn.width - 8, 0, drawn.width, drawn.height))
        assert margins.getextrema() == (255, 255), "words reach over the edge"


def test_a_script_that_the_font_lacks_leaves_the_rest(tmp_path):
    picture, _ = label.write(Card("m-1", "https://c.example.org", label="主街七號"), tmp_path)
    assert decoded(picture) == ["https://c.example.org/fleet/m-1"]
