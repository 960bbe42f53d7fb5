"""Archives of a catalog: what is damaged, foreign or crafted is refused in one sentence, and leaves nothing outside."""

import gzip
import io
import stat
import tarfile
from datetime import UTC, datetime

import msgspec
import pytest

from device_catalog.backup.archive import (
    FORMAT,
    MANIFEST,
    Entry,
    Manifest,
    entry_of,
    files_in,
    unpack_archive,
    write_archive,
)
from device_catalog.config import ConfigError
from device_catalog.errors import StorageError


def manifest(files):
    return Manifest(FORMAT, datetime(2026, 11, 21, tzinfo=UTC), "0.1.0", "sqlite", "0008", files)


@pytest.fixture
def archive(tmp_path):
    folder = tmp_path / "parts"
    (folder / "authority").mkdir(parents=True)
    (folder / "authority" / "authority.pem").write_bytes(b"key" * 500)
    (folder / "catalog.db").write_bytes(bytes(range(256)) * 40)
    target = tmp_path / "copy.tar.gz"
    write_archive(target, manifest({name: entry_of(path) for name, path in files_in(folder)}), folder)
    return target


def crafted(path, listing, members):
    with tarfile.open(path, "w:gz") as tar:
        for name, content in [(MANIFEST, listing), *members]:
            info = tarfile.TarInfo(name)
            if content is None:
                info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
                tar.addfile(info)
            else:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return path


def empty(tmp_path):
    folder = tmp_path / "unpacked"
    folder.mkdir()
    return folder


def test_an_archive_gives_back_what_went_in_and_only_its_owner_may_read_it(archive, tmp_path):
    folder = empty(tmp_path)
    said = unpack_archive(archive, folder)
    assert set(said.files) == {"authority/authority.pem", "catalog.db"}
    assert (folder / "catalog.db").read_bytes() == bytes(range(256)) * 40
    assert stat.S_IMODE(archive.stat().st_mode) == 0o600
    assert stat.S_IMODE((folder / "authority" / "authority.pem").stat().st_mode) == 0o600


def test_a_file_that_is_there_is_not_replaced(archive, tmp_path):
    before = archive.read_bytes()
    with pytest.raises(FileExistsError):
        write_archive(archive, manifest({}), tmp_path / "parts")
    assert archive.read_bytes() == before
    assert not archive.with_name("copy.tar.gz.new").exists()


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_an_archive_that_was_cut_off_is_refused(archive, tmp_path, share):
    archive.write_bytes(archive.read_bytes()[: int(share * archive.stat().st_size)])
    with pytest.raises(ConfigError, match="whole archive"):
        unpack_archive(archive, empty(tmp_path))


def test_a_byte_that_changed_anywhere_is_found(archive, tmp_path):
    whole = archive.read_bytes()
    for position in range(12, len(whole), max(1, len(whole) // 40)):
        archive.write_bytes(whole[:position] + bytes([whole[position] ^ 0x10]) + whole[position + 1 :])
        folder = tmp_path / f"unpacked-{position}"
        folder.mkdir()
        with pytest.raises(ConfigError):
            unpack_archive(archive, folder)


@pytest.mark.parametrize("name", ["../outside", "/outside", "a/../../outside", "a//b", ".", MANIFEST])
def test_a_name_that_leads_elsewhere_is_refused(tmp_path, name):
    listing = msgspec.json.encode(manifest({name: Entry(1, "0" * 64)}))
    with pytest.raises(ConfigError, match="a file named"):
        unpack_archive(crafted(tmp_path / "a", listing, [(name, b"x")]), empty(tmp_path))
    assert not (tmp_path / "outside").exists()


@pytest.mark.parametrize(
    "members",
    [
        [("catalog.db", None)],
        [("catalog.db", b"xy")],
        [("other", b"x")],
        [("catalog.db", b"x")],
        [],
    ],
    ids=["a link", "a length", "a stranger", "a content", "missing"],
)
def test_what_was_not_announced_like_this_is_refused(tmp_path, members):
    listing = msgspec.json.encode(manifest({"catalog.db": Entry(1, "0" * 64)}))
    with pytest.raises(ConfigError):
        unpack_archive(crafted(tmp_path / "a", listing, members), empty(tmp_path))


@pytest.mark.parametrize(
    "listing",
    [b"", b"{", b"[" * 100_000, msgspec.json.encode({"format": "other/1"})],
    ids=["empty", "cut", "deep", "other"],
)
def test_a_manifest_that_cannot_be_read_is_refused(tmp_path, listing):
    with pytest.raises(ConfigError):
        unpack_archive(crafted(tmp_path / "a", listing, []), empty(tmp_path))


def test_an_archive_of_a_newer_program_says_so(tmp_path):
    newer = msgspec.structs.replace(manifest({}), format="tresma-catalog-backup/2")
    with pytest.raises(ConfigError, match="newer tresma"):
        unpack_archive(crafted(tmp_path / "a", msgspec.json.encode(newer), []), empty(tmp_path))


def test_what_is_no_archive_is_refused(tmp_path):
    (tmp_path / "text").write_text("hello")
    (tmp_path / "packed").write_bytes(gzip.compress(b"hello"))
    for name in ("text", "packed", "nothing"):
        with pytest.raises(ConfigError):
            unpack_archive(tmp_path / name, tmp_path)


def test_more_than_there_is_room_for_is_refused_before_anything_is_written(tmp_path):
    listing = msgspec.json.encode(manifest({"catalog.db": Entry(2**60, "0" * 64)}))
    folder = empty(tmp_path)
    with pytest.raises(StorageError, match="room"):
        unpack_archive(crafted(tmp_path / "a", listing, []), folder)
    assert not list(folder.iterdir())
