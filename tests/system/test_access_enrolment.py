"""Devices enrol at a catalog that speaks TLS, and are let in by certificate until they are locked out."""

from collections.abc import Iterator

import pytest
import requests

from tests.support.catalog import CatalogProcess
from tests.support.enrolment import enrol, identity, invite, new_key, signing_request, write_identity

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def catalog() -> Iterator[CatalogProcess]:
    with CatalogProcess(tls=True) as running:
        yield running


def poll(catalog, device, certificate, known=""):
    return requests.get(
        f"{catalog.url}/v1/devices/{device}/desired",
        headers={"If-None-Match": known},
        cert=str(certificate),
        verify=catalog.verify,
        timeout=10,
    )


def test_a_device_enrols_with_a_token_and_polls_with_its_certificate(catalog, tmp_path):
    credential = catalog.register("m-enrols")
    certificate = identity(catalog, "m-enrols", tmp_path)
    answer = poll(catalog, "m-enrols", certificate)
    assert answer.status_code == 200
    assert poll(catalog, "m-enrols", certificate, answer.headers["ETag"]).status_code == 304
    assert catalog.poll("m-enrols", credential).status_code == 401, "the credential that was printed is void"
    refused = poll(catalog, "m-other", certificate)
    assert refused.status_code == 401
    assert "found another device's" in refused.json()["detail"] or "another" in refused.json()["detail"]
    own = requests.get(
        f"{catalog.url}/v1/devices/m-enrols/configuration", cert=str(certificate), verify=catalog.verify, timeout=10
    )
    assert own.status_code == 200
    listing = requests.get(f"{catalog.url}/v1/devices", cert=str(certificate), verify=catalog.verify, timeout=10)
    assert listing.status_code == 401


def test_a_token_works_once_and_the_same_key_may_fetch_a_lost_answer_again(catalog):
    catalog.register("m-twice")
    token, key = invite(catalog, "m-twice"), new_key()
    first, again = enrol(catalog, token, key), enrol(catalog, token, key)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json()["certificate"] == again.json()["certificate"]
    thief = enrol(catalog, token, new_key())
    assert (thief.status_code, thief.json()["title"]) == (403, "Enrolment refused")
    assert "used at" in thief.json()["detail"]


def test_a_token_that_ended_is_unknown_or_another_devices_lets_nobody_in(catalog):
    catalog.register("m-late")
    catalog.register("m-early")
    token = invite(catalog, "m-late", seconds=86_400)
    newer = invite(catalog, "m-late")
    ended = enrol(catalog, token, new_key())
    assert (ended.status_code, "ended at" in ended.json()["detail"]) == (403, True), "a newer token voids it"
    other = enrol(catalog, newer, new_key(), device="m-early")
    assert (other.status_code, "for another device" in other.json()["detail"]) == (403, True)
    unknown = enrol(catalog, newer._replace(secret="A" * 43), new_key())
    assert (unknown.status_code, "this catalog gave" in unknown.json()["detail"]) == (403, True)
    assert enrol(catalog, newer, new_key()).status_code == 201, "what failed did not use it up"


def test_a_request_that_names_another_device_or_is_none_is_refused(catalog):
    catalog.register("m-request")
    token = invite(catalog, "m-request")
    for request in (signing_request("m-early"), "nonsense", signing_request("m-request").replace("A", "B")):
        body = {"device": "m-request", "secret": token.secret, "request": request}
        answer = requests.post(f"{catalog.url}/v1/enrolments", json=body, verify=catalog.verify, timeout=10)
        assert answer.status_code == 422, answer.text


def test_a_swapped_card_enrols_anew_and_the_one_before_is_void(catalog, tmp_path):
    catalog.register("m-swapped")
    (tmp_path / "old").mkdir()
    old = identity(catalog, "m-swapped", tmp_path / "old")
    new = identity(catalog, "m-swapped", tmp_path)
    assert poll(catalog, "m-swapped", old).status_code == 401
    assert poll(catalog, "m-swapped", new).status_code == 200


def test_one_command_locks_a_stolen_card_out_at_once_also_in_an_open_connection(catalog, tmp_path):
    catalog.register("m-stolen")
    certificate = identity(catalog, "m-stolen", tmp_path)
    waiting = invite(catalog, "m-stolen")
    with requests.Session() as session:
        session.cert, address = str(certificate), f"{catalog.url}/v1/devices/m-stolen/desired"
        assert session.get(address, verify=catalog.verify, timeout=10).status_code == 200
        locked = catalog.operator("POST", "/v1/devices/m-stolen/revocation", json={"reason": "card stolen"})
        assert locked.json() == {"device": "m-stolen", "certificates": 1}
        assert session.get(address, verify=catalog.verify, timeout=10).status_code == 401
    assert enrol(catalog, waiting, new_key()).status_code == 403
    void = requests.get(f"{catalog.url}/v1/authority/revocations", verify=catalog.verify, timeout=10)
    assert void.text.startswith("-----BEGIN X509 CRL-----")


def test_a_certificate_is_renewed_with_itself_and_the_answer_can_be_fetched_again(catalog, tmp_path):
    catalog.register("m-renews")
    certificate = identity(catalog, "m-renews", tmp_path)
    key = new_key()

    def renew():
        return requests.post(
            f"{catalog.url}/v1/devices/m-renews/certificate",
            json={"request": signing_request("m-renews", key)},
            cert=str(certificate),
            verify=catalog.verify,
            timeout=10,
        )

    first, again = renew(), renew()
    assert (first.status_code, first.json()["certificate"]) == (201, again.json()["certificate"])
    newer = write_identity(tmp_path / "newer.pem", key, first.json()["certificate"])
    assert poll(catalog, "m-renews", newer).status_code == 200
    assert poll(catalog, "m-renews", certificate).status_code == 200, "the answer might have been lost"
    foreign = catalog.operator("POST", "/v1/devices/m-renews/certificate", json={"request": signing_request("x")})
    assert foreign.status_code == 401


def test_who_guesses_tokens_is_slowed_down(catalog):
    catalog.register("m-guessed")
    token = invite(catalog, "m-guessed")
    statuses = []
    for number in range(40):
        guess = token._replace(secret=f"{number:043d}")
        statuses.append(enrol(catalog, guess, new_key()).status_code)
    assert statuses[-1] == 429
    slowed = enrol(catalog, token, new_key())
    assert (slowed.status_code, int(slowed.headers["Retry-After"]) > 0) == (429, True)
