"""
A device's identity on its disk: one file with key and certificate, replaced whole, and the authorities it trusts.

``identity.pem`` begins with a line of facts, which readers of PEM skip: whom it names, from when to when, which token
brought it. Key and certificate are one file because a power cut between two would leave a certificate without its key.
A new key waits in ``key.new.pem`` until its certificate is here, so that the same key asks again after a power cut.
``identity.before.pem`` is the one before, or a second copy: a card may forget what it was given.
"""

import hashlib
import os
import ssl
from pathlib import Path

import msgspec

from agent.files import sync_folder, write_durably

FOLDER = "identity"
_HEAD = b"tresma identity "
MAXIMUM_LENGTH = 64 * 1024
"""Longest file read back [bytes]."""


class Facts(msgspec.Struct, frozen=True):
    """
    What is known of a certificate without reading it.

    Attributes
    ----------
    device : str
    not_before, not_after, renew_at : float
        [s since 1970]
    token : str
        Digest of the token that brought the first one; see `token_digest`.
    policy : int
        The least revision of the DSO's policy that tokens asked for; 0 for none.
    """

    device: str
    not_before: float
    not_after: float
    renew_at: float
    token: str = ""
    policy: int = 0


class Identity:
    """
    The files of one device.

    Parameters
    ----------
    state : pathlib.Path
        The agent's folder.
    """

    def __init__(self, state: Path) -> None:
        self.folder = state / FOLDER
        self.path = self.folder / "identity.pem"
        self.before = self.folder / "identity.before.pem"
        self.anchors = self.folder / "anchors.pem"
        self.root = self.folder / "root.json"
        self.new_key = self.folder / "key.new.pem"

    def facts(self) -> Facts | None:
        """Read what is known of the certificate; None where there is none that can be read."""
        try:
            with self.path.open("rb") as file:
                head = file.readline(MAXIMUM_LENGTH)
        except OSError:
            return None
        if not head.startswith(_HEAD):
            return None
        try:
            return msgspec.json.decode(head.removeprefix(_HEAD), type=Facts)
        except msgspec.DecodeError:
            return None

    def stamp(self) -> int:
        """Tell one identity from the one before; 0 for none."""
        try:
            return self.path.stat().st_mtime_ns
        except OSError:
            return 0

    def make_folder(self) -> None:
        """Make the folder, which nobody else may look into."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        sync_folder(self.folder.parent)

    def keep(self, facts: Facts, key: bytes, certificate: bytes) -> None:
        """
        Put a new identity in the place of the one before; what it was made from goes after.

        Raises
        ------
        OSError
            When it cannot be made durable; the one before is unchanged.
        """
        content = _HEAD + msgspec.json.encode(facts) + b"\n" + key + certificate
        good = self.path.read_bytes() if _is_usable(self.path) else content
        write_durably(self.before, good)
        write_durably(self.path, content)
        self.new_key.unlink(missing_ok=True)
        sync_folder(self.folder)

    def heal(self) -> bool:
        """
        Put the identity before in the place of one that cannot be used; tell whether that was done.

        Raises
        ------
        OSError
            When it cannot be made durable.
        """
        if not self.before.exists() or _is_usable(self.path) or not _is_usable(self.before):
            return False
        write_durably(self.path, self.before.read_bytes())
        return True

    def key_in_force(self) -> bytes:
        """Read the private key in force; empty for none."""
        try:
            content = self.path.read_bytes()[:MAXIMUM_LENGTH]
        except OSError:
            return b""
        end = b"-----END PRIVATE KEY-----\n"
        begin = content.find(b"-----BEGIN PRIVATE KEY-----")
        return content[begin : content.find(end) + len(end)] if begin >= 0 and end in content else b""


def _is_usable(path: Path) -> bool:
    """Tell whether a file holds a key and its certificate."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(path)
    except OSError:  # not there, or damaged: an ssl.SSLError is one
        return False
    return True


def token_digest(token: str) -> str:
    """Write what a token is known by afterwards; the token itself is kept nowhere."""
    return hashlib.sha256(token.strip().encode()).hexdigest()


def is_private(path: Path) -> bool:
    """Tell whether nobody but the owner may read a file; always where the system has no such notion."""
    return os.name == "nt" or path.stat().st_mode & 0o077 == 0
