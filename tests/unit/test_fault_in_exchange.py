"""A fault while an open point is moved, a loop closed or customers cut off by it: all that is healthy comes back."""

import pytest

from tests.support.feeder_pair import feeder_pair_document
from tests.support.switch_world import HEAVY, World, state

PLACES = {"p-line1": {"p1b", "ph"}, "p-line3": {"p3a", "p3b"}, "p-line6": {"p6a", "p6b"}, "q-line2": {"q2a", "q2b"}}
"""Branches, and what is dark in the end because the fault is there."""


def exchanging(opening, **changes):
    """Give a world in which the tie has just been ordered to close, and p6-far is to open next."""
    made = World(
        feeder_pair_document(), {"p6-far": {"operating_time": opening}}, closed_loop=True, hold=60.0, interval=20.0,
        **changes,
    )  # fmt: skip
    made.wait(1.0)
    for _ in range(6):
        made.give(state(made, **HEAVY))
        made.wait(0.2)
        if made.commands:
            break
        made.skip(20.0)
    assert [(one.recipient, one.verb) for one in made.commands] == [("tie", "close")]
    return made


@pytest.mark.parametrize("opening", [0.3, 3.0])
@pytest.mark.parametrize("after", [0.0, 0.5])
@pytest.mark.parametrize("place", PLACES)
def test_it_ends_with_everything_healthy_supplied_and_nothing_meshed(place, after, opening):
    made = exchanging(opening)
    made.wait(after)
    made.strike(place)
    made.wait(0.3)
    made.tell(place)
    made.wait(60.0)
    assert made.outcome["outcome"] == "restored"
    assert set(made.model.nodes.ids) - made.live() == PLACES[place]
    assert made.loops() == ()
    assert not made.subject._faults.ground.kept_open  # what it moved itself is nobody's wish


def test_where_the_other_breaker_clears_it_too_both_must_have_given_up_before_anything_moves():
    made = exchanging(30.0)  # p6-far is still closed when the fault comes: it is fed from both sides
    made.wait(0.5)
    given = len(made.commands)
    made.strike("p-line3")
    made.wait(0.3)
    made.tell("p-line3", breaker="breaker-p")
    made.until(lambda: len(made.commands) > given)
    assert made.says("breaker-p").lockout
    assert made.says("breaker-q").lockout
    made.wait(60.0)
    assert set(made.model.nodes.ids) - made.live() == {"p3a", "p3b"}
    assert made.loops() == ()


def test_customers_whom_an_exchange_has_cut_off_come_back_with_the_fault_elsewhere():
    document = feeder_pair_document()
    next(one for one in document["switches"] if one["id"] == "tie")["closes"] = 1.0  # opened first, then closed
    made = World(document, {"tie": {"operating_time": 30.0}}, closed_loop=True, hold=60.0, interval=20.0,
                 interruption=1e6)  # fmt: skip
    made.wait(1.0)
    for _ in range(6):
        made.give(state(made, **HEAVY))
        made.wait(1.0)
        if made.commands:
            break
        made.skip(20.0)
    (opened,) = {one.recipient for one in made.commands if one.verb == "open"}
    assert set(made.model.nodes.ids) - made.live()
    made.strike("q-line2")
    made.wait(0.3)
    made.tell("q-line2")
    made.wait(120.0)
    assert (opened, "close") in [(one.recipient, one.verb) for one in made.commands]
    assert "p6" in made.live()
    assert made.loops() == ()
