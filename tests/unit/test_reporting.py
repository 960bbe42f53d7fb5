"""When a report to the catalog is worth sending."""

from agent.reporting import REFRESH, ReportGate
from device_catalog.contract.reports import AlgorithmReport, LinkReport, Reported, ShadowReport, UpdateReport


def report(*, state="running", processed=0, pending=0):
    return Reported(
        "m-1",
        algorithms={"phasors": AlgorithmReport("1.0.0", state, processed=processed)},
        links={"data": LinkReport(connected=True, pending=pending)},
    )


def gate():
    one = ReportGate()
    one.sent(report(), now=0.0)
    return one


def test_the_first_report_is_always_due():
    assert ReportGate().due(report(), now=0.0)


def test_counters_alone_are_not_worth_a_report():
    assert not gate().due(report(processed=50, pending=3), now=10.0)


def test_a_change_of_state_is():
    assert gate().due(report(state="backoff"), now=10.0)


def test_what_a_shadow_came_to_is_worth_one_whenever_it_doubled():
    def shadowed(compared):
        shadow = ShadowReport("2.0.0", "running", compared=compared, memory=compared)
        return Reported("m-1", algorithms={"phasors": AlgorithmReport("1.0.0", "running", shadow=shadow)})

    one = ReportGate()
    one.sent(shadowed(1000), now=0.0)
    assert not one.due(shadowed(1020), now=10.0)
    assert one.due(shadowed(1030), now=10.0)


def test_a_step_of_an_update_is():
    def updating(step):
        update = UpdateReport("2.0.0", step)
        return Reported("m-1", algorithms={"phasors": AlgorithmReport("1.0.0", "running", update=update)})

    one = ReportGate()
    one.sent(updating("downloading"), now=0.0)
    assert not one.due(updating("downloading"), now=10.0)
    assert one.due(updating("probation"), now=10.0)


def test_a_report_that_did_not_arrive_waits_until_the_catalog_answers_again():
    one = gate()
    one.postpone(now=10.0)
    assert not one.due(report(state="backoff"), now=11.0)
    one.reachable()
    assert one.due(report(state="backoff"), now=11.0)


def test_counters_are_never_older_than_a_quarter_of_an_hour():
    assert gate().due(report(processed=50), now=REFRESH)
