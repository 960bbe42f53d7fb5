"""
The metadata of a repository's folder: documents of TUF roles, who signs them, and how they get in.

A change goes into a pending document of the next version. Each signer adds a signature to the file in turn (it may be
carried to him on a stick), and `publish` lets in what enough have signed, then writes snapshot and timestamp with the
online keys, the timestamp last. A document under ``metadata`` is never changed; a cut in between leaves the old
timestamp, and with it the old repository, whole. What the documents say is `repository`'s business.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

from securesystemslib.signer import Signer
from tuf.api.exceptions import RepositoryError as TufError
from tuf.api.metadata import Metadata, MetaFile, Root, Signed, Snapshot, Targets, Timestamp
from tuf.api.serialization import DeserializationError

from device_catalog.contract.trust import ISSUED, MAXIMUM_TARGETS
from device_catalog.packages.errors import RepositoryError
from device_catalog.packages.files import write_whole

ROOT, TARGETS, SNAPSHOT, TIMESTAMP = "root", "targets", "snapshot", "timestamp"
LIFETIMES = {ROOT: 365.0, TARGETS: 180.0, SNAPSHOT: 14.0, TIMESTAMP: 2.0}
"""How long a signature counts unless told otherwise [d]."""

AnyMetadata = Metadata[Any]


class SignedMetadata:
    """
    The documents of one repository's folder.

    Parameters
    ----------
    folder : pathlib.Path
    now : datetime
        The time of what is done, with its zone.
    """

    def __init__(self, folder: Path, now: datetime) -> None:
        self.folder = folder
        self._now = now.replace(microsecond=0)

    def roles(self) -> list[str]:
        """List the roles that people sign: root, targets, and the publishers."""
        targets = self.newest(TARGETS)
        delegations = None if targets is None else cast("Targets", targets.signed).delegations
        return [ROOT, TARGETS, *sorted((delegations.roles or {}) if delegations else ())]

    def published(self, role: str) -> AnyMetadata | None:
        """Read the newest published document of a role."""
        if role == TIMESTAMP:
            return self._read(self.folder / "metadata" / "timestamp.json")
        version = max((int(path.name.partition(".")[0]) for path in self._versions(role)), default=0)
        return self._read(self.folder / "metadata" / f"{version}.{role}.json") if version else None

    def pending(self, role: str) -> AnyMetadata | None:
        """Read the pending document of a role."""
        return self._read(self.folder / "pending" / f"{role}.json")

    def newest(self, role: str) -> AnyMetadata | None:
        """Read the pending document, or else the published one."""
        return self.pending(role) or self.published(role)

    def expire(self, role: str, days: float) -> None:
        """
        Let a role's document count for so many days from now, which its signers confirm.

        Raises
        ------
        RepositoryError
        """
        if role not in self.roles():
            raise RepositoryError(f"expected one of {', '.join(self.roles())}, found {role[:60]}")
        self._put_pending(role, self._next(role), days)

    def sign(self, signer: Signer) -> list[str]:
        """
        Add a signature to every pending document that this key may sign; return their roles.

        Raises
        ------
        RepositoryError
            When there is none.
        """
        signed = []
        for role in self.roles():
            metadata = self.pending(role)
            keyid = signer.public_key.keyid
            if metadata is not None and keyid in self._allowed(role):
                metadata.sign(signer, append=True)
                write_whole(self.folder / "pending" / f"{role}.json", metadata.to_bytes())
                signed.append(role)
        if not signed:
            raise RepositoryError(
                f"expected something pending that the key {signer.public_key.keyid[:16]} may sign, found nothing"
            )
        return signed

    def missing(self, role: str) -> int:
        """Count the signatures that a pending document still needs."""
        metadata = self.pending(role)
        if metadata is None:
            return 0
        results = [
            delegator.get_verification_result(role, metadata.signed_bytes, metadata.signatures)
            for delegator in self._delegators(role)
        ]
        return max((max(0, result.missing) for result in results), default=1)

    def publish(self, signers: Sequence[Signer]) -> list[str]:
        """
        Let in what enough have signed, and sign snapshot and timestamp anew.

        Parameters
        ----------
        signers : sequence
            The online keys: of snapshot and of timestamp.

        Returns
        -------
        list of str
            The roles let in.

        Raises
        ------
        RepositoryError
            When a pending document lacks signatures, or an online key is missing; nothing is changed then.
        """
        waiting = [role for role in self.roles() if self.pending(role) is not None]
        lacking = [f"{role} ({self.missing(role)})" for role in waiting if self.missing(role)]
        if lacking:
            raise RepositoryError(f"expected enough signatures, found some missing: {', '.join(lacking)}")
        newest = self.newest(ROOT)
        if newest is None:
            raise RepositoryError(f"expected a repository in {self.folder}, found none; `tresma repository init`")
        root = cast("Root", newest.signed)
        online = {
            role: [one for one in signers if one.public_key.keyid in root.roles[role].keyids] for role in LIFETIMES
        }
        for role in (SNAPSHOT, TIMESTAMP):
            if not online[role]:
                raise RepositoryError(f"expected the key of {role}, found none; give it with --key")
        for role in waiting:
            self._let_in(role)
        self._seal(online[SNAPSHOT][0], online[TIMESTAMP][0])
        for role in waiting:
            (self.folder / "pending" / f"{role}.json").unlink()
        return waiting

    def _let_in(self, role: str) -> None:
        data = (self.folder / "pending" / f"{role}.json").read_bytes()
        version = Metadata.from_bytes(data).signed.version
        write_whole(self.folder / "metadata" / f"{version}.{role}.json", data)
        if role == ROOT:
            write_whole(self.folder / "metadata" / "root.json", data)

    def _seal(self, for_snapshot: Signer, for_timestamp: Signer) -> None:
        before = self.published(SNAPSHOT)
        snapshot = Snapshot(version=1 if before is None else before.signed.version + 1)
        for role in self.roles()[1:]:
            document = self.published(role)
            if document is not None:
                data = (self.folder / "metadata" / f"{document.signed.version}.{role}.json").read_bytes()
                snapshot.meta[f"{role}.json"] = MetaFile.from_data(document.signed.version, data, ["sha256"])
        sealed = self._signed(snapshot, LIFETIMES[SNAPSHOT], for_snapshot)
        write_whole(self.folder / "metadata" / f"{snapshot.version}.snapshot.json", sealed)
        earlier = self.published(TIMESTAMP)
        timestamp = Timestamp(version=1 if earlier is None else earlier.signed.version + 1)
        timestamp.snapshot_meta = MetaFile.from_data(snapshot.version, sealed, ["sha256"])
        stamped = self._signed(timestamp, LIFETIMES[TIMESTAMP], for_timestamp)
        write_whole(self.folder / "metadata" / "timestamp.json", stamped)

    def _signed(self, signed: Snapshot | Timestamp, days: float, signer: Signer) -> bytes:
        self._date(signed, days)
        metadata: AnyMetadata = Metadata(signed)
        metadata.sign(signer)
        return metadata.to_bytes()

    def _date(self, signed: Signed, days: float) -> None:
        signed.expires = self._now + timedelta(days=days)
        signed.unrecognized_fields[ISSUED] = f"{self._now:%Y-%m-%dT%H:%M:%SZ}"

    def _next(self, role: str) -> AnyMetadata:
        """Give the pending document, or the published one as the next version, without its signatures."""
        metadata = self.newest(role)
        if metadata is None:
            raise RepositoryError(
                f"expected a repository with {role[:60]} in {self.folder}, found none; see `tresma repository init`"
            )
        published = self.published(role)
        if published is not None:
            metadata.signed.version = published.signed.version + 1
        metadata.signatures.clear()
        return metadata

    def _put_pending(self, role: str, metadata: AnyMetadata, days: float | None = None) -> None:
        self._date(metadata.signed, LIFETIMES.get(role, LIFETIMES[TARGETS]) if days is None else days)
        metadata.signatures.clear()
        data = metadata.to_bytes()
        if len(data) > MAXIMUM_TARGETS:
            raise RepositoryError(f"{role} would be longer than meters read; withdraw old versions")
        write_whole(self.folder / "pending" / f"{role}.json", data)

    def _delegators(self, role: str) -> list[Root | Targets]:
        """Those under whose keys a pending document must be signed: for a new root the old one's and its own."""
        newest, published = self.newest(ROOT), self.published(ROOT)
        if newest is None:
            return []
        if role == ROOT:
            return [cast("Root", one.signed) for one in (published, newest) if one is not None]
        if role == TARGETS:
            return [cast("Root", newest.signed)]
        targets = self.newest(TARGETS)
        return [] if targets is None else [cast("Targets", targets.signed)]

    def _allowed(self, role: str) -> set[str]:
        return {keyid for one in self._delegators(role) for keyid in one.get_delegated_role(role).keyids}

    def _versions(self, role: str) -> list[Path]:
        found = (self.folder / "metadata").glob(f"*.{role}.json")
        return [path for path in found if path.name.partition(".")[0].isdigit()]

    def _read(self, path: Path) -> AnyMetadata | None:
        try:
            return Metadata.from_bytes(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, DeserializationError, TufError, ValueError) as error:
            raise RepositoryError(f"{path}: expected TUF metadata, found: {error}; restore it from a copy") from error
