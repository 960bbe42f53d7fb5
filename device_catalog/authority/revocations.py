"""Compares lists of revoked certificates, which differ in their dates each time they are made."""

from datetime import UTC, datetime

from cryptography import x509


def same_revocations(before: bytes, after: bytes, longest: float) -> bool:
    """
    Tell whether a list says what another one does, by the same authority, and is not old yet.

    Parameters
    ----------
    before, after : bytes
        PEM; `before` may be empty or damaged.
    longest : float
        Age at which a list is old [s].
    """
    try:
        old = x509.load_pem_x509_crl(before)
    except ValueError:
        return False
    new = x509.load_pem_x509_crl(after)
    age = (datetime.now(UTC) - old.last_update_utc).total_seconds()
    alike = {one.serial_number for one in old} == {one.serial_number for one in new}
    return alike and old.issuer == new.issuer and 0 <= age < longest
