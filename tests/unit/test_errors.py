"""Errors say what was expected, what was found and what to do, in a message of bounded length."""

import pickle

import pytest

from algorithms.api.errors import (
    AlgorithmError,
    CheckpointError,
    ManifestError,
    NetworkError,
    Problem,
    SettingsError,
    WireError,
    shortened,
)

PROBLEM = Problem("a.b", "a number", "x", "write one")


@pytest.mark.parametrize("error_type", [SettingsError, NetworkError, ManifestError])
def test_a_refusal_carries_every_problem_also_into_another_process(error_type):
    error = error_type([PROBLEM, Problem("c", "text", "5")])
    again = pickle.loads(pickle.dumps(error))
    assert again.problems == error.problems == (PROBLEM, Problem("c", "text", "5"))
    assert str(again) == "a.b: expected a number, found x; write one; c: expected text, found 5"


def test_thousands_of_problems_make_a_short_message():
    error = NetworkError([PROBLEM] * 10_000)
    assert len(error.problems) == 10_000
    assert str(error).endswith("and 9980 more")
    assert len(str(error)) < 2_000


def test_a_refusal_without_a_problem_is_wrong_use():
    with pytest.raises(ValueError, match="at least one problem"):
        SettingsError([])


def test_the_world_is_one_family():
    for error_type in (SettingsError, NetworkError, ManifestError, CheckpointError, WireError):
        assert issubclass(error_type, AlgorithmError)
        assert not issubclass(error_type, ValueError)


@pytest.mark.parametrize("value", ["x" * 10_000_000, ["x"] * 100_000, "a\n b\t c", 5, None])
def test_whatever_was_found_is_told_in_one_short_line(value):
    text = shortened(value)
    assert len(text) <= 80
    assert "\n" not in text


def test_words_of_others_are_shown_and_not_obeyed():
    assert shortened("a\x1b[2J\nb\x07\ud800") == "a?[2J b??"
