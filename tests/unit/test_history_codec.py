"""Packing loses nothing, whatever the documents hold."""

import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from algorithms.api.wire import Header, encode
from device_catalog.history.arrival import document_of
from device_catalog.history.codec import Kept, pack, unpack
from tests.support.history import SECOND, frames

leaves = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(max_size=5)
trees = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4)
)
kept = st.builds(
    Kept,
    st.integers(-(2**62), 2**62),
    st.integers(0, 2**62),
    st.integers(0, 2**62),
    st.dictionaries(st.text(max_size=3), trees, max_size=4),
)


def same(one, other):
    """Compare with the types: 1, 1.0 and true are equal in Python and not the same in JSON."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and one == other


@settings(max_examples=50)
@given(st.lists(kept, max_size=8).map(lambda rows: rows + rows[:2]))
def test_what_was_packed_comes_back_as_it_was(rows):
    back = unpack(pack(rows))
    assert [row.key for row in back] == [row.key for row in rows]
    # JSON has no infinity; a message that holds one is refused before it gets here
    finite = [row for row in rows if not any(word in repr(row) for word in ("inf", "Infinity"))]
    if len(finite) == len(rows):
        assert all(map(same, (row.document for row in back), (row.document for row in rows)))


def test_a_minute_of_frames_takes_a_fraction_of_its_messages():
    said = frames(1_700_000_000 * SECOND, 60)
    messages = [encode(one, Header("m-1", 1, 1, number, one.time_ns)) for number, one in enumerate(said)]
    rows = [
        Kept(one.time_ns, 1, number, document_of(message))
        for number, (one, message) in enumerate(zip(said, messages, strict=True))
    ]
    assert len(pack(rows)) < 0.1 * sum(map(len, messages))


@pytest.mark.parametrize("data", [b"", b"no block", zlib.compress(b"[2,[],[],[],[]]"), zlib.compress(b"{}")])
def test_what_is_no_block_is_said_to_be_none(data):
    with pytest.raises(ValueError, match="expected a block"):
        unpack(data)
