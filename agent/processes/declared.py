"""
What a package declares, read where none of its own code can answer instead.

Where it stands: asked by `workers` and `algorithm_worker` in the agent's own process; a child owns what is in its own
memory, so that no check that it makes of itself counts. A package's manifest was signed, and its folder is the agent's.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from algorithms.api.errors import ManifestError, shortened
from algorithms.api.manifest import AlgorithmInfo, manifest_from_toml
from device_catalog.contract.packages import MANIFEST_NAME


def declared_in(folder: str) -> AlgorithmInfo:
    """
    Read what the package in a folder declares, as it was signed.

    Raises
    ------
    ImportError
        When the folder bears no manifest that reads.
    """
    try:
        paths = list(Path(folder).glob(f"*.dist-info/{MANIFEST_NAME}"))
        if len(paths) == 1:
            return manifest_from_toml(paths[0].read_bytes()).info
    except (OSError, ManifestError) as error:
        raise ImportError(f"expected {MANIFEST_NAME} in {folder} to be a manifest: {error}") from error
    raise ImportError(f"expected one {MANIFEST_NAME} in {folder}, found {len(paths)}")


def difference(told: AlgorithmInfo, declared: AlgorithmInfo) -> str:
    """Say in which field an algorithm tells something else than its manifest; empty where it does not."""
    for field in AlgorithmInfo.__struct_fields__:
        found, expected = _plain(getattr(told, field)), _plain(getattr(declared, field))
        if found != expected:
            return f"{field} is {shortened(str(found), 100)} instead of {shortened(str(expected), 100)}"
    return ""


def _plain(value: Any) -> Any:
    """Write a value as a manifest can, which knows no nothing."""
    value = msgspec.to_builtins(value)
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items() if one is not None}
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value


def words_in(value: Any) -> Iterator[str]:
    """
    List the texts in settings, wherever they are.

    >>> list(words_in({"switch": "s-12", "others": ["s-13"], "trip_current": 400.0}))
    ['s-12', 's-13']
    """
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from words_in(item)
