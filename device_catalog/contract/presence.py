"""
What is said of a device's being there: by itself (`Session`) and by the catalog (`Availability`).

A device says *online* when it connects to the grid broker and leaves *offline* as its last will; both carry the
session number, so a will that comes late cannot end a newer session. The catalog judges by leases, and says when it
could not judge. Both are retained.
"""

import msgspec


class Session(msgspec.Struct, frozen=True, tag_field="schema", tag="session/1"):
    """
    A device's own word, written under the header of `algorithms.api.wire`.

    Attributes
    ----------
    state : str
        ``online`` or ``offline``.
    agent_version : str
    applied_revision : int
    previous_boot, previous_number : int
        The boot before this one, and the highest message number that survived it: what lies beyond is lost.
    """

    state: str
    agent_version: str = ""
    applied_revision: int = 0
    previous_boot: int = 0
    previous_number: int = 0


class Availability(msgspec.Struct, frozen=True, tag_field="schema", tag="availability/1"):
    """
    The catalog's word on a device.

    Attributes
    ----------
    device : str
    available : bool
    reason : str
        ``polled``, ``lease-expired`` or ``removed``.
    time_ns : int
        Since when [ns UTC].
    last_seen_ns : int or None
    """

    device: str
    available: bool
    reason: str
    time_ns: int
    last_seen_ns: int | None = None


class CatalogState(msgspec.Struct, frozen=True, tag_field="schema", tag="catalog/1"):
    """
    The catalog's word on itself.

    Attributes
    ----------
    state : str
        ``watching``: silence is judged. ``waiting``: just started or blind for a while, so silence means nothing
        yet. ``offline``: its last will.
    time_ns : int
    """

    state: str
    time_ns: int
