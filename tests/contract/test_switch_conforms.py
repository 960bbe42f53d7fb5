"""The simulated switch is an algorithm like any other."""

import pytest

from algorithms.api.algorithm import Context
from algorithms.api.conformance import check_algorithm
from algorithms.api.records import Command, Event, Severity
from algorithms.api.wire import NANOSECONDS
from algorithms.builtin.switching.switch import Switch

EPOCH = 1_800_000_000 * NANOSECONDS


@pytest.mark.parametrize("settings", [{}, {"state": "open", "trips_on": ["fault"], "dead_times": [0.4]}])
def test_switch_conforms(settings):
    orders = [
        Command(
            f"c{number}",
            "s1",
            verb,
            EPOCH + number * NANOSECONDS,
            EPOCH + (number + 5) * NANOSECONDS,
            {"network": "net", "token": 1, "sequence": number},
        )
        for number, verb in enumerate(("open", "close", "open", "nonsense"), start=1)
    ]
    check_algorithm(
        Switch,
        settings={"switch": "s1", "network": "net", **settings},
        context=Context("rtu-1"),
        records=[*orders, Event("fault", "t-1", EPOCH + 9 * NANOSECONDS, None, Severity.CRITICAL)],
        bad_settings=[{"operating_time": -1}, {"behaviour": "odd"}, {"dead_times": ["soon"]}, {"trips_on": [1]}],
    ).raise_if_failed()
