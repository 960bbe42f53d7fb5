"""`check_algorithm` passes what is right, and blames what is broken for exactly the rule that it breaks."""

import random
import sys

import numpy as np
import pytest

from algorithms.api.algorithm import Context
from algorithms.api.conformance import check_algorithm
from algorithms.api.conformance_watch import Watch
from tests.support.broken_algorithms import BROKEN, Crashes, NeedsNetwork, Rms, Writes
from tests.support.example_algorithm import VoltageDips
from tests.support.records_for_tests import CHANNELS, frames_with_dip, steady_blocks

CONTEXT = Context(device="m-1", terminal="t-1", channels=CHANNELS, sample_rate=6400.0)


def failed(algorithm_class):
    report = check_algorithm(
        algorithm_class, settings={"gain": 2.0}, context=CONTEXT, records=steady_blocks(), bad_settings=[{"gain": -1}]
    )
    return [finding.rule for finding in report.failed]


@pytest.mark.parametrize(("algorithm_class", "rule"), BROKEN)
def test_a_broken_algorithm_is_blamed_for_exactly_what_is_broken(algorithm_class, rule):
    assert failed(algorithm_class) == [rule]


def test_a_right_algorithm_passes_every_rule():
    report = check_algorithm(
        Rms, settings={"gain": 2.0}, context=CONTEXT, records=steady_blocks(), bad_settings=[{"gain": -1, "label": 5}]
    )
    report.raise_if_failed()
    assert [finding.rule for finding in report.findings] == [
        "info",
        "importable",
        "constructor",
        "settings",
        "unknown-setting",
        "process",
        "input-untouched",
        "output-declared",
        "output-values",
        "isolation",
        "same-output",
        "gap",
        "rate-changed",
        "checkpoint",
        "garbage-checkpoint",
        "stop",
        "time-budget",
    ]


def test_the_example_for_authors_conforms():
    context = Context(device="m-1", terminal="t-1")
    check_algorithm(VoltageDips, settings={}, context=context, records=frames_with_dip()).raise_if_failed()


def test_the_example_for_authors_tells_of_the_dip_in_every_phase():
    dips = VoltageDips({})
    dips.start(Context(device="m-1"), None)
    events = [event for frame in frames_with_dip() for event in dips.process(frame)]
    assert [event.phases for event in events] == [("A",), ("B",), ("C",)]
    assert {event.end_ns - event.start_ns for event in events} == {200_000_000}
    assert {event.evidence["lowest_voltage"] for event in events} == {150.0}


def test_a_class_that_is_no_algorithm_is_a_finding_too():
    report = check_algorithm(int, settings={}, context=CONTEXT, records=())  # type: ignore[arg-type]
    assert [finding.rule for finding in report.failed] == ["info"]


def test_a_class_nobody_can_import_is_told():
    class Hidden(Rms):
        pass

    assert failed(Hidden) == ["importable"]


def test_records_the_algorithm_does_not_consume_are_wrong_use():
    with pytest.raises(ValueError, match="two or more records of samples expected"):
        check_algorithm(Rms, settings={}, context=CONTEXT, records=frames_with_dip())


def test_a_context_without_the_network_that_is_needed_is_wrong_use():
    with pytest.raises(ValueError, match="a context with a network expected"):
        check_algorithm(NeedsNetwork, settings={}, context=CONTEXT, records=steady_blocks())


def test_a_failed_report_raises_with_rule_and_detail():
    report = check_algorithm(Crashes, settings={}, context=CONTEXT, records=steady_blocks())
    with pytest.raises(AssertionError, match="process: ZeroDivisionError raised in broken_algorithms") as caught:
        report.raise_if_failed()
    assert "Crashes" in str(caught.value)
    assert "FAILED  process" in str(report)


def test_the_input_offered_is_left_as_it_was():
    blocks = steady_blocks()
    before = [block.values.copy() for block in blocks]
    check_algorithm(Writes, settings={}, context=CONTEXT, records=blocks)
    assert all(np.array_equal(block.values, old) for block, old in zip(blocks, before, strict=True))


def test_an_own_seeded_generator_and_late_imports_are_no_offence():
    with Watch() as watch:
        random.Random(5).random()
        np.random.default_rng(5).random()
        sys.modules.pop("this_is_no_module", None)
        sys.modules.pop("colorsys", None)
        import colorsys  # noqa: F401
    assert watch.calls == []


def test_the_watch_gives_back_the_profiler_it_found():
    before = sys.getprofile()
    with Watch():
        assert sys.getprofile() is not before
    assert sys.getprofile() is before
