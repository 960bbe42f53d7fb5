"""Puts documents together: a desired one around a configuration, a report from what was reported before. Pure."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from device_catalog.contract.support import SupportWish

_epoch = datetime(1970, 1, 1, tzinfo=UTC)


def merge(target: Any, patch: Any) -> Any:
    """
    Apply a merge patch (RFC 7396, section 2).

    >>> merge({"a": 1, "b": {"c": 2}}, {"a": None, "b": {"d": 3}})
    {'b': {'c': 2, 'd': 3}}
    """
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge(result.get(name), value)
    return result


def moment(time_ns: int) -> datetime:
    """Write UTC nanoseconds as documents have them, to the microsecond."""
    return _epoch + timedelta(microseconds=time_ns // 1000)


def desired_document(  # noqa: PLR0917 - one field each
    device: str,
    tenant: str,
    revision: int,
    configuration: bytes,
    issued_ns: int,
    recordings: tuple[str, ...] = (),
    calibration: bytes | None = None,
    expires_ns: int | None = None,
    support: SupportWish | None = None,
) -> bytes:
    """Write a desired document around a configuration and a calibration that are JSON already."""
    # What is not wanted is not stated: agents from before such wishes refuse what they do not know.
    wish = {} if support is None else {"support": support}
    return msgspec.json.encode(
        {
            "schema": "desired/1",
            "device": device,
            "tenant": tenant,
            "revision": revision,
            "issued": moment(issued_ns),
            "configuration": msgspec.Raw(configuration),
            "expires": None if expires_ns is None else moment(expires_ns),
            "recordings": recordings,
            "calibration": None if calibration is None else msgspec.Raw(calibration),
            **wish,
        }
    )
