"""Whatever bytes stand in a COMTRADE file, the answer is a recording or one clear error, soon and in little memory."""

import time
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardware.comtrade import parse_combined, read_recording, write_recording
from hardware.comtrade_config import decode_text, parse_configuration
from hardware.comtrade_data import decode_data, encode_data
from hardware.comtrade_model import Recording
from hardware.comtrade_text import format_configuration
from hardware.comtrade_times import segments
from hardware.errors import RecordingError
from tests.support.recordings import real_recording, recordings_folder, three_phase

GOOD = three_phase(n_samples=40, revision=2013, time_code="x", local_code="x", time_quality="F", leap="0")
TEXT = format_configuration(GOOD.config)
LINES = TEXT.splitlines()
FIELDS = [(row, column) for row, line in enumerate(LINES) for column in range(line.count(",") + 1)]
RUBBISH = (
    "",
    "-1",
    "0",
    "nan",
    "inf",
    "-inf",
    "1e400",
    "999999999",
    "9" * 400,
    "x",
    "1_0",
    "٣",
    "🐢",
    "\x00",
    "A",
    "-0",
    "1e9",
    ",",
    ",,,,",
)


def understand(config_bytes: bytes, data: bytes) -> Recording:
    config = parse_configuration(decode_text(config_bytes), "r.cfg")
    recording = decode_data(config, data, "r.dat")
    segments(recording, "r.cfg")
    recording.values(slice(None))
    return recording


def said(config_bytes: bytes, data: bytes) -> str:
    """Return what is wrong with a recording; nothing where it is one."""
    try:
        understand(config_bytes, data)
    except RecordingError as error:
        return str(error)
    return ""


def refuses(config_bytes: bytes, data: bytes) -> str:
    with pytest.raises(RecordingError) as caught:
        understand(config_bytes, data)
    return str(caught.value)


def changed(row: int, column: int, text: str) -> bytes:
    lines = list(LINES)
    fields = lines[row].split(",")
    fields[column] = text
    lines[row] = ",".join(fields)
    return "\n".join(lines).encode("utf-8", "surrogatepass")


@settings(max_examples=400)
@given(st.binary(max_size=600), st.binary(max_size=200))
def test_any_bytes(config: bytes, data: bytes) -> None:
    message = said(config, data)
    assert not message or message.startswith("r."), "the message names the file"


@settings(max_examples=600)
@given(st.sampled_from(FIELDS), st.sampled_from(RUBBISH) | st.text(max_size=20), st.sampled_from(("BINARY", "ASCII")))
def test_any_field_of_the_configuration(place: tuple[int, int], text: str, data_format: str) -> None:
    recording = replace(GOOD, config=replace(GOOD.config, data_format=data_format))
    config = changed(*place, text).replace(b"BINARY", data_format.encode())
    message = said(config, encode_data(recording))
    if message:
        assert "expected" in message
        assert "found" in message
        assert len(message) < 1000


@settings(max_examples=300)
@given(st.integers(0, len(TEXT)), st.sampled_from(("ASCII", "BINARY", "BINARY32", "FLOAT32")), st.floats(0, 1))
def test_any_truncation(cut: int, data_format: str, share: float) -> None:
    recording = three_phase(n_samples=40, data_format=data_format)
    data = encode_data(recording)
    config = format_configuration(recording.config).encode()
    length = int(share * (len(data) - 3))
    assert "r.dat" in refuses(config, data[:length])
    message = said(config[:cut], data)
    assert not message or message.startswith("r.")


@settings(max_examples=300)
@given(st.data(), st.sampled_from(("ASCII", "BINARY", "FLOAT32")))
def test_any_bytes_changed_in_the_data(data: st.DataObject, data_format: str) -> None:
    recording = three_phase(n_samples=20, data_format=data_format)
    body = bytearray(encode_data(recording))
    for _ in range(data.draw(st.integers(1, 6))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    message = said(format_configuration(recording.config).encode(), bytes(body))
    assert not message or message.startswith("r.")


@settings(max_examples=300)
@given(st.data())
def test_any_bytes_changed_in_a_combined_file(data: st.DataObject) -> None:
    body = bytearray(b"--- file type: CFG ---\r\n" + TEXT.encode() + b"--- file type: DAT BINARY: 960 ---\r\n")
    body += encode_data(GOOD)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(body) - 1))
        body[place : place + data.draw(st.integers(0, 30))] = data.draw(st.binary(max_size=30))
    message = ""
    try:
        parse_combined(bytes(body), "r.cff")
    except RecordingError as error:
        message = str(error)
    assert not message or message.startswith("r.cff")


@pytest.mark.parametrize(
    ("row", "column", "text", "message"),
    [
        (1, 0, "999999999", "line 2: expected a total of 6 + 2 = 8 channels, found 999999999"),
        (1, 1, "9A", "line 2: expected a total of 9 + 2 = 11 channels, found 8"),
        (1, 1, "6", "line 2: expected the numbers of channels, such as 8,6A,2D, found 8,6,2D"),
        (2, 5, "nan", "line 3: expected the factor a of analog channel 1 of 6, finite and up to 1e+30, found nan"),
        (4, 6, "", None),
        (4, 8, "-3.40282347E+38", None),
        (4, 5, "", "line 5: expected the factor a of analog channel 3 of 6, found nothing"),
        (3, 12, "Q", "line 4: expected P (primary) or S (secondary) at the end of analog channel 2 of 6, found Q"),
        (8, 4, "2", "line 9: expected 0 or 1 as the normal state of digital channel 1 of 2, found 2"),
        (11, 0, "1000000", "line 12: expected at most as many sampling rates as there are lines left"),
        (12, 0, "-1000", "line 13: expected a sampling rate from 0.001 to 1e+09 [Hz], found -1000"),
        (12, 1, "0", "line 13: expected a last sample after number 0, found 0"),
        (12, 1, "41", "r.dat, byte 880: expected 41 samples of 22 bytes a sample"),
        (12, 1, "39", "expected the end after 39 samples"),
        (13, 0, "31/02/2023", "line 14: expected the time of the first sample as dd/mm/yyyy"),
        (15, 0, "BINARY64", "line 16: expected one of ASCII, BINARY, BINARY32, FLOAT32, found BINARY64"),
        (16, 0, "0", "line 17: expected a time multiplier above 0"),
        (0, 2, "0015", "line 1: expected a revision year"),
    ],
)
def test_one_message_says_where_and_what(row: int, column: int, text: str, message: str | None) -> None:
    config = changed(row, column, text)
    if message is None:
        assert understand(config, encode_data(GOOD)).n_samples == 40
        return
    assert message in refuses(config, encode_data(GOOD))


def test_a_count_of_samples_asks_for_no_memory() -> None:
    """A billion samples and a million channels are declared; the answer comes at once."""
    lies = [changed(12, 1, "999999999")]
    lies.append(changed(12, 1, "999999999").replace(b"BINARY", b"ASCII"))
    lies.append(TEXT.replace("8,6A,2D", "999999,999997A,2D").encode())
    tracemalloc.start()
    begun = time.monotonic()
    for lie in lies:
        refuses(lie, encode_data(GOOD))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000
    assert time.monotonic() - begun < 5


def test_long_fields_ask_for_no_memory() -> None:
    """One field of a megabyte among many short ones must not widen them all."""
    recording = three_phase(n_samples=2000, data_format="ASCII")
    lines = encode_data(recording).splitlines()
    fields = lines[1000].split(b",")
    fields[3] = b"0" * 1_000_000 + b"1"
    lines[1000] = b",".join(fields)
    tracemalloc.start()
    message = refuses(format_configuration(recording.config).encode(), b"\n".join(lines))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "r.dat, line 1001: expected a number in field 4 of 10" in message
    assert peak < 40_000_000


def test_zero_lengths_are_named(tmp_path: Path) -> None:
    write_recording(tmp_path / "r.cfg", GOOD)
    for name in ("r.dat", "r.cfg"):
        (tmp_path / name).write_bytes(b"")
        with pytest.raises(RecordingError, match=f"{name}: expected a recording, found an empty file"):
            read_recording(tmp_path / "r.cfg")
    (tmp_path / "r.cff").write_bytes(b"")
    with pytest.raises(RecordingError, match="empty file"):
        read_recording(tmp_path / "r.cff")


def test_a_small_file_is_read_in_little_memory_and_a_folder_is_none(tmp_path: Path) -> None:
    write_recording(tmp_path / "r.cfg", GOOD)
    tracemalloc.start()
    read_recording(tmp_path / "r.cfg")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000
    (tmp_path / "folder.cff").mkdir()
    with pytest.raises(RecordingError, match="expected a file, found a folder"):
        read_recording(tmp_path / "folder.cff")


def test_text_in_the_data_is_found_by_line_and_field() -> None:
    recording = three_phase(n_samples=20, data_format="ASCII")
    config = format_configuration(recording.config).encode()
    lines = encode_data(recording).splitlines()
    for place, text, message in (
        (6, b"1,2", "r.dat, line 7: expected 10 fields, found 2"),
        (6, lines[6].replace(b",", b",z", 1), "r.dat, line 7: expected a number in field 2 of 10"),
        (6, lines[6][:-1] + b"7", "r.dat, line 7: expected 0 or 1 for digital channel 2"),
        (6, b"," + lines[6].split(b",", 1)[1], "r.dat, line 7: expected a sample number"),
        (6, lines[6].replace(b",6000,", b",5,"), "r.cfg, sample 7: expected a time stamp of 5000 or later, found 5"),
    ):
        wrong = [*lines[:place], text, *lines[place + 1 :]]
        assert message in refuses(config, b"\n".join(wrong))
    assert "r.dat, line 20: expected 20 samples, one a line, found 19" in refuses(config, b"\n".join(lines[:-1]))


def test_stamps_that_contradict_the_rate_are_refused() -> None:
    stamps = np.cumsum(np.arange(40.0) % 7 * 1000 + 1)
    slow = replace(GOOD, stamps=np.arange(40.0) * 5 // 2)
    with pytest.raises(RecordingError, match=r"at about the declared 1000 Hz, found 40\d+ Hz"):
        segments(slow, "r.cfg")
    with pytest.raises(RecordingError, match=r"r\.cfg, samples 1 to \d+: expected"):
        segments(replace(GOOD, stamps=stamps), "r.cfg")


def test_a_combined_file_that_lies_is_refused() -> None:
    data = encode_data(GOOD)
    head = b"--- file type: CFG ---\r\n" + TEXT.encode()
    for combined, message in (
        (head, "expected a line '--- file type: DAT"),
        (
            head + b"--- file type: DAT BINARY: 99999999999999999999 ---\n" + data,
            "bytes of data as declared, found 880",
        ),
        (head + b"--- file type: DAT ASCII ---\n" + data, "expected BINARY data as the CFG section says, found ASCII"),
        (b"--- file type: DAT BINARY ---\n" + data, "expected a CFG section before byte 0"),
        (b"nothing at all", "byte 0: expected a line"),
    ):
        with pytest.raises(RecordingError, match=r"r\.cff") as caught:
            parse_combined(combined, "r.cff")
        assert message in str(caught.value)


@pytest.mark.recordings
@settings(max_examples=60, deadline=None)
@given(st.data(), st.sampled_from(("xtz.cfg", "test1.cfg", "keating_1999.CFG")))
def test_real_recordings_with_changed_bytes(data: st.DataObject, name: str) -> None:
    assert recordings_folder() is not None
    path = real_recording(name)
    config = bytearray(path.read_bytes())
    body = path.with_suffix(".DAT" if path.suffix.isupper() else ".dat").read_bytes()
    for _ in range(data.draw(st.integers(1, 3))):
        config[data.draw(st.integers(0, len(config) - 1))] = data.draw(st.integers(0, 255))
    message = said(bytes(config), body[: data.draw(st.sampled_from((len(body), len(body) // 2)))])
    assert not message or message.startswith("r.")
