"""The settings of the reconfiguration plug-in: declared here, read into what its two halves need."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from algorithms.api.errors import Problem
from algorithms.api.settings import Setting
from algorithms.grid.switching.limits import Limits
from algorithms.grid.switching.reconfiguration import Effort, Objective

METERS, BREAKER = "meters", "breaker"


def _number(name: str, what: str, unit: str, default: float, *bounds: float) -> Setting:
    return Setting(name, "number", what, unit=unit, default=default, minimum=bounds[0], maximum=bounds[1])


SETTINGS = (
    Setting("closed_loop", "boolean", "Whether to switch; otherwise it only proposes.", default=False),
    Setting("area", "text", "Only grid states of this area count; empty for all.", default="", maximum=64),
    Setting(
        "objective",
        "text",
        "What the position of the switches is to serve.",
        default=Objective.LOSSES.value,
        choices=tuple(one.value for one in Objective),
    ),
    Setting(
        "effort",
        "text",
        "How hard to look for a better position.",
        default=Effort.QUICK.value,
        choices=tuple(one.value for one in Effort),
    ),
    _number("gain", "Least relative improvement that is worth switching.", "1", 0.05, 0.0, 1.0),
    _number("hold", "For which the improvement must have lasted.", "s", 300.0, 0.0, 86_400.0),
    _number("interval", "Grid states are looked at no more often than this.", "s", 60.0, 0.0, 3600.0),
    _number("rest", "After a change nothing is changed for so long.", "s", 900.0, 0.0, 86_400.0),
    _number("interruption", "Customer-seconds without supply that one change may cost.", "s", 0.0, 0.0, 1e9),
    _number("lowest_voltage", "Of what is nominal.", "1", 0.9, 0.5, 1.0),
    _number("highest_voltage", "Of what is nominal.", "1", 1.1, 1.0, 1.5),
    _number("loading", "Current relative to the ratings of lines and switches.", "1", 1.0, 0.1, 3.0),
    _number("pickup", "What comes back draws so many times what it drew before the fault.", "1", 1.0, 0.5, 5.0),
    _number("patience", "For the protection, for proof that a line is dead, for a lease.", "s", 300.0, 1.0, 3600.0),
    _number("response", "A switch answers within its operating time and this.", "s", 5.0, 0.1, 60.0),
    _number("settle", "After each closing on a fault the protection is watched for so long.", "s", 0.3, 0.0, 60.0),
    _number(
        "hearing", "Meters that fell silent with the breaker's opening are waited for so long.", "s", 2.0, 0.0, 60.0
    ),
    _number(
        "aftercare",
        "For which meters are listened to after service was restored, whether they see it; 0 where they cannot.",
        "s",
        120.0,
        0.0,
        3600.0,
    ),
    _number("silence", "After this a switch that says nothing is not counted on.", "s", 35.0, 1.0, 3600.0),
    Setting(
        "proof",
        "text",
        "What proves a line dead: meters on it, or the breaker's word where no meter says otherwise.",
        default=METERS,
        choices=(METERS, BREAKER),
    ),
)


@dataclass(frozen=True, slots=True)
class HandlingSettings:
    """
    How faults are handled.

    Attributes
    ----------
    closed_loop : bool
        Whether to switch, or only to propose.
    limits : Limits
    pickup : float
        What comes back draws so many times what it drew [1].
    patience : float
        For the protection, for proof that the line is dead, and for a lease [s].
    response : float
        A switch answers within its operating time and this [s].
    settle : float
        After each closing the protection is watched for so long [s].
    hearing : float
        Meters that spoke before the breaker opened are waited for so long, before those that spoke since count [s].
    by_meters : bool
        Whether a meter must prove the line dead, rather than the breaker's word alone.
    aftercare : float
        For which meters are listened to after service was restored [s].
    """

    closed_loop: bool
    limits: Limits
    pickup: float
    patience: float
    response: float
    settle: float
    hearing: float
    by_meters: bool
    aftercare: float


@dataclass(frozen=True, slots=True)
class LossSettings:
    """
    When another position is worth it.

    Attributes
    ----------
    closed_loop : bool
    objective : Objective
    effort : Effort
    limits : Limits
    gain : float
        Least relative improvement [1].
    hold : float
        For which it must have lasted [s].
    interval : float
        Grid states are looked at no more often than this [s].
    rest : float
        After a change nothing is changed for so long [s].
    interruption : float
        Customer-seconds without supply that one change may cost [s].
    response : float
        A switch answers within its operating time and this [s].
    patience : float
        For a lease [s].
    """

    closed_loop: bool
    objective: Objective
    effort: Effort
    limits: Limits
    gain: float
    hold: float
    interval: float
    rest: float
    interruption: float
    response: float
    patience: float


def problems_between(values: Mapping[str, Any]) -> list[Problem]:
    """Find what single settings cannot show."""
    response, patience = values.get("response", 5.0), values.get("patience", 300.0)
    if isinstance(response, int | float) and isinstance(patience, int | float) and patience < response:
        found = f"{patience:g} s and {response:g} s"
        return [Problem("settings.patience", "at least as long as response", found)]
    return []


def handling_settings(values: Mapping[str, Any]) -> HandlingSettings:
    """Give what fault handling needs."""
    return HandlingSettings(
        closed_loop=values["closed_loop"],
        limits=_limits(values),
        pickup=values["pickup"],
        patience=values["patience"],
        response=values["response"],
        settle=values["settle"],
        hearing=values["hearing"],
        by_meters=values["proof"] == METERS,
        aftercare=values["aftercare"],
    )


def loss_settings(values: Mapping[str, Any]) -> LossSettings:
    """Give what the watch over losses needs."""
    return LossSettings(
        closed_loop=values["closed_loop"],
        objective=Objective(values["objective"]),
        effort=Effort(values["effort"]),
        limits=_limits(values),
        gain=values["gain"],
        hold=values["hold"],
        interval=values["interval"],
        rest=values["rest"],
        interruption=values["interruption"],
        response=values["response"],
        patience=values["patience"],
    )


def _limits(values: Mapping[str, Any]) -> Limits:
    return Limits(values["lowest_voltage"], values["highest_voltage"], values["loading"])
