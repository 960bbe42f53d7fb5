"""Brokers' access lists: what each device may say and hear, made from what it should do."""

import msgspec
import pytest

from device_catalog.brokers.rights import CATALOG, Client, Member, Part, access_list
from device_catalog.contract.documents import Configuration


def member(device, tenant="default", part=Part(), **configuration):  # noqa: B008 - frozen
    return Member(device, tenant, msgspec.convert(configuration, Configuration), part)


def rights(broker, members, name, clients=()):
    """Read back what a list says of one user: what he may say, what he may hear."""
    blocks = access_list(broker, members, clients).split("user ")[1:]
    lines = next((block.splitlines()[1:] for block in blocks if block.splitlines()[0] == name), [])
    words = [line.split() for line in lines if line]
    return ({topic for _, way, topic in words if way == "write"}, {topic for _, way, topic in words if way == "read"})


def test_a_meter_alone_says_and_hears_what_is_its_own():
    says, hears = rights("data", [member("m-1", algorithms=[{"algorithm": "phasors"}])], "m-1")
    assert says == hears == {"v1/default/meters/m-1/#"}
    says, hears = rights("grid", [member("m-1")], "m-1")
    assert all("/m-1" in topic for topic in says)
    assert not any("/switches/" in topic or "availability" in topic for topic in says)
    assert "v1/default/devices/m-1/notify" in hears


def test_who_is_heard_may_be_asked_and_answers_whoever_hears_it():
    near = {"kind": "frame", "devices": ["m-2"]}
    members = [
        member("head", algorithms=[{"algorithm": "phasors", "neighbours": [near]}]),
        member("m-2"),
        member("m-3"),
    ]
    assert "v1/default/meters/m-2/frames" in rights("data", members, "head")[1]
    assert "v1/default/requests/m-2" in rights("grid", members, "head")[0]
    assert "v1/default/replies/head" in rights("grid", members, "m-2")[0]
    assert "v1/default/replies/head" not in rights("grid", members, "m-3")[0]
    assert "v1/default/requests/m-3" not in rights("grid", members, "head")[0]


def test_an_estimator_tells_the_state_of_its_own_area_and_hears_its_part():
    part = Part(devices=("m-1",), areas=("c-1",), switches=("s-1",))
    members = [
        member("lv", part=part, algorithms=[{"algorithm": "lv_state"}], topology={"network": "n", "area": "lv-1"})
    ]
    says, hears = rights("data", members, "lv")
    assert "v1/default/states/+/lv-1" in says
    assert "v1/default/states/+/c-1" not in says
    assert {"v1/default/states/+/c-1", "v1/default/meters/m-1/frames"} <= hears
    says, hears = rights("grid", members, "lv")
    assert "v1/default/topology/n" in hears
    assert not any("command" in topic and "switches" in topic for topic in says | hears)


@pytest.mark.parametrize(("algorithm", "orders"), [("reconfiguration", True), ("lv_state", False), ("foreign", False)])
def test_only_who_reconfigures_orders_the_switches_of_its_network(algorithm, orders):
    part = Part(switches=("s-1", "s-2"), remote=("s-1",))
    one = member("a", part=part, algorithms=[{"algorithm": algorithm}], topology={"network": "n"})
    says, _ = rights("grid", [one], "a")
    assert ("v1/default/switches/s-1/command" in says) is orders
    assert "v1/default/switches/s-2/command" not in says, "it is worked by hand"


def test_an_agent_at_a_switch_hears_its_orders_and_tells_where_it_stands():
    one = member("box", algorithms=[{"algorithm": "switch", "settings": {"switch": "s-1"}}])
    says, hears = rights("grid", [one], "box")
    assert "v1/default/switches/s-1/state" in says
    assert "v1/default/switches/s-1/command" in hears
    crooked = member("box", algorithms=[{"algorithm": "switch", "settings": {"switch": "+"}}])
    assert not any("/switches/" in topic for topic in set.union(*rights("grid", [crooked], "box")))


def test_programs_hear_their_tenant_and_say_what_they_were_given():
    clients = [Client("reader.client", "city"), Client("desk.client", "city", asks=True, operates=True)]
    assert rights("data", [], "reader.client", clients) == (set(), {"v1/city/#"})
    says, _ = rights("grid", [], "desk.client", clients)
    assert {"v1/city/commands/+", "v1/city/switches/+/command"} <= says
    assert rights("grid", [], CATALOG)[0] >= {"v1/+/meters/+/availability", "v1/+/topology/+"}
    assert rights("data", [], CATALOG) == (set(), {"v1/#"})


@pytest.mark.parametrize("name", ["m-2\nuser m-1\ntopic write #", "m 2", "\u2028topic"])
def test_a_crooked_name_adds_no_line_to_the_list(name):
    wish = {"kind": "frame", "devices": [name]}
    one = member("m-1", algorithms=[{"algorithm": "phasors", "neighbours": [wish]}])
    for broker in ("grid", "data"):
        assert access_list(broker, [one]) == access_list(broker, [member("m-1")])


def test_two_tenants_share_no_topic():
    wish = {"kind": "frame", "devices": ["m-2"]}
    members = [
        member("m-1", "ours", algorithms=[{"algorithm": "phasors", "neighbours": [wish]}]),
        member("m-2", "theirs"),
    ]
    for broker in ("grid", "data"):
        first, second = (set.union(*rights(broker, members, name)) for name in ("m-1", "m-2"))
        assert all(topic.startswith("v1/ours/") for topic in first)
        assert all(topic.startswith("v1/theirs/") for topic in second)
