"""
What a COMTRADE recording is, once read: channels, rates, times and samples as frozen values.

Between the text of the configuration (`comtrade_config`), the codes of the data (`comtrade_data`) and those who use
them (`comtrade`, `recorded_source`). After IEEE C37.111-1991, -1999 and -2013 (IEC 60255-24). Rules: skews are in
seconds here, microseconds in the file; samples stay the codes that stand in the file until someone asks for values,
so that a recording takes little more memory than its file; a missing sample is NaN, never a number.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from algorithms.api.samples import NANOSECONDS

DataFormat = Literal["ASCII", "BINARY", "BINARY32", "FLOAT32"]

DATA_FORMATS: tuple[DataFormat, ...] = ("ASCII", "BINARY", "BINARY32", "FLOAT32")
REVISIONS = (1991, 1999, 2013)
BITS_PER_WORD = 16
LOWEST_FLOAT32 = float(np.finfo(np.float32).min)


@dataclass(frozen=True, slots=True)
class AnalogChannel:
    """
    One analog channel: ``value = a * code + b`` in `unit`, on the side of the transformer that `is_primary` says.

    Attributes
    ----------
    name, phase, component, unit : str
    a : float
        [unit]
    b : float
        [unit]
    skew : float
        Time of this channel's sample after the nominal instant [s].
    minimum, maximum : float
        Bounds of the codes as declared.
    primary, secondary : float or None
        Ratio of the transformer; None where the file does not state it.
    is_primary : bool
        Whether values are primary ones already.
    """

    name: str
    phase: str = ""
    component: str = ""
    unit: str = ""
    a: float = 1.0
    b: float = 0.0
    skew: float = 0.0
    minimum: float = -32767.0
    maximum: float = 32767.0
    primary: float | None = 1.0
    secondary: float | None = 1.0
    is_primary: bool = True


@dataclass(frozen=True, slots=True)
class DigitalChannel:
    """One digital channel and its normal state (0 or 1)."""

    name: str
    phase: str = ""
    component: str = ""
    normal: int = 0


@dataclass(frozen=True, slots=True)
class DeclaredRate:
    """
    One line of the rate table.

    Attributes
    ----------
    rate : float
        [Hz]; 0 where only the time stamps tell.
    last : int
        Number of the last sample at this rate, from 1.
    """

    rate: float
    last: int


@dataclass(frozen=True, slots=True)
class Configuration:
    """
    Everything the configuration says.

    Attributes
    ----------
    station, device : str
    revision : int
        1991, 1999 or 2013: the family whose rules hold.
    analog : tuple of AnalogChannel
    digital : tuple of DigitalChannel
    frequency : float
        Of the line [Hz]; 0 where it is not stated.
    rates : tuple of DeclaredRate
    start_ns, trigger_ns : int or None
        The recorder's clock face at the first sample and at the trigger [ns since 1970]; None where not stated.
    data_format : str
        ``ASCII``, ``BINARY``, ``BINARY32`` or ``FLOAT32``.
    time_multiplier : float
        [1]
    nanoseconds : bool
        Whether time stamps count nanoseconds instead of microseconds (2013).
    time_code : str
        Offset of the clock face from UTC, such as ``+5h30``; ``x`` where it does not apply (2013).
    local_code : str
    time_quality : str
        Hexadecimal digit, 0 locked to F failed; empty where not stated (2013).
    leap : str
        Leap-second indicator, 0 to 3 (2013).
    """

    station: str
    device: str
    revision: int
    analog: tuple[AnalogChannel, ...]
    digital: tuple[DigitalChannel, ...]
    frequency: float
    rates: tuple[DeclaredRate, ...]
    start_ns: int | None
    trigger_ns: int | None
    data_format: DataFormat
    time_multiplier: float = 1.0
    nanoseconds: bool = False
    time_code: str = ""
    local_code: str = ""
    time_quality: str = ""
    leap: str = ""

    @property
    def n_samples(self) -> int:
        """Samples per channel as declared; 0 where the data alone tell."""
        return self.rates[-1].last if self.rates else 0

    @property
    def n_words(self) -> int:
        """16-bit words that carry the digital channels of one sample."""
        return -(-len(self.digital) // BITS_PER_WORD)

    @property
    def time_unit(self) -> float:
        """What one count of a time stamp means [s]."""
        return (1e-9 if self.nanoseconds else 1e-6) * self.time_multiplier

    @property
    def start_utc_ns(self) -> int | None:
        """UTC of the first sample, as far as the time code tells [ns since 1970]."""
        return None if self.start_ns is None else self.start_ns - utc_offset(self.time_code) * NANOSECONDS

    @property
    def time_uncertainty(self) -> float:
        """Bound of the clock's error by its quality digit [s]; infinite where it is unknown or the clock failed."""
        exponents = {"0": -10, **{f"{digit:X}": digit - 10 for digit in range(1, 12)}}
        exponent = exponents.get(self.time_quality.strip().upper())
        return float("inf") if exponent is None else 10.0**exponent


def utc_offset(code: str) -> int:
    """
    Read a time code [s]; 0 where it says nothing usable.

    >>> utc_offset("-5h30"), utc_offset("+2"), utc_offset("x")
    (-19800, 7200, 0)
    """
    hours, _, minutes = code.strip().lower().partition("h")
    digits = hours.lstrip("+-")
    if not digits.isascii() or not digits.isdigit() or int(digits[:4]) > 24 or (minutes and not minutes.isdigit()):
        return 0
    size = int(digits) * 3600 + (int(minutes[:2]) * 60 if minutes else 0)
    return -size if hours.startswith("-") else size


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """
    A whole recording.

    Attributes
    ----------
    config : Configuration
    codes : numpy.ndarray
        Shape (n_analog, n_samples): int16, int32, float32 or float64 as the file has them, read-only.
    stamps : numpy.ndarray
        Shape (n_samples,): time stamps in counts of ``config.time_unit``, NaN where missing.
    words : numpy.ndarray
        Shape (n_samples, n_words), uint16: the digital channels, 16 to a word, lowest bit first.
    numbers : numpy.ndarray
        Shape (n_samples,): sample numbers as they stand in the file.
    header, information : str
        Free texts of a combined file (HDR and INF).
    """

    config: Configuration
    codes: NDArray[Any]
    stamps: NDArray[np.float64]
    words: NDArray[np.uint16]
    numbers: NDArray[np.int64]
    header: str = field(default="")
    information: str = field(default="")

    def __post_init__(self) -> None:
        n = self.codes.shape[1] if self.codes.ndim == 2 else -1
        expected = ((len(self.config.analog), n), (n,), (n, self.config.n_words), (n,))
        found = (self.codes.shape, self.stamps.shape, self.words.shape, self.numbers.shape)
        if expected != found:
            raise ValueError(f"codes, stamps, words and numbers of shapes {expected} expected, found {found}")

    @property
    def n_samples(self) -> int:
        """Samples per channel."""
        return int(self.codes.shape[1])

    def missing(self, channels: slice | list[int], samples: slice = slice(None)) -> NDArray[np.bool_]:
        """Tell which samples of some channels are missing, shape (n_channels, n_samples)."""
        codes = self.codes[channels, samples]
        marked: NDArray[np.bool_]
        if codes.dtype.kind == "f":
            marked = ~np.isfinite(codes)
            marked |= codes == LOWEST_FLOAT32
            return marked
        marked = np.equal(codes, np.iinfo(codes.dtype).min)
        if self.config.revision == 1991:
            # The first revision marked them 0xFFFF, which is a value like any other where the channel goes below 0.
            minima = np.array([channel.minimum for channel in self.config.analog])[channels]
            marked |= np.equal(codes, -1) & (minima[:, None] >= 0)
        return marked

    def values(self, channels: slice | list[int], samples: slice = slice(None)) -> NDArray[np.float64]:
        """
        Return values of some channels in their own units, as recorded (primary or secondary).

        Parameters
        ----------
        channels : slice or list of int
        samples : slice

        Returns
        -------
        numpy.ndarray
            Shape (n_channels, n_samples), NaN where missing.
        """
        a = np.array([channel.a for channel in self.config.analog])[channels]
        b = np.array([channel.b for channel in self.config.analog])[channels]
        with np.errstate(invalid="ignore"):  # a NaN may be a signalling one
            values = self.codes[channels, samples].astype(np.float64)
        values[self.missing(channels, samples)] = np.nan
        values *= a[:, None]
        values += b[:, None]
        return values

    def digital(self, index: int) -> NDArray[np.uint8]:
        """Return the states of one digital channel, shape (n_samples,)."""
        if not 0 <= index < len(self.config.digital):
            raise IndexError(f"a digital channel from 0 to {len(self.config.digital) - 1} expected, found {index}")
        word, bit = divmod(index, BITS_PER_WORD)
        return ((self.words[:, word] >> bit) & 1).astype(np.uint8)
