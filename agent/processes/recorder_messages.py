"""
What the agent and its recorder process say to each other; carried by `channel`, like all of `protocol`.

Nothing here needs numpy. Rules: a `Record` may be repeated with another end, or to a new process after the one before
died; the newest counts. The process answers each span once, with `Recorded` or `NotRecorded`.
"""

import msgspec

from agent.processes.protocol import Message, Stop
from algorithms.api.records import Event, Severity
from device_catalog.contract.recordings import RecordingInfo


class Span(msgspec.Struct, frozen=True):
    """
    A stretch of time that is recorded.

    Attributes
    ----------
    id : str
    start_ns, end_ns : int
        [ns UTC]; the end may change until it is reached.
    trigger_ns : int
        Start of the event that began it [ns UTC].
    events : tuple of Event
        All that fall into it, the trigger first.
    """

    id: str
    start_ns: int
    end_ns: int
    trigger_ns: int
    events: tuple[Event, ...]

    @property
    def severity(self) -> Severity:
        """The highest of its events."""
        order = list(Severity)
        return min((event.severity for event in self.events), key=order.index)


class StartRecorder(Message, frozen=True, tag="start-recorder"):
    """
    Agent: stand by; brings the ring (1 descriptor) where there is one.

    Attributes
    ----------
    folder : str
        Where recordings are kept.
    budget : int
        [bytes]
    device, terminal : str
    nominal_frequency : float
        [Hz]
    ratios : dict
        Of each channel by its name: primary volts or amperes for one volt at the converter.
    ring : bool
        Whether the descriptor comes with it.
    """

    folder: str
    budget: int
    device: str
    terminal: str
    nominal_frequency: float
    ratios: dict[str, float]
    ring: bool


class Record(Message, frozen=True, tag="record"):
    """Agent: record this; said again with another end where an event lasts longer, or is over."""

    span: Span


class NewRing(Message, frozen=True, tag="new-ring"):
    """Agent: another sampler writes here from now on; brings the ring (1 descriptor)."""


class RecorderStarted(Message, frozen=True, tag="recorder-started"):
    """Recorder: it stands by."""


class Recorded(Message, frozen=True, tag="recorded"):
    """
    Recorder: a span is on the disk.

    Attributes
    ----------
    span : Span
        With the end that was really reached.
    info : RecordingInfo
    dropped : tuple of str
        Recordings that made room for it.
    """

    span: Span
    info: RecordingInfo
    dropped: tuple[str, ...] = ()


class NotRecorded(Message, frozen=True, tag="not-recorded"):
    """Recorder: a span could not be recorded, and why; `dropped` went before that was known."""

    id: str
    reason: str
    dropped: tuple[str, ...] = ()


class RecorderAlive(Message, frozen=True, tag="recorder-alive"):
    """Recorder: it is at work."""


ToRecorder = StartRecorder | Record | NewRing | Stop
FromRecorder = RecorderStarted | Recorded | NotRecorded | RecorderAlive
