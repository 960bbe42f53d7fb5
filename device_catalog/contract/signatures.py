"""
How signatures travel: beside a desired document in a header, within an order as fields. Bytes only, no cryptography.

A desired document is signed as the bytes that are sent, so that nobody has to write them again to verify them. An order
is signed as the text that `algorithms.api.wire` writes of it, its signature left empty and its arguments sorted: what
a broker or a bridge does to spaces and order changes nothing. All keys are ed25519; a key is named by the first 16
hexadecimal digits of the SHA-256 of its 32 bytes, which nobody has to believe: the signature is verified by the key.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from algorithms.api import wire
from algorithms.api.records import Command

HEADER = "Desired-Signature"
"""Of a desired document: ``KEY:SIGNATURE`` in hexadecimal, several after commas while a key is replaced."""
MOST = 4
"""Signatures of one document that are looked at."""

_signature = re.compile(r"([0-9a-f]{16}):([0-9a-f]{128})")
_prefix = b"signed "


def key_id(public: str) -> str:
    """
    Name a public key.

    Parameters
    ----------
    public : str
        32 bytes in hexadecimal.

    >>> key_id("00" * 32)
    '66687aadf862bd77'
    """
    return hashlib.sha256(bytes.fromhex(public)).hexdigest()[:16]


def signature_text(signatures: Iterable[tuple[str, bytes]]) -> str:
    """Write signatures as a header has them."""
    return ",".join(f"{identity}:{signature.hex()}" for identity, signature in signatures)


def read_signatures(text: str) -> list[tuple[str, bytes]]:
    """
    Read the signatures of a header; what is none is left out.

    >>> read_signatures("nonsense, 66687aadf862bd77:" + "0f" * 64)[0][0]
    '66687aadf862bd77'
    """
    found = [_signature.fullmatch(part.strip()) for part in text[:4096].split(",")[:MOST]]
    return [(match[1], bytes.fromhex(match[2])) for match in found if match is not None]


def enveloped(document: bytes, signature: str) -> bytes:
    """
    Put a document and its signatures together, for memory and disk: one line, then the exact bytes.

    >>> opened(enveloped(b"{}", "")), opened(enveloped(b"{}", "key:word"))
    ((b'{}', ''), (b'{}', 'key:word'))
    """
    return b"%s%s\n%s" % (_prefix, signature.encode("latin-1"), document) if signature else document


def opened(envelope: bytes) -> tuple[bytes, str]:
    """Take a document and its signatures apart; the latter are empty where there are none."""
    head, newline, document = envelope.partition(b"\n")
    if not newline or not head.startswith(_prefix):
        return envelope, ""
    return document, head.removeprefix(_prefix).decode("latin-1")


def order_bytes(command: Command) -> bytes:
    """
    Write what is signed of an order: all of it, the key's name as well, but the signature.

    Raises
    ------
    ValueError, TypeError
        When it cannot be written as JSON.

    >>> order_bytes(Command("o-1", "s-7", "open", 0, 0, {"token": 4, "network": "n"}, "66687aadf862bd77", "00"))
    b'{"schema":"command/1","id":"o-1","recipient":"s-7","verb":"open","issued":"1970-01-01T00:00:00.000000000Z",\
"expires":"1970-01-01T00:00:00.000000000Z","arguments":{"network":"n","token":4},"key_id":"66687aadf862bd77","signature":""}'
    """
    bare = msgspec.structs.replace(command, signature="", arguments=_sorted(command.arguments))
    return wire.text(bare).encode()


def _sorted(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _sorted(value[name]) for name in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list | tuple) else value
