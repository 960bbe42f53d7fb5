"""A simulated meter: what its options say is what its samples show, the same at any block size, paced by a clock."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from algorithms.api.samples import Phase, Quantity, SampleBlock, SampleFlag
from algorithms.api.wire import time_from_text
from hardware.checks import OptionsError
from hardware.errors import SourceError, SourceRefused
from hardware.simulated_settings import EVENTS, OPTIONS
from hardware.simulated_source import CELLS_AHEAD, SimulatedSource
from hardware.source import ChannelRequest, EndOfRecording, SourceRequest
from tests.support.clocks import ManualClock

FAST = {"pace": "as-fast-as-possible"}
REQUEST = SourceRequest(6400.0)


def blocks_of(options: dict[str, Any], request: SourceRequest = REQUEST) -> list[SampleBlock]:
    source = SimulatedSource({**FAST, "duration": 1.0, **options})
    source.start(request)
    blocks = []
    try:
        while len(blocks) < 20_000:
            block = source.read(0.0)
            assert block is not None
            blocks.append(block)
    except EndOfRecording:
        return blocks
    raise AssertionError("expected an end")


def samples_of(options: dict[str, Any], request: SourceRequest = REQUEST) -> np.ndarray:
    return np.concatenate([block.values for block in blocks_of(options, request)], axis=1)


def phasors_of(values: np.ndarray, frequency: float = 50.0, rate: float = 6400.0, order: int = 1) -> np.ndarray:
    """Return RMS phasors over all samples, which must be whole cycles."""
    turn = np.exp(-2j * np.pi * order * frequency * np.arange(values.shape[1]) / rate)
    return values @ turn * 2**0.5 / values.shape[1]


def test_voltages_and_powers_are_those_asked_for() -> None:
    """Positive reactive power is an inductive load: the current lags."""
    powers = {"active_power": [1000.0, 2000.0, -500.0], "reactive_power": [300.0, -400.0, 0.0]}
    found = phasors_of(samples_of({"voltage": 231.0, "angle": 0.3, **powers}))
    np.testing.assert_allclose(found[:3], 231 * np.exp(1j * (0.3 - 2 * np.pi * np.arange(3) / 3)), rtol=1e-9)
    np.testing.assert_allclose(found[:3] * found[3:].conj(), [1000 + 300j, 2000 - 400j, -500], rtol=1e-9, atol=1e-6)


def test_a_load_in_all_is_shared_by_the_phases() -> None:
    for leading, sign in ((False, 1), (True, -1)):
        found = phasors_of(samples_of({"apparent_power": 3000.0, "power_factor": 0.8, "leading": leading}))
        np.testing.assert_allclose(found[:3] * found[3:].conj(), np.full(3, 800 + sign * 600j), rtol=1e-9)
    found = phasors_of(samples_of({"apparent_power": 3000.0, "power_factor": -1.0}))
    np.testing.assert_allclose(found[:3] * found[3:].conj(), np.full(3, -1000), rtol=1e-9, atol=1e-6)


def test_unbalance_and_harmonics_are_those_asked_for() -> None:
    harmonics = [
        {"order": 5, "share": 0.06, "angle": 0.5, "channels": ["ua", "ub"]},
        {"order": 7, "share": 0.2, "channels": ["ic"]},
    ]
    values = samples_of({"voltage_factors": [1, 0.9, 1.1], "voltage_angles": [0, 0.01, -0.02], "harmonics": harmonics})
    first, fifth, seventh = (phasors_of(values, order=order) for order in (1, 5, 7))
    angles = np.array([0, 0.01, -0.02]) - 2 * np.pi * np.arange(3) / 3
    np.testing.assert_allclose(first[:3], 230 * np.array([1, 0.9, 1.1]) * np.exp(1j * angles), rtol=1e-9)
    expected = 0.06 * np.abs(first[:2]) * np.exp(1j * (5 * np.angle(first[:2]) + 0.5))
    np.testing.assert_allclose(fifth[:2], expected, rtol=1e-9)
    np.testing.assert_allclose(np.abs(fifth[2:]), 0, atol=1e-9)
    np.testing.assert_allclose(np.abs(seventh), [0, 0, 0, 0, 0, 0.2 * abs(first[5])], atol=1e-9)


def test_phase_is_referred_to_utc_so_that_two_meters_agree() -> None:
    """At 50.02 Hz a cycle is complete every 50 s of UTC; half a second after it the angle is 0.02 * 0.5 cycles."""
    for start, cycles in (("2024-06-01T00:00:00Z", 0.0), ("2024-06-01T00:00:00.5Z", 50.02 * 0.5)):
        source = SimulatedSource({**FAST, "frequency": 50.02, "start_time": start, "voltage": 1 / 2**0.5})
        source.start(REQUEST)
        block = source.read(0.0)
        assert block is not None
        assert block.time_ns == time_from_text(start)
        seconds = (block.time_ns // 10**9) % 50
        expected = np.cos(2 * np.pi * (cycles + 50.02 * seconds))
        assert block.values[0, 0] == pytest.approx(expected, abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(
    duration=st.sampled_from((0.0013, 0.01, 0.02, 0.033, 0.25)),
    rate=st.sampled_from((1000.0, 3200.0, 6400.0, 7777.7)),
    options=st.fixed_dictionaries(
        {},
        optional={
            "frequency": st.floats(45.0, 55.0),
            "voltage_noise": st.just(3.0),
            "bits": st.just(10),
            "skews": st.just([0.0, 1e-5, 2e-5, 3e-5, 4e-5, 5e-5]),
            "harmonics": st.just([{"order": 3, "share": 0.1}]),
            "losses": st.just([{"start": 0.043, "duration": 0.05, "period": 0.2}]),
            "events": st.just(
                [
                    {"kind": "sag", "start": 0.1, "duration": 0.05, "period": 0.15, "depth": 0.4, "phases": ["A"]},
                    {"kind": "frequency-ramp", "start": 0.2, "duration": 0.1, "rate": 2.0},
                ]
            ),
        },
    ),
)
def test_samples_do_not_depend_on_the_size_of_blocks(duration: float, rate: float, options: dict[str, Any]) -> None:
    options = {"duration": 0.5, "seed": 4, **options}
    rates = SourceRequest(rate), SourceRequest(rate, block_duration=duration)
    plain, other = (blocks_of(options, request) for request in rates)
    np.testing.assert_array_equal(
        np.concatenate([block.values for block in plain], axis=1),
        np.concatenate([block.values for block in other], axis=1),
    )
    for found in (plain, other):
        indices = np.concatenate([block.first_index + np.arange(block.n_samples) for block in found])
        assert indices.size == sum(block.n_samples for block in plain)
        origin = time_from_text("2024-01-01T00:00:00Z")
        for block in found:
            assert abs(block.time_ns - origin - block.first_index / rate * 1e9) <= 1


def test_a_cell_with_events_agrees_with_one_without() -> None:
    """The two ways to compute a cell give the same wave: an event that changes nothing is invisible."""
    options = {"frequency": 49.7, "skews": [0, 1e-5, 2e-5, 3e-5, 4e-5, 5e-5], "harmonics": [{"order": 3, "share": 0.1}]}
    nothing = {"kind": "sag", "start": 0.01, "duration": 0.01, "period": 0.03, "depth": 0.0}
    np.testing.assert_allclose(samples_of({**options, "events": [nothing]}), samples_of(options), atol=1e-9)


def test_sags_swells_and_interruptions_begin_and_end_at_their_sample() -> None:
    events = [
        {"kind": "sag", "start": 0.1, "duration": 0.2, "depth": 0.4, "phases": ["A"], "current": 3.0},
        {"kind": "swell", "start": 0.4, "duration": 0.1, "period": 0.3, "rise": 0.1, "phases": ["B"]},
        {"kind": "interruption", "start": 0.65, "phases": ["C"]},
    ]
    plain, values = samples_of({}), samples_of({"events": events})
    index = np.arange(6400)
    sag = (index >= 640) & (index < 1920)
    swell = ((index >= 2560) & (index < 3200)) | ((index >= 4480) & (index < 5120))
    dark = index >= 4160
    factors = [1 - 0.4 * sag, 1 + 0.1 * swell, 1.0 - dark, 1 + 2 * sag, 1 + 0.1 * swell, 1.0 - dark]
    np.testing.assert_allclose(values, plain * np.array(factors), atol=1e-9)


def test_a_phase_jump_turns_voltages_and_currents_for_its_time() -> None:
    values = samples_of({"events": [{"kind": "phase-jump", "start": 0.2, "duration": 0.4, "angle": 0.1}]})
    plain = phasors_of(samples_of({}))
    for stretch, turned in ((slice(0, 1280), 0.0), (slice(1280, 3840), 0.1), (slice(3840, 6400), 0.0)):
        np.testing.assert_allclose(phasors_of(values[:, stretch]), plain * np.exp(1j * turned), rtol=1e-9)


def test_a_frequency_ramp_is_held_and_a_step_ends() -> None:
    """The phase is the integral of the frequency: 50 t + t^2/2 while it rises by 1 Hz/s."""
    ramp = {"kind": "frequency-ramp", "start": 0.2, "duration": 0.5, "rate": 1.0}
    step = {"kind": "frequency-step", "start": 0.1, "duration": 0.05, "period": 0.5, "step": 2.0}
    values = samples_of({"events": [ramp, step], "voltage": 1 / 2**0.5})
    t = np.arange(6400) / 6400
    rising = np.clip(t - 0.2, 0, 0.5)
    cycles = 50 * t + rising**2 / 2 + 0.5 * np.clip(t - 0.7, 0, None)
    cycles += 2 * np.clip(t - 0.1, 0, 0.05) + 2 * np.clip(t - 0.6, 0, 0.05)
    np.testing.assert_allclose(values[0], np.cos(2 * np.pi * cycles), atol=1e-9)


def test_each_channel_is_sampled_at_its_own_skew() -> None:
    skews = [k * 26e-6 for k in range(6)]
    turned = phasors_of(samples_of({"skews": skews})) / phasors_of(samples_of({}))
    np.testing.assert_allclose(np.angle(turned), 2 * np.pi * 50 * np.array(skews), atol=1e-9)
    source = SimulatedSource({**FAST, "skews": skews})
    assert [channel.skew for channel in source.start(REQUEST).channels] == skews


def test_a_clock_that_runs_fast_shows_a_lower_frequency() -> None:
    values = samples_of({"clock_error": 0.01, "duration": 2.02, "voltage": 1 / 2**0.5})
    t = np.arange(values.shape[1]) / 6400 / 1.01
    np.testing.assert_allclose(values[0], np.cos(2 * np.pi * 50 * t), atol=1e-9)


def test_noise_has_the_size_asked_for_and_follows_its_seed() -> None:
    options = {"voltage": 0.0, "apparent_power": 0.0, "voltage_noise": 0.5, "current_noise": 0.02}
    values = samples_of({**options, "seed": 1})
    np.testing.assert_allclose(values.std(axis=1), [0.5] * 3 + [0.02] * 3, rtol=0.05)
    np.testing.assert_array_equal(values, samples_of({**options, "seed": 1}))
    assert (values != samples_of({**options, "seed": 2})).all()


def test_a_converter_rounds_declares_its_steps_and_clips() -> None:
    options = {"bits": 12, "voltage_range": 400.0, "current_range": 5.0}
    source = SimulatedSource({**FAST, **options})
    channels = source.start(REQUEST).channels
    assert [channel.resolution for channel in channels] == [800 / 4096] * 3 + [10 / 4096] * 3
    assert [channel.full_scale for channel in channels] == [400.0] * 3 + [5.0] * 3
    ideal = samples_of({})
    blocks = blocks_of(options)
    values = np.concatenate([block.values for block in blocks], axis=1)
    codes = values[:3] / (800 / 4096)
    np.testing.assert_allclose(codes, np.rint(codes), atol=1e-9)
    assert np.abs(values[:3] - ideal[:3]).max() <= 400 / 4096 * 1.0001
    np.testing.assert_allclose([values[3:].min(), values[3:].max()], [-5.0, 5 - 10 / 4096])
    assert all(SampleFlag.CLIPPED in block.flags for block in blocks)
    assert not any(block.flags for block in blocks_of({**options, "current_range": 50.0}))


def test_lost_samples_leave_a_gap_and_are_flagged() -> None:
    plain = samples_of({})
    blocks = blocks_of({"losses": [{"start": 0.105, "duration": 0.05, "period": 0.5}]})
    gaps = [
        (before.end_index, block.first_index)
        for before, block in pairwise(blocks)
        if before.end_index != block.first_index
    ]
    assert gaps == [(672, 992), (3872, 4192)]
    assert [block.first_index for block in blocks if SampleFlag.LOST in block.flags] == [992, 4192]
    for block in blocks:
        np.testing.assert_array_equal(block.values, plain[:, block.first_index : block.end_index])


def test_real_time_blocks_come_when_their_last_sample_has_passed_on_the_utc_grid() -> None:
    clock = ManualClock(1_700_000_000_003_000_000)
    source = SimulatedSource({}, clock)
    assert source.info.live
    source.start(REQUEST)
    assert source.read(0.01) is None
    assert clock.now == 1_700_000_000_013_000_000, "it waited as long as it was told, not longer"
    for number in range(3):
        block = source.read(1.0)
        assert block is not None
        assert block.time_ns == 1_700_000_000_020_000_000 + number * 20_000_000
        assert clock.now == block.end_ns
        assert clock.now % 20_000_000 == 0


def test_a_step_of_the_wall_clock_neither_stalls_nor_floods() -> None:
    clock = ManualClock()
    source = SimulatedSource({}, clock)
    source.start(REQUEST)
    assert source.read(1.0) is not None
    clock.now += 3600 * 10**9
    assert source.read(0.0) is None
    clock.now -= 7200 * 10**9
    assert source.read(0.021) is not None


def test_a_reader_that_lags_finds_all_samples_within_the_buffer_and_a_gap_beyond_it() -> None:
    clock = ManualClock()
    source = SimulatedSource({"buffer": 2.0}, clock)
    source.start(REQUEST)
    assert source.read(1.0) is not None
    clock.advance(1.9)
    following = source.read(0.0)
    assert following is not None
    assert following.flags == 0
    clock.advance(5.0)
    found = [source.read(1.0) for _ in range(2 * CELLS_AHEAD)]
    assert any(block is not None and SampleFlag.LOST in block.flags for block in found)
    last = found[-1]
    assert last is not None
    assert (clock.now - last.end_ns) < 2_100_000_000


def test_channels_may_be_chosen_turned_and_calibrated() -> None:
    wanted = (
        ChannelRequest("u2", Quantity.VOLTAGE, Phase.B, "ub", gain=1.02, offset=0.5, reversed=True),
        ChannelRequest("i1", Quantity.CURRENT, Phase.A, 3),
    )
    plain = samples_of({})
    values = samples_of({}, SourceRequest(6400.0, wanted))
    np.testing.assert_allclose(values, [-1.02 * (plain[1] - 0.5), plain[3]], atol=1e-9)


def test_what_is_wrong_with_a_request_is_told_together() -> None:
    wanted = (
        ChannelRequest("x", Quantity.VOLTAGE, Phase.A, "ux"),
        ChannelRequest("x", Quantity.VOLTAGE, Phase.A, "ia"),
    )
    with pytest.raises(SourceRefused) as caught:
        SimulatedSource({}).start(SourceRequest(-1.0, wanted, block_duration=0.0))
    for part in ("sample_rate: expected", "block_duration: expected", "found ux", "found input ia", "found x 2 times"):
        assert part in str(caught.value)


def test_what_is_wrong_with_options_is_told_together() -> None:
    options = {
        "frequncy": 50,
        "voltage": {"value": 400, "unit": "kV"},
        "voltage_factors": [1, 2],
        "apparent_power": 1.0,
        "active_power": [1, 2, 3],
        "start_time": "yesterday",
        "pace": "slow",
        "bits": 99,
        "harmonics": [{"order": 1, "share": 0.1}, 7],
        "events": [
            {"kind": "sagg", "start": 1},
            {"kind": "sag", "start": -1, "depth": 2.0, "rate": 1.0},
            {"kind": "sag", "start": 1, "depth": 0.1, "duration": 2, "period": 1, "phases": ["D"]},
            {"kind": "frequency-ramp", "start": 1, "rate": 1.0},
        ],
        "losses": [{"start": 1}],
    }
    with pytest.raises(OptionsError) as caught:
        SimulatedSource(options)
    text = str(caught.value)
    for part in (
        "did you mean frequency?", "state the value in V", "voltage_factors: expected 3 finite numbers", "keep one",
        "start_time: expected an RFC 3339 time", "pace: expected one of", "bits: expected", "harmonics[0].order",
        "harmonics[1]: expected a table", "events[0].kind: expected one of sag, swell", "events[1].start",
        "events[1].depth", "events[1].rate", "events[2].phases: expected names among A, B, C",
        "events[2].duration: expected more than 0 and less than its period", "events[3].duration: expected how long",
        "losses[0].duration",
    ):  # fmt: skip
        assert part in text
    assert isinstance(caught.value, SourceError)
    assert len(caught.value.problems) == 17


_names = st.sampled_from([setting.name for setting in OPTIONS] + ["kind", "start", "duration", "depth", ""])
_rubbish = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(list(EVENTS)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_names, inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(_names, _rubbish, max_size=5))
def test_any_options_make_a_source_or_one_error(options: dict[str, Any]) -> None:
    try:
        source = SimulatedSource({**options, **FAST, "duration": 0.1})
    except SourceError:
        return
    source.start(SourceRequest(1000.0))
    block = source.read(0.0)
    assert block is None or np.isfinite(block.values).all()
