"""A small image of a root slot, packed in many pieces, and what it says of itself."""

import hashlib
import random
from pathlib import Path

import msgspec

from device_catalog.contract.images import About, ImageManifest, payload_path
from device_catalog.packages.image_packing import manifest_text, pack_image

NAME, KIND = "tresma-test", "tresma-test-board"
PIECE = 8192


def content_of(version: str, release: int = 2, length: int = 50_000, *, name: str = NAME, kind: str = KIND) -> bytes:
    """Make the bytes of an image: a line that says which it is, some that compress, and some that do not."""
    about = msgspec.json.encode(About(name, version, release, kind)) + b"\n"
    content = about + (b"root of " + version.encode()) * 1000
    return content + random.Random(version).randbytes(length - len(content))


def image_of(
    folder: Path, version: str = "1.1.0", release: int = 2, *, name: str = NAME, kind: str = KIND
) -> tuple[ImageManifest, bytes, Path]:
    """Pack an image; give the manifest, its bytes, and the payload."""
    folder.mkdir(parents=True, exist_ok=True)
    source, payload = folder / f"{version}.root", folder / f"{name}-{version}.image"
    source.write_bytes(content_of(version, release, name=name, kind=kind))
    manifest = pack_image(source, About(name, version, release, kind), payload, piece=PIECE)
    data = manifest_text(manifest)
    payload.with_suffix(".json").write_bytes(data)
    return manifest, data, payload


def served_names(manifest: ImageManifest, data: bytes) -> tuple[str, str]:
    """Name the files of a manifest and of its payload, as they are served."""
    signed = f"{hashlib.sha256(data).hexdigest()}.{manifest.name}-{manifest.version}.json"
    return signed, payload_path(manifest).rpartition("/")[2]
