"""
The DSO's signed repository: a plain folder of TUF metadata and targets, and what is pending for its signers.

::

    metadata/   1.root.json 2.root.json ... root.json  7.targets.json  3.PUBLISHER.json  9.snapshot.json  timestamp.json
    targets/    algorithms/NAME/SHA256.FILE.whl  policy/SHA256.policy.json
                images/NAME/SHA256.NAME-VERSION.json  images/NAME/SHA256.NAME-VERSION.image
    pending/    root.json targets.json PUBLISHER.json      changed, and not yet signed by enough

Here stands what can be changed: keys, publishers, algorithms, images, the policy. Whatever it is goes into a pending
document; how that is signed and let in stands in `signed_metadata`.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import cast

from securesystemslib.signer import SSlibKey
from tuf.api.metadata import DelegatedRole, Delegations, Metadata, Role, Root, TargetFile, Targets

from device_catalog.contract.images import FORMAT, image_path, payload_path, read_manifest
from device_catalog.contract.packages import Package
from device_catalog.contract.policy import POLICY_PATH
from device_catalog.contract.policy_rules import parse_policy
from device_catalog.contract.trust import facts_of, target_path
from device_catalog.packages.errors import RepositoryError
from device_catalog.packages.files import copy_whole, write_whole
from device_catalog.packages.image_packing import check_payload
from device_catalog.packages.signed_metadata import (
    LIFETIMES,
    ROOT,
    SNAPSHOT,
    TARGETS,
    TIMESTAMP,
    AnyMetadata,
    SignedMetadata,
)

OFFLINE = (ROOT, TARGETS)
SMALLEST_THRESHOLD = 2
"""Of root and targets: no single person can make a meter run anything."""


class Repository(SignedMetadata):
    """
    One repository's folder.

    Parameters
    ----------
    folder : pathlib.Path
    now : datetime
        The time of what is done, with its zone.
    """

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
