"""So much a minute and no more."""

from agent.allowance import PERIOD, Allowance


def test_what_is_beyond_the_allowance_is_withheld_and_told_once():
    """Also when the next minute has begun before anybody asks."""
    now = [0.0]
    allowance = Allowance(2, lambda: now[0])
    assert [allowance.take() for _ in range(5)] == [True, True, False, False, False]
    assert allowance.withheld() == 0
    now[0] = PERIOD
    assert [allowance.take() for _ in range(3)] == [True, True, False]
    assert [allowance.withheld(), allowance.withheld()] == [3, 0]
    now[0] = 2 * PERIOD
    assert allowance.withheld() == 1
