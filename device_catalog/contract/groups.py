"""
Groups of devices on the wire: named by operators, for rollouts to choose by (`rollouts.Selector`).

What people write is refused where it has a field nobody knows; answers may grow.
"""

import msgspec

from device_catalog.contract.documents import Strict


class GroupChange(Strict, frozen=True):
    """Devices that join a group and devices that leave it; a group is there as long as it has members."""

    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()


class GroupEntry(msgspec.Struct, frozen=True):
    """A group, and how many devices belong to it."""

    group: str
    devices: int


class GroupPage(msgspec.Struct, frozen=True):
    """Part of the list of groups, and the cursor of the next part; empty at the end."""

    items: tuple[GroupEntry, ...]
    next: str = ""


class GroupDetail(msgspec.Struct, frozen=True):
    """Part of the devices of a group, and the cursor of the next part; empty at the end."""

    group: str
    devices: tuple[str, ...]
    next: str = ""


class GroupChanged(msgspec.Struct, frozen=True):
    """The answer to a change: who is new, who is gone, how many there are now."""

    group: str
    added: tuple[str, ...]
    removed: tuple[str, ...]
    devices: int
