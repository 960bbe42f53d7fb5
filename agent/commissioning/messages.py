"""
What passes between the commissioning page and the agent, over a socket in the agent's runtime folder.

The page asks, the agent answers each question once. Frames are those of `agent.processes.channel`. With `AgentState`
comes the ring's descriptor where it was asked for and there is one: memory that its readers cannot write. The page has
no credential: what is to be signed and handed in goes through `HandIn`, and the agent puts in itself what it knows
better than the page: whose it is, when it is, and what runs.
"""

import msgspec

from algorithms.api.readings import ChannelReading, Estimate, PowerReading
from device_catalog.contract.commissioning import Answer, VerdictLine
from device_catalog.contract.reports import LinkReport, SourceReport, TimeReport

SOCKET = "agent.sock"
"""In the agent's runtime folder."""

WANTED = "commissioning.reopened"
"""In the same folder: since when the settings want another commissioning [s since 1970]."""

MAXIMUM_QUESTION = 128 * 1024
MAXIMUM_STATE = 512 * 1024
"""Longest messages, either way [bytes]."""


class Message(msgspec.Struct, frozen=True, tag=True):
    """Base of all."""


class Look(Message, frozen=True):
    """How is everything? `ring` asks for the samples' memory as well."""

    ring: bool = False


class Observed(msgspec.Struct, frozen=True):
    """
    What the page read and judged; the rest of a record is the agent's.

    Attributes
    ----------
    installer, place, note : str
    answer : Answer
    verdicts : tuple of VerdictLine
    frequency, voltage, current, power, window
        As in `CommissioningRecord`.
    """

    installer: str
    place: str
    note: str
    answer: Answer
    verdicts: tuple[VerdictLine, ...]
    frequency: Estimate | None = None
    voltage: dict[str, ChannelReading] = {}
    current: dict[str, ChannelReading] = {}
    power: dict[str, PowerReading] = {}
    window: float = 0.0


class HandIn(Message, frozen=True):
    """Sign this, and hand it in."""

    observed: Observed


class CatalogState(msgspec.Struct, frozen=True):
    """
    How the catalog answers.

    Attributes
    ----------
    address : str
    answered : float or None
        How long ago [s]; None where it never did since the agent started.
    problem : str
        Why the last question was not answered; empty where it was.
    ahead : float or None
        By how much this machine's clock is ahead of the catalog's [s]; None where unknown. To a second or so.
    """

    address: str = ""
    answered: float | None = None
    problem: str = ""
    ahead: float | None = None


class Handed(msgspec.Struct, frozen=True):
    """
    What became of the newest record.

    Attributes
    ----------
    state : str
        ``none``, ``waiting`` (for the catalog), ``accepted``, or ``refused``.
    made : str
        Of the record.
    answer : str
    number : int
        Under which the catalog keeps it.
    problem : str
    """

    state: str = "none"
    made: str = ""
    answer: str = ""
    number: int = 0
    problem: str = ""


class Settings(msgspec.Struct, frozen=True):
    """
    What the settings in force say, as far as an installer's answer depends on it.

    Attributes
    ----------
    terminal : str
    has_source : bool
        Whether this agent has a board at all.
    nominal_voltage, nominal_frequency : float
        [V], [Hz]
    direction : str
    sample_rate : float
        [Hz]
    channels : tuple of str
        Each with its input and ratio.
    """

    terminal: str = ""
    has_source: bool = False
    nominal_voltage: float = 230.0
    nominal_frequency: float = 50.0
    direction: str = "either"
    sample_rate: float = 0.0
    channels: tuple[str, ...] = ()


class AgentState(Message, frozen=True):
    """
    How everything is.

    Attributes
    ----------
    device, version : str
    boot : int
    revision : int
        Of the settings in force; 0 for none.
    refused : tuple of str
        What is wrong with the settings that were asked for.
    settings : Settings
    catalog : CatalogState
    links : dict
        `LinkReport` for ``grid`` and ``data``.
    source : SourceReport or None
    time : TimeReport
    certificate_left : float or None
        How long the certificate counts [s], by this clock; None for none.
    certificate_begins : float
        In how long it begins to count [s]; not above 0 where it does.
    algorithms : dict
        State of each, by name.
    software : dict
        Versions by name.
    problems : tuple of str
    handed : Handed
    reopened : float
        When the settings asked for another commissioning [s since 1970]; 0 for never.
    has_ring : bool
        Whether the ring's descriptor comes with this.
    """

    device: str
    version: str
    boot: int = 0
    revision: int = 0
    refused: tuple[str, ...] = ()
    settings: Settings = Settings()
    catalog: CatalogState = CatalogState()
    links: dict[str, LinkReport] = {}
    source: SourceReport | None = None
    time: TimeReport = TimeReport(False)
    certificate_left: float | None = None
    certificate_begins: float = 0.0
    algorithms: dict[str, str] = {}
    software: dict[str, str] = {}
    problems: tuple[str, ...] = ()
    handed: Handed = Handed()
    reopened: float = 0.0
    has_ring: bool = False


class Taken(Message, frozen=True):
    """The answer to `HandIn`: nothing to say where it is signed and kept, else why not."""

    problem: str = ""


Question = Look | HandIn
Reply = AgentState | Taken
