"""What an operator may say of a recorder, and what is refused with its remedy."""

import pytest

from device_catalog.contract.validation import DocumentError, parse_configuration

SAMPLED = {"driver": "simulated", "sample_rate": 6400}


def problems(recorder, acquisition=SAMPLED):
    try:
        parse_configuration({"acquisition": acquisition, "recorder": recorder})
    except DocumentError as error:
        return {problem.where.removeprefix("configuration."): problem for problem in error.problems}
    return {}


def test_a_recorder_with_nothing_said_is_one_with_defaults():
    recorder = parse_configuration({"acquisition": SAMPLED, "recorder": {}}).recorder
    assert (recorder.kinds, recorder.before, recorder.after, recorder.longest) == ((), 0.5, 0.5, 10.0)
    assert parse_configuration({"acquisition": SAMPLED}).recorder is None


@pytest.mark.parametrize(
    ("recorder", "where"),
    [
        ({"before": -1}, "recorder.before"),
        ({"after": 61}, "recorder.after"),
        ({"longest": 0}, "recorder.longest"),
        ({"before": 2, "after": 3, "longest": 5}, "recorder.longest"),
        ({"budget": 1000}, "recorder.budget"),
        ({"per_hour": 0}, "recorder.per_hour"),
        ({"upload_rate": 1}, "recorder.upload_rate"),
        ({"severity": "bad"}, "recorder.severity"),
        ({"kinds": ["a b"]}, "recorder.kinds[0]"),
        ({"kinds": ["a", "a"]}, "recorder.kinds"),
        ({"befor": 1}, "recorder.befor"),
        ({"before": 11.5, "longest": 20}, "acquisition.history"),
    ],
)
def test_what_cannot_be_is_named(recorder, where):
    assert list(problems(recorder)) == [where]


def test_a_recorder_needs_samples_and_says_how_much_history():
    assert "found none" in str(problems({}, None)["recorder"])
    assert "12.5 [s]" in str(problems({"before": 11.5, "longest": 20})["acquisition.history"])
    assert not problems({"before": 11.5, "longest": 20}, {**SAMPLED, "history": 12.5})
