"""
Keeps when devices were last heard, little by little, so that the catalog knows it after a start of its own.

Leases live in memory; the database gets a share of them each second, so that a round takes minutes and costs the disk
next to nothing, and the rest at the end.
"""

from device_catalog.fleet.device import Device
from device_catalog.fleet.leases import State
from device_catalog.fleet.register import Register

AT_ONCE = 1000
"""Devices written in one transaction at the end."""


class SignsOfLife:
    """
    Writes the fleet's signs of life.

    Parameters
    ----------
    register : Register
    """

    def __init__(self, register: Register) -> None:
        self._fleet, self._store, self._threads = register
        self._left: list[Device] = []

    async def write_share(self, share: float) -> int:
        """
        Write a share of the fleet, so that a round takes ``1 / share`` calls; return how many had anything new.

        Raises
        ------
        StorageError
            What was not written is written in the next round.
        """
        if not self._left:
            self._left = list(self._fleet.devices.values())
        count = max(1, int(len(self._fleet.devices) * share) + 1)
        part, self._left = self._left[-count:], self._left[:-count]
        return await self._write(part)

    async def write_all(self) -> None:
        """
        Write the whole fleet; before the end.

        Raises
        ------
        StorageError
        """
        everybody = list(self._fleet.devices.values())
        for start in range(0, len(everybody), AT_ONCE):
            await self._write(everybody[start : start + AT_ONCE])

    async def _write(self, part: list[Device]) -> int:
        changed = [device for device in part if device.seen > device.written or device.state is State.UNAVAILABLE]
        seen = [device.seen for device in changed]
        if changed:
            await self._threads.write(self._store.write_seen, [self._fleet.seen(device) for device in changed])
        for device, heard in zip(changed, seen, strict=True):
            device.written = heard
        return len(changed)
