"""
What every algorithm is: records in, records out, and nothing else.

An algorithm has no files, sockets, clock, threads or randomness of its own. It sees time only in the records and in
`tick`, so the same input gives the same output, and every field recording replays exactly. Its host calls it from one
thread, in this order::

    algorithm = Energy(settings)                 stores its arguments, does nothing
    algorithm.start(context, restored)           says everything that is wrong with the settings at once
    records = algorithm.process(record)          for each record it consumes, oldest first
    records = algorithm.tick(now_ns)             every info.tick_interval
    state = algorithm.checkpoint()               every info.checkpoint_interval, before a stop, and when it asks
    algorithm.stop()                             may come twice

Samples may have gaps: `SampleBlock.first_index` jumps. After a crash, an update or a change of the network a new
instance is started, and gets the last checkpoint, perhaps one of an older version.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from algorithms.api.manifest import AlgorithmInfo
from algorithms.api.network import NetworkModel
from algorithms.api.records import Record
from algorithms.api.samples import Channel, SampleBlock


@dataclass(frozen=True, slots=True)
class Context:
    """
    Where an algorithm runs.

    Attributes
    ----------
    device : str
    terminal : str
        The terminal this device measures; empty where it measures none.
    nominal_frequency : float
        [Hz]
    nominal_voltage : float
        Phase to neutral [V].
    channels : tuple of Channel
        What the source really delivers; empty on a device without one.
    sample_rate : float
        What the source was granted [Hz]; 0 without a source. Blocks tell the true rate.
    synchronised : bool
        Whether block times may follow UTC at all; each block's flags and `time_uncertainty` say how well.
    network : NetworkModel or None
    """

    device: str
    terminal: str = ""
    nominal_frequency: float = 50.0
    nominal_voltage: float = 230.0
    channels: tuple[Channel, ...] = ()
    sample_rate: float = 0.0
    synchronised: bool = False
    network: NetworkModel | None = None


class Algorithm(ABC):
    """
    Base of all algorithms; `conformance.check_algorithm` tests what it cannot enforce.

    Parameters
    ----------
    settings : mapping
        As the catalog sent them, unread.

    Attributes
    ----------
    keep_now : bool
        Set by an algorithm that has just learned what must outlive a power cut: its host then takes a checkpoint
        before it hands on what came of the call, and clears this.
    """

    info: ClassVar[AlgorithmInfo]
    keep_now: bool = False

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.settings = settings

    @abstractmethod
    def start(self, context: Context, restored: bytes | None) -> None:
        """
        Read the settings and make ready.

        Parameters
        ----------
        context : Context
        restored : bytes or None
            The last checkpoint, also of another version; None at the very first start.

        Raises
        ------
        SettingsError
            With every problem of the settings in this context.
        CheckpointError
            When `restored` cannot be used; the host then starts a new instance without it, and says so.
        """

    @abstractmethod
    def process(self, record: SampleBlock | Record) -> Sequence[Record]:
        """Take one record; return what follows from it, oldest first."""

    def tick(self, now_ns: int) -> Sequence[Record]:  # noqa: ARG002 - for those who override it
        """Return what the passing of time brings about, such as a deadline [ns UTC]."""
        return ()

    def checkpoint(self) -> bytes:
        """Return what a later instance needs to go on; must be readable by newer versions."""
        return b""

    def stop(self) -> None:  # noqa: B027 - most have nothing to let go of
        """Let go of everything."""
