"""What time it is for an expiry, and which releases come in: decided without a clock."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.trust.decisions import (
    RELEASED,
    Floors,
    Reading,
    floor_of,
    floors_after,
    moment,
    refusal_of_target,
    trusted_time,
    with_release,
)
from device_catalog.contract.packages import MAXIMUM_PACKAGE
from device_catalog.contract.trust import TargetFacts

times = st.floats(0.0, 1e11)
KEYS = ("a" * 64,)


@given(times, times, st.booleans())
def test_trusted_time_is_never_before_the_floor(clock, floor, synchronised):
    assert trusted_time(Reading(clock, synchronised), floor) >= floor


@given(times, times)
def test_a_free_running_clock_never_moves_the_time(clock, floor):
    assert trusted_time(Reading(clock, synchronised=False), floor) == floor


@given(times, times, times, times, st.booleans())
def test_what_is_kept_is_beyond_neither_the_expiry_nor_below_the_floor(clock, issued, expires, floor, synchronised):
    reading = Reading(clock, synchronised)
    kept = floors_after(Floors(), reading, KEYS, issued=issued, expires=expires, floor=floor)
    assert kept.time == max(floor, kept.time)
    assert kept.time <= max(floor, expires)


def test_a_time_is_forgotten_with_the_key_that_vouched_for_it():
    kept = Floors(time=4e9, timestamp_keys=KEYS)
    assert floor_of(kept, KEYS, 0.0) == 4e9
    assert floor_of(kept, ("b" * 64,), 0.0) == RELEASED
    assert floor_of(kept, ("b" * 64,), RELEASED + 5.0) == RELEASED + 5.0


@pytest.mark.parametrize(
    ("facts", "length", "words"),
    [
        (None, 1, "signed as something else"),
        (TargetFacts("other", "1.0.0", 5, 1), 1, "signed as something else"),
        (TargetFacts("dips", "1.0.1", 5, 1), 1, "signed as something else"),
        (TargetFacts("dips", "1.0.0", 5, 1), MAXIMUM_PACKAGE + 1, "at most"),
        (TargetFacts("dips", "1.0.0", 4, 1), 1, "expected release 5 of dips or a later one, found 4"),
        (TargetFacts("dips", "1.0.0", 5, 1), 1, ""),
    ],
)
def test_a_target_must_be_what_was_asked_for_and_no_step_back(facts, length, words):
    refusal = refusal_of_target(facts, length, "dips", "1.0.0", {"dips": 5})
    assert words in refusal
    assert bool(refusal) == bool(words)


def test_the_floor_of_a_release_only_rises():
    floors = with_release(with_release(Floors(), "dips", 7), "dips", 3)
    assert floors.releases == {"dips": 7}


@pytest.mark.parametrize("text", [None, 5, "", "2026-13-40T00:00:00Z", "2026-11-01T00:00:00+01:00", "now"])
def test_a_moment_that_is_none_says_nothing(text):
    assert moment(text) == 0.0


def test_a_moment_is_utc():
    assert moment("2026-11-01T00:00:00Z") == RELEASED
