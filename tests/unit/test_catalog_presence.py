"""Leases: who is late, who is gone, and when the catalog suspects itself instead."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device_catalog.fleet.domain import LAPSES_AT_ONCE, Guard, Presence, Reason
from device_catalog.fleet.leases import Lease, State, TimingWheel

TICK = 0.1
START = 1000.0


class Fleet:
    """Devices that poll every 60 s over a lease of 195 s, spread evenly, and a clock moved by hand."""

    def __init__(self, size, *, expected=False, guard=None):
        self.now = START
        self.presence = Presence(self.now, guard or Guard(minimum=5))
        self.leases = [Lease(f"m-{number}", 60.0, 195.0, expected=expected) for number in range(size)]
        for lease in self.leases:
            self.presence.add(lease, self.now)
        self.polling = set(range(size))
        self.transitions = []
        self.states = [self.presence.waiting]
        self._ticks = 0

    def run(self, seconds, step=1.0, *, hears=True):
        """Let time pass; each device polls in its own second of the minute."""
        for _ in range(round(seconds / step)):
            self.now += step
            self._ticks += 1
            if hears:
                for number in self.polling:
                    if (self._ticks + number) % 60 == 0:
                        transition = self.presence.renew(self.leases[number], self.now)
                        self.transitions += [transition] if transition else []
            self.transitions += self.presence.advance(self.now)
            if self.presence.waiting is not self.states[-1]:
                self.states.append(self.presence.waiting)

    def gone(self):
        return sorted(transition.lease.device for transition in self.transitions if not transition.available)


def settled(size, **options):
    fleet = Fleet(size, **options)
    fleet.run(300)
    assert fleet.presence.count(State.AVAILABLE) == size
    assert fleet.presence.waiting is False
    fleet.transitions.clear()
    return fleet


def test_a_device_that_polls_is_available_and_said_so_once():
    fleet = Fleet(1)
    fleet.run(600)
    assert [(item.available, item.reason) for item in fleet.transitions] == [(True, Reason.POLLED)]


def test_a_silent_device_is_declared_gone_when_its_lease_is_over_and_comes_back_with_its_next_poll():
    fleet = settled(100)
    fleet.polling.remove(7)
    last = fleet.leases[7].seen
    fleet.run(300)
    assert fleet.gone() == ["m-7"]
    assert 0 <= fleet.transitions[0].time - last - 195.0 <= 1.1
    fleet.polling.add(7)
    fleet.run(60)
    assert [item.available for item in fleet.transitions] == [False, True]
    assert fleet.leases[7].flaps == 1


def test_a_device_that_never_came_is_unavailable_after_a_lease_without_being_news():
    fleet = Fleet(1)
    fleet.polling.clear()
    fleet.run(194)
    assert fleet.transitions == []
    fleet.run(2)
    assert [(item.available, item.news) for item in fleet.transitions] == [(False, False)]


def test_after_a_start_everybody_has_one_full_lease():
    fleet = Fleet(4, expected=True)
    assert fleet.presence.waiting is True
    fleet.polling = {0}
    fleet.run(190)
    assert fleet.gone() == []
    assert fleet.presence.waiting is True
    fleet.run(10)
    assert fleet.gone() == ["m-1", "m-2", "m-3"]
    assert fleet.presence.waiting is False


def test_a_large_fleet_that_was_there_before_the_start_is_waited_for_until_half_of_it_is_back():
    fleet = Fleet(1000, expected=True)
    fleet.polling.clear()
    fleet.run(1000)
    assert fleet.gone() == []
    assert fleet.states == [True]
    fleet.polling = set(range(600))
    fleet.run(190)
    assert fleet.gone() == []
    fleet.run(200)
    assert len(fleet.gone()) == 400
    assert fleet.states == [True, False]


def test_a_catalog_that_hears_nobody_declares_nobody_gone():
    fleet = settled(1000)
    fleet.run(4000, hears=False)
    assert fleet.gone() == []
    assert fleet.presence.waiting is True
    fleet.run(400)
    assert fleet.gone() == []
    assert fleet.presence.waiting is False


def test_a_large_part_of_the_fleet_gets_one_more_lease_and_is_then_believed_to_be_gone():
    fleet = settled(1000)
    fleet.polling -= set(range(300))
    fleet.run(250)
    assert fleet.gone() == []
    assert fleet.presence.waiting is True
    fleet.run(250)
    assert len(fleet.gone()) == 300
    fleet.run(10)
    assert fleet.presence.waiting is False
    assert fleet.presence.count(State.AVAILABLE) == 700


def test_a_stall_of_the_catalog_gives_everybody_one_more_lease():
    fleet = settled(20)
    fleet.now += 600
    fleet.run(190, hears=False)
    assert fleet.gone() == []
    assert fleet.presence.waiting is True


def test_a_new_lease_counts_from_now():
    fleet = settled(1)
    lease = fleet.leases[0]
    fleet.presence.change(lease, 1.0, 3.0, fleet.now)
    fleet.polling.clear()
    fleet.run(70)
    assert fleet.gone() == ["m-0"]


def test_a_removed_device_is_not_missed():
    fleet = settled(10, guard=Guard(minimum=20))
    fleet.presence.remove(fleet.leases[3])
    fleet.polling.clear()
    fleet.run(600)
    assert len(fleet.gone()) == 9
    assert "m-3" not in fleet.gone()
    assert sum(fleet.presence.count(state) for state in State) == 9


def test_many_lapses_are_spread_over_several_looks():
    fleet = Fleet(2 * LAPSES_AT_ONCE + 10)
    fleet.polling.clear()
    fleet.run(194)
    looks = [len(fleet.presence.advance(fleet.now + 1 + TICK * number)) for number in range(1, 6)]
    assert sum(looks) == 2 * LAPSES_AT_ONCE + 10
    assert max(looks) == LAPSES_AT_ONCE


moves = st.one_of(
    st.tuples(st.just("put"), st.integers(0, 4), st.floats(0, 20)),
    st.tuples(st.just("forget"), st.integers(0, 4), st.just(0.0)),
    st.tuples(st.just("pass"), st.just(0), st.floats(0, 5)),
)


@settings(max_examples=300)
@given(st.lists(moves, max_size=60), st.sampled_from([0.1, 0.25, 1.0]))
def test_the_wheel_gives_each_lease_once_not_early_and_at_most_a_tick_late(steps, resolution):
    now = START
    wheel = TimingWheel(resolution, now)
    leases = [Lease(str(number), 1.0, 3.0) for number in range(5)]
    asked: dict[str, float] = {}
    for move, number, amount in [*steps, ("pass", 0, 25.0)]:
        lease = leases[number]
        if move == "put":
            wheel.put(lease, now + amount)
            asked[lease.device] = now + amount
        elif move == "forget":
            wheel.forget(lease)
            asked.pop(lease.device, None)
        else:
            now += amount
            found = wheel.due(now)
            assert len({lease.device for lease in found}) == len(found)
            for lease in found:
                assert asked.pop(lease.device) <= now
            assert all(time >= now - 2 * resolution for time in asked.values())
    assert asked == {}


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0.05, 3)), max_size=80))
def test_a_device_is_unavailable_exactly_when_it_was_silent_for_its_lease(polls):
    presence = Presence(START, Guard(minimum=1000, stall=1e9), TICK)
    leases = [Lease(f"m-{number}", 1.0, 2.0 + number) for number in range(4)]
    for lease in leases:
        presence.add(lease, START)
    now, seen = START, dict.fromkeys(range(4), START)
    for number, pause in polls:
        for _ in range(int(pause / 0.05)):
            now += 0.05
            presence.advance(now)
            for other, lease in enumerate(leases):
                silence = now - seen[other]
                if silence < lease.duration:
                    assert lease.state is not State.UNAVAILABLE
                elif silence > lease.duration + 2 * TICK:
                    assert lease.state is State.UNAVAILABLE
        presence.renew(leases[number], now)
        seen[number] = now
        assert leases[number].state is State.AVAILABLE
    assert sum(presence.count(state) for state in State) == 4


def test_an_empty_fleet_needs_no_waiting():
    presence = Presence(START)
    assert presence.advance(START + 1) == []
    assert presence.waiting is False
    assert pytest.approx(START) == presence.visible_since
