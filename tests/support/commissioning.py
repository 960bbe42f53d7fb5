"""Records of commissionings as a meter would hand them in, signed by a key that a catalog knows."""

import base64
from typing import Any

import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from algorithms.api.readings import ChannelReading, Estimate, PowerReading
from device_catalog.contract.commissioning import (
    Answer,
    CommissioningRecord,
    SignedRecord,
    VerdictLine,
    signed_bytes,
)
from tests.support.catalog import CatalogProcess
from tests.support.enrolment import enrol, invite, new_key

VERDICTS = (VerdictLine("Voltage L1", "ok", "230.1 V"), VerdictLine("Clock", "warning", "runs free", "wait"))


def record_of(device: str, **fields: Any) -> CommissioningRecord:
    """Write down a commissioning in which nothing was wrong; `fields` replace others."""
    angles = {"A": 0.1, "B": -1.99, "C": 2.19}
    voltage = {phase: ChannelReading(230.0, angle, 0.1, 0.001, 230.1, 0.1) for phase, angle in angles.items()}
    current = {phase: ChannelReading(5.0, angle - 0.3, 0.01, 0.002, 5.02, 0.01) for phase, angle in angles.items()}
    power = {phase: PowerReading(1100.0, 2.0, 340.0, 3.0, 1150.0, 2.0, 0.955, 0.001) for phase in (*angles, "total")}
    known = {
        "device": device,
        "terminal": device,
        "made": "2026-11-21T10:00:00.000000000Z",
        "synchronised": True,
        "time_uncertainty": 1e-3,
        "installer": "Zoë Čapek",
        "place": "Canal street 3, cabinet <7>",
        "note": "",
        "answer": Answer.PASSED,
        "verdicts": VERDICTS,
        "frequency": Estimate(50.01, 0.0002),
        "voltage": voltage,
        "current": current,
        "power": power,
        "window": 0.2,
        "source": "simulated, 6400 Hz",
        "channels": ("ua: voltage A, input 0, ratio 60",),
        "software": {"agent": "0.1.0"},
        "applied_revision": 3,
        "boot": 7,
    }
    return CommissioningRecord(**{**known, **fields})


def sign(record: CommissioningRecord, key: ec.EllipticCurvePrivateKey, certificate: str) -> SignedRecord:
    """Sign a record."""
    text = msgspec.json.encode(record).decode()
    signature = key.sign(signed_bytes(text), ec.ECDSA(hashes.SHA256()))
    return SignedRecord(text, base64.b64encode(signature).decode(), certificate)


def enrolled(catalog: CatalogProcess, device: str) -> tuple[ec.EllipticCurvePrivateKey, str]:
    """Register and enrol a device; return its key and its certificate (PEM)."""
    catalog.register(device)
    key = new_key()
    answer = enrol(catalog, invite(catalog, device), key)
    assert answer.status_code == 201, answer.text
    return key, str(answer.json()["certificate"])


def signed_by(catalog: CatalogProcess, device: str, **fields: Any) -> dict[str, Any]:
    """Register and enrol a device, and write what it hands in, as plain data."""
    key, certificate = enrolled(catalog, device)
    plain: dict[str, Any] = msgspec.to_builtins(sign(record_of(device, **fields), key, certificate))
    return plain
