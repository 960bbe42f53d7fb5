"""
The audit trail, as the server uses it: an act is durable before whoever acted is answered.

It is a hook of the gateway's: every write passes through it, whichever room answers it. Whoever looks at the trail has
added first what a power cut kept from it.
"""

import time

from device_catalog.access.operators import Operator
from device_catalog.contract.operators import AuditEntry, AuditPage
from device_catalog.storage.audit_trail import Act, AuditTrail, Entry
from device_catalog.storage.threads import StorageThreads

MAXIMUM_PAGE = 1000

UNDER_WAY_NS = 120 * 10**9
"""A change that is so old and has no entry was cut off; nothing takes longer to be answered [ns]."""

LAST = 2**62
"""Above every number."""


class Audit:
    """
    Writes down who did what, and tells it.

    Parameters
    ----------
    trail : AuditTrail
    threads : StorageThreads
    """

    def __init__(self, trail: AuditTrail, threads: StorageThreads) -> None:
        self._trail = trail
        self._settled_ns = 0
        self._threads = threads

    async def note(self, act: Act, begun: str = "", *, always: bool = True) -> None:
        """
        Add an act; it is durable afterwards.

        Parameters
        ----------
        act : Act
        begun : str
            Name of the row that its change wrote of it; empty for none.
        always : bool
            Whether also where that row is not there, because the change failed.

        Raises
        ------
        StorageError
        """
        await self._threads.write(self._trail.append, act, begun, always)

    async def page(self, by: Operator, cursor: str, since_ns: int, limit: int) -> AuditPage:
        """Give part of the trail, newest first, as far as it concerns an operator."""
        if not cursor and time.time_ns() > self._settled_ns + UNDER_WAY_NS:
            self._settled_ns = time.time_ns()
            await self._threads.write(self._trail.settle, self._settled_ns - UNDER_WAY_NS)
        below = int(cursor) if cursor else LAST
        rows = await self._threads.read(self._trail.page, below, since_ns, by.tenant, limit + 1)
        items = tuple(_entry(row) for row in rows[:limit])
        return AuditPage(items, str(items[-1].number) if len(rows) > limit else "")


def _entry(row: Entry) -> AuditEntry:
    return AuditEntry(row.number, *row.act, row.hash)
