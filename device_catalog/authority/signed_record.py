"""
Verifies the signature of a commissioning record: made by a meter's key, whose certificate these authorities gave.

Used by the catalog before it keeps a record, and by whoever holds one later, with nothing but the authorities.
"""

import base64
import binascii
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID

from device_catalog.contract.commissioning import CommissioningRecord, SignedRecord, read_record, signed_bytes

LONGEST_CHAIN = 6
"""Certificates between a meter and an authority."""


class Verified(NamedTuple):
    """
    A record that was signed as it says.

    Attributes
    ----------
    record : CommissioningRecord
    device : str
        Whom the certificate names.
    fingerprint : bytes
        SHA-256 of the certificate.
    not_before, not_after : datetime
        When the certificate counts.
    """

    record: CommissioningRecord
    device: str
    fingerprint: bytes
    not_before: datetime
    not_after: datetime


def verify(signed: SignedRecord, anchors: str) -> Verified:
    """
    Verify a record.

    Parameters
    ----------
    signed : SignedRecord
    anchors : str
        Authorities, PEM.

    Raises
    ------
    ValueError
        Saying what is wrong.
    """
    chain = _certificates(signed.certificate, "the meter's certificate")
    own = chain[0]
    try:
        signature = base64.b64decode(signed.signature, validate=True)
        _verify_signature(own, signature, signed_bytes(signed.record))
    except (InvalidSignature, UnsupportedAlgorithm, binascii.Error) as error:
        raise ValueError("expected a record signed by the certificate beside it, found one that was changed") from error
    _verify_chain(chain, _certificates(anchors, "the authorities"))
    record = read_record(signed.record)
    names = own.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    device = str(names[0].value) if names else ""
    if device != record.device:
        raise ValueError(
            f"expected a record of {device or 'nobody'}, whom the certificate names, found {record.device}"
        )
    return Verified(record, device, own.fingerprint(hashes.SHA256()), own.not_valid_before_utc, own.not_valid_after_utc)


def _verify_signature(certificate: x509.Certificate, signature: bytes, content: bytes) -> None:
    key = certificate.public_key()
    if isinstance(key, ec.EllipticCurvePublicKey):
        key.verify(signature, content, ec.ECDSA(hashes.SHA256()))
    elif isinstance(key, ed25519.Ed25519PublicKey):
        key.verify(signature, content)
    else:
        raise InvalidSignature


def _verify_chain(chain: Sequence[x509.Certificate], anchors: Sequence[x509.Certificate]) -> None:
    """Follow issuers from the meter's certificate to an authority; what is between must be an authority itself."""
    current, between = chain[0], [one for one in chain[1:] if _is_authority(one)]
    for _ in range(LONGEST_CHAIN):
        if any(_issued(current, anchor) for anchor in anchors):
            return
        above = next((one for one in between if _issued(current, one)), None)
        if above is None:
            break
        between.remove(above)
        current = above
    raise ValueError("expected a certificate that these authorities gave, found another's; give the right --ca")


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm):
        return False
    return True


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, ValueError):
        return False


def _certificates(pem: str, what: str) -> list[x509.Certificate]:
    try:
        found = x509.load_pem_x509_certificates(pem.encode())
    except ValueError as error:
        raise ValueError(f"expected {what} (PEM), found something else") from error
    return found[: LONGEST_CHAIN + 1]
