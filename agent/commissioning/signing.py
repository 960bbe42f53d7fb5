"""
The short-lived process that signs a commissioning record: one order on standard input, one answer on standard output.

It reads the meter's key from its file, signs, and is gone, so that the agent itself never loads the library or holds
the key for it.
"""

import base64
import sys
from pathlib import Path

import msgspec

from agent.identity.files import MAXIMUM_LENGTH, Identity
from device_catalog.contract.commissioning import signed_bytes

_BEGIN = b"-----BEGIN CERTIFICATE-----"


class Order(msgspec.Struct, frozen=True):
    """What is to be signed, and the agent's folder, where the identity is."""

    state: str
    record: str


class Outcome(msgspec.Struct, frozen=True):
    """Signature (base64) and certificate (PEM); or what is wrong, in words."""

    signature: str = ""
    certificate: str = ""
    problem: str = ""


def main() -> int:
    """Carry out the order on standard input."""
    order = msgspec.json.decode(sys.stdin.buffer.read(512 * 1024), type=Order)
    sys.stdout.buffer.write(msgspec.json.encode(sign(order)))
    return 0


def sign(order: Order) -> Outcome:
    """Sign a record with the key of this meter's certificate."""
    identity = Identity(Path(order.state))
    key_text = identity.key_in_force()
    if not key_text:
        return Outcome(problem="this meter has no certificate yet, so nothing can be signed; enrol it first")
    try:
        from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415 - what is missing is told
        from cryptography.hazmat.primitives.asymmetric import ec, ed25519  # noqa: PLC0415
    except ModuleNotFoundError as error:
        return Outcome(problem=f"expected the library {error.name}, found none; install python3-cryptography")
    key = serialization.load_pem_private_key(key_text, None)
    content = signed_bytes(order.record)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        signature = key.sign(content, ec.ECDSA(hashes.SHA256()))
    elif isinstance(key, ed25519.Ed25519PrivateKey):
        signature = key.sign(content)
    else:
        return Outcome(problem="expected a key for P-256 or Ed25519, found another; enrol this meter anew")
    file = identity.path.read_bytes()[:MAXIMUM_LENGTH]
    certificate = file[file.find(_BEGIN) :].decode("ascii")
    return Outcome(base64.b64encode(signature).decode(), certificate)


if __name__ == "__main__":
    sys.exit(main())
