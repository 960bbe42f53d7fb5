"""
Signs: certificates for devices, for servers and for whoever reads at the brokers; the list of what is void.

A device's certificate names it (CN) and is for clients only; a server's names hosts and is for servers only: neither
can be used as the other. Signing touches no file. Profiles follow RFC 5280.
"""

import ipaddress
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from algorithms.api.errors import Problem, shortened
from device_catalog.authority.bundle import BEGINNING, Bundle, key_pem, open_bundle
from device_catalog.contract.enrolment import MAXIMUM_REQUEST
from device_catalog.contract.topics import is_identifier
from device_catalog.errors import Refused

CLOCKS_DIFFER = timedelta(hours=1)
"""So long before now a device's certificate begins: brokers' clocks are not the catalog's."""

SERVER_LIFE = timedelta(days=730)

REVOCATIONS_LIFE = timedelta(days=400)
"""How long a list of what is void is believed. A broker with an older one lets nobody in, so it is long; it is replaced
with every change."""


class Certified(NamedTuple):
    """
    A certificate that was made.

    Attributes
    ----------
    name : str
        Whom it names.
    pem : str
        It, and those between it and the anchors.
    fingerprint : bytes
        SHA-256 of it.
    serial : int
    key : bytes
        SHA-256 of the public key.
    not_before, not_after : datetime
    """

    name: str
    pem: str
    fingerprint: bytes
    serial: int
    key: bytes
    not_before: datetime
    not_after: datetime


class Asked(NamedTuple):
    """A signing request whose signature is right: whom it names, empty for nobody, and its key."""

    name: str
    public_key: ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey
    key: bytes


class Authority:
    """
    Signs with one key.

    Parameters
    ----------
    bundle : Bundle
    """

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self.anchors = bundle.anchors_pem().decode()
        self.issuers = bundle.issuers_pem().decode()

    @classmethod
    def open(cls, folder: Path) -> "Authority":
        """
        Take the authority of a folder, which is made where there is none.

        Raises
        ------
        ConfigError
        """
        return cls(open_bundle(folder))

    @property
    def not_after(self) -> datetime:
        """When it ends itself."""
        return self._bundle.certificate.not_valid_after_utc

    def certify(self, asked: Asked, device: str, life: timedelta, now: datetime) -> Certified:
        """
        Make a device's certificate.

        Parameters
        ----------
        asked : Asked
        device : str
        life : datetime.timedelta
            Cut where the authority itself ends.
        now : datetime

        Raises
        ------
        Refused
            When the request names another device.
        """
        if asked.name not in ("", device):
            found = shortened(asked.name, 80)
            raise Refused([Problem("request", f"a signing request of {device}", f"one of {found}")])
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
        begin = max(now - min(CLOCKS_DIFFER, life / 10), self._bundle.certificate.not_valid_before_utc)
        return self._signed(device, asked.public_key, usage, (), begin, now + life)

    def server(self, names: Sequence[str], now: datetime) -> bytes:
        """Make a key and a certificate for servers of these names or addresses; PEM, with those up to the anchors."""
        key = ec.generate_private_key(ec.SECP256R1())
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        begin = max(BEGINNING, self._bundle.certificate.not_valid_before_utc)
        made = self._signed(names[0][:64], key.public_key(), usage, names, begin, now + SERVER_LIFE)
        return key_pem(key) + made.pem.encode()

    def client(self, name: str, now: datetime, life: timedelta = SERVER_LIFE) -> tuple[bytes, Certified]:
        """Make a key and a certificate for a program that reads or speaks at the brokers."""
        key = ec.generate_private_key(ec.SECP256R1())
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
        begin = max(now - CLOCKS_DIFFER, self._bundle.certificate.not_valid_before_utc)
        made = self._signed(name, key.public_key(), usage, (), begin, now + life)
        return key_pem(key) + made.pem.encode(), made

    def revocations(self, void: Iterable[tuple[int, datetime]], now: datetime) -> bytes:
        """Write the list of what is void (serial numbers, since when), PEM."""
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._bundle.certificate.subject)
            .last_update(now)
            .next_update(now + REVOCATIONS_LIFE)
            .add_extension(self._key_identifier(), critical=False)
            .add_extension(x509.CRLNumber(int(now.timestamp() * 1000)), critical=False)
        )
        for serial, since in void:
            one = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(since).build()
            builder = builder.add_revoked_certificate(one)
        signed = builder.sign(self._bundle.key, self._bundle.digest_algorithm())
        return signed.public_bytes(serialization.Encoding.PEM)

    def _signed(  # noqa: PLR0917 - one part of a certificate each
        self,
        name: str,
        public_key: ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey,
        usage: x509.ExtendedKeyUsage,
        hosts: Sequence[str],
        begin: datetime,
        end: datetime,
    ) -> Certified:
        begin = begin.replace(microsecond=0)
        end = min(end, self._bundle.certificate.not_valid_after_utc).replace(microsecond=0)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(self._bundle.certificate.subject)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_signature_only(), critical=True)
            .add_extension(usage, critical=False)
            .add_extension(self._key_identifier(), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        )
        if hosts:
            builder = builder.add_extension(x509.SubjectAlternativeName([_host(one) for one in hosts]), critical=False)
        made = builder.sign(self._bundle.key, self._bundle.digest_algorithm())
        pem = made.public_bytes(serialization.Encoding.PEM) + self._bundle.chain_pem()
        return Certified(
            name, pem.decode(), made.fingerprint(hashes.SHA256()), made.serial_number, _digest(public_key), begin, end
        )

    def _key_identifier(self) -> x509.AuthorityKeyIdentifier:
        try:
            own = self._bundle.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        except x509.ExtensionNotFound:
            return x509.AuthorityKeyIdentifier.from_issuer_public_key(self._bundle.key.public_key())
        return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own.value)


def read_request(text: str) -> Asked:
    """
    Read a signing request, and make sure that whoever made it has the key.

    Raises
    ------
    Refused
    """

    def wrong(found: str) -> Refused:
        return Refused([Problem("request", "a signing request (PKCS #10, PEM) for P-256 or Ed25519", found)])

    if len(text) > MAXIMUM_REQUEST:
        raise wrong(f"{len(text)} characters")
    try:
        request = x509.load_pem_x509_csr(text.encode())
        valid = request.is_signature_valid
        key = request.public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature) as error:
        raise wrong("something that cannot be read") from error
    if not valid:
        raise wrong("one whose signature does not fit its key")
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        pass
    elif not isinstance(key, ed25519.Ed25519PublicKey):
        raise wrong("a key of another kind")
    names = request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    name = str(names[0].value) if names else ""
    if name and not is_identifier(name):
        raise wrong("one that names no device")
    return Asked(name, key, _digest(key))


def _digest(key: ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey) -> bytes:
    digest = hashes.Hash(hashes.SHA256())
    digest.update(key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo))
    return digest.finalize()


def _host(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _signature_only() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def now() -> datetime:
    """Tell the time as certificates have it."""
    return datetime.now(UTC)
