"""
Fault location: how far from the truth, on which section, how honest its uncertainty, and how long it takes.

Faults at random places of a cable feeder of six sections and of an overhead feeder of twenty with laterals, as
waveforms of `tests/support/emt.py` (its own equations: chains of pi cells, trapezoidal rule, breaker opening at zeros
of current), sampled by multiplexed converters; meters have gain errors of 0.5 % and clocks of their own, 5 ms off
(1 sigma). First the real algorithms exchange requests and answers; then the same faults are located with data made
wrong, by the same functions. A distance to a place on another section is counted along the feeder. Where meters are
missing, laterals that are electrically alike cannot be told apart: all are named, and the nearest is judged too.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from algorithms.api.network_reader import parse
from algorithms.builtin.faults.fault_samples import FaultSamples, measure_head, measure_meter
from algorithms.grid.faults.fault_impedance import FaultKind, Hypothesis
from algorithms.grid.faults.fault_location import Readings, locate
from algorithms.grid.faults.fault_scenarios import HeadMeasurement
from algorithms.grid.faults.feeder import Feeder as Walked
from algorithms.grid.faults.feeder_ahead import feeder_ahead
from tests.benchmarks.report import Report, arguments
from tests.support.fault_feeder import FeederAtWork, located
from tests.support.fault_grids import VOLTAGE, Feeder, perturbed, rural, urban
from tests.support.fault_trials import EPOCH_NS, SIXTEEN, TWELVE, Blocks, Converter, Fault, Recording, draw, recorded

SEED = 20_261_122


REACHES = {
    ("urban", "16 bit"): {
        "right bus pair among those named": "== 100",
        "up to 5 ohm, largest error": "<= 2",
        "up to 20 ohm, largest error": "<= 5",
        "up to 50 ohm, 95 %": "<= 10",
    },
    ("urban", "12 bit"): {"up to 5 ohm, 95 %": "<= 10"},
    ("rural", "16 bit"): {
        "right bus pair among those named": "== 100",
        "up to 50 ohm, median": "<= 2",
        "up to 50 ohm, 95 %": "<= 20",
    },
}
"""What is asked for, by grid and converter."""


@dataclass
class Tally:
    """Errors of one kind of trial."""

    resistance: list[float] = field(default_factory=list)
    error: list[float] = field(default_factory=list)
    sigma: list[float] = field(default_factory=list)
    best: list[bool] = field(default_factory=list)
    named: list[bool] = field(default_factory=list)
    trusted: list[bool] = field(default_factory=list)
    alternatives: list[int] = field(default_factory=list)
    near: list[bool] = field(default_factory=list)

    def add(
        self, fault: Fault, truth: tuple[str, float], places: Sequence[tuple[str, float, float]], tree: "Tree"
    ) -> None:
        """Note an answer: places as section, distance and uncertainty, the likeliest first."""
        section, distance = truth
        self.resistance.append(fault.resistance)
        self.error.append(tree.apart((section, distance), places[0][:2]))
        self.sigma.append(places[0][2])
        self.best.append(places[0][0] == section)
        self.named.append(section in [place[0] for place in places])
        self.alternatives.append(len(places) - 1)
        self.near.append(any(tree.apart((section, distance), place[:2]) <= 2 * place[2] for place in places))

    def errors(self, low: float = 0.0, high: float = np.inf) -> Any:
        """Give errors of faults with a resistance in a range [m]."""
        chosen = (np.array(self.resistance) > low) & (np.array(self.resistance) <= high)
        return np.array(self.error)[chosen]

    def covered(self) -> float:
        """Give the share of errors within two standard deviations [%]."""
        return 100 * float(np.mean(np.array(self.error) <= 2 * np.array(self.sigma)))

    def named_near(self) -> float:
        """Give the share of faults within two standard deviations of one of the places named [%]."""
        return 100 * float(np.mean(self.near))


class Tree:
    """Ways along a feeder."""

    def __init__(self, feeder: Feeder) -> None:
        self.above = {other: (one, length) for one, other, _, length in feeder.sections}

    def way(self, place: tuple[str, float]) -> list[tuple[str, float]]:
        """Give nodes above a place on a section with the distance to each, nearest first."""
        node, gone = place[0].split("-")[0], place[1]
        found = [(node, gone)]
        while node in self.above:
            above, length = self.above[node]
            gone += length
            node = above
            found.append((node, gone))
        return found

    def apart(self, one: tuple[str, float], other: tuple[str, float]) -> float:
        """Give the way along the feeder between two places [m]."""
        if one[0] == other[0]:
            return abs(one[1] - other[1])
        for near, far in ((one, other), (other, one)):
            # One of them may lie between the other and the head.
            end = near[0].split("-")[1]
            for node, gone in self.way(far):
                if node == end:
                    return gone + self.above[end][1] - near[1]
        ways = dict(self.way(other))
        return min(gone + ways[node] for node, gone in self.way(one) if node in ways)


def trial(feeder: Feeder, generator: np.random.Generator, number: int) -> tuple[Fault, Recording]:
    """Draw a fault and the load of the moment, and simulate both; small, middle and large resistances in turns."""
    low, high = [(0.01, 5.0), (5.0, 20.0), (20.0, 50.0)][number % 3]
    fault = draw(feeder, generator, [float(generator.uniform(low, high))])
    level = generator.uniform(0.4, 1.2)
    loads = {node: (level * p, level * q) for node, (p, q) in feeder.loads.items()}
    return fault, recorded(feeder, fault, loads=loads, after=0.1)


def measured(
    feeder: Feeder, fault: Fault, recording: Recording, converter: Converter, generator: np.random.Generator
) -> tuple[HeadMeasurement, Readings, Hypothesis]:
    """Measure head and meters as the algorithms do."""
    rate, channels = recording.sample_rate, converter.channels(recording.sample_rate)
    start_ns = EPOCH_NS + round(1e9 * recording.inception / rate)

    def kept(values: Any, count: int, offset: float) -> FaultSamples:
        chosen = channels[:6] if count == 6 else tuple(replace(channel, skew=0.0) for channel in channels[:3])
        samples = FaultSamples(range(count), chosen, 50.0)
        for block in Blocks(chosen, rate, 640, EPOCH_NS + round(1e9 * offset)).cut(values):
            samples.push(block)
        return samples

    head = kept(converter.sampled(recording.head, generator), 6, 0.0)
    found = measure_head(head.around(start_ns), head.channels, 6.0)
    rows = []
    for waves in recording.meters:
        gains = 1 + 0.005 * generator.standard_normal((3, 1))
        meter = kept(converter.sampled(waves, generator, gains), 3, 0.005 * float(generator.uniform(-1.7, 1.7)))
        one = measure_meter(meter.around(start_ns), found.begin, found.stop, 0.05, VOLTAGE)
        rows.append((one.before, one.during, one.uncertainty))
    before, during, uncertainty = (np.array([row[k] for row in rows]) for k in range(3))
    walked = feeder_ahead(parse(feeder.document()), "head")
    names = tuple(meter.device for meter in walked.meters)
    positions = np.array([meter.position for meter in walked.meters])
    readings = Readings(names, positions, before, during, uncertainty)
    return found.measurement, readings, Hypothesis(FaultKind(fault.kind), fault.phases)


def without(readings: Readings, kept: Sequence[int]) -> Readings:
    """Leave meters out."""
    rows = np.array(kept, dtype=int)
    return Readings(
        tuple(readings.names[row] for row in kept), readings.positions[rows], readings.before[rows],
        readings.during[rows], readings.uncertainty[rows],
    )  # fmt: skip


@dataclass(frozen=True)
class Wrong:
    """What is made wrong: line data, loads, gains of the head's inputs [1], their angles [rad], and the meters left."""

    lines: float = 0.0
    alike: bool = False
    loads: float = 0.0
    gains: float = 0.0
    angles: float = 0.0
    meters: int = 99

    def head(self, measured: HeadMeasurement, generator: np.random.Generator) -> HeadMeasurement:
        """Put errors of the transformers on what the head measured, and state them."""
        if not self.gains:
            return measured
        error = (1 + self.gains * generator.standard_normal(6)) * np.exp(
            1j * self.angles * generator.standard_normal(6)
        )
        return HeadMeasurement(
            measured.before * error, measured.during * error, measured.noise_before, measured.noise_during,
            np.full(6, self.gains), np.full(6, self.angles),
        )  # fmt: skip


SENSITIVITIES = {
    "line data off by 2 %": Wrong(lines=0.02),
    "line data off by 5 %": Wrong(lines=0.05),
    "line data off by 5 %, all alike": Wrong(lines=0.05, alike=True),
    "each load off by 20 %": Wrong(loads=0.2),
    "line data 2 % and loads 20 %": Wrong(lines=0.02, loads=0.2),
    "head's transformers off by 0.5 % and 9 mrad": Wrong(gains=0.005, angles=0.009),
    "one meter left": Wrong(meters=1),
    "no meter": Wrong(meters=0),
}


def answer(
    walked: Walked, head: HeadMeasurement, readings: Readings, hypothesis: Hypothesis
) -> list[tuple[str, float, float]]:
    """Locate, and give the places."""
    location = locate(walked, head, readings, [hypothesis])
    return [(place.section, place.distance, place.uncertainty) for place in location.candidates]


def run(feeder: Feeder, count: int, seed: int) -> tuple[dict[str, Tally], list[float]]:
    """Go through faults; return tallies by what was done, and processor times of single locations [s]."""
    generator, tree = np.random.default_rng(seed), Tree(feeder)
    tallies: dict[str, Tally] = {name: Tally() for name in ("16 bit", "12 bit", *SENSITIVITIES)}
    work = {"16 bit": FeederAtWork(feeder, SIXTEEN), "12 bit": FeederAtWork(feeder, TWELVE)}
    document, times = feeder.document(), []
    right = feeder_ahead(parse(document), "head")
    for number in range(count):
        fault, recording = trial(feeder, generator, number)
        truth = "-".join(feeder.sections[fault.section][:2]), fault.distance
        for name, one in work.items():
            told = located(one.run(recording, generator))[-1].evidence
            places = [(place["branch"], place["distance"], place["distance_uncertainty"]) for place in
                      (told, *told["alternatives"])]  # fmt: skip
            tallies[name].add(fault, truth, places, tree)
            tallies[name].trusted.append(told["trusted"])
        head, readings, hypothesis = measured(feeder, fault, recording, SIXTEEN, generator)
        begun = time.thread_time()
        locate(right, head, readings, [hypothesis])
        times.append(time.thread_time() - begun)
        for name, wrong in SENSITIVITIES.items():
            walked = right
            if wrong.lines or wrong.loads:
                document_now = perturbed(document, generator, lines=wrong.lines, loads=wrong.loads, alike=wrong.alike)
                walked = feeder_ahead(parse(document_now), "head")
            kept = generator.permutation(len(feeder.meters))[: wrong.meters].tolist()
            places = answer(walked, wrong.head(head, generator), without(readings, kept), hypothesis)
            tallies[name].add(fault, truth, places, tree)
    return tallies, times


def tell(report: Report, grid: str, tallies: dict[str, Tally]) -> None:
    count = len(tallies["16 bit"].error)
    for bits in ("16 bit", "12 bit"):
        tally, case = tallies[bits], f"{grid}, {bits}, {count} faults"
        asked = REACHES.get((grid, bits), {})

        def told(what: str, value: Any, unit: str, case: str = case, asked: dict[str, str] = asked) -> None:
            report.figure(f"{case}: {what}", float(value), unit, asked.get(what, ""))

        told("right bus pair among those named", 100 * np.mean(tally.named), "%")
        told("right bus pair named first", 100 * np.mean(tally.best), "%")
        told("alternatives named, mean", np.mean(tally.alternatives), "1")
        told("trusted", 100 * np.mean(tally.trusted), "%")
        told("within two standard deviations", tally.covered(), "%")
        told("up to 5 ohm, largest error", tally.errors(0, 5).max(), "m")
        told("up to 5 ohm, 95 %", np.percentile(tally.errors(0, 5), 95), "m")
        told("up to 20 ohm, largest error", tally.errors(0, 20).max(), "m")
        told("up to 50 ohm, median", np.median(tally.errors()), "m")
        told("up to 50 ohm, 95 %", np.percentile(tally.errors(), 95), "m")
    for name, tally in tallies.items():
        if name in ("16 bit", "12 bit"):
            continue
        case = f"{grid}, 16 bit, {name}"
        report.figure(f"{case}: median error", float(np.median(tally.errors())), "m")
        report.figure(f"{case}: 95 %", np.percentile(tally.errors(), 95), "m")
        report.figure(f"{case}: right bus pair among those named", 100 * float(np.mean(tally.named)), "%")
        reach = ">= 90" if "line data" in name else ""
        report.figure(f"{case}: within two standard deviations", tally.covered(), "%", reach)
        reach = ">= 90" if "meter" in name else ""
        report.figure(f"{case}: within two standard deviations of a place named", tally.named_near(), "%", reach)


def main() -> None:
    parser = arguments("Fault location: errors, sensitivity, time")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--faults", type=int, default=0, help="on each grid; 400 unless stated")
    options = parser.parse_args()
    count = options.faults or (24 if options.quick else 400)
    report = Report("Fault location", {"sampling": "6.4 kHz, multiplexed", "seed": options.seed, "threads": 1})
    for number, feeder in enumerate((urban(), rural())):
        tallies, times = run(feeder, count, options.seed + number)
        tell(report, feeder.name, tallies)
        sections = len(feeder.sections)
        reach = "<= 25" if sections >= 18 else ""
        report.figure(
            f"one location, {sections} sections, processor time, median", 1e3 * statistics.median(times), "ms", reach
        )
        report.figure(f"one location, {sections} sections, processor time, shortest", 1e3 * min(times), "ms")
    report.finish(as_json=options.json)


if __name__ == "__main__":
    main()
