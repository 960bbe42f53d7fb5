"""
The REST API as the operator's commands see it: documents in and out, problems with their remedies.

Every change of a device names the revision it was made from (``If-Match``), so that two operators cannot overwrite
each other unseen. Lists come in pages; `devices` follows the cursors.
"""

import difflib
from collections.abc import Iterator, Mapping
from typing import Any, Self, TypeVar
from urllib.parse import quote

import msgspec
import requests

from algorithms.api.errors import shortened
from device_catalog.contract import paths
from device_catalog.contract.documents import Configuration, TopologyReference
from device_catalog.contract.register import (
    DeviceDetail,
    DeviceSummary,
    Page,
    ProblemDocument,
    Registered,
    Registration,
)
from device_catalog.contract.topics import is_identifier
from device_catalog.operator.errors import CatalogAway, OperatorError, UsageError
from device_catalog.operator.settings import Settings

TIMEOUT = (5.0, 30.0)
"""Limits to connect, and between two pieces of an answer [s]."""

PAGE = 200
"""Devices asked for at a time."""

MAXIMUM_PAGES = 10_000
"""Bound of a list that never ends."""

Document = TypeVar("Document")

_away = (429, 502, 503, 504)


class Catalog:
    """
    A catalog, asked on behalf of an operator.

    Parameters
    ----------
    settings : Settings

    Attributes
    ----------
    base : str
        Its address without a slash at the end.
    """

    def __init__(self, settings: Settings) -> None:
        if not settings.catalog:
            raise UsageError(
                "which catalog? Give --catalog https://host, set TRESMA_CATALOG, "
                "or write `catalog: https://host` into ~/.config/tresma/operator.yaml"
            )
        self.base = settings.catalog
        self._has_token = bool(settings.token)
        self._session = requests.Session()
        if settings.token:
            self._session.headers["Authorization"] = f"Bearer {settings.token}"
        self._verify: str | bool = settings.ca or True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def register(self, registration: Registration | Mapping[str, Any]) -> Registered:
        """Register a device, judged by the catalog alone; the answer holds its credential, this once."""
        answer, _ = self._exchange("POST", paths.DEVICES, body=registration)
        return read(answer, Registered)

    def devices(self, filters: Mapping[str, str] | None = None) -> Iterator[DeviceSummary]:
        """Go through the devices that fit `filters`, asking for the next page when it is needed."""
        cursor = ""
        for _ in range(MAXIMUM_PAGES):
            query = {"limit": str(PAGE), **(filters or {}), **({"cursor": cursor} if cursor else {})}
            answer, _ = self._exchange("GET", paths.DEVICES, query=query)
            page = read(answer, Page)
            yield from page.items
            if not page.next or page.next == cursor:
                return
            cursor = page.next

    def device(self, device: str) -> DeviceDetail:
        """Return all the catalog knows of a device."""
        answer, _ = self._exchange("GET", paths.DEVICE, device)
        return read(answer, DeviceDetail)

    def configuration(self, device: str) -> tuple[dict[str, Any], str]:
        """Return a device's configuration as plain data, and the entity tag to change it with."""
        answer, tag = self._exchange("GET", paths.CONFIGURATION, device)
        plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(read(answer, Configuration)))
        return plain, tag

    def configure(self, device: str, configuration: Mapping[str, Any] | Configuration, tag: str) -> int:
        """Replace a device's configuration, made from the revision that `tag` names; return the new revision."""
        _, tag = self._exchange("PUT", paths.CONFIGURATION, device, body=configuration, headers={"If-Match": tag})
        revision = paths.revision_of(tag)
        return revision if revision is not None else self.device(device).desired.revision

    def place_problem(self, topology: TopologyReference | None) -> str:
        """Say what is wrong with the place in a network that a configuration names; nothing where it is there."""
        if topology is None or not topology.network:
            return ""
        path, query = paths.NETWORK_REVISIONS, {"limit": "1"}
        if topology.area:
            path, query = paths.NETWORK_AREA, {}
        try:
            self._exchange("GET", path.format(network=topology.network, area=topology.area), query=query)
        except OperatorError as error:
            if error.status != 404:
                raise
            area = f"area {topology.area} of " if topology.area else ""
            return f"the catalog has no {area}network {topology.network}: the device gets no part of it"
        return ""

    def remove(self, device: str, tag: str) -> None:
        """Take a device out of the catalog; its credential is worth nothing from then on."""
        self._exchange("DELETE", paths.DEVICE, device, headers={"If-Match": tag})

    def _exchange(
        self,
        method: str,
        path: str,
        device: str = "",
        *,
        body: Any = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[bytes, str]:
        url = self.base + path.format(device=quote(device, safe=""))
        sent = dict(headers or {})
        data = None
        if body is not None:
            data = msgspec.json.encode(body)
            sent["Content-Type"] = "application/json"
        try:
            with self._session.request(
                method,
                url,
                params=query,
                data=data,
                headers=sent,
                timeout=TIMEOUT,
                stream=True,
                allow_redirects=False,
                verify=self._verify,
            ) as response:
                answer = _limited(response)
        except requests.RequestException as error:
            raise CatalogAway(
                f"the catalog at {self.base} cannot be reached: {_reason(error)}; "
                "is it running, and is the address right?"
            ) from error
        if response.ok:
            return answer, response.headers.get("ETag", "")
        raise self._refused(response.status_code, answer, device)

    def _refused(self, status: int, answer: bytes, device: str) -> OperatorError:
        try:
            document = msgspec.json.decode(answer, type=ProblemDocument)
            detail, problems = document.detail or document.title, document.problems
        except msgspec.MsgspecError:
            detail, problems = shortened(answer[:200].decode(errors="replace")) or "no reason given", ()
        match status:
            case 403:
                message = f"the catalog does not allow that: {detail}"
            case 401:
                remedy = (
                    "the token is not the one this catalog expects"
                    if self._has_token
                    else "give the operator's token: set TRESMA_TOKEN, or --token-file FILE"
                )
                message = f"the catalog refuses to let you in ({detail}); {remedy}"
            case 404:
                near = self._near(device)
                remedy = f"did you mean {' or '.join(near)}?" if near else "`tresma devices list` shows all"
                message = f"the catalog knows no {device or f'such address ({detail})'}; {remedy}"
            case 409:
                message = f"the catalog cannot do that: {detail}"
            case 412:
                message = f"{device} was changed by somebody else meanwhile ({detail}); look at it and try again"
            case 422:
                message = f"the catalog refuses this: {detail}"
            case _:
                message = f"the catalog answered {status}: {detail}"
        return (CatalogAway if status in _away else OperatorError)(message, problems, status)

    def _near(self, device: str) -> list[str]:
        """Look among the names that begin alike for those that could have been meant."""
        if not is_identifier(device):
            return []
        begin = device[: max(1, len(device) // 2)]
        try:
            answer, _ = self._exchange("GET", paths.DEVICES, query={"limit": str(PAGE), "cursor": begin})
            names = [item.device for item in read(answer, Page).items]
        except OperatorError:
            return []  # the refusal itself is what is to be told
        return difflib.get_close_matches(device, [name for name in names if name.startswith(begin)], n=3)


def _limited(response: requests.Response) -> bytes:
    limit = 16 * paths.MAXIMUM_DOCUMENT  # a page holds many documents
    answer = bytearray()
    for piece in response.iter_content(64 * 1024):
        answer += piece
        if len(answer) > limit:
            raise OperatorError(f"expected an answer of at most {limit} bytes, found a longer one")
    return bytes(answer)


def read(answer: bytes, document_type: type[Document]) -> Document:
    """Read an answer of the catalog's; one that is another document is an `OperatorError`."""
    try:
        return msgspec.json.decode(answer, type=document_type)
    except msgspec.MsgspecError as error:
        raise OperatorError(
            f"expected the catalog's {getattr(document_type, '__name__', 'document')}, found: {error}; "
            "are the catalog and this program of the same version?"
        ) from error


def _reason(error: Exception) -> str:
    seen: BaseException = error
    while (inner := seen.__cause__ or seen.__context__) is not None:
        seen = inner
    return shortened(getattr(seen, "strerror", None) or str(seen), 200) or type(seen).__name__
