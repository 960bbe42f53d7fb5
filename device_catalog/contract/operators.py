"""
Who operates the catalog, and what they did: documents of the REST interface.

Roles include those below: whoever may release may also do what an engineer does. A tenant's operator sees and changes
what is that tenant's and nothing else; one without a tenant is of all.
"""

from datetime import datetime
from enum import StrEnum

import msgspec

from device_catalog.contract.documents import Strict

OPERATORS = "/v1/operators"
OPERATOR = "/v1/operators/{operator}"
AUDIT = "/v1/audit"


class Role(StrEnum):
    """What an operator may do; each includes those before it."""

    VIEWER = "viewer"
    """Look at everything but the audit trail."""
    ENGINEER = "engineer"
    """Register, configure, enrol and lock devices; keep networks; look at the audit trail."""
    RELEASER = "releaser"
    """Bring signed algorithms, and roll them out."""
    ADMINISTRATOR = "administrator"
    """Say who the operators are."""

    def includes(self, other: "Role") -> bool:
        """
        Tell whether whoever has this role may do what `other` may.

        >>> Role.RELEASER.includes(Role.ENGINEER), Role.VIEWER.includes(Role.ENGINEER)
        (True, False)
        """
        order = list(Role)
        return order.index(self) >= order.index(other)


class OperatorWanted(Strict, frozen=True):
    """
    What an administrator says of a new operator.

    Attributes
    ----------
    operator : str
    role : Role
    tenant : str
        Empty for all.
    seconds : float
        How long the token works [s]; 0 for ever.
    """

    operator: str
    role: Role
    tenant: str = ""
    seconds: float = 0.0


class OperatorEntry(msgspec.Struct, frozen=True):
    """An operator, as the list shows him."""

    operator: str
    role: Role
    tenant: str
    created: datetime
    expires: datetime | None = None
    revoked: datetime | None = None


class OperatorGiven(msgspec.Struct, frozen=True):
    """A new operator with his token, which is shown this once and kept nowhere."""

    token: str
    entry: OperatorEntry


class OperatorList(msgspec.Struct, frozen=True):
    """All operators; there are few."""

    items: tuple[OperatorEntry, ...]


class AuditEntry(msgspec.Struct, frozen=True):
    """
    Something that somebody did.

    Attributes
    ----------
    number : int
    time_ns : int
        [ns UTC]
    actor, role, tenant, address : str
    method, path : str
    status : int
        What it was answered with; 0 for what was done and, cut off by a power failure, never answered.
    before, after : str
        Entity tags of the revision it was made from and of the one it made.
    body : str
        SHA-256 of what was sent, hexadecimal.
    hash : str
        Binds this entry to all before it.
    """

    number: int
    time_ns: int
    actor: str
    role: str
    tenant: str
    address: str
    method: str
    path: str
    status: int
    before: str
    after: str
    body: str
    hash: str


class AuditPage(msgspec.Struct, frozen=True):
    """
    Part of the trail, newest first, and the cursor of the next part; empty at the end.

    Attributes
    ----------
    items : tuple of AuditEntry
    next : str
    """

    items: tuple[AuditEntry, ...]
    next: str = ""
