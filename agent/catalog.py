"""
The agent's side of the catalog: one conditional request is poll, heartbeat and acknowledgement.

Everything is limited: how long a request takes, how long an answer is, how soon it is tried again. Requests block, so
they run in a thread of their own; nothing else waits for the catalog. `next_delay` is pure: polls are spread over
their interval, failures back off with full jitter up to the interval, and the catalog's own ``Retry-After`` is kept.
"""

import time
from email.utils import parsedate_to_datetime

import msgspec
import requests

from agent.config import AgentConfig
from agent.errors import CatalogError
from agent.identity.files import Identity
from agent.identity.tls import anchors_of
from agent.trust import authorities
from algorithms.api.errors import shortened
from device_catalog.contract import paths
from device_catalog.contract.calibration import Calibration
from device_catalog.contract.documents import Poll
from device_catalog.contract.network_leases import LeaseGrant, LeaseRequest, SwitchNewsDocument
from device_catalog.contract.register import ProblemDocument
from device_catalog.contract.reports import Reported
from device_catalog.contract.signatures import HEADER, enveloped

CONNECT_TIMEOUT = 5.0
READ_TIMEOUT = 15.0
ANSWER_TIMEOUT = 60.0
"""Limits of one request: to connect, between two pieces of the answer, and for all of it [s]."""

FIRST_RETRY = 1.0
"""Longest wait after a first failure [s]; doubles with each further one."""

LONGEST_SIGNATURE = 4096
"""[characters]"""

SPREAD = 0.1
"""Polls come up to this share earlier than the interval, so that a fleet does not move in step."""


_answered = (requests.codes.ok, requests.codes.created, requests.codes.no_content, requests.codes.not_modified)


class CatalogClient:
    """
    Asks the catalog on behalf of one device.

    Parameters
    ----------
    config : AgentConfig

    Attributes
    ----------
    server_time : float or None
        What the catalog's clock said in its last answer [s since 1970], to the second.
    """

    def __init__(self, config: AgentConfig) -> None:
        self._device = config.device
        self._base = config.catalog
        self._session = requests.Session()
        self._config = config
        self._identity = Identity(config.state_dir)
        self._stamp = (-1, 0)
        self._verify: str | bool = True
        self._tag = ""
        self._signature = ""
        self.server_time: float | None = None

    def poll(self, boot: int, applied: int) -> bytes | None:
        """
        Say that the device is there and which revision it applied; take what is new.

        Returns
        -------
        bytes or None
            The desired document with its signatures; None where the last one taken is still the newest.

        Raises
        ------
        CatalogError
            When the catalog cannot be reached, refuses the credential, or answers nonsense.
        """
        headers = {paths.BOOT_HEADER: str(boot), paths.APPLIED_HEADER: str(applied)}
        if self._tag:
            headers["If-None-Match"] = self._tag
        status, answer, tag = self._exchange("GET", headers=headers)
        if status == requests.codes.not_modified:
            return None
        self._tag = tag
        return enveloped(answer, self._signature)

    def fetch(self) -> bytes:
        """
        Take the desired document with its signatures without saying anything of what was applied.

        Raises
        ------
        CatalogError
        """
        _, answer, _ = self._exchange("GET")
        return enveloped(answer, self._signature)

    def forget(self) -> None:
        """Take the desired document at the next poll whether it is new or not."""
        self._tag = ""

    def report(self, reported: Reported) -> None:
        """
        Say what the device does.

        Raises
        ------
        CatalogError
            When it could not be said; it is said again with the next change.
        """
        headers = {"Content-Type": "application/json"}
        self._exchange("PUT", paths.REPORTED, headers=headers, body=msgspec.json.encode(reported))

    def calibrate(self, calibration: Calibration) -> None:
        """
        Tell what was measured of this device's channels.

        Raises
        ------
        CatalogError
            When it could not be said, or a later calibration is there (status 409).
        """
        headers = {"Content-Type": "application/json"}
        self._exchange("PUT", paths.CALIBRATION, headers=headers, body=msgspec.json.encode(calibration))

    def lease(self, network: str, wanted: LeaseRequest) -> LeaseGrant:
        """
        Ask for the right to switch a network, or let the one of `wanted.token` run on.

        Raises
        ------
        CatalogError
            When it cannot be had (status 409: another one holds it).
        """
        method = "PUT" if wanted.token else "POST"
        headers = {"Content-Type": "application/json"}
        path = paths.NETWORK_LEASE.format(network=network)
        answer = self._exchange(method, path, headers=headers, body=msgspec.json.encode(wanted))[1]
        try:
            return msgspec.json.decode(answer, type=LeaseGrant)
        except msgspec.DecodeError as error:
            raise CatalogError(f"expected a lease from the catalog, found: {error}") from error

    def tell_switches(self, network: str, news: SwitchNewsDocument) -> None:
        """
        Say where switches stand that were moved under a lease.

        Raises
        ------
        CatalogError
        """
        headers = {"Content-Type": "application/json"}
        path = paths.NETWORK_LEASE_STATES.format(network=network)
        self._exchange("POST", path, headers=headers, body=msgspec.json.encode(news))

    def give_back(self, network: str, token: int) -> None:
        """
        Give the right to switch a network back.

        Raises
        ------
        CatalogError
        """
        path = paths.NETWORK_LEASE.format(network=network)
        self._exchange("DELETE", f"{path}?holder={self._device}&token={token}")

    def close(self) -> None:
        """Let go of the connection."""
        self._session.close()

    def _be_somebody(self) -> None:
        """Show the certificate in force by now, in a new connection where it is a new one; else the credential."""
        stamp, allowed = self._identity.stamp(), authorities.stamp(self._config.state_dir)
        if (stamp, allowed) == self._stamp:
            return
        self._session.close()
        self._verify = anchors_of(self._config) or True
        self._stamp = stamp, allowed
        self._session.cert = str(self._identity.path) if stamp else None
        self._session.headers.pop("Authorization", None)
        if not stamp and self._config.credential:
            self._session.headers["Authorization"] = f"Bearer {self._config.credential}"

    def _exchange(
        self,
        method: str,
        path: str = paths.DESIRED,
        *,
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
        most: int = paths.MAXIMUM_DOCUMENT,
    ) -> tuple[int, bytes, str]:
        url = self._base + path.format(device=self._device)
        try:
            self._be_somebody()
            with self._session.request(
                method,
                url,
                headers=headers,
                data=body,
                timeout=(CONNECT_TIMEOUT, READ_TIMEOUT),
                stream=True,
                allow_redirects=False,
                verify=self._verify,
            ) as response:
                self.server_time = _time_of(response)
                self._signature = " ".join(response.headers.get(HEADER, "")[:LONGEST_SIGNATURE].split())
                answer = _read(response, most)
        except (requests.RequestException, OSError, ValueError) as error:
            raise CatalogError(f"the catalog at {self._base} cannot be reached: {_reason(error)}") from error
        if response.status_code in _answered:
            return response.status_code, answer, response.headers.get("ETag", "")
        raise CatalogError(
            f"the catalog at {self._base} answered {response.status_code}: {_detail(answer)}",
            retry_after=_seconds(response.headers.get("Retry-After", "")),
            status=response.status_code,
        )


def next_delay(poll: Poll, failures: int, jitter: float, retry_after: float | None = None) -> float:
    """
    Say when to ask again.

    Parameters
    ----------
    poll : Poll
    failures : int
        In a row; 0 after a success.
    jitter : float
        Uniform in [0, 1).
    retry_after : float or None
        What the catalog asked for [s].

    Returns
    -------
    float
        [s]

    Examples
    --------
    >>> next_delay(Poll(interval=60.0), failures=0, jitter=0.5)
    57.0
    >>> next_delay(Poll(interval=60.0), failures=3, jitter=0.5)
    2.0
    """
    if failures == 0:
        return poll.interval * (1 - SPREAD * jitter)
    delay = min(FIRST_RETRY * 2.0 ** min(failures - 1, 20), poll.interval) * jitter
    asked = min(retry_after, 10 * poll.interval) if retry_after is not None else 0.0
    return max(delay, asked, 0.05)


def _read(response: requests.Response, most: int) -> bytes:
    """Read an answer that may be neither endlessly long nor endlessly slow."""
    deadline = time.monotonic() + ANSWER_TIMEOUT
    answer = bytearray()
    for piece in response.iter_content(16 * 1024):
        answer += piece
        if len(answer) > most:
            raise CatalogError(f"expected an answer of at most {most} bytes, found a longer one")
        if time.monotonic() > deadline:
            raise CatalogError(f"expected the whole answer within {ANSWER_TIMEOUT:g} s, found only {len(answer)} bytes")
    return bytes(answer)


def _time_of(response: requests.Response) -> float | None:
    try:
        return parsedate_to_datetime(response.headers["Date"]).timestamp()
    except (KeyError, ValueError):
        return None


def _seconds(text: str) -> float | None:
    return float(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _detail(answer: bytes) -> str:
    try:
        problem = msgspec.json.decode(answer, type=ProblemDocument)
    except msgspec.MsgspecError:
        return shortened(answer[:200].decode(errors="replace")) or "nothing more"
    return shortened(problem.detail, 300)


def _reason(error: Exception) -> str:
    """Say the innermost reason, which names what happened; the outer ones name the library's layers."""
    seen: BaseException = error
    while (inner := seen.__cause__ or seen.__context__) is not None:
        seen = inner
    text = getattr(seen, "strerror", None) or str(seen)
    return shortened(text, 200) or type(seen).__name__
