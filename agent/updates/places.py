"""
Packages on the card: where one is that was put in place, how it is started, and which may go.

Where it stands: below `updates` and `trial`, above `agent.trust.staging`, which alone puts packages there. A folder
bears a version and the beginning of a package's SHA-256; what its manifest says was signed. Rules: what the journal
names stays, and one more of each algorithm; a folder is renamed before it is taken apart, so that none is ever found
half there.
"""

import contextlib
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from agent.errors import WorkerError
from agent.files import sync_folder
from agent.trust.staging import signer_of
from agent.updates.journal import Chosen
from algorithms.api.errors import ManifestError
from algorithms.api.manifest import Manifest, manifest_from_toml
from device_catalog.contract.documents import PackageReference
from device_catalog.contract.packages import MANIFEST_NAME

SPARE = 1
"""Packages kept of each algorithm besides those that the journal names."""

_gone = ".gone"


class Start(NamedTuple):
    """
    How an algorithm is started.

    Attributes
    ----------
    entry : str
        ``package.module:Class``, or its name.
    folder : str
        Where it is imported from; empty for what came with the agent.
    boxed : bool
        Whether it may run in bubblewrap only.
    """

    entry: str
    folder: str = ""
    boxed: bool = False


class Places:
    """
    The packages on a card.

    Parameters
    ----------
    folder : pathlib.Path
        ``algorithms`` in the agent's state.
    wants_box : callable
        Says of a signer whether its code runs in bubblewrap only.
    """

    def __init__(self, folder: Path, wants_box: Callable[[str], bool] = lambda _: False) -> None:
        self._folder = folder
        self._wants_box = wants_box

    def path(self, algorithm: str, version: str, package: PackageReference) -> Path:
        """Say where a package is, or would be."""
        return self._folder / algorithm / f"{version}-{package.sha256[:16]}"

    def has(self, algorithm: str, chosen: Chosen) -> bool:
        """Tell whether a version can be started from the card."""
        return chosen.package is None or self.path(algorithm, chosen.version, chosen.package).is_dir()

    def start(self, algorithm: str, version: str, package: PackageReference | None) -> Start:
        """
        Say how a version is started.

        Raises
        ------
        WorkerError
            When it is not on the card, or is another than its place says.
        """
        if package is None:
            return Start(algorithm)
        folder = self.path(algorithm, version, package)
        manifest = _manifest(folder)
        if manifest is None:
            raise WorkerError(f"expected {algorithm} {version} in {folder}, found no package there")
        found = manifest.info.name, manifest.info.version, manifest.release
        if found != (algorithm, version, package.release):
            expected = f"{algorithm} {version}, release {package.release}"
            raise WorkerError(f"expected {expected} in {folder}, found {found[0]} {found[1]}, release {found[2]}")
        return Start(manifest.entry, str(folder), self._wants_box(signer_of(folder)))

    def clear(self, named: Mapping[str, Iterable[Chosen]]) -> None:
        """Take away what nobody needs; what cannot be taken away now goes another time."""
        with contextlib.suppress(OSError):
            shutil.rmtree(self._folder / _gone, ignore_errors=True)
            for folder in self._folder.iterdir():
                if folder.is_dir() and not folder.name.startswith("."):
                    self._clear(folder, named.get(folder.name, ()))

    def _clear(self, folder: Path, named: Iterable[Chosen]) -> None:
        needed = {self.path(folder.name, one.version, one.package) for one in named if one.package is not None}
        others = [path for path in folder.iterdir() if path not in needed]
        others.sort(key=lambda path: path.stat().st_mtime, reverse=True)
        for path in others[SPARE:]:
            gone = self._folder / _gone
            gone.mkdir(exist_ok=True)
            path.rename(gone / path.name)
            sync_folder(folder)
            shutil.rmtree(gone, ignore_errors=True)


def _manifest(folder: Path) -> Manifest | None:
    for path in folder.glob(f"*.dist-info/{MANIFEST_NAME}"):
        try:
            return manifest_from_toml(path.read_bytes())
        except (OSError, ManifestError):
            return None
    return None
