"""The newest state of each source is kept for an algorithm that starts later, within bounds."""

from agent.delivery.newest import Newest, is_state
from algorithms.api.grid_records import GridState, NodeState
from algorithms.api.readings import Phasor
from algorithms.api.records import Result


def state(area, time_ns=0, nodes=0):
    voltage = {"A": Phasor(230.0, 0.0, 0.1, 0.1)}
    return GridState(area, "lv", time_ns, 1, 0, tuple(NodeState(f"n-{k}", voltage) for k in range(nodes)))


def test_of_each_area_the_newest_is_kept_whoever_tells_it():
    newest = Newest()
    newest.put("m-1", state("a", 1))
    newest.put("m-1", state("b", 2))
    newest.put("m-2", state("a", 3))
    assert list(newest) == [("m-1", state("b", 2)), ("m-2", state("a", 3))]


def test_what_is_silent_for_longest_makes_room():
    newest = Newest(sources=3)
    for number in range(5):
        newest.put("m-1", state(f"a-{number}"))
    assert [one.area for _, one in newest] == ["a-2", "a-3", "a-4"]


def test_states_that_are_too_large_together_are_not_kept():
    newest = Newest(size=5000)
    for number in range(3):
        newest.put("m-1", state(f"a-{number}", nodes=60))
    assert [one.area for _, one in newest] == ["a-2"]
    newest.put("m-1", state("giant", nodes=500))
    assert len(newest) == 0
    newest.put("m-1", state("a-4", nodes=60))
    assert len(newest) == 1


def test_what_nobody_asks_for_any_more_is_forgotten():
    newest = Newest()
    for area in ("a", "b"):
        newest.put("m-1", state(area))
    newest.keep_only(lambda sender, one: sender == "m-1" and one.area == "b" and one.level == "lv")
    assert [one.area for _, one in newest] == ["b"]


def test_the_last_word_of_each_switch_is_kept_beside():
    newest = Newest()
    reports = [Result("switch-state/1", name, 0, {"state": "open"}, urgent=True) for name in ("s1", "s2", "s1")]
    for report in reports:
        newest.put("rtu", report)
    newest.put("m-1", state("s1"))
    assert [one for _, one in newest] == [reports[1], reports[2], state("s1")]
    newest.keep_only(lambda _, one: isinstance(one, Result) and one.terminal == "s1")
    assert [one for _, one in newest] == [reports[2]]
    assert is_state(reports[0])
    assert not is_state(Result("energy/1", "t", 0, {}))
