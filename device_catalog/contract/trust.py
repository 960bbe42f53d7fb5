"""
What the DSO's signed repository and a meter agree on: addresses, paths of targets, what is signed beside them, limits.

The repository is TUF's (The Update Framework, version 1.0.31 of its specification): root and targets signed by people
with keys of their own, snapshot and timestamp online. The catalog only serves the files; nothing here needs TUF.
"""

from typing import Any

import msgspec

from device_catalog.contract.packages import Package

METADATA = "/v1/trust/metadata"
TARGETS = "/v1/trust/targets"
METADATA_FILE = "/v1/trust/metadata/{file}"
TARGET_FILE = "/v1/trust/targets/algorithms/{algorithm}/{file}"
POLICY_FILE = "/v1/trust/targets/policy/{file}"
"""The DSO's policy (`device_catalog.contract.policy`), under the name of its own digest."""

MAXIMUM_ROOT = 512_000
MAXIMUM_TIMESTAMP = 16_384
MAXIMUM_SNAPSHOT = 1_000_000
MAXIMUM_TARGETS = 4_000_000
"""Longest documents of each role that a meter reads [bytes]."""
MAXIMUM_PUSH = 16 * 1024 * 1024
"""Longest set of documents that the catalog takes at once [bytes]."""
MAXIMUM_ROTATIONS = 64
"""So many new roots are followed at once."""
MAXIMUM_DELEGATIONS = 16

TARGETS_ROLE = "targets"
"""The role of the DSO's own people; every other one that signs packages is a publisher's."""
ISSUED = "x-tresma-issued"
"""Beside every role's fields: when it was signed, RFC 3339; a meter without a clock learns the time from it."""


class Push(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Signed documents as texts, by file name."""

    documents: dict[str, str]


class Pushed(msgspec.Struct, frozen=True):
    """The answer to a push: the documents that were new."""

    stored: tuple[str, ...]


class TargetFacts(msgspec.Struct, frozen=True):
    """
    What is signed beside a target's length and hash.

    Attributes
    ----------
    name, version : str
    release : int
    api_version : int
    """

    name: str
    version: str
    release: int
    api_version: int


def facts_of(package: Package) -> TargetFacts:
    """Take from a package what is signed beside it."""
    info = package.manifest.info
    return TargetFacts(info.name, info.version, package.manifest.release, info.api_version)


def read_facts(custom: Any) -> TargetFacts | None:
    """Read what stands beside a target; None where it is not that."""
    try:
        return msgspec.convert(custom, TargetFacts)
    except msgspec.ValidationError:
        return None


def target_path(name: str, file_name: str) -> str:
    """
    Say where a package stands among the targets.

    >>> target_path("voltage-dips", "voltage_dips-1.0.0-py3-none-any.whl")
    'algorithms/voltage-dips/voltage_dips-1.0.0-py3-none-any.whl'
    """
    return f"algorithms/{name}/{file_name}"
