"""A message on which a broker hangs up is found, and no other is set aside."""

from agent.delivery.suspicion import STRIKE_WITHIN, STRIKES, Suspicion

GUILTY, OTHER = (1, 7), (1, 8)


def hang_up(suspicion, oldest, *, sent=0.0, now=0.1):
    suspicion.connected()
    suspicion.sent(sent)
    return suspicion.hung_up(oldest, now)


def test_the_message_alone_in_flight_at_every_end_is_set_aside():
    suspicion = Suspicion()
    verdicts = [hang_up(suspicion, GUILTY) for _ in range(STRIKES + 1)]
    assert verdicts == [None] * STRIKES + [GUILTY]
    assert not suspicion.careful


def test_an_end_without_anything_in_flight_is_nobodys_fault():
    suspicion = Suspicion()
    assert [hang_up(suspicion, None) for _ in range(3 * STRIKES)] == [None] * (3 * STRIKES)
    assert not suspicion.careful


def test_an_answer_clears_the_message_before_it():
    suspicion = Suspicion()
    for _ in range(STRIKES):
        hang_up(suspicion, GUILTY)
    suspicion.connected()
    suspicion.answered()
    assert suspicion.hung_up(GUILTY, 0.1) is None
    assert [hang_up(suspicion, OTHER) for _ in range(STRIKES)] == [None] * STRIKES


def test_an_end_long_after_sending_counts_against_nobody():
    suspicion = Suspicion()
    verdicts = [hang_up(suspicion, GUILTY, now=STRIKE_WITHIN + 1) for _ in range(3 * STRIKES)]
    assert verdicts == [None] * (3 * STRIKES)
