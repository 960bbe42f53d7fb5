"""
What a simulated meter is told: its options, declared, checked all together, and frozen as a `Simulation`.

Pure; between the catalog's options and `simulated_signal`, which computes the waveforms. Sign of power as everywhere:
positive into the equipment, so a positive reactive power is an inductive load whose current lags.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from algorithms.api.errors import Problem, shortened
from algorithms.api.samples import Quantity
from algorithms.api.settings import Setting, problems_of, read_settings
from algorithms.api.wire import time_from_text
from hardware.checks import read_options
from hardware.pacing import PACES

DRIVER = "simulated"
CHANNELS = ("ua", "ub", "uc", "ia", "ib", "ic")
"""What is simulated, in this order."""
PHASES = ("A", "B", "C")
REPLAY_EPOCH = "2024-01-01T00:00:00Z"
"""When a simulation begins that does not follow the clock."""

_ones, _zeros, _three = (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), 3


def _list(name: str, description: str, unit: str, length: int, default: Any = ()) -> Setting:
    return Setting(name, "list", description, unit=unit, default=default, maximum=length)


OPTIONS = (
    Setting("frequency", "number", "Of the grid; nominal without it.", unit="Hz", default=None,
            minimum=1.0, maximum=1000.0),
    Setting("voltage", "number", "RMS, phase to neutral; nominal without it.", unit="V", default=None,
            minimum=0.0, maximum=1e6),
    Setting("angle", "number", "Of phase A's voltage, referred to the UTC second.", unit="rad", default=0.0),
    _list("voltage_factors", "Each phase's voltage, as a share.", "1", _three, _ones),
    _list("voltage_angles", "Each phase's further displacement.", "rad", _three, _zeros),
    Setting("apparent_power", "number", "Load of all three phases.", unit="VA", default=None, minimum=0.0),
    Setting("power_factor", "number", "Of that load; negative where it feeds.", unit="1", default=None,
            minimum=-1.0, maximum=1.0),
    Setting("leading", "boolean", "Whether that load is capacitive.", default=False),
    _list("active_power", "Each phase's load, instead of apparent power.", "W", _three),
    _list("reactive_power", "Each phase's reactive load, inductive positive.", "var", _three),
    Setting("harmonics", "list", "Tables of order, share, angle and channels.", default=(), maximum=200),
    Setting("voltage_noise", "number", "White, RMS.", unit="V", default=0.0, minimum=0.0),
    Setting("current_noise", "number", "White, RMS.", unit="A", default=0.0, minimum=0.0),
    Setting("bits", "integer", "Resolution of the converter; 0 for none.", default=0, minimum=0, maximum=24),
    Setting("voltage_range", "number", "Peak value the converter represents.", unit="V", default=None, minimum=1e-9),
    Setting("current_range", "number", "Peak value the converter represents.", unit="A", default=None, minimum=1e-9),
    _list("skews", "Time of each channel after the nominal instant.", "s", len(CHANNELS), (0.0,) * len(CHANNELS)),
    Setting("events", "list", "Tables of kind, start and duration.", default=(), maximum=1000),
    Setting("losses", "list", "Tables of start, duration and period: samples that get lost.", default=(), maximum=1000),
    Setting("clock_error", "number", "By how much the sampling clock runs fast; 20e-6 is 20 ppm.", unit="1",
            default=0.0, minimum=-0.01, maximum=0.01),
    Setting("seed", "integer", "Of the noise.", default=0, minimum=0, maximum=2**63),
    Setting("pace", "text", "Whether samples come when their time has passed, or at once.", default=PACES[0],
            choices=PACES),
    Setting("duration", "number", "Until the end; 0 for none.", unit="s", default=0.0, minimum=0.0),
    Setting("start_time", "text", "RFC 3339; without it now in real time.", default="", maximum=40),
    Setting("buffer", "number", "How far a reader may lag before samples are lost.", unit="s", default=10.0,
            minimum=0.1, maximum=3600.0),
)  # fmt: skip

_start = Setting("start", "number", "After the first sample.", unit="s", minimum=0.0, maximum=1e9)
_duration = Setting("duration", "number", "0 for ever.", unit="s", default=0.0, minimum=0.0, maximum=1e9)
_period = Setting("period", "number", "Repeats every; 0 for once.", unit="s", default=0.0, minimum=0.0, maximum=1e9)
_phases = Setting("phases", "list", "Those it touches.", default=PHASES, minimum=1, maximum=3)
_current = Setting("current", "number", "Factor of the current; the voltage's without it.", unit="1", default=None,
                   minimum=0.0, maximum=1000.0)  # fmt: skip
_happening = (
    Setting("kind", "text", "What happens."),
    _start,
    _duration,
)
EVENTS: dict[str, tuple[Setting, ...]] = {
    "sag": (*_happening, _period, _phases, _current,
            Setting("depth", "number", "Voltage lost.", unit="1", minimum=0.0, maximum=1.0)),
    "swell": (*_happening, _period, _phases, _current,
              Setting("rise", "number", "Voltage gained.", unit="1", minimum=0.0, maximum=10.0)),
    "interruption": (*_happening, _period, _phases, _current),
    "phase-jump": (*_happening, _period, _phases,
                   Setting("angle", "number", "Of voltages and currents.", unit="rad", minimum=-math.tau,
                           maximum=math.tau)),
    "frequency-ramp": (*_happening,
                       Setting("rate", "number", "Held at its end.", unit="Hz/s", minimum=-100.0, maximum=100.0)),
    "frequency-step": (*_happening, _period,
                       Setting("step", "number", "Change of frequency.", unit="Hz", minimum=-50.0, maximum=50.0)),
}  # fmt: skip
"""What can happen, each kind with its settings."""
_harmonic = (
    Setting("order", "integer", "Of the harmonic.", minimum=2, maximum=200),
    Setting("share", "number", "Of the fundamental.", unit="1", minimum=0.0, maximum=10.0),
    Setting("angle", "number", "At the fundamental's zero angle.", unit="rad", default=0.0),
    Setting("channels", "list", "Names; without it all.", default=CHANNELS, minimum=1, maximum=6),
)
_loss = (_start, Setting("duration", "number", "How long.", unit="s", minimum=1e-9, maximum=1e6), _period)


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
            for item in (read_settings(_harmonic, item) for item in values["harmonics"])
        ),
        noise=(values["voltage_noise"], values["current_noise"]),
        bits=values["bits"],
        ranges=(values["voltage_range"], values["current_range"]),
        skews=tuple(values["skews"]),
        events=tuple(_event(item) for item in values["events"]),
        losses=tuple(Happening("loss", **read_settings(_loss, item)) for item in values["losses"]),
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
        active, reactive = values["active_power"] or _zeros, values["reactive_power"] or _zeros
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
    problems += _problems_of_tables(options, "harmonics", lambda _: _harmonic)
    problems += _problems_of_tables(options, "losses", lambda _: _loss)
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
