"""
Who is let in: operators, tokens of enrolment, certificates. Reads and writes, each one transaction.

Plain functions of a database, like `store`; what may happen is decided in `device_catalog.access.operators` and
`device_catalog.access.enrolments`. Secrets are here as digests only. All calls block.
"""

import secrets
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, Engine, insert, select, update

from device_catalog.storage.tables import certificates, credentials, devices, enrolments, operators

_c, _e, _o = certificates.c, enrolments.c, operators.c


class OperatorRow(NamedTuple):
    """An operator as the database knows him."""

    operator: str
    role: str
    tenant: str
    digest: bytes
    created_ns: int
    expires_ns: int | None
    revoked_ns: int | None
    author: str


class EnrolmentRow(NamedTuple):
    """A token: who it is for, how long, and by which key it was used."""

    digest: bytes
    device: str
    created_ns: int
    expires_ns: int
    author: str
    used_ns: int | None = None
    key: bytes | None = None


class CertificateRow(NamedTuple):
    """A certificate that was given out."""

    fingerprint: bytes
    device: str
    serial: str
    key: bytes
    document: str
    not_before_ns: int
    not_after_ns: int
    revoked_ns: int | None = None
    reason: str = ""


class AccessStore:
    """
    Reads and writes.

    Parameters
    ----------
    engine : sqlalchemy.Engine
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    # ------------------------------------------------------------------ operators

    def operators(self) -> list[OperatorRow]:
        """Read all operators, ordered by name, also those whose token is void."""
        with self._engine.connect() as connection:
            return [OperatorRow._make(row) for row in connection.execute(select(*_o).order_by(_o.operator))]

    def write_operator(self, row: OperatorRow) -> None:
        """Write an operator as he is now; one of that name is replaced."""
        with self._engine.connect().execution_options(writes=True) as connection, connection.begin():
            fields = row._asdict()
            here = _o.operator == fields.pop("operator")
            if connection.execute(update(operators).where(here).values(**fields)).rowcount == 0:
                connection.execute(insert(operators).values(operator=row.operator, **fields))

    # ------------------------------------------------------------------ enrolment

    def write_enrolment(self, row: EnrolmentRow) -> None:
        """Write a token; those of the device that were not used are void."""
        with self._engine.connect().execution_options(writes=True) as connection, connection.begin():
            _void_tokens(connection, row.device, row.created_ns)
            connection.execute(insert(enrolments).values(**row._asdict()))

    def enrolment(self, digest: bytes) -> EnrolmentRow | None:
        """Read a token; None where there is none."""
        with self._engine.connect() as connection:
            row = connection.execute(select(*_e).where(_e.digest == digest)).one_or_none()
        return None if row is None else EnrolmentRow._make(row)

    def enrol(self, token: EnrolmentRow, made: CertificateRow, time_ns: int) -> bool:
        """
        Write a device's first certificate: the token is used, and whatever let it in before is void.

        Returns
        -------
        bool
            False where somebody else used the token, or made it void, since it was read: then nothing is written.
        """
        unused = (_e.digest == token.digest) & _e.used_ns.is_(None) & (_e.expires_ns > time_ns)
        with self._engine.connect().execution_options(writes=True) as connection, connection.begin():
            # First of all, and under its own condition: of two catalogs that read it unused, one finds it so.
            used = connection.execute(update(enrolments).where(unused).values(used_ns=time_ns, key=made.key))
            if used.rowcount != 1:
                return False
            _revoke(connection, made.device, time_ns, "replaced")
            _void_credential(connection, made.device, time_ns)
            connection.execute(insert(certificates).values(**made._asdict()))
            return True

    def renew(self, made: CertificateRow, keep: Sequence[bytes], time_ns: int) -> None:
        """Write a further certificate of a device; of those before, the ones of these fingerprints stay in force."""
        others = (_c.device == made.device) & _c.revoked_ns.is_(None) & _c.fingerprint.not_in(keep)
        with self._engine.connect().execution_options(writes=True) as connection, connection.begin():
            connection.execute(update(certificates).where(others).values(revoked_ns=time_ns, reason="superseded"))
            connection.execute(insert(certificates).values(**made._asdict()))

    def certificate(self, fingerprint: bytes) -> CertificateRow | None:
        """Read a certificate that is not void; None where there is none."""
        query = select(*_c).where(_c.fingerprint == fingerprint, _c.revoked_ns.is_(None))
        with self._engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else CertificateRow._make(row)

    def newest_certificate(self, device: str) -> CertificateRow | None:
        """Read the certificate that a device was given last, also one that is void; None for none."""
        query = select(*_c).where(_c.device == device).order_by(_c.not_before_ns.desc(), _c.not_after_ns.desc())
        with self._engine.connect() as connection:
            row = connection.execute(query.limit(1)).one_or_none()
        return None if row is None else CertificateRow._make(row)

    def revoke(self, device: str, time_ns: int, reason: str) -> int:
        """Make everything void that lets a device in: certificates, credential, tokens; count the certificates."""
        with self._engine.connect().execution_options(writes=True) as connection, connection.begin():
            _void_tokens(connection, device, time_ns)
            _void_credential(connection, device, time_ns)
            return _revoke(connection, device, time_ns, reason)

    def certificate_of_key(self, device: str, key: bytes) -> CertificateRow | None:
        """Read the newest certificate in force of one of a device's keys; None where there is none."""
        query = select(*_c).where(_c.device == device, _c.key == key, _c.revoked_ns.is_(None))
        with self._engine.connect() as connection:
            row = connection.execute(query.order_by(_c.not_before_ns.desc()).limit(1)).one_or_none()
        return None if row is None else CertificateRow._make(row)

    def certificates_in_force(self, time_ns: int, device: str = "") -> Iterator[tuple[bytes, str, int]]:
        """Read fingerprint, device and end of every certificate that lets somebody in."""
        query = (
            select(_c.fingerprint, _c.device, _c.not_after_ns)
            .join(devices, devices.c.device == _c.device)
            .where(_c.revoked_ns.is_(None), _c.not_after_ns > time_ns, devices.c.removed_ns.is_(None))
            .execution_options(yield_per=2000)
        )
        if device:
            query = query.where(_c.device == device)
        with self._engine.connect() as connection:
            for row in connection.execute(query):
                yield bytes(row[0]), str(row[1]), int(row[2])

    def revoked(self, time_ns: int) -> Sequence[tuple[str, int]]:
        """Read serial number and time of every certificate that is void, and would be in force otherwise."""
        query = select(_c.serial, _c.revoked_ns).where(_c.revoked_ns.is_not(None), _c.not_after_ns > time_ns)
        with self._engine.connect() as connection:
            return [(str(row[0]), int(row[1])) for row in connection.execute(query.order_by(_c.revoked_ns, _c.serial))]


def _revoke(connection: Connection, device: str, time_ns: int, reason: str) -> int:
    in_force = (_c.device == device) & _c.revoked_ns.is_(None)
    return connection.execute(
        update(certificates).where(in_force).values(revoked_ns=time_ns, reason=reason[:200])
    ).rowcount


def _void_tokens(connection: Connection, device: str, time_ns: int) -> None:
    """Let tokens that nobody used end now."""
    waiting = (_e.device == device) & _e.used_ns.is_(None) & (_e.expires_ns > time_ns)
    connection.execute(update(enrolments).where(waiting).values(expires_ns=time_ns))


def _void_credential(connection: Connection, device: str, time_ns: int) -> None:
    """Put a digest that belongs to nothing in the place of a device's credential."""
    nothing = secrets.token_bytes(32)
    here = credentials.c.device == device
    connection.execute(update(credentials).where(here).values(digest=nothing, created_ns=time_ns))
