"""A recording becomes a page that an engineer can read: recordings made here, shaped like those of real recorders."""

import re
from dataclasses import replace

import pytest

from agent.__main__ import main
from hardware.comtrade import write_recording
from tests.support.recordings import three_phase


def with_dip(recording, begin, end, share=0.65):
    """Let the voltage of phase A dip between two samples, and its current rise."""
    codes = recording.codes.copy()
    codes[0, begin:end] = codes[0, begin:end] * share
    codes[3, begin:end] = codes[3, begin:end] * 1.5
    return replace(recording, codes=codes)


def paged(folder, recording, *options):
    write_recording(folder / "fault.cfg", recording)
    page = folder / "fault.html"
    assert main(["replay", str(folder / "fault.cfg"), "--page", str(page), *options]) == 0
    return page.read_text()


def test_a_recording_with_slow_stretches_between_is_shown_whole(tmp_path, capsys):
    rates = ((3200.0, 1280), (50.0, 1316), (3200.0, 2788), (50.0, 2800))
    content = paged(tmp_path, with_dip(three_phase(rates=rates), 660, 820))
    assert "1 events" in capsys.readouterr().err
    assert content.count("voltage dip") == 1
    (dip,) = re.findall(r"<td class=n>(-?[\d.]+) s</td><td>voltage dip</td><td>A</td><td class=n>([\d.]+) s", content)
    assert float(dip[0]) == pytest.approx(660 / 3200 - 0.05, abs=0.01)
    assert float(dip[1]) == pytest.approx(0.05, abs=0.02)
    assert "48 samples a channel at rates too low" in content
    for heading in ("Waveforms", "Phasors", "Frequency", "Power", "Harmonics", "digital channels"):
        assert heading in content
    assert content.count("<svg") == 7  # with a close-up of the event


def test_a_page_needs_nothing_else_and_what_a_file_says_is_text(tmp_path, capsys):
    recording = three_phase(rates=((3200.0, 1200),))
    config = replace(recording.config, station="<script>alert(1)</script>")
    messages = tmp_path / "messages.jsonl"
    chosen = ("--currents", "Line 7 Ic", "Line 7 Ib", "Line 7 Ia")
    content = paged(tmp_path, replace(recording, config=config), *chosen, "--output", str(messages))
    assert "<script" not in content
    assert "ia = Line 7 Ic" in content
    assert not re.search(r'(?:src|href)="(?!#)', content)
    identifiers = re.findall(r' id="([^"]+)"', content)
    assert len(identifiers) == len(set(identifiers))
    assert set(re.findall(r'(?:url\(|href=")#([^)"]+)', content)) <= set(identifiers)
    assert messages.read_bytes().count(b"frame/1") > 10
    assert capsys.readouterr().out == ""


def test_a_recording_of_a_few_cycles_has_its_waveforms_and_its_transient_named(tmp_path):
    recording = three_phase(rates=((30_000.0, 2048),))
    codes = recording.codes.copy()
    codes[1, 900:906] += 4000  # a fifth of the peak
    content = paged(tmp_path, replace(recording, codes=codes))
    assert "The algorithms found none." in content
    (largest,) = re.findall(r"B: ([\d.]+) kV at (-?[\d.]+) s", content)
    assert float(largest[0]) == pytest.approx(0.2 * 57.735 * 2**0.5 * 2200 / 1000, rel=0.02)
    assert float(largest[1]) == pytest.approx(900 / 30_000 - 0.05, abs=0.001)


def test_a_dip_shorter_than_a_window_in_a_short_recording_is_found(tmp_path):
    content = paged(tmp_path, with_dip(three_phase(rates=((4000.0, 560),)), 200, 360))
    assert content.count("voltage dip") == 1


def test_settings_given_win_over_those_of_the_page(tmp_path):
    messages = tmp_path / "messages.jsonl"
    paged(
        tmp_path,
        three_phase(rates=((3200.0, 1200),)),
        "--output", str(messages),
        "--set", "phasors.report_rate=10", "--set", "power_quality.shortest_interval=150-cycle",
    )  # fmt: skip
    content = messages.read_bytes()
    assert content.count(b"frame/1") < 10
    assert b'"10-cycle"' not in content


def test_a_page_that_cannot_be_written_is_said(tmp_path, capsys):
    write_recording(tmp_path / "fault.cfg", three_phase(rates=((3200.0, 400),)))
    assert main(["replay", str(tmp_path / "fault.cfg"), "--page", str(tmp_path / "none" / "x.html")]) == 69
    assert "cannot be written" in capsys.readouterr().err
