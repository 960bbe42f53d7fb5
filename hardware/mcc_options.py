"""
What can be said about a board: the options that the Linux and the Windows driver share, declared and read.

Pure; between the catalog's options and `mcc_scan`, which holds them against what the board can do.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from algorithms.api.errors import Problem, shortened
from algorithms.api.settings import Setting
from hardware.checks import read_options
from hardware.mcc_boards import Wiring
from hardware.mcc_spans import Span, span_from_text


class Trigger(StrEnum):
    """What begins the scan."""

    NONE = "none"
    RISING = "rising"
    FALLING = "falling"


OPTIONS = (
    Setting("serial", "text", "Serial number of the board; may be left out where there is only one.", default="",
            maximum=64),
    Setting("input_mode", "text", "How the inputs are wired.", default=Wiring.SINGLE_ENDED.value,
            choices=tuple(wiring.value for wiring in Wiring)),
    Setting("range", "text", "Input range of all channels, such as +-10 or 0..10.", unit="V", default="+-10",
            maximum=20),
    Setting("ranges", "object", "Input range of single channels by their name, where the board allows it.",
            default={}),
    Setting("burst", "boolean", "Convert all channels as close together as the board can, where it can; its own way "
            "without it.", default=None),
    Setting("external_clock", "boolean", "Sample at the pulses on the board's clock input (a GPS-disciplined "
            "oscillator); sample_rate states their rate.", default=False),
    Setting("clock_tolerance", "number", "Relative standard uncertainty of the sample clock, such as 1e-9 for a "
            "disciplined external one; a crystal's without it.", unit="1", default=None, minimum=1e-12, maximum=0.01),
    Setting("trigger", "text", "Edge at the board's trigger input at which sampling begins.",
            default=Trigger.NONE.value, choices=tuple(trigger.value for trigger in Trigger)),
    Setting("trigger_on_second", "boolean", "Whether that edge marks the second of UTC, as a GPS receiver's pulse "
            "does.", default=False),
    Setting("trigger_uncertainty", "number", "Standard uncertainty of that edge.", unit="s", default=1e-6,
            minimum=0.0, maximum=0.1),
    Setting("buffer", "number", "How far a reader may lag before samples are lost.", unit="s", default=2.0,
            minimum=0.5, maximum=60.0),
    Setting("recovery", "number", "How long a board that went away is awaited before it is given up.", unit="s",
            default=10.0, minimum=0.0, maximum=300.0),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class BoardOptions:
    """The options of a board, read; see `OPTIONS` for the meaning."""

    serial: str
    wiring: Wiring
    span: Span
    spans: Mapping[str, Span]
    """By the channel's name."""
    burst: bool | None
    external_clock: bool
    clock_tolerance: float | None
    trigger: Trigger
    trigger_on_second: bool
    trigger_uncertainty: float
    buffer: float
    recovery: float


def read_board_options(driver: str, options: Mapping[str, Any]) -> BoardOptions:
    """
    Read the options of a board.

    Raises
    ------
    OptionsError
        With everything that is wrong.
    """
    problems: list[Problem] = []
    span = _span(options.get("range", "+-10"), "options.range", problems)
    given = options.get("ranges", {})
    spans = {}
    if isinstance(given, Mapping):
        for name, text in list(given.items())[:64]:
            spans[str(name)] = _span(text, f"options.ranges.{shortened(name, 40)}", problems)
    if options.get("trigger_on_second") is True and options.get("trigger", Trigger.NONE) == Trigger.NONE:
        problems.append(
            Problem("options.trigger_on_second", "a trigger that marks the second", "no trigger", "set options.trigger")
        )
    values = read_options(driver, OPTIONS, options, problems)
    return BoardOptions(
        serial=values["serial"],
        wiring=Wiring(values["input_mode"]),
        span=span,
        spans=spans,
        burst=values["burst"],
        external_clock=values["external_clock"],
        clock_tolerance=values["clock_tolerance"],
        trigger=Trigger(values["trigger"]),
        trigger_on_second=values["trigger_on_second"],
        trigger_uncertainty=values["trigger_uncertainty"],
        buffer=values["buffer"],
        recovery=values["recovery"],
    )


def _span(found: Any, where: str, problems: list[Problem]) -> Span:
    try:
        return span_from_text(found)
    except (ValueError, AttributeError):  # no text at all is no range either
        problems.append(Problem(where, "a range such as +-10 or 0..10 [V]", shortened(found, 40)))
        return Span(-10.0, 10.0)
