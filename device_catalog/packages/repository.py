"""
The DSO's signed repository: a plain folder of TUF metadata and targets, and what is pending for its signers.

::

    metadata/   1.root.json 2.root.json ... root.json  7.targets.json  3.PUBLISHER.json  9.snapshot.json  timestamp.json
    targets/    algorithms/NAME/SHA256.FILE.whl  policy/SHA256.policy.json
                images/NAME/SHA256.NAME-VERSION.json  images/NAME/SHA256.NAME-VERSION.image
    pending/    root.json targets.json PUBLISHER.json      changed, and not yet signed by enough

A change goes into a pending document of the next version. Each signer adds a signature to the file in turn (it may be
carried to him on a stick), and `publish` lets in what enough have signed, then writes snapshot and timestamp with the
online keys, the timestamp last. A document under ``metadata`` is never changed; a cut in between leaves the old
timestamp, and with it the old repository, whole.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

from securesystemslib.signer import Signer, SSlibKey
from tuf.api.exceptions import RepositoryError as TufError
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Role,
    Root,
    Signed,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.serialization import DeserializationError

from device_catalog.contract.images import FORMAT, image_path, payload_path, read_manifest
from device_catalog.contract.packages import Package
from device_catalog.contract.policy import POLICY_PATH
from device_catalog.contract.policy_rules import parse_policy
from device_catalog.contract.trust import ISSUED, MAXIMUM_TARGETS, facts_of, target_path
from device_catalog.packages.errors import RepositoryError
from device_catalog.packages.files import copy_whole, write_whole
from device_catalog.packages.image_packing import check_payload

ROOT, TARGETS, SNAPSHOT, TIMESTAMP = "root", "targets", "snapshot", "timestamp"
OFFLINE = (ROOT, TARGETS)
LIFETIMES = {ROOT: 365.0, TARGETS: 180.0, SNAPSHOT: 14.0, TIMESTAMP: 2.0}
"""How long a signature counts unless told otherwise [d]."""
SMALLEST_THRESHOLD = 2
"""Of root and targets: no single person can make a meter run anything."""

AnyMetadata = Metadata[Any]


class Repository:
    """
    One repository's folder.

    Parameters
    ----------
    folder : pathlib.Path
    now : datetime
        The time of what is done, with its zone.
    """

    def __init__(self, folder: Path, now: datetime) -> None:
        self.folder = folder
        self._now = now.replace(microsecond=0)

    def begin(self, keys: Mapping[str, Sequence[SSlibKey]], threshold: int) -> None:
        """
        Begin a repository: root and targets await their signers.

        Raises
        ------
        RepositoryError
            When there is one, or keys and threshold do not suffice.
        """
        if (self.folder / "metadata").exists() or (self.folder / "pending").exists():
            raise RepositoryError(f"{self.folder} holds a repository already; choose another folder")
        roles = {role: Role([], threshold if role in OFFLINE else 1) for role in keys}
        root = Root(version=1, roles=roles, consistent_snapshot=True)
        for role, its_keys in keys.items():
            for key in its_keys:
                root.add_key(key, role)
        _judge(root)
        for folder in ("metadata", "targets", "pending"):
            (self.folder / folder).mkdir(parents=True)
        self._put_pending(ROOT, Metadata(root))
        self._put_pending(TARGETS, Metadata(Targets(version=1)))

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

    def change_keys(
        self, role: str, *, add: Iterable[SSlibKey] = (), remove: Iterable[str] = (), threshold: int | None = None
    ) -> None:
        """
        Change who signs for a role: root, targets, snapshot or timestamp.

        Raises
        ------
        RepositoryError
        """
        metadata = self._next(ROOT)
        root = cast("Root", metadata.signed)
        if role not in root.roles:
            raise RepositoryError(f"expected one of {', '.join(root.roles)}, found {role[:60]}")
        for keyid in remove:
            try:
                root.revoke_key(keyid, role)
            except ValueError as error:
                found = f"found {keyid[:16]}; `tresma repository status` lists them"
                raise RepositoryError(f"expected a key of {role}, {found}") from error
        for key in add:
            root.add_key(key, role)
        root.roles[role].threshold = root.roles[role].threshold if threshold is None else threshold
        _judge(root)
        self._put_pending(ROOT, metadata)

    def delegate(self, publisher: str, algorithms: Iterable[str], keys: Sequence[SSlibKey], threshold: int) -> None:
        """
        Let a publisher sign packages of some algorithms, and of no others.

        Raises
        ------
        RepositoryError
        """
        if publisher in LIFETIMES or not publisher.replace("-", "").replace("_", "").isalnum() or len(publisher) > 64:
            raise RepositoryError(f"expected a publisher's name of letters, digits, _ and -, found {publisher[:60]}")
        if not 1 <= threshold <= len({key.keyid for key in keys}):
            raise RepositoryError(f"expected a threshold from 1 to the number of keys, {len(keys)}, found {threshold}")
        metadata = self._next(TARGETS)
        targets = cast("Targets", metadata.signed)
        delegations = targets.delegations or Delegations({}, {})
        paths = [target_path(name, "*") for name in algorithms]
        role = DelegatedRole(publisher, [], threshold, terminating=True, paths=paths)
        delegations.roles = {**(delegations.roles or {}), publisher: role}
        targets.delegations = delegations
        for key in keys:
            targets.add_key(key, publisher)
        self._put_pending(TARGETS, metadata)
        if self.newest(publisher) is None:
            self._put_pending(publisher, Metadata(Targets(version=1)))

    def add(self, package: Package, data: bytes, role: str = TARGETS) -> None:
        """
        Put a package among the targets of a role.

        Raises
        ------
        RepositoryError
            When it is there with other bytes, its release does not go up, or the role may not.
        """
        info = package.manifest.info
        path = target_path(info.name, package.file_name)
        metadata = self._next(role)
        targets = cast("Targets", metadata.signed)
        if role != TARGETS:
            parent = self.newest(TARGETS)
            delegations = None if parent is None else cast("Targets", parent.signed).delegations
            allowed = (delegations.roles or {}).get(role) if delegations else None
            if allowed is None or not allowed.is_delegated_path(path):
                raise RepositoryError(f"{role} may not publish {info.name}; `tresma repository delegate` lets it")
        target = TargetFile.from_data(path, data, ["sha256"])
        known = targets.targets.get(path)
        if known is not None and known.hashes != target.hashes:
            raise RepositoryError(f"{info.name} {info.version} is there with other bytes; give it another version")
        for other in targets.targets.values():
            said = other.custom or {}
            if said.get("name") == info.name and other.path.startswith("images/"):
                raise RepositoryError(f"expected a name that no image has, found {info.name}; choose another")
            if said.get("name") == info.name and other.path != path and said["release"] >= package.manifest.release:
                raise RepositoryError(
                    f"expected a release above {said['release']}, that of {info.name} {said['version']}, found "
                    f"{package.manifest.release}; raise `release` in algorithm.toml"
                )
        facts = facts_of(package)
        target.unrecognized_fields = {"custom": {name: getattr(facts, name) for name in facts.__struct_fields__}}
        targets.targets[path] = target
        folder = self.folder / "targets" / "algorithms" / info.name
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / f"{package.sha256}.{package.file_name}", data)
        self._put_pending(role, metadata)

    def add_image(self, data: bytes, payload: Path) -> None:
        """
        Put an image's manifest among the targets, and its payload beside it.

        Parameters
        ----------
        data : bytes
            The manifest, as it is to be signed.
        payload : pathlib.Path

        Raises
        ------
        ImageError
            With everything that is wrong with it.
        RepositoryError
            When it is there with other bytes, its release does not go up, or an algorithm has its name.
        """
        manifest = read_manifest(data)
        path = image_path(manifest.name, manifest.version)
        metadata = self._next(TARGETS)
        targets = cast("Targets", metadata.signed)
        target = TargetFile.from_data(path, data, ["sha256"])
        known = targets.targets.get(path)
        if known is not None and known.hashes != target.hashes:
            raise RepositoryError(
                f"{manifest.name} {manifest.version} is there with other bytes; give it a new version"
            )
        for other in targets.targets.values():
            said = other.custom or {}
            if said.get("name") != manifest.name or other.path == path:
                continue
            if not other.path.startswith("images/"):
                raise RepositoryError(f"expected a name that no algorithm has, found {manifest.name}; choose another")
            if said["release"] >= manifest.release:
                raise RepositoryError(
                    f"expected a release above {said['release']}, that of {manifest.name} {said['version']}, found "
                    f"{manifest.release}; build the image with a higher one"
                )
        with payload.open("rb") as file:
            problem = check_payload(manifest, file)
        if problem:
            raise RepositoryError(f"{payload}: {problem}; pack it again")
        facts = {"name": manifest.name, "version": manifest.version, "release": manifest.release, "api_version": FORMAT}
        target.unrecognized_fields = {"custom": facts}
        targets.targets[path] = target
        folder = self.folder / "targets" / "images" / manifest.name
        folder.mkdir(parents=True, exist_ok=True)
        copy_whole(payload, self.folder / "targets" / payload_path(manifest))
        write_whole(folder / f"{target.hashes['sha256']}.{path.rpartition('/')[2]}", data)
        self._put_pending(TARGETS, metadata)

    def set_policy(self, data: bytes) -> None:
        """
        Put a policy among the targets, in the place of the one before.

        Raises
        ------
        PolicyError
            With everything that is wrong with it.
        RepositoryError
            When its revision does not go up, or it gives a key of the repository another task.
        """
        policy = parse_policy(data)
        before = self.policy()
        least = 1 if before is None else parse_policy(before).revision + (before != data)
        if policy.revision < least:
            raise RepositoryError(f"expected a policy of revision {least} or more, found {policy.revision}")
        root = self.newest(ROOT)
        keys = {} if root is None else cast("Root", root.signed).keys
        signers = {key.keyval.get("public") for key in keys.values()}
        given = {key.public: key.name for key in policy.directors} | {key.public: key.name for key in policy.commanders}
        shared = next((name for public, name in given.items() if public in signers), None)
        if shared is not None:
            raise RepositoryError(f"expected other keys than those of the repository, found one of them as {shared}")
        metadata = self._next(TARGETS)
        target = TargetFile.from_data(POLICY_PATH, data, ["sha256"])
        cast("Targets", metadata.signed).targets[POLICY_PATH] = target
        folder = self.folder / "targets" / "policy"
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / f"{target.hashes['sha256']}.policy.json", data)
        self._put_pending(TARGETS, metadata)

    def policy(self) -> bytes | None:
        """
        Read the newest policy, pending or published; None where there is none.

        Raises
        ------
        RepositoryError
            When it is not as it was when it was put there.
        """
        newest = self.newest(TARGETS)
        return None if newest is None else self._policy_of(newest)

    def _policy_of(self, metadata: AnyMetadata) -> bytes | None:
        target = cast("Targets", metadata.signed).targets.get(POLICY_PATH)
        if target is None:
            return None
        path = self.folder / "targets" / "policy" / f"{target.hashes['sha256']}.policy.json"
        try:
            data = path.read_bytes()
        except OSError as error:
            raise RepositoryError(f"{path}: expected the policy, found: {error.strerror}") from error
        if hashlib.sha256(data).hexdigest() != target.hashes["sha256"]:
            raise RepositoryError(f"{path}: expected the policy that is signed, found other bytes; restore it")
        return data

    def pinned(self) -> tuple[bytes, int]:
        """
        Give what a new meter is to be told: the newest published root, and the revision of the published policy.

        Returns
        -------
        bytes
        int
            0 where none is published.

        Raises
        ------
        RepositoryError
            Where there is no root yet, or the policy is not as it was.
        """
        versions = {int(path.name.partition(".")[0]): path for path in self._versions(ROOT)}
        if not versions:
            raise RepositoryError(f"expected a published root in {self.folder}, found none; sign and publish it first")
        published = self.published(TARGETS)
        data = None if published is None else self._policy_of(published)
        return versions[max(versions)].read_bytes(), 0 if data is None else parse_policy(data).revision

    def withdraw(self, name: str, version: str) -> list[str]:
        """
        Take a version of an algorithm away; return the roles that had it.

        Raises
        ------
        RepositoryError
            When none has it.
        """
        had = []
        for role in self.roles()[1:]:
            metadata = self._next(role)
            targets = cast("Targets", metadata.signed)
            gone = [
                path
                for path, target in targets.targets.items()
                if ((target.custom or {}).get("name"), (target.custom or {}).get("version")) == (name, version)
            ]
            if gone:
                for path in gone:
                    del targets.targets[path]
                self._put_pending(role, metadata)
                had.append(role)
        if not had:
            raise RepositoryError(f"expected an algorithm of the repository, found {name}=={version}")
        return had

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


def _judge(root: Root) -> None:
    for name in LIFETIMES:
        role = root.roles[name]
        least = SMALLEST_THRESHOLD if name in OFFLINE else 1
        if role.threshold < least:
            raise RepositoryError(f"expected a threshold of at least {least} for {name}, found {role.threshold}")
        if len(role.keyids) < role.threshold:
            raise RepositoryError(
                f"expected at least {role.threshold} keys for {name}, found {len(role.keyids)}; add one first"
            )
    together = {keyid for name in OFFLINE for keyid in root.roles[name].keyids}
    online = {keyid for name in (SNAPSHOT, TIMESTAMP) for keyid in root.roles[name].keyids}
    if together & online:
        raise RepositoryError("expected other keys online than those of root and targets, found one in both")
