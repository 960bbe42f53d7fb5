"""Repeated messages are told from new ones, and missing ones are noticed."""

from hypothesis import given
from hypothesis import strategies as st

from agent.delivery.senders import TOPICS, WINDOW, Gap, Senders
from algorithms.api.wire import Header


def _header(number, previous=0, boot=1, device="m-1"):
    return Header(device, boot, 1, number, 0, previous)


def test_same_message_is_new_once():
    senders = Senders()
    assert senders.is_new(_header(1), "a")[0]
    assert not senders.is_new(_header(1), "a")[0]
    assert senders.duplicates == 1


def test_same_number_of_another_boot_or_device_is_another_message():
    senders = Senders()
    senders.is_new(_header(1), "a")
    assert senders.is_new(_header(1, boot=2), "a")[0]
    assert senders.is_new(_header(1, device="m-2"), "a")[0]


def test_who_has_just_come_has_missed_nothing():
    assert Senders().is_new(_header(500, previous=499), "a") == (True, None)


def test_number_used_on_another_topic_is_no_gap():
    senders = Senders()
    senders.is_new(_header(1), "a")
    assert senders.is_new(_header(3, previous=1), "a") == (True, None)


def test_missed_message_is_a_gap_until_it_comes():
    senders = Senders()
    senders.is_new(_header(1), "a")
    _, gap = senders.is_new(_header(9, previous=7), "a")
    assert gap == Gap("m-1", 1, "a", 2, 7)
    assert senders.is_new(_header(7, previous=4), "a") == (True, None)
    assert senders.missing() == [Gap("m-1", 1, "a", 2, 4)]
    assert senders.is_new(_header(4, previous=1), "a") == (True, None)
    assert senders.missing() == []


def test_beginning_of_a_new_boot_that_was_missed_is_a_gap():
    senders = Senders()
    senders.is_new(_header(5, previous=4, boot=1), "a")
    _, gap = senders.is_new(_header(3, previous=2, boot=2), "a")
    assert gap == Gap("m-1", 2, "a", 1, 2)


def test_very_old_message_counts_as_repeated_unless_it_was_missed():
    senders = Senders()
    senders.is_new(_header(1), "a")
    senders.is_new(_header(WINDOW + 10, previous=5), "a")
    assert not senders.is_new(_header(1), "a")[0]
    assert senders.is_new(_header(5, previous=1), "a")[0]


def test_silent_senders_are_forgotten_first():
    senders = Senders(limit=2)
    for device in ("m-1", "m-2", "m-1", "m-3"):
        senders.is_new(_header(1, device=device), "a")
    assert not senders.is_new(_header(1, device="m-1"), "a")[0]
    assert senders.is_new(_header(1, device="m-2"), "a")[0]


def test_what_is_retained_is_new_however_much_its_device_said_since_and_once_only():
    senders = Senders()
    senders.is_new(_header(WINDOW * 3), "frames")
    assert senders.is_new(_header(5), "state", retained=True) == (True, None)
    assert not senders.is_new(_header(5), "state", retained=True)[0]
    assert not senders.is_new(_header(5), "state")[0]
    assert senders.is_new(_header(WINDOW * 3 + 1, previous=5), "state") == (True, None)
    assert not senders.is_new(_header(5), "state", retained=True)[0], "another broker may still have the one before"


def test_what_a_device_retained_before_it_started_again_is_old_once_it_said_more():
    senders = Senders()
    assert senders.is_new(_header(900, boot=1), "state", retained=True)[0]
    assert senders.is_new(_header(3, boot=2), "state", retained=True)[0]
    assert not senders.is_new(_header(901, boot=1), "state", retained=True)[0]
    assert senders.duplicates == 1


def test_a_message_that_comes_said_and_retained_at_once_is_new_once():
    for order in ((True, False), (False, True)):
        senders = Senders()
        assert [senders.is_new(_header(7), "state", retained=how)[0] for how in order] == [True, False]


def test_what_is_retained_on_a_topic_that_was_given_up_is_new_when_it_is_asked_for_again():
    senders = Senders()
    senders.is_new(_header(7), "state", retained=True)
    senders.is_new(_header(8), "other")
    senders.forget({"state"})
    assert senders.is_new(_header(7), "state", retained=True)[0]
    assert not senders.is_new(_header(8), "other")[0]


def test_a_device_that_invents_topics_is_remembered_by_a_few_of_them():
    senders = Senders()
    for number in range(1, 5000):
        senders.is_new(_header(number, previous=number - 1), f"topic-{number}")
    (sender,) = senders._senders.values()
    assert len(sender.on_topic) == TOPICS
    assert len(sender.gaps) <= TOPICS


@given(st.lists(st.integers(1, 60), max_size=80), st.randoms())
def test_each_message_is_new_exactly_once_in_any_order(numbers, chance):
    senders = Senders()
    order = numbers * 2
    chance.shuffle(order)
    new = [number for number in order if senders.is_new(_header(number, previous=number - 1), "a")[0]]
    assert sorted(new) == sorted(set(numbers))


@given(st.sets(st.integers(1, 40), min_size=1))
def test_what_is_missing_is_exactly_what_did_not_come(lost):
    senders = Senders()
    senders.is_new(_header(0 + 1, boot=1), "a")
    for number in range(2, 42):
        if number not in lost:
            senders.is_new(_header(number, previous=number - 1), "a")
    missing = {number for gap in senders.missing() for number in range(gap.first, gap.last + 1)}
    last = max(number for number in range(1, 42) if number not in lost or number == 1)
    assert missing == {number for number in lost if 1 < number < last}
