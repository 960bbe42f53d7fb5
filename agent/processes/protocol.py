"""
What the agent's processes say to each other: one type for each message, tagged, carried by `channel`.

Here is what all have in common, and the fork server and the probe; what passes to and from samplers, algorithms and the
recorder stands in `sampler_messages`, `algorithm_messages` and `recorder_messages`.

Where it stands: between the agent (`workers`) and the processes it owns (`fork_server`, `sampling`,
`algorithm_host`). Nothing here needs numpy, so that the agent never loads it.

Rules:

- A message that brings file descriptors says so in its description; the receiver takes exactly that many.
- What comes from an algorithm's process is never believed: it is bounded, decoded by type, and checked again.
- Records travel one by one as encoded bytes, so that one that is wrong or too long does not spoil its batch.
"""

import msgspec

REPORT_INTERVAL = 1.0
"""How often samplers and algorithms say how they are doing; silence beyond it counts as a hang [s]."""

CONTROL_SIZE = 64 * 1024 * 1024
"""Longest message from the agent to its own processes; network documents are large [bytes]."""


class Message(msgspec.Struct, frozen=True, tag_field="type"):
    """Base of all messages."""


class Stop(Message, frozen=True, tag="stop"):
    """Agent: finish. An algorithm answers with its last checkpoint and `AlgorithmStopped`."""


# ---- agent and fork server


class Fork(Message, frozen=True, tag="fork"):
    """
    Agent: start a child of this role; brings the child's end of its channel (1 descriptor).

    Attributes
    ----------
    number : int
    role : str
    box : str
        Folder that an algorithm in bubblewrap sees besides Python's libraries; empty for none.
    """

    number: int
    role: str
    box: str = ""


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


ToForkServer = Fork
FromForkServer = Ready | Forked | ForkFailed | Exited


# ---- agent and probe


class Probe(Message, frozen=True, tag="probe"):
    """Agent: confine yourself and try everything that is forbidden; brings a sealed ring (1 descriptor) or none."""

    user: int
    ring: bool


class Probed(Message, frozen=True, tag="probed"):
    """Probe: what confines it, each with whether it held."""

    isolation: dict[str, bool]
