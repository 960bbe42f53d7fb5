"""
The audit trail, as the server uses it: an act is durable before whoever acted is answered.

It is a hook of the gateway's: every write passes through it, whichever room answers it.
"""

from device_catalog.access.operators import Operator
from device_catalog.contract.operators import AuditEntry, AuditPage
from device_catalog.storage.audit_trail import Act, AuditTrail, Entry
from device_catalog.storage.threads import StorageThreads

MAXIMUM_PAGE = 1000

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
        self._threads = threads

    async def note(self, act: Act) -> None:
        """
        Add an act; it is durable afterwards.

        Raises
        ------
        StorageError
        """
        await self._threads.write(self._trail.append, act)

    async def page(self, by: Operator, cursor: str, since_ns: int, limit: int) -> AuditPage:
        """Give part of the trail, newest first, as far as it concerns an operator."""
        below = int(cursor) if cursor else LAST
        rows = await self._threads.read(self._trail.page, below, since_ns, by.tenant, limit + 1)
        items = tuple(_entry(row) for row in rows[:limit])
        return AuditPage(items, str(items[-1].number) if len(rows) > limit else "")


def _entry(row: Entry) -> AuditEntry:
    return AuditEntry(row.number, *row.act, row.hash)
