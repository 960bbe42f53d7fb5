"""
Finding a driver by its name, and making a source of it.

Drivers enter through the entry-point group ``tresma.sources``, tresma's own and others' alike, and are imported only
when they are asked for: a machine without a board never loads its library. Tresma's own are known here too, so that a
checkout works before it is installed.
"""

import difflib
import importlib
from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from algorithms.api.errors import shortened
from hardware.errors import SourceNotFound
from hardware.source import WaveformSource

GROUP = "tresma.sources"

_own = (
    EntryPoint("mcculw", "hardware.mcculw_source:McculwSource", GROUP),
    EntryPoint("recorded", "hardware.recorded_source:RecordedSource", GROUP),
    EntryPoint("simulated", "hardware.simulated_source:SimulatedSource", GROUP),
    EntryPoint("uldaq", "hardware.uldaq_source:UldaqSource", GROUP),
)


def drivers() -> dict[str, tuple[EntryPoint, ...]]:
    """Return the drivers there are by name, each with every place that offers it."""
    found: dict[str, dict[str, EntryPoint]] = {}
    for point in (*_own, *entry_points(group=GROUP)):
        found.setdefault(point.name, {}).setdefault(point.value.replace(" ", ""), point)
    return {name: tuple(points.values()) for name, points in sorted(found.items())}


def open_source(driver: str, options: Mapping[str, Any]) -> WaveformSource:
    """
    Make a source; opens nothing yet.

    Parameters
    ----------
    driver : str
    options : mapping
        The driver's own.

    Raises
    ------
    SourceNotFound
        When there is no such driver, two packages offer it, or it cannot be loaded; says why.
    SourceError
        When the options are wrong.

    Examples
    --------
    >>> open_source("simulated", {"voltage": 230.0}).info.driver
    'simulated'
    >>> open_source("simulate", {})  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    hardware.errors.SourceNotFound: expected a driver among mcculw, ...; found simulate; did you mean simulated?
    """
    known = drivers()
    points = known.get(driver, ())
    if not points:
        near = difflib.get_close_matches(str(driver)[:80], known, n=1)
        remedy = f"did you mean {near[0]}?" if near else f"install the package that offers it (group {GROUP})"
        raise SourceNotFound(f"expected a driver among {', '.join(known)}; found {shortened(driver)}; {remedy}")
    if len(points) > 1:
        places = ", ".join(f"{_package(point)} ({point.value})" for point in points)
        raise SourceNotFound(f"expected one driver {driver}, found {len(points)}: {places}; remove all but one")
    make = _load(points[0])
    source = make(options)
    if not isinstance(source, WaveformSource):
        missing = [name for name in ("info", "start", "read", "stop") if not hasattr(source, name)]
        raise SourceNotFound(f"driver {driver} ({points[0].value}): expected a waveform source, found one without "
                             f"{', '.join(missing)}")  # fmt: skip
    return source


def _load(point: EntryPoint) -> Callable[[Mapping[str, Any]], Any]:
    try:
        module = importlib.import_module(point.module)
        made: Any = module
        for name in point.attr.split("."):
            made = getattr(made, name)
    except Exception as error:
        # A driver's import is foreign code: a missing C library is an OSError, a half-installed one anything at all.
        raise SourceNotFound(
            f"driver {point.name}: expected {point.value} of {_package(point)} to load, "
            f"found {type(error).__name__}: {shortened(str(error), 200)}"
        ) from error
    if not callable(made):
        raise SourceNotFound(f"driver {point.name}: expected a class at {point.value}, found {shortened(made)}")
    return made  # type: ignore[no-any-return]


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else "tresma"
