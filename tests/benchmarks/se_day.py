"""
A day in the life of three levels of state estimation: errors and coverage of each, and profiles as pictures.

The set-up of Pau et al., IEEE TIM 68:11 (2019), rebuilt (`tests/support/day_grid.py`): a 15 kV grid of 13 nodes, nine
low-voltage grids, 108 concentrators, 648 customers of one phase, one scan a minute. Every area has an estimator of its
own; what goes up is |V|, P and Q at its head with uncertainties (`tests/support/day_chain.py`). Meters are of class
1 % (|V|, P) and 2 % (Q): taken once as standard uncertainty and once as limit of error (uniform), once drawn anew for
each reading and once fixed for each meter and day, which no number of scans averages out. Coverage is judged for normal
errors drawn anew alone: limits are never passed by single readings, and fixed errors are one draw a day. At last three
low-voltage grids have no meters: their loads are the means of 15 minutes with 20 % too much, taken for sure to 50 %.

Truth is power-grid-model's power flow of the whole network. ``--minutes`` takes one minute of so many (1: all 1,440).
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np

from algorithms.api.network_area import below_id
from algorithms.grid.estimation.estimate import Estimate
from tests.benchmarks.report import Report, arguments
from tests.support.day_chain import Area, Day, Tally
from tests.support.metering import Accuracy

UNMETERED = ("lv-2", "lv-5", "lv-8")
LEVELS = {"c": "concentrators", "lv": "low voltage", "mv": "medium voltage"}


@dataclass
class Profile:
    """One curve over the day: true, estimated, standard uncertainty."""

    title: str
    unit: str
    true: list[float] = field(default_factory=list)
    found: list[float] = field(default_factory=list)
    sigma: list[float] = field(default_factory=list)

    def add(self, true: float, found: float, sigma: float) -> None:
        self.true.append(true)
        self.found.append(found)
        self.sigma.append(sigma)


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
        self.profiles = {
            "customer voltage": Profile("|V| at a customer's, as its concentrator finds it (c1-4-2, phase A)", "V"),
            "cabinet voltage": Profile("|V| at the end of a low-voltage feeder (c1-4, phase A)", "V"),
            "substation power": Profile(
                "P through a distribution transformer (substation 1, phase A, at 0.4 kV)", "kW"
            ),
            "medium voltage": Profile("|V| at medium voltage (s5, phase A)", "V"),
            "feeder power": Profile("P into a medium-voltage feeder (primary to s1, phase A)", "kW"),
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
                self._voltage(name, area, found, step, node)
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

    def _voltage(self, name: str, area: Area, found: Estimate, step: int, node: str) -> None:
        row, whole = area.model.nodes.rows[node], self.day.model.nodes.rows[node]
        true = abs(self.day.voltages[step, whole, 0])
        self.profiles[name].add(true, abs(found.phase_voltages[row, 0]), found.u_magnitude[row, 0])

    def draw(self, folder: Path, title: str) -> None:
        """Write every profile as a picture."""
        import matplotlib as mpl

        mpl.use("Agg")
        from matplotlib import pyplot as plt

        hours = self.day.minutes / 60
        for name, profile in self.profiles.items():
            true, found, sigma = (np.array(one) for one in (profile.true, profile.found, profile.sigma))
            if len(true) != len(hours):
                continue
            figure, (upper, lower) = plt.subplots(2, 1, figsize=(10, 6), sharex=True, height_ratios=(3, 1))
            upper.fill_between(hours, found - 2 * sigma, found + 2 * sigma, color="#9ecae1", label="estimate ± 2 sigma")
            upper.plot(hours, found, color="#08519c", linewidth=0.9, label="estimate")
            upper.plot(hours, true, color="#d94801", linewidth=0.9, linestyle="--", label="truth")
            upper.set_ylabel(f"[{profile.unit}]")
            upper.set_title(f"{profile.title}\n{title}", fontsize=10)
            upper.legend(loc="best", fontsize=8)
            lower.fill_between(hours, -2 * sigma, 2 * sigma, color="#9ecae1")
            lower.plot(hours, found - true, color="#08519c", linewidth=0.7)
            lower.set_ylabel(f"error [{profile.unit}]")
            lower.set_xlabel("hour of the day")
            lower.set_xlim(0, 24)
            for axes in (upper, lower):
                axes.grid(alpha=0.3)
            figure.tight_layout()
            figure.savefig(folder / f"{name.replace(' ', '-')}.png", dpi=110)
            plt.close(figure)

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


def main() -> None:
    parser = arguments("A day of three levels of state estimation")
    parser.add_argument("--minutes", type=int, default=1, help="take one minute of so many")
    parser.add_argument("--plots", type=Path, help="folder for the pictures")
    parser.add_argument("--only", default="", help="cases whose name holds this text")
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
    for name, (accuracy, unmetered, judged) in cases.items():
        if options.only not in name:
            continue
        run = Run(day, accuracy, unmetered)
        run.run()
        run.tell(report, name, judged=judged and not options.quick)
        if options.plots:
            folder = options.plots / name.replace(" ", "-").replace("%", "percent").replace(",", "")
            folder.mkdir(parents=True, exist_ok=True)
            run.draw(folder, name)
    report.finish(as_json=options.json)


if __name__ == "__main__":
    main()
