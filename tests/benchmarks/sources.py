"""
What samples cost before anybody looks at them: the simulated source, and reading COMTRADE recordings.

Processor time of this process, single-threaded arithmetic. The recording is made here: 6 analog and 2 digital
channels; PyPI `comtrade` reads the same bytes from memory, interleaved with our reader, its fastest way
(``use_numpy_arrays``).
"""

import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # threads of their own only cost products this small
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import comtrade
import numpy as np

from hardware.comtrade_config import parse_configuration
from hardware.comtrade_data import decode_data, encode_data
from hardware.comtrade_model import AnalogChannel, Configuration, DeclaredRate, DigitalChannel, Recording
from hardware.comtrade_text import format_configuration
from hardware.simulated_source import SimulatedSource
from hardware.source import SourceRequest
from tests.benchmarks.report import Report, arguments

RATE = 6400.0
CASES: dict[str, tuple[dict[str, Any], str]] = {
    "simulated, plain": ({}, "<= 60"),
    "simulated, 12 harmonics at 49.97 Hz": (
        {"frequency": 49.97, "harmonics": [{"order": order, "share": 0.01} for order in range(3, 27, 2)]},
        "",
    ),
    "simulated, noise and 12 bit": ({"voltage_noise": 0.1, "current_noise": 0.01, "bits": 12}, ""),
    "simulated, in a frequency ramp": (
        {"events": [{"kind": "frequency-ramp", "start": 0.0, "duration": 1e6, "rate": 1e-6}]},
        "",
    ),
}


def cost_of_blocks(options: dict[str, Any], count: int) -> float:
    """Return the processor time of a 20 ms block of six channels, the median of seven runs [s]."""
    source = SimulatedSource({"pace": "as-fast-as-possible", **options})
    source.start(SourceRequest(RATE))
    runs = []
    for _ in range(7):
        begun = time.process_time()
        for _ in range(count):
            source.read(0.0)
        runs.append((time.process_time() - begun) / count)
    return statistics.median(runs)


def recording(data_format: Any, n_samples: int) -> Recording:
    """Make a recording of noise."""
    random = np.random.default_rng(1)
    config = Configuration(
        station="Bench",
        device="1",
        revision=2013,
        analog=tuple(AnalogChannel(f"c{k}", unit="V", a=0.01) for k in range(6)),
        digital=(DigitalChannel("d1"), DigitalChannel("d2")),
        frequency=50.0,
        rates=(DeclaredRate(RATE, n_samples),),
        start_ns=0,
        trigger_ns=0,
        data_format=data_format,
    )
    codes = random.integers(-20_000, 20_000, (6, n_samples))
    code_type = {"BINARY": np.int16, "BINARY32": np.int32, "FLOAT32": np.float32, "ASCII": np.float64}[data_format]
    stamps = np.rint(np.arange(n_samples) / RATE * 1e6)
    return Recording(config, codes.astype(code_type), stamps, np.zeros((n_samples, 1), np.uint16), np.arange(n_samples))


def timed(work: Callable[[], object]) -> float:
    """Return the processor time of one call [s]."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


def main() -> None:
    """Measure and tell."""
    options = arguments(__doc__ or "").parse_args()
    report = Report("Sources of waveforms", {"sample rate [Hz]": RATE, "channels": 6, "numpy": np.__version__})
    for name, (settings, reach) in CASES.items():
        report.figure(
            f"{name}, a 20 ms block", cost_of_blocks(settings, 200 if options.quick else 1000) * 1e6, "us", reach
        )
    n_samples = 20_000 if options.quick else 100_000
    for data_format in ("BINARY", "BINARY32", "FLOAT32", "ASCII"):
        made = recording(data_format, n_samples)
        text, data = format_configuration(made.config), encode_data(made)
        other_data: Any = data.decode() if data_format == "ASCII" else data

        def ours(text: str = text, data: bytes = data) -> object:
            return decode_data(parse_configuration(text, "b.cfg"), data, "b.dat").values(slice(None))

        def theirs(text: str = text, data: Any = other_data) -> object:
            other = comtrade.Comtrade(use_numpy_arrays=True, ignore_warnings=True)
            other.read(text, data)
            return other.analog

        pairs = [(timed(ours), timed(theirs)) for _ in range(5)]
        mine, peer = (statistics.median(column) for column in zip(*pairs, strict=True))
        report.figure(f"read {data_format}", 6 * n_samples / mine / 1e6, "Mvalues/s")
        report.figure(f"read {data_format}, times as fast as PyPI comtrade", peer / mine, "1", ">= 1")
    report.finish(as_json=options.json)


if __name__ == "__main__":
    main()
