"""
Lets devices in by certificate, and out again.

A token is given for a registered device, used once by one key, and answered again to the same key only. What let the
device in before is void with it: a card that was copied or stolen is worth nothing once its meter is enrolled anew.
Everything is written before it takes effect, like all changes (`changes`).

A certificate is renewed with itself, once half of its life is over, and then once in a hundredth of it at most: whoever
copied a card cannot have certificates made without end. Beside the new one the one that was shown stays in force, for
the answer may be lost for good, and the newest before, which may be in use; what was made between them is void.
"""

import asyncio
import hashlib
import secrets
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from math import ceil
from pathlib import Path

from algorithms.api.errors import Problem, shortened
from device_catalog.access.certificates import Certificates
from device_catalog.authority.authority import CLOCKS_DIFFER, Asked, Authority, Certified, read_request
from device_catalog.contract.enrolment import LONGEST, EnrolmentGiven, EnrolmentRequest, Issued, Revoked, digest
from device_catalog.contract.trust import MAXIMUM_ROOT
from device_catalog.documents import moment
from device_catalog.errors import EnrolmentRefused, NotAuthorised, Refused, RenewedTooEarly
from device_catalog.fleet.fleet import NANOSECONDS
from device_catalog.fleet.register import Register
from device_catalog.storage.access import AccessStore, CertificateRow, EnrolmentRow

REST = 100
"""Between two renewals lies this part of a certificate's life at least [1]."""

REVOCATIONS_AGE_NS = 86_400 * 10**9
"""A list of what is void is signed anew after this, whether it changed or not [ns]."""


class Enrolments:
    """
    Makes devices' certificates.

    Parameters
    ----------
    register : Register
    store : AccessStore
    certificates : Certificates
    authority : Authority
    life : datetime.timedelta
        Of a certificate.
    roots : pathlib.Path
        Folder of the roots of trust of signed algorithms, one of which is handed on; may appear later.
    changed : callable
        Called in the server's own thread when something became void.
    """

    def __init__(  # noqa: PLR0917 - one part each
        self,
        register: Register,
        store: AccessStore,
        certificates: Certificates,
        authority: Authority,
        life: timedelta,
        roots: Path,
        changed: Callable[[], None],
    ) -> None:
        self._fleet, _, self._threads = register
        self._store = store
        self._certificates = certificates
        self._life = life
        self._roots = roots
        self._changed = changed
        self.authority = authority
        self._void: tuple[list[tuple[str, int]], int, bytes] | None = None
        self._signing = threading.Lock()

    def load(self) -> None:
        """Read what is in force; once, before anybody is served."""
        self._certificates.load(self._store.certificates_in_force(self._fleet.wall()))

    def follow(self, devices: Sequence[str] | None) -> None:
        """Take over which certificates of some devices another catalog made or revoked, or of all; while writing."""
        if devices is None:
            devices = list(self._fleet.devices)
        for device in devices:
            self._put_in_force(device)

    async def invite(self, device: str, seconds: float, author: str) -> EnrolmentGiven:
        """
        Make a token for a registered device; one that was made before and not used is void.

        Raises
        ------
        DeviceUnknown
        Refused
            When it should be valid for no time, or for ever.
        """
        if not 1 <= seconds <= LONGEST:
            raise Refused([Problem("seconds", f"from 1 to {LONGEST:g}", f"{seconds:g}")])
        self._fleet.known(device)
        secret = secrets.token_urlsafe(32)
        now_ns = self._fleet.wall()
        row = EnrolmentRow(_hash(secret), device, now_ns, now_ns + int(seconds * 1e9), author)
        await self._threads.write(self._store.write_enrolment, row)
        root = await asyncio.to_thread(self._root_of)
        return EnrolmentGiven(
            device,
            secret,
            digest(self.authority.anchors.encode()),
            digest(root) if root else "",
            moment(row.expires_ns),
        )

    async def enrol(self, asked: EnrolmentRequest) -> Issued:
        """
        Give a device its certificate, or the same again where the answer was lost.

        Raises
        ------
        EnrolmentRefused
            Saying in one sentence why.
        Refused
            When the signing request is none.
        """
        return await self._threads.write(self._enrol, asked)

    def _enrol(self, said: EnrolmentRequest) -> Issued:
        device = said.device
        token = self._store.enrolment(_hash(said.secret))
        if token is None:
            raise EnrolmentRefused("expected a token that this catalog gave, found another; ask the operator for one")
        if token.device != device:
            raise EnrolmentRefused(f"expected a token for {shortened(device, 64)}, found one for another device")
        asked = read_request(said.request)
        if token.used_ns is not None:
            before = self._store.certificate_of_key(device, asked.key) if token.key == asked.key else None
            if before is not None:
                return self._issued(before, said.root)
            since = f"{moment(token.used_ns):%Y-%m-%d %H:%M:%S} UTC"
            raise EnrolmentRefused(f"expected a token that was not used yet, found one used at {since}; {_another}")
        now_ns = self._fleet.wall()
        if now_ns >= token.expires_ns:
            ended = f"{moment(token.expires_ns):%Y-%m-%d %H:%M:%S} UTC"
            raise EnrolmentRefused(f"expected a token that is valid, found one that ended at {ended}; {_another}")
        known = self._fleet.known(device)
        made = self._made(asked, device)
        if not self._store.enrol(token, made, now_ns):
            return self._enrol(said)  # another catalog was first: the token is used, or void, and that is the answer
        self._put_in_force(device)
        known.digest = b""  # what was its credential is void
        return self._issued(made, said.root)

    async def renew(self, device: str, request: str, shown: bytes) -> Issued:
        """
        Give an enrolled device another certificate, or the same again where the answer was lost.

        Parameters
        ----------
        device, request : str
        shown : bytes
            Fingerprint of the certificate by which it was let in.

        Raises
        ------
        DeviceUnknown
        NotAuthorised
            When the certificate became void meanwhile.
        Refused
        RenewedTooEarly
        """
        return await self._threads.write(self._renew, device, request, shown)

    def _renew(self, device: str, request: str, fingerprint: bytes) -> Issued:
        self._fleet.known(device)
        asked = read_request(request)
        before = self._store.certificate_of_key(device, asked.key)
        now_ns = self._fleet.wall()
        if before is not None and now_ns < _half_of(before):
            return self._issued(before)
        shown = self._store.certificate(fingerprint)
        if shown is None or shown.device != device:
            raise NotAuthorised("expected this device's own certificate, found one that is void; enrol the device anew")
        newest = self._store.newest_certificate(device) or shown
        _refuse_early(shown, newest, now_ns)
        made = self._made(asked, device)
        self._store.renew(made, (shown.fingerprint, newest.fingerprint), now_ns)
        self._put_in_force(device)
        return self._issued(made)

    async def revoke(self, device: str, reason: str) -> Revoked:
        """
        Lock a device out: its certificates, its credential and its tokens are void at once.

        Raises
        ------
        DeviceUnknown
        """
        return await self._threads.write(self._revoke, device, reason)

    def _revoke(self, device: str, reason: str) -> Revoked:
        known = self._fleet.known(device)
        count = self._store.revoke(device, self._fleet.wall(), reason)
        known.digest = b""
        self._put_in_force(device)
        return Revoked(device, count)

    def revocations(self) -> bytes:
        """Write the list of certificates that are void, PEM; blocks on the database."""
        now_ns = self._fleet.wall()
        void = list(self._store.revoked(now_ns))
        with self._signing:
            # Whoever asks is anybody: a signature for each request would be work that costs the asker nothing.
            known = self._void
            if known is not None and known[0] == void and 0 <= now_ns - known[1] < REVOCATIONS_AGE_NS:
                return known[2]
            numbered = [(int(serial, 16), moment(since)) for serial, since in void]
            made = self.authority.revocations(numbered, datetime.fromtimestamp(now_ns // NANOSECONDS, UTC))
            self._void = void, now_ns, made
            return made

    async def read_revocations(self) -> bytes:
        """Write the list of certificates that are void, PEM."""
        return await self._threads.read(self.revocations)

    def _made(self, asked: Asked, device: str) -> CertificateRow:
        now = datetime.fromtimestamp(self._fleet.wall() // 10**9, UTC)
        made: Certified = self.authority.certify(asked, device, self._life, now)
        return CertificateRow(
            made.fingerprint,
            device,
            f"{made.serial:x}",
            made.key,
            made.pem,
            int(made.not_before.timestamp()) * 10**9,
            int(made.not_after.timestamp()) * 10**9,
        )

    def _put_in_force(self, device: str) -> None:
        rows = list(self._store.certificates_in_force(self._fleet.wall(), device))
        self._threads.in_loop(self._certificates.replace, device, rows)
        self._threads.in_loop(self._changed)

    def _issued(self, made: CertificateRow, root: str = "") -> Issued:
        return Issued(
            made.device,
            made.document,
            self.authority.anchors,
            moment(made.not_before_ns),
            moment(made.not_after_ns),
            self._root_of(root).decode(errors="replace"),
        )

    def _root_of(self, wanted: str = "") -> bytes:
        """Read the newest root of trust, or the one of a digest; nothing where there is none."""
        newest = self._roots / "root.json"
        if not wanted:
            return _read(newest)
        found = (_read(path) for path in (newest, *sorted(self._roots.glob("*.root.json"))))
        return next((content for content in found if content and digest(content) == wanted), b"")


def _half_of(made: CertificateRow) -> int:
    """Tell when half of a certificate's life is over [ns UTC]."""
    return made.not_before_ns + (made.not_after_ns - made.not_before_ns) // 2


def _refuse_early(shown: CertificateRow, newest: CertificateRow, now_ns: int) -> None:
    """Refuse a renewal before its time, and one soon after another."""
    due_ns = _half_of(shown)
    if now_ns < due_ns:
        when, found = (f"{moment(time_ns):%Y-%m-%d %H:%M} UTC" for time_ns in (due_ns, now_ns))
        raise RenewedTooEarly(
            f"expected a certificate to be renewed once half of its life ({when}) is over, found a request at {found}; "
            "wait, or enrol the device anew",
            ceil((due_ns - now_ns) / NANOSECONDS),
        )
    rest_ns = (shown.not_after_ns - shown.not_before_ns) // REST
    due_ns = newest.not_before_ns + _backdated_ns(newest) + rest_ns
    if newest.fingerprint != shown.fingerprint and now_ns < due_ns:
        raise RenewedTooEarly(
            f"expected one renewal in {rest_ns / NANOSECONDS / 3600:.3g} h at most, found another; wait as long as "
            "Retry-After says",
            ceil((due_ns - now_ns) / NANOSECONDS),
        )


def _backdated_ns(made: CertificateRow) -> int:
    """Tell about how long before it was made a certificate begins [ns]; see `Authority.certify`."""
    return min(round(CLOCKS_DIFFER.total_seconds()) * NANOSECONDS, (made.not_after_ns - made.not_before_ns) // 11)


_another = "ask the operator for another one"


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MAXIMUM_ROOT + 1)
    except OSError:  # a catalog without signed algorithms
        return b""
    return content if len(content) <= MAXIMUM_ROOT else b""
