"""
Which certificates let whom in: in memory, since every poll asks.

A certificate was verified before it comes here, by the server's own TLS or by a proxy in front. What counts here is
that this catalog gave it out and did not take it back: revocation works with the next request, whatever connection is
open. Used by the server's own thread only.
"""

from collections.abc import Iterable
from typing import NamedTuple


class Holder(NamedTuple):
    """Whom a certificate names, and until when it counts [ns UTC]."""

    device: str
    not_after_ns: int


class Certificates:
    """Certificates in force."""

    def __init__(self) -> None:
        self._holders: dict[bytes, Holder] = {}
        self._of: dict[str, tuple[bytes, ...]] = {}

    def load(self, rows: Iterable[tuple[bytes, str, int]]) -> None:
        """Take over what is in force; once, before anybody is served."""
        for fingerprint, device, not_after_ns in rows:
            self._holders[fingerprint] = Holder(device, not_after_ns)
            self._of[device] = (*self._of.get(device, ()), fingerprint)

    def replace(self, device: str, rows: Iterable[tuple[bytes, str, int]]) -> None:
        """Let these certificates, and no others, let a device in."""
        for fingerprint in self._of.pop(device, ()):
            self._holders.pop(fingerprint, None)
        self.load(rows)

    def enrolled(self, device: str) -> bool:
        """Tell whether a device has a certificate in force; from any thread."""
        return device in self._of

    def holder(self, fingerprint: bytes, time_ns: int) -> str:
        """Tell whom a certificate lets in; empty for nobody."""
        holder = self._holders.get(fingerprint)
        return holder.device if holder is not None and time_ns < holder.not_after_ns else ""
