"""
What is read from the database and written into it, as plain tuples.

The register in memory (`device_catalog.fleet.fleet`) is made of these and sums itself up in them, without knowing that
there is a database.
"""

from typing import NamedTuple

from device_catalog.contract.documents import Configuration


class DeviceRow(NamedTuple):
    """What the server keeps in memory of a device."""

    device: str
    tenant: str
    kind: str
    revision: int
    interval: float
    lease: float
    last_seen_ns: int | None
    applied_revision: int
    boot: int
    available: bool
    digest: bytes


class SummaryRow(NamedTuple):
    """What a list shows of a device, as far as the database knows it."""

    device: str
    tenant: str
    kind: str
    description: str
    revision: int
    terminal: str
    network: str
    area: str
    algorithms: str
    services: str | None


class Seen(NamedTuple):
    """A device's signs of life, written now and then."""

    device: str
    last_seen_ns: int | None
    applied_revision: int
    boot: int
    available: bool


class Filters(NamedTuple):
    """Which devices a list is about; empty fields do not restrict it."""

    kind: str = ""
    tenant: str = ""
    algorithm: str = ""
    network: str = ""
    area: str = ""


class Change(NamedTuple):
    """A configuration to be written as a revision."""

    device: str
    revision: int
    configuration: Configuration
    time_ns: int
    author: str


class KeyedRequest(NamedTuple):
    """By what a repeated request is told: its key, empty for none, and its digest."""

    key: str
    digest: bytes
