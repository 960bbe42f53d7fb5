"""A real catalog keeps calibrations: told by the device, carried by its desired document, the later one counts."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import requests

from tests.support.catalog import CatalogProcess

pytestmark = pytest.mark.slow

NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture(scope="module")
def catalog() -> Iterator[CatalogProcess]:
    with CatalogProcess() as running:
        yield running


def document(device: str, made: datetime, gain: float = 1.01) -> dict:
    channel = {"name": "ua", "input": 0, "ratio": 100.0, "gain": gain, "gain_uncertainty": 0.001}
    fields = {"device": device, "made": made.isoformat(), "by": "A. Installer", "reference": "class 0.1"}
    return {"schema": "calibration/1", **fields, "channels": [channel]}


def tell(catalog: CatalogProcess, device: str, credential: str, body: dict) -> requests.Response:
    headers = {"Authorization": f"Bearer {credential}"}
    return requests.put(f"{catalog.url}/v1/devices/{device}/calibration", json=body, headers=headers, timeout=10)


def test_a_device_gets_its_calibration_back_after_its_card_was_replaced(catalog):
    credential = catalog.register("m-card")
    assert catalog.poll("m-card", credential).json()["calibration"] is None
    assert catalog.operator("GET", "/v1/devices/m-card/calibration").status_code == 404

    told = tell(catalog, "m-card", credential, document("m-card", NOW))
    assert (told.status_code, told.json()["revision"], told.headers["ETag"]) == (200, 2, '"2"')
    desired = catalog.poll("m-card", credential, '"1"')
    assert desired.status_code == 200
    assert desired.json()["calibration"]["channels"][0]["gain"] == 1.01
    assert desired.json()["calibration"]["by"] == "A. Installer"
    shown = catalog.operator("GET", "/v1/devices/m-card").json()["desired"]["calibration"]
    assert shown == catalog.operator("GET", "/v1/devices/m-card/calibration").json()
    changes = catalog.operator("GET", "/v1/devices/m-card/history").json()["changes"]
    assert (changes[0]["action"], changes[0]["actor"]) == ("calibrate", "device")


def test_an_operators_change_of_settings_leaves_the_calibration(catalog):
    credential = catalog.register("m-set")
    tell(catalog, "m-set", credential, document("m-set", NOW))
    headers = {"If-Match": "*"}
    body = {"poll": {"interval": 20, "lease": 70}}
    assert catalog.operator("PUT", "/v1/devices/m-set/configuration", headers=headers, json=body).status_code == 200
    desired = catalog.poll("m-set", credential).json()
    assert desired["configuration"]["poll"]["interval"] == 20.0
    assert desired["calibration"]["channels"][0]["gain"] == 1.01


def test_saying_it_twice_changes_nothing_and_an_earlier_one_is_refused(catalog):
    credential = catalog.register("m-twice")
    first = tell(catalog, "m-twice", credential, document("m-twice", NOW))
    again = tell(catalog, "m-twice", credential, document("m-twice", NOW))
    assert first.json() == again.json()
    earlier = tell(catalog, "m-twice", credential, document("m-twice", NOW - timedelta(days=1), 1.02))
    assert earlier.status_code == 409
    assert "the later one counts" in earlier.json()["detail"]
    later = tell(catalog, "m-twice", credential, document("m-twice", NOW + timedelta(seconds=5), 1.03))
    assert later.status_code == 200
    assert catalog.poll("m-twice", credential).json()["calibration"]["channels"][0]["gain"] == 1.03


def test_one_from_the_future_or_of_another_device_or_told_by_a_stranger_is_refused(catalog):
    credential = catalog.register("m-own")
    other = catalog.register("m-stranger")
    future = tell(catalog, "m-own", credential, document("m-own", NOW + timedelta(days=2)))
    assert (future.status_code, future.json()["problems"][0]["where"]) == (422, "calibration.made")
    wrong = tell(catalog, "m-own", credential, document("m-stranger", NOW))
    assert (wrong.status_code, wrong.json()["problems"][0]["where"]) == (422, "calibration.device")
    assert tell(catalog, "m-own", other, document("m-own", NOW)).status_code == 401
    assert catalog.poll("m-own", credential).json()["calibration"] is None


def test_it_is_durable_and_only_so_many_are_kept(tmp_path):
    with CatalogProcess(state=tmp_path / "state") as catalog:
        credential = catalog.register("m-many")
        for minute in range(25):
            if minute and minute % 6 == 0:  # a device hands in only so many an hour to one process
                catalog.kill()
                catalog.start()
            made = NOW - timedelta(minutes=60 - minute)
            assert tell(catalog, "m-many", credential, document("m-many", made, 1 + minute / 1e3)).status_code == 200
        catalog.kill()
        catalog.start()
        assert catalog.poll("m-many", credential).json()["calibration"]["channels"][0]["gain"] == 1.024
