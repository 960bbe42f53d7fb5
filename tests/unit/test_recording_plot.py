"""A recording as a picture: whatever recorder it is of, whole or not at all."""

import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib import image

from agent.processes.recorder_messages import Span, StartRecorder
from agent.recording.recorder_comtrade import make_recording
from algorithms.api.records import Event, Severity
from algorithms.api.samples import Channel, Phase, Quantity, SampleBlock
from hardware.comtrade import encode_combined, write_recording
from hardware.comtrade_model import AnalogChannel, Configuration, DeclaredRate, Recording
from hardware.comtrade_times import Segment
from hardware.errors import RecordingError, SourceNotFound
from hardware.recording_plot import _rms, plot_recording

START_NS = 1_700_000_000_000_000_000
SECOND = 1_000_000_000
WHO = StartRecorder("", 0, "m-1", "T1", 50.0, {}, ring=False)


def six_channels(folder, gap=slice(0, 0)):
    """Write a second with a dip and, perhaps, a gap."""
    channels = tuple(
        Channel(f"{quantity.value[0]}{phase.value}", quantity, phase)
        for quantity in Quantity
        for phase in list(Phase)[:3]
    )
    t = np.arange(6400) / 6400
    values = np.array([np.sin(2 * np.pi * (50 * t - k / 3)) for k in range(3)] * 2) * np.array(
        [[325.0]] * 3 + [[5.0]] * 3
    )
    values[0, 2000:4000] *= 0.4
    values[:, gap] = np.nan
    block = SampleBlock(values, channels, 6400.0, 0, START_NS, 1e-5)
    trigger = START_NS + round(2000 / 6400 * SECOND)
    event = Event("voltage-dip", "T1", trigger, START_NS + round(4000 / 6400 * SECOND), Severity.WARNING, ("A",))
    span = Span("r-1", START_NS, START_NS + SECOND, trigger, (event,))
    path = folder / "r-1.cff"
    path.write_bytes(encode_combined(make_recording([block], span, WHO)))
    return path


def colours(path):
    pixels = image.imread(path)
    assert pixels.shape[0] > 500
    assert pixels.shape[1] > 500
    return pixels


@pytest.mark.parametrize("gap", [slice(0, 0), slice(5000, 5300)])
def test_six_channels_are_drawn_with_the_event_and_gaps_marked(tmp_path, gap):
    target = tmp_path / "r-1.png"
    plot_recording(six_channels(tmp_path, gap), target)
    pixels = colours(target)
    orange = np.isclose(pixels[..., :3], np.array([0.992, 0.941, 0.86]), atol=0.02).all(axis=2)
    assert orange.mean() > 0.02, "the event is marked"
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".png"] == ["r-1.png"]


def test_pictures_may_be_vectors(tmp_path):
    plot_recording(six_channels(tmp_path), tmp_path / "r.svg")
    assert (tmp_path / "r.svg").read_text().count("<svg") == 1


def test_a_recorder_of_another_maker_with_any_names_and_units_is_drawn(tmp_path):
    """One voltage in kV, names that look like formulas or are in another script, no digital channel, 60 Hz."""
    n = 960
    codes = np.round(1000 * np.sin(2 * np.pi * 60 * np.arange(n) / 960)).astype(np.int16)[None, :]
    config = Configuration(
        "$x_1$", "母线", 1999, (AnalogChannel("_$U_a", unit="kV", a=0.1),), (), 60.0, (DeclaredRate(960.0, n),),
        START_NS, START_NS + SECOND // 4, "BINARY",
    )  # fmt: skip
    recording = Recording(config, codes, np.arange(n) * 1e6 // 960, np.zeros((n, 0), np.uint16), np.arange(1, n + 1))
    write_recording(tmp_path / "other.cfg", recording)
    plot_recording(tmp_path / "other.cfg", tmp_path / "other.png")
    colours(tmp_path / "other.png")


def test_rms_is_of_whole_cycles_and_absent_where_a_sample_is():
    t = np.arange(1280) / 6400
    values = np.sqrt(2) * 230 * np.sin(2 * np.pi * 50 * t)[None, :]
    values[0, 700] = np.nan
    times, rms = _rms(t, values, [Segment(0, 1280, 6400.0, 0.0)], 50.0)
    known = np.isfinite(rms[0])
    assert rms[0, known] == pytest.approx(230.0, rel=1e-9)
    missing = times[~known & np.isfinite(times)]
    assert ((missing >= 700 / 6400) & (missing <= 828 / 6400)).all()
    assert len(missing) == 2


@pytest.mark.parametrize(
    ("name", "error"), [("none.cff", SourceNotFound), ("empty.cff", RecordingError), ("amounts.cfg", RecordingError)]
)
def test_what_cannot_be_drawn_says_why_and_leaves_no_picture(tmp_path, name, error):
    (tmp_path / "empty.cff").write_bytes(b"")
    config = Configuration(
        "s",
        "d",
        1999,
        (AnalogChannel("f", unit="Hz"),),
        (),
        50.0,
        (DeclaredRate(100.0, 2),),
        START_NS,
        START_NS,
        "ASCII",
    )
    amounts = Recording(
        config, np.array([[1.0, 2.0]]), np.array([0.0, 1e4]), np.zeros((2, 0), np.uint16), np.array([1, 2])
    )
    write_recording(tmp_path / "amounts.cfg", amounts)
    with pytest.raises(error):
        plot_recording(tmp_path / name, tmp_path / "r.png")
    assert not (tmp_path / "r.png").exists()


def test_without_matplotlib_the_command_names_the_remedy(tmp_path, monkeypatch, capsys):
    from device_catalog.operator import recordings
    from device_catalog.operator.errors import OperatorError

    path = six_channels(tmp_path)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.setitem(sys.modules, "matplotlib.backends.backend_agg", None)
    options = type("Options", (), {"recording": str(path), "output": None, "json": False})
    with pytest.raises(OperatorError, match=r"tresma\[plots\]"):
        recordings.plot(options, lambda: pytest.fail("no catalog is needed for a file"))
    assert capsys.readouterr().out == ""
    assert not Path(tmp_path / "r-1.png").exists()
