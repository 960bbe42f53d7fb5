"""A calibration is read whole or refused with every problem; of two the later one counts."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from device_catalog.contract.calibration import Calibration, ChannelCalibration, newest
from device_catalog.contract.validation import DocumentError, parse_calibration, parse_desired

MADE = datetime(2026, 5, 1, 12, tzinfo=UTC)


def calibration(**changes: object) -> Calibration:
    channel = ChannelCalibration("ua", 0, 100.0, gain=1.01, offset=0.02, gain_uncertainty=1e-3, gain_drift=1e-3)
    return msgspec.structs.replace(Calibration("m-1", MADE, "A. Installer", "N4L 1234", (channel,)), **changes)


def test_a_calibration_written_is_read_the_same() -> None:
    assert parse_calibration(msgspec.json.encode(calibration())) == calibration()


def test_every_problem_is_named_at_once() -> None:
    document = {
        "schema": "calibration/1",
        "device": "m-1",
        "made": "2026-05-01T12:00:00",
        "by": "",
        "channels": [
            {"name": "ua", "input": 0, "ratio": 0.0, "gain": -1.0, "gain_uncertainty": "0.1 %"},
            {"name": "ua", "input": 1, "ratio": 1.0, "phase": 0.1},
        ],
    }
    with pytest.raises(DocumentError) as caught:
        parse_calibration(document)
    places = {problem.where for problem in caught.value.problems}
    assert places == {
        "calibration.made",
        "calibration.by",
        "calibration.channels",
        "calibration.channels[0].ratio",
        "calibration.channels[0].gain",
        "calibration.channels[0].gain_uncertainty",
        "calibration.channels[1].phase",
    }


def test_a_desired_document_carries_the_devices_own_calibration_only() -> None:
    desired = {
        "schema": "desired/1",
        "device": "m-1",
        "tenant": "t",
        "revision": 3,
        "issued": "2026-05-01T12:00:00Z",
        "configuration": {},
        "calibration": msgspec.to_builtins(calibration()),
    }
    assert parse_desired(desired).calibration == calibration()
    desired["calibration"] = msgspec.to_builtins(calibration(device="m-2"))
    with pytest.raises(DocumentError, match=r"desired.calibration.device: expected m-1, found m-2"):
        parse_desired(desired)


def test_the_later_one_counts() -> None:
    later = calibration(made=MADE + timedelta(seconds=1))
    assert newest(None, calibration(), later, None) is later
    assert newest(later, calibration()) is later
    assert newest(None, None) is None
