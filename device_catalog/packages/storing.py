"""
Packages and policies that operators push: judged, and stored under the name of their own digest.

Nobody is told of one before its digest stands in a signed document (`reception`), so one more is no danger.
"""

import hashlib
from pathlib import Path

from algorithms.api.errors import Problem, shortened
from device_catalog.contract.packages import PackageError, read_package
from device_catalog.contract.policy_rules import PolicyError, parse_policy
from device_catalog.packages.files import write_whole


def receive_package(folder: Path, algorithm: str, file_name: str, data: bytes) -> None:
    """
    Store a package under ``SHA256.NAME``.

    Raises
    ------
    PackageError
        With everything that is wrong with it.
    """
    digest, _, name = file_name.partition(".")
    package = read_package(name, data)
    if package.sha256 != digest:
        raise PackageError([Problem("name", f"its SHA-256, {package.sha256}", shortened(digest))])
    if package.manifest.info.name != algorithm:
        raise PackageError([Problem("path", f"the folder of {package.manifest.info.name}", shortened(algorithm))])
    place = folder / "targets" / "algorithms" / algorithm
    place.mkdir(parents=True, exist_ok=True)
    write_whole(place / file_name, data)


def receive_policy(folder: Path, file_name: str, data: bytes) -> None:
    """
    Store a policy under ``SHA256.policy.json``.

    Raises
    ------
    PolicyError
        With everything that is wrong with it.
    """
    parse_policy(data)
    digest = hashlib.sha256(data).hexdigest()
    if file_name != f"{digest}.policy.json":
        raise PolicyError([Problem("name", f"{digest}.policy.json", shortened(file_name))])
    place = folder / "targets" / "policy"
    place.mkdir(parents=True, exist_ok=True)
    write_whole(place / file_name, data)
