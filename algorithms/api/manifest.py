"""
What an algorithm says of itself: in its class (`AlgorithmInfo`) and in its package (`Manifest`).

Neither needs numpy, so an agent can read them without loading the algorithm.
"""

import re

import msgspec

from algorithms.api.errors import Problem, shortened
from algorithms.api.records import Kind
from algorithms.api.settings import Setting

API_VERSION = 1
"""Version of the vocabulary; raised when an algorithm written for the one before would no longer run."""

_name = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_version = re.compile(r"\d+\.\d+\.\d+([.-]?[A-Za-z0-9]+)*")
_content = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}/\d+")


class AlgorithmInfo(msgspec.Struct, frozen=True):
    """
    What a host must know to run an algorithm.

    Attributes
    ----------
    name, version : str
    summary : str
        One sentence for the engineer who assigns it.
    consumes : tuple of Kind
        What `process` wants to see: samples, or records of other algorithms here or on neighbouring devices.
    produces : tuple of Kind
        What it may return; anything else is refused.
    contents : tuple of str
        Schemas of the `Result` records it makes, such as ``energy/1``.
    settings : tuple of Setting
    needs_network : bool
        Whether it cannot start without a network model.
    history : float
        Samples before its start that it wants to see first, as far as there are any [s].
    time_budget : float
        Processor time that one call may take on the slowest target [s]; a host reports when it takes longer.
    tick_interval : float
        How often `tick` is called [s]; 0 for never.
    checkpoint_interval : float
        How often the host keeps a checkpoint [s]; 0 for never. Each one costs a write to the card.
    api_version : int
    """

    name: str
    version: str
    summary: str
    consumes: tuple[Kind, ...]
    produces: tuple[Kind, ...]
    contents: tuple[str, ...] = ()
    settings: tuple[Setting, ...] = ()
    needs_network: bool = False
    history: float = 0.0
    time_budget: float = 0.01
    tick_interval: float = 0.0
    checkpoint_interval: float = 0.0
    api_version: int = API_VERSION


class Limits(msgspec.Struct, frozen=True):
    """
    What an algorithm's process may use.

    Attributes
    ----------
    memory : int
        Private memory beyond what it was started with [bytes].
    processor : float
        Share of one core, averaged over ten seconds [1].
    records_per_second : float
        What it may send, averaged over ten seconds [1/s].
    record_size : int
        Largest record [bytes].
    response : float
        Longest time without progress while there is work to do [s].
    """

    memory: int = 96 * 1024 * 1024
    processor: float = 1.0
    records_per_second: float = 200.0
    record_size: int = 1024 * 1024
    response: float = 10.0


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    What an algorithm's package says of itself, its ``algorithm.toml``.

    Attributes
    ----------
    info : AlgorithmInfo
    entry : str
        Where the class is, ``package.module:Class``.
    release : int
        Counts the releases; a device never goes back to a lower one on its own.
    limits : Limits
    runtime : tuple of str
        Packages it needs from the agent's own runtime, such as ``numpy``.
    """

    info: AlgorithmInfo
    entry: str
    release: int = 1
    limits: Limits = Limits()
    runtime: tuple[str, ...] = ("numpy",)


def problems_of_info(info: AlgorithmInfo, where: str = "info") -> list[Problem]:
    """Find everything wrong with what an algorithm says of itself."""
    problems = []

    def expect(right: bool, field: str, expected: str, found: object) -> None:
        if not right:
            problems.append(Problem(f"{where}.{field}", expected, shortened(found)))

    expect(bool(_name.fullmatch(info.name)), "name", "letters, digits, _ and - (at most 64)", info.name)
    expect(bool(_version.fullmatch(info.version)), "version", "a version such as 1.4.2", info.version)
    expect(bool(info.summary.strip()), "summary", "one sentence", info.summary)
    expect(info.api_version == API_VERSION, "api_version", f"{API_VERSION}", info.api_version)
    expect(bool(info.consumes) or info.tick_interval > 0, "consumes", "a kind, or a tick_interval", "nothing")
    expect(Kind.SAMPLES not in info.produces, "produces", "records, not samples", "samples")
    expect(info.time_budget > 0, "time_budget", "more than 0 [s]", info.time_budget)
    for field in ("history", "tick_interval", "checkpoint_interval"):
        value = getattr(info, field)
        expect(value >= 0, field, "0 or more [s]", value)
    expect(
        bool(info.contents) == (Kind.RESULT in info.produces),
        "contents",
        "the schemas of its results, if it produces any",
        info.contents,
    )
    for content in info.contents:
        expect(bool(_content.fullmatch(content)), "contents", "a schema such as energy/1", content)
    names = [setting.name for setting in info.settings]
    expect(len(set(names)) == len(names), "settings", "each name once", names)
    return problems
