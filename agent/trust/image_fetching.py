"""
Fetching the manifest of an image: judged as an algorithm is, and handed on with all that others need to judge it again.

Where it stands: `agent.updates` has it done by a short-lived process, and hands manifest and documents to the helper
that alone may write a slot (`agent.updates.slots`). The helper follows the same workflow with a root, floors and
documents of its own: whoever has taken over the agent writes nothing that enough of targets' keys did not sign.

Rules: only targets itself signs images, never a publisher. Nothing is unpacked or downloaded beside the manifest.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import requests

from agent.errors import TrustError
from agent.files import write_durably
from agent.trust.decisions import Reading
from agent.trust.exchange import METADATA
from agent.trust.fetching import FLOORS, Ask, Limits, alone, ask_process, verified
from algorithms.api.errors import shortened
from device_catalog.contract.images import FORMAT, ImageError, ImageManifest, image_path, read_manifest
from device_catalog.contract.trust import MAXIMUM_ROOT, MAXIMUM_ROTATIONS, TARGETS_ROLE
from device_catalog.contract.trust import METADATA as DOCUMENTS

ROOTS_TIMEOUT = 20.0
"""For each root between the first and the newest one [s]."""


class FetchedImage(NamedTuple):
    """
    A manifest that is signed.

    Attributes
    ----------
    manifest : ImageManifest
    data : bytes
        As it is signed.
    folder : pathlib.Path
        Of the documents that say so.
    """

    manifest: ImageManifest
    data: bytes
    folder: Path


def fetch_image(
    name: str,
    version: str,
    *,
    state: Path,
    root: bytes,
    repository: str,
    clock: Reading,
    least: int = 0,
    ca: str = "",
    limits: Limits | None = None,
    ask: Ask | None = None,
) -> FetchedImage:
    """
    Download and verify the manifest of one version of an image; see `agent.trust.fetching.fetch_algorithm`.

    Parameters
    ----------
    name, version : str
    state : pathlib.Path
        Of whoever judges; the documents that were believed last are kept in it.
    root : bytes
    repository : str
    clock : Reading
    least : int
        The lowest release that is taken.
    ca : str
    limits : Limits, optional
    ask : callable, optional

    Raises
    ------
    TrustError
        When it is not taken; what is kept stays as it was.
    """
    limits, path = limits or Limits(), image_path(name, version)
    try:
        (state / "trust" / METADATA).mkdir(parents=True, exist_ok=True, mode=0o700)
        with alone(state / "trust", limits.turn):
            answer, data = verified(
                (name, version),
                state,
                root,
                repository,
                clock=clock,
                ca=ca,
                limits=limits,
                ask=ask or ask_process,
                candidates=(path,),
                least=least,
            )
            if answer.signer != TARGETS_ROLE:
                raise TrustError(f"expected an image that targets itself signed, found one of {answer.signer}")
            manifest = _judged(data, answer.facts)
            write_durably(state / "trust" / FLOORS, msgspec.json.encode(answer.floors))
    except OSError as error:
        found = error.strerror or error
        raise TrustError(f"{state}: expected a folder that can be written, found: {found}", passing=True) from error
    return FetchedImage(manifest, data, state / "trust" / METADATA)


def _judged(data: bytes, facts: Any) -> ImageManifest:
    try:
        manifest = read_manifest(data)
    except ImageError as error:
        raise TrustError(f"it is signed, but is no image for this meter: {error}") from error
    said = (manifest.name, manifest.version, manifest.release, FORMAT)
    if facts is None or (facts.name, facts.version, facts.release, facts.api_version) != said:
        raise TrustError("expected in the manifest what is signed beside it, found another version or format")
    return manifest


def documents_of(folder: Path, root_of: Callable[[int], bytes]) -> dict[str, str]:
    """
    Gather what somebody else needs to judge the same target: every root after the first, and the newest of the rest.

    Parameters
    ----------
    folder : pathlib.Path
        With what was believed last.
    root_of : callable
        Fetches a root by its version.

    Raises
    ------
    TrustError
        When they cannot be put together.
    """
    try:
        found = {name: (folder / f"{name}.json").read_bytes() for name in ("root", "timestamp", "snapshot", "targets")}
        newest = _version(found["root"])
        if newest > MAXIMUM_ROTATIONS:
            raise TrustError(f"expected at most {MAXIMUM_ROTATIONS} roots, found {newest}")
        documents = {f"{version}.root.json": root_of(version) for version in range(2, newest)}
        documents[f"{newest}.root.json"] = found["root"]
        documents["timestamp.json"] = found["timestamp"]
        for name in ("snapshot", "targets"):
            documents[f"{_version(found[name])}.{name}.json"] = found[name]
        return {name: content.decode() for name, content in documents.items()}
    except (OSError, ValueError, KeyError, TypeError, msgspec.DecodeError) as error:
        found_text = shortened(str(error), 200)
        raise TrustError(f"expected documents that can be handed on, found: {found_text}", passing=True) from error


def root_from(repository: str, ca: str) -> Callable[[int], bytes]:
    """Fetch roots from a repository; whoever gets them verifies the signatures."""

    def root_of(version: int) -> bytes:
        url = f"{repository.rstrip('/')}{DOCUMENTS}/{version}.root.json"
        try:
            with requests.get(
                url, timeout=ROOTS_TIMEOUT, verify=ca or True, stream=True, allow_redirects=False
            ) as answer:
                answer.raise_for_status()
                return bytes(answer.raw.read(MAXIMUM_ROOT + 1, decode_content=True))
        except (requests.RequestException, OSError) as error:
            raise TrustError(f"expected {url}, found: {shortened(str(error), 200)}", passing=True) from error

    return root_of


def _version(document: bytes) -> int:
    signed: Mapping[str, Any] = msgspec.json.decode(document)["signed"]
    return int(signed["version"])
