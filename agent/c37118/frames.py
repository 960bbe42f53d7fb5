r"""
Frames of IEEE C37.118.2: measurement frames and configurations written as others' phasor concentrators read them. Pure.

Where it stands: `stream` decides what to write, `server` sends it. Written are data, header and the two
older configuration frames, read are command frames (IEEE Std C37.118.2-2011, clause 6). Phasors are RMS values in
32-bit floats, rectangular or polar; frequency and its rate are floats or 16-bit integers. All numbers are big-endian.
Every frame begins with SYNC, FRAMESIZE, IDCODE, SOC and FRACSEC and ends with CHK::

    AA 02 | size | id | second of the epoch | time quality, fraction of TIME_BASE | ... | CRC-CCITT
       \___ type (0 data, 1 header, 3 configuration 2, 4 command) and version of the standard

What was not measured is NaN, or -32768 in an integer.
"""

import math
import struct
from collections.abc import Sequence
from enum import IntEnum

import msgspec

VERSION = 2
"""Of the standard: 2011."""
TIME_BASE = 1_000_000
"""Fractions of a second are counted in microseconds."""
LONGEST = 65_535
HEAD = struct.Struct(">HHHII")
CRC_LENGTH = 2
ABSENT = -32_768

NOT_SYNCHRONISED = 1 << 13
DO_NOT_USE = 0b11 << 14
_TIME_LEVELS = tuple((code, 10.0 ** (code - 10)) for code in range(1, 10))
_PMU_LEVELS = ((1, 1e-7), (2, 1e-6), (3, 1e-5), (4, 1e-4), (5, 1e-3), (6, 1e-2))


class FrameType(IntEnum):
    """What a frame is."""

    DATA = 0
    HEADER = 1
    CONFIGURATION_1 = 2
    CONFIGURATION_2 = 3
    COMMAND = 4


class CommandCode(IntEnum):
    """What a concentrator may ask for."""

    STOP = 1
    START = 2
    SEND_HEADER = 3
    SEND_CONFIGURATION_1 = 4
    SEND_CONFIGURATION_2 = 5
    SEND_CONFIGURATION_3 = 6
    EXTENDED = 8


class FrameError(ValueError):
    """Bytes are no frame of C37.118.2."""


class Layout(msgspec.Struct, frozen=True):
    """
    What a stream's data frames hold: all that configuration 2 says.

    Attributes
    ----------
    id_code : int
        Of the stream and of its one unit, 1 to 65534.
    station : str
        Shown as at most 16 ASCII characters.
    phasors : tuple of str
        Names in order; those that begin with ``I`` are currents.
    rate : int
        Frames per second, or, negative, seconds per frame.
    nominal_frequency : float
        50 or 60 [Hz].
    polar : bool
        Magnitude and angle instead of real and imaginary part.
    fixed_frequency : bool
        Deviation in millihertz and rate in hundredths of Hz/s as 16-bit integers.
    changes : int
        How often this layout has changed (CFGCNT).
    """

    id_code: int
    station: str
    phasors: tuple[str, ...]
    rate: int
    nominal_frequency: float = 50.0
    polar: bool = False
    fixed_frequency: bool = False
    changes: int = 0

    @property
    def format(self) -> int:
        """The FORMAT word."""
        return (0 if self.fixed_frequency else 8) | 2 | (1 if self.polar else 0)


def crc_ccitt(data: bytes) -> int:
    """
    Return the check word: polynomial x^16 + x^12 + x^5 + 1, started with ones, neither reflected nor inverted.

    >>> hex(crc_ccitt(b"123456789"))
    '0x29b1'
    """
    crc = 0xFFFF
    for byte in data:
        crc = ((crc << 8) & 0xFFFF) ^ _crc_table[(crc >> 8) ^ byte]
    return crc


def _crc_of_byte(byte: int) -> int:
    crc = byte << 8
    for _ in range(8):
        crc = (crc << 1) ^ (0x1021 if crc & 0x8000 else 0)
    return crc & 0xFFFF


_crc_table = tuple(_crc_of_byte(byte) for byte in range(256))


def sealed(frame_type: FrameType, id_code: int, time_ns: int, content: bytes, time_quality: int = 0) -> bytes:
    """
    Put head and check word around a frame's content.

    Raises
    ------
    ValueError
        When it is longer than a frame can say.
    """
    size = HEAD.size + len(content) + CRC_LENGTH
    if size > LONGEST:
        raise ValueError(f"a frame of at most {LONGEST} bytes expected, found {size}")
    microseconds = (time_ns + 500) // 1000
    second, fraction = divmod(microseconds, TIME_BASE)
    sync = 0xAA00 | frame_type << 4 | VERSION
    head = HEAD.pack(sync, size, id_code, second & 0xFFFFFFFF, (time_quality & 0xFF) << 24 | fraction)
    return head + content + struct.pack(">H", crc_ccitt(head + content))


def configuration(layout: Layout, time_ns: int, *, first_kind: bool = False) -> bytes:
    """Write what data frames hold (6.4, table 9): configuration 2, or the 1 of a unit that can do nothing else."""
    kind = FrameType.CONFIGURATION_1 if first_kind else FrameType.CONFIGURATION_2
    units = [struct.pack(">I", (1 << 24 if name.startswith("I") else 0)) for name in layout.phasors]
    content = b"".join(
        [
            struct.pack(">IH", TIME_BASE, 1),
            _padded(layout.station),
            struct.pack(">HHHHH", layout.id_code, layout.format, len(layout.phasors), 0, 0),
            *(_padded(name) for name in layout.phasors),
            *units,
            struct.pack(
                ">HHh", 1 if round(layout.nominal_frequency) == 50 else 0, layout.changes & 0xFFFF, layout.rate
            ),
        ]
    )
    return sealed(kind, layout.id_code, time_ns, content)


def header(layout: Layout, time_ns: int, text: str) -> bytes:
    """Write words for people (6.3)."""
    return sealed(FrameType.HEADER, layout.id_code, time_ns, text.encode("ascii", "replace"))


def data(
    layout: Layout,
    time_ns: int,
    *,
    phasors: Sequence[tuple[float, float] | None],
    frequency: float | None,
    rocof: float | None,
    stat: int = 0,
    time_quality: int = 0,
) -> bytes:
    """
    Write one instant's measurements (6.2, table 5).

    Parameters
    ----------
    layout : Layout
    time_ns : int
        [ns UTC]
    phasors : sequence
        RMS magnitude [V or A] and angle [rad] of each, in the layout's order; None where not measured.
    frequency, rocof : float or None
        [Hz], [Hz/s]
    stat : int
        The STAT word.
    time_quality : int
        Bits 31 to 24 of FRACSEC.
    """
    nan = math.nan
    if layout.polar:
        numbers = [part for phasor in phasors for part in (phasor or (nan, nan))]
    else:
        numbers = [
            part
            for phasor in phasors
            for part in (
                (nan, nan) if phasor is None else (phasor[0] * math.cos(phasor[1]), phasor[0] * math.sin(phasor[1]))
            )
        ]
    words = struct.pack(f">H{len(numbers)}f", stat, *numbers)
    if layout.fixed_frequency:
        deviation = None if frequency is None else 1000.0 * (frequency - layout.nominal_frequency)
        words += struct.pack(">hh", _integer(deviation), _integer(None if rocof is None else 100.0 * rocof))
    else:
        words += struct.pack(">ff", nan if frequency is None else frequency, nan if rocof is None else rocof)
    return sealed(FrameType.DATA, layout.id_code, time_ns, words, time_quality)


def stat_word(*, usable: bool, synchronised: bool, time_error: float | None) -> int:
    """
    Write the STAT word (6.2, table 7): two bits for errors, one for synchronisation, three for the time's quality.

    Parameters
    ----------
    usable : bool
        Whether values may be used at all.
    synchronised : bool
        Whether angles refer to UTC.
    time_error : float or None
        Largest error of the time stamp [s]; None where it is not known.
    """
    code = 7 if time_error is None else next((code for code, limit in _PMU_LEVELS if time_error < limit), 7)
    unlocked = 0 if synchronised else 0b11 << 4
    return (0 if usable else DO_NOT_USE) | (0 if synchronised else NOT_SYNCHRONISED) | code << 6 | unlocked


def time_quality_code(time_error: float | None) -> int:
    """
    Write the message time quality (6.2.2, table 4) of a time stamp's largest error [s]: decades, 15 for not reliable.

    >>> [time_quality_code(error) for error in (0.0, 3e-7, 0.004, 5.0, None)]
    [0, 4, 8, 11, 15]
    """
    if time_error is None or time_error >= 10.0:
        return 15
    if time_error == 0.0:
        return 0
    if time_error >= 1.0:
        return 11
    return next((code for code, limit in _TIME_LEVELS if time_error < limit), 10)


def read_command(frame: bytes) -> tuple[int, int]:
    """
    Read a command frame; return the id it is for and what is asked.

    Raises
    ------
    FrameError
        When it is none.
    """
    if len(frame) < HEAD.size + 2 + CRC_LENGTH:
        raise FrameError(f"a command of {HEAD.size + 4} bytes or more expected, found {len(frame)}")
    sync, size, id_code, _, _ = HEAD.unpack_from(frame)
    if sync >> 8 != 0xAA or (sync >> 4) & 7 != FrameType.COMMAND or size != len(frame):
        raise FrameError(f"a command frame expected, found {frame[:8].hex(' ')}")
    if crc_ccitt(frame[:-CRC_LENGTH]) != int.from_bytes(frame[-CRC_LENGTH:]):
        raise FrameError("a command frame with the right check word expected, found another")
    return id_code, int.from_bytes(frame[HEAD.size : HEAD.size + 2])


def size_of(head: bytes) -> int:
    """
    Return how long the frame is that begins with these four bytes.

    Raises
    ------
    FrameError
        When nothing begins with them.
    """
    sync, size = struct.unpack_from(">HH", head)
    if sync >> 8 != 0xAA or size < HEAD.size + CRC_LENGTH:
        raise FrameError(f"SYNC and a size expected, found {head[:4].hex(' ')}")
    return int(size)


def _integer(value: float | None) -> int:
    if value is None or not abs(value) < 32_767.5:
        return ABSENT
    return max(-32_767, min(32_767, round(value)))


def _padded(text: str) -> bytes:
    return text.encode("ascii", "replace")[:16].ljust(16)
