"""
TLS of the server itself: its certificate, and who its clients are.

A client may bring a certificate; one that is not of this catalog's authority ends the handshake. The certificate's
fingerprint is taken once a connection and put where every request of it finds it (`api.callers.STATE`). The server's
own certificate is made by the authority for the names it is reached by, unless files are given, and made anew before
it ends; connections that come after use the new one.
"""

import hashlib
import ipaddress
import logging
import socket
import ssl
from asyncio import BaseTransport, Transport
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import msgspec
from cryptography import x509
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from algorithms.api.errors import Problem
from device_catalog.api.callers import STATE
from device_catalog.authority.authority import SERVER_LIFE, Authority
from device_catalog.authority.bundle import write_secret
from device_catalog.brokers.rights import CATALOG
from device_catalog.config import CatalogConfig, ConfigError

LOCAL = ("localhost", "127.0.0.1", "::1")

NAME = "server.pem"

_log = logging.getLogger(__name__)


class Files(msgspec.Struct, frozen=True):
    """Certificate with those up to the anchors, and its key; one file may be both."""

    certificate: Path
    key: Path


class ClientCertificates(HttpToolsProtocol):
    """The web server's protocol, which notes each connection's client certificate."""

    def connection_made(self, transport: BaseTransport) -> None:
        """Note who is at the other end."""
        super().connection_made(cast("Transport", transport))
        session = transport.get_extra_info("ssl_object")
        certificate = session.getpeercert(binary_form=True) if session is not None else None
        if certificate:
            self.app_state = {**self.app_state, STATE: hashlib.sha256(certificate).digest()}

    def shutdown(self) -> None:
        """End at once where nothing is under way: a client that keeps its connection would be waited for otherwise."""
        super().shutdown()
        idle = self.cycle is None or self.cycle.response_complete
        if idle and self.scheme == "https" and not self.transport.get_write_buffer_size():
            self.transport.abort()


def is_loopback(host: str) -> bool:
    """
    Tell whether only this machine reaches an address.

    >>> is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("0.0.0.0"), is_loopback("localhost")
    (True, True, False, True)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def names_of(host: str, given: Sequence[str]) -> tuple[str, ...]:
    """Tell by which names a server is reached: those given, the address it listens on, this machine."""
    own = [] if host in ("0.0.0.0", "::", "") else [host]
    machine = [name for name in (socket.gethostname(),) if name.isascii() and name]
    return tuple(dict.fromkeys((*given, *own, *machine, *LOCAL)))


def speaks_tls(config: CatalogConfig) -> bool:
    """Tell whether a server speaks TLS: everywhere but on loopback, unless it was told otherwise."""
    if config.tls or config.certificate or config.names:
        return True
    return not (is_loopback(config.host) or config.insecure)


class OwnCertificate:
    """
    The certificate that the catalog shows brokers.

    Parameters
    ----------
    authority : Authority
    folder : pathlib.Path
    """

    def __init__(self, authority: Authority, folder: Path) -> None:
        self._authority = authority
        self._path = folder / "catalog.pem"

    def file(self, now: datetime) -> Path:
        """Give the file with key and certificate, made where there is none that lasts."""
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            content = b""
        if not content or not _lasts(content, self._authority, now):
            write_secret(self._path, self._authority.client(CATALOG, now)[0])
        return self._path


class ServerCertificate:
    """
    The certificate a server shows, kept in force.

    Parameters
    ----------
    authority : Authority
    folder : pathlib.Path
        Where it is kept.
    names : sequence of str
        Of the server.
    """

    def __init__(self, authority: Authority, folder: Path, names: Sequence[str]) -> None:
        self._authority = authority
        self._path = folder / NAME
        self._names = tuple(names)
        self.files = Files(self._path, self._path)

    def ensure(self, now: datetime) -> bool:
        """Make it where there is none that is right and lasts; tell whether one was made."""
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            content = b""
        if content and _lasts(content, self._authority, now, self._names):
            return False
        write_secret(self._path, self._authority.server(self._names, now))
        _log.info("a certificate was made for %s", ", ".join(self._names))
        return True


def _lasts(content: bytes, authority: Authority, now: datetime, names: Sequence[str] = ()) -> bool:
    """Tell whether a certificate is this authority's, for these names, and far from its end."""
    try:
        certificate = x509.load_pem_x509_certificates(content)[0]
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.issuers.encode()))
        said: set[str] = set()
        if names:
            stated = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            said |= {str(one) for one in stated.get_values_for_type(x509.DNSName)}
            said |= {str(one) for one in stated.get_values_for_type(x509.IPAddress)}
    except Exception:  # noqa: BLE001 - whatever is wrong with it, another one is made
        return False
    return said == set(names) and certificate.not_valid_after_utc - now > SERVER_LIFE / 3


def server_context(files: Files, issuers: str) -> ssl.SSLContext:
    """
    Make the server's TLS context.

    Parameters
    ----------
    files : Files
    issuers : str
        The certificate that signs devices' certificates, PEM; it alone is believed, not what else is above it.

    Raises
    ------
    ConfigError
        When certificate or key cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_OPTIONAL
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(cadata=issuers)
    load(context, files)
    return context


def load(context: ssl.SSLContext, files: Files) -> None:
    """
    Use a certificate from the next connection on.

    Raises
    ------
    ConfigError
    """
    try:
        context.load_cert_chain(files.certificate, files.key)
    except (OSError, ssl.SSLError) as error:
        found = getattr(error, "reason", "") or getattr(error, "strerror", "") or "something else"
        where = f"{files.certificate}, {files.key}"
        raise ConfigError([Problem("certificate", "a certificate and its key (PEM)", f"{where}: {found}")]) from error


def client_context(anchors: str, identity: Path | None = None) -> ssl.SSLContext:
    """Make a context to speak to brokers with: they are believed for the anchors, and shown `identity`."""
    context = ssl.create_default_context(cadata=anchors)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if identity is not None:
        context.load_cert_chain(identity)
    return context


def now() -> datetime:
    """Tell the time as certificates have it."""
    return datetime.now(UTC)
