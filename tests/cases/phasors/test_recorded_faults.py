"""Real recordings against the protection's own times and an independent fit; see README.md."""

import numpy as np
import pytest
from scipy.optimize import least_squares

from algorithms.api.algorithm import Context
from algorithms.api.records import Quality
from algorithms.builtin.phasors import Phasors
from hardware.recorded_source import RecordedSource
from hardware.source import EndOfRecording, SourceRequest
from tests.support.recordings import real_recording

pytestmark = pytest.mark.recordings


def played(name, *, window=3, frequency=50.0, voltage=127e3):
    """Return the blocks, and the frames with their times after the recording's first sample [s]."""
    options = {"path": str(real_recording(name)), "pace": "as-fast-as-possible", "start_time": "recorded"}
    source = RecordedSource(options)
    plan = source.start(SourceRequest(3200.0))
    algorithm = Phasors({"window": window})
    context = Context(
        "m",
        "t",
        nominal_frequency=frequency,
        nominal_voltage=voltage,
        channels=plan.channels,
        sample_rate=plan.sample_rate,
    )
    algorithm.start(context, None)
    blocks, frames = [], []
    try:
        while True:
            block = source.read(0.0)
            assert block is not None
            blocks.append(block)
            frames += algorithm.process(block)
    except EndOfRecording:
        source.stop()
    return blocks, [((frame.time_ns - blocks[0].time_ns) * 1e-9, frame) for frame in frames]


def sinusoids(blocks, start, stop, guess, orders=(1, 3, 5, 7)):
    """Fit offset and harmonics of one frequency by nonlinear least squares: the frequency, and phasors at `start`."""
    first = blocks[0]
    values = np.hstack([block.values for block in blocks if block.sample_rate == first.sample_rate])
    times = np.concatenate([
        (block.time_ns - first.time_ns) * 1e-9 + np.arange(block.n_samples) / block.sample_rate
        for block in blocks
        if block.sample_rate == first.sample_rate
    ])  # fmt: skip
    inside = (times >= start) & (times < stop)
    rows, times = values[:, inside].astype(float), times[inside] - start
    rows = rows / np.abs(rows).max(axis=1, keepdims=True)
    scale = np.abs(values[:, inside]).max(axis=1)

    def fitted(frequency, row, skew):
        columns = [np.ones_like(times)]
        for order in orders:
            angle = 2 * np.pi * order * frequency * (times + skew)
            columns += [np.cos(angle), -np.sin(angle)]
        matrix = np.array(columns).T
        solution = np.linalg.lstsq(matrix, row, rcond=None)[0]
        return matrix @ solution - row, solution[1] + 1j * solution[2]

    skews = [channel.skew for channel in first.channels]

    def residual(x):
        return np.concatenate([fitted(x[0], row, skew)[0] for row, skew in zip(rows[:3], skews, strict=False)])

    frequency = float(least_squares(residual, [guess], x_scale=[0.01]).x[0])
    return frequency, np.array([
        size * fitted(frequency, row, skew)[1] / np.sqrt(2) for size, row, skew in zip(scale, rows, skews, strict=True)
    ])  # fmt: skip


@pytest.mark.parametrize(("name", "voltage", "span", "guess"), [
    ("xtz.cfg", 127e3, (0.06, 0.12), 50.0),
    ("test1.cfg", 159e3, (0.4, 0.6), 49.9),
])  # fmt: skip
def test_steady_stretches_agree_with_a_nonlinear_fit(name, voltage, span, guess):
    blocks, frames = played(name, voltage=voltage)
    frequency, phasors = sinusoids(blocks, *span, guess)
    near = [(time, frame) for time, frame in frames if span[0] + 0.02 < time < span[1] - 0.02]
    assert near
    for time, frame in near:
        assert frame.frequency.value == pytest.approx(frequency, abs=2e-3)
        assert Quality.TRANSIENT not in frame.quality
        turned = phasors * np.exp(2j * np.pi * frequency * (time - span[0]))
        found = np.array([reading.phasor for reading in (*frame.voltage.values(), *frame.current.values())])
        found = found * np.exp(2j * np.pi * 50 * (frame.time_ns % 10**9) * 1e-9)
        np.testing.assert_allclose(np.abs(found[:3]), np.abs(turned[:3]), rtol=5e-4)
        np.testing.assert_allclose(np.angle(found[:3] / turned[:3]), 0.0, atol=1e-3)


def test_the_earth_fault_on_phase_a_and_the_reclosing_onto_it_show_in_the_frames():
    """Voltage changes from 0.2109 s and again from 1.3373 s; phase A falls to 0.64 to 0.68 of its value."""
    _, frames = played("xtz.cfg")
    steady = [frame for time, frame in frames if time < 0.17]
    before = np.mean([frame.voltage["A"].magnitude for frame in steady])
    assert all(Quality.TRANSIENT not in frame.quality for frame in steady)
    assert np.mean([frame.frequency.value for frame in steady]) == pytest.approx(49.997, abs=0.001)
    for start, stop in ((0.2109, 0.2724), (1.3373, 1.3958)):
        during = [frame for time, frame in frames if start < time < stop]
        assert all(Quality.TRANSIENT in frame.quality for frame in during)
        lowest = {phase: min(frame.voltage[phase].magnitude for frame in during) for phase in "ABC"}
        assert 0.6 * before < lowest["A"] < 0.7 * before
        assert lowest["B"] > 0.95 * before
        assert lowest["C"] > 0.95 * before
        zero = max(frame.voltage_sequence.zero.magnitude for frame in during)
        assert zero > 0.05 * before
    earliest = min(time for time, frame in frames if Quality.TRANSIENT in frame.quality)
    assert 0.2109 - 0.031 < earliest <= 0.2109


def test_no_frame_is_made_of_the_stretch_recorded_at_fifty_hertz():
    """Samples 1281 to 1316 are 20 ms apart: they begin at 0.4 s and are no waveform."""
    _, frames = played("xtz.cfg")
    assert not [time for time, _ in frames if 0.40 < time < 1.10]


def test_the_open_pole_of_phase_c_is_seen_for_five_seconds():
    """Current of C is gone from 1.07 s, its voltage at 16 kV until 6.07 s; A and B stay, and so does frequency."""
    _, frames = played("test1.cfg", voltage=159e3)
    within = [frame for time, frame in frames if 1.6 < time < 6.0]
    assert len(within) > 200
    for frame in within:
        assert frame.voltage["C"].magnitude == pytest.approx(16.2e3, rel=0.05)
        assert frame.current["C"].magnitude < 3.0
        assert frame.voltage["A"].magnitude == pytest.approx(167e3, rel=0.01)
        assert frame.frequency.value == pytest.approx(49.89, abs=0.02)
    surge = max(frame.current["C"].magnitude for time, frame in frames if 0.96 < time < 1.07)
    assert surge > 500.0
    after = [frame for time, frame in frames if time > 6.6]
    assert all(frame.voltage["C"].magnitude > 160e3 for frame in after)


def test_a_sixty_hertz_recording_of_66_ms_is_short_but_enough():
    """511.8 samples per cycle at 30,707 Hz; a transient at 22 ms lies inside the only window."""
    _, frames = played("keating_1999.CFG", frequency=60.0, voltage=347.0)
    assert len(frames) == 1
    _, frame = frames[0]
    assert Quality.TRANSIENT in frame.quality
    assert frame.frequency.value == pytest.approx(59.97, abs=0.02)
    assert all(reading.magnitude == pytest.approx(348, rel=0.02) for reading in frame.voltage.values())
