"""
From a root file system to what is signed and sent of it: a manifest, and a payload of pieces compressed one by one.

Where it stands: behind ``tresma image pack``; `repository` takes both, `image_storing` receives them on the catalog's
machine. Each piece is an xz stream of its own, so that several cores pack, a download goes on after a cut, and a meter
judges each before it unpacks it. The same image gives the same payload with the same library.
"""

import hashlib
import lzma
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from algorithms.api.errors import Problem, shortened
from device_catalog.contract.images import (
    DICTIONARY,
    MAXIMUM_IMAGE,
    PIECE,
    About,
    ImageError,
    ImageManifest,
    Piece,
    problems_of_about,
    read_manifest,
)

PRESET = 6
Tell = Callable[[float], None]


def read_about(path: Path) -> About:
    """
    Read which image it is, as it stands inside the image itself.

    Raises
    ------
    ImageError
    """
    remedy = "`make image` leaves it beside the image"
    try:
        about = msgspec.json.decode(path.read_bytes(), type=About)
    except OSError as error:
        raise ImageError([Problem(str(path), "a file", error.strerror or str(error), remedy)]) from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise ImageError([Problem(str(path), "what an image says of itself", shortened(str(error)), remedy)]) from error
    problems = problems_of_about(about, str(path))
    if problems:
        raise ImageError(problems)
    return about


def pack_image(
    image: Path,
    about: About,
    payload: Path,
    *,
    compatible: tuple[str, ...] = (),
    piece: int = PIECE,
    preset: int = PRESET,
    tell: Tell | None = None,
) -> ImageManifest:
    """
    Make a payload, and the manifest of it.

    Parameters
    ----------
    image : pathlib.Path
        The bytes of a root slot.
    about : About
    payload : pathlib.Path
        Written there; appears only when it is whole.
    compatible : tuple of str
        Kinds of machine; the one that `about` names by default.
    piece : int
        [bytes]
    preset : int
        Of xz: less is faster, and longer to download.
    tell : callable, optional
        Takes how far it is [1].

    Raises
    ------
    ImageError
        When it cannot be an image.
    OSError
    """
    length = image.stat().st_size
    if not 1 <= length <= MAXIMUM_IMAGE:
        raise ImageError([Problem(str(image), f"1 to {MAXIMUM_IMAGE} bytes", f"{length} bytes")])
    whole, packed = hashlib.sha256(), hashlib.sha256()
    pieces: list[Piece] = []
    unfinished = payload.with_name(f".{payload.name}.new")
    try:
        with image.open("rb") as source, unfinished.open("wb") as target:
            for number, content in enumerate(_packed(source, piece, whole, preset)):
                target.write(content)
                packed.update(content)
                pieces.append(Piece(len(content), hashlib.sha256(content).hexdigest()))
                if tell is not None:
                    tell(min(1.0, (number + 1) * piece / length))
            target.flush()
            os.fsync(target.fileno())
        unfinished.replace(payload)
    finally:
        unfinished.unlink(missing_ok=True)
    manifest = ImageManifest(
        about.name,
        about.version,
        about.release,
        compatible or (about.compatible,),
        length,
        whole.hexdigest(),
        piece,
        packed.hexdigest(),
        tuple(pieces),
    )
    return read_manifest(manifest_text(manifest))


def pack_piece(content: bytes, preset: int = PRESET) -> bytes:
    """Compress one piece."""
    filters = [{"id": lzma.FILTER_LZMA2, "preset": preset, "dict_size": DICTIONARY}]
    return lzma.compress(content, format=lzma.FORMAT_XZ, check=lzma.CHECK_CRC32, filters=filters)


def manifest_text(manifest: ImageManifest) -> bytes:
    """Write a manifest as it is signed."""
    return msgspec.json.encode(manifest) + b"\n"


def check_payload(manifest: ImageManifest, payload: BinaryIO) -> str:
    """Say what keeps a file from being a manifest's payload; empty where it is."""
    for number, piece in enumerate(manifest.pieces):
        data = payload.read(piece.length)
        if len(data) != piece.length or hashlib.sha256(data).hexdigest() != piece.sha256:
            return f"expected piece {number} of {len(manifest.pieces)} as the manifest names it, found other bytes"
    return "expected no more than the manifest names, found more bytes" if payload.read(1) else ""


def _packed(source: BinaryIO, piece: int, whole: Any, preset: int) -> Iterator[bytes]:
    """Compress on every core, a few pieces ahead, in order."""

    def parts() -> Iterator[bytes]:
        while content := source.read(piece):
            whole.update(content)
            yield content

    def pack(content: bytes) -> bytes:
        return pack_piece(content, preset)

    cores = os.cpu_count() or 1
    with ThreadPoolExecutor(cores) as pool:
        waiting = iter(parts())
        ahead = [pool.submit(pack, content) for content in islice(waiting, 2 * cores)]
        while ahead:
            yield ahead.pop(0).result()
            ahead += [pool.submit(pack, content) for content in islice(waiting, 1)]
