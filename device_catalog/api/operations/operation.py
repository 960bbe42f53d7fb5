"""What one thing that can be asked of the catalog is, and the headers and arguments that several share."""

from typing import NamedTuple

import msgspec

from device_catalog.contract.paths import APPLIED_HEADER, BOOT_HEADER


class Configured(msgspec.Struct, frozen=True):
    """The answer to a change of configuration."""

    device: str
    revision: int


class Operation(NamedTuple):
    """One thing that can be asked."""

    method: str
    path: str
    summary: str
    who: str
    success: int
    body: type | None = None
    answer: type | None = None
    headers: tuple[str, ...] = ()
    query: tuple[str, ...] = ()
    refusals: tuple[int, ...] = ()


FILTERS = ("kind", "tenant", "available", "algorithm", "network", "area", "cursor", "limit")
POLL = ("If-None-Match", BOOT_HEADER, APPLIED_HEADER)
PAGE = ("cursor", "limit")
KNOWN = ("If-None-Match",)
BASED = ("If-Match", "If-None-Match")
UNREAD = (304, 401, 404)
