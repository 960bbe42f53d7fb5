"""From sample blocks to a COMTRADE file and its label."""

import hashlib

import comtrade
import numpy as np
import pytest

from agent.processes.recorder_messages import Span, StartRecorder
from agent.recording.recorder_comtrade import label_of, make_recording, most_samples
from algorithms.api.records import Event, Severity
from algorithms.api.samples import Channel, Phase, Quantity, SampleBlock, SampleFlag
from algorithms.api.wire import time_from_text
from device_catalog.contract.recordings import MAXIMUM_SIZE, problems_of
from hardware.comtrade import encode_combined, parse_combined

RATE = 6400.0
START_NS = 1_700_000_000_000_000_000
SECOND = 1_000_000_000
CHANNELS = (
    Channel("ua", Quantity.VOLTAGE, Phase.A, skew=1e-5, gain_uncertainty=0.002, phase_uncertainty=1e-3),
    Channel("ia", Quantity.CURRENT, Phase.A),
)
WHO = StartRecorder("", 0, "m-1", "T1", 50.0, {"ua": 57.5, "ia": 20.0}, ring=False)


def signal(index):
    t = np.asarray(index) / RATE
    return np.array([325 * np.sin(2 * np.pi * 50 * t), 10 * np.sin(2 * np.pi * 50 * t - 0.3)])


def blocks(first, end, size=128, **fields):
    """Cut the signal into blocks."""
    return [
        SampleBlock(
            signal(range(start, min(start + size, end))).astype(np.float32),
            CHANNELS,
            RATE,
            start,
            START_NS + round(start / RATE * SECOND),
            **{"time_uncertainty": 2e-5, **fields},
        )
        for start in range(first, end, size)
    ]


def span(start, end, trigger=None, last=None):
    trigger = start if trigger is None else trigger
    at = [START_NS + round(value * SECOND) for value in (start, end, trigger)]
    event = Event(
        "voltage-dip", "T1", at[2], None if last is None else START_NS + round(last * SECOND), Severity.NOTICE
    )
    return Span("r-1", *at, (event,))


def read_back(recording):
    return parse_combined(encode_combined(recording), "r-1.cff")


def test_samples_come_back_within_half_a_step_at_their_times():
    recording = read_back(make_recording(blocks(0, 12_800), span(0.5, 1.5, 1.0, 1.2), WHO))
    assert recording.n_samples == 6400
    assert recording.config.start_utc_ns == START_NS + SECOND // 2
    assert recording.config.trigger_ns == START_NS + SECOND
    steps = np.array([channel.a for channel in recording.config.analog])
    worst = np.abs(recording.values(slice(None)) - signal(range(3200, 9600))).max(axis=1)
    assert (worst <= steps / 2 * 1.01 + 1e-5).all()
    assert (steps < np.array([325, 10]) / 32_000 * 1.001).all(), "a converter of 16 bits loses nothing"


def test_an_event_is_marked_from_its_start_to_its_end():
    recording = make_recording(blocks(0, 12_800), span(0.5, 1.5, 1.0, 1.2), WHO)
    marked = np.flatnonzero(recording.digital(0))
    assert (marked[0], marked[-1]) == (3200, 3200 + round(0.2 * RATE) - 1)
    lasting = make_recording(blocks(0, 12_800), span(0.5, 1.5, 1.0), WHO)
    assert np.flatnonzero(lasting.digital(0))[-1] == lasting.n_samples - 1


def test_who_recorded_with_which_transformers_and_clock_stands_in_the_file():
    recording = read_back(make_recording(blocks(0, 6400), span(0.1, 0.5), WHO))
    config = recording.config
    ua, ia = config.analog
    assert (config.station, config.device, config.revision, config.frequency) == ("T1", "m-1", 2013, 50.0)
    assert (ua.name, ua.phase, ua.unit, ua.is_primary, ua.primary, ua.skew) == ("ua", "A", "V", True, 57.5, 1e-5)
    assert (ia.unit, ia.primary) == ("A", 20.0)
    assert config.time_quality == "6", "within 0.1 ms: three times 20 us"
    assert "ua: standard uncertainty 0.2 %, 1 mrad" in recording.header


@pytest.mark.parametrize(
    ("flags", "uncertainty", "quality", "digits"),
    [
        (SampleFlag.UNSYNCHRONISED, 2e-5, "F", False),
        (SampleFlag.NONE, 3e-8, "3", True),
        (SampleFlag.NONE, 0.5, "B", False),
    ],
)
def test_the_clocks_quality_is_the_standards_code_and_its_digits_are_no_more_than_it_has(
    flags, uncertainty, quality, digits
):
    recording = make_recording(blocks(0, 6400, flags=flags, time_uncertainty=uncertainty), span(0.1, 0.5), WHO)
    assert recording.config.time_quality == quality
    assert recording.config.nanoseconds is digits
    assert read_back(recording).n_samples == recording.n_samples


def test_a_gap_is_rows_of_missing_samples_and_not_a_jump_in_time():
    there = blocks(0, 3200) + blocks(3520, 6400)
    recording = read_back(make_recording(there, span(0.0, 1.0), WHO))
    assert recording.n_samples == 6400
    gone = recording.missing(slice(None))
    assert np.array_equal(np.flatnonzero(gone[0]), np.arange(3200, 3520))
    label = label_of(recording, b"x", there, span(0.0, 1.0), [])
    assert (label.missing, label.lacks) == (320, ("samples",))
    assert np.abs(recording.values([0])[0, 3520:] - signal(range(3520, 6400))[0]).max() < 0.02


def test_a_channel_that_the_source_marked_missing_is_missing_alone():
    one = blocks(0, 128)[0]
    values = one.values.copy()
    values[1, 10:20] = np.nan
    block = SampleBlock(values, CHANNELS, RATE, 0, START_NS, flags=SampleFlag.MISSING)
    gone = make_recording([block], span(0.0, 0.02), WHO).missing(slice(None))
    assert (gone.sum(axis=1) == (0, 10)).all()


def test_what_is_there_of_a_span_is_recorded_and_nothing_is_an_error():
    recording = make_recording(blocks(640, 1280), span(0.0, 1.0), WHO)
    assert (recording.n_samples, recording.config.start_ns) == (640, START_NS + round(640 / RATE * SECOND))
    with pytest.raises(ValueError, match="none found"):
        make_recording(blocks(640, 1280), span(5.0, 6.0), WHO)


def test_no_recording_is_longer_than_one_may_be():
    most = most_samples(2)
    recording = make_recording(blocks(0, 128) + blocks(10 * most, 10 * most + 128), span(0.0, 1e9), WHO)
    assert recording.n_samples == most
    assert len(encode_combined(recording)) <= MAXIMUM_SIZE


def test_the_label_says_what_the_file_holds():
    there = blocks(0, 12_800, flags=SampleFlag.UNSYNCHRONISED)
    wanted = span(0.5, 1.5, 1.0, 1.2)
    recording = make_recording(there, wanted, WHO)
    data = encode_combined(recording)
    label = label_of(recording, data, there, wanted, ["end"])
    assert not problems_of(label, "m-1", "r-1")
    assert (label.device, label.terminal, label.kind, label.channels) == ("m-1", "T1", "voltage-dip", ("ua", "ia"))
    assert (label.duration, label.samples, label.missing, label.lacks) == (1.0, 6400, 0, ("end",))
    assert (time_from_text(label.start), time_from_text(label.trigger)) == (START_NS + SECOND // 2, START_NS + SECOND)
    assert (label.bytes, label.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert (label.synchronised, label.time_uncertainty) == (False, 2e-5)


def test_a_label_says_when_the_event_began_before_the_first_sample():
    there = blocks(0, 6400)
    wanted = span(0.2, 0.5, -3.0, 0.4)
    label = label_of(make_recording(there, wanted, WHO), b"x", there, wanted, [])
    assert label.lacks == ("beginning",)


def test_another_reader_finds_the_same(tmp_path):
    """The package comtrade from PyPI, which is not ours."""
    file = tmp_path / "r-1.cff"
    file.write_bytes(encode_combined(make_recording(blocks(0, 12_800), span(0.5, 1.5, 1.0, 1.2), WHO)))
    other = comtrade.Comtrade()
    other.load(str(file))
    assert (other.station_name, other.rec_dev_id, other.rev_year, other.total_samples) == ("T1", "m-1", "2013", 6400)
    assert other.analog_channel_ids == ["ua", "ia"]
    assert other.trigger_time == pytest.approx(0.5, abs=1e-6)
    assert np.abs(np.array(other.analog[0]) - signal(range(3200, 9600))[0]).max() < 0.01
    assert sum(other.status[0]) == 1280
