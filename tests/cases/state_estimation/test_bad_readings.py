"""A bad reading is the first that is named about as often as exact least squares name it, and rarely goes unnamed."""

import pytest

from tests.support.estimation_trials import BAD, bad_reading_trials

KINDS = BAD[:4]


@pytest.fixture(scope="module")
def found():
    return bad_reading_trials(10, kinds=KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_found_as_often_as_by_exact_least_squares(found, kind):
    one = found[kind]
    assert one.draws == 10
    assert one.ours >= one.exact - 1


def test_ten_sigma_of_a_voltage_are_always_found(found):
    assert found["10 sigma of a voltage"].ours == 10


def test_a_power_turned_round_is_among_those_named_where_a_meter_above_tells_the_sum(found):
    """Customers of one phase cannot be told apart by their sum; none of them is blamed without the others."""
    assert found["P of a customer turned round"].alternative == 10
    assert found["kW for W"].alternative >= 9
