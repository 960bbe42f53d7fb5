"""Orders one after another, where the way to the switches delivers some of them twice."""

from algorithms.api.network_operation import SwitchState
from algorithms.api.records import Command
from algorithms.api.switching import Outcome, SwitchReport
from algorithms.api.wire import NANOSECONDS
from algorithms.builtin.switching.switching_sequence import Lease, Progress, Stage, SwitchingSequence, closing
from tests.support.feeder_pair import feeder_pair_document
from tests.support.switch_world import HEAVY, World, state

NOW = 1_800_000_000 * NANOSECONDS


def test_a_refusal_of_an_order_that_the_switch_already_carries_out_is_that_of_its_double():
    sequence = SwitchingSequence("x", Lease("net", 1, NOW + 60 * NANOSECONDS), [Stage("close", (closing("s1", 5.0),))])
    (command,) = sequence.advance(NOW)

    def hear(outcome, at):
        sequence.hear("s1", SwitchReport("net", at, command=command.id, outcome=outcome), NOW)

    hear(Outcome.UNDER_WAY, None)
    hear(Outcome.REFUSED, None)
    assert not sequence.failed
    hear(Outcome.DONE, SwitchState.CLOSED)
    sequence.advance(NOW)
    assert sequence.progress is Progress.DONE


def test_an_exchange_of_which_every_order_is_delivered_twice_succeeds():
    made = World(feeder_pair_document(), closed_loop=True, hold=0.0, interval=60.0)
    made.wait(1.0)
    once = made.route

    def twice(records, maker):
        for record in records:
            for _ in range(2 if isinstance(record, Command) else 1):
                once([record], maker)

    made.route = twice
    made.give(state(made, **HEAVY))
    made.until(lambda: made.events)
    assert made.outcome["outcome"] == "changed"
    assert made.loops() == ()
