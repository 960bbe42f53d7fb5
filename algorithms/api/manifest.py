"""
What an algorithm says of itself: in its class (`AlgorithmInfo`) and in its package (`Manifest`).

Neither needs numpy, so an agent can read them without loading the algorithm.
"""

import math
import re
import tomllib

import msgspec

from algorithms.api.errors import ManifestError, Problem, shortened
from algorithms.api.forms import read_struct
from algorithms.api.records import Kind
from algorithms.api.settings import Setting, problems_of_declaration

API_VERSION = 1
"""Version of the vocabulary; raised when an algorithm written for the one before would no longer run."""

_name = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_version = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9}){2}(?:[.-]?[A-Za-z0-9]{1,20})?(?:[.-][A-Za-z0-9]{1,20}){0,4}")
_content = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}/[0-9]{1,9}")
_entry = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)

MAXIMUM_LENGTH = 256 * 1024
"""Longest manifest read [bytes]."""


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
        How often the host keeps a checkpoint [s]; 0 for never. Each one costs a write to the card. Another one is made
        durable before an urgent result goes out, one a second on average at most: what was told is never taken back.
    api_version : int
    uses_network : bool
        Whether it works with a network where there is one, though it can do without; it is then started anew when the
        network changes, as one that needs it.
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
    uses_network: bool = False


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


class Vendored(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    A foreign package that an algorithm's package brings along.

    Attributes
    ----------
    name, version : str
    path : str
        Its folder inside the package, such as ``our_dips/vendor/filters``.
    sha256 : str
        Digest of the folder, in hexadecimal; written by the packer.
    """

    name: str
    version: str
    path: str
    sha256: str = ""


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
    vendored : tuple of Vendored
        Packages it brings along.
    """

    info: AlgorithmInfo
    entry: str
    release: int = 1
    limits: Limits = Limits()
    runtime: tuple[str, ...] = ("numpy",)
    vendored: tuple[Vendored, ...] = ()


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
    expect(0 < info.time_budget < math.inf, "time_budget", "more than 0 [s]", info.time_budget)
    for field in ("history", "tick_interval", "checkpoint_interval"):
        value = getattr(info, field)
        expect(0 <= value < math.inf, field, "0 or more [s]", value)
    expect(
        bool(info.contents) == (Kind.RESULT in info.produces),
        "contents",
        "the schemas of its results, if it produces any",
        info.contents,
    )
    for content in info.contents:
        expect(bool(_content.fullmatch(content)), "contents", "a schema such as energy/1", content)
    return [*problems, *problems_of_declaration(info.settings, f"{where}.settings")]


def problems_of_manifest(manifest: Manifest) -> list[Problem]:
    """Find everything wrong with what an algorithm's package says of itself."""
    problems = problems_of_info(manifest.info)
    if not _entry.fullmatch(manifest.entry):
        problems.append(Problem("entry", "package.module:Class", shortened(manifest.entry)))
    if manifest.release < 1:
        problems.append(Problem("release", "1 or more", str(manifest.release)))
    for field in Limits.__struct_fields__:
        value = getattr(manifest.limits, field)
        if not 0 < value < math.inf:
            problems.append(Problem(f"limits.{field}", "more than 0", f"{value:g}"))
    return problems


def manifest_from_toml(data: bytes) -> Manifest:
    """
    Read a package's ``algorithm.toml``.

    Parameters
    ----------
    data : bytes
        TOML with ``entry``, ``release``, ``runtime`` and the tables ``info`` and ``limits``.

    Raises
    ------
    ManifestError
        With every problem found.

    Examples
    --------
    >>> manifest = manifest_from_toml(b'''
    ... entry = "our_dips.dips:VoltageDips"
    ... [info]
    ... name = "voltage-dips"
    ... version = "1.0.0"
    ... summary = "Tells of voltage dips, phase by phase."
    ... consumes = ["frame"]
    ... produces = ["event"]
    ... [[info.settings]]
    ... name = "threshold"
    ... type = "number"
    ... description = "Below this share of nominal."
    ... default = 0.9
    ... ''')
    >>> manifest.info.settings[0].default
    0.9
    """
    if len(data) > MAXIMUM_LENGTH:
        raise ManifestError([Problem("manifest", f"at most {MAXIMUM_LENGTH} bytes", f"{len(data)} bytes")])
    try:
        document = tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise ManifestError([Problem("manifest", "TOML", shortened(str(error)))]) from error
    manifest, problems = read_struct(Manifest, document)
    if manifest is not None:
        problems = problems_of_manifest(manifest)
    if problems or manifest is None:
        raise ManifestError(problems)
    return manifest
