"""
Which versions the signed repository holds, as the catalog serves it.

The documents were verified when they came (`device_catalog.packages.reception`); here they are only read. What a
rollout takes from them (release, length, hash) a meter compares with what it verifies itself.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from algorithms.api.errors import Problem, shortened
from device_catalog.contract.documents import PackageReference
from device_catalog.contract.packages import PURE
from device_catalog.contract.trust import MAXIMUM_TARGETS, read_facts

_tag = re.compile(r"-([a-z0-9_.]+-[a-z0-9_.]+-[a-z0-9_.]+)\.whl$")


IMAGE = "image"
"""Stands in the place of a tag where what is signed is an image of root slots."""


class Release(NamedTuple):
    """A package that is signed, or the manifest of an image."""

    algorithm: str
    version: str
    tag: str
    package: PackageReference


class Releases(NamedTuple):
    """What is signed, and until when meters believe that it is the newest; None where there is no repository."""

    packages: tuple[Release, ...]
    expires: datetime | None

    def find(self, algorithm: str, version: str, now: datetime) -> tuple[PackageReference | None, list[Problem]]:
        """
        Find the package of a version.

        Parameters
        ----------
        algorithm, version : str
        now : datetime

        Returns
        -------
        package : PackageReference or None
        problems : list of Problem
        """
        if self.expires is None:
            remedy = "bring one: tresma repository push FOLDER"
            return None, [Problem("rollout.algorithm", "one of the signed repository", "no repository here", remedy)]
        problems = []
        if self.expires <= now:
            expected = f"a repository that counts, found one that expired at {self.expires:%Y-%m-%d %H:%M} UTC"
            expected, _, found = expected.partition(", found ")
            remedy = "publish and push it again, meters take nothing new from it"
            problems.append(Problem("repository", expected, found, remedy))
        versions = [release for release in self.packages if release.algorithm == algorithm]
        fitting = [release for release in versions if release.version == version]
        if not versions:
            names = ", ".join(sorted({release.algorithm for release in self.packages})) or "none yet"
            expected = f"a signed algorithm ({shortened(names, 400)})"
            problems.append(Problem("rollout.algorithm", expected, algorithm, "sign it and push it first"))
        elif not fitting:
            names = ", ".join(release.version for release in sorted(versions, key=lambda one: one.package.release))
            expected = f"a signed version of {algorithm} ({shortened(names, 400)})"
            problems.append(Problem("rollout.version", expected, version, "sign it and push it first"))
        chosen = [release for release in fitting if release.tag == PURE] or fitting
        if len(chosen) > 1:
            tags = ", ".join(release.tag for release in chosen)
            problems.append(Problem("rollout.version", "one package for all devices", f"{len(chosen)}: {tags}"))
        return (chosen[0].package if chosen else None), problems

    def is_image(self, name: str) -> bool:
        """Tell whether a name is that of an image."""
        return any(release.tag == IMAGE for release in self.packages if release.algorithm == name)


def read_releases(folder: Path) -> Releases:
    """
    Read what is served.

    Parameters
    ----------
    folder : pathlib.Path
        With ``metadata``.
    """
    metadata = folder / "metadata"
    timestamp = _signed(metadata / "timestamp.json")
    if timestamp is None:
        return Releases((), None)
    snapshot = _signed(metadata / f"{_version(timestamp, 'snapshot.json')}.snapshot.json") or {}
    targets = _signed(metadata / f"{_version(snapshot, 'targets.json')}.targets.json") or {}
    roles = [targets]
    for role in (targets.get("delegations") or {}).get("roles", ()):
        name = f"{role['name']}.json"
        if name in snapshot.get("meta", {}):
            roles.append(_signed(metadata / f"{_version(snapshot, name)}.{name}") or {})
    expiries = [datetime.fromisoformat(document["expires"]) for document in (timestamp, snapshot, targets) if document]
    found = {release: None for role in roles for release in _releases(role)}
    return Releases(tuple(found), min(moment.astimezone(UTC) for moment in expiries))


def _releases(role: dict[str, Any]) -> Iterator[Release]:
    for path, target in role.get("targets", {}).items():
        facts, tag = read_facts(target.get("custom")), _tag.search(path)
        kind = IMAGE if path.startswith("images/") else tag[1] if tag is not None else ""
        if facts is not None and kind:
            package = PackageReference(facts.release, target["length"], target["hashes"]["sha256"])
            yield Release(facts.name, facts.version, kind, package)


def _version(document: dict[str, Any], name: str) -> int:
    return int(document.get("meta", {}).get(name, {}).get("version", 0))


def _signed(path: Path) -> dict[str, Any] | None:
    try:
        with path.open("rb") as file:
            return dict(msgspec.json.decode(file.read(MAXIMUM_TARGETS + 1))["signed"])
    except FileNotFoundError:
        return None
