"""Labels of recordings that no meter made."""

import hashlib
from typing import Any

import msgspec

from device_catalog.contract.recordings import RecordingInfo


def label(device: str, name: str, data: bytes, **fields: Any) -> dict[str, Any]:
    """Write what a device tells of a recording whose file is `data`."""
    document: dict[str, Any] = {
        "id": name,
        "device": device,
        "terminal": device,
        "kind": "voltage-dip",
        "severity": "notice",
        "trigger": "2026-11-21T07:20:18.100000000Z",
        "start": "2026-11-21T07:20:17.600000000Z",
        "duration": 1.3,
        "sample_rate": 6400.0,
        "channels": ["ua"],
        "samples": 8320,
        "missing": 0,
        "lacks": [],
        "time_uncertainty": 1e-5,
        "synchronised": True,
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        **fields,
    }
    return msgspec.to_builtins(info(document))  # type: ignore[no-any-return]


def info(document: dict[str, Any]) -> RecordingInfo:
    """Read a label."""
    return msgspec.convert(document, RecordingInfo)
