"""Requests that are no requests: whoever sends them is told so, and no traceback is left behind."""

import pytest
import requests

from tests.support.catalog import CatalogProcess


@pytest.fixture(scope="module")
def catalog():
    with CatalogProcess() as one:
        one.credential = one.register("m-1")
        yield one


@pytest.mark.parametrize("path", ["/v1/enrolments", "/v1/devices"])
@pytest.mark.parametrize("body", [b'{"a": "\xff"}', b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_text_is_refused_also_from_strangers(catalog, path, body):
    anonymous = requests.post(f"{catalog.url}{path}", data=body, timeout=10)
    known = catalog.operator("POST", path, data=body)
    for answer in (anonymous, known):
        assert 400 <= answer.status_code < 500, answer.text
        assert answer.headers["Content-Type"].startswith("application/problem+json")


@pytest.mark.parametrize(
    "query",
    [
        "recordings?cursor=--5.a.b",
        "recordings?cursor=99999999999999999999.a.b",
        "recordings?cursor=²5.a.b",
        "faults?cursor=--5.a",
        "faults?cursor=-9999999999999999999.a",
        "devices?limit=²",
        "audit?since=0001-01-01T00:00:00%2B14:00",
    ],
)
def test_a_query_that_nothing_can_be_made_of_is_refused(catalog, query):
    answer = catalog.operator("GET", f"/v1/{query}")
    if query.startswith("audit"):  # before every entry is a time as good as any
        assert answer.status_code in (200, 422), answer.text
    else:
        assert answer.status_code == 422, answer.text


def test_a_repository_that_is_no_text_is_refused(catalog):
    answer = catalog.operator("PUT", "/v1/trust/metadata", data=b'{"documents": {"a": "\xff"}}')
    assert 400 <= answer.status_code < 500, answer.text


def test_a_device_hands_in_a_few_calibrations_an_hour_and_is_told_when_to_come_again(catalog):
    headers = {"Authorization": f"Bearer {catalog.credential}"}
    url = f"{catalog.url}/v1/devices/m-1/calibration"
    answers = [requests.put(url, json={}, headers=headers, timeout=10) for _ in range(7)]
    assert [answer.status_code for answer in answers] == [422] * 6 + [429]
    assert int(answers[-1].headers["Retry-After"]) > 60
