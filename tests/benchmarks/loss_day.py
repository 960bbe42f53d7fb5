"""
A day of a 13-bus MV grid: what the reconfigurator saves, beside the best radial position of each minute.

The plug-in gets a grid state each minute (true powers with an error of 2 %, 1 sigma), with the paper's thresholds: a
gain of more than 5 % for 5 minutes. Its commands move simulated switches. All losses are power-grid-model's; the best
position is found among all radial ones (networkx). *With thresholds* is who knows the true losses of every position,
and moves by the same two thresholds. Beside them the paper's figures, of a grid of which it prints neither lines nor
profiles.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np

from algorithms.api.grid_records import GridState, NodeState
from algorithms.api.readings import Estimate
from tests.benchmarks.report import Report, arguments
from tests.support.loss_day import MINUTES, loss_day_document, loss_day_power
from tests.support.switch_positions import LossesByPowerGridModel, radial_positions
from tests.support.switch_world import World

GAIN, HOLD = 0.05, 5
"""The paper's thresholds: relative gain [1], and for how long [min]."""
NOISE = 0.02
"""Error of the powers the plug-in is told, 1 sigma [1]."""


def state_of(world: World, power: Any) -> GridState:
    model = world.model
    nodes = tuple(
        NodeState(
            model.nodes.ids[model.loads.node[row]],
            {},
            {phase: Estimate(value.real / 3, NOISE * abs(value) / 3) for phase in "ABC"},
            {phase: Estimate(value.imag / 3, NOISE * abs(value) / 3) for phase in "ABC"},
        )
        for row, value in enumerate(power.tolist())
    )
    return GridState("mv", "mv", world.now, 1, 0, nodes)


def driven(power: Any, **settings: Any) -> tuple[Any, World]:
    """Give where all switches stood in each minute, shape (1440, n_switches)."""
    world = World(
        loss_day_document(),
        {f"s{number}": {"operating_time": 0.0} for number in range(1, 16)},
        closed_loop=True,
        gain=GAIN,
        hold=60.0 * HOLD,
        interval=0.0,
        rest=0.0,
        lowest_voltage=0.9,
        silence=90.0,
        **settings,
    )
    draws = np.random.default_rng(3)
    stood = np.zeros((MINUTES, len(world.model.switches)), dtype=bool)
    for minute in range(MINUTES):
        world.skip(59.8)
        told = power[minute] * (1.0 + NOISE * draws.standard_normal(power.shape[1]))
        world.give(state_of(world, told))
        world.wait(0.2)  # the right to switch is asked for and claimed
        stood[minute] = world.contacts()
    return stood, world


def by_thresholds(losses: Any, start: int) -> Any:
    """Give the position in each minute of who knows all losses and moves by the thresholds, shape (1440,)."""
    at, since, taken = start, None, np.zeros(MINUTES, dtype=int)
    for minute in range(MINUTES):
        best = int(losses[minute].argmin())
        if losses[minute, best] < (1.0 - GAIN) * losses[minute, at]:
            since = minute if since is None else since
            if minute - since >= HOLD:
                at, since = best, None
        else:
            since = None
        taken[minute] = at
    return taken


def main() -> None:
    options = arguments("A day of loss reduction").parse_args()
    report = Report("A day of loss reduction", {"truth": "power-grid-model 1.12.110, networkx", "gain": GAIN})
    power = loss_day_power()
    stood, world = driven(power)
    truth, positions = LossesByPowerGridModel(world.model), radial_positions(world.model)
    step = 5 if options.quick else 1
    minutes = np.arange(0, MINUTES, step)
    losses = np.zeros((MINUTES, len(positions)))
    for minute in minutes:
        losses[minute] = truth.losses(positions, power[minute])
    for minute in np.setdiff1d(np.arange(MINUTES), minutes):
        losses[minute] = losses[minute - minute % step]  # in a hurry: as in the minute before
    start = int(np.flatnonzero((positions == world.model.switches.closed).all(axis=1))[0])
    index = {position.tobytes(): number for number, position in enumerate(positions)}
    ours = np.array([index[row.tobytes()] for row in stood])

    def energy(taken: Any) -> float:
        return float(losses[np.arange(MINUTES), taken].sum() / 60e3)

    base, best = energy(np.full(MINUTES, start)), float(losses.min(axis=1).sum() / 60e3)
    known, found = energy(by_thresholds(losses, start)), energy(ours)
    outcomes = [event.evidence["outcome"] for event in world.events]
    report.figure("radial positions", len(positions), "1")
    report.figure("nothing is moved", base, "kWh")
    report.figure("best position of each minute", best, "kWh")
    report.figure("all losses known, with thresholds", known, "kWh")
    report.figure("reconfigurator", found, "kWh")
    report.figure("saved by the reconfigurator", 100 * (1 - found / base), "%")
    report.figure("share of what thresholds can save", 100 * (base - found) / (base - known), "%", ">= 95")
    report.figure("share of what can be saved at all", 100 * (base - found) / (base - best), "%")
    report.figure("changes of position", outcomes.count("changed"), "1")
    report.figure("changes that ended otherwise", len(outcomes) - outcomes.count("changed"), "1")
    report.figure("operations of switches", len(world.commands), "1")
    report.figure(
        "changes by who knows all losses", float(np.count_nonzero(np.diff(by_thresholds(losses, start)))), "1"
    )
    radial = all(not world._wiring.tree(row).loops for row in stood[::step])
    report.figure("always radial, everybody supplied", float(radial), "1", "== 1")
    report.figure("paper: nothing is moved", 1283.0, "kWh")
    report.figure("paper: with thresholds", 749.0, "kWh")
    report.figure("paper: best", 716.0, "kWh")
    report.finish(as_json=options.json)


if __name__ == "__main__":
    main()
