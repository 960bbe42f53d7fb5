"""Frames of IEEE C37.118.2, byte by byte."""

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.c37118.frames import (
    CommandCode,
    FrameError,
    FrameType,
    Layout,
    configuration,
    crc_ccitt,
    data,
    header,
    read_command,
    sealed,
    size_of,
    stat_word,
    time_quality_code,
)

TIME_NS = 0x65_53_F1_00 * 1_000_000_000 + 16_817_000
LAYOUT = Layout(7, "Hill Rd 4", ("VA", "IA"), 50)

# The data frame that the standard prints as an example in its annex, with the check word it gives.
ANNEX = """AA 01 00 34 1E 36 44 85 36 00 00 00 41 B1 00 00 39 2B 00 00 E3 6A CE 7C E3 6A 31 83 04 44 00 00
           09 C4 00 00 42 C8 00 00 44 7A 00 00 46 1C 40 00 3C 12 D4 3F"""


def test_the_check_word_is_that_of_the_standards_example():
    frame = bytes.fromhex(ANNEX)
    assert crc_ccitt(frame[:-2]) == int.from_bytes(frame[-2:])
    assert size_of(frame) == len(frame)


def test_a_data_frame_byte_by_byte():
    """Written by hand from the standard's table: 3 V and 4 A at angle 0, 50.5 Hz, -0.25 Hz/s."""
    frame = data(
        LAYOUT, TIME_NS, phasors=[(3.0, 0.0), (4.0, 0.0)], frequency=50.5, rocof=-0.25, stat=0x0180, time_quality=7
    )
    expected = (
        "AA 02"  # SYNC: data frame, version 2 (2011)
        "00 2A"  # FRAMESIZE: 14 of the head, 2 of STAT, 8 of each phasor, 4 and 4 of the frequency, 2 of CHK
        "00 07"  # IDCODE
        "65 53 F1 00"  # SOC
        "07 00 41 B1"  # time quality 7 (within a millisecond); 16817 microseconds
        "01 80"  # STAT: time error below 10 ms
        "40 40 00 00 00 00 00 00"  # 3.0, 0.0
        "40 80 00 00 00 00 00 00"  # 4.0, 0.0
        "42 4A 00 00"  # 50.5
        "BE 80 00 00"  # -0.25
    )
    assert frame[:-2] == bytes.fromhex(expected)
    assert int.from_bytes(frame[-2:]) == crc_ccitt(frame[:-2])


def test_magnitude_and_angle_and_integers_byte_by_byte():
    layout = Layout(7, "Hill Rd 4", ("VA", "IA"), 50, polar=True, fixed_frequency=True)
    frame = data(layout, TIME_NS, phasors=[(2.0, -0.5), None], frequency=50.012, rocof=-0.25)
    assert frame[16:24] == bytes.fromhex("40 00 00 00 BF 00 00 00")
    assert all(math.isnan(value) for value in struct.unpack(">ff", frame[24:32]))
    assert frame[32:36] == bytes.fromhex("00 0C FF E7")  # +12 mHz, -25 hundredths of Hz/s
    assert layout.format == 0b0011


def test_what_was_not_measured_is_said_so():
    fixed = Layout(7, "", ("VA",), 50, fixed_frequency=True)
    assert data(fixed, TIME_NS, phasors=[None], frequency=None, rocof=None)[24:28] == bytes.fromhex("80 00 80 00")
    free = Layout(7, "", ("VA",), 50)
    words = struct.unpack(">4f", data(free, TIME_NS, phasors=[None], frequency=None, rocof=None)[16:32])
    assert all(math.isnan(word) for word in words)


@pytest.mark.parametrize(("frequency", "word"), [(82.76, 32760), (17.24, -32760), (90.0, -32768), (10.0, -32768)])
def test_a_frequency_that_an_integer_cannot_hold_is_absent(frequency, word):
    fixed = Layout(7, "", (), 50, fixed_frequency=True)
    assert struct.unpack(">h", data(fixed, TIME_NS, phasors=[], frequency=frequency, rocof=0.0)[16:18])[0] == word


def test_a_configuration_byte_by_byte():
    frame = configuration(Layout(7, "Hill Rd 4", ("VA", "IA"), 50, changes=3), TIME_NS)
    expected = (
        b"\xaa\x32\x00\x5e\x00\x07\x65\x53\xf1\x00\x00\x00\x41\xb1"  # configuration 2, 94 bytes
        b"\x00\x0f\x42\x40"  # TIME_BASE: 1,000,000
        b"\x00\x01"  # one unit
        b"Hill Rd 4       "
        b"\x00\x07"
        b"\x00\x0a"  # FORMAT: floats, rectangular
        b"\x00\x02\x00\x00\x00\x00"  # two phasors, no analog, no digital
        b"VA              IA              "
        b"\x00\x00\x00\x00\x01\x00\x00\x00"  # a voltage, a current
        b"\x00\x01"  # 50 Hz
        b"\x00\x03"
        b"\x00\x32"  # 50 frames a second
    )
    assert frame[:-2] == expected
    assert len(frame) == 0x5E
    assert int.from_bytes(frame[-2:]) == crc_ccitt(frame[:-2])
    assert configuration(LAYOUT, TIME_NS, first_kind=True)[:2] == b"\xaa\x22"


def test_a_rate_below_one_a_second_is_told_in_seconds_and_60_hz_as_no_bit():
    frame = configuration(Layout(7, "", (), -10, nominal_frequency=60.0), TIME_NS)
    assert frame[-8:-2] == b"\x00\x00\x00\x00\xff\xf6"


def test_a_header_is_plain_text():
    frame = header(LAYOUT, TIME_NS, "meter in Söderstraße")
    assert frame[:4] == b"\xaa\x12\x00\x24"
    assert frame[14:-2] == b"meter in S?derstra?e"


def test_times_round_to_the_next_microsecond_also_across_a_second():
    assert sealed(FrameType.DATA, 1, 1_999_999_999, b"")[6:14] == b"\x00\x00\x00\x02\x00\x00\x00\x00"


@pytest.mark.parametrize(
    ("error", "code"), [(1e-8, 1), (5e-7, 2), (5e-6, 3), (5e-5, 4), (5e-4, 5), (5e-3, 6), (0.05, 7), (None, 7)]
)
def test_the_units_time_quality_goes_by_the_largest_error(error, code):
    assert stat_word(usable=True, synchronised=True, time_error=error) == code << 6


def test_what_is_wrong_shows_in_the_status():
    assert stat_word(usable=False, synchronised=True, time_error=1e-8) >> 14 == 0b11
    word = stat_word(usable=True, synchronised=False, time_error=None)
    assert word & 1 << 13
    assert word & 0x30 == 0x30


@pytest.mark.parametrize(("error", "code"), [(5e-10, 1), (5e-9, 2), (5e-4, 7), (0.5, 10), (1.0, 11), (10.0, 15)])
def test_the_messages_time_quality_counts_decades(error, code):
    assert time_quality_code(error) == code


def test_a_command_is_read():
    frame = sealed(FrameType.COMMAND, 7, TIME_NS, struct.pack(">H", CommandCode.START))
    assert read_command(frame) == (7, CommandCode.START)


@given(st.binary(max_size=64))
def test_what_is_no_command_is_refused(noise):
    with pytest.raises(FrameError):
        read_command(noise)


def test_a_command_with_one_bit_wrong_is_refused():
    frame = sealed(FrameType.COMMAND, 7, TIME_NS, struct.pack(">H", CommandCode.START))
    for place in range(len(frame)):
        broken = bytes((*frame[:place], frame[place] ^ 4, *frame[place + 1 :]))
        with pytest.raises(FrameError):
            read_command(broken)


def test_a_frame_longer_than_its_size_can_say_is_refused():
    with pytest.raises(ValueError, match="at most 65535 bytes"):
        sealed(FrameType.HEADER, 7, TIME_NS, bytes(65_530))
