"""
Unbalanced power flow: time for one solution beside power-grid-model, and how far apart the solutions are.

Each network is prepared once by both, then solved for demands that differ every time, the engines in turns, on one
thread. power-grid-model is asked one demand at a time, by its faster method (iterative current, which keeps its
factorisation), and then by the batch, which spares it the way through Python. Cold is preparation and one solution.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np

from algorithms.api.network import NetworkModel
from algorithms.api.network_reader import parse
from algorithms.grid.powerflow import Method, prepare
from tests.benchmarks.report import Report, arguments
from tests.support.network_engines import power_grid_model_input
from tests.support.random_networks import low_voltage_document, random_document


def timed(action: Callable[[], Any]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


class Peer:
    """power-grid-model, prepared."""

    def __init__(self, model: NetworkModel, powers: list[Any]) -> None:
        from power_grid_model import ComponentType, DatasetType, PowerGridModel, initialize_array

        self.kind = ComponentType
        self.data = power_grid_model_input(model)
        self.engine = PowerGridModel(self.data)
        ids = self.data[ComponentType.asym_load]["id"]
        self.updates = initialize_array(DatasetType.update, ComponentType.asym_load, (len(powers), len(ids)))
        for update, power in zip(self.updates, powers, strict=True):
            update["id"], update["p_specified"], update["q_specified"] = ids, power.real, power.imag
        self.one = [{ComponentType.asym_load: update.copy()} for update in self.updates]

    def calculate(self, **options: Any) -> Any:
        return self.engine.calculate_power_flow(
            symmetric=False,
            error_tolerance=1e-9,
            max_iterations=100,
            calculation_method="iterative_current",
            threading=-1,
            output_component_types=[self.kind.node],
            **options,
        )

    def solve(self, number: int) -> Any:
        self.engine.update(update_data=self.one[number])
        return self.calculate()

    def batch(self) -> Any:
        return self.calculate(update_data={self.kind.asym_load: self.updates})

    def voltages(self, number: int) -> Any:
        nodes = self.solve(number)[self.kind.node]
        return nodes["u"] * np.exp(1j * nodes["u_angle"])


def measure(report: Report, name: str, model: NetworkModel, turns: int) -> None:
    draws = np.random.default_rng(7)
    own = {method: prepare(model, method) for method in (Method.CURRENT_INJECTION, Method.SWEEP)}
    base = own[Method.SWEEP].power
    powers = [base * draws.uniform(0.5, 1.5, base.shape) for _ in range(turns)]
    peer = Peer(model, powers)
    from power_grid_model import PowerGridModel

    times: dict[str, list[float]] = {key: [] for key in (*own, "peer", "batch", "own batch", "cold", "peer cold")}
    apart = 0.0
    for number, power in enumerate(powers):
        for method, prepared in own.items():
            times[method].append(timed(lambda prepared=prepared, power=power: prepared.solve(power)))
        times["peer"].append(timed(lambda number=number: peer.solve(number)))
        if number % 10 == 0:
            times["batch"].append(timed(peer.batch) / turns)
            together = own[Method.CURRENT_INJECTION]
            times["own batch"].append(timed(lambda together=together: together.solve_all(np.stack(powers))) / turns)
            times["cold"].append(timed(lambda power=power: prepare(model).solve(power)))

            def cold() -> None:
                peer.engine = PowerGridModel(peer.data)
                peer.calculate()

            times["peer cold"].append(timed(cold))
            for prepared in own.values():
                found = prepared.solve(power)
                assert found.converged, found.reason
                off = np.abs(found.voltages[:, :3] - peer.voltages(number)) / model.nodes.nominal_voltage[:, np.newaxis]
                apart = max(apart, float(off.max()))
    middle = {key: statistics.median(values) for key, values in times.items()}
    for method in own:
        report.figure(f"{name}, {method}: time", 1e3 * middle[method], "ms")
    report.figure(f"{name}, power-grid-model: time", 1e3 * middle["peer"], "ms")
    best = min(middle[method] for method in own)
    report.figure(f"{name}: peer's time over ours", middle["peer"] / best, "1")
    report.figure(f"{name}, current injection: time of each of {turns} at once", 1e3 * middle["own batch"], "ms")
    report.figure(f"{name}: peer's time in a batch over ours at once", middle["batch"] / middle["own batch"], "1")
    report.figure(f"{name}: cold, ours", 1e3 * middle["cold"], "ms")
    report.figure(f"{name}: cold, peer's time over ours", middle["peer cold"] / middle["cold"], "1")
    report.figure(f"{name}: largest difference of a voltage, relative to nominal", apart, "1", "<= 1e-06")


def main() -> None:
    options = arguments("Power flow beside power-grid-model").parse_args()
    report = Report("Unbalanced power flow", {"power-grid-model": "1.12.110, iterative current", "threads": 1})
    turns = 30 if options.quick else 150
    networks = {
        "20 nodes": random_document(5, 20, exponents=False),
        "200 nodes": random_document(5, 200, exponents=False),
        "906 nodes, 55 customers": low_voltage_document(),
        "906 nodes, 560 loads": random_document(5, 906, exponents=False),
    }
    for name, document in networks.items():
        measure(report, name, parse(document), turns)
    report.finish(as_json=options.json)


if __name__ == "__main__":
    main()
