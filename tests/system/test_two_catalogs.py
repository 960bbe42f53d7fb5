"""Two catalogs at one real PostgreSQL are one: what one was told the other knows, and one may die under load."""

import hashlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from device_catalog.contract.signatures import HEADER
from device_catalog.storage.access import AccessStore, CertificateRow, EnrolmentRow
from device_catalog.storage.audit_trail import AuditTrail, problems_of
from device_catalog.storage.database import open_engine
from tests.support.layered_network import layered_document, states_of
from tests.support.listener import Listener
from tests.support.policies import policy_bytes
from tests.support.two_catalogs import Meters, TwoCatalogs, digest_name
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

SOON = 3.0
"""Within this what one catalog was told is known to the other: a second, and more where the machine is busy [s]."""


@pytest.fixture(scope="module")
def both() -> Iterator[TwoCatalogs]:
    with TwoCatalogs() as running:
        yield running


def soon(condition, what):
    return wait_until(condition, what, timeout=SOON)


def test_devices_that_are_registered_configured_and_removed_through_one_are_so_through_the_other(both):
    one, other = both.first, both.second
    credential = one.register("m-1")
    first = soon(lambda: (answer := other.poll("m-1", credential)).ok and answer, "the device known to the other")
    again = one.poll("m-1", credential)
    assert again.headers[HEADER]
    assert (again.content, again.headers[HEADER]) == (first.content, first.headers[HEADER])
    path = "/v1/devices/m-1/configuration"
    document = {"algorithms": [{"algorithm": "phasors"}]}
    assert one.operator("PUT", path, headers={"If-Match": '"1"'}, json=document).status_code == 200
    assert other.operator("PUT", path, headers={"If-Match": '"1"'}, json={}).status_code == 412
    assert other.poll("m-1", credential, one.poll("m-1", credential).headers["ETag"]).status_code in (200, 304)
    soon(lambda: other.poll("m-1", credential, again.headers["ETag"]).json()["revision"] == 2, "the configuration")
    renewed = one.operator("POST", "/v1/devices/m-1/credential").json()["credential"]
    soon(lambda: other.poll("m-1", credential).status_code == 401, "the old credential refused")
    assert other.poll("m-1", renewed).status_code == 200
    assert one.operator("POST", "/v1/devices/m-1/revocation", json={"reason": "stolen"}).status_code < 300
    soon(lambda: other.poll("m-1", renewed).status_code == 401, "the device locked out")
    assert one.operator("DELETE", "/v1/devices/m-1").status_code == 204
    soon(lambda: other.operator("GET", "/v1/devices/m-1").status_code == 404, "the device not listed")


def test_support_that_is_asked_of_one_is_wanted_and_taken_by_the_other(both):
    one, other = both.first, both.second
    credential = one.register("h-1")
    soon(lambda: other.poll("h-1", credential).ok, "the device known to the other")
    request = one.operator("POST", "/v1/devices/h-1/support", json={"kind": "bundle"}).json()["request"]
    soon(lambda: other.poll("h-1", credential).json().get("support") == {"bundle": request}, "the wish")
    path, device = f"/v1/devices/h-1/support/{request}", {"Authorization": f"Bearer {credential}"}
    label = {"bytes": 6, "sha256": hashlib.sha256(b"bundle").hexdigest()}
    assert other.operator("PUT", path, json=label, headers=device).json()["received"] == 0
    part = {**device, "Upload-Offset": "0"}
    assert other.operator("PATCH", f"{path}/file", data=b"bun", headers=part).json()["received"] == 3
    part = {**device, "Upload-Offset": "3"}
    assert one.operator("PATCH", f"{path}/file", data=b"dle", headers=part).json()["complete"]
    assert other.operator("GET", f"{path}/file").content == b"bundle"
    soon(lambda: "support" not in other.poll("h-1", credential).json(), "the end of the wish")
    assert other.operator("GET", "/v1/support?device=h-1").json()["items"][0]["state"] == "here"


def test_operators_networks_switches_groups_and_files_of_one_are_those_of_the_other(both):
    one, other = both.first, both.second
    wanted = {"operator": "ann", "role": "viewer"}
    token = one.operator("POST", "/v1/operators", json=wanted).json()["token"]
    headers = {"Authorization": f"Bearer {token}"}
    soon(lambda: other.operator("GET", "/v1/devices", headers=headers).status_code == 200, "the operator let in")
    assert one.operator("DELETE", "/v1/operators/ann").status_code == 204
    soon(lambda: other.operator("GET", "/v1/devices", headers=headers).status_code == 401, "the operator kept out")

    document = layered_document("net-1")
    place = {"topology": {"network": "net-1", "area": "lv-1"}}
    credential = one.register("a-1", kind="agent", configuration=place)
    path = "/v1/networks/net-1"
    assert one.operator("PUT", path, headers={"If-Match": "*"}, json=document).status_code == 200
    assert other.operator("GET", path).json()["network"] == "net-1"
    known = soon(lambda: (answer := other.poll("a-1", credential)).ok and answer.json(), "the agent known")
    assert known["configuration"]["topology"]["model_revision"] == 1
    with Listener(both.broker.port, "v1/+/topology/#") as listener:
        states = states_of(document, 2)
        assert other.operator("PUT", f"{path}/topology", headers={"If-Match": "*"}, json=states).status_code == 200
        wait_until(lambda: [item for item in listener.heard if item.fields["revision"] == 2], "the states told")
    one.operator("POST", "/v1/groups/pilot/members", json={"add": ["a-1"]})
    assert "pilot" in other.operator("GET", "/v1/groups").text

    policy = policy_bytes()
    file = f"/v1/trust/targets/policy/{digest_name(policy)}"
    assert one.operator("PUT", file, data=policy).status_code == 204
    assert other.operator("GET", file).content == policy


def test_of_many_who_change_one_configuration_at_once_through_both_one_succeeds_and_the_trail_is_one_chain(both):
    both.first.register("m-2")
    path = "/v1/devices/m-2/configuration"
    answers: list[int] = []

    def change(catalog):
        session_free = catalog.operator("PUT", path, headers={"If-Match": '"1"'}, json={})
        answers.append(session_free.status_code)

    threads = [threading.Thread(target=change, args=((both.first, both.second)[number % 2],)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [200] + [412] * 11
    engine = open_engine(both.postgresql.url)
    entries = AuditTrail(engine).after(0, 10_000)
    engine.dispose()
    assert len(entries) > 10
    assert problems_of(entries) == []


def test_a_token_that_two_catalogs_read_unused_at_the_same_moment_lets_in_one_key(both):
    both.first.register("m-3")
    now_ns = time.time_ns()
    engines = [open_engine(both.postgresql.url) for _ in range(2)]
    stores = [AccessStore(engine) for engine in engines]
    answers: list[bool] = []
    for number in range(10):
        stores[0].write_enrolment(EnrolmentRow(bytes([number]) * 32, "m-3", now_ns, now_ns + 10**12, ""))
        together = threading.Barrier(2)

        def enrol(store, mark, number=number, together=together):
            token = store.enrolment(bytes([number]) * 32)
            key = bytes([number, mark]) * 16
            together.wait(10)
            answers.append(store.enrol(token, CertificateRow(key, "m-3", "ab", key, "", 0, 2**62), now_ns + 1))

        threads = [threading.Thread(target=enrol, args=(store, mark)) for mark, store in enumerate(stores)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(answers[-2:]) == [False, True]
        assert len(list(stores[0].certificates_in_force(now_ns, "m-3"))) == 1
    for engine in engines:
        engine.dispose()


def test_a_catalog_with_another_folder_is_refused_and_told_why(both, tmp_path: Path):
    stranger = both.catalog(state=tmp_path / "other")
    with pytest.raises(AssertionError, match=r"expected the same .*director's key.*give all of them the same --state"):
        stranger.start()


def words(listener, device):
    topic = f"v1/default/meters/{device}/availability"
    return [item.fields["available"] for item in list(listener.heard) if item.topic == topic]


def test_when_the_leader_is_killed_under_load_polls_go_on_and_only_who_fell_silent_is_told_so_once(both):
    credentials: dict[str, str] = {}
    with (
        Listener(both.broker.port, "v1/default/meters/+/availability") as listener,
        Meters([both.first, both.second], credentials) as meters,
    ):
        for number in range(20):  # each polls at once, so that none is silent until the last is registered
            credentials[f"k-{number}"] = both.first.register(f"k-{number}", interval=0.5, lease=2.0)
        wait_until(lambda: all(words(listener, name) == [True] for name in credentials), "all told as there")
        meters.silent.add("k-18")
        wait_until(lambda: words(listener, "k-18") == [True, False], "one told as gone")
        assert 2.0 <= time.monotonic() - meters.last["k-18"] <= 4.0
        meters.silent.add("k-19")
        meters.silent.discard("k-18")
        wait_until(lambda: words(listener, "k-18") == [True, False, True], "one told as back")
        both.first.kill()
        polls = meters.polls
        wait_until(lambda: words(listener, "k-19") == [True, False], "the silent one told as gone", timeout=15)
        assert both.second.metric("tresma_grid_broker_connected") == 1
        both.first.start()
        began = meters.polls
        wait_until(lambda: meters.polls > began + 60, "polls with both again")
        assert meters.polls > polls + 200
        assert meters.failed == 0
        for name in credentials:
            assert words(listener, name) == {"k-18": [True, False, True], "k-19": [True, False]}.get(name, [True])
    with Listener(both.broker.port, "v1/default/catalog") as listener:
        wait_until(lambda: listener.heard, "the catalog's word on itself")
        assert listener.heard[-1].fields["state"] in ("waiting", "watching")
