"""
State estimation beside power-grid-model and pandapower: time of a scan, and how near the truth and exact least squares.

Each network is prepared once by each engine and then given noisy readings, other ones in every scan, the engines in
turns, on one thread. power-grid-model (iterative linear) takes voltages of three phases only, so for the race every
meter tells all three to both; what tresma does with meters of one phase is told beside. A scan of ours returns voltages
*and* their standard uncertainties at all nodes, one of the peer's voltages. Warm: all structures are there. Fallen
silent: the first scan in which one customer's meter is missing. Cold: network and metering are new to the engine.

Truth is power-grid-model's power flow; exact least squares are `tests/support/exact_wls.py`. Readings: |V| 1 %, P 1 %,
Q 2 % (standard uncertainties). pandapower solves the balanced problem, a third of each power on each phase. ``--quick``
leaves out the network of 10,000 nodes.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import statistics
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np

from algorithms.api.network import NetworkModel
from algorithms.api.network_reader import parse
from algorithms.grid.estimation.least_squares import Estimator
from tests.benchmarks.report import Report, arguments
from tests.support.estimation_peers import PandapowerEstimator, PowerGridModelEstimator
from tests.support.exact_wls import ExactWls
from tests.support.metering import Metering, at_customers, find_truth, metered, plain_transformers, voltages_at
from tests.support.reference_grids import cigre_mv, european_lv, european_lv_contracted, synthetic_lv


@dataclass(frozen=True)
class Course:
    """A network, how much faster it is to be, and what is asked of power-grid-model's voltages, relative to nominal."""

    name: str
    model: NetworkModel
    faster: str
    head: str
    cold: str = ""
    exact: bool = True
    tolerance: float = 1e-6


def timed(action: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    found = action()
    return time.perf_counter() - start, found


def course(name: str, document: Any, faster: str, **others: Any) -> Course:
    model = plain_transformers(parse(document))
    head = model.transformers.to_node[0] if len(model.transformers) else model.sources.node[0]
    return Course(name, model, faster, model.nodes.ids[int(head)], **others)


def own_scan(estimator: Estimator, metering: Metering, values: Any) -> Any:
    found = estimator.estimate(values, prior=metering.prior, u_prior=metering.u_prior)
    return found, np.abs(found.phase_voltages), found.u_magnitude


class Race:
    """Times of one network, gathered turn by turn."""

    def __init__(self, on: Course, turns: int) -> None:
        self.on, self.turns = on, turns
        truth = find_truth(on.model)
        # power-grid-model needs the source's own node too, whose zero sequence a delta winding hides from below.
        heads = voltages_at(on.model, on.head, on.model.nodes.ids[on.model.sources.node[0]])
        self.metering = metered(on.model, truth, [*at_customers(on.model, all_phases=True), *heads])
        self.alone = metered(on.model, truth, [*at_customers(on.model), *heads])
        self.truth = np.abs(truth.voltages[:, :3])
        self.level = on.model.nodes.base_voltage == on.model.nodes.base_voltage[on.model.nodes.rows[on.head]]
        rng = np.random.default_rng(11)
        self.scans = self.metering.draw(rng, turns + 1)
        self.alone_scans = self.alone.draw(rng, turns + 1)
        self.times: dict[str, list[float]] = {}
        self.errors: dict[str, list[Any]] = {}

    def take(self, key: str, action: Callable[[], Any]) -> Any:
        spent, found = timed(action)
        self.times.setdefault(key, []).append(spent)
        return found

    def compare(self, key: str, magnitudes: Any) -> None:
        self.errors.setdefault(key, []).append(100 * (magnitudes / self.truth - 1)[self.level])

    def run(self, cold_turns: int) -> None:
        peer = PowerGridModelEstimator(self.on.model, self.metering.measurements, self.on.tolerance)
        updates = [peer.readings(scan) for scan in self.scans]
        own = Estimator(self.on.model, self.metering.measurements)
        alone = Estimator(self.on.model, self.alone.measurements)
        own_scan(own, self.metering, self.scans[-1])
        own_scan(alone, self.alone, self.alone_scans[-1])
        peer.prepare(updates[-1])
        peer.calculate()
        for turn in range(self.turns):
            found, magnitudes, _ = self.take("own", lambda turn=turn: own_scan(own, self.metering, self.scans[turn]))
            assert found.converged, found.reason
            self.take("peer", lambda turn=turn: peer.scan(updates[turn]))
            self.compare("own", magnitudes)
            self.compare("peer", peer.magnitudes(updates[turn]))
            scan = self.alone_scans[turn]
            found, magnitudes, _ = self.take("alone", lambda scan=scan: own_scan(alone, self.alone, scan))
            self.compare("alone", magnitudes)
        self._silent(own)
        self._cold(peer, updates, cold_turns)

    def _silent(self, own: Estimator) -> None:
        """Each time another meter has just fallen silent, all of the others being there."""
        loads = self.on.model.loads
        rng = np.random.default_rng(5)
        for turn in range(self.turns):
            values = self.scans[turn].copy()
            load = int(rng.integers(len(loads)))
            values[self.metering.rows(loads.ids[load], self.on.model.nodes.ids[loads.node[load]])] = np.nan
            found, magnitudes, sigma = self.take("silent", lambda values=values: own_scan(own, self.metering, values))
            assert found.converged, found.reason
            assert np.isfinite(sigma).all()
            self.compare("silent", magnitudes)
            own_scan(own, self.metering, self.scans[turn])

    def _cold(self, peer: PowerGridModelEstimator, updates: list[Any], turns: int) -> None:
        values = self.scans[-1]

        def own_cold(*, sigma: bool) -> Any:
            estimator = Estimator(self.on.model, self.metering.measurements)
            found = estimator.estimate(values, prior=self.metering.prior, u_prior=self.metering.u_prior)
            return found.voltages, found.u_magnitude if sigma else None

        def peer_cold() -> Any:
            peer.prepare(updates[-1])
            return peer.calculate()

        for _ in range(turns):
            self.take("cold", lambda: own_cold(sigma=False))
            self.take("peer cold", peer_cold)
            self.take("cold with sigma", lambda: own_cold(sigma=True))

    def middle(self, key: str) -> float:
        return statistics.median(self.times[key])

    def exact(self, draws: int) -> tuple[float, float, float]:
        """Give how far the estimate and its sigma are from exact least squares, and the exact error (max, %)."""
        own = Estimator(self.on.model, self.metering.measurements)
        judge = ExactWls(self.on.model, self.metering.measurements)
        apart, of_sigma, error = 0.0, 0.0, []
        for draw in range(draws):
            values = self.scans[draw]
            found, magnitudes, sigma = own_scan(own, self.metering, values)
            assert found.converged, found.reason
            exact = judge.estimate(
                values,
                prior=self.metering.prior,
                u_prior=self.metering.u_prior,
                start=(self.metering.truth.voltages, self.metering.truth.power),
            )
            theirs = np.abs(exact.voltages[:, :3])
            apart = max(apart, float((100 * np.abs(magnitudes / theirs - 1)).max()))
            error.append(float((100 * np.abs(theirs / self.truth - 1))[self.level].max()))
            if draw == 0 and len(self.truth) <= 1100:
                of_sigma = float(np.abs(sigma / exact.u_magnitude - 1).max())
        return apart, of_sigma, statistics.median(error)


def tell(report: Report, race: Race, *, quick: bool) -> None:
    name, on = race.on.name, race.on
    report.figure(f"{name}: a scan, with all sigmas", 1e3 * race.middle("own"), "ms")
    report.figure(f"{name}: power-grid-model, voltages alone", 1e3 * race.middle("peer"), "ms")
    report.figure(f"{name}: peer's time over ours", race.middle("peer") / race.middle("own"), "1", f">= {on.faster}")
    report.figure(f"{name}: a scan with a meter just fallen silent", 1e3 * race.middle("silent"), "ms")
    report.figure(f"{name}: peer's time over that", race.middle("peer") / race.middle("silent"), "1")
    report.figure(f"{name}: a scan of meters of one phase", 1e3 * race.middle("alone"), "ms")
    report.figure(f"{name}: cold, voltages alone", 1e3 * race.middle("cold"), "ms")
    ratio = race.middle("peer cold") / race.middle("cold")
    report.figure(f"{name}: cold, peer's time over ours", ratio, "1", on.cold)
    report.figure(f"{name}: cold, with all sigmas", 1e3 * race.middle("cold with sigma"), "ms")
    names = {"own": "ours", "peer": "power-grid-model", "alone": "ours, one phase", "silent": "ours, one silent"}
    for key, who in names.items():
        errors = np.stack(race.errors[key])
        largest = float(np.median(np.abs(errors).reshape(len(errors), -1).max(axis=1)))
        report.figure(f"{name}: largest error of |V|, {who} (median)", largest, "%")
        report.figure(f"{name}: RMS error of |V|, {who}", float(np.sqrt((errors**2).mean())), "%")
    if on.exact:
        apart, of_sigma, exact = race.exact(1 if quick or len(race.truth) > 300 else 10)
        report.figure(f"{name}: largest error of |V|, exact least squares", exact, "%")
        report.figure(f"{name}: |V| apart from exact least squares, at most", apart, "%", "<= 0.01")
        if len(race.truth) <= 1100:
            report.figure(f"{name}: sigma apart from exact, at most", 100 * of_sigma, "%", "<= 5")


def tell_pandapower(report: Report, on: Course, turns: int) -> None:
    """Time the balanced problem."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer = PandapowerEstimator(on.model)
        rng = np.random.default_rng(3)
        times, sure = [], 0
        for _ in range(turns):
            spent, success = timed(lambda: peer.scan(rng))
            times.append(spent)
            sure += success
    report.figure(f"{on.name}: pandapower, balanced", 1e3 * statistics.median(times), "ms")
    report.figure(f"{on.name}: pandapower, balanced: scans that converged", sure / turns, "1")


def main() -> None:
    parser = arguments("State estimation beside power-grid-model and pandapower")
    parser.add_argument("--only", default="", help="networks whose name holds this text")
    options = parser.parse_args()
    conditions = {
        "power-grid-model": "1.12.110, iterative linear, to 1e-6 (CIGRE MV: 1e-3, nearer it does not come)",
        "pandapower": "3.5.6, wls",
    }
    report = Report("State estimation", {**conditions, "threads": 1})
    quick = options.quick
    courses = [
        course("European LV, 906", european_lv(), "12", cold=">= 1"),
        course("European LV contracted, 205", european_lv_contracted(), "5", cold=">= 1"),
        course("CIGRE MV, 13", cigre_mv(), "2", tolerance=1e-3),
        course("synthetic LV, 1,000", synthetic_lv(1000, metering="single-phase"), "3"),
        course("synthetic LV, 10,000", synthetic_lv(10_000, metering="single-phase"), "3", exact=not quick),
    ]
    once: dict[str, float] = {}
    for on in courses:
        if options.only not in on.name or (quick and not options.only and len(on.model.nodes) > 2000):
            continue  # the largest takes longer than a quick answer may
        large = len(on.model.nodes) > 1000 and on.name.startswith("synthetic")
        race = Race(on, (5 if large else 30) if quick else (30 if large else 150))
        race.run((1 if large else 5) if quick else (5 if large else 20))
        tell(report, race, quick=quick)
        once[on.name] = race.middle("own")
        if len(on.model.nodes) < 1000:
            tell_pandapower(report, on, 2 if quick else 10)
    if {"synthetic LV, 1,000", "synthetic LV, 10,000"} <= once.keys():
        growth = once["synthetic LV, 10,000"] / once["synthetic LV, 1,000"]
        report.figure("ten times as many nodes: time of a scan grows by", growth, "1", "<= 10")
    report.finish(as_json=options.json)


if __name__ == "__main__":
    main()
