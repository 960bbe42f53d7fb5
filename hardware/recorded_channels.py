"""
Which channels of a recording are the three voltages and three currents, and what turns them into volts and amperes.

Pure; between a recording's `Configuration` and `RecordedSource`. Channels are either named, or picked by unit, phase
and name: the first group with phases A, B and C of each quantity. Values are always primary: the side (P or S), the
ratio and the unit's prefix are applied, and a ratio that is needed but not stated is an error, not a 1.
"""

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from algorithms.api.errors import shortened
from algorithms.api.samples import Phase, Quantity
from hardware.comtrade_model import AnalogChannel
from hardware.source import ChannelRequest

_unit = re.compile(r"([kKMmuµμ]?)\s*(?:([vV](?:olts?)?)|([aA](?:mp(?:ere)?s?)?))(?:[ _]?(?:rms|RMS|pri|sec))?")
_prefixes = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "m": 1e-3, "u": 1e-6, "µ": 1e-6, "μ": 1e-6}
_letters = {
    "A": Phase.A,
    "1": Phase.A,
    "L1": Phase.A,
    "R": Phase.A,
    "AN": Phase.A,
    "B": Phase.B,
    "2": Phase.B,
    "L2": Phase.B,
    "S": Phase.B,
    "BN": Phase.B,
    "C": Phase.C,
    "3": Phase.C,
    "L3": Phase.C,
    "T": Phase.C,
    "CN": Phase.C,
    "N": Phase.N,
    "4": Phase.N,
    "G": Phase.N,
}
_ending = re.compile(r"(?:[UVI]L?|[\s_.:-]|^)(L?[1-3]|[ABC]N?|[RSTN4])$")
_residual = re.compile(r"3[UVI]0$")
_three = (Phase.A, Phase.B, Phase.C)


@dataclass(frozen=True, slots=True)
class Pick:
    """
    One channel of the recording that is played.

    Attributes
    ----------
    index : int
        Among the recording's analog channels, from 0.
    request : ChannelRequest
    factor : float
        Primary volts or amperes for one unit of the recording [V or A per unit].
    """

    index: int
    request: ChannelRequest
    factor: float


def quantity_of(unit: str) -> tuple[Quantity, float] | None:
    """
    Read a unit: what it measures, and how many volts or amperes it is.

    >>> quantity_of("kV"), quantity_of("ampere"), quantity_of("one")
    ((<Quantity.VOLTAGE: 'voltage'>, 1000.0), (<Quantity.CURRENT: 'current'>, 1.0), None)
    """
    match = _unit.fullmatch(unit.strip())
    if match is None:
        return None
    return (Quantity.VOLTAGE if match[2] else Quantity.CURRENT), _prefixes[match[1]]


def phase_of(channel: AnalogChannel) -> Phase | None:
    """Read a channel's phase from its phase field, else from the end of its name."""
    for text in (channel.phase, channel.name):
        text = text.strip().upper()  # noqa: PLW2901 - the same text, made comparable
        if text in _letters:
            return _letters[text]
        if _residual.search(text):
            return Phase.N
        match = _ending.search(text)
        if match is not None:
            return _letters[match[1]]
    return None


def pick_channels(channels: Sequence[AnalogChannel]) -> tuple[list[Pick], list[str]]:
    """
    Pick three voltages and three currents, named ``ua ub uc ia ib ic``.

    Returns
    -------
    list of Pick
        Three or six.
    list of str
        What is wrong.
    """
    picks: list[Pick] = []
    for quantity, letter in ((Quantity.VOLTAGE, "u"), (Quantity.CURRENT, "i")):
        for phase, index in zip(_three, _group(channels, quantity), strict=False):
            name = f"{letter}{phase.lower()}"
            picks.append(Pick(index, ChannelRequest(name, quantity, phase, channels[index].name), 1.0))
    if not picks:
        expected = "three voltages [V] or three currents [A] with phases A, B and C"
        return [], [f"channels: expected {expected}, found {listed(channels)}; name the channels"]
    return _with_factors(picks, channels)


def named_channels(
    requests: Sequence[ChannelRequest], channels: Sequence[AnalogChannel]
) -> tuple[list[Pick], list[str]]:
    """Find the channels that are asked for by name or number; also what is wrong with them."""
    picks: list[Pick] = []
    problems: list[str] = []
    names = [channel.name for channel in channels]
    plain = [" ".join(name.split()).casefold() for name in names]
    for request in requests:
        wanted = request.input
        if isinstance(wanted, int):
            matches = [wanted - 1] if 1 <= wanted <= len(channels) else []
        else:
            matches = [index for index, name in enumerate(names) if name == wanted]
            simple = " ".join(wanted.split()).casefold()
            matches = matches or [index for index, name in enumerate(plain) if name == simple]
        if len(matches) == 1:
            picks.append(Pick(matches[0], request, 1.0))
        elif matches:
            numbers = ", ".join(str(index + 1) for index in matches)
            problems.append(f"channel {request.name}: expected one input {wanted}, found numbers {numbers}; say which")
        else:
            near = difflib.get_close_matches(str(wanted)[:200], names, n=1)
            remedy = f"; did you mean {near[0]}?" if near else ""
            problems.append(
                f"channel {request.name}: expected the name of a channel, or its number from 1 to {len(channels)}, "
                f"found {shortened(wanted)}; the recording has {listed(channels)}{remedy}"
            )
    picks, further = _with_factors(picks, channels)
    return picks, problems + further


def listed(channels: Sequence[AnalogChannel]) -> str:
    """Name a recording's channels, in bounded length."""
    names = [f"{channel.name} [{channel.unit}]" for channel in channels[:40]]
    return shortened(", ".join(names) + (", ..." if len(channels) > 40 else ""), 600) or "no analog channel"


def _group(channels: Sequence[AnalogChannel], quantity: Quantity) -> list[int]:
    """Find the first group of phases A, B and C of one quantity; empty where there is none."""
    found: list[tuple[int, Phase, str]] = []
    for index, channel in enumerate(channels):
        unit = quantity_of(channel.unit)
        phase = phase_of(channel)
        if unit is not None and unit[0] is quantity and phase in _three:
            found.append((index, phase, _stem(channel.name)))
    for first, phase, stem in found:
        if phase is not Phase.A:
            continue
        near = sorted(found, key=lambda item: (item[2] != stem, abs(item[0] - first)))
        others = [next((index for index, other, _ in near if other is wanted), None) for wanted in _three[1:]]
        if None not in others:
            return [first, *(index for index in others if index is not None)]
    return []


def _stem(name: str) -> str:
    """Return a name without its phase, the same for the channels of one group."""
    text = name.strip().upper()
    match = _ending.search(text)
    return text[: match.start(1)] if match else text


def _with_factors(picks: Sequence[Pick], channels: Sequence[AnalogChannel]) -> tuple[list[Pick], list[str]]:
    result: list[Pick] = []
    problems: list[str] = []
    for pick in picks:
        channel, request = channels[pick.index], pick.request
        where = f"channel {request.name} ({channel.name})"
        unit = quantity_of(channel.unit) if channel.unit.strip() else (request.quantity, 1.0)
        if unit is None or unit[0] is not request.quantity:
            symbol = "V" if request.quantity is Quantity.VOLTAGE else "A"
            problems.append(f"{where}: expected a {request.quantity} in {symbol}, found the unit {channel.unit}")
            continue
        factor = unit[1]
        if not channel.is_primary:
            if not channel.primary or not channel.secondary:
                problems.append(
                    f"{where}: expected the ratings of its transformer, since it holds secondary values, "
                    f"found primary {channel.primary} and secondary {channel.secondary}"
                )
                continue
            factor *= channel.primary / channel.secondary
        result.append(replace(pick, factor=factor))
    return result, problems
