"""Words for a broker: the newest of a topic alone, urgent ones first, none forgotten before it is acknowledged."""

import threading

from device_catalog.brokers.words import Word, Words


def no():
    return False


def yes():
    return True


def told(words):
    """Take all that waits, acknowledging each."""
    found = []
    while (word := words.take(no, yes)) is not None:
        words.sent(len(found) + 1, word)
        words.acknowledge(len(found) + 1)
        found.append((word.topic, word.payload))
    return found


def words_of(*said, limit=10, patience=0.01):
    words = Words(limit, patience)
    for topic, payload, urgent in said:
        words.say(Word(topic, payload, retain=True), urgent=urgent)
    return words


def test_the_newest_word_of_a_topic_is_told_once_at_its_place():
    words = words_of(("a", b"1", False), ("b", b"1", False), ("a", b"2", False))
    assert told(words) == [("b", b"1"), ("a", b"2")]
    assert len(words) == 0


def test_urgent_words_go_first_also_where_the_topic_waited_already():
    words = words_of(("a", b"1", False), ("b", b"1", False), ("b", b"2", True))
    assert told(words) == [("b", b"2"), ("a", b"1")]


def test_what_was_not_acknowledged_is_told_again_unless_there_is_a_newer_word():
    words = words_of(("a", b"1", False), ("b", b"1", False))
    for number in (1, 2):
        words.sent(number, words.take(no, no))
    assert len(words) == 2
    words.say(Word("a", b"2", retain=True), urgent=True)
    words.give_back()
    assert told(words) == [("a", b"2"), ("b", b"1")]


def test_an_acknowledgement_may_come_before_the_word_is_noted_as_sent():
    words = words_of(("a", b"1", False))
    word = words.take(no, no)
    assert words.acknowledge(7) is None
    words.sent(7, word)
    assert len(words) == 0


def test_a_broker_that_acknowledges_nothing_is_not_waited_for_for_ever():
    words = words_of(("a", b"1", False), ("b", b"1", False), limit=1)
    words.sent(1, words.take(no, no))
    assert words.take(no, no) is None
    words.acknowledge(1)
    assert words.take(no, no).topic == "b"


def test_a_lost_connection_takes_no_word_and_one_that_is_said_wakes_the_taker():
    words = words_of(("a", b"1", False))
    assert words.take(yes, no) is None
    assert told(words) == [("a", b"1")]
    taken = []
    taker = threading.Thread(target=lambda: taken.append(words.take(no, no)))
    taker.start()
    words.say(Word("b", b"1", retain=False), urgent=False)
    taker.join(10)
    assert taken == [Word("b", b"1", False)]


def test_what_is_forgotten_while_under_way_is_not_told_again_by_the_next_connection():
    words = words_of(("a", b"1", False), ("b", b"1", False))
    for number in (1, 2):
        words.sent(number, words.take(no, no))
    assert [word.topic for word in words.forget(lambda word: word.topic == "a")] == ["a"]
    words.give_back()
    assert told(words) == [("b", b"1")]
