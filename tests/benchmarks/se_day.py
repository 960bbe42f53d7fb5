"""
A day in the life of three levels of state estimation: errors and coverage of each, and profiles as pictures.

The set-up of Pau et al., IEEE TIM 68:11 (2019), rebuilt (`tests/support/day_grid.py`): a 15 kV grid of 13 nodes, nine
low-voltage grids, 108 concentrators, 648 customers of one phase, one scan a minute. Every area has an estimator of its
own; what goes up is |V|, P and Q at its head with uncertainties (`tests/support/day_chain.py`). Meters are of class
1 % (|V|, P) and 2 % (Q): taken once as standard uncertainty and once as limit of error (uniform), once drawn anew for
each reading and once fixed for each meter and day, which no number of scans averages out. Coverage is judged for normal
errors drawn anew alone: limits are never passed by single readings, and fixed errors are one draw a day; how often the
truth is within the band for them is asked of many fleets of meters (`--fleets`). Then three low-voltage grids have no
meters: their loads are the means of 15 minutes with 20 % too much, taken for sure to 50 %.

Truth is power-grid-model's power flow of the whole network. ``--minutes`` takes one minute of so many (1: all 1,440).
"""

import math
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np

from algorithms.api.network_area import below_id
from algorithms.grid.estimation.estimate import Estimate
from tests.benchmarks.report import Report, arguments
from tests.support.day_chain import Area, Day, Tally
from tests.support.day_pictures import Profile, draw_levels, draw_profile
from tests.support.metering import Accuracy

UNMETERED = ("lv-2", "lv-5", "lv-8")
FLEETS_AT = (600, 1140)
"""Minutes that are looked at where the errors of all meters are drawn many times."""
PHASE, MEDIUM = 400 / math.sqrt(3), 15.0
"""Nominal voltages in the units of the profiles [V, kV]."""
LEVELS = {"c": "concentrators", "lv": "low voltage", "mv": "medium voltage"}


class Run:
    """One day with one kind of meters."""

    def __init__(self, day: Day, accuracy: Accuracy, unmetered: tuple[str, ...] = (), seed: int = 1) -> None:
        self.day, self.unmetered = day, unmetered
        self.sigma = day.sigma(accuracy)
        rng = np.random.default_rng(seed)
        names = day.meter_ids
        table = np.stack([self.sigma[name] for name in names], axis=1)
        drawn = accuracy.errors(rng, np.ones(len(names)), len(day.minutes)) * table
        self.readings = {name: day.true[name] + drawn[:, column] for column, name in enumerate(names)}
        self.tallies = {level: Tally() for level in LEVELS}
        self.pairs = Tally()
        self.failed = 0
        earth, pair = MEDIUM / math.sqrt(3), MEDIUM
        self.profiles = {
            "customer voltage": Profile("Voltage at a customer, by its concentrator (c1-4-2, A)", "|V|", "V", PHASE),
            "cabinet voltage": Profile("Voltage at the end of a low-voltage feeder (c1-4, A)", "|V|", "V", PHASE),
            "substation power": Profile("Power through a distribution transformer (at 0.4 kV, A)", "P", "kW"),
            "medium voltage": Profile("Medium voltage, phase to earth (s5, A)", "|V|", "kV", earth),
            "medium voltage between phases": Profile("Medium voltage, between phases (s5, AB)", "|V|", "kV", pair),
            "feeder power": Profile("Power into a medium-voltage feeder (primary to s1, A)", "P", "kW"),
        }
        self.spent = dict.fromkeys(LEVELS, 0.0)
        prefixes = tuple(f"c{name[3:]}-" for name in unmetered)
        self.areas = [
            area
            for area in day.areas.values()
            if area.name not in unmetered and not (prefixes and area.head.startswith(prefixes) and area.level == "c")
        ]
        self.rows = {
            area.name: np.array([day.model.nodes.rows[name] for name in area.model.nodes.ids]) for area in self.areas
        }

    def run(self) -> None:
        for step in range(len(self.day.minutes)):
            self._scan(step)

    def _scan(self, step: int) -> None:
        told = {name: (float(values[step]), float(self.sigma[name][step])) for name, values in self.readings.items()}
        for level in LEVELS:
            for area in self.areas:
                if area.level != level:
                    continue
                start = time.perf_counter()
                found = area.estimate(told, *self._expected(area, step))
                if found.converged:
                    told |= area.equivalent(found)
                self.spent[level] += time.perf_counter() - start
                if found.converged:
                    self._judge(area, found, step)
                else:
                    self.failed += 1

    def _expected(self, area: Area, step: int) -> tuple[Any, Any]:
        """Give the forecast of areas without meters; of all others nothing is expected."""
        if area.level != "mv" or not self.unmetered:
            return None, None
        shape = (len(area.model.loads) + len(area.model.generators), 3)
        prior, u_prior = np.full(shape, np.nan, dtype=complex), np.full(shape, np.inf, dtype=complex)
        minute = int(self.day.minutes[step])
        quarter = slice(minute // 15 * 15, minute // 15 * 15 + 15)
        for name in self.unmetered:
            rows = [row for row, load in enumerate(self.day.model.loads.ids) if load.startswith(f"load-c{name[3:]}-")]
            mean = 1.2 * self.day.demand[quarter, rows].sum(axis=(1, 2)).mean() / 3
            row = area.model.loads.rows[below_id(name)]
            prior[row] = mean
            u_prior[row] = 0.5 * complex(abs(mean.real), abs(mean.imag))
        return prior, u_prior

    def _judge(self, area: Area, found: Estimate, step: int) -> None:
        tally, day = self.tallies[area.level], self.day
        true = np.abs(day.voltages[step, self.rows[area.name], :3])
        off, sigma = np.abs(found.phase_voltages) - true, found.u_magnitude
        if area.level == "lv":  # the zero sequence above a delta winding is not this level's to tell
            kept = area.model.nodes.base_voltage < 1000.0
            off, sigma, true = off[kept], sigma[kept], true[kept]
        tally.voltage.append(100 * off / true)
        tally.add("|V|", off, sigma)
        if area.level == "c":
            self._judge_head(area, found, step)
        for name, of, node in (
            ("customer voltage", "c-1-4", "c1-4-2"),
            ("cabinet voltage", "lv-1", "c1-4"),
            ("medium voltage", "mv", "s5"),
        ):
            if area.name == of:
                self._voltage(name, area, found, step, node, 1e-3 if of == "mv" else 1.0)
        self._judge_flows(area, found, step)
        if area.level == "mv":
            self._judge_pairs(area, found, step)

    def _judge_pairs(self, area: Area, found: Estimate, step: int) -> None:
        """Judge voltages between phases, which know nothing of the zero sequence."""
        true = self.day.voltages[step, self.rows[area.name], :3]
        true = np.abs(true - np.roll(true, -1, axis=1))
        across, sigma, _ = found.line_voltages(np.arange(len(true)))
        off = np.abs(across) - true
        self.pairs.voltage.append(100 * off / true)
        self.pairs.add("|V|", off, sigma)
        row = area.model.nodes.rows["s5"]
        values = true[row, 0], abs(across[row, 0]), sigma[row, 0]
        self.profiles["medium voltage between phases"].add(*(1e-3 * float(value) for value in values))

    def _judge_head(self, area: Area, found: Estimate, step: int) -> None:
        """Judge what a concentrator's area draws."""
        tally, day = self.tallies[area.level], self.day
        flow = found.flow(area.source)
        for column, phase in enumerate(flow.phases):
            p, q = (day.into(area.name, kind, phase, step) for kind in "pq")
            tally.add("P", np.array([-flow.p[column] - p]), flow.u_p[column])
            tally.add("Q", np.array([-flow.q[column] - q]), flow.u_q[column])
            head = abs(day.voltages[step, day.model.nodes.rows[area.head], column])
            tally.add("|I|", np.array([flow.current[column] - abs(complex(p, q)) / head]), flow.u_current[column])

    def _judge_flows(self, area: Area, found: Estimate, step: int) -> None:
        """Judge the transformer of a low-voltage grid, and all lines at medium voltage."""
        tally, day = self.tallies[area.level], self.day
        watched = [(f"transformer-{area.name[3:]}", 1)] if area.level == "lv" else []
        watched += [(name, 0) for name in area.model.branches.ids] if area.level == "mv" else []
        for name, end in watched:
            flow = found.flow(name, end)
            for quantity, key, values, u in (
                ("P", "p", flow.p, flow.u_p),
                ("Q", "q", flow.q, flow.u_q),
                ("|I|", "current", flow.current, flow.u_current),
            ):
                wanted = np.array([day.true[f"{name}.{key}.{phase}.{end}"][step] for phase in flow.phases])
                tally.add(quantity, values - wanted, u)
            if name == "transformer-1":
                wanted = -day.true["transformer-1.p.A.1"][step] / 1e3
                self.profiles["substation power"].add(wanted, -flow.p[0] / 1e3, flow.u_p[0] / 1e3)
            if name == "primary-s1":
                wanted = day.true["primary-s1.p.A.0"][step] / 1e3
                self.profiles["feeder power"].add(wanted, flow.p[0] / 1e3, flow.u_p[0] / 1e3)

    def _voltage(  # noqa: PLR0917 - which, and of what
        self, name: str, area: Area, found: Estimate, step: int, node: str, unit: float
    ) -> None:
        row, whole = area.model.nodes.rows[node], self.day.model.nodes.rows[node]
        true = abs(self.day.voltages[step, whole, 0])
        values = true, abs(found.phase_voltages[row, 0]), found.u_magnitude[row, 0]
        self.profiles[name].add(*(unit * float(value) for value in values))

    def draw(self, folder: Path, remark: str) -> None:
        """Write every profile as a picture, for a page and for a paper."""
        for name, profile in self.profiles.items():
            if len(profile.true) == len(self.day.minutes):
                for suffix in ("png", "pdf"):
                    draw_profile(folder / f"{name.replace(' ', '-')}.{suffix}", profile, self.day.minutes, remark)

    @property
    def errors(self) -> dict[str, tuple[float, float]]:
        """RMS and largest errors of |V|, level by level [%]."""
        found = {words: self.tallies[level] for level, words in LEVELS.items()}
        found["between its phases"] = self.pairs
        return {words: (tally.rms, tally.largest) for words, tally in found.items()}

    def tell(self, report: Report, name: str, *, judged: bool) -> None:
        for level, words in LEVELS.items():
            tally = self.tallies[level]
            report.figure(f"{name}: {words}, largest error of |V|", tally.largest, "%")
            report.figure(f"{name}: {words}, RMS error of |V|", tally.rms, "%")
            for quantity in tally.inside:
                share = tally.share(quantity)
                reach = ">= 94" if judged else ""
                report.figure(f"{name}: {words}, {quantity} within 2 sigma", share, "%", reach)
                if judged:
                    report.figure(f"{name}: {words}, {quantity} within 2 sigma, not too wide", share, "%", "<= 97")
        words = "medium voltage, between phases"
        report.figure(f"{name}: {words}, largest error of |V|", self.pairs.largest, "%")
        report.figure(f"{name}: {words}, RMS error of |V|", self.pairs.rms, "%")
        report.figure(f"{name}: {words}, |V| within 2 sigma", self.pairs.share("|V|"), "%")
        report.figure(f"{name}: estimates that did not converge", self.failed, "1", "== 0")
        scans = len(self.day.minutes)
        for level, words in LEVELS.items():
            report.figure(f"{name}: all {words} in one process, a minute", 1e3 * self.spent[level] / scans, "ms")


def tell_fleets(report: Report, count: int) -> None:
    """
    Draw the errors of all meters again and again, each time for good.

    Within a day nothing of them averages out: the 39 voltages to earth at medium voltage share one zero sequence, so in
    one fleet of meters all of its phases may be outside their band from morning to night. Over fleets the band holds.
    """
    day = Day(FLEETS_AT)
    for name, accuracy in (("sigma", Accuracy(fixed=True)), ("a limit", Accuracy(limit=True, fixed=True))):
        shares: dict[str, list[float]] = {}
        for fleet in range(count):
            run = Run(day, accuracy, seed=1000 + fleet)
            run.run()
            for level, words in LEVELS.items():
                for quantity in run.tallies[level].inside:
                    shares.setdefault(f"{words}, {quantity}", []).append(run.tallies[level].share(quantity))
            shares.setdefault("medium voltage, between phases, |V|", []).append(run.pairs.share("|V|"))
        for words, each in shares.items():
            where = f"1 % is {name}, fixed, {count} fleets: {words} within 2 sigma"
            report.figure(f"{where}, mean", float(np.mean(each)), "%")
            report.figure(f"{where}, fleet where least", min(each), "%")


def main() -> None:
    parser = arguments("A day of three levels of state estimation")
    parser.add_argument("--minutes", type=int, default=1, help="take one minute of so many")
    parser.add_argument("--plots", type=Path, help="folder for the pictures")
    parser.add_argument("--only", default="", help="cases whose name holds this text; fleets for those alone")
    parser.add_argument("--fleets", type=int, default=100, help="draws of fixed errors")
    options = parser.parse_args()
    every = 120 if options.quick else options.minutes
    day = Day(range(every // 2, 1440, every))
    report = Report("A day in the life", {"minutes": len(day.minutes), "customers": 648, "concentrators": 108})
    cases = {
        "1 % is sigma, new errors each reading": (Accuracy(), (), True),
        "1 % is a limit, new errors each reading": (Accuracy(limit=True), (), False),
        "1 % is sigma, fixed for each meter": (Accuracy(fixed=True), (), False),
        "1 % is a limit, fixed for each meter": (Accuracy(limit=True, fixed=True), (), False),
        "three low-voltage grids without meters": (Accuracy(), UNMETERED, False),
    }
    errors = {}
    for name, (accuracy, unmetered, judged) in cases.items():
        if options.only not in name:
            continue
        run = Run(day, accuracy, unmetered)
        run.run()
        run.tell(report, name, judged=judged and not options.quick)
        errors[name] = run.errors
        if options.plots:
            folder = options.plots / name.replace(" ", "-").replace("%", "percent").replace(",", "")
            folder.mkdir(parents=True, exist_ok=True)
            run.draw(folder, name)
    if options.plots and errors:
        for suffix in ("png", "pdf"):
            draw_levels(options.plots / f"levels.{suffix}", errors)
    if options.only in "fleets":
        tell_fleets(report, 2 if options.quick else options.fleets)
    report.finish(as_json=options.json)


if __name__ == "__main__":
    main()
