"""
Reconfiguration for fewer losses: five published networks against the best that is known of them, and the time it takes.

Losses are those of power-grid-model in the position found; that the data are the published ones is shown by the losses
of the published position. For the smallest network the best is proven here, by every radial position (networkx) and its
losses (power-grid-model).
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np

from algorithms.api.network import NetworkModel
from algorithms.api.network_document import SwitchStates
from algorithms.api.network_operation import SwitchState
from algorithms.api.network_reader import parse
from algorithms.grid.switching.limits import Limits
from algorithms.grid.switching.reconfiguration import Effort, Reconfiguration, reconfigure
from algorithms.grid.switching.restoration import restore
from algorithms.grid.switching.switched import SwitchedNetwork
from algorithms.grid.switching.tree_flow import TreeFlow
from tests.benchmarks.report import Report, arguments
from tests.support.feeder_pair import feeder_pair_document
from tests.support.published_networks import BASE_LOSSES, BEST_KNOWN, published_document
from tests.support.switch_positions import LossesByPowerGridModel, radial_positions

ENUMERATED = ("civanlar_16",)
WIDE = Limits(0.5, 1.5)
"""The literature compares losses without limits."""


def timed(model: NetworkModel, effort: Effort, turns: int) -> tuple[Reconfiguration, float]:
    """Give what is found and the median processor time with everything that depends on what is drawn [s]."""
    network = SwitchedNetwork(model)
    times = []
    for _ in range(turns):
        start = time.process_time()  # one thread, and what others do on this machine is not counted
        found = reconfigure(TreeFlow(network), limits=WIDE, effort=effort)
        times.append(time.process_time() - start)
    return found, statistics.median(times)


def restored(model: NetworkModel, branch: str) -> float:
    """Give the processor time of working out how to isolate and restore, the breaker being open [s]."""
    breaker = f"breaker-{branch[0]}"
    closed = dict(zip(model.switches.ids, model.switches.closed.tolist(), strict=True)) | {breaker: False}
    states = {name: SwitchState.CLOSED if there else SwitchState.OPEN for name, there in closed.items()}
    tripped = model.with_switches(SwitchStates(model.network, 1, states))
    start = time.process_time()
    restore(TreeFlow(SwitchedNetwork(tripped)), (branch,), model.switches.closed)
    return time.process_time() - start


def main() -> None:
    options = arguments("Reconfiguration for fewer losses").parse_args()
    conditions = {"truth": "power-grid-model 1.12.110", "time": "processor time"}
    report = Report("Reconfiguration for fewer losses", conditions)
    turns = 5 if options.quick else 25
    for name, published in BASE_LOSSES.items():
        model = parse(published_document(name))
        truth = LossesByPowerGridModel(model)
        base = float(truth.losses(model.switches.closed[np.newaxis])[0])
        report.figure(f"{name}: losses as published over ours", base / published, "1", "<= 1.0005")
        best, _ = BEST_KNOWN[name]
        report.figure(f"{name}: best known", best / 1e3, "kW")
        for effort in Effort:
            found, seconds = timed(model, effort, turns)
            losses = float(truth.losses(found.closed[np.newaxis])[0])
            report.figure(f"{name}, {effort}: losses", losses / 1e3, "kW")
            reach = "<= 0.1" if effort is Effort.THOROUGH else ""
            report.figure(f"{name}, {effort}: above the best known", 100 * (losses / best - 1), "%", reach)
            report.figure(f"{name}, {effort}: time", 1e3 * seconds, "ms", _reach(name, effort))
        if name in ENUMERATED:
            positions = radial_positions(model)
            report.figure(f"{name}: radial positions", len(positions), "1")
            least = float(truth.losses(positions).min())
            report.figure(f"{name}: above the least of all positions", 100 * (losses / least - 1), "%", "<= 0.001")
    model = parse(feeder_pair_document())
    found, seconds = timed(model, Effort.QUICK, turns)
    least = timed(model, Effort.THOROUGH, 1)[0]
    name = "two feeders, twelve secondary substations"
    report.figure(f"{name}: time", 1e3 * seconds, "ms", "<= 5")
    above = 100 * (found.after.losses / least.after.losses - 1)
    report.figure(f"{name}: above the least of all positions", above, "%", "<= 0.001")
    times = [restored(model, branch) for _ in range(turns) for branch in model.branches.ids]
    report.figure(f"{name}: restoration after a fault, median time", 1e3 * statistics.median(times), "ms", "<= 5")
    report.figure(f"{name}: restoration after a fault, longest time", 1e3 * max(times), "ms")
    report.finish(as_json=options.json)


def _reach(name: str, effort: Effort) -> str:
    return "<= 5" if name == "baran_wu_33" and effort is Effort.QUICK else ""


if __name__ == "__main__":
    main()
