"""
What an image of a root slot is, and what is signed of it: addresses, limits, the manifest, what can be wrong with one.

A meter with two root slots runs from one and writes the next image into the other. The *manifest* is a target of the
signed repository, so it bears the signatures of enough keys of targets; it names the image's bytes piece by piece, so
that what was downloaded is judged before it is unpacked, and what was unpacked before it is believed. The *payload* is
those pieces one after the other, each an xz stream of its own; nobody needs to sign it again. Pure.
"""

import re

import msgspec

from algorithms.api.errors import Problem, ProblemsError, shortened
from device_catalog.contract.rules import IDENTIFIER, Problems
from device_catalog.contract.topics import is_identifier
from device_catalog.contract.update_rules import is_version

IMAGE_FILE = "/v1/trust/targets/images/{image}/{file}"
"""A manifest or a payload, under the name of its own digest."""

PIECE = 4 * 1024 * 1024
"""Bytes of the image in one piece, the last one apart [bytes]."""
MAXIMUM_IMAGE = 4 * 1024**3
"""Longest image [bytes]."""
MAXIMUM_PAYLOAD = 1024**3
"""Longest payload [bytes]."""
MAXIMUM_MANIFEST = 256 * 1024
"""Longest manifest [bytes]."""
MAXIMUM_PART = 8 * 1024 * 1024
"""Most of a payload that is brought to the catalog at once [bytes]."""
FORMAT = 1
"""Stands where an algorithm's target states its API version."""
DICTIONARY = 4 * 1024 * 1024
"""Of each piece's xz stream; what a meter needs to unpack one is little more [bytes]."""

_sha256 = re.compile(r"[0-9a-f]{64}")
_name = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")


class ImageError(ProblemsError):
    """A manifest is refused whole, with every problem found in it."""


class About(msgspec.Struct, frozen=True, tag_field="schema", tag="about/1"):
    """
    What stands inside an image: which one it is.

    Attributes
    ----------
    name, version : str
    release : int
        Counts upwards with every release.
    compatible : str
        The kind of machine it is for; an image is taken only where its manifest names this word.
    """

    name: str
    version: str
    release: int
    compatible: str


class Piece(msgspec.Struct, frozen=True, array_like=True):
    """One piece as it is in the payload: its length [bytes], and its SHA-256 in hexadecimal."""

    length: int
    sha256: str


class ImageManifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="schema", tag="image/1"):
    """
    What is signed of an image.

    Attributes
    ----------
    name, version : str
    release : int
    compatible : tuple of str
        Kinds of machine it is for.
    length : int
        Of the image [bytes].
    sha256 : str
        Of the image, in hexadecimal.
    piece : int
        Bytes of the image in each piece, the last one apart [bytes].
    payload : str
        SHA-256 of the payload, in hexadecimal.
    pieces : tuple of Piece
    """

    name: str
    version: str
    release: int
    compatible: tuple[str, ...]
    length: int
    sha256: str
    piece: int
    payload: str
    pieces: tuple[Piece, ...]

    @property
    def payload_length(self) -> int:
        """Of all pieces together [bytes]."""
        return sum(piece.length for piece in self.pieces)


def read_manifest(data: bytes) -> ImageManifest:
    """
    Read a manifest.

    Raises
    ------
    ImageError
        With every problem found.

    Examples
    --------
    >>> read_manifest(b'{"schema": "image/1"}')
    Traceback (most recent call last):
        ...
    device_catalog.contract.images.ImageError: manifest: expected what `tresma image pack` writes, found Object \
missing required field `name`
    """
    if len(data) > MAXIMUM_MANIFEST:
        raise ImageError([Problem("manifest", f"at most {MAXIMUM_MANIFEST} bytes", f"{len(data)} bytes")])
    try:
        manifest = msgspec.json.decode(data, type=ImageManifest)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        found = shortened(str(error), 200)
        raise ImageError([Problem("manifest", "what `tresma image pack` writes", found)]) from error
    problems = _problems_of(manifest)
    if problems:
        raise ImageError(problems)
    return manifest


def problems_of_about(about: About, where: str = "about") -> list[Problem]:
    """Find everything wrong with what an image says of itself."""
    problems = Problems()
    _named(problems, about, where)
    problems.expect(is_identifier(about.compatible), f"{where}.compatible", IDENTIFIER, about.compatible)
    return problems.found


def image_path(name: str, version: str) -> str:
    """
    Say where a manifest stands among the targets.

    >>> image_path("tresma-rpi", "1.2.0")
    'images/tresma-rpi/tresma-rpi-1.2.0.json'
    """
    return f"images/{name}/{name}-{version}.json"


def payload_path(manifest: ImageManifest) -> str:
    """Say where a payload stands among the targets: under the name of its own digest."""
    return f"images/{manifest.name}/{manifest.payload}.{manifest.name}-{manifest.version}.image"


def _problems_of(manifest: ImageManifest) -> list[Problem]:
    problems = Problems()
    _named(problems, manifest, "manifest")
    problems.expect(bool(manifest.compatible), "manifest.compatible", "at least one kind of machine", "none")
    for index, word in enumerate(manifest.compatible[:100]):
        problems.expect(is_identifier(word), f"manifest.compatible[{index}]", IDENTIFIER, word)
    within = 1 <= manifest.length <= MAXIMUM_IMAGE
    problems.expect(within, "manifest.length", f"1 to {MAXIMUM_IMAGE} [bytes]", manifest.length)
    problems.expect(1 <= manifest.piece <= PIECE, "manifest.piece", f"1 to {PIECE} [bytes]", manifest.piece)
    for field in ("sha256", "payload"):
        value = getattr(manifest, field)
        right = bool(_sha256.fullmatch(value))
        problems.expect(right, f"manifest.{field}", "64 hexadecimal digits in small letters", value)
    count = -(-manifest.length // max(1, manifest.piece))
    problems.expect(len(manifest.pieces) == count, "manifest.pieces", f"{count} pieces", len(manifest.pieces))
    most = manifest.piece + manifest.piece // 8 + 4096
    for index, piece in enumerate(manifest.pieces):
        right = 1 <= piece.length <= most and bool(_sha256.fullmatch(piece.sha256))
        if not problems.expect(right, f"manifest.pieces[{index}]", f"1 to {most} [bytes] and a SHA-256", piece.length):
            break
    whole = manifest.payload_length
    problems.expect(whole <= MAXIMUM_PAYLOAD, "manifest.pieces", f"at most {MAXIMUM_PAYLOAD} [bytes] together", whole)
    return problems.found


def _named(problems: Problems, one: About | ImageManifest, where: str) -> None:
    expected = "a letter, then letters, digits, _ and - (at most 64)"
    problems.expect(bool(_name.fullmatch(one.name)), f"{where}.name", expected, one.name)
    problems.expect(is_version(one.version), f"{where}.version", "a version such as 1.4.2", one.version)
    problems.expect(1 <= one.release < 2**53, f"{where}.release", "1 or more", one.release)
