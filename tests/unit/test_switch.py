"""A simulated switch: what it obeys, what it refuses and says so, and what its protection does."""

import pytest

from algorithms.api.algorithm import Context
from algorithms.api.errors import CheckpointError, SettingsError
from algorithms.api.records import Command, Event, Severity
from algorithms.api.switching import read_report
from algorithms.api.wire import NANOSECONDS
from algorithms.builtin.switching.switch import Switch

EPOCH = 1_800_000_000 * NANOSECONDS


class Place:
    """One switch and a clock."""

    def __init__(self, restored=None, **settings):
        self.switch = Switch({"switch": "s1", "network": "net", **settings})
        self.switch.start(Context("rtu-1"), restored)
        self.time = 0.0
        self.said = []
        self.number = 0
        self.wait(0.0)

    def wait(self, seconds, step=0.05):
        end = self.time + seconds
        while True:
            self.take(self.switch.tick(self.now))
            if self.time >= end - 1e-9:
                return
            self.time = min(self.time + step, end)

    @property
    def now(self):
        return EPOCH + round(self.time * NANOSECONDS)

    def take(self, records):
        self.said += [read_report(record) for record in records]

    def order(self, verb, *, token=1, sequence=None, tag="", network="net", life=10.0, name=None, recipient="s1"):
        self.number += 1
        arguments = {"network": network, "token": token, "sequence": sequence or self.number, "tag": tag}
        issued = self.now
        command = Command(
            name or f"c{self.number}", recipient, verb, issued, issued + round(life * NANOSECONDS), arguments
        )
        self.take(self.switch.process(command))
        return self.last

    @property
    def last(self):
        return self.said[-1]


def test_an_order_is_confirmed_only_once_it_is_carried_out():
    place = Place(operating_time=0.3)
    assert place.order("open").outcome == "under-way"
    assert place.last.state is None
    place.wait(0.25)
    assert place.last.state is None
    place.wait(0.1)
    assert (place.last.state, place.last.outcome, place.last.command) == ("open", "done", "c1")


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        ({"network": "other"}, "expected an order for net"),
        ({"token": 2}, "given under lease 2, and 3 is in force"),
        ({"token": 3, "sequence": 1}, "number 1 comes after number 1"),
        ({"life": -1.0, "token": 4}, "expired"),
        ({"name": "c1", "token": 4}, "given before"),
    ],
)
def test_what_must_not_be_obeyed_is_refused_and_nothing_moves(order, reason):
    place = Place(operating_time=0.0)
    place.order("open", token=3, sequence=1)
    answer = place.order("close", **order)
    assert (answer.outcome, answer.state) == ("refused", "open")
    assert reason in answer.reason
    place.wait(1.0)
    assert place.last.state == "open"


def test_an_order_delivered_again_is_answered_with_where_the_switch_stands_and_changes_nothing():
    place = Place(operating_time=0.3)
    place.order("open", name="c1", sequence=1)
    place.wait(0.2)
    again = place.order("open", name="c1", sequence=1)
    assert (again.command, again.outcome, again.state) == ("c1", "under-way", None)
    place.wait(0.15)
    assert (place.last.command, place.last.outcome, place.last.state) == ("c1", "done", "open")
    place.order("close", name="c2", sequence=2)
    place.wait(0.35)
    late = place.order("open", name="c1", sequence=1)
    assert (late.command, late.outcome, late.state) == ("c2", "done", "closed")
    place.wait(0.35)
    assert place.last.state == "closed"


def test_refusals_are_told_so_often_and_no_more():
    place = Place()
    before = len(place.said)
    for _ in range(100):
        place.order("open", network="other")
    assert len(place.said) - before == 30
    place.wait(61.0, step=1.0)
    assert place.order("open", network="other").outcome == "refused"


def test_an_order_to_another_switch_is_not_heard():
    place = Place()
    before = len(place.said)
    place.order("open", recipient="s2")
    assert len(place.said) == before


def test_a_new_lease_counts_its_orders_anew():
    place = Place(operating_time=0.0)
    place.order("open", token=3, sequence=9)
    assert place.order("close", token=4, sequence=1).outcome == "done"
    assert "lease 3" in place.order("open", token=3, sequence=10).reason


def test_a_locked_switch_is_closed_by_nobody_until_it_is_unlocked_under_the_same_tag():
    place = Place(operating_time=0.0)
    place.order("open", tag="fault-1")
    assert "locked open under fault-1" in place.order("close").reason
    assert "locked open" in place.order("unlock", tag="fault-2").reason
    assert place.order("unlock", tag="fault-1").outcome == "done"
    assert place.order("close").state == "closed"


def test_an_open_switch_is_locked_without_moving():
    place = Place(state="open", operating_time=5.0)
    answer = place.order("open", tag="fault-1")
    assert (answer.outcome, answer.state, answer.tag) == ("done", "open", "fault-1")


def test_a_jammed_switch_says_so_and_stays():
    place = Place(behaviour="jams", operating_time=0.1)
    place.order("open")
    place.wait(0.2)
    assert (place.last.state, place.last.outcome) == ("closed", "failed")
    assert "jammed" in place.last.reason


def test_an_intruder_refused_on_the_way_does_not_hide_that_the_order_was_carried_out():
    place = Place(operating_time=0.5)
    place.order("open", token=2)
    assert place.order("close", token=1).outcome == "refused"
    place.wait(0.6)
    assert (place.last.command, place.last.outcome, place.last.state) == ("c1", "done", "open")


def test_it_reports_now_and_then_without_being_asked():
    place = Place(report_interval=2.0)
    place.wait(6.1)
    assert len(place.said) == 4


def test_locks_and_leases_outlive_a_restart():
    place = Place(operating_time=0.0)
    place.order("open", token=5, tag="fault-1")
    again = Place(restored=place.switch.checkpoint(), operating_time=0.0)
    assert (again.last.state, again.last.tag) == ("open", "fault-1")
    assert "lease 4" in again.order("close", token=4, name="c9").reason


def test_a_memory_of_another_network_is_refused():
    memory = Place().switch.checkpoint()
    with pytest.raises(CheckpointError, match="net"):
        Switch({"switch": "s1", "network": "elsewhere"}).start(Context("rtu-1"), memory)


def fault(place, terminal="t-1"):
    place.take(place.switch.process(Event("fault", terminal, place.now, None, Severity.CRITICAL)))


def test_protection_trips_recloses_and_gives_up():
    place = Place(trips_on=["fault"], trip_delay=0.1, dead_times=[0.4, 2.0], reclaim_time=10.0)
    fault(place)
    place.wait(0.15)
    assert (place.last.state, place.last.cause, place.last.reclosing) == ("open", "protection", True)
    place.wait(0.4)
    assert (place.last.state, place.last.cause) == ("closed", "reclosing")
    fault(place)
    place.wait(0.15)
    assert (place.last.state, place.last.lockout) == ("open", False)
    place.wait(2.0)
    fault(place)
    place.wait(0.15)
    assert (place.last.state, place.last.lockout, place.last.reclosing) == ("open", True, False)
    place.wait(5.0)
    assert place.last.state == "open"


def test_a_passing_fault_is_forgotten_after_the_quiet_time():
    place = Place(trips_on=["fault"], dead_times=[0.4], reclaim_time=3.0)
    fault(place)
    place.wait(4.0)
    assert place.last.state == "closed"
    fault(place)
    place.wait(0.05)
    assert not place.last.lockout


def test_closing_onto_the_fault_is_final_at_once():
    place = Place(state="open", trips_on=["fault"], dead_times=[0.4], operating_time=0.0)
    place.order("close")
    fault(place)
    place.wait(0.05)
    assert (place.last.state, place.last.lockout) == ("open", True)


def test_an_order_to_open_ends_the_cycle():
    place = Place(trips_on=["fault"], dead_times=[1.0], operating_time=0.0)
    fault(place)
    place.wait(0.05)
    place.order("open", tag="fault-1")
    place.wait(3.0)
    assert place.last.state == "open"


def test_wrong_settings_are_all_named():
    with pytest.raises(SettingsError) as caught:
        Switch({"network": "net", "operating_time": -1, "behaviour": "odd"}).start(Context("rtu-1"), None)
    named = {problem.where for problem in caught.value.problems}
    assert {"settings.switch", "settings.operating_time", "settings.behaviour"} <= named


def order_ahead(place, seconds, verb="open", **arguments):
    """Give an order by a clock that is ahead."""
    issued = place.now + round(seconds * NANOSECONDS)
    said = {"network": "net", "token": 1, "sequence": 1, "tag": "", **arguments}
    name = f"ahead-{place.number}-{verb}"
    place.take(place.switch.process(Command(name, "s1", verb, issued, issued + 5 * NANOSECONDS, said)))
    return place.last


def test_an_order_of_a_giver_whose_clock_is_ahead_is_refused_rather_than_carried_out_late():
    place = Place(operating_time=0.3)
    assert order_ahead(place, 30.0).outcome == "refused"
    assert "set the clocks" in place.last.reason
    place.wait(60.0)
    assert place.last.state == "closed"


def test_an_order_of_a_giver_who_is_a_little_ahead_is_carried_out_at_once():
    place = Place(operating_time=0.3)
    assert order_ahead(place, 1.0).outcome == "under-way"
    place.wait(0.35)
    assert place.last.state == "open"


def test_a_refused_order_does_not_move_the_clock_by_which_others_expire():
    place = Place(operating_time=0.0)
    assert order_ahead(place, 55.0, network="other").outcome == "refused"
    assert place.order("open", life=5.0).outcome == "done"


def test_a_clock_that_is_set_back_disables_no_switch():
    place = Place(operating_time=0.3)
    place.wait(1.0)
    place.time -= 3600.0
    heard = len(place.said)
    place.wait(60.0)
    assert len(place.said) - heard >= 5
    assert place.order("open", life=5.0).outcome == "under-way"
    place.wait(0.35)
    assert place.last.state == "open"


def test_a_clock_that_is_set_back_while_a_switch_moves_does_not_hold_it_up():
    place = Place(operating_time=0.3)
    place.order("open")
    place.time -= 60.0
    place.wait(0.4)
    assert place.last.state == "open"
