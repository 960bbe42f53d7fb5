"""What a receiver knows from message numbers alone."""

from hypothesis import given
from hypothesis import strategies as st

from device_catalog.operator.numbers import MAXIMUM_GAPS, Numbers


@given(st.lists(st.integers(1, 60), max_size=120))
def test_any_order_gives_the_same_accounts_as_a_set(arrived):
    """Whatever the order, received, missing and duplicates are those of the set of numbers."""
    numbers = Numbers(first=1)
    new = [numbers.add(number) for number in arrived]
    distinct = set(arrived)
    assert sum(new) == numbers.received == len(distinct)
    assert numbers.duplicates == len(arrived) - len(distinct)
    assert numbers.missing == (max(distinct) - len(distinct) if distinct else 0)
    assert numbers.highest == max(distinct, default=0)


def test_a_watcher_that_came_later_does_not_miss_what_was_before():
    numbers = Numbers()
    assert [numbers.add(number) for number in (100, 101, 104)] == [True, True, True]
    assert numbers.missing == 2


def test_a_late_message_closes_its_gap():
    numbers = Numbers(first=1)
    for number in (1, 3, 2):
        numbers.add(number)
    assert (numbers.missing, numbers.duplicates) == (0, 0)


def test_a_repeated_retained_message_is_no_duplicate():
    numbers = Numbers(first=1)
    assert numbers.add(1)
    assert not numbers.add(1, repeated=True)
    assert numbers.duplicates == 0


def test_numbers_that_a_device_promised_are_missing_until_they_come():
    numbers = Numbers(first=1)
    numbers.add(1)
    numbers.promise(3)
    assert numbers.missing == 2
    numbers.add(2)
    numbers.add(3)
    assert numbers.missing == 0


def test_more_gaps_than_are_kept_are_still_counted():
    numbers = Numbers(first=1)
    count = 2 * MAXIMUM_GAPS
    for number in range(1, 2 * count, 2):
        numbers.add(number)
    assert numbers.missing == count - 1
    assert len(numbers._runs) <= MAXIMUM_GAPS


@given(
    st.lists(st.tuples(st.integers(1, 60), st.integers(0, 8)), max_size=30), st.lists(st.integers(1, 60), max_size=30)
)
def test_what_is_skipped_is_neither_missing_nor_received(skipped, arrived):
    numbers = Numbers(first=1)
    for low, length in skipped:
        numbers.skip(low, low + length - 1)
    for number in arrived:
        numbers.add(number)
    elsewhere = {number for low, length in skipped for number in range(low, low + length)}
    known = elsewhere | set(arrived)
    assert numbers.missing == (max(known) - len(known) if known else 0)
    assert numbers.received == len(set(arrived) - elsewhere)
