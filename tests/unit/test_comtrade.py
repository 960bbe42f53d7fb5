"""COMTRADE recordings: what is written is read back, the same values as another reader sees, and the real ones."""

from dataclasses import replace
from pathlib import Path

import comtrade
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hardware.comtrade import parse_combined, read_recording, write_recording
from hardware.comtrade_config import decode_text, parse_configuration
from hardware.comtrade_data import decode_data, encode_data
from hardware.comtrade_model import AnalogChannel, Configuration, DeclaredRate, DigitalChannel, Recording
from hardware.comtrade_text import format_configuration
from hardware.comtrade_times import segments
from hardware.errors import SourceNotFound
from tests.support.recordings import real_recording, three_phase

FORMATS = ("ASCII", "BINARY", "BINARY32", "FLOAT32")

_texts = st.text(
    st.characters(blacklist_categories=("Cs", "Cc", "Zl", "Zp", "Zs"), blacklist_characters=",\ufeff"), max_size=12
)
_names = _texts.map(lambda text: f"x{text}")
_finite = st.floats(-1e12, 1e12, allow_nan=False).map(lambda value: value + 0.0)


@st.composite
def recordings(draw: st.DrawFn) -> Recording:
    """Make any recording that can be written."""
    revision = draw(st.sampled_from((1991, 1999, 2013)))
    data_format = draw(st.sampled_from(FORMATS))
    early = revision == 1991
    analog = tuple(
        AnalogChannel(
            draw(_names),
            draw(_texts),
            draw(_texts),
            draw(_texts),
            draw(_finite),
            draw(_finite),
            draw(st.integers(-1000, 1000)) / 1e6,
            -32767.0,
            32767.0,
            None if early else draw(st.none() | _finite),
            None if early else draw(st.none() | _finite),
            early or draw(st.booleans()),
        )
        for _ in range(draw(st.integers(0, 4)))
    )
    digital = tuple(
        DigitalChannel(
            draw(_names), "" if early else draw(_texts), "" if early else draw(_texts), draw(st.integers(0, 1))
        )
        for _ in range(draw(st.integers(0 if analog else 1, 35)))
    )
    n = draw(st.integers(1, 9))
    split = draw(st.integers(0, n - 1))
    rates = (DeclaredRate(1000.0, n),) if not split else (DeclaredRate(3200.5, split), DeclaredRate(50.0, n))
    nanoseconds = revision == 2013 and draw(st.booleans())
    grain = 1 if nanoseconds else 1000
    times = st.integers(0, 4 * 10**18).map(lambda time_ns: time_ns // grain * grain)
    if early:
        times = st.integers(0, 10**18).map(lambda time_ns: time_ns // 1000 * 1000)
    code_type = {"BINARY": np.int16, "BINARY32": np.int32, "FLOAT32": np.float32, "ASCII": np.float64}[data_format]
    if data_format in ("BINARY", "BINARY32"):
        elements: st.SearchStrategy[float] = st.integers(np.iinfo(code_type).min, np.iinfo(code_type).max)
    else:
        elements = st.floats(-9e4, 9e4, width=32) | st.just(np.nan)
    config = Configuration(
        station=draw(_names),
        device=draw(_texts),
        revision=revision,
        analog=analog,
        digital=digital,
        frequency=draw(st.sampled_from((0.0, 50.0, 59.94))),
        rates=rates,
        start_ns=draw(times if nanoseconds else st.none() | times),
        trigger_ns=draw(times),
        data_format=data_format,
        time_multiplier=1.0 if early else draw(st.sampled_from((1.0, 0.5, 10.0))),
        nanoseconds=nanoseconds,
        time_code=draw(st.sampled_from(("+5h30", "-4", "x"))) if revision == 2013 else "",
        local_code=draw(st.sampled_from(("+5h30", "x"))) if revision == 2013 else "",
        time_quality=draw(st.sampled_from("049ABF")) if revision == 2013 else "",
        leap=draw(st.sampled_from("0123")) if revision == 2013 else "",
    )
    bits = draw(hnp.arrays(np.uint8, (n, len(digital)), elements=st.integers(0, 1)))
    words = np.zeros((n, config.n_words), np.uint16)
    for index in range(len(digital)):
        words[:, index // 16] |= bits[:, index].astype(np.uint16) << np.uint16(index % 16)
    return Recording(
        config,
        draw(hnp.arrays(code_type, (len(analog), n), elements=elements)),
        draw(hnp.arrays(np.float64, n, elements=st.integers(0, 2**32 - 2) | st.just(np.nan))),
        words,
        np.arange(1, n + 1),
    )


def same(found: Recording, expected: Recording) -> None:
    assert found.config == expected.config
    every = slice(None)
    np.testing.assert_array_equal(found.missing(every), expected.missing(every))
    np.testing.assert_array_equal(found.values(every), expected.values(every))
    np.testing.assert_array_equal(found.stamps, expected.stamps)
    np.testing.assert_array_equal(found.words, expected.words)
    np.testing.assert_array_equal(found.numbers, expected.numbers)


@given(recordings())
def test_what_is_written_is_read_back(recording: Recording) -> None:
    config = parse_configuration(decode_text(format_configuration(recording.config).encode()), "x.cfg")
    same(decode_data(config, encode_data(recording), "x.dat"), recording)


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("name", ["r.cfg", "R.CFG", "r.cff"])
def test_files_are_read_back(tmp_path: Path, name: str, data_format: str) -> None:
    revision = 2013 if name.endswith("cff") else 1999
    texts = {"time_code": "+1", "local_code": "+2", "time_quality": "4", "leap": "0"} if revision == 2013 else {}
    recording = three_phase(data_format=data_format, revision=revision, **texts)
    write_recording(tmp_path / name, recording)
    same(read_recording(tmp_path / name), recording)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_combined_file_keeps_its_free_texts(tmp_path: Path) -> None:
    texts = {"time_code": "+1", "local_code": "+2", "time_quality": "4", "leap": "0"}
    recording = replace(three_phase(revision=2013, **texts), header="Storm\r\nof May", information="[a]\r\nb=1")
    write_recording(tmp_path / "r.cff", recording)
    found = read_recording(tmp_path / "r.cff")
    assert (found.header.splitlines(), found.information.splitlines()) == (["Storm", "of May"], ["[a]", "b=1"])


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("revision", [1999, 2013])
def test_another_reader_sees_the_same_values(tmp_path: Path, data_format: str, revision: int) -> None:
    """PyPI comtrade, which keeps float32 values, at one rate: with several its times are wrong."""
    recording = three_phase(data_format=data_format, revision=revision)
    write_recording(tmp_path / "r.cfg", recording)
    other = comtrade.Comtrade(use_numpy_arrays=True)
    other.load(str(tmp_path / "r.cfg"), str(tmp_path / "r.dat"))
    np.testing.assert_allclose(np.array(other.analog), recording.values(slice(None)), rtol=2e-7)
    for index in range(2):
        np.testing.assert_array_equal(np.array(other.status[index]), recording.digital(index))
    np.testing.assert_allclose(other.time, recording.stamps * 1e-6, atol=1e-7)
    start = np.datetime64(other.start_timestamp).astype("datetime64[ns]").astype(int)
    assert start == recording.config.start_ns


def test_another_reader_reads_our_combined_file(tmp_path: Path) -> None:
    texts = {"time_code": "+1", "local_code": "+2", "time_quality": "4", "leap": "0"}
    recording = three_phase(data_format="FLOAT32", revision=2013, **texts)
    write_recording(tmp_path / "r.cff", recording)
    other = comtrade.Comtrade(use_numpy_arrays=True)
    other.load(str(tmp_path / "r.cff"))
    np.testing.assert_allclose(np.array(other.analog), recording.values(slice(None)), rtol=2e-7)


@pytest.mark.parametrize("revision", ["", ",1997", ",2000", ",2001"])
def test_odd_revisions_and_line_ends_are_read(revision: str) -> None:
    lines = [f"Here,7{revision}", "2,1A,1D", "1,Ua,A,,V,0.5,,,-100,100", "1,Trip,0", "50", "1", "1000,2"]
    lines += ["03/04/17,10:11:12.5", "03/04/17,10:11:12.500000", "ascii"]
    for end in ("\n", "\r", "\r\n"):
        config = parse_configuration(end.join(lines) + end + "\x1a", "x.cfg")
        recording = decode_data(config, b"1,0,10,0\r\n2,1000,,1\r\n\x1a", "x.dat")
        np.testing.assert_array_equal(recording.values(slice(None)), [[5.0, np.nan]])
        month_first = revision == ""
        day = np.datetime64("2017-03-04" if month_first else "2017-04-03")
        assert config.start_ns == (day - np.datetime64("1970-01-01")) // np.timedelta64(1, "ns") + 36672_500_000_000
        assert recording.digital(0).tolist() == [0, 1]


def test_missing_samples_are_nan_in_every_format() -> None:
    for data_format, mark in (("BINARY", -(2**15)), ("BINARY32", -(2**31)), ("FLOAT32", np.nan), ("ASCII", np.nan)):
        recording = three_phase(data_format=data_format)
        codes = recording.codes.copy()
        codes[2, 5] = mark
        found = decode_data(recording.config, encode_data(replace(recording, codes=codes)), "x.dat")
        assert np.argwhere(np.isnan(found.values(slice(None)))).tolist() == [[2, 5]]
    early = three_phase(revision=1991)
    analog = (replace(early.config.analog[0], minimum=0.0, maximum=4095.0), *early.config.analog[1:])
    codes = early.codes.copy()
    codes[:2, 5] = -1
    marked = replace(early, config=replace(early.config, analog=analog), codes=codes)
    assert np.argwhere(np.isnan(marked.values(slice(None)))).tolist() == [[0, 5]]


@pytest.mark.parametrize("data_format", FORMATS)
def test_values_are_doubles_in_every_format(data_format: str) -> None:
    recording = three_phase(data_format=data_format)
    expected = recording.codes.astype(float) * np.array([[channel.a] for channel in recording.config.analog])
    np.testing.assert_allclose(recording.values(slice(None)), expected, rtol=1e-15)


def test_encodings_are_told_apart() -> None:
    for text, encoding in (
        ("Süd Kläranlage", "latin-1"),
        ("220kV母线I_Ua", "gbk"),
        ("Süd母线", "utf-8"),
        ("é", "utf-16"),
    ):
        assert decode_text(text.encode(encoding)) == text


def test_time_codes_lead_to_utc() -> None:
    config = replace(three_phase(revision=2013).config, time_code="+5h30", time_quality="6")
    assert config.start_utc_ns == config.start_ns - 19_800_000_000_000
    assert config.time_uncertainty == pytest.approx(1e-4)
    assert replace(config, time_quality="F").time_uncertainty == np.inf


def test_stamps_win_over_the_table_of_rates() -> None:
    """Two rates with a pause between them, and samples left out inside the second."""
    recording = three_phase(rates=((1000.0, 100), (200.0, 140)))
    stamps = recording.stamps.copy()
    stamps[100:] += 50_000
    stamps[120:] += 100_000
    found = segments(replace(recording, stamps=stamps), "x")
    assert [(part.first, part.count, part.rate) for part in found] == [
        (0, 100, 1000.0),
        (100, 20, 200.0),
        (120, 20, 200.0),
    ]
    np.testing.assert_allclose([part.start for part in found], [0.0, 0.15, 0.35], atol=1e-9)


def test_without_stamps_the_table_of_rates_tells_and_without_rates_the_stamps() -> None:
    recording = three_phase(n_samples=50)
    for stamps in (np.full(50, np.nan), np.zeros(50), np.arange(50.0), 10 * np.arange(50.0)):
        (part,) = segments(replace(recording, stamps=stamps), "x")
        assert (part.count, part.rate, part.start) == (50, 1000.0, 0.0)
    unstated = replace(recording.config, rates=(DeclaredRate(0.0, 50),))
    (part,) = segments(replace(recording, config=unstated), "x")
    assert (part.count, round(part.rate, 9)) == (50, 1000.0)
    holes = recording.stamps.copy()
    holes[[0, 7, 8, 49]] = np.nan
    (part,) = segments(replace(recording, stamps=holes), "x")
    assert (part.count, part.rate) == (50, 1000.0)


def test_a_table_of_rates_may_repeat_its_last_line() -> None:
    recording = three_phase(n_samples=50)
    rates = (DeclaredRate(1000.0, 30), *(DeclaredRate(1000.0, 50),) * 3)
    config = replace(recording.config, rates=rates)
    assert parse_configuration(format_configuration(config), "x.cfg") == config
    found = segments(replace(recording, config=config), "x")
    assert [(part.first, part.count, part.rate) for part in found] == [(0, 30, 1000.0), (30, 20, 1000.0)]


def test_stamps_that_wrap_go_on() -> None:
    recording = three_phase(n_samples=50)
    stamps = (recording.stamps + 2**32 - 25_000) % 2**32
    (part,) = segments(replace(recording, stamps=stamps), "x")
    assert (part.count, part.rate) == (50, 1000.0)


def test_what_cannot_be_read_back_is_not_written() -> None:
    recording = three_phase()
    for station in ("a,b", "a\nb", " a"):
        with pytest.raises(ValueError, match="without commas"):
            format_configuration(replace(recording.config, station=station))
    with pytest.raises(ValueError, match="another time multiplier"):
        encode_data(replace(recording, stamps=recording.stamps + 2.0**33))
    with pytest.raises(ValueError, match="as many samples as declared"):
        encode_data(replace(recording, config=replace(recording.config, rates=(DeclaredRate(1.0, 3),))))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFound, match="no such file"):
        read_recording(tmp_path / "none.cfg")
    (tmp_path / "r.cfg").write_text(format_configuration(three_phase().config))
    with pytest.raises(SourceNotFound, match=r"expected the file r\.dat beside it"):
        read_recording(tmp_path / "r.cfg")


def test_several_sections_of_a_combined_file_may_come_in_any_order() -> None:
    recording = three_phase(revision=2013, time_code="x", local_code="x", time_quality="F", leap="0")
    text, data = format_configuration(recording.config).encode(), encode_data(recording)
    combined = b"--- file type: HDR ---\nhi\n--- file type: INF ---\n--- FILE TYPE: cfg ---\n" + text
    same(parse_combined(combined + b"--- file type: DAT BINARY ---\n" + data, "x.cff"), recording)


@pytest.mark.recordings
@pytest.mark.parametrize(
    ("name", "shape", "n_digital"),
    [
        ("xtz.cfg", (48, 3077), 96),
        ("ymz.cfg", (80, 2977), 80),
        ("test1.cfg", (20, 11001), 84),
        ("keating_1999.CFG", (8, 2048), 0),
    ],
)
def test_real_recordings_agree_with_another_reader(name: str, shape: tuple[int, int], n_digital: int) -> None:
    path = real_recording(name)
    recording = read_recording(path)
    assert (recording.codes.shape, len(recording.config.digital)) == (shape, n_digital)
    other = comtrade.Comtrade(use_numpy_arrays=True)
    other.load(str(path), str(path.with_suffix(".DAT" if path.suffix.isupper() else ".dat")), encoding="gb18030")
    np.testing.assert_allclose(np.array(other.analog), recording.values(slice(None)), rtol=2e-7)
    for index in range(n_digital):
        np.testing.assert_array_equal(np.array(other.status[index]), recording.digital(index))


@pytest.mark.recordings
@pytest.mark.parametrize("name", ["xtz.cfg", "ymz.cfg", "test1.cfg", "keating_1999.CFG"])
def test_real_recordings_survive_being_written(tmp_path: Path, name: str) -> None:
    recording = read_recording(real_recording(name))
    write_recording(tmp_path / "r.cfg", recording)
    same(read_recording(tmp_path / "r.cfg"), recording)
