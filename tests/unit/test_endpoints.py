"""Endpoints are tried in order, with patience."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.delivery.endpoints import Endpoints, Patience, endpoint
from device_catalog.contract.configuration_rules import problem_of_endpoint


@pytest.mark.parametrize(
    ("url", "host", "port", "tls"),
    [
        ("mqtt://broker", "broker", 1883, False),
        ("mqtts://broker", "broker", 8883, True),
        ("mqtt://[::1]:1", "::1", 1, False),
    ],
)
def test_endpoint_is_read(url, host, port, tls):
    found = endpoint(url)
    assert (found.host, found.port, found.tls) == (host, port, tls)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://broker",
        "mqtt://",
        "mqtt://user:secret@broker",
        "mqtt://broker:99999",
        "mqtt://broker:1883//",
        "mqtt://broker/path",
    ],
)
def test_anything_else_is_refused_with_an_example(url):
    with pytest.raises(ValueError, match="mqtt://host:1883"):
        endpoint(url)


parts = st.text(st.sampled_from("mqtps:/[]@%?#.-0123456789ahx "), max_size=12)


@given(st.tuples(st.sampled_from(["mqtt://", "mqtts://", "mqtt:", ""]), parts).map("".join))
@example("mqtt://h:1883//")
@example("mqtt://h:1883/")
@example("mqtts://[::1]")
def test_what_the_catalog_takes_for_an_endpoint_an_agent_can_read(url):
    if problem_of_endpoint(url, "brokers.grid[0]") is None:
        assert endpoint(url).host


def test_list_with_one_mistake_changes_nothing():
    endpoints = Endpoints(Patience())
    endpoints.replace(("mqtt://a",))
    with pytest.raises(ValueError, match="expected an endpoint"):
        endpoints.replace(("mqtt://b", "nonsense"))
    assert endpoints.next().host == "a"


def test_all_are_tried_before_a_pause_and_the_pause_grows_to_a_bound():
    endpoints = Endpoints(Patience(shortest=1, longest=4))
    endpoints.replace(("mqtt://a", "mqtt://b"))
    pauses = []
    hosts = []
    for _ in range(10):
        hosts.append(endpoints.next().host)
        pauses.append(endpoints.failed(chance=0.5))
    assert hosts == ["a", "b"] * 5
    assert pauses == [0, 0.5, 0, 1, 0, 2, 0, 2, 0, 2]


def test_connection_that_lasted_makes_failures_forgotten_and_a_short_one_does_not():
    endpoints = Endpoints(Patience(shortest=1, longest=64, stable=60))
    endpoints.replace(("mqtt://a",))
    for _ in range(4):
        endpoints.failed(1.0)
    endpoints.lost(lasted=1)
    assert endpoints.failed(1.0) == 16
    endpoints.lost(lasted=61)
    assert endpoints.failed(1.0) == 1


def test_preferred_endpoint_is_tried_less_often_each_time():
    endpoints = Endpoints(Patience(comeback=300, longest_comeback=1000))
    waits = []
    for _ in range(4):
        waits.append(endpoints.comeback())
        endpoints.came_back()
    assert waits == [300, 600, 1000, 1000]
