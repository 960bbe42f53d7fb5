"""Laws of the power-quality meter that hold whatever a source delivers: any cut, any gap, any rubbish."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from algorithms.api import wire
from algorithms.api.records import Event, Result
from algorithms.api.samples import SampleBlock, SampleFlag
from algorithms.builtin.quality.power_quality import PowerQuality
from tests.support.three_phase import Board, six_channels

START_NS = 1_700_000_398_000_000_000
"""Two seconds before a full ten minutes."""
TICK_NS = START_NS + 2_000_000_000
HEADER = wire.Header("m-1", 1, 1, 1, 0, 0)

pieces = st.tuples(
    st.integers(1, 4000),  # samples
    st.integers(0, 30).map(lambda n: 0 if n < 24 else (n - 23) ** 4),  # samples lost before them
    st.sampled_from(["wave"] * 6 + ["low", "high", "none", "noise", "constant", "huge", "missing"]),
    st.sampled_from([SampleFlag.NONE] * 6 + [SampleFlag.CLIPPED, SampleFlag.UNSYNCHRONISED]),
)


def samples(kind, times, noise):
    angles = 2 * np.pi * 50.0 * times - 2 * np.pi / 3 * np.arange(6)[:, None]
    wave = np.array([325.0] * 3 + [7.0] * 3)[:, None] * np.cos(angles)
    made = {
        "wave": lambda: wave,
        "low": lambda: 0.5 * wave,
        "high": lambda: 1.3 * wave,
        "none": lambda: 0.0 * wave,
        "noise": lambda: 300.0 * noise.standard_normal(wave.shape),
        "faint": lambda: 0.05 * noise.standard_normal(wave.shape),
        "off": lambda: 325.0 * np.cos(2 * np.pi * 83.0 * times) * np.ones((6, 1)),
        "enormous": lambda: 1e30 * wave,
        "constant": lambda: np.full(wave.shape, 200.0),
        "huge": lambda: 1e9 * wave,
        "missing": lambda: np.where(noise.random(times.size) < 0.01, np.nan, wave),
    }
    return made[kind]()


@example(given_pieces=[(1973, 0, "missing", SampleFlag.NONE), (1017, 0, "noise", SampleFlag.NONE)], rate=500.0)
@example(given_pieces=[(158, 0, "wave", SampleFlag.NONE), (3770, 0, "noise", SampleFlag.NONE)], rate=1600.0)
@given(given_pieces=st.lists(pieces, min_size=1, max_size=25), rate=st.sampled_from([500.0, 1600.0, 3200.0]))
@settings(max_examples=25, deadline=None)
def test_whatever_comes_is_borne_and_every_record_can_be_read(given_pieces, rate):
    channels = six_channels()
    algorithm = PowerQuality({"shortest_interval": "10-cycle"})
    algorithm.start(Board(rate, channels).context(), None)
    noise = np.random.default_rng(1)
    index, records = 0, []
    for count, lost, kind, flags in given_pieces:
        index += lost
        times = (index + np.arange(count)) / rate
        marked = flags | (SampleFlag.LOST if lost else 0) | (SampleFlag.MISSING if kind == "missing" else 0)
        time_ns = START_NS + round(index / rate * 1e9)
        block = SampleBlock(samples(kind, times, noise), channels, rate, index, time_ns, flags=SampleFlag(marked))
        records += algorithm.process(block)
        index += count
    again = PowerQuality({"shortest_interval": "10-cycle"})
    again.start(Board(rate, channels).context(), algorithm.checkpoint() or None)
    records += algorithm.tick(START_NS + round(index / rate * 1e9) + 10_000_000_000)
    records += algorithm.tick(START_NS + round(index / rate * 1e9) + 8_000_000_000_000)
    for record in records:
        wire.decode(wire.encode(record, HEADER), 1_000_000)
    for record in records:
        if isinstance(record, Event) and record.end_ns is not None:
            assert record.end_ns >= record.start_ns
        if isinstance(record, Result):
            assert record.payload["not_counted"] <= record.payload["windows"]
    ends = [one.time_ns for one in records if isinstance(one, Result) and one.payload["interval"] == "10-cycle"]
    assert ends == sorted(ends)


@example(kind="faint", before=9.8, detail="150-cycle", rate=3200.0, length=320)
@example(kind="none", before=9.8, detail="150-cycle", rate=3200.0, length=64)
@example(kind="noise", before=9.7, detail="10-cycle", rate=3200.0, length=3200)
@given(
    kind=st.sampled_from(["faint", "none", "noise", "constant", "low", "off", "enormous", "wave"]),
    before=st.floats(0.05, 9.9),
    detail=st.sampled_from(["10-min", "150-cycle", "10-cycle"]),
    rate=st.sampled_from([500.0, 1600.0, 3200.0]),
    length=st.sampled_from([16, 64, 320, 3200]),
)
@settings(max_examples=40, deadline=None)
def test_no_signal_and_no_place_of_the_tick_stops_it(kind, before, detail, rate, length):
    """A full ten minutes passes while cycles are found, lost or never there, and what it leaves can be taken up."""
    channels = six_channels()
    algorithm = PowerQuality({"shortest_interval": detail})
    algorithm.start(Board(rate, channels).context(), None)
    times = np.arange(round((before + 4.0) * rate)) / rate
    values = samples(kind, times, np.random.default_rng(3))
    records = []
    for first in range(0, times.size, length):
        part = values[:, first : first + length]
        block = SampleBlock(part, channels, rate, first, TICK_NS + round((first / rate - before) * 1e9))
        records += algorithm.process(block)
    again = PowerQuality({"shortest_interval": detail})
    again.start(Board(rate, channels).context(), algorithm.checkpoint())
    records += algorithm.tick(TICK_NS + 20_000_000_000)
    for record in records:
        wire.decode(wire.encode(record, HEADER), 1_000_000)
    ended = [one for one in records if isinstance(one, Result) and one.payload["interval"] == "10-min"]
    assert [one.time_ns for one in ended] == [TICK_NS]


@given(cuts=st.lists(st.integers(1, 3000), min_size=1, max_size=40))
@settings(max_examples=20, deadline=None)
def test_results_do_not_depend_on_how_samples_are_cut_into_blocks(cuts):
    rate, channels, noise = 1600.0, six_channels(), np.random.default_rng(2)
    times = np.arange(sum(cuts)) / rate
    values = samples("wave", times, noise) * np.where((times > 1.0) & (times < 1.4), 0.6, 1.0)

    def outcome(lengths):
        algorithm = PowerQuality({"shortest_interval": "10-cycle"})
        algorithm.start(Board(rate, channels).context(), None)
        records, first = [], 0
        for length in lengths:
            part = values[:, first : first + length]
            block = SampleBlock(part, channels, rate, first, START_NS + round(first / rate * 1e9))
            records += algorithm.process(block)
            first += length
        events = [record for record in records if isinstance(record, Event) and record.end_ns is not None]
        results = [record for record in records if isinstance(record, Result)]
        return events + [record for record in results if record.payload["interval"] == "10-cycle"]

    found, wanted = outcome(cuts), outcome([sum(cuts)])
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        assert type(one) is type(other)
        if isinstance(one, Result):
            # Stamps of blocks are whole nanoseconds, so what begins at a full ten minutes may move by as much.
            assert one.payload["voltage"]["A"]["rms"] == pytest.approx(other.payload["voltage"]["A"]["rms"], abs=2e-3)
            assert one.payload["flagged"] == other.payload["flagged"]
            assert abs(one.time_ns - other.time_ns) <= 5
        else:
            assert one.evidence["residual_voltage"] == pytest.approx(other.evidence["residual_voltage"], abs=0.002)
