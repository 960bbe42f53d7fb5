"""
The protocol of everything that delivers waveforms: a board, a recording, a simulation, a laboratory's own rig.

A source is made from its driver's options, then driven in this order::

    source = SimulatedSource(options)      reads its options, touches nothing
    plan = source.start(request)           the rate and the channels really granted
    block = source.read(timeout)           the next samples, or None when there are none yet
    source.stop()                          at any time, twice

`read` never blocks longer than `timeout`, and returns about `request.block_duration` of samples. Samples that were
lost show as a jump of `SampleBlock.first_index` and `SampleFlag.LOST`; none is ever invented. A recording that has
ended raises `EndOfRecording`; a source that broke raises `SourceLost`, can be stopped, and started again.

A driver enters through the entry-point group ``tresma.sources``; `conformance.check_source` tests it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from algorithms.api.samples import Channel, Phase, Quantity, SampleBlock


class EndOfRecording(Exception):  # noqa: N818 - as StopIteration: an end, no error
    """There are no more samples, and never will be."""


@dataclass(frozen=True, slots=True)
class ChannelRequest:
    """
    One channel asked for, and what the volts of its input stand for.

    The primary value is ``ratio * gain * (adc - offset)``, negated where `reversed`. Sources that deliver primary
    values themselves (recordings, simulation) take the calibration as 1 and 0 unless told otherwise.

    Attributes
    ----------
    name : str
    quantity : Quantity
    phase : Phase
    input : int or str
        Number of the board's input, or name of the recording's channel.
    ratio : float
        [V/V or A/V]
    gain : float
        [1]
    offset : float
        [V]
    phase_correction : float
        Displacement of the transducer at nominal frequency, positive where its output leads [rad].
    reversed : bool
    gain_uncertainty : float
        Relative standard uncertainty [1].
    phase_uncertainty : float
        [rad]
    """

    name: str
    quantity: Quantity
    phase: Phase
    input: int | str
    ratio: float = 1.0
    gain: float = 1.0
    offset: float = 0.0
    phase_correction: float = 0.0
    reversed: bool = False
    gain_uncertainty: float = 0.0
    phase_uncertainty: float = 0.0


@dataclass(frozen=True, slots=True)
class SourceRequest:
    """
    What is asked of a source.

    Attributes
    ----------
    sample_rate : float
        Per channel [Hz]; a recording keeps its own.
    channels : tuple of ChannelRequest
        Empty to take the source's own.
    block_duration : float
        [s]
    nominal_frequency : float
        [Hz]
    nominal_voltage : float
        Phase to neutral [V].
    """

    sample_rate: float
    channels: tuple[ChannelRequest, ...] = ()
    block_duration: float = 0.02
    nominal_frequency: float = 50.0
    nominal_voltage: float = 230.0


@dataclass(frozen=True, slots=True)
class SourcePlan:
    """
    What a source granted.

    Attributes
    ----------
    sample_rate : float
        True rate, as well as it is known [Hz].
    channels : tuple of Channel
        In the order of the rows of every block, each with its skew.
    block_samples : int
        Samples per channel in a full block.
    """

    sample_rate: float
    channels: tuple[Channel, ...]
    block_samples: int


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """
    What a source is, before it is started.

    Attributes
    ----------
    driver : str
    description : str
        For people: model and serial number, file, or kind of simulation.
    live : bool
        Whether time passes while it is read; False for a recording played as fast as possible.
    maximum_rate : float
        Highest rate per channel with the channels it has; 0 where there is no bound [Hz].
    judges_time : bool
        Whether its blocks say all there is to say of their time: how well the clock that stamped them follows UTC
        is in `SampleBlock.time_uncertainty` and `SampleFlag.UNSYNCHRONISED` already.
    """

    driver: str
    description: str
    live: bool = True
    maximum_rate: float = 0.0
    judges_time: bool = False


@runtime_checkable
class WaveformSource(Protocol):
    """
    Anything that delivers waveforms; made as ``Driver(options)`` with the driver's own options.

    Making one raises `SourceError` naming every option that is wrong, and opens nothing.
    """

    def __init__(self, options: Mapping[str, Any]) -> None: ...

    @property
    def info(self) -> SourceInfo:
        """What it is."""
        ...

    def start(self, request: SourceRequest) -> SourcePlan:
        """
        Begin to sample.

        Raises
        ------
        SourceNotFound
            When it is not there.
        SourceRefused
            When it cannot do what is asked; the message says what would fit.
        """
        ...

    def read(self, timeout: float) -> SampleBlock | None:
        """
        Return the next samples, waiting for at most `timeout` [s]; None when there are none yet.

        Raises
        ------
        EndOfRecording
            When there are no more, and never will be.
        SourceLost
            When it broke.
        """
        ...

    def stop(self) -> None:
        """Stop sampling and let go of everything; may come at any time, and twice."""
        ...
