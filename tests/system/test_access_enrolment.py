"""Devices enrol at a catalog that speaks TLS, and are let in by certificate until they are locked out."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import pytest
import requests

from agent.catalog import CatalogClient
from agent.identity.keeper import enrol_if_due
from agent.notify import ServiceManager
from device_catalog.access.tls import ServerCertificate, speaks_tls
from device_catalog.authority.authority import Authority
from device_catalog.authority.bundle import key_pem
from device_catalog.config import CatalogConfig
from device_catalog.contract.enrolment import Token
from device_catalog.operator.__main__ import main as tresma
from tests.support.catalog import CatalogProcess
from tests.support.enrolment import (
    agent_config,
    authority_certificate,
    catalog_command,
    enrol,
    identity,
    invite,
    is_older,
    new_key,
    pem,
    signing_request,
    write_identity,
)

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
    assert "found another, or one that is void" in refused.json()["detail"]
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


def test_a_certificate_is_renewed_with_itself_when_it_is_time_and_the_answer_can_be_fetched_again(catalog, tmp_path):
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

    early = renew()
    assert (early.status_code, "half of its life" in early.json()["detail"]) == (429, True)
    assert int(early.headers["Retry-After"]) > 180 * 86_400
    is_older(catalog, "m-renews", 250)
    first, again = renew(), renew()
    assert (first.status_code, first.json()["certificate"]) == (201, again.json()["certificate"])
    newer = write_identity(tmp_path / "newer.pem", key, first.json()["certificate"])
    assert poll(catalog, "m-renews", newer).status_code == 200
    assert poll(catalog, "m-renews", certificate).status_code == 200, "the answer might have been lost"
    foreign = catalog.operator("POST", "/v1/devices/m-renews/certificate", json={"request": signing_request("x")})
    assert foreign.status_code == 401


def test_the_operators_commands_enrol_lock_and_tell_who_did_it(catalog, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("TRESMA_CATALOG", catalog.url)
    monkeypatch.setenv("TRESMA_TOKEN", catalog.token)
    monkeypatch.setenv("TRESMA_CA", str(catalog.anchors))
    catalog.register("c-1")
    assert tresma(["device", "enrol", "c-1", "--expires", "7d"]) == 0
    token = Token.read(capsys.readouterr().out)
    assert enrol(catalog, token, new_key()).status_code == 201
    assert tresma(["devices", "enrol", "c-1", "--output", str(tmp_path / "token")]) == 0
    assert (tmp_path / "token").stat().st_mode & 0o777 == 0o600
    assert tresma(["device", "lock", "c-1", "--reason", "card stolen"]) == 0
    assert "1 certificate" in capsys.readouterr().out
    assert tresma(["operator", "add", "anna", "--role", "viewer", "--expires", "90d"]) == 0
    viewer = capsys.readouterr().out.strip()
    assert tresma(["operator", "list"]) == 0
    assert "anna" in capsys.readouterr().out
    assert tresma(["audit", "--since", "1h"]) == 0
    said = capsys.readouterr().out
    assert "POST /v1/devices/c-1/revocation" in said
    assert viewer not in said
    assert tresma(["audit", "--verify", "--json"]) == 0
    last = json.loads(capsys.readouterr().out)["last"]
    assert tresma(["operator", "revoke", "anna"]) == 0
    assert tresma(["audit", "--verify", "--expect", last]) == 0
    assert tresma(["audit", "--verify", "--expect", "0" * 64]) == 1
    assert "cut off" in capsys.readouterr().err
    monkeypatch.setenv("TRESMA_TOKEN", viewer)
    assert tresma(["device", "lock", "c-1"]) == 1
    assert "refuses to let you in" in capsys.readouterr().err
    assert token.secret not in catalog.log.read_text()


def test_a_dsos_own_authority_signs_through_an_intermediate_that_was_imported(tmp_path):
    root_key, key = new_key(), new_key()
    root = authority_certificate("DSO root", root_key)
    intermediate = authority_certificate("DSO meters", key, root, root_key)
    (tmp_path / "key").write_bytes(key_pem(key))
    (tmp_path / "chain").write_bytes(pem(intermediate))
    (tmp_path / "root").write_bytes(pem(root))
    own = CatalogProcess(state=tmp_path / "state", tls=True)
    with ExitStack() as ends:
        ends.callback(own.stop)
        files = [f"--{name}={tmp_path / file}" for name, file in (("certificate", "chain"), ("key", "key"))]
        own.state.mkdir()
        catalog_command(own, "authority", "import", *files, f"--anchors={tmp_path / 'root'}")
        own.start()
        assert own.anchors.read_bytes() == pem(root), "meters trust the DSO's root"
        own.register("d-1")
        certificate = identity(own, "d-1", tmp_path)
        assert poll(own, "d-1", certificate).status_code == 200
        config = agent_config(own, "d-1", tmp_path)
        enrol_if_due(config, ServiceManager({}))
        client = CatalogClient(config)
        client.fetch()
        client.close()
        sibling_key, leaf_key = new_key(), new_key()
        sibling = authority_certificate("DSO offices", sibling_key, root, root_key)
        leaf = authority_certificate("d-1", leaf_key, sibling, sibling_key, ca=False)
        forged = write_identity(tmp_path / "forged.pem", leaf_key, pem(leaf, sibling).decode())
        with pytest.raises(requests.RequestException):
            poll(own, "d-1", forged)


def test_the_server_makes_its_certificate_anew_for_other_names(tmp_path):
    authority = Authority.open(tmp_path)
    now = datetime.now(UTC)
    certificate = ServerCertificate(authority, tmp_path, ["catalog.example", "127.0.0.1"])
    assert (certificate.ensure(now), certificate.ensure(now)) == (True, False)
    assert certificate.ensure(now + timedelta(days=600)), "it ends soon"
    assert ServerCertificate(authority, tmp_path, ["other.example"]).ensure(now)
    assert not speaks_tls(CatalogConfig())
    assert speaks_tls(CatalogConfig(host="0.0.0.0"))
    assert not speaks_tls(CatalogConfig(host="0.0.0.0", insecure=True))


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
