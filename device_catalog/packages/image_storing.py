"""
Images that operators push: a payload comes in parts, then its manifest, which says whether the payload is right.

Nobody is told of an image before its manifest's digest stands in a signed document (`reception`), so one more is no
danger, but it takes room: what was begun and not finished goes after a day, and only a few are under way at once.
"""

import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from algorithms.api.errors import Problem, shortened
from device_catalog.contract.images import MAXIMUM_PAYLOAD, ImageError, image_path, payload_path, read_manifest
from device_catalog.packages.files import write_whole
from device_catalog.packages.image_packing import check_payload

PART = ".part"
UNFINISHED_AGE = 86_400.0
"""Unfinished payloads go after this [s]."""
UNFINISHED = 4
"""Unfinished payloads at once."""


def received(folder: Path, image: str, file_name: str) -> int:
    """Say how much of a payload is here [bytes]."""
    place = _place(folder, image)
    for path in (place / file_name, place / f"{file_name}{PART}"):
        if path.exists():
            return path.stat().st_size
    return 0


def receive_part(folder: Path, image: str, file_name: str, offset: int, data: bytes) -> int:
    """
    Store a part of a payload; return how much is here [bytes].

    Parameters
    ----------
    folder : pathlib.Path
    image, file_name : str
    offset : int
        Where the part begins; nothing is stored where that is not where the rest ends.
    data : bytes

    Raises
    ------
    ImageError
        When it would become too long, or too many are under way.
    OSError
    """
    place = _place(folder, image)
    place.mkdir(parents=True, exist_ok=True)
    path = place / f"{file_name}{PART}"
    here = received(folder, image, file_name)
    if (place / file_name).exists() or offset != here:
        return here
    if here + len(data) > MAXIMUM_PAYLOAD:
        raise ImageError([Problem("payload", f"at most {MAXIMUM_PAYLOAD} bytes", f"{here + len(data)} bytes")])
    if not path.exists() and len(list(_unfinished(folder))) >= UNFINISHED:
        remedy = "finish one of them, or wait a day"
        raise ImageError([Problem("payload", f"at most {UNFINISHED} unfinished payloads", "more", remedy)])
    with path.open("ab") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return here + len(data)


def receive_manifest(folder: Path, image: str, file_name: str, data: bytes) -> None:
    """
    Store a manifest under ``SHA256.NAME-VERSION.json``, and let its payload in.

    Raises
    ------
    ImageError
        With everything that is wrong with either.
    """
    manifest = read_manifest(data)
    expected = f"{hashlib.sha256(data).hexdigest()}.{image_path(manifest.name, manifest.version).rpartition('/')[2]}"
    if (image, file_name) != (manifest.name, expected):
        raise ImageError([Problem("name", expected, shortened(file_name))])
    payload = folder / "targets" / payload_path(manifest)
    part = payload.with_name(f"{payload.name}{PART}")
    if not payload.exists():
        try:
            with part.open("rb") as file:
                problem = check_payload(manifest, file)
        except FileNotFoundError:
            problem = "expected the payload to be here, found none; send it first"
        if problem:
            part.unlink(missing_ok=True)
            raise ImageError([Problem("payload", *problem.removeprefix("expected ").split(", found ", 1))])
        part.replace(payload)
    write_whole(payload.with_name(file_name), data)


def _unfinished(folder: Path) -> Iterator[Path]:
    """Give what is under way; what nobody finished within a day goes."""
    for path in (folder / "targets" / "images").glob(f"*/*{PART}"):
        if time.time() - path.stat().st_mtime > UNFINISHED_AGE:
            path.unlink(missing_ok=True)
        else:
            yield path


def _place(folder: Path, image: str) -> Path:
    return folder / "targets" / "images" / image
