"""
What a waveform source delivers: blocks of simultaneous samples in volts and amperes.

A block is a value: frozen, its array read-only. Loss is never papered over: it shows as a jump of
`first_index` from one block to the next and as a flag, and no sample is ever invented.
"""

from dataclasses import dataclass, field, fields
from enum import IntFlag, StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

NANOSECONDS = 1_000_000_000


class Quantity(StrEnum):
    """What a channel measures."""

    VOLTAGE = "voltage"
    CURRENT = "current"


class Phase(StrEnum):
    """The conductor a channel belongs to (IEC 61968 names; N is the neutral)."""

    A = "A"
    B = "B"
    C = "C"
    N = "N"


class SampleFlag(IntFlag):
    """What is wrong with a block; 0 means nothing."""

    NONE = 0
    LOST = 1
    """Samples between the block before and this one are missing."""
    MISSING = 2
    """The source marked samples inside this block as missing; they are NaN."""
    CLIPPED = 4
    """At least one channel stood at the end of its range."""
    UNSYNCHRONISED = 8
    """The time stamp does not come from a clock known to follow UTC."""
    RATE_CHANGED = 16
    """The sampling rate differs from the block before."""


@dataclass(frozen=True, slots=True)
class Channel:
    """
    One input: what it measures and how well.

    Attributes
    ----------
    name : str
        Unique among a source's channels, such as ``ua``.
    quantity : Quantity
    phase : Phase
    skew : float
        Time of this channel's sample after the block's nominal sampling instant [s]. A multiplexed converter
        takes channel k later than channel 0; phase corrections of a transducer are folded in here.
    resolution : float
        Value of one step of the converter in the channel's unit [V or A]; 0 where it is not known.
    gain_uncertainty : float
        Relative standard uncertainty of the gain [1]; 0 where it is not known.
    phase_uncertainty : float
        Standard uncertainty of the phase displacement [rad]; 0 where it is not known.
    full_scale : float
        Largest magnitude the input can represent [V or A]; 0 where it is not known.
    """

    name: str
    quantity: Quantity
    phase: Phase
    skew: float = 0.0
    resolution: float = 0.0
    gain_uncertainty: float = 0.0
    phase_uncertainty: float = 0.0
    full_scale: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class SampleBlock:
    """
    Consecutive samples of all channels.

    Attributes
    ----------
    values : numpy.ndarray
        Shape (n_channels, n_samples), float32 or float64, in V and A, read-only. NaN only where
        `SampleFlag.MISSING` is set.
    channels : tuple of Channel
        One for each row.
    sample_rate : float
        True rate, as well as it is known [Hz].
    first_index : int
        Number of the first sample since the source started; gaps show here.
    time_ns : int
        UTC of the first sample's nominal instant [ns since 1970].
    time_uncertainty : float
        Standard uncertainty of `time_ns` [s].
    flags : SampleFlag
    rate_uncertainty : float
        Relative standard uncertainty of `sample_rate` [1]; 0 where it is not known.
    """

    values: NDArray[np.floating]
    channels: tuple[Channel, ...]
    sample_rate: float
    first_index: int
    time_ns: int
    time_uncertainty: float = 0.0
    flags: SampleFlag = field(default=SampleFlag.NONE)
    rate_uncertainty: float = 0.0

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.values.shape[0] != len(self.channels):
            raise ValueError(
                f"values of shape (n_channels, n_samples) = ({len(self.channels)}, n) expected, "
                f"found {self.values.shape}"
            )
        if not self.sample_rate > 0:
            raise ValueError(f"a sampling rate above 0 Hz expected, found {self.sample_rate}")
        if self.values.flags.writeable:
            view = self.values.view()
            view.flags.writeable = False
            object.__setattr__(self, "values", view)

    def __reduce__(self) -> tuple[Any, ...]:
        # Made anew rather than restored, so that a block is read-only in another process too.
        return type(self), tuple(getattr(self, column.name) for column in fields(self))

    @property
    def n_samples(self) -> int:
        """Samples per channel."""
        return int(self.values.shape[1])

    @property
    def duration(self) -> float:
        """Time the block covers [s]."""
        return self.n_samples / self.sample_rate

    @property
    def end_index(self) -> int:
        """Number of the sample after the last one: the `first_index` of a block without a gap."""
        return self.first_index + self.n_samples

    @property
    def end_ns(self) -> int:
        """UTC of the sample after the last one [ns]."""
        return self.time_ns + round(self.duration * NANOSECONDS)
