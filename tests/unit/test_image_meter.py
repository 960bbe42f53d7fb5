"""What an image is judged by, as a running agent gathers it."""

from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from agent.updates.image_health import Health
from agent.updates.image_meter import AgentMeter
from device_catalog.contract.reports import AlgorithmReport, LinkReport, SourceReport
from tests.support.clocks import ManualClock


@dataclass
class Parts:
    """The parts of an agent that are asked."""

    applied: int = 3
    source: SourceReport | None = None
    algorithms: dict = field(default_factory=dict)
    pending: dict = field(default_factory=dict)
    links: dict = field(default_factory=dict)
    answered: float | None = 5.0
    problem: str = ""
    ahead: float | None = None

    def meter(self):
        links = {name: SimpleNamespace(report=lambda one=one: one) for name, one in self.links.items()}
        running = SimpleNamespace(
            sampler=SimpleNamespace(report=lambda: self.source), algorithm_reports=lambda: self.algorithms
        )
        outbox = SimpleNamespace(report=lambda: SimpleNamespace(pending=self.pending))
        return AgentMeter(self, running, outbox, links, self, ManualClock())


def test_a_meter_is_judged_by_what_its_parts_report():
    parts = Parts(
        source=SourceReport("simulated", "running"),
        algorithms={"phasors": AlgorithmReport("1", "running"), "dips": AlgorithmReport("1", "backoff")},
        links={"grid": LinkReport(False), "data": LinkReport(True)},
    )
    assert parts.meter().health() == Health(True, True, frozenset({"dips"}), True, True)


def test_an_agent_without_a_board_need_not_sample_and_a_catalog_that_fell_silent_is_away():
    health = Parts(applied=0, problem="no answer", links={"grid": LinkReport(False)}).meter().health()
    assert health == Health(False, True, frozenset(), False, False)


def test_a_broker_that_is_away_holds_up_no_restart():
    parts = Parts(pending={"grid": 500, "data": 3}, links={"grid": LinkReport(False), "data": LinkReport(True)})
    assert parts.meter().is_flushed()
    parts.links["grid"] = LinkReport(True)
    assert not parts.meter().is_flushed()


@pytest.mark.parametrize(("ahead", "known"), [(None, False), (12.0, True), (-90.0, True), (4e7, False)])
def test_a_clock_that_agrees_with_the_catalog_tells_the_time_of_the_day(monkeypatch, ahead, known):
    monkeypatch.setattr("hardware.timebase_clocks.ctypes.CDLL", lambda *_, **__: None)  # a kernel that says nothing
    assert (Parts(ahead=ahead).meter().utc() is not None) == known
