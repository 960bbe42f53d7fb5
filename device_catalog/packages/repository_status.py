"""What a repository holds, for a person to read: who signs, what counts until when, what is pending."""

from typing import Any, cast

from tuf.api.metadata import Root, Targets

from device_catalog.packages.repository import Repository
from device_catalog.packages.signed_metadata import SNAPSHOT, TIMESTAMP


def status(repository: Repository) -> list[dict[str, Any]]:
    """Describe every role: the four of TUF, then the publishers."""
    metadata = repository.newest("root")
    if metadata is None:
        return []
    root = cast("Root", metadata.signed)
    targets = repository.newest("targets")
    delegations = None if targets is None else cast("Targets", targets.signed).delegations
    publishers = (delegations.roles or {}) if delegations else {}
    found = []
    for name in (*repository.roles()[:2], SNAPSHOT, TIMESTAMP, *publishers):
        role = publishers.get(name) or root.roles[name]
        published = repository.published(name)
        pending = repository.pending(name)
        newest = pending or published
        held = newest.signed.targets if newest is not None and isinstance(newest.signed, Targets) else {}
        found.append(
            {
                "role": name,
                "threshold": role.threshold,
                "keys": sorted(role.keyids),
                "version": published.signed.version if published else 0,
                "expires": f"{published.signed.expires:%Y-%m-%d %H:%M} UTC" if published else "",
                "pending": pending.signed.version if pending else 0,
                "missing": repository.missing(name),
                "targets": sorted(held),
            }
        )
    return found
