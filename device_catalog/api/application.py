"""
The REST interface apart from the poll, put together: every subject's handlers, and what a fault is answered with.

Operators may do what their role allows (`roles`); a device reaches its own documents only. Handlers read the body
themselves (`bodies`), so that a document is refused by its length before it is read, and with every problem after.
"""

import logging
from collections.abc import Callable
from pathlib import Path

from litestar import Litestar, Response, get
from litestar.exceptions import HTTPException

from algorithms.api.errors import ProblemsError, shortened
from device_catalog.access.audit import Audit
from device_catalog.access.enrolments import Enrolments
from device_catalog.access.operators import Operators
from device_catalog.api.access import handlers as access_handlers
from device_catalog.api.bodies import read_body, read_document
from device_catalog.api.callers import Access, AnyRequest
from device_catalog.api.commissionings import handlers as commissioning_handlers
from device_catalog.api.devices import handlers as device_handlers
from device_catalog.api.faults import handlers as fault_handlers
from device_catalog.api.groups import handlers as group_handlers
from device_catalog.api.history import handlers as history_handlers
from device_catalog.api.images import handlers as image_handlers
from device_catalog.api.network_leases import handlers as lease_handlers
from device_catalog.api.networks import handlers as network_handlers
from device_catalog.api.openapi import document as openapi_document
from device_catalog.api.openapi import page as openapi_page
from device_catalog.api.problems import MEDIA_TYPE, HttpError, answer
from device_catalog.api.recordings import handlers as recording_handlers
from device_catalog.api.rollouts import handlers as rollout_handlers
from device_catalog.api.support import handlers as support_handlers
from device_catalog.api.trust import handlers as trust_handlers
from device_catalog.errors import CatalogError
from device_catalog.fleet.changes import Changes
from device_catalog.fleet.commissionings import Commissionings
from device_catalog.fleet.fleet import Fleet
from device_catalog.fleet.questions import Questions
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
from device_catalog.support.requests import SupportRequests

_log = logging.getLogger(__name__)


def make_application(  # noqa: PLR0917 - a list of small handlers, and what they are handed
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
            *device_handlers(changes, questions, enrolments, recordings, support, access),
            *recording_handlers(recordings, access, read_body),
            *support_handlers(support, audit, access, read_body, read_document),
            *commissioning_handlers(commissionings, access, read_body),
            *fault_handlers(faults, access, read_body),
            *network_handlers(*networks, access, read_body),
            *lease_handlers(*leases, access, read_document),
            *rollout_handlers(*rollouts, access, read_body),
            *group_handlers(*rollouts, access, read_body),
            *access_handlers(enrolments, operators, audit, fleet, access, read_document),
            *trust_handlers(trust, access, read_body),
            *image_handlers(trust, access, read_body),
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


def _json(body: bytes) -> Response[bytes]:
    return Response(body, media_type="application/json")


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
