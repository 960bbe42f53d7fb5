"""
Settings of the three state estimators, and what they mean together.

Where it stands: `area_state` reads them at its start. The levels differ in defaults only: how long each waits, how
unbalanced the voltage above may be, and what it tells of branches.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from algorithms.api.errors import Problem, SettingsError, shortened
from algorithms.api.samples import NANOSECONDS
from algorithms.api.settings import Setting, problems_of, read_settings
from algorithms.builtin.states.local_time import LocalTime, read_local_time
from algorithms.builtin.states.state_collector import Timing
from algorithms.builtin.states.state_forecast import Profile, read_profiles
from algorithms.builtin.states.state_metering import Floors


@dataclass(frozen=True, slots=True)
class Defaults:
    """What a level takes where its settings are silent; see `settings_of` for their meaning."""

    deadline: float
    unbalance: float
    branches: str


@dataclass(frozen=True, slots=True, eq=False)
class StateSettings:
    """
    Settings as read.

    Attributes
    ----------
    area : str
        Empty for the first area of the network.
    timing : Timing
    floors : Floors
    profiles : mapping
    local_time : LocalTime
        Of the profiles.
    hold, hold_growth : float
        [s], [1]
    power_fluctuation, voltage_fluctuation : float
        [1]
    unbalance : float
        [1]
    confidence : float
        [1]
    most_suspects : int
    nodes, branches : str
    most_nodes : int
    """

    area: str
    timing: Timing
    floors: Floors
    profiles: Mapping[str, Profile]
    local_time: LocalTime
    hold: float
    hold_growth: float
    power_fluctuation: float
    voltage_fluctuation: float
    unbalance: float
    confidence: float
    most_suspects: int
    nodes: str
    branches: str
    most_nodes: int


def settings_of(level: Defaults) -> tuple[Setting, ...]:
    """Declare the settings of a level."""

    def number(name: str, unit: str, default: float, bounds: tuple[float, float], description: str) -> Setting:
        return Setting(name, "number", description, unit, default, *bounds)

    def integer(name: str, default: int, bounds: tuple[int, int], description: str) -> Setting:
        return Setting(name, "integer", description, "", default, *bounds)

    return (
        Setting("area", "text", "Area to estimate; the device's own where empty.", default="", maximum=64),
        number("interval", "s", 60.0, (1.0, 3600.0), "Readings are averaged and a state is told once in this time."),
        number(
            "offset", "s", 0.0, (0.0, 3600.0), "Intervals start this long after the multiples of `interval` in UTC."
        ),
        number("deadline", "s", level.deadline, (0.0, 600.0), "How long a reading is waited for after it was due."),
        number("tolerance", "s", 2.0, (0.0, 300.0), "How far the clocks of meters may be off."),
        integer("patience", 3, (1, 1000), "Intervals that a source may miss before it is not waited for."),
        Setting(
            "profiles",
            "object",
            "Forecasts by the name that loads bear: factors `p` and `q` of what the network expects of a load, one for "
            "each of equally long parts of a `period` [s] (86400 from midnight, 604800 from Monday), and `uncertainty`,"
            " relative standard uncertainty.",
            default={},
        ),
        number(
            "utc_offset",
            "s",
            0.0,
            (-43_200.0, 50_400.0),
            "Local time of the profiles, ahead of UTC all year round.",
        ),
        Setting(
            "time_zone",
            "text",
            "Local time of the profiles where there is summer time: the rule, as `CET-1CEST,M3.5.0,M10.5.0/3`, that"
            " `tail -n 1 /usr/share/zoneinfo/Europe/Berlin` prints for a zone; empty for `utc_offset`.",
            default="",
            maximum=100,
        ),
        number(
            "hold", "s", 0.0, (0.0, 86_400.0), "How long the last known power of a load may stand for a silent meter."
        ),
        number(
            "hold_growth",
            "1",
            0.3,
            (0.0, 10.0),
            "Relative standard uncertainty of a held power after one minute; it grows with the square root of time.",
        ),
        number(
            "power_fluctuation",
            "1",
            0.1,
            (0.0, 2.0),
            "How far a snapshot of a power may be from its mean over the interval, relative standard deviation; 0 where"
            " all meters read at the same instant and that instant is what is wanted.",
        ),
        number("voltage_fluctuation", "1", 0.002, (0.0, 0.2), "The same of a voltage."),
        number("least_voltage", "1", 2e-4, (0.0, 0.1), "Least standard uncertainty of a voltage, relative to nominal."),
        number("least_power", "VA", 1.0, (1e-6, 1e6), "Least standard uncertainty of a power."),
        number(
            "unbalance",
            "1",
            level.unbalance,
            (0.0, 0.3),
            "Unbalance to be expected of the voltage above the area, standard deviation relative to nominal.",
        ),
        number("confidence", "1", 0.99, (0.8, 0.999999), "Share of good intervals in which no reading is suspected."),
        integer("most_suspects", 5, (0, 50), "Most readings, or whole sources, left out of one estimate as bad."),
        Setting(
            "nodes",
            "text",
            "Nodes told: `all`, `metered` (with a source, and the head) or `head`.",
            default="all",
            choices=("all", "metered", "head"),
        ),
        integer("most_nodes", 400, (1, 5000), "Most nodes told; metered ones come first."),
        Setting(
            "branches",
            "text",
            "Whose current and power is told: `all` branches and transformers, `transformers`, or `none`.",
            default=level.branches,
            choices=("all", "transformers", "none"),
        ),
    )


def read_state_settings(declared: tuple[Setting, ...], document: Mapping[str, Any]) -> StateSettings:
    """
    Read the settings of a level.

    Raises
    ------
    SettingsError
        With every problem found.
    """
    problems = problems_of(declared, document)
    if problems:
        given = document.get("profiles", {})
        raise SettingsError([*problems, *(read_profiles(given)[1] if isinstance(given, Mapping) else ())])
    values = read_settings(declared, document)
    profiles, problems = read_profiles(values["profiles"])
    if values["offset"] >= values["interval"]:
        expected = f"less than the interval, {values['interval']:g} s"
        problems.append(Problem("settings.offset", expected, f"{values['offset']:g} s"))
    local_time = LocalTime(round(values["utc_offset"]))
    if values["time_zone"]:
        try:
            local_time = read_local_time(values["time_zone"])
        except ValueError as error:
            expected, _, remedy = str(error).removeprefix("expected ").partition("; ")
            problems.append(Problem("settings.time_zone", expected, shortened(values["time_zone"], 60), remedy))
        if values["utc_offset"]:
            found = f"{values['utc_offset']:g} s beside a time_zone"
            problems.append(Problem("settings.utc_offset", "0 s", found, "state one of them"))
    if problems:
        raise SettingsError(problems)
    times = {name: round(values[name] * NANOSECONDS) for name in ("interval", "offset", "deadline", "tolerance")}
    return StateSettings(
        area=values["area"],
        timing=Timing(**times, patience=values["patience"]),
        floors=Floors(values["least_voltage"], values["least_power"]),
        profiles=profiles,
        local_time=local_time,
        **{
            name: values[name]
            for name in (
                *("hold", "hold_growth", "power_fluctuation", "voltage_fluctuation", "unbalance"),
                *("confidence", "most_suspects", "nodes", "branches", "most_nodes"),
            )
        },
    )
