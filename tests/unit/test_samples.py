"""A block of samples is a value: read-only, sure of its shape, exact about index and time."""

import pickle

import numpy as np
import pytest

from algorithms.api.samples import Channel, Phase, Quantity, SampleBlock, SampleFlag

CHANNELS = (Channel("ua", Quantity.VOLTAGE, Phase.A), Channel("ia", Quantity.CURRENT, Phase.A))


def block(values=None, sample_rate=6400.0, first_index=640, time_ns=1_000):
    return SampleBlock(np.zeros((2, 128)) if values is None else values, CHANNELS, sample_rate, first_index, time_ns)


def test_values_cannot_be_written_to_through_the_block():
    values = np.zeros((2, 128))
    one = block(values)
    with pytest.raises(ValueError, match="read-only"):
        one.values[0, 0] = 1.0
    values[0, 0] = 5.0  # the owner of the memory still can; no copy was made
    assert one.values[0, 0] == 5.0


def test_a_block_stays_read_only_in_another_process():
    one = block(np.arange(256.0).reshape(2, 128))
    again = pickle.loads(pickle.dumps(one))
    assert not again.values.flags.writeable
    np.testing.assert_array_equal(again.values, one.values)
    assert (again.channels, again.first_index, again.flags) == (one.channels, one.first_index, one.flags)


def test_end_follows_from_index_time_and_rate():
    one = block()
    assert one.n_samples == 128
    assert one.duration == 0.02
    assert one.end_index == 768
    assert one.end_ns == 20_001_000


@pytest.mark.parametrize("values", [np.zeros(2), np.zeros((3, 4)), np.zeros((1, 2, 3))])
def test_a_shape_that_does_not_fit_the_channels_is_wrong_use(values):
    with pytest.raises(ValueError, match=r"shape \(n_channels, n_samples\) = \(2, n\) expected"):
        block(values)


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan")])
def test_a_rate_that_is_none_is_wrong_use(rate):
    with pytest.raises(ValueError, match="above 0 Hz"):
        block(sample_rate=rate)


def test_flags_combine_and_nothing_is_wrong_by_default():
    assert block().flags == SampleFlag.NONE
    assert SampleFlag.LOST in (SampleFlag.LOST | SampleFlag.CLIPPED)
