"""Settings are read against their declaration: everything wrong is found at once, nothing is converted in silence."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from algorithms.api.errors import SettingsError
from algorithms.api.settings import Setting, problems_of, problems_of_declaration, read_settings

DECLARED = (
    Setting("window", "integer", "Cycles.", default=4, choices=(3, 4, 10)),
    Setting("rate", "number", "Frames.", unit="Hz", minimum=1, maximum=50),
    Setting("label", "text", "Name.", default="", maximum=10),
    Setting("enabled", "boolean", "On.", default=True),
    Setting("phases", "list", "Which.", default=("A",), minimum=1),
    Setting("table", "object", "More.", default=msgspec.UNSET),
)
RIGHT = {"rate": 10, "table": {"value": 1, "unit": "V"}}


def test_defaults_are_filled_in_and_whole_numbers_are_numbers():
    values = read_settings(DECLARED, RIGHT)
    assert values == {
        "window": 4,
        "rate": 10.0,
        "label": "",
        "enabled": True,
        "phases": ("A",),
        "table": {"value": 1, "unit": "V"},
    }
    assert isinstance(values["rate"], float)


def test_everything_wrong_is_reported_together():
    document = {
        "window": 5,
        "rate": {"value": 10, "unit": "kHz"},
        "label": "far too long a name",
        "enabled": 1,
        "phases": [],
        "tabel": {},
    }
    with pytest.raises(SettingsError) as caught:
        read_settings(DECLARED, document)
    assert [problem.where.removeprefix("settings.") for problem in caught.value.problems] == [
        "tabel",
        "window",
        "rate",
        "label",
        "enabled",
        "phases",
        "table",
    ]
    assert "did you mean table?" in str(caught.value)
    assert "expected the unit Hz, found kHz; state the value in Hz" in str(caught.value)


@pytest.mark.parametrize(
    "wrong",
    [
        0.99,
        50.01,
        -1,
        "10",
        True,
        None,
        [10],
        float("nan"),
        float("inf"),
        10**400,
        {"value": 10},
        {"value": "10", "unit": "Hz"},
    ],
)
def test_a_number_that_does_not_fit_is_one_problem(wrong):
    problems = problems_of(DECLARED, {**RIGHT, "rate": wrong})
    assert [problem.where for problem in problems] == ["settings.rate"]


@pytest.mark.parametrize("right", [1, 50, 1.0, {"value": 50, "unit": "Hz"}])
def test_bounds_are_inclusive_and_the_declared_unit_may_be_stated(right):
    assert problems_of(DECLARED, {**RIGHT, "rate": right}) == []


@pytest.mark.parametrize("wrong", [4.0, True, "4", 10**400])
def test_a_choice_of_whole_numbers_takes_nothing_else(wrong):
    assert [problem.where for problem in problems_of(DECLARED, {**RIGHT, "window": wrong})] == ["settings.window"]


def test_ten_megabytes_of_text_are_refused_in_a_short_message():
    problems = problems_of(DECLARED, {**RIGHT, "label": "x" * 10_000_000, "y" * 10_000_000: 1})
    assert len(problems) == 2
    assert all(len(str(problem)) < 400 for problem in problems)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
names = st.sampled_from([setting.name for setting in DECLARED]) | st.text(max_size=5)


@given(st.dictionaries(names, values, max_size=6))
def test_any_document_is_read_or_refused_with_a_problem_for_each_name_that_is_wrong(document):
    problems = problems_of(DECLARED, document)
    unknown = set(document) - {setting.name for setting in DECLARED}
    assert len(unknown) <= len(problems) <= len(unknown) + len(DECLARED)
    if problems:
        with pytest.raises(SettingsError) as caught:
            read_settings(DECLARED, document)
        assert list(caught.value.problems) == problems
    else:
        assert set(read_settings(DECLARED, document)) == {setting.name for setting in DECLARED}


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        (Setting("a", "number", "", minimum=1, maximum=50, unit="Hz"), "a number with value from 1 to 50 [Hz]"),
        (Setting("a", "integer", "", minimum=1), "a whole number with value of at least 1"),
        (Setting("a", "text", "", maximum=5), "a text with length of at most 5"),
        (Setting("a", "object", ""), "a table"),
        (Setting("a", "text", "", choices=("x", "y")), "one of x, y"),
    ],
)
def test_a_declaration_says_in_words_what_it_expects(setting, words):
    assert setting.expectation() == words


@pytest.mark.parametrize(
    ("setting", "where"),
    [
        (Setting("no spaces", "number", "Wrong."), "settings.no spaces"),
        (Setting("a", "number", "Wrong.", minimum=2, maximum=1), "settings.a"),
        (Setting("a", "number", "Wrong.", default=0, minimum=1), "settings.a.default"),
        (Setting("a", "integer", "Wrong.", default="1"), "settings.a.default"),
    ],
)
def test_a_declaration_that_contradicts_itself_is_told(setting, where):
    assert [problem.where for problem in problems_of_declaration([setting])] == [where]


def test_a_right_declaration_has_no_problems_but_a_name_used_twice_is_one():
    assert problems_of_declaration(DECLARED) == []
    assert [problem.where for problem in problems_of_declaration(DECLARED[:1] * 2)] == ["settings"]
