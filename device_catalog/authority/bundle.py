"""
The authority's own key and certificates, in one file that is replaced whole.

The file holds, as PEM: the private key, the certificate that signs, those above it, and the anchors (self-signed ones).
Made at the first start where a DSO brings none of its own. Power may fail at any line: the old file is
there, or the new.
"""

import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from algorithms.api.errors import Problem
from device_catalog.config import ConfigError

NAME = "authority.pem"
ANCHORS = "anchors.pem"
"""What is for everybody: the authorities that vouch for catalog, brokers and devices."""

BEGINNING = datetime(2025, 1, 1, tzinfo=UTC)
"""
When certificates of authorities and servers begin: before any meter's image was made, since a meter whose clock has not
been set yet believes that it is the day of its image.
"""

AUTHORITY_LIFE = timedelta(days=30 * 365)

SigningKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey


class Bundle(NamedTuple):
    """
    What signs.

    Attributes
    ----------
    key : private key
    certificate : x509.Certificate
        Of that key.
    above : tuple of x509.Certificate
        Between `certificate` and the anchors.
    anchors : tuple of x509.Certificate
        What devices trust.
    """

    key: SigningKey
    certificate: x509.Certificate
    above: tuple[x509.Certificate, ...]
    anchors: tuple[x509.Certificate, ...]

    def anchors_pem(self) -> bytes:
        """Write the anchors."""
        return b"".join(_pem(one) for one in self.anchors)

    def chain_pem(self) -> bytes:
        """Write what a server or device sends along with its own certificate."""
        between = [self.certificate, *self.above]
        return b"".join(_pem(one) for one in between if one not in self.anchors)

    def issuers_pem(self) -> bytes:
        """Write the certificate that signs alone, which is what devices' certificates are verified against."""
        return _pem(self.certificate)

    def digest_algorithm(self) -> hashes.SHA256 | None:
        """Tell which digest is signed; Ed25519 brings its own."""
        return None if isinstance(self.key, ed25519.Ed25519PrivateKey) else hashes.SHA256()


def open_bundle(folder: Path) -> Bundle:
    """
    Read the authority, or make one at the first start.

    Raises
    ------
    ConfigError
        When the file cannot be read, or holds no authority.
    """
    path = folder / NAME
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            write_secret(path, _made())
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError([Problem("authority", "a file that can be read", f"{path}: {error.strerror}")]) from error
    bundle = read_bundle(content, str(path))
    _show_anchors(folder / ANCHORS, bundle.anchors_pem())
    return bundle


def _show_anchors(path: Path, content: bytes) -> None:
    """Keep what devices, operators and brokers are to trust in a file that all may read."""
    if not path.exists() or path.read_bytes() != content:
        temporary = path.with_name(path.name + ".new")
        temporary.write_bytes(content)
        temporary.replace(path)


def read_bundle(content: bytes, where: str) -> Bundle:
    """
    Read key and certificates.

    Raises
    ------
    ConfigError
        Saying what is missing; nothing of the key is told.
    """

    def wrong(expected: str, found: str, remedy: str = "") -> ConfigError:
        return ConfigError([Problem(where, expected, found, remedy)])

    try:
        key = serialization.load_pem_private_key(_key_block(content), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise wrong("a private key without password (PEM)", "none that can be read") from error
    try:
        certificates = x509.load_pem_x509_certificates(content)
    except ValueError as error:
        raise wrong("certificates (PEM)", "none that can be read") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey):
        raise wrong("a key for ECDSA, Ed25519 or RSA", type(key).__name__)
    own = [one for one in certificates if _spki(one.public_key()) == _spki(key.public_key())]
    if not own:
        raise wrong("the certificate of the private key", f"{len(certificates)} certificates of other keys")
    anchors = tuple(one for one in certificates if one.subject == one.issuer)
    if not anchors:
        raise wrong("the root that devices trust", "no self-signed certificate", "name it with --anchors")
    above = tuple(one for one in certificates if one not in anchors and one != own[0])
    bundle = Bundle(key, own[0], above, anchors)
    _check(bundle, wrong_at=where)
    return bundle


def _check(bundle: Bundle, wrong_at: str) -> None:
    """Make sure that what is signed here will be believed by those who trust the anchors."""
    problems = []
    try:
        if not bundle.certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            problems.append(Problem(wrong_at, "a certificate that may sign others (CA)", "one that may not"))
    except x509.ExtensionNotFound:
        problems.append(Problem(wrong_at, "a certificate that may sign others (CA)", "one that does not say so"))
    if bundle.certificate.not_valid_after_utc <= datetime.now(UTC):
        ended = f"{bundle.certificate.not_valid_after_utc:%Y-%m-%d}"
        problems.append(Problem(wrong_at, "a certificate that is in force", f"one that ended {ended}"))
    step, known = bundle.certificate, [*bundle.above, *bundle.anchors]
    for _ in range(len(known) + 1):
        if step in bundle.anchors:
            break
        parents = [one for one in known if _signed_by(step, one)]
        if not parents:
            name = step.issuer.rfc4514_string()
            problems.append(Problem(wrong_at, "every certificate up to an anchor", f"none of {name[:100]}"))
            break
        step = parents[0]
    if problems:
        raise ConfigError(problems)


def _signed_by(child: x509.Certificate, parent: x509.Certificate) -> bool:
    try:
        child.verify_directly_issued_by(parent)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _made() -> bytes:
    """Make a key and a certificate that vouches for itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    serial = x509.random_serial_number()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"tresma authority {serial:x}"[:32])])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(BEGINNING)
        .not_valid_after(datetime.now(UTC) + AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_authority_usage(), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return key_pem(key) + _pem(certificate)


def key_pem(key: SigningKey) -> bytes:
    """Write a private key."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def write_secret(path: Path, content: bytes) -> None:
    """Replace a file that nobody else may read, whole and durably."""
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _authority_usage() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )


def _key_block(content: bytes) -> bytes:
    found = re.search(rb"-----BEGIN ([A-Z ]*PRIVATE KEY)-----.*?-----END \1-----", content, re.DOTALL)
    if found is None:
        raise ValueError("no private key")
    return found[0]


def _spki(key: object) -> bytes:
    return key.public_bytes(  # type: ignore[attr-defined,no-any-return]
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
