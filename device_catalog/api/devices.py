"""
The REST interface of devices: who may ask, what is read, which service is called, what is answered.

An operator registers a device, says what it shall do, and removes it; the device reads its own configuration and hands
in its calibration and its reports. The poll, which comes thousands of times a second, has a way of its own (`gateway`).
"""

import time
from collections.abc import Sequence
from math import ceil

import msgspec
from litestar import Response, delete, get, patch, post, put
from litestar.handlers import HTTPRouteHandler

from algorithms.api.errors import Problem, shortened
from device_catalog.access.enrolments import Enrolments
from device_catalog.access.operators import Operator
from device_catalog.api.bodies import decoded, read_body
from device_catalog.api.callers import Access, AnyRequest, visit_of
from device_catalog.api.limits import Buckets
from device_catalog.api.problems import HttpError
from device_catalog.contract.calibration import problems_of as problems_of_calibration
from device_catalog.contract.documents import Configuration
from device_catalog.contract.paths import (
    CALIBRATION,
    CONFIGURATION,
    CREDENTIAL,
    DEVICE,
    DEVICES,
    HISTORY,
    REPORTED,
    etag,
)
from device_catalog.contract.register import DeviceKind
from device_catalog.contract.topics import is_identifier
from device_catalog.contract.validation import parse_calibration, parse_configuration, parse_registration
from device_catalog.errors import AskedTooOften, NotAllowed, Refused
from device_catalog.fleet.changes import Changes
from device_catalog.fleet.questions import MAXIMUM_PAGE, Questions
from device_catalog.grid.recordings import Recordings
from device_catalog.storage.rows import Filters
from device_catalog.support.requests import SupportRequests

_encode = msgspec.json.encode

CALIBRATIONS = 6
"""That one device may hand in within an hour."""

_filters = ("kind", "tenant", "available", "algorithm", "network", "area", "cursor", "limit")


def handlers(  # noqa: C901, PLR0915, PLR0917 - a list of small handlers, and what they are handed
    changes: Changes,
    questions: Questions,
    enrolments: Enrolments,
    recordings: Recordings,
    support: SupportRequests,
    access: Access,
) -> Sequence[HTTPRouteHandler]:
    """
    Make the handlers.

    Parameters
    ----------
    changes : Changes
    questions : Questions
    enrolments : Enrolments
    recordings : Recordings
    support : SupportRequests
        These three forget a device that is removed.
    access : Access
    """
    calibrations = Buckets(rate=CALIBRATIONS / 3600, burst=CALIBRATIONS)  # each is a revision, for ever

    @post(_route(DEVICES))
    async def register(request: AnyRequest) -> Response[bytes]:
        operator = access.operator(request)
        body = await read_body(request)
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
        parsed = parse_configuration(await read_body(request))
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
        parsed = parse_calibration(await read_body(request))
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
        await changes.report(_name(request), decoded(await read_body(request)), whole=False)

    @put(_route(REPORTED), status_code=204)
    async def report_whole(request: AnyRequest) -> None:
        access.own(request)
        await changes.report(_name(request), decoded(await read_body(request)), whole=True)

    @post(_route(CREDENTIAL))
    async def credential(request: AnyRequest) -> Response[bytes]:
        operator = access.operator(request)
        return _json(_encode(await changes.renew_credential(_name(request), operator.name)), 201)

    @get(_route(HISTORY))
    async def history(request: AnyRequest) -> Response[bytes]:
        operator = access.operator(request)
        return _json(_encode(await questions.history(_name(request), of_this_owner=bool(operator.tenant))))

    return [
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
    ]


def _name(request: AnyRequest) -> str:
    return str(request.path_params["device"])


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


def _route(path: str) -> str:
    return path.replace("{device}", "{device:str}")
