"""
The description of the REST interface (OpenAPI 3.1), made from one table and the contract's own types.

A test compares the table with the routes the server has, and calls each.
"""

import html
from typing import Any, NamedTuple

import msgspec

from algorithms.api.network_document import NetworkDocument, SwitchStates
from device_catalog.api.roles import role_of
from device_catalog.contract.calibration import Calibration
from device_catalog.contract.commissioning import (
    COMMISSIONING,
    COMMISSIONING_REPORT,
    COMMISSIONINGS,
    CommissioningPage,
    Kept,
    SignedRecord,
)
from device_catalog.contract.documents import Configuration, Desired
from device_catalog.contract.enrolment import (
    AUTHORITY,
    DEVICE_CERTIFICATE,
    DEVICE_ENROLMENT,
    DEVICE_REVOCATION,
    ENROLMENTS,
    REVOCATIONS,
    AuthorityDocument,
    CertificateRequest,
    EnrolmentGiven,
    EnrolmentRequest,
    EnrolmentWanted,
    Issued,
    RevocationWanted,
    Revoked,
)
from device_catalog.contract.faults import FaultChange, FaultDetail, FaultPage
from device_catalog.contract.history import DeviceHistory, HistoryPage, HistoryStatus
from device_catalog.contract.images import IMAGE_FILE
from device_catalog.contract.network_leases import LeaseGrant, LeaseRequest, SwitchNewsDocument
from device_catalog.contract.networks import AreaDocument, NetworkPage, NetworkStored, RevisionPage
from device_catalog.contract.operators import (
    AUDIT,
    OPERATOR,
    OPERATORS,
    AuditPage,
    OperatorGiven,
    OperatorList,
    OperatorWanted,
)
from device_catalog.contract.paths import (
    APPLIED_HEADER,
    BOOT_HEADER,
    CALIBRATION,
    CONFIGURATION,
    CREDENTIAL,
    DESIRED,
    DEVICE,
    DEVICE_NETWORK,
    DEVICES,
    FAULT,
    FAULTS,
    GROUP,
    GROUP_MEMBERS,
    GROUPS,
    HISTORY,
    KEPT,
    KEPT_DEVICE,
    KEPT_RECORDS,
    NETWORK,
    NETWORK_AREA,
    NETWORK_LEASE,
    NETWORK_LEASE_STATES,
    NETWORK_REVISION,
    NETWORK_REVISIONS,
    NETWORKS,
    OFFSET_HEADER,
    RECORDING,
    RECORDING_FILE,
    RECORDING_REQUEST,
    RECORDINGS,
    REPORTED,
    ROLLOUT,
    ROLLOUT_DEVICES,
    ROLLOUT_ORDERS,
    ROLLOUTS,
    TOPOLOGY,
    TOPOLOGY_REVISION,
    TOPOLOGY_REVISIONS,
)
from device_catalog.contract.policy import Policy
from device_catalog.contract.recordings import Received, RecordingEntry, RecordingInfo, RecordingPage
from device_catalog.contract.register import DeviceDetail, History, Page, ProblemDocument, Registered, Registration
from device_catalog.contract.reports import Reported
from device_catalog.contract.rollouts import (
    DevicePage,
    GroupChange,
    GroupChanged,
    GroupDetail,
    GroupPage,
    RolloutDetail,
    RolloutOrder,
    RolloutPage,
    RolloutRequest,
)
from device_catalog.contract.support import (
    DEVICE_SUPPORT,
    SUPPORT,
    SUPPORT_FILE,
    SUPPORT_LINES,
    SUPPORT_REQUEST,
    BundleLabel,
    LogLines,
    SupportEntry,
    SupportPage,
    SupportWanted,
)
from device_catalog.contract.trust import METADATA, METADATA_FILE, POLICY_FILE, TARGET_FILE, Push, Pushed


class Configured(msgspec.Struct, frozen=True):
    """The answer to a change of configuration."""

    device: str
    revision: int


class Operation(NamedTuple):
    """One thing that can be asked."""

    method: str
    path: str
    summary: str
    who: str
    success: int
    body: type | None = None
    answer: type | None = None
    headers: tuple[str, ...] = ()
    query: tuple[str, ...] = ()
    refusals: tuple[int, ...] = ()


_filters = ("kind", "tenant", "available", "algorithm", "network", "area", "cursor", "limit")
_poll = ("If-None-Match", BOOT_HEADER, APPLIED_HEADER)
_page = ("cursor", "limit")
_known = ("If-None-Match",)
_based = ("If-Match", "If-None-Match")
_unread = (304, 401, 404)

OPERATIONS = (
    Operation("get", DEVICES, "Find devices and services", "operator", 200, None, Page, (), _filters, (401, 422)),
    Operation(
        "post",
        DEVICES,
        "Register a device; its credential is shown this once",
        "operator",
        201,
        Registration,
        Registered,
        ("Idempotency-Key",),
        (),
        (400, 401, 409, 413, 422),
    ),
    Operation("get", DEVICE, "All that is known of a device", "operator", 200, None, DeviceDetail, (), (), (401, 404)),
    Operation("delete", DEVICE, "Take a device off the register", "operator", 204, refusals=(401, 404)),
    Operation(
        "get",
        DESIRED,
        "Poll: heartbeat, acknowledgement, and the desired document when it is newer (304 when it is not)",
        "device",
        200,
        None,
        Desired,
        _poll,
        (),
        (304, 401, 404, 429, 503),
    ),
    Operation("get", CONFIGURATION, "A device's configuration", "device", 200, None, Configuration, (), (), (401, 404)),
    Operation(
        "put",
        CONFIGURATION,
        "Give a device another configuration",
        "operator",
        200,
        Configuration,
        Configured,
        ("If-Match",),
        (),
        (401, 404, 412, 413, 422, 428),
    ),
    Operation(
        "get", CALIBRATION, "A device's newest calibration", "device", 200, None, Calibration, (), (), (401, 404)
    ),
    Operation(
        "put",
        CALIBRATION,
        "Tell what was measured of a device's channels; of two calibrations the later one counts",
        "device",
        200,
        Calibration,
        Configured,
        (),
        (),
        (401, 404, 409, 413, 422),
    ),
    Operation(
        "post",
        COMMISSIONINGS,
        "Hand in the record of a commissioning, signed by the device; the same again is the same number",
        "device",
        201,
        SignedRecord,
        Kept,
        refusals=(401, 404, 413, 422, 429),
    ),
    Operation(
        "get",
        COMMISSIONINGS,
        "A device's commissionings, the newest first",
        "device",
        200,
        None,
        CommissioningPage,
        refusals=(401, 404),
    ),
    Operation(
        "get",
        COMMISSIONING,
        "The signed record of a commissioning as it came, by its number, or newest",
        "device",
        200,
        None,
        SignedRecord,
        refusals=(401, 404),
    ),
    Operation(
        "get",
        COMMISSIONING_REPORT,
        "The report of a commissioning (PDF), with the signed record attached",
        "operator",
        200,
        refusals=(401, 404),
    ),
    Operation("get", REPORTED, "What a device reported last", "device", 200, None, Reported, (), (), (401, 404)),
    Operation(
        "put",
        REPORTED,
        "Report everything anew",
        "device",
        204,
        Reported,
        refusals=(401, 404, 413, 422),
    ),
    Operation(
        "patch",
        REPORTED,
        "Report what changed (merge patch, RFC 7396)",
        "device",
        204,
        Reported,
        refusals=(401, 404, 413, 422),
    ),
    Operation(
        "post", CREDENTIAL, "Give a device another credential", "operator", 201, None, Registered, (), (), (401, 404)
    ),
    Operation(
        "get", HISTORY, "Who changed what of a device, newest first", "operator", 200, None, History, (), (), (401, 404)
    ),
    Operation(
        "get",
        RECORDINGS,
        "Recordings of events, newest first",
        "operator",
        200,
        None,
        RecordingPage,
        (),
        ("device", "cursor", "limit"),
        (401, 422),
    ),
    Operation("put", RECORDING, "Tell of a recording", "device", 204, RecordingInfo, refusals=(401, 404, 413, 422)),
    Operation(
        "get", RECORDING, "What is known of a recording", "device", 200, None, RecordingEntry, (), (), (401, 404)
    ),
    Operation(
        "delete",
        RECORDING,
        "A device: it is gone from here. An operator: forget it, and its file",
        "device",
        204,
        refusals=(401, 404),
    ),
    Operation(
        "put",
        RECORDING_REQUEST,
        "Ask the device for a recording's file",
        "operator",
        202,
        None,
        RecordingEntry,
        (),
        (),
        (401, 404, 409),
    ),
    Operation(
        "patch",
        RECORDING_FILE,
        "Hand over a part of a file that was asked for; the answer says where to go on",
        "device",
        200,
        bytes,
        Received,
        (OFFSET_HEADER,),
        (),
        (400, 401, 404, 409, 413, 422),
    ),
    Operation("get", RECORDING_FILE, "A recording's file", "operator", 200, None, bytes, (), (), (401, 404)),
    Operation(
        "get",
        SUPPORT,
        "Requests for support, newest first",
        "operator",
        200,
        None,
        SupportPage,
        (),
        ("device", *_page),
        (401, 422),
    ),
    Operation(
        "post",
        DEVICE_SUPPORT,
        "Ask a device for a support bundle, or for its log for some minutes",
        "operator",
        201,
        SupportWanted,
        SupportEntry,
        (),
        (),
        (401, 404, 409, 413, 422),
    ),
    Operation(
        "get", SUPPORT_REQUEST, "What became of a request", "operator", 200, None, SupportEntry, (), (), (401, 404)
    ),
    Operation(
        "delete",
        SUPPORT_REQUEST,
        "End a request; a bundle that is here is dropped",
        "operator",
        204,
        refusals=(401, 404),
    ),
    Operation(
        "put",
        SUPPORT_REQUEST,
        "Tell of the bundle that was asked for; the answer says where to go on",
        "device",
        200,
        BundleLabel,
        Received,
        (),
        (),
        (401, 404, 409, 413, 422),
    ),
    Operation(
        "patch",
        SUPPORT_FILE,
        "Hand over a part of a bundle; the answer says where to go on",
        "device",
        200,
        bytes,
        Received,
        (OFFSET_HEADER,),
        (),
        (400, 401, 404, 409, 413, 422),
    ),
    Operation(
        "get",
        SUPPORT_FILE,
        "A bundle; who fetches it is written down",
        "operator",
        200,
        None,
        bytes,
        (),
        (),
        (401, 404),
    ),
    Operation(
        "get",
        SUPPORT_LINES,
        "Lines of a device's log behind one",
        "operator",
        200,
        None,
        LogLines,
        (),
        ("after",),
        (401, 404, 422),
    ),
    Operation(
        "get",
        ROLLOUTS,
        "Rollouts, newest first",
        "operator",
        200,
        None,
        RolloutPage,
        (),
        ("algorithm", "state", *_page),
        (401, 422),
    ),
    Operation(
        "post",
        ROLLOUTS,
        "Bring a signed version of an algorithm to devices, stage by stage",
        "operator",
        201,
        RolloutRequest,
        RolloutDetail,
        ("Idempotency-Key",),
        (),
        (400, 401, 409, 413, 422),
    ),
    Operation(
        "get",
        ROLLOUT,
        "All about a rollout (304 when it is known)",
        "operator",
        200,
        None,
        RolloutDetail,
        _known,
        (),
        _unread,
    ),
    Operation(
        "get",
        ROLLOUT_DEVICES,
        "The devices that a rollout told, and what came of it",
        "operator",
        200,
        None,
        DevicePage,
        (),
        ("state", *_page),
        (401, 404, 422),
    ),
    Operation(
        "post",
        ROLLOUT_ORDERS,
        "Pause, resume or abort a rollout, or promote what ran beside the version in force",
        "operator",
        200,
        RolloutOrder,
        RolloutDetail,
        ("If-Match",),
        (),
        (400, 401, 404, 409, 412, 413, 422, 428),
    ),
    Operation("get", GROUPS, "Groups of devices", "operator", 200, None, GroupPage, (), _page, (401, 422)),
    Operation("get", GROUP, "The devices of a group", "operator", 200, None, GroupDetail, (), _page, (401, 404, 422)),
    Operation(
        "post",
        GROUP_MEMBERS,
        "Let devices join and leave a group, all or none",
        "operator",
        200,
        GroupChange,
        GroupChanged,
        refusals=(401, 404, 413, 422),
    ),
    Operation(
        "get",
        FAULTS,
        "Faults of networks, newest first (304 when they are known)",
        "operator",
        200,
        None,
        FaultPage,
        _known,
        ("network", "cursor", "limit"),
        (304, 401, 422),
    ),
    Operation(
        "get",
        FAULT,
        "What was said of a fault, and its recordings (304 when it is known)",
        "operator",
        200,
        None,
        FaultDetail,
        _known,
        (),
        _unread,
    ),
    Operation(
        "patch",
        FAULT,
        "Say that a fault is repaired, or take it back",
        "operator",
        200,
        FaultChange,
        FaultDetail,
        ("If-Match",),
        (),
        (400, 401, 404, 412, 413, 422, 428),
    ),
    Operation(
        "get",
        DEVICE_NETWORK,
        "The part of its network that a device looks after, with its switches (304 when it is known)",
        "device",
        200,
        None,
        AreaDocument,
        ("If-None-Match",),
        (),
        (304, 401, 404),
    ),
    Operation("get", NETWORKS, "Networks", "operator", 200, None, NetworkPage, (), _page, (401, 422)),
    Operation(
        "get", NETWORK, "A network, the newest revision", "operator", 200, None, NetworkDocument, _known, (), _unread
    ),
    Operation(
        "put",
        NETWORK,
        "Keep a revision of a network, and tell the devices whose part it changes",
        "operator",
        200,
        NetworkDocument,
        NetworkStored,
        _based,
        (),
        (401, 404, 412, 413, 422, 428),
    ),
    Operation(
        "get",
        NETWORK_REVISIONS,
        "Revisions of a network, newest first",
        "operator",
        200,
        None,
        RevisionPage,
        (),
        _page,
        (401, 404, 422),
    ),
    Operation(
        "get", NETWORK_REVISION, "A network, any revision", "operator", 200, None, NetworkDocument, _known, (), _unread
    ),
    Operation(
        "get",
        NETWORK_AREA,
        "The part of a network that the agent of an area needs",
        "operator",
        200,
        None,
        AreaDocument,
        _known,
        (),
        _unread,
    ),
    Operation(
        "post",
        NETWORK_LEASE,
        "Ask for the right to switch a network; its token is larger than all before",
        "device",
        201,
        LeaseRequest,
        LeaseGrant,
        (),
        (),
        (401, 404, 409, 413, 422),
    ),
    Operation(
        "put",
        NETWORK_LEASE,
        "Let a lease run on",
        "device",
        200,
        LeaseRequest,
        LeaseGrant,
        (),
        (),
        (401, 404, 409, 413, 422),
    ),
    Operation(
        "post",
        NETWORK_LEASE_STATES,
        "Say where some switches of a network stand, under its lease; the devices whose part it changes are told",
        "device",
        200,
        SwitchNewsDocument,
        NetworkStored,
        (),
        (),
        (401, 404, 409, 413, 422),
    ),
    Operation("get", NETWORK_LEASE, "Who may switch a network", "operator", 200, None, LeaseGrant, (), (), (401, 404)),
    Operation(
        "delete",
        NETWORK_LEASE,
        "Give a lease back, or take it away",
        "device",
        204,
        query=("holder", "token"),
        refusals=(400, 401, 404),
    ),
    Operation(
        "get", TOPOLOGY, "Where a network's switches stand", "operator", 200, None, SwitchStates, _known, (), _unread
    ),
    Operation(
        "put",
        TOPOLOGY,
        "Say where a network's switches stand; the devices whose part it changes are told",
        "operator",
        200,
        SwitchStates,
        NetworkStored,
        _based,
        (),
        (401, 404, 412, 413, 422, 428),
    ),
    Operation(
        "get",
        TOPOLOGY_REVISIONS,
        "Revisions of a network's switch states, newest first",
        "operator",
        200,
        None,
        RevisionPage,
        (),
        _page,
        (401, 404, 422),
    ),
    Operation(
        "get",
        TOPOLOGY_REVISION,
        "Where a network's switches stood, any revision",
        "operator",
        200,
        None,
        SwitchStates,
        _known,
        (),
        _unread,
    ),
    Operation(
        "get", METADATA_FILE, "A signed document of the repository", "anybody", 200, None, None, _known, (), (304, 404)
    ),
    Operation(
        "get", TARGET_FILE, "A package of the signed repository", "anybody", 200, None, bytes, _known, (), (304, 404)
    ),
    Operation(
        "get",
        IMAGE_FILE,
        "The manifest or the payload of an image, from any byte on",
        "anybody",
        200,
        None,
        bytes,
        ("Range",),
        (),
        (206, 304, 404, 416, 503),
    ),
    Operation(
        "patch",
        IMAGE_FILE,
        "Bring a part of an image's payload; the answer says where to go on",
        "operator",
        200,
        bytes,
        Received,
        (OFFSET_HEADER,),
        (),
        (400, 401, 404, 413, 422),
    ),
    Operation(
        "put",
        IMAGE_FILE,
        "Bring an image's manifest once its payload is here; the payload is judged by it",
        "operator",
        204,
        bytes,
        refusals=(401, 404, 413, 422),
    ),
    Operation("get", POLICY_FILE, "The DSO's policy", "anybody", 200, None, Policy, _known, (), (304, 404)),
    Operation(
        "put",
        POLICY_FILE,
        "Bring a policy under the name of its digest; nobody is told of it before a signed document names it",
        "operator",
        204,
        Policy,
        refusals=(401, 404, 413, 422),
    ),
    Operation(
        "put",
        TARGET_FILE,
        "Bring a package under the name of its digest; nobody is told of it before a signed document names it",
        "operator",
        204,
        bytes,
        refusals=(401, 404, 413, 422),
    ),
    Operation(
        "put",
        METADATA,
        "Bring signed documents as texts by file name; they are verified as a meter would before any is stored",
        "operator",
        200,
        Push,
        Pushed,
        refusals=(401, 413, 422, 501),
    ),
    Operation(
        "get", AUTHORITY, "The authorities that vouch for catalog and brokers", "anybody", 200, None, AuthorityDocument
    ),
    Operation("get", REVOCATIONS, "Certificates that are void, for brokers and proxies (CRL, PEM)", "anybody", 200),
    Operation(
        "post",
        ENROLMENTS,
        "Get a certificate for a token; the same key gets the same answer again",
        "anybody",
        201,
        EnrolmentRequest,
        Issued,
        refusals=(403, 413, 422, 429),
    ),
    Operation(
        "post",
        DEVICE_ENROLMENT,
        "Make a token that lets a device in once; its secret is shown this once",
        "operator",
        201,
        EnrolmentWanted,
        EnrolmentGiven,
        refusals=(401, 404, 413, 422),
    ),
    Operation(
        "post",
        DEVICE_CERTIFICATE,
        "Get another certificate before one's own ends",
        "certificate",
        201,
        CertificateRequest,
        Issued,
        refusals=(401, 404, 413, 422),
    ),
    Operation(
        "post",
        DEVICE_REVOCATION,
        "Lock a device out: certificates, credential and tokens are void at once",
        "operator",
        200,
        RevocationWanted,
        Revoked,
        refusals=(401, 404, 413, 422),
    ),
    Operation("get", OPERATORS, "Who operates the catalog", "operator", 200, None, OperatorList, refusals=(401,)),
    Operation(
        "post",
        OPERATORS,
        "Take in an operator; the token is shown this once",
        "operator",
        201,
        OperatorWanted,
        OperatorGiven,
        refusals=(401, 409, 413, 422),
    ),
    Operation("delete", OPERATOR, "Make an operator's token void", "operator", 204, refusals=(401, 404, 409)),
    Operation(
        "get",
        AUDIT,
        "Who did what, newest first; every entry is bound to those before it",
        "operator",
        200,
        None,
        AuditPage,
        (),
        ("cursor", "limit", "since"),
        (401, 422),
    ),
    Operation(
        "get", KEPT, "How the measurement history is doing", "operator", 200, None, HistoryStatus, (), (), (401,)
    ),
    Operation(
        "get",
        KEPT_DEVICE,
        "What is kept of what a device measured and said",
        "operator",
        200,
        None,
        DeviceHistory,
        (),
        (),
        (401, 404),
    ),
    Operation(
        "get",
        KEPT_RECORDS,
        "Records of a class, or steps of time summed up, oldest first; JSON, CSV or Parquet (304 when they are known)",
        "operator",
        200,
        None,
        HistoryPage,
        _known,
        ("from", "to", "fields", "step", "name", "cursor", "limit", "format"),
        (304, 401, 404, 422, 501),
    ),
    Operation("get", "/healthz", "Whether the process runs", "anybody", 200),
    Operation("get", "/readyz", "Whether it can serve", "anybody", 200, refusals=(503,)),
    Operation("get", "/metrics", "Counters for Prometheus", "anybody", 200),
    Operation("get", "/v1/openapi", "This description", "anybody", 200),
    Operation("get", "/schema", "This description as a page", "anybody", 200),
)

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
        responses[str(status)] = {"description": _problems[status], **({} if status in (206, 304) else {"content": problem})}
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
