"""What is written to a card is what was published, unpacked once; where the card is told who it is, is found."""

import hashlib
import lzma
import os

import pytest
import zstandard
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from device_catalog.contract.card import Card, NetworkSettings, Page, WiFi
from device_catalog.contract.card_files import read_card, write
from device_catalog.contract.enrolment import Token, digest
from device_catalog.contract.signatures import key_id, signature_text
from device_catalog.operator.errors import OperatorError, UsageError
from device_catalog.operator.flashing.contents import Personal, contents, read_files
from device_catalog.operator.flashing.image import Image
from tests.support.card_image import FIRMWARE, FIRMWARE_SIZE, make_image, read_file

TOKEN = Token("m-0042", "s" * 43, digest(b"authorities"), "").text()
CARD = Card("m-0042", "https://catalog.example.org", TOKEN, label="Main Street 7", page=Page("48151623"))


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return make_image(tmp_path_factory.mktemp("images") / "meter.img")


@pytest.fixture(scope="module")
def packed(plain):
    """The same image as .zst in two streams, as .xz, and what was published of the first."""
    content = plain.read_bytes()
    middle = len(content) // 3
    zst, xz = plain.with_suffix(".img.zst"), plain.with_suffix(".img.xz")
    packer = zstandard.ZstdCompressor(level=1, write_checksum=True)
    zst.write_bytes(packer.compress(content[:middle]) + packer.compress(content[middle:]))
    xz.write_bytes(lzma.compress(content, preset=0))
    line = f"{hashlib.sha256(zst.read_bytes()).hexdigest()}  {zst.name}\n"
    zst.with_name(zst.name + ".sha256").write_text(line)
    return {"zst": zst, "xz": xz, "img": plain}


@pytest.mark.parametrize("kind", ["img", "zst", "xz"])
def test_an_image_is_the_same_however_it_is_packed(packed, plain, kind):
    with Image(packed[kind]) as image:
        content = plain.read_bytes()
        assert (image.size, image.digest) == (len(content), hashlib.sha256(content).hexdigest())
        assert image.firmware == (FIRMWARE, FIRMWARE_SIZE[16])
        assert image.published == (kind == "zst")
        assert b"".join(image.read(at, 2**22) for at in range(0, image.size, 2**22)) == content


def test_the_partition_is_found_by_its_label_in_a_gpt_too(tmp_path):
    with Image(make_image(tmp_path / "gpt.img", gpt=True, fat=32)) as image:
        assert image.firmware == (FIRMWARE, FIRMWARE_SIZE[32])


def test_an_image_of_something_else_is_refused_by_what_was_found(tmp_path):
    with pytest.raises(OperatorError, match="expected a FAT partition labelled FIRMWARE, found BOOT, none that is FAT"):
        Image(make_image(tmp_path / "other.img", label="BOOT"))
    (tmp_path / "text.img").write_bytes(b"hello" * 2**19)
    with pytest.raises(OperatorError, match="found no partition table"):
        Image(tmp_path / "text.img")
    with pytest.raises(UsageError, match="found: No such file"):
        Image(tmp_path / "none.img")


@pytest.mark.parametrize("kind", ["zst", "xz"])
def test_a_packed_image_that_is_cut_off_or_damaged_is_refused(packed, tmp_path, kind):
    content = packed[kind].read_bytes()
    cut, damaged = tmp_path / f"cut.img.{kind}", tmp_path / f"damaged.img.{kind}"
    cut.write_bytes(content[: len(content) // 2])
    damaged.write_bytes(content[:1000] + os.urandom(200) + content[1200:])
    with pytest.raises(OperatorError, match="cut off; download it again"):
        Image(cut)
    with pytest.raises(OperatorError, match=r"download it again|FIRMWARE"):
        Image(damaged)


def test_an_image_that_is_not_what_was_published_is_refused(packed, tmp_path):
    other = tmp_path / packed["zst"].name
    other.write_bytes(packed["zst"].read_bytes())
    beside = other.with_name(other.name + ".sha256")
    beside.write_text(f"{'0' * 64}  {other.name}\n")
    with pytest.raises(OperatorError, match=r"expected the SHA-256 that .* publishes \(0000.*download it again"):
        Image(other)
    beside.write_text("see our web site\n")
    with pytest.raises(OperatorError, match="as sha256sum writes it, found see our web site"):
        Image(other)


def test_an_image_is_believed_by_the_key_that_signed_what_was_published_of_it(packed):
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes_raw().hex()
    zst = packed["zst"]
    published = zst.with_name(zst.name + ".sha256").read_bytes()
    signature = zst.with_name(zst.name + ".sig")
    signature.write_text(signature_text([(key_id(public), key.sign(published))]))
    Image(zst, public).__exit__()
    with pytest.raises(OperatorError, match="found none that is right"):
        Image(zst, Ed25519PrivateKey.generate().public_key().public_bytes_raw().hex())
    signature.write_text(signature_text([(key_id(public), key.sign(published + b" "))]))
    with pytest.raises(OperatorError, match="found none that is right"):
        Image(zst, public)
    with pytest.raises(OperatorError, match="expected what the publisher signed"):
        Image(packed["xz"], public)
    with pytest.raises(UsageError, match="--key: expected an ed25519 key"):
        Image(zst, "12")


def test_each_card_has_a_partition_of_its_own_and_the_rest_of_the_image(plain, tmp_path):
    inside = contents(CARD, NetworkSettings(wifi=WiFi("Cabinet", "correct horse", "DE")))
    with Image(plain) as image, Personal(image, inside) as personal:
        written = b"".join(personal.read(at) for at in range(0, personal.size, 2**22))
        odd = b"".join(personal.read(at, 1_000_003) for at in range(0, personal.size, 1_000_003))
    assert written == odd
    content = plain.read_bytes()
    assert written[:FIRMWARE] == content[:FIRMWARE]
    assert written[FIRMWARE + FIRMWARE_SIZE[16] :] == content[FIRMWARE + FIRMWARE_SIZE[16] :]
    card = tmp_path / "card.img"
    card.write_bytes(written)
    assert read_card(read_file(card, "tresma/card.yaml")) == CARD
    assert b"correct horse" in read_file(card, "tresma/network.yaml")
    assert read_file(card, "config.txt") == b"arm_64bit=1\n"


def test_what_somebody_wrote_is_taken_with_what_stands_beside_it_and_all_that_is_wrong_is_said(tmp_path):
    path = tmp_path / "card.yaml"
    path.write_bytes(write(CARD))
    (tmp_path / "network.yaml").write_text("schema: network/1\nlte: {apn: web.example}\n")
    (tmp_path / "catalog-ca.pem").write_text("-----BEGIN CERTIFICATE-----\nMII=\n-----END CERTIFICATE-----\n")
    inside = read_files(path, None, None)
    assert set(inside.files) == {"card.yaml", "network.yaml", "catalog-ca.pem"}
    assert inside.card == CARD
    path.write_bytes(write(Card("m-0042", "https://catalog.example.org")))
    (tmp_path / "network.yaml").write_text("schema: network/1\nlte: {apn: 'web example'}\n")
    with pytest.raises(UsageError) as refused:
        read_files(path, None, None)
    assert [problem.where for problem in refused.value.problems] == ["card.yaml: token", "network.yaml: lte.apn"]


def test_a_card_without_a_pin_is_given_one_that_differs_from_the_next():
    first, second = (contents(Card("m-0042", "https://c.example.org", TOKEN)).card.page.pin for _ in range(2))
    assert first != second
    assert len(first) == 8
