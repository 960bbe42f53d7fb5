"""
What a simulated meter is told: its options, checked all together, and frozen as a `Simulation`.

Pure; between the catalog's options, declared in `simulated_settings`, and `simulated_signal`, which computes the
waveforms. Sign of power as everywhere: positive into the equipment, so a positive reactive power is an inductive load
whose current lags.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from algorithms.api.errors import Problem, shortened
from algorithms.api.samples import Quantity
from algorithms.api.settings import problems_of, read_settings
from algorithms.api.wire import time_from_text
from hardware.checks import read_options
from hardware.pacing import PACES
from hardware.simulated_settings import CHANNELS, DRIVER, EVENTS, HARMONIC, LOSS, OPTIONS, PHASES, REPLAY_EPOCH


@dataclass(frozen=True, slots=True)
class Happening:
    """
    One event, or one loss of samples.

    Attributes
    ----------
    kind : str
    start, duration, period : float
        After the first sample [s]; `duration` infinite for ever, `period` 0 for once.
    phases : tuple of bool
        Which of A, B, C.
    voltage, current : float
        Factors while it lasts [1].
    angle : float
        [rad]
    rate : float
        [Hz/s]
    step : float
        [Hz]
    """

    kind: str
    start: float
    duration: float
    period: float = 0.0
    phases: tuple[bool, bool, bool] = (True, True, True)
    voltage: float = 1.0
    current: float = 1.0
    angle: float = 0.0
    rate: float = 0.0
    step: float = 0.0


@dataclass(frozen=True, slots=True)
class Harmonic:
    """One harmonic: its order, share of the fundamental [1], angle [rad] and the channels that carry it."""

    order: int
    share: float
    angle: float
    channels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Simulation:
    """What is simulated; see `OPTIONS` for the meaning. `None` follows the request."""

    frequency: float | None
    voltage: float | None
    angle: float
    voltage_factors: tuple[float, ...]
    voltage_angles: tuple[float, ...]
    powers: tuple[complex, ...]
    """Each phase's P + jQ [VA]."""
    harmonics: tuple[Harmonic, ...]
    noise: tuple[float, float]
    """Of voltages [V] and currents [A]."""
    bits: int
    ranges: tuple[float | None, float | None]
    skews: tuple[float, ...]
    events: tuple[Happening, ...]
    losses: tuple[Happening, ...]
    clock_error: float
    seed: int
    live: bool
    duration: float
    start_ns: int | None
    buffer: float


def read_simulation(options: Mapping[str, Any]) -> Simulation:
    """
    Read the options of a simulated source.

    Raises
    ------
    OptionsError
        With everything that is wrong.
    """
    values = read_options(DRIVER, OPTIONS, options, _further_problems(options))
    live = values["pace"] == PACES[0]
    start = values["start_time"] or ("" if live else REPLAY_EPOCH)
    return Simulation(
        frequency=values["frequency"],
        voltage=values["voltage"],
        angle=values["angle"],
        voltage_factors=tuple(values["voltage_factors"]),
        voltage_angles=tuple(values["voltage_angles"]),
        powers=_powers(values),
        harmonics=tuple(
            Harmonic(**{**item, "channels": tuple(item["channels"])})
            for item in (read_settings(HARMONIC, item) for item in values["harmonics"])
        ),
        noise=(values["voltage_noise"], values["current_noise"]),
        bits=values["bits"],
        ranges=(values["voltage_range"], values["current_range"]),
        skews=tuple(values["skews"]),
        events=tuple(_event(item) for item in values["events"]),
        losses=tuple(Happening("loss", **read_settings(LOSS, item)) for item in values["losses"]),
        clock_error=values["clock_error"],
        seed=values["seed"],
        live=live,
        duration=values["duration"],
        start_ns=time_from_text(start) if start else None,
        buffer=values["buffer"],
    )


def quantity_of(name: str) -> Quantity:
    """Tell what a simulated channel measures."""
    return Quantity.VOLTAGE if name.startswith("u") else Quantity.CURRENT


def _powers(values: Mapping[str, Any]) -> tuple[complex, ...]:
    if values["active_power"] or values["reactive_power"]:
        active, reactive = values["active_power"] or (0.0,) * 3, values["reactive_power"] or (0.0,) * 3
        return tuple(complex(p, q) for p, q in zip(active, reactive, strict=True))
    apparent = 3000.0 if values["apparent_power"] is None else values["apparent_power"]
    factor = 0.95 if values["power_factor"] is None else values["power_factor"]
    reactive = math.sqrt(1 - factor**2) * (-1 if values["leading"] else 1)
    return (complex(factor, reactive) * apparent / 3,) * 3


def _event(item: Mapping[str, Any]) -> Happening:
    kind = item["kind"]
    values = read_settings(EVENTS[kind], item)
    voltage = {"sag": 1 - values.get("depth", 0.0), "swell": 1 + values.get("rise", 0.0), "interruption": 0.0}
    factor = voltage.get(kind, 1.0)
    current = values.get("current")
    phases = values.get("phases", PHASES)
    return Happening(
        kind=kind,
        start=values["start"],
        duration=values["duration"] or math.inf,
        period=values.get("period", 0.0),
        phases=(PHASES[0] in phases, PHASES[1] in phases, PHASES[2] in phases),
        voltage=factor,
        current=factor if current is None else current,
        angle=values.get("angle", 0.0),
        rate=values.get("rate", 0.0),
        step=values.get("step", 0.0),
    )


def _further_problems(options: Mapping[str, Any]) -> list[Problem]:
    problems: list[Problem] = []
    for name, length in (
        *((name, 3) for name in ("voltage_factors", "voltage_angles", "active_power", "reactive_power")),
        ("skews", len(CHANNELS)),
    ):
        found = options.get(name)
        empty_is_right = name.endswith("power")
        if isinstance(found, list | tuple) and len(found) <= length and not (empty_is_right and not found):
            right = len(found) == length and all(_is_number(item) for item in found)
            if not right:
                problems.append(Problem(f"options.{name}", f"{length} finite numbers", shortened(found)))
    total = [name for name in ("apparent_power", "power_factor", "leading") if name in options]
    each = [name for name in ("active_power", "reactive_power") if name in options]
    if total and each:
        found_both = f"{', '.join(total)} and {', '.join(each)}"
        problems.append(Problem("options.apparent_power", "the load in all, or each phase's", found_both, "keep one"))
    start = options.get("start_time", "")
    if isinstance(start, str) and start:
        try:
            time_from_text(start)
        except ValueError as error:
            problems.append(Problem("options.start_time", "an RFC 3339 time", str(error)))
    problems += _problems_of_tables(options, "harmonics", lambda _: HARMONIC)
    problems += _problems_of_tables(options, "losses", lambda _: LOSS)
    problems += _problems_of_tables(options, "events", lambda item: EVENTS.get(str(item.get("kind"))[:40]))
    return problems


def _problems_of_tables(options: Mapping[str, Any], name: str, declared_for: Any) -> list[Problem]:
    tables = options.get(name, ())
    problems: list[Problem] = []
    if not isinstance(tables, list | tuple) or len(tables) > 1000:
        return problems  # the declaration says so
    for index, item in enumerate(tables):
        where = f"options.{name}[{index}]"
        if not isinstance(item, Mapping):
            problems.append(Problem(where, "a table", shortened(item)))
            continue
        declared = declared_for(item)
        if declared is None:
            problems.append(Problem(f"{where}.kind", f"one of {', '.join(EVENTS)}", shortened(item.get("kind"))))
            continue
        found = problems_of(declared, item, where)
        problems += found
        if not found:
            problems += _problems_of_values(read_settings(declared, item), where)
    return problems


def _problems_of_values(values: Mapping[str, Any], where: str) -> list[Problem]:
    problems = []
    for key, known in (("phases", PHASES), ("channels", CHANNELS)):
        names: Sequence[Any] = values.get(key, ())
        if not all(name in known for name in names):
            problems.append(Problem(f"{where}.{key}", f"names among {', '.join(known)}", shortened(names)))
    period, duration = values.get("period", 0.0), values.get("duration", 0.0)
    if period and not 0 < duration < period:
        problems.append(Problem(f"{where}.duration", f"more than 0 and less than its period of {period:g} [s]",
                                f"{duration:g}"))  # fmt: skip
    if "rate" in values and not duration:
        problems.append(Problem(f"{where}.duration", "how long the frequency changes [s]", "0, for ever"))
    return problems


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
