"""
The REST interface of access: enrolment and certificates of devices, operators, the audit trail.

Enrolment alone is open to whoever comes with a token: what fails there is counted by address and in all, so that
guessing ends at once. Secrets are in answers this once, and in no log.
"""

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from math import ceil
from typing import Any, TypeVar

import msgspec
from litestar import Response, delete, get, post
from litestar.handlers import HTTPRouteHandler

from algorithms.api.errors import Problem, shortened
from algorithms.api.forms import read_struct
from device_catalog.access.audit import LAST, MAXIMUM_PAGE, Audit
from device_catalog.access.enrolments import Enrolments
from device_catalog.access.operators import Operators
from device_catalog.api.callers import Access, AnyRequest, visit_of
from device_catalog.api.limits import Buckets
from device_catalog.contract.enrolment import (
    AUTHORITY,
    DEVICE_CERTIFICATE,
    DEVICE_ENROLMENT,
    DEVICE_REVOCATION,
    ENROLMENTS,
    REVOCATIONS,
    AuthorityDocument,
    CertificateRequest,
    EnrolmentRequest,
    EnrolmentWanted,
    RevocationWanted,
)
from device_catalog.contract.operators import AUDIT, OPERATOR, OPERATORS, OperatorWanted
from device_catalog.errors import AskedTooOften, EnrolmentRefused, Refused
from device_catalog.fleet.fleet import Fleet

QUERY = ("cursor", "limit", "since")

Document = TypeVar("Document", bound=msgspec.Struct)
_encode = msgspec.json.encode


class Admission:
    """Slows down whoever guesses tokens: failures count, by address and in all; successes do not."""

    def __init__(self) -> None:
        self._by_address = Buckets(rate=0.2, burst=20)
        self._in_all = Buckets(rate=5.0, burst=500)

    def admit(self, address: str) -> None:
        """
        Let a try pass.

        Raises
        ------
        AskedTooOften
        """
        now = time.monotonic()
        wait = max(self._by_address.empty(address, now), self._in_all.empty("all", now))
        if wait:
            raise AskedTooOften(ceil(wait))

    def failed(self, address: str) -> None:
        """Count a try that failed."""
        now = time.monotonic()
        self._by_address.wait(address, now)
        self._in_all.wait("all", now)


def handlers(  # noqa: C901, PLR0917 - a list of small handlers, and what they are handed
    enrolments: Enrolments,
    operators: Operators,
    audit: Audit,
    fleet: Fleet,
    access: Access,
    decoded: Callable[[AnyRequest], Any],
) -> Sequence[HTTPRouteHandler]:
    """
    Make the handlers.

    Parameters
    ----------
    enrolments : Enrolments
    operators : Operators
    audit : Audit
    fleet : Fleet
    access : Access
    decoded : callable
        Reads a request's body as JSON.
    """
    admission = Admission()

    @get(AUTHORITY)
    async def authority() -> Response[bytes]:
        return _json(_encode(AuthorityDocument(enrolments.authority.anchors)))

    @get(REVOCATIONS)
    async def revocations() -> Response[bytes]:
        return Response(await enrolments.read_revocations(), media_type="application/x-pem-file")

    @post(ENROLMENTS)
    async def enrol(request: AnyRequest) -> Response[bytes]:
        visit = visit_of(request)
        admission.admit(visit.address)
        asked = _read(EnrolmentRequest, await decoded(request))
        visit.claimed = asked.device[:64]
        try:
            issued = await enrolments.enrol(asked)
        except EnrolmentRefused:
            admission.failed(visit.address)
            raise
        visit.is_device(issued.device, fleet.known(issued.device).tenant)
        return _json(_encode(issued), 201)

    @post(_route(DEVICE_ENROLMENT))
    async def invite(request: AnyRequest) -> Response[bytes]:
        operator = access.operator(request)
        wanted = _read(EnrolmentWanted, await decoded(request))
        return _json(_encode(await enrolments.invite(_device(request), wanted.seconds, operator.name)), 201)

    @post(_route(DEVICE_CERTIFICATE))
    async def renew(request: AnyRequest) -> Response[bytes]:
        device = access.certified(request)
        asked = _read(CertificateRequest, await decoded(request))
        return _json(_encode(await enrolments.renew(device, asked.request, visit_of(request).fingerprint)), 201)

    @post(_route(DEVICE_REVOCATION), status_code=200)
    async def revoke(request: AnyRequest) -> Response[bytes]:
        operator = access.operator(request)
        wanted = _read(RevocationWanted, await decoded(request))
        reason = f"{operator.name}: {wanted.reason[:160]}"
        return _json(_encode(await enrolments.revoke(_device(request), reason)))

    @get(OPERATORS)
    async def page(request: AnyRequest) -> Response[bytes]:
        return _json(_encode(operators.list(access.operator(request))))

    @post(OPERATORS)
    async def add(request: AnyRequest) -> Response[bytes]:
        by = access.operator(request)
        return _json(_encode(await operators.add(_read(OperatorWanted, await decoded(request)), by)), 201)

    @delete(OPERATOR.replace("}", ":str}"), status_code=204)
    async def dismiss(request: AnyRequest) -> None:
        by = access.operator(request)
        await operators.revoke(str(request.path_params["operator"]), by)

    @get(AUDIT)
    async def trail(request: AnyRequest) -> Response[bytes]:
        by = access.operator(request)
        cursor, since_ns, limit = _query(request)
        return _json(_encode(await audit.page(by, cursor, since_ns, limit)))

    return [authority, revocations, enrol, invite, renew, revoke, page, add, dismiss, trail]


def _device(request: AnyRequest) -> str:
    return str(request.path_params["device"])


def _read(document_type: type[Document], decoded: Any) -> Document:
    read, problems = read_struct(document_type, decoded)
    if problems or read is None:
        raise Refused(problems)
    return read


def _query(request: AnyRequest) -> tuple[str, int, int]:
    query = dict(request.query_params)
    problems = [
        Problem(f"query.{shortened(name, 40)}", ", ".join(QUERY), "an unknown parameter", "remove it")
        for name in query
        if name not in QUERY
    ]
    cursor, since, text = query.get("cursor", ""), query.get("since", ""), query.get("limit", "100")
    limit = int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0
    if not 1 <= limit <= MAXIMUM_PAGE:
        problems.append(Problem("query.limit", f"a number from 1 to {MAXIMUM_PAGE}", shortened(text)))
    if cursor and not (cursor.isascii() and cursor.isdigit() and len(cursor) < 19):
        problems.append(Problem("query.cursor", "a cursor that a list ended with", shortened(cursor)))
    since_ns = 0
    if since:
        try:
            moment = datetime.fromisoformat(since)
            seconds = moment.timestamp() if moment.tzinfo is not None else None
        except (ValueError, OverflowError):  # a zone may lead out of the years there are
            seconds = None
        if seconds is None:
            problems.append(Problem("query.since", "a time such as 2026-05-01T12:00:00Z", shortened(since)))
        else:
            since_ns = max(min(int(seconds * 1e9), LAST), 0)
    if problems:
        raise Refused(problems)
    return cursor, since_ns, limit


def _json(body: bytes, status: int = 200) -> Response[bytes]:
    headers = {"Cache-Control": "no-store"}
    return Response(body, status_code=status, headers=headers, media_type="application/json")


def _route(path: str) -> str:
    return path.replace("{device}", "{device:str}")
