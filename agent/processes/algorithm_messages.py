"""What passes between the agent and an algorithm's process; see `protocol` for the rules."""

from functools import cache
from typing import Any

import msgspec

from agent.processes.protocol import Message, Stop
from algorithms.api.errors import Problem
from algorithms.api.manifest import AlgorithmInfo, Limits
from algorithms.api.records import Record

BATCH_SIZE = 256 * 1024
"""Records of one wake-up are sent together up to this length [bytes]."""

CHECKPOINT_SIZE = 1024 * 1024
"""Longest checkpoint kept [bytes]."""


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
    network, switches : bytes or None
        The network document and where its switches stand, JSON text; read only where the algorithm needs a network.
    restored : bytes or None
        The last checkpoint.
    limits : Limits
    folder : str
        Where it is imported from besides the agent's own libraries; empty for what came with the agent.
    background : bool
        Whether everything else on the machine goes before it.
    boxed : bool
        Whether it runs in bubblewrap or not at all; for what is in a folder.
    """

    name: str
    entry: str
    settings: dict[str, Any] = {}
    device: str = ""
    terminal: str = ""
    nominal_frequency: float = 50.0
    nominal_voltage: float = 230.0
    synchronised: bool = False
    network: bytes | None = None
    switches: bytes | None = None
    restored: bytes | None = None
    limits: Limits = Limits()
    folder: str = ""
    background: bool = False
    boxed: bool = False


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
    needs_network: bool = False


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


@cache
def record_decoder() -> msgspec.msgpack.Decoder[Record]:
    """Make a decoder of single records."""
    return msgspec.msgpack.Decoder(Record)
