"""
The register as operators and services see it: registering, looking for devices, who changed what, and errors.

What people write is refused where it has a field nobody knows; what the catalog answers may grow.
"""

from datetime import datetime
from enum import StrEnum

import msgspec

from algorithms.api.errors import Problem
from device_catalog.contract.documents import Configuration, Desired, Strict
from device_catalog.contract.reports import Reported


class DeviceKind(StrEnum):
    """What registers with the catalog; services and others' devices use the same documents as agents."""

    METER = "meter"
    AGENT = "agent"
    """A tresma agent without a board: a concentrator, an estimator, a reconfigurator."""
    SERVICE = "service"
    OTHER = "other"


class Registration(Strict, frozen=True):
    """What an operator says to register a device."""

    device: str
    kind: DeviceKind = DeviceKind.METER
    tenant: str = "default"
    description: str = ""
    configuration: Configuration = Configuration()


class Registered(msgspec.Struct, frozen=True):
    """The answer to a registration; the credential is shown this once and kept nowhere."""

    device: str
    credential: str
    revision: int


class DeviceSummary(msgspec.Struct, frozen=True):
    """
    One device in a list, for whoever looks for devices and services.

    Attributes
    ----------
    device, kind, tenant, description : str
    available : bool or None
        None until the catalog can judge: just started, or blind for a while itself.
    last_seen : datetime or None
    revision, applied_revision : int
    algorithms : tuple of str
    network, area, terminal : str
    services : dict
    """

    device: str
    kind: DeviceKind
    tenant: str
    description: str
    available: bool | None
    last_seen: datetime | None
    revision: int
    applied_revision: int
    algorithms: tuple[str, ...] = ()
    network: str = ""
    area: str = ""
    terminal: str = ""
    services: dict[str, str] = {}


class DeviceDetail(msgspec.Struct, frozen=True):
    """All the catalog knows of one device."""

    summary: DeviceSummary
    desired: Desired
    reported: Reported | None


class Page(msgspec.Struct, frozen=True):
    """Part of a list, and the cursor of the next part; empty at the end."""

    items: tuple[DeviceSummary, ...]
    next: str = ""


class Change(msgspec.Struct, frozen=True):
    """Who changed what of a device: ``register``, ``configure``, ``credential`` or ``remove``."""

    time: datetime
    actor: str
    action: str
    detail: str


class History(msgspec.Struct, frozen=True):
    """What was changed of a device, newest first."""

    changes: tuple[Change, ...]


class ProblemDocument(msgspec.Struct, frozen=True):
    """An error as RFC 9457 has it, with every problem found where it is about a document."""

    type: str
    title: str
    status: int
    detail: str
    problems: tuple[Problem, ...] = ()
