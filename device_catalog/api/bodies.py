"""Bodies of requests: read as far as they may go, and as JSON objects."""

from typing import Any

import msgspec

from algorithms.api.errors import Problem, shortened
from device_catalog.api.callers import AnyRequest
from device_catalog.api.problems import HttpError
from device_catalog.contract.paths import MAXIMUM_DOCUMENT
from device_catalog.errors import Refused


async def read_body(request: AnyRequest, limit: int = MAXIMUM_DOCUMENT) -> bytes:
    """
    Read the body as far as it may go [bytes].

    Raises
    ------
    HttpError
        When it is longer.
    """
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


async def read_document(request: AnyRequest) -> Any:
    """Read the body as a JSON object; raises as `decoded` does."""
    return decoded(await read_body(request))


def decoded(body: bytes) -> Any:
    """
    Read a JSON object.

    Raises
    ------
    Refused
    """
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused([Problem("body", "JSON", shortened(str(error), 200))]) from error
    if not isinstance(found, dict):
        raise Refused([Problem("body", "a JSON object", shortened(found))])
    return found
