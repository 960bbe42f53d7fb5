"""
Which role each write needs: one table. Whoever looks (GET) needs to be a viewer, unless the table says otherwise.

A write that nobody entered here needs an administrator: a new address is closed until somebody thought about it.
Devices with their own credential are not operators and need no role; what they reach stands in each handler.
"""

from collections.abc import Mapping

from device_catalog.contract.commissioning import COMMISSIONINGS
from device_catalog.contract.enrolment import DEVICE_CERTIFICATE, DEVICE_ENROLMENT, DEVICE_REVOCATION
from device_catalog.contract.operators import AUDIT, OPERATOR, OPERATORS, Role
from device_catalog.contract.paths import (
    CALIBRATION,
    CONFIGURATION,
    CREDENTIAL,
    DEVICE,
    DEVICES,
    FAULT,
    NETWORK,
    NETWORK_LEASE,
    NETWORK_LEASE_STATES,
    RECORDING,
    RECORDING_FILE,
    RECORDING_REQUEST,
    REPORTED,
    TOPOLOGY,
)
from device_catalog.contract.support import (
    DEVICE_SUPPORT,
    SUPPORT,
    SUPPORT_FILE,
    SUPPORT_LINES,
    SUPPORT_REQUEST,
)
from device_catalog.contract.trust import METADATA, TARGETS

ROLES: Mapping[tuple[str, str], Role] = {
    ("post", DEVICES): Role.ENGINEER,
    ("delete", DEVICE): Role.ENGINEER,
    ("put", CONFIGURATION): Role.ENGINEER,
    ("put", CALIBRATION): Role.ENGINEER,
    ("post", COMMISSIONINGS): Role.ENGINEER,
    ("put", REPORTED): Role.ENGINEER,
    ("patch", REPORTED): Role.ENGINEER,
    ("post", CREDENTIAL): Role.ENGINEER,
    ("post", DEVICE_ENROLMENT): Role.ENGINEER,
    ("post", DEVICE_REVOCATION): Role.ENGINEER,
    ("post", DEVICE_CERTIFICATE): Role.ADMINISTRATOR,
    ("put", RECORDING): Role.ENGINEER,
    ("delete", RECORDING): Role.ENGINEER,
    ("put", RECORDING_REQUEST): Role.ENGINEER,
    ("patch", RECORDING_FILE): Role.ENGINEER,
    ("get", SUPPORT): Role.ENGINEER,
    ("post", DEVICE_SUPPORT): Role.ENGINEER,
    ("get", SUPPORT_REQUEST): Role.ENGINEER,
    ("delete", SUPPORT_REQUEST): Role.ENGINEER,
    ("get", SUPPORT_FILE): Role.ENGINEER,
    ("get", SUPPORT_LINES): Role.ENGINEER,
    ("put", NETWORK): Role.ENGINEER,
    ("put", TOPOLOGY): Role.ENGINEER,
    ("post", NETWORK_LEASE): Role.ENGINEER,
    ("put", NETWORK_LEASE): Role.ENGINEER,
    ("delete", NETWORK_LEASE): Role.ENGINEER,
    ("post", NETWORK_LEASE_STATES): Role.ENGINEER,
    ("patch", FAULT): Role.ENGINEER,
    ("put", METADATA): Role.RELEASER,
    ("get", OPERATORS): Role.ADMINISTRATOR,
    ("post", OPERATORS): Role.ADMINISTRATOR,
    ("delete", OPERATOR): Role.ADMINISTRATOR,
    ("get", AUDIT): Role.ENGINEER,
}

PREFIXES: tuple[tuple[str, Role], ...] = (
    (TARGETS, Role.RELEASER),
    ("/v1/rollouts", Role.RELEASER),
    ("/v1/groups", Role.ENGINEER),
)
"""Of writes below these addresses."""

SHARED: tuple[str, ...] = (METADATA, TARGETS)
"""What is below these addresses is every tenant's: only an operator of all tenants changes it."""


def role_of(method: str, path: str) -> Role:
    """
    Tell the role that a request needs.

    Parameters
    ----------
    method : str
    path : str
        As the description has it, such as ``/v1/devices/{device}``.

    Examples
    --------
    >>> role_of("PUT", "/v1/devices/{device}/configuration").value
    'engineer'
    >>> role_of("PUT", "/v1/something-new").value
    'administrator'
    """
    stated = ROLES.get((method.lower(), path))
    if stated is not None:
        return stated
    if method.lower() in ("get", "head"):
        return Role.VIEWER
    return next((role for prefix, role in PREFIXES if path.startswith(prefix)), Role.ADMINISTRATOR)
