"""
Asks the catalog for a certificate: the first one with a token, later ones with the certificate itself.

Runs in a short-lived process (``python -m agent.identity``), or in ``tresma-agent enrol``. The key is made here,
durable before anything is asked, and never sent. Until the catalog's authorities are known, nothing secret is said:
they are fetched, compared with the digest in the token, and only then the token goes out, over a connection they vouch
for.
"""

import contextlib
import ssl
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.request import HTTPSHandler, Request, build_opener

import msgspec
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from agent.errors import AgentError
from agent.files import write_durably
from agent.identity.files import Facts, Identity, token_digest
from algorithms.api.errors import shortened
from device_catalog.contract.enrolment import (
    AUTHORITY,
    DEVICE_CERTIFICATE,
    ENROLMENTS,
    AuthorityDocument,
    CertificateRequest,
    EnrolmentRequest,
    Issued,
    Token,
    digest,
)
from device_catalog.contract.register import ProblemDocument
from device_catalog.contract.trust import MAXIMUM_ROOT

TIMEOUT = (5.0, 20.0)
MAXIMUM_ANSWER = 2 * MAXIMUM_ROOT
"""Longest answer read [bytes]."""

EARLIEST = 2 / 3
"""A certificate is renewed after this share of its life, and up to a tenth of its life later."""


class EnrolmentError(AgentError):
    """
    A certificate is not to be had.

    Attributes
    ----------
    final : bool
        Whether asking again would be answered the same.
    """

    def __init__(self, message: str, *, final: bool) -> None:
        super().__init__(message)
        self.final = final


def enrol(token: Token, catalog: str, identity: Identity, ca: str = "") -> Facts:
    """
    Get the first certificate of a device, with a token.

    Parameters
    ----------
    token : Token
    catalog : str
        Base address.
    identity : Identity
        Where it is kept.
    ca : str
        File of authorities that are believed besides what the token says; empty for none.

    Returns
    -------
    Facts

    Raises
    ------
    EnrolmentError
    OSError
        When something cannot be kept.
    """
    known = identity.facts()
    if known is not None and known.token == token_digest(token.text()) and known.device == token.device:
        return known
    identity.make_folder()
    key = _new_key(identity)
    anchors = _anchors(token, catalog, ca)
    asked = EnrolmentRequest(token.device, token.secret, _request(key, token.device), token.root)
    with _believing(anchors, ca) as verify:
        issued = _ask(catalog + ENROLMENTS, asked, verify=verify)
    if digest(issued.anchors.encode()) != token.anchors:
        raise EnrolmentError("expected the authorities that the token promises, found others", final=True)
    if token.root and digest(issued.root.encode()) != token.root:
        raise EnrolmentError(
            "expected the root of trust that the token promises, found another or none; ask the operator", final=True
        )
    _check(issued, token.device, key)
    least = max(token.policy, known.policy if known is not None and _is_kept(identity, token.root) else 0)
    if issued.root and token.root:
        write_durably(identity.root, issued.root.encode())
    write_durably(identity.anchors, issued.anchors.encode())
    facts = _facts(issued, token_digest(token.text()), least)
    identity.keep(facts, _pem(key), issued.certificate.encode())
    return facts


def renew(device: str, catalog: str, identity: Identity, ca: str = "") -> Facts:
    """
    Get another certificate before the one in force ends.

    Raises
    ------
    EnrolmentError
    OSError
    """
    before = identity.facts()
    if before is None:
        raise EnrolmentError("expected a certificate to renew, found none; enrol the device first", final=True)
    if identity.new_key.exists() and identity.new_key.read_bytes() == identity.key_in_force():
        identity.new_key.unlink()  # the power failed behind the last renewal
    key = _new_key(identity)
    verify = ca or (str(identity.anchors) if identity.anchors.exists() else "")
    asked = CertificateRequest(_request(key, device))
    address = catalog + DEVICE_CERTIFICATE.format(device=device)
    issued = _ask(address, asked, verify=verify or True, cert=str(identity.path))
    _check(issued, device, key)
    facts = _facts(issued, before.token, before.policy)
    identity.keep(facts, _pem(key), issued.certificate.encode())
    return facts


def _new_key(identity: Identity) -> ec.EllipticCurvePrivateKey:
    """Give the key that waits for its certificate, made and kept where there is none."""
    try:
        key = serialization.load_pem_private_key(identity.new_key.read_bytes(), password=None)
        if isinstance(key, ec.EllipticCurvePrivateKey):
            return key
    except (FileNotFoundError, ValueError, TypeError):  # none, or the card forgot what it was given
        pass
    key = ec.generate_private_key(ec.SECP256R1())
    write_durably(identity.new_key, _pem(key))
    return key


def _request(key: ec.EllipticCurvePrivateKey, device: str) -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, device)])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM).decode()


def _anchors(token: Token, catalog: str, ca: str) -> bytes:
    """Fetch the catalog's authorities, and believe them only if they are those of the token."""
    context = ssl.create_default_context(cafile=ca or None)
    if not ca:  # nothing secret goes this way, and what comes is compared with the token
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    opener = build_opener(HTTPSHandler(context=context))
    try:
        with opener.open(Request(catalog + AUTHORITY), timeout=TIMEOUT[1]) as answer:  # noqa: S310 - checked address
            content = answer.read(MAXIMUM_ANSWER)
        anchors = msgspec.json.decode(content, type=AuthorityDocument).anchors.encode()
    except OSError as error:
        raise EnrolmentError(f"the catalog at {catalog} cannot be reached: {_reason(error)}", final=False) from error
    except (msgspec.DecodeError, ValueError) as error:
        raise EnrolmentError(f"expected a catalog at {catalog}, found something else", final=False) from error
    if digest(anchors) != token.anchors:
        raise EnrolmentError(
            f"expected the catalog that gave the token, found one at {catalog} with other authorities; nothing was "
            "told it",
            final=True,
        )
    return anchors


@contextlib.contextmanager
def _believing(anchors: bytes, ca: str) -> Iterator[str]:
    """Lend a file with whom to believe: `ca` where one is given."""
    if ca:
        yield ca
        return
    with tempfile.NamedTemporaryFile(suffix=".pem") as file:
        file.write(anchors)
        file.flush()
        yield file.name


def _ask(address: str, document: msgspec.Struct, **options: Any) -> Issued:
    body = msgspec.json.encode(document)
    headers: Mapping[str, str] = {"Content-Type": "application/json"}
    try:
        with (
            requests.Session() as session,
            session.post(
                address, data=body, headers=headers, timeout=TIMEOUT, stream=True, allow_redirects=False, **options
            ) as response,
        ):
            answer = _read(response)
    except (requests.RequestException, OSError) as error:
        raise EnrolmentError(f"the catalog cannot be reached: {_reason(error)}", final=False) from error
    if response.status_code not in (200, 201):
        final = response.status_code in (400, 401, 403, 404, 409, 413, 422)
        raise EnrolmentError(f"the catalog gives no certificate: {_detail(answer)}", final=final)
    try:
        return msgspec.json.decode(answer, type=Issued)
    except msgspec.DecodeError as error:
        raise EnrolmentError(f"expected a certificate from the catalog, found: {error}", final=False) from error


def _read(response: requests.Response) -> bytes:
    answer = bytearray()
    for piece in response.iter_content(64 * 1024):
        answer += piece
        if len(answer) > MAXIMUM_ANSWER:
            raise EnrolmentError(f"expected an answer of at most {MAXIMUM_ANSWER} bytes, found more", final=False)
    return bytes(answer)


def _check(issued: Issued, device: str, key: ec.EllipticCurvePrivateKey) -> None:
    """Make sure that what came is a certificate of this device and this key."""
    try:
        certificate = x509.load_pem_x509_certificates(issued.certificate.encode())[0]
        names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        own = certificate.public_key() == key.public_key()
    except ValueError as error:
        raise EnrolmentError("expected a certificate (PEM), found something else", final=False) from error
    if not own or [str(name.value) for name in names] != [device]:
        raise EnrolmentError(f"expected a certificate of {device} for the key made here, found another", final=True)


def _is_kept(identity: Identity, root: str) -> bool:
    """Tell whether a token's root of trust is the one that is here already: what was asked under it still counts."""
    return bool(root) and identity.root.exists() and digest(identity.root.read_bytes()) == root


def _facts(issued: Issued, token: str, policy: int) -> Facts:
    begin, end = issued.not_before.timestamp(), issued.not_after.timestamp()
    certificate = x509.load_pem_x509_certificates(issued.certificate.encode())[0]
    chance = (certificate.serial_number % 1000) / 1000
    return Facts(issued.device, begin, end, begin + (end - begin) * (EARLIEST + 0.1 * chance), token, policy)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _detail(answer: bytes) -> str:
    try:
        problem = msgspec.json.decode(answer, type=ProblemDocument)
    except msgspec.MsgspecError:
        return shortened(answer[:200].decode(errors="replace")) or "no reason given"
    return "; ".join(str(one) for one in problem.problems) or shortened(problem.detail, 300)


def _reason(error: BaseException) -> str:
    while (inner := error.__cause__ or error.__context__ or getattr(error, "reason", None)) is not None:
        if not isinstance(inner, BaseException):
            break
        error = inner
    return shortened(getattr(error, "strerror", None) or str(error), 200) or type(error).__name__


def read_token(path: Path) -> Token:
    """
    Read a token from a file.

    Raises
    ------
    EnrolmentError
    """
    try:
        with path.open(encoding="utf-8") as file:
            return Token.read(file.read(4096))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "no text"
        raise EnrolmentError(f"expected a readable file {path} with a token, found: {reason}", final=True) from error
    except ValueError as error:
        raise EnrolmentError(f"{path}: {error}", final=True) from error
