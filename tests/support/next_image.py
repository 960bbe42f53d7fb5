"""One image of a root slot after the other, each another release of the first: what is the same is packed once."""

import hashlib
import subprocess
from pathlib import Path

import msgspec

from device_catalog.contract.images import PIECE, About, ImageManifest, Piece
from device_catalog.packages.image_packing import manifest_text, pack_image, pack_piece

ABOUT = "/usr/lib/tresma/image.json"


class Images:
    """
    Releases of one image.

    Parameters
    ----------
    root : Path
        The first one, as it was built.
    folder : Path
        For what is made.

    Attributes
    ----------
    about : About
        Of the newest one.
    digests : dict
        Length and SHA-256 of every image by its version.
    """

    def __init__(self, root: Path, folder: Path) -> None:
        self._root, self._folder = root, folder
        said = subprocess.run(["debugfs", "-R", f"cat {ABOUT}", root], capture_output=True, check=True).stdout
        self.about = msgspec.json.decode(said, type=About)
        self._payload = folder / "first.image"
        self._first = pack_image(root, self.about, self._payload, preset=0)
        self.digests = {self.about.version: (self._first.length, self._first.sha256)}

    def next(self) -> tuple[ImageManifest, bytes, Path]:
        """Make the next release; give its manifest, the manifest's bytes, and its payload."""
        first, _, patch = self.about.version.rpartition(".")
        self.about = msgspec.structs.replace(
            self.about, version=f"{first}.{int(patch) + 1}", release=self.about.release + 1
        )
        root, about = self._folder / "next.ext4", self._folder / "image.json"
        subprocess.run(["cp", "--sparse=always", self._root, root], check=True)
        about.write_bytes(msgspec.json.encode(self.about))
        about.chmod(0o644)
        for order in (f"rm {ABOUT}", f"write {about} {ABOUT}"):
            subprocess.run(["debugfs", "-w", "-R", order, root], capture_output=True, check=True)
        payload = self._folder / f"{self.about.name}-{self.about.version}.image"
        manifest = self._packed(root, payload)
        self.digests[self.about.version] = manifest.length, manifest.sha256
        return manifest, manifest_text(manifest), payload

    def _packed(self, root: Path, payload: Path) -> ImageManifest:
        whole, packed, pieces = hashlib.sha256(), hashlib.sha256(), []
        with (
            root.open("rb") as new,
            self._root.open("rb") as old,
            self._payload.open("rb") as known,
            payload.open("wb") as target,
        ):
            for before in self._first.pieces:
                content, was = new.read(PIECE), old.read(PIECE)
                compressed = known.read(before.length)
                piece = before
                if content != was:
                    compressed = pack_piece(content, 0)
                    piece = Piece(len(compressed), hashlib.sha256(compressed).hexdigest())
                whole.update(content)
                packed.update(compressed)
                target.write(compressed)
                pieces.append(piece)
        about = self.about
        return ImageManifest(
            about.name,
            about.version,
            about.release,
            (about.compatible,),
            self._first.length,
            whole.hexdigest(),
            PIECE,
            packed.hexdigest(),
            tuple(pieces),
        )
