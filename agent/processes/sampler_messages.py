"""What passes between the agent and the sampler; see `protocol` for the rules."""

import msgspec

from agent.processes.protocol import Message, Stop
from device_catalog.contract.documents import Acquisition


class ChannelPlan(msgspec.Struct, frozen=True):
    """`algorithms.api.samples.Channel` as plain data."""

    name: str
    quantity: str
    phase: str
    skew: float = 0.0
    resolution: float = 0.0
    gain_uncertainty: float = 0.0
    phase_uncertainty: float = 0.0
    full_scale: float = 0.0


class SamplingPlan(msgspec.Struct, frozen=True):
    """
    What a source granted, as plain data.

    Attributes
    ----------
    sample_rate : float
        [Hz]
    channels : tuple of ChannelPlan
    block_samples : int
        Samples per channel in a full block.
    driver, description : str
    live : bool
    judges_time : bool
        Whether the source tells how good its time is, also after a step of the clock.
    history : float
        How far back its ring reaches [s].
    realtime : str
        How the sampler runs: ``fifo``, ``nice`` or ``ordinary``.
    """

    sample_rate: float
    channels: tuple[ChannelPlan, ...]
    block_samples: int
    driver: str = ""
    description: str = ""
    live: bool = True
    judges_time: bool = False
    realtime: str = "ordinary"
    history: float = 0.0


class SamplingStatus(msgspec.Struct, frozen=True):
    """
    How sampling is doing.

    Attributes
    ----------
    samples, lost : int
        Per channel since the sampler started: delivered, and known to be missing.
    last_ns : int
        UTC of the sample after the last one delivered [ns]; 0 before the first.
    end_index : int
    flags : int
        Every `SampleFlag` since the status before, together.
    time_uncertainty : float
        Of the last block [s].
    processor : float
        Share of one core since the status before [1].
    memory : int
        Private memory [bytes].
    """

    samples: int = 0
    lost: int = 0
    last_ns: int = 0
    end_index: int = 0
    flags: int = 0
    time_uncertainty: float = 0.0
    processor: float = 0.0
    memory: int = 0


class StartSampling(Message, frozen=True, tag="start-sampling"):
    """
    Agent: open the source.

    Attributes
    ----------
    acquisition : Acquisition
    previous_index : int
        Where the sampler before this one ended; indices go on from there, with a gap as long as the time between.
    previous_ns : int
        UTC of that sample [ns]; 0 for the first sampler.
    previous_written_ns : int
        When its last block was written [ns, monotonic].
    """

    acquisition: Acquisition
    previous_index: int = 0
    previous_ns: int = 0
    previous_written_ns: int = 0


class SamplingStarted(Message, frozen=True, tag="sampling-started"):
    """Sampler: the source runs; brings the sealed ring (1 descriptor)."""

    plan: SamplingPlan
    sealed: bool


class AddReader(Message, frozen=True, tag="add-reader"):
    """Agent: wake this reader at each block; brings the writing end of its pipe (1 descriptor)."""

    number: int


class RemoveReader(Message, frozen=True, tag="remove-reader"):
    """Agent: the reader is gone."""

    number: int


class Sampled(Message, frozen=True, tag="sampled"):
    """Sampler: how it is doing."""

    status: SamplingStatus


class SamplingEnded(Message, frozen=True, tag="sampling-ended"):
    """Sampler: no more samples come. `kind` is ``ended``, ``lost``, ``refused``, ``failed`` or ``stopped``."""

    kind: str
    message: str
    status: SamplingStatus
    traceback: str = ""


ToSampler = StartSampling | AddReader | RemoveReader | Stop
FromSampler = SamplingStarted | Sampled | SamplingEnded
