"""What is recorded, and from when to when: laws of the plan, with times in seconds."""

import msgspec
import pytest

from agent.recording.recorder_plan import REQUEST, Plan
from algorithms.api.records import Event, Severity
from device_catalog.contract.documents import Recorder
from device_catalog.contract.topics import is_identifier

SECOND = 1_000_000_000
LONG_AGO = 0


def event(start, end=None, kind="voltage-dip", severity=Severity.NOTICE, phases=("A",)):
    end_ns = None if end is None else round(end * SECOND)
    return Event(kind, "T1", round(start * SECOND), end_ns, severity, phases)


def seconds(span):
    return span.start_ns / SECOND, span.end_ns / SECOND


def plan(**fields):
    return Plan(Recorder(**{"before": 0.5, "after": 1.0, "longest": 10.0, **fields}))


def take(one, *events, now=None):
    span = None
    for item in events:
        newest = now if now is not None else (item.end_ns or item.start_ns) / SECOND
        span = one.take(item, LONG_AGO, round(newest * SECOND))
    return span


def test_a_span_goes_from_before_an_events_start_to_after_its_end():
    assert seconds(take(plan(), event(100, 100.2))) == (99.5, 101.2)


def test_while_an_event_lasts_its_span_goes_on_and_its_end_sets_the_end():
    one = plan()
    assert seconds(take(one, event(100))) == (99.5, 109.5)
    span = take(one, event(100, 103))
    assert seconds(span) == (99.5, 104)
    assert span.events == (event(100, 103),)
    assert len(one.open) == 1


def test_the_rest_of_an_event_that_was_cut_follows_on_without_a_hole():
    one = plan()
    begin = take(one, event(100))
    one.close(begin.id, begin.end_ns)
    assert seconds(take(one, event(100, 115))) == (109.5, 116)


def test_events_that_overlap_are_one_recording_of_the_highest_severity():
    one = plan()
    take(one, event(100, 100.2))
    span = take(one, event(100.9, 101, kind="fault", severity=Severity.CRITICAL))
    assert seconds(span) == (99.5, 102)
    assert span.severity is Severity.CRITICAL
    assert span.trigger_ns == 100 * SECOND
    assert [item.kind for item in span.events] == ["voltage-dip", "fault"]


def test_an_event_after_the_span_gets_its_own():
    one = plan()
    first = take(one, event(100, 100.2))
    second = take(one, event(101.3, 101.4))
    assert first.id != second.id
    assert len(one.open) == 2


def test_a_long_event_is_cut_and_its_end_gets_a_span_of_its_own():
    one = plan()
    begin = take(one, event(100))
    one.close(begin.id, begin.end_ns)
    end = take(one, event(100, 400))
    assert seconds(begin) == (99.5, 109.5)
    assert seconds(end) == (399.5, 401)
    one.close(end.id, end.end_ns)
    assert take(one, event(100, 400)) is None, "told twice"


def test_an_event_that_more_phases_join_stays_one():
    one = plan()
    begin = take(one, event(100, phases=("A",)), event(100, phases=("A", "B")))
    assert [item.phases for item in begin.events] == [("A", "B")]
    one.close(begin.id, begin.end_ns)
    assert seconds(take(one, event(100, 400, phases=("A", "B", "C")))) == (399.5, 401)
    assert take(one, event(100, phases=("A",))) is None, "it is on record"


def test_events_of_other_phases_are_others():
    one = plan()
    span = take(one, event(100, phases=("A",)), event(100, 101, phases=("B",)))
    assert len(span.events) == 2
    assert seconds(span) == (99.5, 109.5), "as long as A lasts"


def test_an_event_too_near_to_the_cut_gets_a_span_of_its_own():
    one = plan()
    first = take(one, event(100))
    second = take(one, event(109, 109.1, kind="fault"))
    assert second.id != first.id
    assert seconds(second) == (108.5, 110.1)


def test_an_event_told_at_its_end_is_recorded_as_far_back_as_there_are_samples():
    one = plan()
    span = one.take(event(100, 107), 103 * SECOND, 107 * SECOND)
    assert seconds(span) == (103, 108)


@pytest.mark.parametrize(
    ("fields", "item", "recorded"),
    [
        ({}, event(1, 2), True),
        ({"kinds": ("fault",)}, event(1, 2), False),
        ({"kinds": ("fault",)}, event(1, 2, kind="fault"), True),
        ({"kinds": ("fault",)}, event(1, 2, kind=REQUEST), True),
        ({"severity": Severity.WARNING}, event(1, 2), False),
        ({"severity": Severity.WARNING}, event(1, 2, severity=Severity.CRITICAL), True),
    ],
)
def test_kinds_and_severity_choose(fields, item, recorded):
    assert (take(plan(**fields), item) is not None) is recorded


def test_too_many_events_are_counted_and_room_is_kept_for_critical_ones():
    one = plan(per_hour=8)
    starts = [100 + 20 * k for k in range(12)]
    spans = [take(one, event(start, start + 0.1), now=400) for start in starts]
    assert sum(span is not None for span in spans) == 6
    assert one.skipped == 6
    assert take(one, event(400, 400.1, kind="fault", severity=Severity.CRITICAL), now=400) is not None
    assert take(one, event(4000, 4000.1), now=4000) is not None, "an hour later"


def test_ids_are_unique_in_the_order_of_time_and_fit_a_topic():
    one = Plan(Recorder(), {"20231114T221320000Z"})
    start = 1_700_000_000
    first = take(one, event(start, start))
    second = take(one, event(start + 100, start + 100))
    assert first.id == "20231114T221320000Z-2"
    assert second.id == "20231114T221500000Z"
    assert first.id < second.id


def test_what_an_algorithm_writes_is_bounded_and_names_things():
    wild = Event("voltage dip/A" * 50, "T" * 500, 100 * SECOND, 101 * SECOND, Severity.NOTICE, ("A B",) * 50, {"x": 1})
    (said,) = take(plan(), wild).events
    assert is_identifier(said.kind)
    assert (len(said.terminal), said.phases, said.evidence) == (128, ("A-B",) * 8, {})


@pytest.mark.parametrize("item", [event(1, 2), event(10_000), event(10_000, 10_001)])
def test_an_event_of_another_time_than_the_samples_is_counted_and_left_out(item):
    one = plan()
    assert one.take(item, 100 * SECOND, 105 * SECOND) is None
    assert one.skipped == 1


def test_what_could_not_be_recorded_may_be_told_again():
    one = plan()
    span = take(one, event(100, 101))
    one.close(span.id, None)
    assert take(one, event(100, 101)) is not None


def test_a_span_survives_the_way_to_another_process():
    span = take(plan(), event(100, 101))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(span), type=type(span)) == span
