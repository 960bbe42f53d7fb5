"""A recording as a source: channels found, primary values, true rates and pauses, paced, repeated; and real ones."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from algorithms.api.samples import Phase, Quantity, SampleBlock, SampleFlag
from algorithms.api.wire import time_text
from hardware.comtrade import read_recording, write_recording
from hardware.comtrade_model import AnalogChannel
from hardware.errors import RecordingError, SourceError, SourceNotFound, SourceRefused
from hardware.recorded_channels import phase_of, quantity_of
from hardware.recorded_source import RecordedSource
from hardware.source import ChannelRequest, EndOfRecording, SourcePlan, SourceRequest
from tests.support.clocks import ManualClock
from tests.support.recordings import START_NS, real_recording, three_phase

REQUEST = SourceRequest(6400.0)
FAST = {"pace": "as-fast-as-possible"}


def play(path: Path, request: SourceRequest = REQUEST, **options: object) -> tuple[SourcePlan, list[SampleBlock]]:
    source = RecordedSource({"path": str(path), **FAST, **options})
    plan = source.start(request)
    blocks = []
    try:
        while len(blocks) < 10_000:
            block = source.read(0.0)
            assert block is not None
            blocks.append(block)
    except EndOfRecording:
        pass
    source.stop()
    return plan, blocks


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_recording(tmp_path / "r.cfg", three_phase())
    return tmp_path / "r.cfg"


def test_secondary_values_become_primary_volts_and_amperes(path: Path) -> None:
    plan, blocks = play(path)
    values = np.concatenate([block.values for block in blocks], axis=1)
    rms = np.sqrt((values**2).mean(axis=1))
    np.testing.assert_allclose(rms, [57.735 * 2200] * 3 + [240.0] * 3, rtol=1e-4)
    assert [channel.name for channel in plan.channels] == ["ua", "ub", "uc", "ia", "ib", "ic"]
    assert plan.channels[3].phase is Phase.A
    assert plan.channels[3].quantity is Quantity.CURRENT
    assert (plan.sample_rate, plan.block_samples) == (1000.0, 20)
    assert plan.channels[0].resolution == pytest.approx(57.735 * 2**0.5 / 20_000 * 2200)
    assert plan.channels[0].full_scale == pytest.approx(plan.channels[0].resolution * 32767)


def test_times_follow_the_recording_or_begin_now(path: Path) -> None:
    blocks = play(path)[1]
    assert [block.time_ns for block in blocks[:2]] == [START_NS, START_NS + 20_000_000]
    assert SampleFlag.UNSYNCHRONISED in blocks[0].flags, "a recorder of 1999 does not tell how good its clock is"
    clock = ManualClock()
    source = RecordedSource({"path": str(path), **FAST, "start_time": "now"}, clock)
    source.start(REQUEST)
    block = source.read(0.0)
    assert block is not None
    assert (block.time_ns, block.flags) == (clock.now, SampleFlag.NONE)


def test_a_recording_begins_at_a_stated_time_or_with_a_later_round(path: Path) -> None:
    """Its 200 samples and the seam take 201 ms; 0.5 s late, the third round has begun and the fourth is awaited."""
    clock = ManualClock()
    for stated_ns, expected in ((clock.now + 50_000_000, 0), (clock.now - 500_000_000, 3 * 201_000_000)):
        source = RecordedSource({"path": str(path), "repeat": True, "start_time": time_text(stated_ns)}, clock)
        source.start(REQUEST)
        block = source.read(1.0)
        assert block is not None
        assert block.time_ns == stated_ns + expected
        assert clock.now == block.end_ns
    source = RecordedSource({"path": str(path), "start_time": time_text(clock.now - 10**9)}, clock)
    with pytest.raises(SourceRefused, match=r"expected a time that lies ahead, found one 1\.0 s ago"):
        source.start(REQUEST)
    with pytest.raises(SourceError, match=r"options\.start_time: expected recorded, now, or a time"):
        RecordedSource({"path": "x", "start_time": "soon"})


def test_a_clock_that_tells_its_quality_is_believed(tmp_path: Path) -> None:
    recording = three_phase(revision=2013, time_code="+1", local_code="+1", time_quality="4", leap="0")
    write_recording(tmp_path / "r.cff", recording)
    block = play(tmp_path / "r.cff")[1][0]
    assert (block.time_ns, block.flags) == (START_NS - 3_600_000_000_000, SampleFlag.NONE)
    assert block.time_uncertainty == pytest.approx(1e-6)


def test_real_time_is_kept(path: Path) -> None:
    clock = ManualClock()
    source = RecordedSource({"path": str(path)}, clock)
    assert source.info.live
    source.start(REQUEST)
    begun = clock.now
    assert source.read(0.005) is None
    assert clock.now == begun + 5_000_000
    block = source.read(0.1)
    assert block is not None
    assert (block.time_ns, clock.now) == (begun, begun + 20_000_000)
    clock.advance(0.04)
    for _ in range(2):
        assert source.read(0.0) is not None
    assert source.read(0.0) is None


def test_a_block_never_spans_two_rates_or_a_pause(tmp_path: Path) -> None:
    recording = three_phase(rates=((1000.0, 95), (200.0, 115), (1000.0, 215)))
    stamps = recording.stamps.copy()
    stamps[115:] += 500_000
    write_recording(tmp_path / "r.cfg", replace(recording, stamps=stamps))
    blocks = play(tmp_path / "r.cfg")[1]
    changes = [
        (block.first_index, block.sample_rate, block.n_samples, block.flags & ~SampleFlag.UNSYNCHRONISED)
        for block in blocks
        if block.flags & ~SampleFlag.UNSYNCHRONISED
    ]
    assert changes == [
        (95, 200.0, 4, SampleFlag.RATE_CHANGED),
        (115 + 500, 1000.0, 20, SampleFlag.RATE_CHANGED | SampleFlag.LOST),
    ]
    assert sum(block.n_samples for block in blocks) == 215
    assert blocks[4].n_samples == 15, "the rest before the change"


def test_a_repeated_recording_goes_on_in_time_with_a_seam(path: Path) -> None:
    source = RecordedSource({"path": str(path), **FAST, "repeat": True})
    source.start(REQUEST)
    blocks = [source.read(0.0) for _ in range(25)]
    assert all(block is not None for block in blocks)
    seam = blocks[10]
    assert seam is not None
    assert (seam.first_index, seam.time_ns) == (201, START_NS + 201_000_000)
    assert SampleFlag.LOST in seam.flags
    np.testing.assert_array_equal(seam.values, blocks[0].values if blocks[0] is not None else 0)


def test_missing_samples_are_nan_and_flagged(tmp_path: Path) -> None:
    recording = three_phase()
    codes = recording.codes.copy()
    codes[1, 45] = -32768
    codes[3, 90:92] = 32767
    write_recording(tmp_path / "r.cfg", replace(recording, codes=codes))
    blocks = play(tmp_path / "r.cfg")[1]
    assert [SampleFlag.MISSING in block.flags for block in blocks[:5]] == [False, False, True, False, False]
    assert [SampleFlag.CLIPPED in block.flags for block in blocks[:5]] == [False, False, False, False, True]
    assert np.argwhere(np.isnan(blocks[2].values)).tolist() == [[1, 5]]


def test_skew_and_calibration_are_kept(tmp_path: Path) -> None:
    write_recording(tmp_path / "r.cfg", three_phase(skews=(0.0, 1e-5, 2e-5, 3e-5, 4e-5, 5e-5)))
    wanted = (
        ChannelRequest("load", Quantity.CURRENT, Phase.B, "Line 7 Ib", gain=1.01, offset=1.0, reversed=True),
        ChannelRequest("first", Quantity.VOLTAGE, Phase.A, 1, phase_correction=0.0314159),
    )
    plain = play(tmp_path / "r.cfg")[1][0].values
    plan, blocks = play(tmp_path / "r.cfg", replace(REQUEST, channels=wanted))
    np.testing.assert_allclose(blocks[0].values[0], -1.01 * (plain[4] - 1.0), rtol=1e-12)
    np.testing.assert_allclose([channel.skew for channel in plan.channels], [4e-5, 1e-4], rtol=1e-5)


def test_what_is_wrong_with_channels_is_told_together(path: Path) -> None:
    wanted = (
        ChannelRequest("a", Quantity.VOLTAGE, Phase.A, "Line 7 Uz"),
        ChannelRequest("b", Quantity.VOLTAGE, Phase.B, 7),
        ChannelRequest("c", Quantity.VOLTAGE, Phase.C, "line 7  ic"),
    )
    with pytest.raises(SourceRefused) as caught:
        play(path, replace(REQUEST, channels=wanted))
    for part in ("found Line 7 Uz", "did you mean Line 7 U", "its number from 1 to 6, found 7", "found the unit A"):
        assert part in str(caught.value)


def test_what_is_wrong_with_options_is_told_together() -> None:
    with pytest.raises(SourceError) as caught:
        RecordedSource({"pth": "x", "pace": "slow", "repeat": 1, "voltages": ["a"]})
    for part in (
        "did you mean path?",
        "options.path: expected",
        "real-time",
        "a boolean",
        "the names of three channels",
    ):
        assert part in str(caught.value)


def test_named_voltages_take_the_place_of_found_ones(path: Path) -> None:
    names = ["Line 7 Uc", "Line 7 Ua", "Line 7 Ub"]
    plain, turned = (play(path, **options)[1][0].values for options in ({}, {"voltages": names}))
    np.testing.assert_array_equal(turned, plain[[2, 0, 1, 3, 4, 5]])


def test_a_ratio_that_is_needed_must_be_stated(tmp_path: Path) -> None:
    recording = three_phase()
    bare = replace(recording.config.analog[4], primary=None)
    analog = (*recording.config.analog[:4], bare, recording.config.analog[5])
    write_recording(tmp_path / "r.cfg", replace(recording, config=replace(recording.config, analog=analog)))
    with pytest.raises(SourceRefused, match=r"channel ib .Line 7 Ib.: expected the ratings of its transformer"):
        play(tmp_path / "r.cfg")


def test_a_recording_without_phases_asks_for_names(tmp_path: Path) -> None:
    recording = three_phase()
    analog = tuple(replace(channel, unit="bar") for channel in recording.config.analog)
    write_recording(tmp_path / "r.cfg", replace(recording, config=replace(recording.config, analog=analog)))
    with pytest.raises(SourceRefused, match=r"expected three voltages .* name the channels"):
        play(tmp_path / "r.cfg")


def test_a_file_that_is_none_is_told_at_the_start(tmp_path: Path) -> None:
    source = RecordedSource({"path": str(tmp_path / "none.cfg")})
    with pytest.raises(SourceNotFound):
        source.start(REQUEST)
    (tmp_path / "none.cfg").write_bytes(b"\x00\x01")
    with pytest.raises(RecordingError):
        source.start(REQUEST)


@pytest.mark.parametrize(
    ("name", "phase", "found"),
    [
        ("ULA", "", Phase.A), ("LINE SUM ILB", "", Phase.B), ("U3", "V3", Phase.C), ("220kV母线I_Ua", "", Phase.A),
        ("Va", "", Phase.A), ("VBN", "", Phase.B), ("Phase C", "", Phase.C), ("I_L2", "", Phase.B),
        ("x", "L3", Phase.C), ("3U0", "", Phase.N), ("LINE IN", "", Phase.N), ("IR", "", Phase.A),
        ("Uab", "", None), ("Frequency", "", None), ("Extra", "", None),
    ],
)  # fmt: skip
def test_phases_are_read_from_fields_and_names(name: str, phase: str, found: Phase | None) -> None:
    assert phase_of(AnalogChannel(name, phase)) is found


@pytest.mark.parametrize(
    ("unit", "found"),
    [("V", 1.0), ("kV", 1e3), ("KV", 1e3), ("mV", 1e-3), ("volts", 1.0), ("A", 1.0), ("kA", 1e3), ("Amps", 1.0)],
)
def test_units_are_read(unit: str, found: float) -> None:
    read = quantity_of(unit)
    assert read is not None
    assert read[1] == found
    assert (read[0] is Quantity.VOLTAGE) == ("v" in unit.lower())


def rms_at(blocks: list[SampleBlock], start: float, duration: float) -> np.ndarray:
    """Return each channel's RMS over a stretch of time after the first sample."""
    begin = blocks[0].time_ns
    parts = []
    for block in blocks:
        time = (block.time_ns - begin) / 1e9 + np.arange(block.n_samples) / block.sample_rate
        parts.append(block.values[:, (time >= start) & (time < start + duration)])
    values = np.concatenate(parts, axis=1)
    return np.sqrt((values**2).mean(axis=1))


@pytest.mark.recordings
def test_the_220_kv_recording_shows_its_fault_and_the_reclose_on_it() -> None:
    """Bus voltages and line 214: times and magnitudes as the relays' own states and the time stamps tell."""
    names = [channel.name for channel in read_recording(real_recording("xtz.cfg")).config.analog]
    currents = [name for name in names if "214" in name][:3]
    plan, blocks = play(real_recording("xtz.cfg"), currents=currents)
    kv = 127017 / 57.735
    assert plan.sample_rate == 3200.0
    np.testing.assert_allclose(rms_at(blocks, 0.0, 0.2)[:3] / kv, 60.2, atol=0.3)
    first, second = rms_at(blocks, 0.22, 0.02), rms_at(blocks, 1.345, 0.02)
    assert 37 < first[0] / kv < 42, "the first fault leaves 38 to 41 V"
    np.testing.assert_allclose(first[1:3] / kv, 60, atol=4)
    assert second[3] == second[3:6].max(), "phase A carries the fault"
    peak = max(np.abs(block.values[3]).max() for block in blocks if block.sample_rate == 3200.0)
    assert peak == pytest.approx(52.97 * 1600 / 5, rel=1e-3), "16.9 kA"
    assert max(channel.skew for channel in plan.channels) < 25e-6


@pytest.mark.recordings
def test_the_remote_station_sees_the_dip_and_no_current() -> None:
    blocks = play(real_recording("ymz.cfg"))[1]
    kv = 220000 / 100
    np.testing.assert_allclose(rms_at(blocks, 0.0, 0.08)[:3] / kv, 60.3, atol=0.3)
    assert rms_at(blocks, 0.081, 0.04)[0] / kv == pytest.approx(43.3, abs=1.5)
    assert rms_at(blocks, 1.22, 0.02)[0] / kv == pytest.approx(42.5, abs=1.5)
    waves = [block for block in blocks if block.sample_rate == 4000.0]
    assert max(np.abs(block.values[3:6]).max() for block in waves) < 2**0.5 * 1.0 * 1600 / 5


@pytest.mark.recordings
def test_the_275_kv_recording_shows_one_open_pole_for_five_seconds() -> None:
    blocks = play(real_recording("test1.cfg"))[1]
    np.testing.assert_allclose(rms_at(blocks, 0.0, 0.9)[:3], 168e3, rtol=0.01)
    open_pole = rms_at(blocks, 2.0, 2.0)
    assert open_pole[2] == pytest.approx(16e3, rel=0.1)
    np.testing.assert_allclose(open_pole[:2], 168e3, rtol=0.02)
    assert rms_at(blocks, 0.98, 0.02)[5] > 500, "C carries the fault"
    assert rms_at(blocks, 6.2, 0.2)[2] > 140e3


@pytest.mark.recordings
def test_the_600_v_recording_is_played_at_its_own_rate() -> None:
    plan, blocks = play(real_recording("keating_1999.CFG"))
    assert (plan.sample_rate, plan.block_samples) == (30707.244140625, 614)
    before = rms_at(blocks, 0.0, 1 / 60)
    np.testing.assert_allclose(before[:3], 347, rtol=0.05)
    assert ((before[3:] > 100) & (before[3:] < 180)).all()
