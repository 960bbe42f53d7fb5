"""Packing an image, and what the catalog lets in of it."""

import hashlib
import lzma

import pytest

from device_catalog.contract.images import PIECE, About, ImageError, read_manifest
from device_catalog.packages.errors import RepositoryError
from device_catalog.packages.image_packing import check_payload, manifest_text, pack_image
from device_catalog.packages.image_storing import PART, receive_manifest, receive_part, received
from device_catalog.packages.repository import Repository
from tests.support.images import KIND, NAME, content_of, image_of, served_names
from tests.support.trust import NOW, Dso


def test_the_pieces_of_a_payload_are_the_image(tmp_path):
    """Any xz reads a payload: the truth here is the standard library's own reader of several streams."""
    manifest, _, payload = image_of(tmp_path)
    assert lzma.decompress(payload.read_bytes()) == content_of("1.1.0")
    assert manifest.sha256 == hashlib.sha256(content_of("1.1.0")).hexdigest()
    assert manifest.payload_length == payload.stat().st_size


def test_the_same_image_gives_the_same_payload(tmp_path):
    assert image_of(tmp_path / "a")[1] == image_of(tmp_path / "b")[1]


def test_an_image_of_many_pieces_is_packed_in_order(tmp_path):
    content = b"".join(bytes([number]) * PIECE for number in range(5)) + b"the end"
    (tmp_path / "root").write_bytes(content)
    manifest = pack_image(tmp_path / "root", About(NAME, "1.0.0", 1, KIND), tmp_path / "payload", preset=0)
    assert len(manifest.pieces) == 6
    assert lzma.decompress((tmp_path / "payload").read_bytes()) == content
    with (tmp_path / "payload").open("rb") as payload:
        assert not check_payload(manifest, payload)


@pytest.mark.parametrize(
    ("field", "value"),
    [("name", "../etc"), ("version", "1"), ("release", 0), ("length", 0), ("sha256", "no"), ("pieces", [])],
)
def test_a_manifest_with_a_wrong_field_is_refused_with_its_name(tmp_path, field, value):
    import msgspec

    document = msgspec.json.decode(image_of(tmp_path)[1])
    with pytest.raises(ImageError, match=f"manifest.{field}"):
        read_manifest(msgspec.json.encode({**document, field: value}))


def test_a_payload_comes_in_parts_and_goes_on_where_it_was_cut_off(tmp_path):
    manifest, data, payload = image_of(tmp_path)
    content, catalog = payload.read_bytes(), tmp_path / "catalog"
    signed, name = served_names(manifest, data)
    assert receive_part(catalog, NAME, name, 0, content[:1000]) == 1000
    assert receive_part(catalog, NAME, name, 0, content[:2000]) == 1000  # said again: the rest is asked for
    assert receive_part(catalog, NAME, name, 1000, content[1000:]) == len(content)
    receive_manifest(catalog, NAME, signed, data)
    assert received(catalog, NAME, name) == len(content)
    assert (catalog / "targets" / "images" / NAME / name).read_bytes() == content


def test_a_payload_that_is_another_is_thrown_away_with_a_sentence(tmp_path):
    manifest, data, payload = image_of(tmp_path)
    signed, name = served_names(manifest, data)
    content = bytearray(payload.read_bytes())
    content[-1] ^= 1
    receive_part(tmp_path / "catalog", NAME, name, 0, bytes(content))
    with pytest.raises(ImageError, match="other bytes"):
        receive_manifest(tmp_path / "catalog", NAME, signed, data)
    assert not list((tmp_path / "catalog").rglob(f"*{PART}"))
    with pytest.raises(ImageError, match="send it first"):
        receive_manifest(tmp_path / "catalog", NAME, signed, data)


def test_a_repository_takes_images_whose_release_goes_up(tmp_path):
    dso = Dso(tmp_path / "trust")
    _, data, payload = image_of(tmp_path, "1.1.0", 2)
    dso.at(NOW).add_image(data, payload)
    dso.confirm()
    _, older, its_payload = image_of(tmp_path, "1.2.0", 2)
    with pytest.raises(RepositoryError, match="expected a release above 2"):
        Repository(dso.folder, NOW).add_image(older, its_payload)
    its_payload.write_bytes(b"something else")
    _, newer, _ = image_of(tmp_path / "other", "1.3.0", 3)
    with pytest.raises(RepositoryError, match="pack it again"):
        Repository(dso.folder, NOW).add_image(newer, its_payload)


def test_a_manifest_is_the_same_after_it_was_read(tmp_path):
    manifest, data, _ = image_of(tmp_path)
    assert manifest_text(read_manifest(data)) == data == manifest_text(manifest)
