"""
Operators: whose token is whose, what each may do, and for whom.

In memory by digest, since every request asks; in the database for ever, digests only. The first administrator's token
is in a file beside the database: whoever can read that can read everything here anyway.
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable, Sequence
from typing import NamedTuple

from algorithms.api.errors import Problem, shortened
from device_catalog.contract.operators import OperatorEntry, OperatorGiven, OperatorList, OperatorWanted, Role
from device_catalog.contract.topics import is_identifier
from device_catalog.documents import moment
from device_catalog.errors import Conflict, NotAllowed, OperatorUnknown, Refused
from device_catalog.storage.access import AccessStore, OperatorRow
from device_catalog.storage.threads import StorageThreads

FIRST = "operator"
"""Name of the first administrator, whose token is in a file."""

LONGEST = 10 * 366 * 86_400.0
"""Longest a token may be said to work [s]; 0 is for ever."""


class Operator(NamedTuple):
    """
    An operator.

    Attributes
    ----------
    name : str
    role : Role
    tenant : str
        Empty for all.
    """

    name: str
    role: Role
    tenant: str = ""

    def sees(self, tenant: str) -> bool:
        """Tell whether what is of a tenant concerns this operator."""
        return self.tenant in ("", tenant)


class Operators:
    """
    All operators.

    Parameters
    ----------
    first : bytes
        The first administrator's token.
    store : AccessStore
    threads : StorageThreads
    wall : callable
        UTC [ns].
    """

    def __init__(self, first: bytes, store: AccessStore, threads: StorageThreads, wall: Callable[[], int]) -> None:
        self._first = hashlib.sha256(first).digest()
        self._store = store
        self._threads = threads
        self._wall = wall
        self._rows: dict[str, OperatorRow] = {}
        self._by_digest: dict[bytes, OperatorRow] = {}

    def load(self) -> None:
        """Read the operators; once, before anybody is served."""
        for row in self._store.operators():
            self._hold(row)

    def follow(self, _names: Sequence[str] | None) -> None:
        """Take over what another catalog changed; called while writing."""
        for row in self._store.operators():
            self._threads.in_loop(self._hold, row)

    def find(self, token: bytes) -> Operator | None:
        """Tell whose token this is; None where it is nobody's, or void by now."""
        digest = hashlib.sha256(token).digest()
        if hmac.compare_digest(digest, self._first):
            return Operator(FIRST, Role.ADMINISTRATOR)
        row = self._by_digest.get(digest)
        if row is None or row.revoked_ns is not None:
            return None
        if row.expires_ns is not None and self._wall() >= row.expires_ns:
            return None
        return Operator(row.operator, Role(row.role), row.tenant)

    def list(self, by: Operator) -> OperatorList:
        """Give all operators that concern one."""
        first = OperatorEntry(FIRST, Role.ADMINISTRATOR, "", moment(0))
        rows = [_entry(row) for _, row in sorted(self._rows.items()) if by.sees(row.tenant)]
        return OperatorList((first, *rows) if not by.tenant else tuple(rows))

    async def add(self, wanted: OperatorWanted, by: Operator) -> OperatorGiven:
        """
        Take in an operator; the token is in the answer, and nowhere else.

        Raises
        ------
        Refused
            With every problem found.
        NotAllowed
            When it is another tenant's than the one who asks.
        Conflict
            When there is one of that name whose token works.
        """
        problems = []
        for where, name in (("operator", wanted.operator), ("tenant", wanted.tenant or "-")):
            if not is_identifier(name):
                problems.append(Problem(where, "letters, digits, _ and - (at most 64)", shortened(name)))
        if not 0 <= wanted.seconds <= LONGEST:
            problems.append(Problem("seconds", f"from 0 (for ever) to {LONGEST:g}", f"{wanted.seconds:g}"))
        if problems:
            raise Refused(problems)
        if not by.sees(wanted.tenant):
            raise NotAllowed(f"expected an operator of {by.tenant}, found one of {wanted.tenant or 'all tenants'}")
        token = secrets.token_urlsafe(32)
        row = await self._threads.write(self._add, wanted, by, hashlib.sha256(token.encode()).digest())
        return OperatorGiven(token, _entry(row))

    def _add(self, wanted: OperatorWanted, by: Operator, digest: bytes) -> OperatorRow:
        now_ns = self._wall()
        before = self._rows.get(wanted.operator)
        in_force = before is not None and before.revoked_ns is None and (before.expires_ns or now_ns + 1) > now_ns
        foreign = before is not None and not by.sees(before.tenant)
        if wanted.operator == FIRST or in_force or foreign:
            raise Conflict(f"expected a free name, found an operator {wanted.operator}; revoke that token first")
        expires_ns = now_ns + int(wanted.seconds * 1e9) if wanted.seconds else None
        row = OperatorRow(wanted.operator, wanted.role.value, wanted.tenant, digest, now_ns, expires_ns, None, by.name)
        self._store.write_operator(row)
        self._threads.in_loop(self._hold, row)
        return row

    async def revoke(self, name: str, by: Operator) -> None:
        """
        Make an operator's token void.

        Raises
        ------
        OperatorUnknown
        Conflict
            When it is the first administrator's.
        """
        await self._threads.write(self._revoke, name, by)

    def _revoke(self, name: str, by: Operator) -> None:
        if name == FIRST and not by.tenant:
            raise Conflict("expected a token that was given out, found the first one; replace its file, and start anew")
        row = self._rows.get(name)
        if row is None or not by.sees(row.tenant):
            raise OperatorUnknown(f"expected an operator, found none called {shortened(name)}; list those there are")
        if row.revoked_ns is None:
            row = row._replace(revoked_ns=self._wall())
            self._store.write_operator(row)
            self._threads.in_loop(self._hold, row)

    def _hold(self, row: OperatorRow) -> None:
        before = self._rows.get(row.operator)
        if before is not None:
            self._by_digest.pop(before.digest, None)
        self._rows[row.operator] = row
        self._by_digest[row.digest] = row


def _entry(row: OperatorRow) -> OperatorEntry:
    return OperatorEntry(
        row.operator,
        Role(row.role),
        row.tenant,
        moment(row.created_ns),
        None if row.expires_ns is None else moment(row.expires_ns),
        None if row.revoked_ns is None else moment(row.revoked_ns),
    )
