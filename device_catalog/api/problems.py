"""
Errors as problem documents (RFC 9457): one shape for every answer that is not a success.

`type` is a path-absolute reference that never changes; `problems` names everything wrong with a document.
"""

from collections.abc import Mapping
from http import HTTPStatus

import msgspec

from algorithms.api.errors import Problem, ProblemsError
from device_catalog.contract.register import ProblemDocument
from device_catalog.errors import (
    AskedTooOften,
    CatalogError,
    Conflict,
    DeviceUnknown,
    EnrolmentRefused,
    FaultUnknown,
    HistoryUnknown,
    NetworkUnknown,
    NotAllowed,
    NotAuthorised,
    OperatorUnknown,
    Overloaded,
    PolledTooOften,
    RecordingUnknown,
    Refused,
    RenewedTooEarly,
    RevisionOutdated,
    RolloutUnknown,
    StorageError,
    StorageFull,
    SupportUnknown,
)

MEDIA_TYPE = "application/problem+json"

_kinds: Mapping[type[Exception], tuple[int, str, str]] = {
    DeviceUnknown: (404, "device-unknown", "No such device"),
    NetworkUnknown: (404, "network-unknown", "No such network"),
    RecordingUnknown: (404, "recording-unknown", "No such recording"),
    FaultUnknown: (404, "fault-unknown", "No such fault"),
    SupportUnknown: (404, "support-unknown", "No such request"),
    RolloutUnknown: (404, "rollout-unknown", "No such rollout"),
    HistoryUnknown: (404, "history-unknown", "Nothing kept"),
    OperatorUnknown: (404, "operator-unknown", "No such operator"),
    NotAuthorised: (401, "not-authorised", "Credential needed"),
    NotAllowed: (403, "not-allowed", "Not allowed"),
    EnrolmentRefused: (403, "enrolment-refused", "Enrolment refused"),
    Conflict: (409, "conflict", "In conflict with what is there"),
    RevisionOutdated: (412, "revision-outdated", "Changed by somebody else"),
    Refused: (422, "document-refused", "Document refused"),
    ProblemsError: (422, "document-refused", "Document refused"),
    PolledTooOften: (429, "polled-too-often", "Polls far too often"),
    AskedTooOften: (429, "asked-too-often", "Asks too often"),
    RenewedTooEarly: (429, "renewed-too-early", "Renewed too early"),
    Overloaded: (503, "overloaded", "Too much at this moment"),
    StorageFull: (507, "storage-full", "No room for the change"),
    StorageError: (503, "storage", "Database out of reach"),
}


class HttpError(CatalogError):
    """A request that HTTP itself gives a status to: too long, wrong method, missing header."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        self.status = status
        self.headers = dict(headers or {})
        super().__init__(detail)


def document(status: int, kind: str, title: str, detail: str, problems: tuple[Problem, ...] = ()) -> bytes:
    """Write a problem document."""
    return msgspec.json.encode(ProblemDocument(f"/problems/{kind}", title, status, detail, problems))


def answer(error: Exception) -> tuple[int, bytes, dict[str, str]]:
    """
    Say an error: status, body, headers.

    An error of no known kind is a bug of ours: the answer says so and no more.
    """
    if isinstance(error, HttpError):
        title = HTTPStatus(error.status).phrase
        body = document(error.status, title.lower().replace(" ", "-"), title, str(error))
        return error.status, body, error.headers
    for error_type, (status, kind, title) in _kinds.items():
        if isinstance(error, error_type):
            problems = getattr(error, "problems", ())
            headers: dict[str, str] = {}
            if status in (429, 503, 507):
                headers["Retry-After"] = str(getattr(error, "retry_after", 10))
            if isinstance(error, NotAuthorised):
                headers["WWW-Authenticate"] = 'Bearer realm="tresma catalog"'
            detail = str(error)
            if problems:
                detail = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}; nothing was changed"
            return status, document(status, kind, title, detail, problems), headers
    detail = "expected no fault of the catalog's own, found one; its log has the details"
    return 500, document(500, "internal", "Fault of the catalog", detail), {}
