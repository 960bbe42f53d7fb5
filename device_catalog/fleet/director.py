"""
The catalog's own key, by which devices know that what they should do comes from it and not from whoever answers.

The key is made at the first start and never leaves this machine; the DSO lets it in by its policy (`tresma-catalog
director-key` shows the public half). Several processes that serve one fleet share the key's file.

A signature counts for a stated time, so that a device notices when it is kept from what is new. A device's document is
signed anew when half of that time is over: time is cut into periods, which begin at another moment for each device, so
that a fleet does not ask all at once. Within a period every process writes the same bytes.
"""

import os
import zlib
from pathlib import Path
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from algorithms.api.errors import Problem
from device_catalog.config import ConfigError
from device_catalog.contract.signatures import key_id, signature_text

NANOSECONDS = 1_000_000_000
_MOST = 64 * 1024


class Period(NamedTuple):
    """
    A time within which a device's document stays as it is signed.

    Attributes
    ----------
    number : int
    begins_ns, ends_ns : int
        [ns UTC]
    expires_ns : int
        Until when a signature of this period counts [ns UTC].
    """

    number: int
    begins_ns: int
    ends_ns: int
    expires_ns: int


class Director:
    """
    Signs desired documents.

    Parameters
    ----------
    private : Ed25519PrivateKey
    life : float
        How long a signature counts [s].

    Attributes
    ----------
    public : str
        In hexadecimal.
    series : str
        Tells signatures of this key from those of another, in entity tags.
    """

    def __init__(self, private: Ed25519PrivateKey, life: float) -> None:
        self._private = private
        self._half_ns = max(1, round(life / 2 * NANOSECONDS))
        self.public = private.public_key().public_bytes_raw().hex()
        self._key_id = key_id(self.public)
        self.series = self._key_id[:4]

    def period(self, device: str, now_ns: int) -> Period:
        """Tell in which period a device's document is at `now_ns` [ns UTC]."""
        offset = zlib.crc32(device.encode()) * self._half_ns >> 32
        number = (now_ns - offset) // self._half_ns
        begins_ns = offset + number * self._half_ns
        ends_ns = begins_ns + self._half_ns
        return Period(number, begins_ns, ends_ns, ends_ns + self._half_ns)

    def signature(self, document: bytes) -> str:
        """Sign a document, for the header `HEADER`."""
        return signature_text([(self._key_id, self._private.sign(document))])


def read_director(file: Path, life: float) -> Director:
    """
    Read the catalog's key, or make one at the first start.

    Parameters
    ----------
    file : pathlib.Path
    life : float
        How long a signature counts [s].

    Raises
    ------
    ConfigError
        When the file cannot be read or made, or holds no key of ed25519.
    """
    where = "director_key_file"
    try:
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            _make(file)
        with file.open("rb") as opened:
            data = opened.read(_MOST)
    except OSError as error:
        problem = Problem(where, "a file that can be read", f"{file}: {error.strerror}")
        raise ConfigError([problem]) from error
    try:
        private = load_pem_private_key(data, None)
    except (ValueError, TypeError) as error:
        problem = Problem(where, f"a private key of ed25519 in {file}", "something else", "restore it from a copy")
        raise ConfigError([problem]) from error
    if not isinstance(private, Ed25519PrivateKey):
        raise ConfigError([Problem(where, f"a private key of ed25519 in {file}", "a key of another kind")])
    return Director(private, life)


def _make(file: Path) -> None:
    """Write a new key; of two processes that start at once the first wins."""
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    temporary = file.with_name(f"{file.name}.{os.getpid()}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(pem)
            stream.flush()
            os.fsync(stream.fileno())
        try:
            os.link(temporary, file)
        except FileExistsError:
            return
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
