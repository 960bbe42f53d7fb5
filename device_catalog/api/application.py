"""
The REST interface apart from the poll: who may ask, what is read, which service is called, what is answered.

Operators may do what their role allows (`roles`); a device reaches its own documents only. Handlers read the body
themselves, so that a document is refused by its length before it is read, and with every problem after.
"""

import logging
import time
from collections.abc import Callable
from math import ceil
from pathlib import Path
from typing import Any

import msgspec
from litestar import Litestar, Response, delete, get, patch, post, put
from litestar.exceptions import HTTPException

from algorithms.api.errors import Problem, ProblemsError, shortened
from device_catalog.access.audit import Audit
from device_catalog.access.enrolments import Enrolments
from device_catalog.access.operators import Operator, Operators
from device_catalog.api.access import handlers as access_handlers
from device_catalog.api.callers import Access, AnyRequest, visit_of
from device_catalog.api.commissionings import handlers as commissioning_handlers
from device_catalog.api.faults import handlers as fault_handlers
from device_catalog.api.groups import handlers as group_handlers
from device_catalog.api.history import handlers as history_handlers
from device_catalog.api.images import handlers as image_handlers
from device_catalog.api.limits import Buckets
from device_catalog.api.network_leases import handlers as lease_handlers
from device_catalog.api.networks import handlers as network_handlers
from device_catalog.api.openapi import document as openapi_document
from device_catalog.api.openapi import page as openapi_page
from device_catalog.api.problems import MEDIA_TYPE, HttpError, answer
from device_catalog.api.recordings import handlers as recording_handlers
from device_catalog.api.rollouts import handlers as rollout_handlers
from device_catalog.api.support import handlers as support_handlers
from device_catalog.api.trust import handlers as trust_handlers
from device_catalog.contract.calibration import problems_of as problems_of_calibration
from device_catalog.contract.documents import Configuration
from device_catalog.contract.paths import (
    CALIBRATION,
    CONFIGURATION,
    CREDENTIAL,
    DEVICE,
    DEVICES,
    HISTORY,
    MAXIMUM_DOCUMENT,
    REPORTED,
    etag,
)
from device_catalog.contract.register import DeviceKind
from device_catalog.contract.topics import is_identifier
from device_catalog.contract.validation import parse_calibration, parse_configuration, parse_registration
from device_catalog.errors import AskedTooOften, CatalogError, NotAllowed, Refused
from device_catalog.fleet.changes import Changes
from device_catalog.fleet.commissionings import Commissionings
from device_catalog.fleet.fleet import Fleet
from device_catalog.fleet.questions import MAXIMUM_PAGE, Questions
from device_catalog.grid.faults import Faults
from device_catalog.grid.networks import Networks
from device_catalog.grid.questions import NetworkQuestions
from device_catalog.grid.recordings import Recordings
from device_catalog.grid.switch_news import SwitchNews
from device_catalog.grid.switching_leases import NetworkLeases
from device_catalog.history.questions import History as MeasurementHistory
from device_catalog.pages.fleet_pages import Sources as PageSources
from device_catalog.pages.handlers import handlers as page_handlers
from device_catalog.rollouts.orders import RolloutOrders
from device_catalog.rollouts.questions import RolloutQuestions
from device_catalog.storage.rows import Filters
from device_catalog.support.requests import SupportRequests

_log = logging.getLogger(__name__)
_encode = msgspec.json.encode

CALIBRATIONS = 6
"""That one device may hand in within an hour."""

_filters = ("kind", "tenant", "available", "algorithm", "network", "area", "cursor", "limit")


def make_application(  # noqa: C901, PLR0915, PLR0917 - a list of small handlers, and what they are handed
    fleet: Fleet,
    changes: Changes,
    questions: Questions,
    recordings: Recordings,
    faults: Faults,
    networks: tuple[Networks, NetworkQuestions],
    leases: tuple[NetworkLeases, SwitchNews],
    rollouts: tuple[RolloutOrders, RolloutQuestions],
    entry: tuple[Enrolments, Operators, Audit],
    support: SupportRequests,
    ready: Callable[[], str],
    metrics: Callable[[], bytes],
    trust: Path,
    measured: MeasurementHistory,
    *,
    secure: bool,
    commissionings: Commissionings,
) -> Litestar:
    """
    Make the application.

    Parameters
    ----------
    fleet : Fleet
    changes : Changes
    questions : Questions
    recordings : Recordings
    faults : Faults
    networks : tuple
        What changes networks, and what answers questions about them.
    leases : tuple
        Who may switch a network, and what becomes of what its holder says.
    rollouts : tuple
        What takes orders about rollouts and groups, and what answers questions about them.
    entry : tuple
        Who is let in: what makes devices' certificates, the operators, and who did what.
    support : SupportRequests
    ready : callable
        Says what the catalog still waits for; empty when it can serve.
    metrics : callable
        Writes the counters.
    trust : pathlib.Path
        Folder of the signed repository.
    measured : History
        What the data broker carried.
    secure : bool
        Whether browsers come by TLS.
    commissionings : Commissionings
    """
    enrolments, operators, audit = entry
    access = Access(fleet, networks[0].tenant_of)
    calibrations = Buckets(rate=CALIBRATIONS / 3600, burst=CALIBRATIONS)  # each is a revision, for ever

    @post(_route(DEVICES))
    async def register(request: AnyRequest) -> Response[bytes]:
        operator = access.operator(request)
        body = await _body(request)
        key = request.headers.get("Idempotency-Key", "")
        if len(key) > 128 or not key.isprintable():
            raise HttpError(400, "expected an Idempotency-Key of at most 128 printable characters, found another")
        registration = parse_registration(body)
        _of_tenant(operator, registration.tenant)
        _placed(access, operator, registration.configuration)
        registered = await changes.register(registration, operator.name, key, body)
        location = DEVICE.format(device=registered.device)
        return _json(_encode(registered), 201, {"Location": location, "ETag": etag(registered.revision)})

    @get(_route(DEVICES))
    async def devices(request: AnyRequest) -> Response[bytes]:
        operator = access.operator(request)
        filters, available, cursor, limit = _query(request)
        if operator.tenant:
            filters = filters._replace(tenant=operator.tenant)
        return _json(_encode(await questions.page(filters, available, cursor, limit)))

    @get(_route(DEVICE))
    async def device(request: AnyRequest) -> Response[bytes]:
        access.operator(request)
        detail = await questions.detail(_name(request))
        return _json(_encode(detail), 200, {"ETag": etag(detail.desired.revision)})

    @delete(_route(DEVICE), status_code=204)
    async def remove(request: AnyRequest) -> None:
        operator = access.operator(request)
        await enrolments.revoke(_name(request), f"{operator.name}: removed")
        await changes.remove(_name(request), operator.name)
        await recordings.forget_device(_name(request))
        await support.forget_device(_name(request))

    @get(_route(CONFIGURATION))
    async def configuration(request: AnyRequest) -> Response[bytes]:
        access.own(request)
        document, tag = await questions.configuration(_name(request))
        return _json(document, 200, {"ETag": tag.decode()})

    @put(_route(CONFIGURATION))
    async def configure(request: AnyRequest) -> Response[bytes]:
        operator = access.operator(request)
        matches = request.headers.get("If-Match", "")
        if not matches:
            detail = 'expected the header If-Match with the entity tag you read, such as "7", or * to overwrite'
            raise HttpError(428, f"{detail}; found none")
        parsed = parse_configuration(await _body(request))
        _placed(access, operator, parsed)
        revision = await changes.set_configuration(_name(request), parsed, matches, operator.name)
        return _json(_encode({"device": _name(request), "revision": revision}), 200, {"ETag": etag(revision)})

    @get(_route(CALIBRATION))
    async def calibration(request: AnyRequest) -> Response[bytes]:
        access.own(request)
        document = await questions.calibration(_name(request))
        if document is None:
            raise HttpError(
                404, f"expected a device that was calibrated, found no calibration of {_name(request)[:80]}"
            )
        return _json(document)

    @put(_route(CALIBRATION))
    async def calibrate(request: AnyRequest) -> Response[bytes]:
        name = _name(request)
        author = "device" if access.own(request) else visit_of(request).actor
        wait = calibrations.wait(name, time.monotonic()) if author == "device" else 0.0
        if wait:
            raise AskedTooOften(ceil(wait))
        parsed = parse_calibration(await _body(request))
        problems = problems_of_calibration(parsed, device=name)
        if problems:
            raise Refused(problems)
        revision = await changes.calibrate(name, parsed, author)
        return _json(_encode({"device": name, "revision": revision}), 200, {"ETag": etag(revision)})

    @get(_route(REPORTED))
    async def reported(request: AnyRequest) -> Response[bytes]:
        access.own(request)
        document = await questions.reported(_name(request))
        if document is None:
            raise HttpError(404, f"expected a device that reported, found none of {_name(request)[:80]} yet")
        return _json(document)

    @patch(_route(REPORTED), status_code=204)
    async def report(request: AnyRequest) -> None:
        access.own(request)
        await changes.report(_name(request), _decoded(await _body(request)), whole=False)

    @put(_route(REPORTED), status_code=204)
    async def report_whole(request: AnyRequest) -> None:
        access.own(request)
        await changes.report(_name(request), _decoded(await _body(request)), whole=True)

    @post(_route(CREDENTIAL))
    async def credential(request: AnyRequest) -> Response[bytes]:
        operator = access.operator(request)
        return _json(_encode(await changes.renew_credential(_name(request), operator.name)), 201)

    @get(_route(HISTORY))
    async def history(request: AnyRequest) -> Response[bytes]:
        operator = access.operator(request)
        return _json(_encode(await questions.history(_name(request), of_this_owner=bool(operator.tenant))))

    @get("/healthz")
    async def health() -> Response[bytes]:
        return _json(b'{"status":"ok"}')

    @get("/readyz")
    async def readiness() -> Response[bytes]:
        missing = ready()
        if missing:
            raise HttpError(503, f"expected a catalog that can serve, found one that waits: {missing}")
        return _json(b'{"status":"ready"}')

    @get("/metrics")
    async def counters() -> Response[bytes]:
        return Response(metrics(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @get("/v1/openapi")
    async def openapi() -> Response[bytes]:
        return _json(openapi_document())

    @get("/schema")
    async def schema() -> Response[bytes]:
        return Response(openapi_page(), media_type="text/html; charset=utf-8")

    return Litestar(
        [
            register,
            devices,
            device,
            remove,
            configuration,
            configure,
            calibration,
            calibrate,
            reported,
            report,
            report_whole,
            credential,
            history,
            *recording_handlers(recordings, access, _body),
            *support_handlers(support, audit, access, _body, _document),
            *commissioning_handlers(commissionings, access, _body),
            *fault_handlers(faults, access, _body),
            *network_handlers(*networks, access, _body),
            *lease_handlers(*leases, access, _document),
            *rollout_handlers(*rollouts, access, _body),
            *group_handlers(*rollouts, access, _body),
            *access_handlers(enrolments, operators, audit, fleet, access, _document),
            *trust_handlers(trust, access, _body),
            *image_handlers(trust, access, _body),
            *history_handlers(measured, fleet, access),
            *page_handlers(
                PageSources(fleet, questions, recordings, measured, support),
                rollouts[1],
                audit,
                access,
                operators.find,
                secure=secure,
                commissionings=commissionings,
            ),
            health,
            readiness,
            counters,
            openapi,
            schema,
        ],
        exception_handlers={Exception: _explain},
        openapi_config=None,
        logging_config=None,
    )


def _name(request: AnyRequest) -> str:
    return str(request.path_params["device"])


async def _body(request: AnyRequest, limit: int = MAXIMUM_DOCUMENT) -> bytes:
    """Read the body as far as it may go."""
    too_long = HttpError(413, f"expected a body of at most {limit} bytes, found more; nothing was changed")
    declared = request.headers.get("Content-Length", "")
    if declared.isascii() and declared.isdigit() and (len(declared) > 18 or int(declared) > limit):
        raise too_long
    parts: list[bytes] = []
    length = 0
    async for part in request.stream():
        length += len(part)
        if length > limit:
            raise too_long
        parts.append(part)
    return b"".join(parts)


async def _document(request: AnyRequest) -> Any:
    return _decoded(await _body(request))


def _decoded(body: bytes) -> Any:
    try:
        decoded = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused([Problem("body", "JSON", shortened(str(error), 200))]) from error
    if not isinstance(decoded, dict):
        raise Refused([Problem("body", "a JSON object", shortened(decoded))])
    return decoded


def _of_tenant(operator: Operator, tenant: str) -> None:
    if not operator.sees(tenant):
        raise NotAllowed(f"expected a device of {operator.tenant}, found one of {shortened(tenant)}; say --tenant")


def _placed(access: Access, operator: Operator, configuration: Configuration) -> None:
    """Refuse a place in another tenant's network, in the words for one that nobody has."""
    topology = configuration.topology
    if topology is None or not operator.tenant or access.may_place(operator, topology.network):
        return
    remedy = "list the networks there are"
    raise Refused([Problem("configuration.topology.network", "a network", shortened(topology.network), remedy)])


def _query(request: AnyRequest) -> tuple[Filters, bool | None, str, int]:
    query = dict(request.query_params)
    problems = [
        Problem(f"query.{shortened(name, 40)}", ", ".join(_filters), "an unknown parameter", "remove it")
        for name in query
        if name not in _filters
    ]
    available = query.pop("available", "")
    if available not in ("", "true", "false"):
        problems.append(Problem("query.available", "true or false", shortened(available)))
    text = query.pop("limit", "100")
    limit = int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0
    if not 1 <= limit <= MAXIMUM_PAGE:
        problems.append(Problem("query.limit", f"a number from 1 to {MAXIMUM_PAGE}", shortened(text)))
    kinds = [kind.value for kind in DeviceKind]
    if query.get("kind", kinds[0]) not in kinds:
        problems.append(Problem("query.kind", ", ".join(kinds), shortened(query["kind"])))
    problems.extend(
        Problem(f"query.{name}", "letters, digits, _ and - (at most 64)", shortened(query[name]))
        for name in ("tenant", "algorithm", "network", "area", "cursor")
        if query.get(name) and not is_identifier(query[name])
    )
    if problems:
        raise Refused(problems)
    cursor = query.pop("cursor", "")
    return Filters(**query), {"true": True, "false": False}.get(available), cursor, limit


def _json(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Response[bytes]:
    return Response(body, status_code=status, headers=headers or {}, media_type="application/json")


def _explain(request: AnyRequest, error: Exception) -> Response[bytes]:
    if isinstance(error, HTTPException):
        status = error.status_code
        details = {
            404: f"expected a path of this interface, found {shortened(request.url.path)}; /v1/openapi lists them",
            405: f"expected another method for this path, found {request.method}; /v1/openapi lists them",
        }
        error = HttpError(status, details.get(status, shortened(str(error.detail), 200)), error.headers)
    elif not isinstance(error, CatalogError | ProblemsError):
        _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    status, body, headers = answer(error)
    return Response(body, status_code=status, headers=headers, media_type=MEDIA_TYPE)


def _route(path: str) -> str:
    return path.replace("{device}", "{device:str}")
