"""
Keys of the people who sign: ed25519, the private half encrypted in a file that only its owner can read.

``NAME.key`` is PKCS #8 in PEM under a passphrase and stays with its owner, off the catalog; ``NAME.pub`` is JSON that
anybody may have. Nothing here prints or logs what is secret.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from securesystemslib.signer import CryptoSigner, SSlibKey

from algorithms.api.records import Command
from device_catalog.contract.signatures import key_id, order_bytes
from device_catalog.packages.errors import RepositoryError

SHORTEST_PASSPHRASE = 8
_MOST = 64 * 1024


def new_key(path: Path, passphrase: bytes) -> SSlibKey:
    """
    Make a key: the private half in `path`, the public one beside it as ``.pub``.

    Raises
    ------
    RepositoryError
        When the passphrase is too short, or a file is there already: a key is never overwritten.
    """
    if len(passphrase) < SHORTEST_PASSPHRASE:
        raise RepositoryError(f"expected a passphrase of at least {SHORTEST_PASSPHRASE} bytes, found a shorter one")
    private = Ed25519PrivateKey.generate()
    public = CryptoSigner(private).public_key
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(passphrase))
    _create(path, pem, 0o600)
    document = {"keyid": public.keyid, **public.to_dict()}
    _create(public_path(path), msgspec.json.format(msgspec.json.encode(document)) + b"\n", 0o644)
    return public


def public_path(path: Path) -> Path:
    """Name the file of the public half."""
    return path.with_name(f"{path.name.removesuffix('.key')}.pub")


def read_public(path: Path) -> SSlibKey:
    """
    Read a public key.

    Raises
    ------
    RepositoryError
    """
    found = "no such thing"
    try:
        document: Any = msgspec.json.decode(_read(path))
        key = SSlibKey.from_dict(str(document.pop("keyid")), document)
        if key.keytype == "ed25519" and key.scheme == "ed25519" and len(bytes.fromhex(key.keyval["public"])) == 32:
            return key
        found = f"a key of {key.keytype}"
    except (msgspec.DecodeError, AttributeError, KeyError, TypeError, ValueError):
        pass
    raise RepositoryError(f"{path}: expected the public half of an ed25519 key (NAME.pub), found {found}")


def load_signer(path: Path, passphrase: bytes) -> CryptoSigner:
    """
    Open a private key, for signatures of the repository.

    Raises
    ------
    RepositoryError
        When it is none, or the passphrase is not its own.
    """
    return CryptoSigner(_load(path, passphrase))


def load_commander(path: Path, passphrase: bytes) -> Callable[[Command], Command]:
    """
    Open a private key, for signatures of orders; return what signs one.

    Raises
    ------
    RepositoryError
        As `load_signer`.
    """
    private = _load(path, passphrase)
    identity = key_id(private.public_key().public_bytes_raw().hex())

    def sign(command: Command) -> Command:
        named = msgspec.structs.replace(command, key_id=identity, signature="")
        return msgspec.structs.replace(named, signature=private.sign(order_bytes(named)).hex())

    return sign


def _load(path: Path, passphrase: bytes) -> Ed25519PrivateKey:
    data = _read(path)
    try:
        private = load_pem_private_key(data, passphrase)
    except (ValueError, TypeError) as error:
        reason = "another one, or no key" if b"ENCRYPTED" in data else "no encrypted key"
        raise RepositoryError(f"{path}: expected a private key and its passphrase, found {reason}") from error
    if not isinstance(private, Ed25519PrivateKey):
        raise RepositoryError(f"{path}: expected a key of ed25519, found another kind; `tresma keys new` makes one")
    return private


def _create(path: Path, content: bytes, mode: int) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError as error:
        raise RepositoryError(
            f"{path} is there already, and a key is never overwritten; choose another name"
        ) from error
    except OSError as error:
        raise RepositoryError(f"{path}: expected a file that can be written, found: {error.strerror}") from error


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MOST)
    except OSError as error:
        raise RepositoryError(f"{path}: expected a file that can be read, found: {error.strerror}") from error
