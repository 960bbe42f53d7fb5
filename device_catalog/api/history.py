"""
The REST interface of the measurement history: how it goes, what there is of a device, records and steps of time.

Operators only. JSON unless ``format`` says ``csv`` or ``parquet``; the cursor of the next part stands in the header
``Next-Cursor`` whatever the format.
"""

import hashlib
import time
from collections.abc import Sequence
from typing import Any

import msgspec
from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

from algorithms.api.errors import Problem, shortened
from algorithms.api.wire import time_from_text
from device_catalog.api.callers import Access, AnyRequest
from device_catalog.api.problems import HttpError
from device_catalog.contract.paths import CURSOR_HEADER, KEPT, KEPT_DEVICE, KEPT_RECORDS
from device_catalog.contract.topics import is_identifier
from device_catalog.errors import Refused
from device_catalog.fleet.fleet import Fleet
from device_catalog.history.arrival import Content
from device_catalog.history.export import ParquetMissing, csv_of, parquet_of, table_of
from device_catalog.history.questions import MAXIMUM_PAGE, MINUTE, History, Range
from device_catalog.history.rollups import MAXIMUM_STEP

QUERY = ("from", "to", "fields", "step", "name", "cursor", "limit", "format")
FORMATS = {"json": "application/json", "csv": "text/csv", "parquet": "application/vnd.apache.parquet"}
HOUR_NS = 3600 * 1_000_000_000
MAXIMUM_FIELDS = 64


def handlers(history: History, fleet: Fleet, access: Access) -> Sequence[HTTPRouteHandler]:
    """
    Make the handlers.

    Parameters
    ----------
    history : History
    fleet : Fleet
        Knows whose tenant's a device is.
    access : Access
    """

    @get(KEPT)
    async def status(request: AnyRequest) -> Response[bytes]:
        access.operator(request)
        return _answer(msgspec.json.encode(await history.status()))

    @get(_route(KEPT_DEVICE))
    async def device(request: AnyRequest) -> Response[bytes]:
        access.operator(request)
        name = _device(request)
        return _answer(msgspec.json.encode(await history.device(_tenant(fleet, name), name)))

    @get(_route(KEPT_RECORDS))
    async def records(request: AnyRequest) -> Response[bytes]:
        access.operator(request)
        name, content = _device(request), _content(request)
        kind, asked = read_query(dict(request.query_params), time.time_ns())
        page = await history.page(_tenant(fleet, name), name, content, asked)
        if kind == "json":
            body = msgspec.json.encode(page)
        elif kind == "csv":
            body = csv_of(table_of([page]), header=not asked.cursor)
        else:
            try:
                body = parquet_of(table_of([page]))
            except ParquetMissing as error:
                raise HttpError(501, str(error)) from error
        tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        headers = {"ETag": tag, "Cache-Control": "no-cache", **({CURSOR_HEADER: page.next} if page.next else {})}
        if tag in [part.strip() for part in request.headers.get("If-None-Match", "").split(",")]:
            return Response(b"", status_code=304, headers={"ETag": tag})
        if kind != "json":
            headers["Content-Disposition"] = f'attachment; filename="{name}_{content}.{kind}"'
        return Response(body, headers=headers, media_type=FORMATS[kind])

    return [status, device, records]


def read_query(query: dict[str, str], now_ns: int) -> tuple[str, Range]:
    """
    Read what is asked for; the last hour unless said otherwise.

    Raises
    ------
    Refused
        With every problem found.
    """
    problems = [
        Problem(f"query.{shortened(name, 40)}", ", ".join(QUERY), "an unknown parameter", "remove it")
        for name in query
        if name not in QUERY
    ]
    last_ns = _time(query, "to", now_ns, problems)
    first_ns = _time(query, "from", last_ns - HOUR_NS, problems)
    if first_ns >= last_ns and not problems:
        problems.append(Problem("query.from", "a time before `to`", shortened(query.get("from", ""))))
    step = _count(query, "step", 0, MAXIMUM_STEP, problems)
    if step % MINUTE:
        problems.append(Problem("query.step", f"whole minutes, {MINUTE} or a multiple of it [s]", str(step)))
    limit = _count(query, "limit", 1000, MAXIMUM_PAGE, problems)
    if limit == 0:
        problems.append(Problem("query.limit", f"a number from 1 to {MAXIMUM_PAGE}", "0"))
    fields = tuple(part for part in query.get("fields", "").split(",") if part)
    if len(fields) > MAXIMUM_FIELDS or any(len(field) > 128 for field in fields):
        problems.append(Problem("query.fields", f"at most {MAXIMUM_FIELDS} names", f"{len(fields)}"))
    kind = query.get("format", "json")
    if kind not in FORMATS:
        problems.append(Problem("query.format", ", ".join(FORMATS), shortened(kind)))
    if len(query.get("name", "")) > 128:
        problems.append(Problem("query.name", "at most 128 characters", "more"))
    if problems:
        raise Refused(problems)
    return kind, Range(first_ns, last_ns, fields, step, query.get("name", ""), query.get("cursor", ""), limit)


def _time(query: dict[str, str], name: str, default_ns: int, problems: list[Problem]) -> int:
    text = query.get(name, "")
    if not text:
        return default_ns
    try:
        return time_from_text(text.replace(" ", "+"))  # a plus sign that nobody escaped has become a space
    except ValueError:
        problems.append(Problem(f"query.{name}", "a time such as 2026-11-21T12:00:00Z", shortened(text)))
        return default_ns


def _count(query: dict[str, str], name: str, default: int, most: int, problems: list[Problem]) -> int:
    text = query.get(name, str(default))
    if text.isascii() and text.isdigit() and len(text) < 10 and int(text) <= most:
        return int(text)
    problems.append(Problem(f"query.{name}", f"a number up to {most}", shortened(text)))
    return default


def _device(request: AnyRequest) -> str:
    name = str(request.path_params["device"])
    if not is_identifier(name):
        raise HttpError(404, f"expected letters, digits, _ and - (at most 64), found {shortened(name)}")
    return name


def _content(request: AnyRequest) -> Content:
    name = str(request.path_params["content"])
    try:
        return Content(name)
    except ValueError as error:
        raise HttpError(404, f"expected one of {', '.join(Content)}, found {shortened(name)}") from error


def _tenant(fleet: Fleet, device: str) -> str:
    """Tell the tenant under whose name a device speaks; any where it is not registered any more."""
    found = fleet.devices.get(device)
    return "" if found is None else found.tenant


def _answer(body: bytes) -> Response[bytes]:
    return Response(body, media_type="application/json")


def _route(path: str) -> Any:
    return path.replace("{device}", "{device:str}").replace("{content}", "{content:str}")
