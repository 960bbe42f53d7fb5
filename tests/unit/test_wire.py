"""Records keep what they say on the wire, and bytes from elsewhere are a record or a WireError, never anything else."""

import contextlib
import json
import math
import types
import typing
from datetime import UTC, datetime
from enum import StrEnum

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from algorithms.api import wire
from algorithms.api.errors import WireError
from algorithms.api.grid_records import GridState
from algorithms.api.readings import Phasor, SequenceReading
from algorithms.api.records import Event, Result, Severity, type_of_kind
from tests.support.records_for_tests import frame

HEADER = wire.Header(device="m-1", boot=2, session=3, number=4, time_ns=1_700_000_000_000_000_000)
finite = st.floats(-1e300, 1e300)  # rounding up must not leave what a double can hold
times = st.integers(wire.FIRST_NS, wire.LAST_NS)
short = st.text(max_size=8)
anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | finite | short,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(short, inner, max_size=3),
    max_leaves=6,
)


def values(wanted, name=""):  # noqa: PLR0911 - one line for each kind of type
    """Give a strategy for any value a field of this type may have."""
    origin, arguments = typing.get_origin(wanted), typing.get_args(wanted)
    simple = {float: finite, int: st.integers(0, 2**53), str: short, bool: st.booleans(), typing.Any: anything}
    if wanted is int and name.endswith("_ns"):
        return times
    if wanted in simple:
        return simple[wanted]
    if wanted in (None, type(None)):
        return st.none()
    if origin in (typing.Union, types.UnionType):
        return st.one_of([values(argument, name) for argument in arguments])
    if origin is tuple:
        return st.lists(values(arguments[0]), max_size=2).map(tuple)
    if origin is dict:
        return st.dictionaries(short, values(arguments[1]), max_size=2)
    if issubclass(wanted, StrEnum):
        return st.sampled_from(wanted)
    fields = {field.name: values(field.type, field.name) for field in msgspec.structs.fields(wanted)}
    return st.builds(wanted, **fields)


records = st.one_of([values(record_type) for record_type in type_of_kind.values()])


def pairs(one, other, name=""):
    """Give the numbers of two documents that should be the same, with the name of the field they stand in."""
    if isinstance(one, msgspec.Struct):
        assert type(one) is type(other)
        for field in one.__struct_fields__:
            yield from pairs(getattr(one, field), getattr(other, field), field)
    elif isinstance(one, dict):
        assert list(one) == list(other)
        for key in one:
            yield from pairs(one[key], other[key])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for left, right in zip(one, other, strict=True):
            yield from pairs(left, right)
    elif isinstance(one, float):
        yield name, one, other
    else:
        assert one == other


@given(records)
@settings(max_examples=100)
def test_every_record_comes_back_with_the_digits_that_are_promised(record):
    header, back = wire.decode(wire.encode(record, HEADER))
    for name, sent, received in pairs(record, back):
        digits = wire.UNCERTAINTY_DIGITS if name.startswith("u_") or name.endswith("uncertainty") else 8
        assert received == pytest.approx(sent, rel=0.5001 * 10 ** (1 - digits), abs=5e-324)
    assert header.boot == HEADER.boot
    assert header.number == HEADER.number


@given(records)
@settings(max_examples=50)
def test_a_record_that_was_written_once_is_written_the_same_again(record):
    first = wire.encode(record, HEADER)
    assert wire.encode(wire.decode(first)[1], HEADER) == first


@given(st.binary(max_size=300))
def test_random_bytes_are_no_record(data):
    with pytest.raises(WireError):
        wire.decode(data)


@given(records, st.data())
def test_a_record_that_was_damaged_is_another_record_or_refused(record, data):
    text = bytearray(wire.encode(record, HEADER))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(text) - 1))
        text[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
        if not text:
            break
    with contextlib.suppress(WireError):
        wire.decode(bytes(text))


@given(records, st.dictionaries(st.sampled_from(["time", "boot", "number", "schema", "device"]), anything, min_size=1))
def test_a_header_with_anything_in_it_is_a_header_or_refused(record, strange):
    fields = {**json.loads(wire.encode(record, HEADER)), **strange}
    with contextlib.suppress(WireError):
        wire.decode(json.dumps(fields).encode())


def test_ten_megabytes_and_deep_nesting_are_refused_at_once():
    with pytest.raises(WireError, match="at most 1048576 bytes"):
        wire.decode(b'{"schema": "event/1"' + b" " * 10_000_000)
    for deep in (b"[" * 500_000, b'{"a":' * 150_000):
        with pytest.raises(WireError):
            wire.decode(deep)


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_refused_wherever_it_stands(wrong):
    phasor = Phasor(wrong, 0.0, 0.1, 0.1)
    whole = Phasor(1.0, None, 0.1, None)
    for record in (
        Event("dip", "t", 1, None, Severity.NOTICE, (), {"depth": wrong}),
        Result("x/1", "t", 1, {"a": [{"b": wrong}]}),
        frame(1, wrong),
        msgspec.structs.replace(frame(1), time_uncertainty=wrong),
        msgspec.structs.replace(frame(1), voltage_sequence=SequenceReading(whole, phasor, whole)),
    ):
        with pytest.raises(ValueError, match="finite"):
            wire.encode(record, HEADER)


@pytest.mark.parametrize("wrong", [1j, {1.0, 2.0}, object(), b"x"])
def test_what_json_does_not_know_is_wrong_use(wrong):
    with pytest.raises(TypeError, match="what JSON knows"):
        wire.encode(Result("x/1", "t", 1, {"a": wrong}), HEADER)


def test_times_are_text_under_a_name_without_suffix():
    fields = json.loads(wire.encode(Event("dip", "t", 1_000_000_001, None, Severity.NOTICE), HEADER))
    assert fields["start"] == "1970-01-01T00:00:01.000000001Z"
    assert fields["end"] is None
    assert fields["time"] == "2023-11-14T22:13:20.000000000Z"


def test_numbers_are_written_with_eight_digits_and_uncertainties_with_three():
    fields = json.loads(wire.encode(frame(0, 230.123456789, "A"), HEADER))
    assert fields["voltage"]["A"] == [230.12346, 0.0, 0.1, 0.001, 230.12346, 0.1]


def test_fields_nobody_knows_are_passed_over():
    fields = {**json.loads(wire.encode(frame(0), HEADER)), "colour": "red"}
    assert wire.decode(json.dumps(fields).encode())[1] == frame(0)


@pytest.mark.parametrize(
    "change",
    [
        {"schema": "frame/9"},
        {"schema": None},
        {"time": 17},
        {"time": None},
        {"time": "yesterday"},
        {"time": "2023-11-14T22:13:20"},
        {"boot": "2"},
        {"voltage": {"A": [1.0]}},
        {"quality": ["splendid"]},
    ],
)
def test_a_wrong_field_is_told(change):
    fields = {**json.loads(wire.encode(frame(0), HEADER)), **change}
    with pytest.raises(WireError, match="expected"):
        wire.decode(json.dumps(fields).encode())


@pytest.mark.parametrize("number", [2**63, 10**30, -(2**63) - 1])
@pytest.mark.parametrize("place", ["boot", "model_revision", "iterations", "counts"])
def test_a_whole_number_beyond_64_bits_is_refused_wherever_it_stands(number, place):
    fields = json.loads(wire.encode(GridState("lv-1", "lv", 1, 1, 0, ()), HEADER))
    fields[place] = {"late": number} if place == "counts" else number
    with pytest.raises(WireError, match="at most 64 bits"):
        wire.decode(json.dumps(fields).encode())


def test_the_largest_whole_numbers_are_taken_and_can_be_handed_on():
    state = GridState("lv-1", "lv", 1, 2**63 - 1, -(2**63), (), counts={"late": 2**63 - 1})
    taken = wire.decode(wire.encode(state, HEADER))[1]
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(taken), type=GridState) == state


def test_a_time_given_as_a_number_under_its_inner_name_is_not_taken():
    fields = json.loads(wire.encode(frame(0), HEADER))
    del fields["time"]
    with pytest.raises(WireError):
        wire.decode(json.dumps({**fields, "time_ns": 5}).encode())


@given(times)
def test_a_time_comes_back_to_the_nanosecond(time_ns):
    assert wire.time_from_text(wire.time_text(time_ns)) == time_ns


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_time_is_written_as_the_standard_library_writes_it(moment):
    time_ns = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // (datetime.resolution) * 1000
    assert wire.time_text(time_ns)[:26] == f"{moment:%Y}".rjust(4, "0") + f"{moment:-%m-%dT%H:%M:%S.%f}"


@given(st.integers())
def test_a_time_outside_the_calendar_is_a_value_error(beyond):
    time_ns = wire.LAST_NS + 1 + beyond if beyond >= 0 else wire.FIRST_NS + beyond
    with pytest.raises(ValueError, match="years 1 to 9999"):
        wire.time_text(time_ns)


def test_offsets_and_fractions_are_read():
    assert wire.time_from_text("1970-01-01T01:00:00.5+01:00") == 500_000_000
    assert wire.time_from_text("1969-12-31T23:59:59.999999999Z") == -1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2023-11-14",
        "2023-11-14T22:13:20",
        "2023-13-14T22:13:20Z",
        "2023-11-14T22:13:60Z",
        "2023-11-14T22:13:20.0000000001Z",
        "٢023-11-14T22:13:20Z",
        "9999-12-31T23:59:59-23:59",
        "0001-01-01T00:00:00+23:59",
        "2023-11-14T22:13:20+99:99",
        "2" * 1_000_000,
    ],
)
def test_what_is_no_time_is_a_value_error(text):
    with pytest.raises(ValueError, match=r"expected|must be|month|second|hour|offset"):
        wire.time_from_text(text)


@given(st.text(max_size=45))
def test_any_text_is_a_time_or_a_value_error(text):
    with contextlib.suppress(ValueError):
        wire.time_from_text(text)


def test_a_zero_has_no_sign():
    assert wire.text(Phasor(-0.0, -0.0, 0.5, -0.0)) == wire.text(Phasor(0.0, 0.0, 0.5, 0.0))
