"""The reconfigurator is an algorithm like any other."""

import pytest

from algorithms.api.algorithm import Context
from algorithms.api.conformance import check_algorithm
from algorithms.api.grid_records import GridState, NodeState
from algorithms.api.network_reader import parse
from algorithms.api.readings import Estimate
from algorithms.api.records import Command, Event, Reply, Severity
from algorithms.api.switching import SwitchReport, report_record
from algorithms.api.wire import NANOSECONDS
from algorithms.builtin.switching.reconfiguration import Reconfiguration
from tests.support.feeder_pair import feeder_pair_document

EPOCH = 1_800_000_000 * NANOSECONDS


@pytest.mark.parametrize("settings", [{}, {"closed_loop": True, "objective": "voltage-deviation", "hold": 0.0}])
def test_reconfiguration_conforms(settings):
    model = parse(feeder_pair_document())
    reports = [
        report_record(name, EPOCH, SwitchReport("pair", "closed" if closed else "open", lockout=name == "breaker-p"))
        for name, closed in zip(model.switches.ids, model.switches.closed, strict=True)
    ]
    power = {"AB": Estimate(9e5, 1e3), "BC": Estimate(9e5, 1e3), "CA": Estimate(9e5, 1e3)}
    states = [
        GridState(
            "mv",
            "mv",
            EPOCH + number * 60 * NANOSECONDS,
            1,
            0,
            (NodeState("p6", {}, power, {"AB": Estimate(1.0, 1.0)}),),
        )
        for number in range(3)
    ]
    evidence = {"network": "pair", "branch": "p-line3", "alternatives": [{"branch": "p-line4"}]}
    odd = {"network": "pair", "branch": "nowhere"}
    check_algorithm(
        Reconfiguration,
        settings=settings,
        context=Context("control-1", network=model),
        records=[
            *reports,
            *states,
            Event("fault-located", "t-ph", EPOCH + 200 * NANOSECONDS, None, Severity.CRITICAL, ("A",), evidence),
            Event("fault-located", "t-ph", EPOCH + 201 * NANOSECONDS, None, Severity.CRITICAL, ("A",), odd),
            Reply("lease-1", "control-1", "control-1", EPOCH + 202 * NANOSECONDS, {"token": 1, "seconds": 60.0}),
            Command("op-1", "control-1", "repaired", EPOCH + 300 * NANOSECONDS, EPOCH + 310 * NANOSECONDS),
        ],
        bad_settings=[{"gain": 2.0}, {"objective": "beauty"}, {"proof": "hope"}],
    ).raise_if_failed()
