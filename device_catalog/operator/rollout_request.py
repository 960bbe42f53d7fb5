"""
Makes the document of a rollout of what was typed; everything that cannot be understood is told together (pure).

What can be understood is judged by the catalog, which knows what is signed and who is there.
"""

import argparse
import re
from collections.abc import Callable
from typing import Any

import yaml

from algorithms.api.errors import Problem, shortened
from device_catalog.operator.errors import UsageError

_duration = re.compile(r"(\d+(?:\.\d+)?)\s*(s|min|m|h|d)")
_seconds = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}


def seconds_of(text: str) -> float | None:
    """
    Read a duration with its unit; None where it is none.

    >>> [seconds_of(text) for text in ("90s", "30 min", "1h", "0.5d", "30")]
    [90.0, 1800.0, 3600.0, 43200.0, None]
    """
    found = _duration.fullmatch(text.strip())
    return float(found[1]) * _seconds[found[2]] if found else None


def request_of(options: argparse.Namespace) -> dict[str, Any]:
    """
    Make the document.

    Raises
    ------
    UsageError
        With every problem found.
    """
    problems: list[Problem] = []
    algorithm, equals, version = options.what.partition("==")
    if not (algorithm and equals and version):
        problems.append(Problem("what", "ALGORITHM==VERSION such as voltage-band==1.2.0", shortened(options.what)))
    soaks = _list("--soak", options.soak, _duration_in, problems)
    percents = _list("--percent", options.percent, _number_in, problems)
    if len(soaks) not in (1, len(percents)):
        expected = f"one duration, or one for each of the {len(percents)} stages"
        problems.append(Problem("--soak", expected, f"{len(soaks)}"))
    soaks = soaks * len(percents) if len(soaks) == 1 else soaks
    request: dict[str, Any] = {
        "algorithm": algorithm,
        "version": version,
        "to": _selector(options),
        "stages": [{"percent": percent, "soak": soak} for percent, soak in zip(percents, soaks, strict=False)],
        "max_failures": _amount(options.max_failures),
        "deadline": _duration_in("--deadline", options.deadline, problems),
        "budget": {"per_area": _amount(options.per_area), "per_network": _amount(options.per_network)},
        "add": options.add,
        "supersede": options.supersede,
    }
    if options.probation is not None:
        request["probation"] = _duration_in("--probation", options.probation, problems)
    if options.set:
        request["settings"] = _settings(options.set, problems)
    if options.shadow:
        request["shadow"] = _shadow(options, problems)
    elif stray := [name for name in _SHADOW if getattr(options, name) is not None] or options.promote_when_equal:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in stray) if stray is not True else ""
        found = names or "--promote-when-equal"
        problems.append(Problem(found, "--shadow beside it", "none", "add --shadow, or leave it out"))
    if problems:
        raise UsageError("nothing was started; what is wrong with the command line:", problems)
    return request


_SHADOW = {
    "shadow_percent": "percent",
    "min_compared": "compared",
    "max_differing": "differing",
    "max_missing": "missing",
    "max_extra": "extra",
    "max_difference": "largest",
    "max_processor": "processor_ratio",
    "max_memory": "memory_ratio",
    "max_crashes": "crashes",
}
"""Options about a shadow, and the fields that they fill."""


def _selector(options: argparse.Namespace) -> dict[str, Any]:
    selector: dict[str, Any] = {"groups": options.to, "devices": options.device, "fixed": options.fixed}
    for name in ("kind", "tenant", "network", "area", "using"):
        if getattr(options, name):
            selector[name] = getattr(options, name)
    return selector


def _shadow(options: argparse.Namespace, problems: list[Problem]) -> dict[str, Any]:
    shadow: dict[str, Any] = {"promote_when_equal": options.promote_when_equal}
    if options.shadow_soak is not None:
        shadow["soak"] = _duration_in("--shadow-soak", options.shadow_soak, problems)
    for option, field in _SHADOW.items():
        text = getattr(options, option)
        if text is None:
            continue
        where = f"--{option.replace('_', '-')}"
        number = _number_in(where, text.removesuffix("%"), problems)
        if field in ("differing", "missing", "extra") and text.endswith("%"):
            number /= 100
        shadow[field] = int(number) if field in ("compared", "crashes") else number
    return shadow


def _settings(edits: list[str], problems: list[Problem]) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    for edit in edits:
        name, equals, text = edit.partition("=")
        if not (name and equals):
            problems.append(Problem("--set", "NAME=VALUE", shortened(edit)))
            continue
        try:
            settings[name] = yaml.safe_load(text)
        except yaml.YAMLError:
            problems.append(Problem(f"--set {shortened(name, 40)}", "a value in YAML", shortened(text)))
    return settings


def _list(
    where: str, text: str, read: Callable[[str, str, list[Problem]], float], problems: list[Problem]
) -> list[float]:
    return [read(where, part, problems) for part in text.split(",")]


def _duration_in(where: str, text: str, problems: list[Problem]) -> float:
    seconds = seconds_of(text)
    if seconds is None:
        bare = text.strip().replace(".", "", 1).isdigit()
        remedy = f"which unit is meant? {text.strip()}m are minutes, {text.strip()}h hours" if bare else ""
        problems.append(Problem(where, "a duration with its unit, such as 90s, 30m, 1h or 2d", shortened(text), remedy))
    return seconds or 0.0


def _number_in(where: str, text: str, problems: list[Problem]) -> float:
    try:
        return float(text.strip().removesuffix("%"))
    except ValueError:
        problems.append(Problem(where, "a number", shortened(text)))
        return 1.0


def _amount(text: str) -> int | str:
    """Give a number as one; what else was typed is judged by the catalog."""
    text = text.strip()
    if text == "any":
        return 0
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else text
