"""What was restored is believed while meters agree: a switch that lies, a neighbour that is dead, a late meter."""

import pytest

from algorithms.api.records import Severity
from tests.support.feeder_pair import feeder_pair_document
from tests.support.switch_world import World


def world(switches=None, **settings):
    made = World(feeder_pair_document(), switches, **{"closed_loop": True, **settings})
    made.wait(1.0)
    return made


def restored(made, branch="p-line3"):
    made.strike(branch)
    made.wait(0.3)
    made.tell(branch)
    made.until(lambda: made.events, 40.0)
    assert made.outcome["outcome"] == "restored"


def outcomes(made):
    return [event.evidence["outcome"] for event in made.events]


@pytest.mark.parametrize(("liar", "dark"), [("tie", {"p3", "p4", "p5", "p6"}), ("breaker-p", {"ph", "p1", "p2"})])
def test_a_switch_that_says_it_closed_and_did_not_is_told_by_the_meters_behind_it(liar, dark):
    made = world({liar: {"behaviour": "lies"}})
    restored(made)
    made.wait(5.0)
    assert outcomes(made) == ["restored", "dark"]
    assert made.events[-1].severity is Severity.CRITICAL
    assert set(made.outcome["unserved"]) == dark - made.live()
    assert liar in made.outcome["reason"]
    assert made.outcome["unserved_customers"] > 0
    orders = len(made.commands)
    made.wait(30.0)
    assert outcomes(made) == ["restored", "dark"]  # once
    assert len(made.commands) == orders


def test_a_tie_into_a_neighbour_that_is_dead_is_told_although_its_breaker_stands_closed():
    made = world()
    made.silent_meters = {terminal.id for terminal in made.model.terminals if terminal.id.startswith("t-q")}
    made.wait(11.0)
    made.lying_meters = {f"t-p{number}": 0.0 for number in range(3, 7)}  # nothing comes over the tie
    restored(made)
    made.wait(5.0)
    assert outcomes(made) == ["restored", "dark"]
    assert set(made.outcome["unserved"]) == {"p3", "p4", "p5", "p6"}


def test_meters_that_agree_or_speak_late_are_no_news():
    made = world()
    made.strike("p-line3")
    made.wait(0.3)
    made.tell("p-line3")
    made.until(lambda: any(one.recipient == "tie" for one in made.commands), 40.0)
    made.silent_meters = {"t-p4", "t-p5"}
    made.wait(20.0)
    made.silent_meters = set()
    made.wait(30.0)
    assert outcomes(made) == ["restored"]


def test_a_relay_that_trips_later_is_no_lie():
    made = world()
    restored(made)
    made.wait(3.0)
    made.strike("q-line2")
    made.wait(40.0)
    assert "dark" not in outcomes(made)


def test_where_meters_cannot_see_it_they_are_not_asked():
    made = world({"tie": {"behaviour": "lies"}}, aftercare=0.0)
    restored(made)
    made.wait(20.0)
    assert outcomes(made) == ["restored"]
