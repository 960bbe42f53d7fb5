"""
What every source checks before it starts: its driver's options and the request.

Pure: all problems are collected, then refused together, each saying what was expected and what was found. Options are
declared with the same `Setting` as an algorithm's settings, so one declaration validates and documents them.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from algorithms.api.errors import Problem
from algorithms.api.settings import Setting, problems_of, read_settings
from hardware.errors import SourceError, SourceRefused
from hardware.scaling import problems_of_calibration
from hardware.source import SourceRequest

SHORTEST_BLOCK = 1e-4
LONGEST_BLOCK = 10.0
LARGEST_BLOCK = 4_000_000
"""Samples per channel that a block may have."""


class OptionsError(SourceError):
    """A driver's options cannot be used; carries every problem found."""

    def __init__(self, driver: str, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(f"the options of source {driver}: " + "; ".join(str(problem) for problem in self.problems))


def read_options(
    driver: str, declared: Sequence[Setting], options: Mapping[str, Any], further: Sequence[Problem] = ()
) -> dict[str, Any]:
    """
    Read a driver's options against their declaration, defaults filled in.

    Parameters
    ----------
    driver : str
    declared : sequence of Setting
    options : mapping
    further : sequence of Problem
        What the driver itself found wrong, to be told along.

    Raises
    ------
    OptionsError
    """
    problems = [*problems_of(declared, options, "options"), *further]
    if problems:
        raise OptionsError(driver, problems)
    return read_settings(declared, options, "options")


def problems_of_request(request: SourceRequest, maximum_rate: float) -> list[str]:
    """
    Find everything about a request that no source could grant.

    Parameters
    ----------
    request : SourceRequest
    maximum_rate : float
        Highest rate per channel [Hz].
    """
    problems = []
    if not 0 < request.sample_rate <= maximum_rate:
        problems.append(
            f"sample_rate: expected a rate above 0 and up to {maximum_rate:g} [Hz], found {request.sample_rate}"
        )
    if not SHORTEST_BLOCK <= request.block_duration <= LONGEST_BLOCK:
        problems.append(
            f"block_duration: expected {SHORTEST_BLOCK:g} to {LONGEST_BLOCK:g} [s], found {request.block_duration}"
        )
    elif not problems and request.sample_rate * request.block_duration > LARGEST_BLOCK:
        problems.append(
            f"block_duration: expected blocks of at most {LARGEST_BLOCK} samples, "
            f"found {request.sample_rate * request.block_duration:.0f}"
        )
    problems += [
        f"{name}: expected more than 0 [{unit}], found {value}"
        for name, unit, value in (
            ("nominal_frequency", "Hz", request.nominal_frequency),
            ("nominal_voltage", "V", request.nominal_voltage),
        )
        if not (math.isfinite(value) and value > 0)
    ]
    names = [channel.name for channel in request.channels]
    problems += [
        f"channels: expected each name once, found {name} {names.count(name)} times"
        for name in dict.fromkeys(names)
        if names.count(name) > 1
    ]
    for channel in request.channels:
        problems += problems_of_calibration(channel)
    return problems


def refuse(driver: str, problems: Sequence[str]) -> None:
    """Raise `SourceRefused` with all problems, if there are any."""
    if problems:
        raise SourceRefused(f"source {driver}: " + "; ".join(problems))
