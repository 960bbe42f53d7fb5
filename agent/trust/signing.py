"""
ed25519 in the agent's own process: verifying what others signed, and signing orders with this device's own key.

Loaded only where a policy is in force or a key is here: the library takes 5 ms and some 7 MiB, most of them shared; one
signature is verified in a tenth of a millisecond, so a process of its own would cost more than it saves.
"""

import os
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from agent.errors import ConfigError
from agent.files import sync_folder
from algorithms.api.errors import Problem
from algorithms.api.records import Command
from device_catalog.contract.signatures import key_id, order_bytes

COMMAND_KEY = "command.key"
"""In the state folder."""
_MOST = 64 * 1024


def verifies(public: str, signature: bytes, data: bytes) -> bool:
    """
    Tell whether `signature` is that of `data` by a key.

    Parameters
    ----------
    public : str
        32 bytes in hexadecimal.
    signature, data : bytes
    """
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify(signature, data)
    except (InvalidSignature, ValueError):
        return False
    return True


class CommandKey:
    """
    The key by which this device signs orders that its algorithms propose.

    Attributes
    ----------
    public : str
        In hexadecimal, for the DSO's policy.
    key_id : str
    """

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.public = private.public_key().public_bytes_raw().hex()
        self.key_id = key_id(self.public)

    def signed(self, command: Command) -> Command:
        """Give an order with this key's signature, whatever was there before."""
        named = msgspec.structs.replace(command, key_id=self.key_id, signature="")
        return msgspec.structs.replace(named, signature=self._private.sign(order_bytes(named)).hex())


def read_command_key(state: Path) -> CommandKey | None:
    """
    Read this device's command key; None where it has none.

    Raises
    ------
    ConfigError
        When there is something else in its place.
    """
    path = state / COMMAND_KEY
    try:
        with path.open("rb") as file:
            private = load_pem_private_key(file.read(_MOST), None)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        found = getattr(error, "strerror", None) or "something else"
        raise ConfigError([Problem(str(path), "this device's command key", found, "restore or remove it")]) from error
    if not isinstance(private, Ed25519PrivateKey):
        raise ConfigError([Problem(str(path), "a key of ed25519", "a key of another kind", "remove it")])
    return CommandKey(private)


def make_command_key(state: Path) -> CommandKey:
    """
    Read this device's command key, or make it where it has none; nobody but the agent may read it.

    Raises
    ------
    ConfigError
        When it can be neither read nor made.
    """
    known = read_command_key(state)
    if known is not None:
        return known
    private = Ed25519PrivateKey.generate()
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path = state / COMMAND_KEY
    temporary = path.with_name(f"{COMMAND_KEY}.new")
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
        sync_folder(state)
    except OSError as error:
        found = error.strerror or str(error)
        raise ConfigError([Problem(str(path), "a file that can be written", found)]) from error
    return CommandKey(private)
