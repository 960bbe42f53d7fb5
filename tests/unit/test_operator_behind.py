"""An operator is told of a device that works on an older network than it should."""

from datetime import UTC, datetime

import pytest

from device_catalog.contract.documents import Configuration, Desired, TopologyReference
from device_catalog.contract.register import DeviceDetail, DeviceKind, DeviceSummary
from device_catalog.contract.reports import NetworkReport, Reported
from device_catalog.operator.devices import problems_of

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def detail(network):
    wanted = Configuration(topology=TopologyReference("n", "a", 3, 7))
    summary = DeviceSummary("m-1", DeviceKind.AGENT, "default", "", True, NOW, 2, 2)
    return DeviceDetail(summary, Desired("m-1", "default", 2, NOW, wanted), Reported("m-1", 1, "1", 2, network=network))


@pytest.mark.parametrize(("model", "topology"), [(2, 7), (3, 6), (4, 1)])
def test_one_that_is_behind_is_told_with_both_revisions(model, topology):
    (problem,) = problems_of(detail(NetworkReport("n", "a", model, topology)))
    expected = f"revision {model}, switches of revision {topology}, not yet on 3 and 7"
    assert problem.endswith(expected)


@pytest.mark.parametrize("network", [NetworkReport("n", "a", 3, 7), NetworkReport("n", "a", 4, 9), None])
def test_one_that_is_not_is_no_problem(network):
    assert problems_of(detail(network)) == []
