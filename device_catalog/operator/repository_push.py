"""
``tresma repository push``: what was published on this machine, to the catalog that serves it.

Packages go first, then all documents at once; the catalog verifies them before it stores any. What it has already is
not sent again, so a push that was cut off is simply repeated.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import requests

from device_catalog.contract.images import IMAGE_FILE, MAXIMUM_PART, payload_path, read_manifest
from device_catalog.contract.paths import OFFSET_HEADER
from device_catalog.contract.recordings import Received
from device_catalog.contract.trust import METADATA, POLICY_FILE, TARGET_FILE, Push, Pushed
from device_catalog.operator.catalog import TIMEOUT, Catalog, read
from device_catalog.operator.errors import CatalogAway, OperatorError, UsageError
from device_catalog.operator.output import note, say, say_json
from device_catalog.operator.settings import KEYS, read_settings
from device_catalog.rollouts.releases import read_releases


class TrustCatalog(Catalog):
    """The part of the catalog that is about the signed repository."""

    def has(self, path: str) -> bool:
        """Tell whether a file is served."""
        try:
            with self._session.get(self.base + path, timeout=TIMEOUT, stream=True, allow_redirects=False) as response:
                return bool(response.status_code == requests.codes.ok)
        except requests.RequestException as error:
            raise CatalogAway(f"the catalog at {self.base} cannot be reached: {error}") from error

    def bring(self, path: str, content: bytes) -> None:
        """Bring a package or a policy."""
        try:
            with self._session.put(
                self.base + path, data=content, timeout=TIMEOUT, allow_redirects=False, stream=True
            ) as response:
                answer = response.raw.read(65536)
        except requests.RequestException as error:
            raise CatalogAway(f"the catalog at {self.base} cannot be reached: {error}") from error
        if response.status_code != requests.codes.no_content:
            raise self._refused(response.status_code, answer, "")

    def bring_part(self, path: str, offset: int, content: bytes) -> int:
        """Bring a part of a payload; return how much of it is there [bytes]."""
        headers = {OFFSET_HEADER: str(offset)}
        try:
            with self._session.patch(
                self.base + path, data=content, headers=headers, timeout=TIMEOUT, allow_redirects=False, stream=True
            ) as response:
                answer = response.raw.read(65536)
        except requests.RequestException as error:
            raise CatalogAway(f"the catalog at {self.base} cannot be reached: {error}") from error
        if response.status_code != requests.codes.ok:
            raise self._refused(response.status_code, answer, "")
        return read(answer, Received).received

    def bring_documents(self, documents: dict[str, str]) -> Pushed:
        """Bring documents, all or none."""
        return read(self._exchange("PUT", METADATA, body=Push(documents))[0], Pushed)


def push(options: argparse.Namespace) -> None:
    """Push a repository's folder."""
    folder: Path = options.folder
    documents = _documents(folder / "metadata")
    brought: list[str] = []
    with TrustCatalog(read_settings({name: getattr(options, name, None) for name in KEYS})) as catalog:
        for path in sorted((folder / "targets").glob("policy/*.policy.json")):
            where = POLICY_FILE.format(file=path.name)
            if not catalog.has(where):
                catalog.bring(where, path.read_bytes())
        for path in sorted((folder / "targets").glob("algorithms/*/*.whl")):
            where = TARGET_FILE.format(algorithm=path.parent.name, file=path.name)
            if not catalog.has(where):
                catalog.bring(where, path.read_bytes())
                brought.append(path.name.partition(".")[0])
        for path in sorted((folder / "targets").glob("images/*/*.json")):
            where = IMAGE_FILE.format(image=path.parent.name, file=path.name)
            if not catalog.has(where):
                _bring_image(catalog, path, where, quiet=options.json)
                brought.append(path.name.partition(".")[0])
        pushed = catalog.bring_documents(documents)
    new = [release for release in read_releases(folder).packages if release.package.sha256 in brought]
    commands = [f"tresma rollout start {release.algorithm}=={release.version} --to GROUP" for release in new]
    if options.json:
        say_json({"packages": len(brought), "documents": pushed.stored, "next": commands})
        return
    stored = ", ".join(pushed.stored) or "none"
    say(f"{len(brought)} packages and {len(pushed.stored)} documents are new there: {stored}")
    if commands:
        say("no meter runs what is new yet; bring it to some, stage by stage:")
    for command in commands:
        say(f"  {command}")


def _bring_image(catalog: TrustCatalog, path: Path, where: str, *, quiet: bool) -> None:
    """Bring a payload part by part, from where an earlier push ended, and then its manifest."""
    data = path.read_bytes()
    manifest = read_manifest(data)
    payload = path.with_name(payload_path(manifest).rpartition("/")[2])
    there = IMAGE_FILE.format(image=manifest.name, file=payload.name)
    try:
        with payload.open("rb") as file:
            here = catalog.bring_part(there, 0, b"")
            while here < manifest.payload_length:
                file.seek(here)
                before, here = here, catalog.bring_part(there, here, file.read(MAXIMUM_PART))
                if not quiet:
                    note(f"{manifest.name} {manifest.version}: {here / manifest.payload_length:.0%}")
                if here <= before:
                    raise OperatorError(f"expected the catalog to take more of {payload.name}, found that it does not")
    except OSError as error:
        raise OperatorError(f"{payload}: expected a payload that can be read, found: {error.strerror}") from error
    catalog.bring(where, data)


def _documents(folder: Path) -> dict[str, str]:
    """Read every root, and the newest of everything else."""
    newest: dict[str, tuple[int, Path]] = {}
    chosen = []
    for path in folder.glob("*.json"):
        version, _, role = path.name.partition(".")
        if role == "root.json" or not version.isdigit():
            chosen.append(path)
        elif int(version) > newest.get(role, (0, path))[0]:
            newest[role] = int(version), path
    chosen += [path for _, path in newest.values()]
    if not (folder / "timestamp.json").exists():
        raise UsageError(
            f"{folder.parent}: expected a repository that was published, found none; `publish` comes first"
        )
    try:
        return dict(_texts(chosen))
    except (OSError, UnicodeDecodeError) as error:
        raise OperatorError(f"{folder}: expected documents that can be read, found: {error}") from error


def _texts(paths: list[Path]) -> Iterator[tuple[str, str]]:
    for path in paths:
        yield path.name, path.read_bytes().decode()
