"""
EN 50160 for low voltage: each criterion of a week against its limit, and the classes of dips and swells (pure).

Middle room of ``tresma report``, between `report_data` and `report_page`. Flagged intervals are counted and left out;
what an installation does not measure is "not measured", never "met". The standard's numbers are believed, not checked
against its text.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from device_catalog.operator.report_data import TEN_MINUTES, Collected, Happening, Interval

HARMONIC_LIMITS = {
    2: 0.02, 3: 0.05, 4: 0.01, 5: 0.06, 7: 0.05, 9: 0.015, 11: 0.035, 13: 0.03, 15: 0.005, 17: 0.02, 19: 0.015,
    21: 0.005, 23: 0.015, 25: 0.015, **dict.fromkeys(range(6, 25, 2), 0.005),
}  # fmt: skip
"""Share of the fundamental [1]."""
DISTORTION_LIMIT = 0.08
UNBALANCE_LIMIT = 0.02
FLICKER_LIMIT = 1.0
VOLTAGE_BANDS = ((0.95, 0.90, 1.10), (1.0, 0.85, 1.10))
"""Share of the time, and the band of the declared voltage that it must be within [1]."""
FREQUENCY_BANDS = ((0.995, 0.99, 1.01), (1.0, 0.94, 1.04))
DIP_ROWS = ((0.8, 0.9, "90 > u ≥ 80"), (0.7, 0.8, "80 > u ≥ 70"), (0.4, 0.7, "70 > u ≥ 40"),
            (0.05, 0.4, "40 > u ≥ 5"), (-1.0, 0.05, "5 > u"))  # fmt: skip
DIP_COLUMNS = ((0.2, "10 to 200 ms"), (0.5, "to 500 ms"), (1.0, "to 1 s"), (5.0, "to 5 s"), (60.0, "to 1 min"),
               (math.inf, "longer"))  # fmt: skip
SWELL_ROWS = ((1.2, math.inf, "u ≥ 120"), (1.1, 1.2, "120 > u > 110"))
SWELL_COLUMNS = ((0.5, "10 to 500 ms"), (5.0, "to 5 s"), (60.0, "to 1 min"), (math.inf, "longer"))
SHORT_INTERRUPTION = 180.0
"""Up to here an interruption is a short one [s]."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    One criterion.

    Attributes
    ----------
    name, limit : str
        For people.
    found : str
        Empty where nothing was measured.
    met : bool or None
        None for not measured.
    counted : int
        Values it rests on.
    """

    name: str
    limit: str
    found: str
    met: bool | None
    counted: int


def percentile(values: Sequence[float], share: float) -> float:
    """
    Return the value that a share of `values` does not exceed.

    >>> percentile([1.0, 2.0, 3.0, 4.0], 0.95), percentile([1.0, 2.0, 3.0, 4.0], 0.5)
    (4.0, 2.0)
    """
    ordered = sorted(values)
    return ordered[min(len(ordered), max(1, math.ceil(share * len(ordered) - 1e-9))) - 1]


def usable(intervals: Iterable[Interval]) -> list[Interval]:
    """Return the intervals in which nothing is flagged or missing, in order."""
    return sorted((one for one in intervals if one.whole), key=lambda one: one.time_ns)


def phases_of(intervals: Iterable[Interval]) -> list[str]:
    """Name the phases that some interval has a voltage of."""
    return sorted(
        {phase for one in intervals for phase, told in one.voltage.items() if told is not None and phase != "N"}
    )


def judge(week: Collected) -> list[Verdict]:
    """Judge a week, criterion by criterion."""
    ten = usable(week.ten.values())
    two = usable(week.two.values())
    phases = phases_of(week.ten.values())
    verdicts = [*_frequency(week), *_voltage(ten, phases)]
    flicker = {
        phase: [c.plt for one in two if (c := one.voltage.get(phase)) is not None and c.plt is not None]
        for phase in phases
    }
    verdicts.append(_at_most("Flicker, Plt", FLICKER_LIMIT, flicker, "", 1.0))
    balance = [one.unbalance["u2"] for one in ten if one.unbalance is not None and "u2" in one.unbalance]
    verdicts.append(_at_most("Unbalance, negative sequence", UNBALANCE_LIMIT, {"": balance}, " %", 100.0))
    distortion = {
        phase: [c.distortion for one in ten if (c := one.voltage.get(phase)) is not None and c.distortion is not None]
        for phase in phases
    }
    verdicts.append(_at_most("Distortion to order 40 (THD)", DISTORTION_LIMIT, distortion, " %", 100.0))
    for order in sorted(HARMONIC_LIMITS):
        shares = {phase: harmonic_shares(ten, phase, order) for phase in phases}
        verdicts.append(_at_most(f"Harmonic {order}", HARMONIC_LIMITS[order], shares, " %", 100.0))
    return verdicts


def harmonic_shares(intervals: Iterable[Interval], phase: str, order: int) -> list[float]:
    """Return a harmonic as shares of the fundamental [1], one for each interval that measured it."""
    shares = []
    for one in intervals:
        told = one.voltage.get(phase)
        if told is None or len(told.harmonics) < order:
            continue
        fundamental, value = told.harmonics[0], told.harmonics[order - 1]
        if fundamental and value is not None:
            shares.append(value / fundamental)
    return shares


def _frequency(week: Collected) -> list[Verdict]:
    values, nominal = [], 50.0
    for one in week.ten.values():
        nominal = one.nominal_frequency
        values += [value for value in one.frequency_10s if value is not None]
    return [
        _within("Frequency, 10 s", band, {"": [value / nominal for value in values]}, unit=nominal, symbol="Hz")
        for band in FREQUENCY_BANDS
    ]


def _voltage(ten: Sequence[Interval], phases: Sequence[str]) -> list[Verdict]:
    declared = ten[0].declared_voltage if ten else 230.0
    values = {
        phase: [
            c.rms / one.declared_voltage
            for one in ten
            if (c := one.voltage.get(phase)) is not None and c.rms is not None
        ]
        for phase in phases
    }
    return [_within("Voltage, 10 min", band, values, unit=declared, symbol="V") for band in VOLTAGE_BANDS]


def _within(
    name: str, band: tuple[float, float, float], values: dict[str, list[float]], *, unit: float, symbol: str
) -> Verdict:
    share, low, high = band
    limit = f"{100 * share:g} % within {unit * low:.5g} to {unit * high:.5g} {symbol}"
    counted = sum(map(len, values.values()))
    if not counted:
        return Verdict(name, limit, "", None, 0)
    told, met = [], True
    for phase, found in values.items():
        if not found:
            continue
        inside = sum(low <= value <= high for value in found) / len(found)
        met = met and inside >= share - 1e-12
        told.append(
            f"{phase} {100 * inside:.4g} % ({unit * min(found):.5g} to {unit * max(found):.5g} {symbol})".strip()
        )
    return Verdict(name, limit, "; ".join(told), met, max(map(len, values.values())))


def _at_most(name: str, bound: float, values: dict[str, list[float]], symbol: str, scale: float) -> Verdict:
    limit = f"95 % at most {scale * bound:g}{symbol}"
    known = {phase: found for phase, found in values.items() if found}
    if not known:
        return Verdict(name, limit, "", None, 0)
    worst = {phase: percentile(found, 0.95) for phase, found in known.items()}
    told = "; ".join(f"{phase} {scale * value:.3g}{symbol}".strip() for phase, value in worst.items())
    return Verdict(name, limit, told, max(worst.values()) <= bound, max(map(len, known.values())))


def dip_table(happenings: Iterable[Happening]) -> list[list[int]]:
    """Count dips by residual voltage (rows) and duration (columns); those with an interruption are none."""
    table = [[0] * len(DIP_COLUMNS) for _ in DIP_ROWS]
    for one in happenings:
        if one.kind == "voltage-dip" and not one.interrupted:
            row = next(k for k, (low, _, _) in enumerate(DIP_ROWS) if one.voltage >= low)
            table[row][_column(one.duration, DIP_COLUMNS)] += 1
    return table


def swell_table(happenings: Iterable[Happening]) -> list[list[int]]:
    """Count swells by highest voltage (rows) and duration (columns)."""
    table = [[0] * len(SWELL_COLUMNS) for _ in SWELL_ROWS]
    for one in happenings:
        if one.kind == "voltage-swell":
            table[0 if one.voltage >= SWELL_ROWS[0][0] else 1][_column(one.duration, SWELL_COLUMNS)] += 1
    return table


def _column(duration: float, columns: Sequence[tuple[float, str]]) -> int:
    return next(k for k, (most, _) in enumerate(columns) if duration <= most)


def coverage(week: Collected, begin_ns: int, end_ns: int) -> tuple[int, int, int]:
    """Return how many of the period's ten minutes were measured whole, flagged or incomplete, and not at all."""
    expected = (end_ns - begin_ns) // TEN_MINUTES
    whole = sum(one.whole for one in week.ten.values())
    return whole, len(week.ten) - whole, max(0, expected - len(week.ten))
