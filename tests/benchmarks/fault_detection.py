"""
Fault detection: how many faults are found and how soon, what else trips, and what watching costs.

Waveforms come from `tests/support/emt.py`, a simulator with equations of its own: faults of every type through 0.01 to
50 ohm, on a cable and an overhead feeder, with solid, resistance, isolated and compensated neutrals, 16 and 12 bits;
twelve kinds of disturbance; an hour of a load that never rests. Thresholds follow from the network models, none is set
by hand.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from algorithms.api.algorithm import Context
from algorithms.api.network_reader import parse
from algorithms.builtin.faults.fault_detection import FaultDetection
from tests.benchmarks.report import Report, arguments
from tests.support.fault_disturbances import DISTURBANCES, noisy_load
from tests.support.fault_grids import COMPENSATED, ISOLATED, RESISTANCE, SOLID, VOLTAGE, Feeder, rural, urban
from tests.support.fault_trials import EPOCH_NS, SIXTEEN, TWELVE, Blocks, Converter, draw, recorded

RATE = 6400.0
SEED = 20_261_121
NEUTRALS = (RESISTANCE, SOLID, ISOLATED, COMPENSATED)


def detector(feeder: Feeder, converter: Converter, rate: float) -> FaultDetection:
    channels = converter.channels(rate)
    algorithm = FaultDetection({})
    network = parse(feeder.document())
    algorithm.start(Context("m", "head", 50.0, VOLTAGE, channels, rate, network=network), None)
    return algorithm


def watched(feeder: Feeder, converter: Converter, samples: Any) -> list[Any]:
    algorithm = detector(feeder, converter, RATE)
    blocks = Blocks(converter.channels(RATE), RATE).cut(samples)
    return [event for block in blocks for event in algorithm.process(block)]


def settings(number: int) -> tuple[Feeder, Converter]:
    """Go through all pairs of grid and neutral, and of converters."""
    feeder = (urban, rural)[number % 2](NEUTRALS[number // 2 % 4])
    return feeder, (SIXTEEN, TWELVE)[number // 8 % 2]


def faults(report: Report, count: int, generator: np.random.Generator) -> None:
    found, starts, named, phases = [], [], 0, 0
    for number in range(count):
        feeder, converter = settings(number)
        resistance = float(generator.choice([0.01, 1.0, 5.0, 20.0, 50.0]))
        fault = draw(feeder, generator, [resistance])
        recording = recorded(feeder, fault, cells=1, after=0.2)
        events = watched(feeder, converter, converter.sampled(recording.head, generator))
        inception = recording.inception / RATE
        if not events:
            found.append(np.inf)
            continue
        start = (events[0].start_ns - EPOCH_NS) * 1e-9
        starts.append(abs(start - inception))
        found.append(start + events[0].evidence["detection_time"] - inception)
        named += events[-1].evidence["type"] == fault.kind
        phases += events[-1].phases == tuple("ABC"[phase] for phase in fault.phases)
    within = np.array(found) <= 0.03
    report.figure(f"faults found within 30 ms, of {count}", 100 * float(within.mean()), "%", "== 100")
    finite = np.array(found)[np.isfinite(found)]
    report.figure("time from inception to detection, median", 1e3 * float(np.median(finite)), "ms")
    report.figure("time from inception to detection, largest", 1e3 * float(finite.max()), "ms", "<= 30")
    report.figure("inception told, largest error", 1e3 * max(starts), "ms")
    report.figure("type named right when it is over", 100 * named / count, "%")
    report.figure("phases named right when it is over", 100 * phases / count, "%")


def disturbances(report: Report, count: int, generator: np.random.Generator) -> None:
    trips, number = 0, 0
    each = -(-count // len(DISTURBANCES))
    for name, make in DISTURBANCES.items():
        wrong = 0
        for _ in range(each):
            feeder, converter = settings(number)
            number += 1
            wrong += bool(watched(feeder, converter, converter.sampled(make(feeder, generator), generator)))
        if wrong:
            report.figure(f"trips at {name}, of {each}", wrong, "1")
        trips += wrong
    report.figure(f"trips at {each * len(DISTURBANCES)} disturbances of {len(DISTURBANCES)} kinds", trips, "1", "== 0")


def noisy_hour(report: Report, seconds: float, generator: np.random.Generator) -> None:
    rate, feeder, converter = 3200.0, urban(), TWELVE
    algorithm, trips, spent = detector(feeder, converter, rate), 0, 0.0
    blocks = Blocks(converter.channels(rate), rate, 320)
    for waves in noisy_load(feeder, generator, seconds, rate):
        for block in blocks.cut(converter.sampled(waves, generator)):
            begun = time.perf_counter()
            trips += len(algorithm.process(block))
            spent += time.perf_counter() - begun
    report.figure(f"trips in {seconds / 60:g} min of a load that never rests", trips, "1", "== 0")
    report.figure(
        "processor time for a second of six channels at 3.2 kHz, blocks of 0.1 s", 1e3 * spent / seconds, "ms"
    )


def main() -> None:
    parser = arguments("Fault detection: found, missed, mistaken")
    parser.add_argument("--seed", type=int, default=SEED)
    options = parser.parse_args()
    generator = np.random.default_rng(options.seed)
    report = Report("Fault detection", {"sampling": "6.4 kHz, multiplexed", "seed": options.seed, "threads": 1})
    faults(report, 48 if options.quick else 320, generator)
    disturbances(report, 48 if options.quick else 324, generator)
    noisy_hour(report, 300.0 if options.quick else 3600.0, generator)
    report.finish(as_json=options.json)


if __name__ == "__main__":
    main()
