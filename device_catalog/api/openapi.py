"""
The description of the REST interface (OpenAPI 3.1), made from one table and the contract's own types.

A test compares the table with the routes the server has, and calls each.
"""

import html
from typing import Any

import msgspec

from device_catalog.api.operations import OPERATIONS
from device_catalog.api.operations.operation import Operation
from device_catalog.api.roles import role_of
from device_catalog.contract.register import ProblemDocument

_problems = {
    206: "The part that was asked for",
    304: "Nothing newer than what If-None-Match names",
    400: "A header that cannot be used",
    401: "No credential, or not the right one",
    403: "Another role is needed, or the token lets nobody in",
    404: "No such device or network, or nothing of it yet",
    409: "In conflict with what is there",
    412: "Changed by somebody else since it was read",
    413: "Longer than 1 MiB, of a network and its switches 16 MiB",
    416: "No range within the file",
    422: "Refused, with every problem found",
    428: "If-Match is missing",
    429: "Asked or polled far too often; Retry-After says when to come back",
    501: "A library that this needs is not installed",
    503: "Too much at this moment, or not ready; Retry-After says when to come back",
    507: "No room on the database's disk; nothing was changed",
}


def description() -> dict[str, Any]:
    """Build the description."""
    mentioned = [item for operation in OPERATIONS for item in (operation.body, operation.answer)]
    types = [item for item in mentioned if item not in (None, bytes)]
    _, components = msgspec.json.schema_components(
        [*dict.fromkeys(types), ProblemDocument], ref_template="#/components/schemas/{name}"
    )
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "tresma device catalog", "version": "1"},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "operator": {"type": "http", "scheme": "bearer", "description": "An operator's token"},
                "certificate": {"type": "mutualTLS", "description": "The device's own certificate"},
                "device": {"type": "http", "scheme": "bearer", "description": "The device's own credential"},
            },
        },
    }


def document() -> bytes:
    """Write the description as JSON."""
    return msgspec.json.encode(description())


def page() -> bytes:
    """Write the description as a page that needs nothing from elsewhere."""
    rows = "".join(
        f"<tr><td><b>{operation.method.upper()}</b><td><code>{html.escape(operation.path)}</code>"
        f"<td>{html.escape(operation.summary)}<td>{_who(operation)}"
        f"<td>{_type_name(operation.body)}<td>{operation.success} {_type_name(operation.answer)}"
        f"<td>{', '.join(str(status) for status in operation.refusals)}"
        for operation in OPERATIONS
    )
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>tresma device catalog</title>"
        "<style>body{font:15px sans-serif;margin:2em}td,th{padding:.3em .8em;text-align:left;"
        "border-bottom:1px solid #ccc;vertical-align:top}</style><h1>tresma device catalog</h1>"
        "<p>Types and fields: <a href=/v1/openapi>/v1/openapi</a> (OpenAPI 3.1). Errors are problem documents "
        "(RFC 9457).</p><table><tr><th>Method<th>Path<th>What it does<th>Who<th>Body<th>Answer<th>Refusals"
        f"{rows}</table></html>"
    ).encode()


def _operation(operation: Operation) -> dict[str, Any]:
    parameters: list[dict[str, Any]] = []
    if "{device}" in operation.path:
        parameters.append(_parameter("device", "path", required=True))
    others = (
        "operator",
        "recording",
        "network",
        "area",
        "revision",
        "fault",
        "algorithm",
        "file",
        "rollout",
        "group",
        "content",
    )
    named = [name for name in others if f"{{{name}}}" in operation.path]
    parameters += [_parameter(name, "path", required=True) for name in named]
    parameters += [_parameter(name, "query") for name in operation.query]
    parameters += [
        _parameter(name, "header", required=operation.headers == ("If-Match",)) for name in operation.headers
    ]
    success: dict[str, Any] = {"description": "Done"}
    if operation.answer is not None:
        success["content"] = _content(operation.answer, "application/json")
    problem = {"application/problem+json": {"schema": _reference(ProblemDocument)}}
    responses = {str(operation.success): success}
    storage: tuple[int, ...] = ()
    if operation.who != "anybody":  # whatever needs the database can find it out of reach, and a change no room in it
        storage = (503,) if operation.method == "get" else (503, 507)
    slow = () if operation.who == "anybody" else (429,)
    role = (403,) if operation.who in ("operator", "device") else ()
    for status in sorted({*operation.refusals, *storage, *slow, *role}):
        responses[str(status)] = {
            "description": _problems[status],
            **({} if status in (206, 304) else {"content": problem}),
        }
    result: dict[str, Any] = {"summary": operation.summary, "parameters": parameters, "responses": responses}
    if operation.body is not None:
        media_type = "application/merge-patch+json" if operation.method == "patch" else "application/json"
        result["requestBody"] = {"required": True, "content": _content(operation.body, media_type)}
    if operation.who != "anybody":
        known = {"operator": ("operator",), "device": ("operator", "certificate", "device")}
        result["security"] = [{name: []} for name in known.get(operation.who, (operation.who,))]
    if operation.who in ("operator", "device"):
        result["x-role"] = role_of(operation.method, operation.path).value
    return result


def _parameter(name: str, place: str, *, required: bool = False) -> dict[str, Any]:
    return {"name": name, "in": place, "required": required, "schema": {"type": "string"}}


def _content(document_type: type, media_type: str) -> dict[str, Any]:
    if document_type is bytes:
        return {"application/octet-stream": {}}
    return {media_type: {"schema": _reference(document_type)}}


def _reference(document_type: type) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{document_type.__name__}"}


def _who(operation: Operation) -> str:
    if operation.who not in ("operator", "device"):
        return operation.who
    role = role_of(operation.method, operation.path).value
    return role if operation.who == "operator" else f"device, {role}"


def _type_name(document_type: type | None) -> str:
    return document_type.__name__ if document_type else ""
