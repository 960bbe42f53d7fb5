"""
What loads and generators are expected to draw where nobody measures them: pseudo-measurements.

Where it stands: `area_state` asks `Forecast` for each interval, and tells it afterwards what was measured.

Rules:

- A load with a profile is expected at its own P and Q times the profile's factors at that time; one without, at what
  the network document says. Either is no more sure than stated, and nothing is made up where nothing is stated.
- A factor is a ratio: one beyond `MOST_FACTOR` is a power in watts written in its place, and refused. A forecast beyond
  a load's rating is not believed: the load is then expected at its rating, give or take all of it, and named.
- The last known power of a load whose meter fell silent may stand for it for a while (`hold`), ever less sure:
  :math:`u^2 = u_0^2 + (g |S|)^2 t / 60 s`. Of forecast and held power the surer one counts.
- Times of day are local, summer time included (`local_time`). The hour that is lost in spring has no factor, the one
  that comes twice in autumn has the same twice.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np

from algorithms.api.errors import Problem, shortened
from algorithms.api.network import NetworkModel
from algorithms.api.network_tables import Complexes, Truths
from algorithms.api.samples import NANOSECONDS
from algorithms.builtin.states.local_time import LocalTime
from algorithms.grid.elements import demand

DAY, WEEK = 86_400, 604_800
THURSDAY = 3 * DAY
"""The epoch was a Thursday; weeks begin on Monday."""
MOST_FACTORS = 2016
"""Factors of a profile at most: a week in steps of five minutes."""
BEYOND = 1.5
"""Ratio to its rating from which a forecast is not believed; for a while a load may be above it [1]."""
MOST_FACTOR = 100.0
"""Largest factor of a profile that is taken for one [1]."""


@dataclass(frozen=True, slots=True)
class Profile:
    """
    Factors of a load's P and Q over a day or a week.

    Attributes
    ----------
    p, q : tuple of float
        Mean of each part of the period, relative to what the network expects of the load [1].
    uncertainty : float
        Relative standard uncertainty [1].
    period : int
        [s]
    """

    p: tuple[float, ...]
    q: tuple[float, ...]
    uncertainty: float
    period: int

    def at(self, local: float) -> tuple[float, float]:
        """Give the factors of P and Q at a local time [s since the epoch]."""
        share = (local + THURSDAY) % self.period / self.period
        return self.p[int(share * len(self.p))], self.q[int(share * len(self.q))]


def read_profiles(given: Mapping[str, Any]) -> tuple[dict[str, Profile], list[Problem]]:
    """
    Read the setting `profiles`, and find everything wrong with it.

    >>> read_profiles({"H0": {"p": [0.5, 1.5], "uncertainty": 0.5}})[0]["H0"].at(86_400 * 0.75)
    (1.5, 1.5)
    >>> for problem in read_profiles({"H0": {"p": [], "uncertainty": -1, "periode": 5}})[1]:
    ...     print(problem)
    settings.profiles.H0.periode: expected p, q, uncertainty, period, found an unknown field; remove it
    settings.profiles.H0.p: expected 1 to 2016 finite numbers, found []
    settings.profiles.H0.uncertainty: expected a number above 0 [1], found -1
    """
    profiles: dict[str, Profile] = {}
    problems: list[Problem] = []
    for name, fields in given.items():
        where = f"settings.profiles.{shortened(name, 40)}"
        if not isinstance(fields, Mapping):
            problems.append(Problem(where, "a table with p, q, uncertainty, period", shortened(fields)))
            continue
        wrong = list(_problems(where, fields))
        problems += wrong
        if not wrong:
            p = tuple(float(factor) for factor in fields["p"])
            q = tuple(float(factor) for factor in fields.get("q", p))
            profiles[name] = Profile(p, q, float(fields["uncertainty"]), fields.get("period", DAY))
    return profiles, problems


def _problems(where: str, fields: Mapping[str, Any]) -> Iterable[Problem]:
    known = ("p", "q", "uncertainty", "period")
    for name in fields:
        if name not in known:
            yield Problem(f"{where}.{shortened(name, 40)}", ", ".join(known), "an unknown field", "remove it")
    for name in ("p", "q"):
        factors = fields.get(name, fields.get("p") if name == "q" else None)
        right = isinstance(factors, list | tuple) and 0 < len(factors) <= MOST_FACTORS and all(map(_is_number, factors))
        if not right and (name == "p" or "q" in fields):
            yield Problem(f"{where}.{name}", f"1 to {MOST_FACTORS} finite numbers", shortened(factors))
        elif right and (largest := max(map(abs, factors))) > MOST_FACTOR:
            expected = f"factors of what the network expects of a load, {MOST_FACTOR:g} at most"
            yield Problem(f"{where}.{name}", expected, f"{largest:g}", "divide by what the network expects, in W")
    uncertainty = fields.get("uncertainty")
    if not (_is_number(uncertainty) and float(uncertainty or 0.0) > 0):
        yield Problem(f"{where}.uncertainty", "a number above 0 [1]", shortened(uncertainty))
    if fields.get("period", DAY) not in (DAY, WEEK):
        yield Problem(f"{where}.period", f"{DAY} or {WEEK} [s]", shortened(fields["period"]))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


class Forecast:
    """
    Expected powers of an area.

    Parameters
    ----------
    model : NetworkModel
    profiles : mapping
    local_time : LocalTime
    hold : float
        How long a measured power is held [s]; 0 for not at all.
    growth : float
        Relative standard uncertainty of a held power after a minute [1].
    least : float
        Least standard uncertainty of a forecast by profile [VA].

    Attributes
    ----------
    implausible : tuple of str
        Loads and generators whose last forecast was beyond their rating.
    """

    def __init__(  # noqa: PLR0917
        self, model: NetworkModel, profiles: Mapping[str, Profile], local_time: LocalTime, hold: float, growth: float,
        least: float,
    ) -> None:  # fmt: skip
        tables = (model.loads, model.generators)
        self._ids = tuple(name for table in tables for name in table.ids)
        self._base = demand(model)
        self._rated = np.concatenate([table.rated_power for table in tables])
        self._phases = np.maximum(np.concatenate([table.connected for table in tables]).sum(axis=1), 1)
        self.implausible: tuple[str, ...] = ()
        u_p, u_q = (np.concatenate([getattr(table, name) for table in tables]) for name in ("u_p", "u_q"))
        self._u_base: Complexes = np.zeros(u_p.shape, dtype=complex)
        self._u_base.real, self._u_base.imag = u_p, u_q  # infinite where nothing is known
        named = [name for table in tables for name in table.profile]
        self._rows = {
            name: np.array([row for row, wanted in enumerate(named) if wanted == name], dtype=np.intp)
            for name in profiles
            if name in named
        }
        self.unknown_profiles = tuple(sorted({name for name in named if name} - profiles.keys()))
        self._profiles = profiles
        self._local_time, self._hold, self._growth, self._least = local_time, hold, growth, least
        self._held = np.zeros_like(self._base)
        self._u_held = np.zeros_like(self._base)
        self._since = np.full(self._base.shape, -np.inf)  # [s]

    def at(self, instant_ns: int) -> tuple[Complexes, Complexes]:
        """Give what is expected at an instant, and its standard uncertainty of P (real) and Q (imaginary) [VA]."""
        power, sigma = self._base.copy(), self._u_base.copy()
        now = instant_ns / NANOSECONDS
        local = now + self._local_time.offset(now)
        for name, rows in self._rows.items():
            profile = self._profiles[name]
            p, q = profile.at(local)
            power[rows] = self._base[rows].real * p + 1j * (self._base[rows].imag * q)
            spread = profile.uncertainty * power[rows]
            sigma[rows] = np.maximum(np.abs(spread.real), self._least) + 1j * np.maximum(
                np.abs(spread.imag), self._least
            )
        self._within_ratings(power, sigma)
        if self._hold > 0:
            self._stand_in(now, power, sigma)
        return power, sigma

    def _within_ratings(self, power: Complexes, sigma: Complexes) -> None:
        size = np.abs(power).sum(axis=1)
        beyond = np.flatnonzero(size > BEYOND * self._rated)
        self.implausible = tuple(self._ids[row] for row in beyond.tolist())
        for row in beyond.tolist():
            power[row] *= self._rated[row] / size[row]
            whole = np.where(power[row] != 0, self._rated[row] / self._phases[row], 0.0)
            sigma[row] = np.maximum(sigma[row].real, whole) + 1j * np.maximum(sigma[row].imag, whole)

    def _stand_in(self, now: float, power: Complexes, sigma: Complexes) -> None:
        age = np.abs(now - self._since)
        alive = age <= self._hold
        grown = self._growth * np.abs(self._held) * np.sqrt(np.where(alive, age, 0.0) / 60.0)
        u_p, u_q = np.hypot(self._u_held.real, grown), np.hypot(self._u_held.imag, grown)
        surer_p, surer_q = alive & (u_p < sigma.real), alive & (u_q < sigma.imag)
        power.real[surer_p], sigma.real[surer_p] = self._held.real[surer_p], u_p[surer_p]
        power.imag[surer_q], sigma.imag[surer_q] = self._held.imag[surer_q], u_q[surer_q]

    @property
    def holds(self) -> bool:
        """Whether measured powers are remembered."""
        return self._hold > 0

    def learn(self, instant_ns: int, power: Complexes, sigma: Complexes, measured: Truths) -> None:
        """Remember what was measured at an instant, where `measured`, shape (n, 3)."""
        self._held[measured], self._u_held[measured] = power[measured], sigma[measured]
        self._since[measured] = instant_ns / NANOSECONDS

    def state(self) -> list[list[Any]]:
        """Give what is held, for a later instance."""
        rows, columns = np.nonzero(np.isfinite(self._since))
        return [
            [self._ids[row], int(column), float(self._since[row, column])]
            + [
                float(part)
                for value in (self._held[row, column], self._u_held[row, column])
                for part in (value.real, value.imag)
            ]
            for row, column in zip(rows.tolist(), columns.tolist(), strict=True)
        ]

    def restore(self, held: Iterable[tuple[str, int, float, float, float, float, float]]) -> None:
        """Go on from what `state` gave; loads that are gone are passed over."""
        rows = {name: row for row, name in enumerate(self._ids)}
        for name, column, since, p, q, u_p, u_q in held:
            if name in rows and 0 <= column < 3:
                self._since[rows[name], column] = since
                self._held[rows[name], column] = complex(p, q)
                self._u_held[rows[name], column] = complex(u_p, u_q)
