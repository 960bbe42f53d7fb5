"""
One archive: a compressed tar with a manifest in front, which names every file with its length and SHA-256.

Where it stands: under `command`, and it knows nothing of a catalog. Rules: the file appears whole, under its name, or
not at all, and only its owner may read it. What is read is believed for its digest; names that would lead out of the
folder, files that nobody announced, links and devices are refused, and nothing is larger than was announced.
"""

import gzip
import hashlib
import os
import tarfile
import zlib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, NoReturn

import msgspec

from algorithms.api.errors import Problem, shortened
from device_catalog.config import ConfigError
from device_catalog.errors import StorageError

FORMAT = "tresma-catalog-backup/1"
MANIFEST = "manifest.json"

MAXIMUM_MANIFEST = 64 * 2**20
"""A manifest is no larger [bytes]: about 300,000 recordings."""

_CHUNK = 2**20


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file: its length [bytes] and its SHA-256 in hexadecimal."""

    size: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    What is in an archive.

    Attributes
    ----------
    format : str
    made : datetime
        When the copy of the database was begun.
    tresma : str
        Version of the program that made it.
    database : str
        ``sqlite`` or ``postgresql``.
    shape : str
        Of the database.
    files : dict of str to Entry
    """

    format: str
    made: datetime
    tresma: str
    database: str
    shape: str
    files: dict[str, Entry]


def files_in(folder: Path) -> Iterator[tuple[str, Path]]:
    """Give the ordinary files below a folder, each with its name from there."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield path.relative_to(folder).as_posix(), path


def entry_of(path: Path) -> Entry:
    """Measure a file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return Entry(file.tell(), digest)


def write_archive(target: Path, manifest: Manifest, folder: Path) -> None:
    """
    Write an archive of a folder.

    Parameters
    ----------
    target : Path
        A new file.
    manifest : Manifest
    folder : Path
        Holds the files that `manifest` names, and nobody changes them.

    Raises
    ------
    OSError
    """
    temporary = target.with_name(target.name + ".new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            # A recording does not become smaller, and the rest is quick to compress.
            with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=3, filename="", mtime=0) as packed:
                _write(packed, manifest, folder)
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, target)  # unlike a rename, it never replaces what appeared meanwhile
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(target.parent)


def _write(packed: gzip.GzipFile, manifest: Manifest, folder: Path) -> None:
    listing = folder / MANIFEST
    listing.write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=1))
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in (MANIFEST, *manifest.files):
            path = folder / name
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.mtime = path.stat().st_size, 0o600, int(manifest.made.timestamp())
            with path.open("rb") as content:
                tar.addfile(info, content)


def unpack_archive(source: Path, folder: Path) -> Manifest:
    """
    Put the files of an archive into a folder, durably, and make sure that they are what was announced.

    Parameters
    ----------
    source : Path
    folder : Path
        An empty one.

    Raises
    ------
    ConfigError
        When the archive is damaged, or is none.
    StorageError
        When there is no room for it.
    """
    try:
        with source.open("rb") as file:
            return _unpack(file, source, folder)
    except FileNotFoundError as error:
        raise ConfigError([Problem(str(source), "an archive", "no such file")]) from error
    except (tarfile.TarError, zlib.error, EOFError, gzip.BadGzipFile, UnicodeDecodeError) as error:
        _refuse(source, f"one that is damaged or cut off ({shortened(str(error), 80)})", error)


def _unpack(file: BinaryIO, source: Path, folder: Path) -> Manifest:
    with gzip.GzipFile(fileobj=file, mode="rb") as packed, tarfile.open(fileobj=packed, mode="r|") as tar:
        first = tar.next()
        if first is None or first.name != MANIFEST or not first.isreg() or first.size > MAXIMUM_MANIFEST:
            _refuse(source, "something else")
        manifest = _read_manifest(source, _content(tar, first).read())
        needed = sum(entry.size for entry in manifest.files.values())
        room = os.statvfs(folder)
        if needed > room.f_bavail * room.f_frsize:
            raise StorageError(f"expected {needed} bytes of room in {folder}, found {room.f_bavail * room.f_frsize}")
        missing = dict(manifest.files)
        while (member := tar.next()) is not None:
            entry = missing.pop(member.name, None)
            if entry is None or not member.isreg() or member.size != entry.size:
                _refuse(source, f"{shortened(member.name, 80)}, which was not announced like this")
            if _copy(_content(tar, member), folder / member.name) != entry.sha256:
                _refuse(source, f"{member.name} with another content")
        if missing:
            _refuse(source, f"{len(missing)} files missing, such as {min(missing)}")
        while packed.read(_CHUNK):  # as far as the checksum of all of it
            pass
        return manifest


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> BinaryIO:
    content = tar.extractfile(member)
    if content is None:
        raise tarfile.ReadError("no file")
    return content  # type: ignore[return-value]


def _read_manifest(source: Path, content: bytes) -> Manifest:
    try:
        manifest = msgspec.json.decode(content, type=Manifest)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        _refuse(source, "a manifest that cannot be read", error)
    if manifest.format != FORMAT:
        _refuse(source, f"the format {shortened(manifest.format, 60)}; a newer tresma may have made it")
    for name, entry in manifest.files.items():
        if not _is_inside(name) or entry.size < 0:
            _refuse(source, f"a file named {shortened(name, 80)}")
    return manifest


def _is_inside(name: str) -> bool:
    parts = name.split("/")
    return not any(part in ("", ".", "..") or "\0" in part for part in parts) and name != MANIFEST


def _copy(content: BinaryIO, path: Path) -> str:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    digest = hashlib.sha256()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        while chunk := content.read(_CHUNK):
            digest.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


def _refuse(source: Path, found: str, reason: BaseException | None = None) -> NoReturn:
    remedy = "take another copy; nothing was changed"
    raise ConfigError([Problem(str(source), "a whole archive of `tresma-catalog backup`", found, remedy)]) from reason


def sync_folder(folder: Path) -> None:
    """Make names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
