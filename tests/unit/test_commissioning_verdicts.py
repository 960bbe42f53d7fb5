"""What an installer is told of the meter, its catalog, brokers and clock, and the one answer that comes of it."""

import calendar

import msgspec
import pytest

from agent.commissioning.messages import AgentState, CatalogState, Settings
from agent.commissioning.verdicts import Provisioned, put_together
from agent.commissioning.wiring import Finding, Verdict
from device_catalog.contract.commissioning import Answer
from device_catalog.contract.reports import LinkReport, SourceReport, TimeReport

NOW = float(calendar.timegm((2026, 11, 21, 10, 0, 0)))
WIRED = [Finding("Voltage L1", Verdict.OK, "230.0 V"), Finding("Phase sequence", Verdict.OK, "right")]
AGENT = AgentState(
    "m-1",
    "0.1.0",
    boot=5,
    revision=3,
    settings=Settings("t", has_source=True),
    catalog=CatalogState("https://catalog.example.org", 12.0, "", 0.2),
    links={"grid": LinkReport(True, "mqtts://b:8883"), "data": LinkReport(True, "mqtts://b:8884")},
    source=SourceReport("uldaq", "running", 6400.0, 10_000),
    time=TimeReport(True, 2e-3),
    certificate_left=200 * 86_400.0,
    certificate_begins=-100.0,
    algorithms={"phasors": "running"},
)


def judged(agent=AGENT, provisioned=None, wiring=WIRED, now=NOW, **changes):
    if changes and agent is not None:
        agent = msgspec.structs.replace(agent, **changes)
    return put_together(wiring, agent, provisioned, now=now)


def failed(judgement):
    return {one.item: f"{one.found}; {one.remedy}" for one in judgement.findings if one.verdict is Verdict.FAILED}


def test_a_meter_on_which_everything_is_right_is_green():
    judgement = judged(provisioned=Provisioned("done"))
    assert judgement.answer is Answer.PASSED
    assert not judgement.worst()


def test_one_thing_that_failed_makes_it_red_and_one_that_is_not_judged_yellow():
    idle = [*WIRED, Finding("Current transformers", Verdict.NOT_JUDGED, "no load")]
    assert judged(wiring=idle).answer is Answer.INCOMPLETE
    dead = [*idle, Finding("Voltage L3", Verdict.FAILED, "No voltage on L3")]
    assert judged(wiring=dead).answer is Answer.FAILED
    assert [one.item for one in judged(wiring=dead).worst()] == ["Voltage L3"]


def test_nothing_sampled_is_never_green():
    assert judged(wiring=[]).answer is Answer.INCOMPLETE
    away = SourceReport("uldaq", "backoff", last_error="source uldaq: expected a board, found none")
    assert "expected a board, found none" in failed(judged(wiring=[], source=away))["Samples"]


def test_a_clock_in_1970_is_said_and_excuses_the_catalogs_certificate():
    error = "the catalog at https://x cannot be reached: certificate verify failed: certificate is not yet valid"
    said = failed(judged(now=86_400.0, catalog=CatalogState("https://x", None, error)))
    assert said["Clock"].startswith("It says 2 January 1970, 00:00 UTC: the clock was never set")
    assert said["Catalog"].startswith("The catalog's certificate cannot be judged while the clock is not set")


def test_a_clock_that_differs_from_the_catalogs_fails_and_one_that_runs_free_only_warns():
    assert "90 s behind the catalog's" in failed(judged(catalog=CatalogState("c", 1.0, "", -90.0)))["Clock"]
    free = judged(time=TimeReport(False))
    assert free.answer is Answer.PASSED
    assert {one.item for one in free.findings if one.verdict is Verdict.WARNING} == {"Clock"}


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate", "does not trust"),
        ("Hostname mismatch, certificate verify failed", "does not trust"),
        ("the catalog at https://x answered 401: expected this device's certificate", "does not let this meter in"),
        ("Temporary failure in name resolution", "check the cable, Wi-Fi or SIM card"),
        ("[Errno 113] No route to host", "firewall"),
        ("Read timed out.", "No answer from https://x"),
        ("something nobody thought of", "something nobody thought of"),
    ],
)
def test_a_catalog_that_is_away_is_told_so_that_an_installer_can_do_something(error, words):
    judgement = judged(catalog=CatalogState("https://x", 500.0, error))
    assert judgement.answer is Answer.FAILED
    assert words in failed(judgement)["Catalog"]


def test_a_broker_that_is_away_is_told_with_its_reason():
    links = {"grid": LinkReport(True, "g"), "data": LinkReport(False, last_error="connection refused")}
    assert failed(judged(links=links))["Data broker"].startswith("connection refused")


def test_a_meter_without_a_certificate_or_with_one_that_does_not_count_cannot_sign():
    assert "no certificate" in failed(judged(certificate_left=None))["Identity"]
    assert "has ended" in failed(judged(certificate_left=-5.0))["Identity"]
    assert "not valid yet" in failed(judged(certificate_begins=3600.0))["Identity"]


def test_an_agent_that_does_not_answer_and_a_card_that_was_not_taken_over_are_told():
    problem = Provisioned("failed", "The token on the card was used before", "ask the operator for another card")
    judgement = judged(agent=None, provisioned=problem, wiring=[])
    said = failed(judgement)
    assert judgement.answer is Answer.FAILED
    assert list(said) == ["Card"]
    assert "Meter" in failed(judged(agent=None, wiring=[]))
    assert said["Card"] == "The token on the card was used before; ask the operator for another card"


def test_refused_settings_and_algorithms_that_do_not_run_are_told():
    assert "acquisition.rate: wrong" in failed(judged(refused=("acquisition.rate: wrong",)))["Settings"]
    assert failed(judged(revision=0))["Settings"].startswith("none yet")
    assert "energy does not run" in failed(judged(algorithms={"phasors": "running", "energy": "backoff"}))["Algorithms"]
