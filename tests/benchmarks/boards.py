"""
What a board costs and how well it keeps time: the `uldaq` source through the maker's wheel over imagined boards.

The stand-in for the C library writes the ring from a thread of its own; told is the processor time of the reading
thread alone. The board's crystal is 30 ppm fast. What is measured is a 50 Hz sine whose angle refers to UTC, so the
angle found in the blocks, by their own stamps, tells how wrong the stamps are; a block's age is the time from its last
sample, by that truth, to its being read.
"""

import cmath
import math
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

from algorithms.api.samples import SampleBlock
from hardware.source import SourceRequest
from hardware.uldaq_source import UldaqSource
from tests.benchmarks.report import Report, arguments
from tests.support.uldaq_boards import Boards, wired

PPM = 30.0
FREQUENCY = 50.0


def lateness(block: SampleBlock) -> float:
    """Return by how much a block's stamps are late, from the angle of its first channel [s]."""
    times = (block.time_ns % 1_000_000_000) * 1e-9 + np.arange(block.n_samples) / block.sample_rate
    turn = 2 * np.pi * FREQUENCY * times
    terms = np.stack([np.cos(turn), -np.sin(turn)], axis=1)
    real, imaginary = np.linalg.lstsq(terms, block.values[0], rcond=None)[0]
    # Stamps that are late turn the sine back.
    return -cmath.phase(complex(real, imaginary)) / (2 * math.pi * FREQUENCY)


def run(report: Report, name: str, options: dict[str, object], seconds: float, block_duration: float) -> None:
    """Read a board for so long, and tell what it cost and how well it kept time."""
    source = UldaqSource(options)
    request = SourceRequest(6400.0, wired(), block_duration=block_duration)
    plan = source.start(request)
    true_rate = plan.sample_rate * (1 + PPM * 1e-6)
    kept: list[tuple[SampleBlock, int]] = []
    used, begun = 0.0, time.monotonic()
    while time.monotonic() - begun < seconds:
        before = time.thread_time()
        block = source.read(0.25)
        used += time.thread_time() - before
        if block is not None:
            kept.append((block, time.time_ns()))
    source.stop()
    late = [lateness(block) for block, _ in kept]
    ages = [1e3 * ((read - block.end_ns) * 1e-9 + error) for (block, read), error in zip(kept, late, strict=True)]
    ages = ages[len(ages) // 4 :]
    last = kept[-1][0]
    report.figure(f"{name}: processor time of the reader", 1e3 * used / seconds, "ms/s")
    report.figure(f"{name}: age of a block when read, median", statistics.median(ages), "ms")
    report.figure(f"{name}: age of a block when read, 99 %", statistics.quantiles(ages, n=100)[-1], "ms", "<= 20")
    report.figure(f"{name}: rate error after {seconds:.0f} s", 1e6 * abs(last.sample_rate / true_rate - 1), "ppm")
    late = late[len(late) // 2 :]
    report.figure(f"{name}: stamps are late by, median", 1e3 * statistics.median(late), "ms")
    report.figure(f"{name}: stamps' spread", 1e3 * statistics.pstdev(late), "ms")


def main() -> None:
    options = arguments(__doc__.splitlines()[1]).parse_args()
    seconds = 10.0 if options.quick else 60.0
    report = Report("A board of six channels at 6.4 kHz", {"seconds": seconds})
    with tempfile.TemporaryDirectory() as folder:
        boards = Boards(Path(folder))
        boards.load()
        for name, product, chosen, block_duration in (
            ("USB-202, 20 ms", 0x12B, {}, 0.02),
            ("USB-202, 40 ms", 0x12B, {}, 0.04),
            ("USB-1608FS-Plus, 20 ms", 0xEA, {"range": "+-5"}, 0.02),
        ):
            boards.reset()
            boards.plug_in(product=product, ppm=PPM)
            run(report, name, chosen, seconds, block_duration)
    report.finish(as_json=options.json)


if __name__ == "__main__":
    main()
