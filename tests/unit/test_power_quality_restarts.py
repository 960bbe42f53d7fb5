"""The power-quality meter over restarts: what goes on, what is told apart, and which states are refused."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from algorithms.api.errors import CheckpointError
from tests.support.quality_meter import RATE, TICK_NS, blocks, events, run, started, told
from tests.support.three_phase import Board, six_channels, steady


def test_ten_minutes_go_on_after_a_restart_and_name_what_is_missing():
    signal = steady(50.0)
    before = started()
    run(before, blocks(signal, 10.0))
    after = started(before.checkpoint())
    run(after, blocks(signal, 5.0, 12.0))
    (ten,) = told(after._meter.finish(), "10-min")
    assert 72 <= ten.payload["windows"] <= 75
    assert ten.payload["missing"] == pytest.approx(585.4, abs=0.5)
    assert ten.payload["flagged"]["gap"] >= 1
    assert ten.payload["frequency_10s"][0] == pytest.approx(50.0, abs=1e-4)


def test_an_interval_of_before_the_restart_is_told_as_it_is():
    signal = steady(50.0)
    before = started()
    run(before, blocks(signal, 10.0))
    records = run(started(before.checkpoint()), blocks(signal, 3.0, 900.0))
    (ten,) = told(records, "10-min")
    assert ten.time_ns == TICK_NS + 600 * 10**9
    assert ten.payload["missing"] == pytest.approx(590.1, abs=0.4)


def test_an_event_under_way_at_a_restart_is_told_as_cut():
    def signal(times, k):
        return steady(50.0)(times, k) * np.where(times > 1.0, 0.6, 1.0)

    before = started()
    run(before, blocks(signal, 3.0))
    records = run(started(before.checkpoint()), blocks(steady(50.0), 1.0, 5.0))
    (dip,) = events(records, "voltage-dip")
    assert dip.evidence["cut_by_gap"]
    assert dip.end_ns == TICK_NS + 3 * 10**9


def test_what_was_summed_on_other_channels_is_told_and_does_not_go_on():
    before = started()
    run(before, blocks(steady(50.0), 3.0))
    channels = tuple(replace(channel, name=f"other-{channel.name}") for channel in six_channels())
    context = Board(RATE, channels).context()
    after = started(before.checkpoint(), context=context)
    (old,) = told(run(after, blocks(steady(50.0), 2.0, 5.0, channels=channels)), "10-min")
    (new,) = told(after._meter.finish(), "10-min")
    assert old.payload["windows"] > 12 > new.payload["windows"]


@pytest.mark.parametrize(
    "facts",
    [{"resolution": 0.2002}, {"full_scale": 600.0}, {"gain_uncertainty": 0.002}, {"phase_uncertainty": 1e-3},
     {"skew": 1e-4}],
)  # fmt: skip
def test_what_was_summed_before_a_calibration_is_told_apart(facts):
    """The values before stand for themselves, told as not whole, and none of them goes into the interval begun anew."""
    known = {"resolution": 0.2, "full_scale": 500.0, "gain_uncertainty": 0.001}
    old, new = six_channels(**known), six_channels(**{**known, **facts})
    before = started(context=Board(RATE, old).context())
    run(before, blocks(steady(50.0), 10.0, channels=old))
    after = started(before.checkpoint(), context=Board(RATE, new).context())
    louder = steady(50.0, [330.0] * 3 + [7.0] * 3)
    records = run(after, blocks(louder, 5.0, 12.0, channels=new))
    (first,), (second,) = told(records, "10-min"), told(after._meter.finish(), "10-min")
    assert first.payload["voltage"]["A"]["rms"] == pytest.approx(325 / np.sqrt(2), rel=1e-4)
    assert first.payload["missing"] == pytest.approx(590.1, abs=0.4)
    assert first.payload["flagged"] == {"gap": 1}
    assert second.payload["voltage"]["A"]["lowest"] == pytest.approx(330 / np.sqrt(2), rel=1e-4)
    assert second.payload["windows"] <= 25
    assert [one.payload["windows"] for one in told(records, "2-h")] == [first.payload["windows"]]


def test_constants_that_are_rounded_otherwise_are_the_same():
    old, new = six_channels(resolution=0.2), six_channels(resolution=0.2 * (1 + 1e-12))
    before = started(context=Board(RATE, old).context())
    run(before, blocks(steady(50.0), 3.0, channels=old))
    after = started(before.checkpoint(), context=Board(RATE, new).context())
    assert not told(run(after, blocks(steady(50.0), 3.0, 4.0, channels=new)), "10-min")


def test_a_restart_before_the_first_samples_takes_nothing():
    before = started()
    run(before, blocks(steady(50.0), 10.0))
    idle = started(before.checkpoint())
    after = started(idle.checkpoint())
    run(after, blocks(steady(50.0), 5.0, 12.0))
    (ten,) = told(after._meter.finish(), "10-min")
    assert 72 <= ten.payload["windows"] <= 75


@pytest.mark.parametrize(
    "changes",
    [{"version": 1}, {"sample_rate": -1.0}, {"sample_rate": float("nan")}, {"channels": []}, {"highest": 3},
     {"kept": 5}],
)  # fmt: skip
def test_a_state_that_cannot_be_is_refused_at_the_start(changes):
    before = started()
    run(before, blocks(steady(50.0), 3.0))
    document = {**msgspec.msgpack.decode(before.checkpoint(), strict=False), **changes}
    with pytest.raises(CheckpointError):
        started(msgspec.msgpack.encode(document))


def test_a_checkpoint_is_small_enough_to_be_kept_every_two_minutes():
    algorithm = started()
    run(algorithm, blocks(steady(50.0), 15.0))
    assert 1000 < len(algorithm.checkpoint()) < 40_000


@pytest.mark.parametrize("remains", [b"\x00" * 10, b"garbage", b"\x91\x01"])
def test_what_is_no_checkpoint_is_refused(remains):
    with pytest.raises(CheckpointError):
        started(remains)
