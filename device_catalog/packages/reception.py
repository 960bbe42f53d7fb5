"""
What the catalog lets into the repository that it serves: only what every meter would believe.

Where it stands: behind the REST interface, for operators who push. Packages come first, each under the name of its own
digest, and are served to nobody who was not told of them. Documents come together; they are verified as a meter
verifies them, with TUF's own client, from the root that is served now, and only then stored: the timestamp last, so
that a cut leaves the repository as it was. The very first root is believed because an operator brings it, which is no
weakness: meters have their own.
"""

import contextlib
import fcntl
import inspect
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from tuf.api import exceptions
from tuf.api.metadata import Metadata, Snapshot, Targets
from tuf.ngclient import FetcherInterface, Updater, UpdaterConfig

from algorithms.api.errors import shortened
from device_catalog.contract import trust
from device_catalog.packages.errors import RepositoryError
from device_catalog.packages.files import write_whole

_document = re.compile(r"(?:[1-9][0-9]{0,9}\.[A-Za-z0-9_-]{1,64}|root|timestamp)\.json")
_base = "repository:///"


def receive_documents(folder: Path, documents: Mapping[str, bytes]) -> list[str]:
    """
    Verify documents with those that are served, and store what is new.

    Parameters
    ----------
    folder : pathlib.Path
    documents : mapping
        Content by file name.

    Returns
    -------
    list of str
        What was stored.

    Raises
    ------
    RepositoryError
        In one sentence; nothing is stored then.
    """
    wrong = next((name for name in documents if not _document.fullmatch(name)), None)
    if wrong is not None:
        raise RepositoryError(f"expected documents such as 2.targets.json, found {shortened(wrong)}")
    with _alone(folder):
        return _receive(folder, documents)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other processes, of other catalogs that share the folder, from receiving at the same time."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f".{folder.name}.lock").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _receive(folder: Path, documents: Mapping[str, bytes]) -> list[str]:
    served = folder / "metadata"
    try:
        _verify(folder, documents)
    except (exceptions.RepositoryError, exceptions.DownloadError, ValueError, KeyError, TypeError) as error:
        found = shortened(str(error), 300)
        raise RepositoryError(f"expected documents that every meter would believe, found: {found}") from error
    served.mkdir(parents=True, exist_ok=True)
    order = sorted(documents, key=lambda name: (name == "timestamp.json", name == "root.json", name))
    stored = []
    for name in order:
        path = served / name
        if not path.exists() or path.read_bytes() != documents[name]:
            write_whole(path, documents[name])
            stored.append(name)
    return stored


def _verify(folder: Path, documents: Mapping[str, bytes]) -> None:
    served = folder / "metadata"
    for name, content in documents.items():
        known = served / name
        if name[0].isdigit() and known.exists() and known.read_bytes() != content:
            raise ValueError(f"{name} is served already, with another content")
    with tempfile.TemporaryDirectory() as temporary:
        believed = Path(temporary)
        newest = served / "root.json"
        first = newest.read_bytes() if newest.exists() else documents["1.root.json"]
        (believed / "root.json").write_bytes(first)
        if newest.exists() and (served / "timestamp.json").exists():
            (believed / "timestamp.json").write_bytes((served / "timestamp.json").read_bytes())
        fetcher = _Offered(served, documents)
        options: dict[str, Any] = {"fetcher": fetcher, "config": _limits()}
        if "bootstrap" in inspect.signature(Updater).parameters:  # from 6.0 on
            options["bootstrap"] = first
        Updater(temporary, _base, **options).refresh()
        if (believed / "root.json").read_bytes() != documents.get("root.json", first):
            raise ValueError("root.json is not the newest root")
        for role in _roles(believed, fetcher):
            _verify_targets(folder, role)


def _roles(believed: Path, fetcher: "_Offered") -> Iterator[Targets]:
    """Give the targets, and those of every publisher as its keys signed them."""
    snapshot = cast("Snapshot", Metadata.from_file(str(believed / "snapshot.json")).signed)
    targets = cast("Targets", Metadata.from_file(str(believed / "targets.json")).signed)
    yield targets
    for publisher in (targets.delegations.roles or {}) if targets.delegations else {}:
        meta = snapshot.meta.get(f"{publisher}.json")
        if meta is None:
            continue  # let in, and nothing published yet
        data = fetcher.download_bytes(f"{_base}{meta.version}.{publisher}.json", trust.MAXIMUM_TARGETS)
        meta.verify_length_and_hashes(data)
        document = Metadata.from_bytes(data)
        targets.verify_delegate(publisher, document.signed_bytes, document.signatures)
        yield cast("Targets", document.signed)


def _verify_targets(folder: Path, role: Targets) -> None:
    for path, target in role.targets.items():
        parent, _, name = path.rpartition("/")
        place = folder / "targets" / parent / f"{target.hashes['sha256']}.{name}"
        if not place.is_file() or place.stat().st_size != target.length:
            raise ValueError(f"{path} is signed, and its package is not here; send it first")


def _limits() -> UpdaterConfig:
    return UpdaterConfig(
        max_root_rotations=trust.MAXIMUM_ROTATIONS,
        root_max_length=trust.MAXIMUM_ROOT,
        timestamp_max_length=trust.MAXIMUM_TIMESTAMP,
        snapshot_max_length=trust.MAXIMUM_SNAPSHOT,
        targets_max_length=trust.MAXIMUM_TARGETS,
    )


class _Offered(FetcherInterface):
    """Fetches from what is offered, then from what is served."""

    def __init__(self, served: Path, documents: Mapping[str, bytes]) -> None:
        self._served = served
        self._documents = documents

    def _fetch(self, url: str) -> Iterator[bytes]:
        name = url.removeprefix(_base)
        content = self._documents.get(name)
        path = self._served / name
        if content is None and _document.fullmatch(name) and path.is_file():
            content = path.read_bytes()
        if content is None:
            raise exceptions.DownloadHTTPError(f"{name} is neither offered nor served", 404)
        return iter([content])
