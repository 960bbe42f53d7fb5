"""Policies, and keys for what they allow: for tests."""

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from device_catalog.contract.policy import Policy
from device_catalog.contract.policy_rules import parse_policy
from device_catalog.contract.signatures import key_id, signature_text
from tests.support.agent import Plant
from tests.support.trust import Dso


def director_of(state: Path) -> Ed25519PrivateKey:
    """Read the key by which a catalog signs."""
    key = load_pem_private_key((state / "director.key").read_bytes(), None)
    assert isinstance(key, Ed25519PrivateKey)
    return key


def trusting(plant: Plant, folder: Path, **policy: Any) -> Dso:
    """
    Let the agents that are added to a plant believe a DSO, which publishes a policy through the plant's catalog.

    The catalog may decide, and the plant's brokers are allowed; `policy` replaces parts of that.
    """
    now = datetime.now(UTC)
    dso = Dso(folder / "dso", now)
    public = director_of(plant.catalog.state).public_key().public_bytes_raw().hex()
    fields = {
        "directors": [{"name": "catalog", "public": public}],
        "brokers": [plant.grid.url, plant.data.url],
        **policy,
    }
    dso.at(now).set_policy(policy_bytes(**fields))
    dso.confirm(now)
    shutil.copytree(dso.folder, plant.catalog.state / "trust", dirs_exist_ok=True)
    plant.root = folder / "root.json"
    plant.root.write_bytes(dso.root)
    return dso


class Key:
    """A key of somebody's, made from a number so that failures repeat."""

    def __init__(self, number: int) -> None:
        self.private = Ed25519PrivateKey.from_private_bytes(number.to_bytes(32, "big"))
        self.public = self.private.public_key().public_bytes_raw().hex()
        self.id = key_id(self.public)

    def sign(self, data: bytes) -> bytes:
        return self.private.sign(data)

    def header(self, document: bytes) -> str:
        """Sign a desired document as a catalog does."""
        return signature_text([(self.id, self.sign(document))])


def policy_bytes(**fields: Any) -> bytes:
    """Write a policy with one director; `fields` replace its parts."""
    document = {
        "schema": "policy/1",
        "revision": 1,
        "directors": [{"name": "catalog", "public": Key(1).public}],
        "brokers": ["mqtt://127.0.0.1", "mqtts://*.example.org"],
        **fields,
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def policy_of(**fields: Any) -> Policy:
    return parse_policy(policy_bytes(**fields))
