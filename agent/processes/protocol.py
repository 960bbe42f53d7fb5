"""
What the agent's processes say to each other: one type for each message, tagged, carried by `channel`.

Where it stands: between the agent (`workers`) and the processes it owns (`fork_server`, `sampling`,
`algorithm_host`). Nothing here needs numpy, so that the agent never loads it.

Rules:

- A message that brings file descriptors says so in its description; the receiver takes exactly that many.
- What comes from an algorithm's process is never believed: it is bounded, decoded by type, and checked again.
- Records travel one by one as encoded bytes, so that one that is wrong or too long does not spoil its batch.
"""

from typing import Any

import msgspec

from algorithms.api.errors import Problem
from algorithms.api.manifest import AlgorithmInfo, Limits
from algorithms.api.records import Record
from device_catalog.contract.documents import Acquisition

REPORT_INTERVAL = 1.0
"""How often samplers and algorithms say how they are doing; silence beyond it counts as a hang [s]."""

BATCH_SIZE = 256 * 1024
"""Records of one wake-up are sent together up to this length [bytes]."""

CHECKPOINT_SIZE = 1024 * 1024
"""Longest checkpoint kept [bytes]."""

CONTROL_SIZE = 64 * 1024 * 1024
"""Longest message from the agent to its own processes; network documents are large [bytes]."""


class Message(msgspec.Struct, frozen=True, tag_field="type"):
    """Base of all messages."""


# ---- agent and fork server


class Fork(Message, frozen=True, tag="fork"):
    """Agent: start a child of this role; brings the child's end of its channel (1 descriptor)."""

    number: int
    role: str


class Ready(Message, frozen=True, tag="ready"):
    """Fork server: everything is loaded; modules that could not be, with the reason."""

    failed: dict[str, str]


class Forked(Message, frozen=True, tag="forked"):
    """Fork server: the child runs; brings its process descriptor (1 descriptor)."""

    number: int
    pid: int


class ForkFailed(Message, frozen=True, tag="fork-failed"):
    """Fork server: the system refuses another process."""

    number: int
    message: str


class Exited(Message, frozen=True, tag="exited"):
    """Fork server: a child is gone. `status` is its exit code, negative for a signal; `processor` is in [s]."""

    number: int
    status: int
    processor: float


# ---- agent and sampler


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
    """

    acquisition: Acquisition
    previous_index: int = 0
    previous_ns: int = 0


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


# ---- agent and algorithm


class AlgorithmSpec(msgspec.Struct, frozen=True):
    """
    What an algorithm's process is started with.

    Attributes
    ----------
    name : str
        Of this instance, for messages.
    entry : str
        Name in the entry-point group ``tresma.algorithms``, or ``package.module:Class``.
    settings : dict
        As the catalog sent them, unread.
    device, terminal : str
    nominal_frequency : float
        [Hz]
    nominal_voltage : float
        Phase to neutral [V].
    synchronised : bool
    network : dict or None
        The network document.
    restored : bytes or None
        The last checkpoint.
    limits : Limits
    """

    name: str
    entry: str
    settings: dict[str, Any] = {}
    device: str = ""
    terminal: str = ""
    nominal_frequency: float = 50.0
    nominal_voltage: float = 230.0
    synchronised: bool = False
    network: dict[str, Any] | None = None
    restored: bytes | None = None
    limits: Limits = Limits()


class StartAlgorithm(Message, frozen=True, tag="start-algorithm"):
    """
    Agent: load, confine yourself, start. With `samples` it brings the ring and the reading end of a wake-up pipe.

    Attributes
    ----------
    spec : AlgorithmSpec
    samples : bool
        Whether the two descriptors come with it.
    user : int
        User id to change to where that is possible; 0 for none.
    """

    spec: AlgorithmSpec
    samples: bool
    user: int


class Attach(Message, frozen=True, tag="attach"):
    """Agent: read from this ring from now on; brings the ring and the reading end of a pipe (2 descriptors)."""


class Feed(Message, frozen=True, tag="feed"):
    """Agent: records of other algorithms, here or on neighbouring devices."""

    records: tuple[msgspec.Raw, ...]


class TakeCheckpoint(Message, frozen=True, tag="take-checkpoint"):
    """Agent: answer with a checkpoint now."""


class Stop(Message, frozen=True, tag="stop"):
    """Agent: finish. An algorithm answers with its last checkpoint and `AlgorithmStopped`."""


class AlgorithmStarted(Message, frozen=True, tag="algorithm-started"):
    """
    Algorithm: it runs.

    Attributes
    ----------
    info : AlgorithmInfo
    isolation : dict
        Layers that confine it, each with whether the kernel accepted it.
    note : str
        Why it was started without the checkpoint given; empty where it was not.
    """

    info: AlgorithmInfo
    isolation: dict[str, bool]
    note: str = ""


class AlgorithmRefusal(Message, frozen=True, tag="algorithm-refusal"):
    """Algorithm: its settings, or the network, cannot be used; every problem."""

    problems: tuple[Problem, ...]


class Produced(Message, frozen=True, tag="produced"):
    """Algorithm: encoded records, oldest first."""

    records: tuple[msgspec.Raw, ...]


class AlgorithmStatus(msgspec.Struct, frozen=True):
    """
    How an algorithm is doing.

    Attributes
    ----------
    processed, produced : int
        Blocks and records taken, records made, since it started.
    dropped : int
        Records lost on the way in (it was too slow) or out (too many or too long).
    lost_samples : int
        Samples per channel overwritten before it read them.
    last_index : int
        `end_index` of the last block processed.
    processor : float
        Share of one core since the report before [1].
    memory : int
        Private memory [bytes].
    slowest : float
        Longest processor time of one call since the report before [s].
    over_budget : int
        Calls since it started that took longer than its time budget.
    """

    processed: int = 0
    produced: int = 0
    dropped: int = 0
    lost_samples: int = 0
    last_index: int = 0
    processor: float = 0.0
    memory: int = 0
    slowest: float = 0.0
    over_budget: int = 0


class AlgorithmReported(Message, frozen=True, tag="algorithm-reported"):
    """Algorithm: how it is doing; also its sign of life."""

    status: AlgorithmStatus


class Checkpointed(Message, frozen=True, tag="checkpointed"):
    """Algorithm: what a later instance needs; `asked` where the agent asked for it."""

    data: bytes
    asked: bool


class AlgorithmFailed(Message, frozen=True, tag="algorithm-failed"):
    """Algorithm: it cannot go on, and why."""

    message: str
    traceback: str


class AlgorithmStopped(Message, frozen=True, tag="algorithm-stopped"):
    """Algorithm: it has stopped as asked."""


# ---- agent and probe


class Probe(Message, frozen=True, tag="probe"):
    """Agent: confine yourself and try everything that is forbidden; brings a sealed ring (1 descriptor) or none."""

    user: int
    ring: bool


class Probed(Message, frozen=True, tag="probed"):
    """Probe: what confines it, each with whether it held."""

    isolation: dict[str, bool]


ToForkServer = Fork
FromForkServer = Ready | Forked | ForkFailed | Exited
ToSampler = StartSampling | AddReader | RemoveReader | Stop
FromSampler = SamplingStarted | Sampled | SamplingEnded
ToAlgorithm = StartAlgorithm | Attach | Feed | TakeCheckpoint | Stop
FromAlgorithm = (
    AlgorithmStarted
    | AlgorithmRefusal
    | Produced
    | AlgorithmReported
    | Checkpointed
    | AlgorithmFailed
    | AlgorithmStopped
)


def record_decoder() -> msgspec.msgpack.Decoder[Record]:
    """Make a decoder of single records."""
    return msgspec.msgpack.Decoder(Record)
