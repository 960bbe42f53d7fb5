"""States of algorithms on their way to the disk."""

import threading

from agent.checkpoints import Checkpoints
from agent.store import Store


class SlowCard:
    """A store that writes only when it is let, and remembers what it wrote."""

    def __init__(self):
        self.written = []
        self.begun = threading.Semaphore(0)
        self.let = threading.Semaphore(0)
        self.full = False

    def checkpoint(self, algorithm):
        return next((state for name, state in reversed(self.written) if name == algorithm), None)

    def keep_checkpoint(self, algorithm, state):
        self.begun.release()
        assert self.let.acquire(timeout=10)
        if self.full:
            raise OSError(28, "No space left on device")
        self.written.append((algorithm, state))


def test_nobody_waits_for_the_card_and_the_newest_state_counts():
    card = SlowCard()
    checkpoints = Checkpoints(card)
    checkpoints.keep_checkpoint("energy", b"1")
    assert card.begun.acquire(timeout=10)
    checkpoints.keep_checkpoint("energy", b"2")
    checkpoints.keep_checkpoint("energy", b"3")
    assert checkpoints.checkpoint("energy") == b"3"
    card.let.release(2)
    checkpoints.close()
    assert card.written == [("energy", b"1"), ("energy", b"3")]
    assert checkpoints.checkpoint("energy") == b"3"


def test_every_algorithm_has_its_turn():
    card = SlowCard()
    checkpoints = Checkpoints(card)
    for name in ("a", "b", "c"):
        checkpoints.keep_checkpoint(name, name.encode())
    card.let.release(3)
    checkpoints.close()
    assert sorted(card.written) == [("a", b"a"), ("b", b"b"), ("c", b"c")]


def test_a_full_card_is_told_and_the_state_before_stays(caplog):
    card = SlowCard()
    card.written.append(("energy", b"before"))
    card.full = True
    checkpoints = Checkpoints(card)
    checkpoints.keep_checkpoint("energy", b"after")
    card.let.release()
    checkpoints.close()
    assert checkpoints.checkpoint("energy") == b"before"
    assert "the state of energy could not be kept" in caplog.text


def test_what_could_not_be_kept_is_among_the_problems_until_it_can_and_in_the_log_once(caplog):
    card = SlowCard()
    card.full = True
    card.let.release(3)
    checkpoints = Checkpoints(card)
    for state in (b"1", b"2"):
        assert checkpoints.keep_checkpoint("energy", state).exception(timeout=10) is not None
    (problem,) = checkpoints.problems()
    assert problem == "the state of energy could not be kept, the one before stays: No space left on device"
    assert caplog.text.count("could not be kept") == 1
    card.full = False
    checkpoints.keep_checkpoint("energy", b"3")
    checkpoints.close()
    assert checkpoints.problems() == []


def test_what_was_kept_is_there_at_the_next_start(tmp_path):
    checkpoints = Checkpoints(Store(tmp_path))
    checkpoints.keep_checkpoint("energy", b"state")
    checkpoints.close()
    assert Checkpoints(Store(tmp_path)).checkpoint("energy") == b"state"


def test_whoever_keeps_a_state_learns_when_it_or_a_later_one_is_durable():
    card = SlowCard()
    checkpoints = Checkpoints(card)
    first = checkpoints.keep_checkpoint("energy", b"1")
    assert card.begun.acquire(timeout=10)
    same = b"2"
    later = [checkpoints.keep_checkpoint("energy", same) for _ in range(2)]
    card.let.release()
    first.result(timeout=10)
    assert card.begun.acquire(timeout=10)
    assert not any(durable.done() for durable in later)
    later.append(checkpoints.keep_checkpoint("energy", same))  # the one that is being written, once more
    card.full = True
    card.let.release(2)
    for durable in later:
        assert isinstance(durable.exception(timeout=10), OSError)
    checkpoints.close()
