"""
Energy registers: how exact they are, what they cost the processor and the card, and how a peer compares.

    python tests/benchmarks/energy.py [--json] [--quick]

1. Accuracy: the largest percentage error of active energy from 5 to 100 % of rated current at power factors 1 and 0.5,
   with a multiplexing converter of 12 and 16 bits on +-10 V (noise of half a step, offset of 5 steps; nominal voltage
   is 4 V and rated current 3 V at the peak). Other grids with 16 bits: 45 to 55 Hz, 60 Hz, harmonics, unbalance with
   a phase missing, reverse power.
2. Processor: time of `process` for each second of six channels, blocks of 20 ms, in a steady grid and in one whose
   frequency wanders by 50 mHz.
3. Card: what keeping a checkpoint writes and synchronises (counted with strace), for every 9 s, and how much energy a
   power cut takes at most.
4. Peer: pqopen-lib (PyPI, the extra ``benchmarks``), where it is installed, on the same samples in the same run: its
   ten-period active power and its cost; without skew, which it does not correct, and with it.
"""

import importlib.util
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # threads of their own only cost products this small

import msgspec
import numpy as np
from numpy.typing import NDArray

from algorithms.api.samples import SampleBlock
from algorithms.builtin.energy import Energy, EnergyState
from algorithms.builtin.stretches import Stretches
from tests.benchmarks.report import Report, arguments
from tests.support.loads import CURRENT, VOLTAGE, Converter, Load, meter
from tests.support.powercut import calls, strace

SHARES = (0.05, 0.1, 0.2, 0.5, 1.0)
FACTORS = (1.0, 0.5)
DAY = 86_400.0
OFFSET = 5.0
KEEPER = """
import sys
from pathlib import Path
from agent.store import Store
state = Path(sys.argv[2]).read_bytes()
store = Store(Path(sys.argv[1]))
for count in range(int(sys.argv[3])):
    store.keep_checkpoint("energy", state)
"""


def fed(algorithm: Energy, blocks: list[SampleBlock]) -> EnergyState:
    """Feed blocks and return the state after them."""
    for block in blocks:
        algorithm.process(block)
    return msgspec.msgpack.decode(algorithm.checkpoint(), type=EnergyState)


def error(load: Load, converter: Converter, seconds: float, nominal: float = 50.0) -> float:
    """Return the percentage error of net active energy of all phases."""
    state = fed(meter(converter, nominal_frequency=nominal), converter.blocks(converter.sample(load, seconds)))
    found = (state.registers.whole[3][0] - state.registers.whole[3][1]) * 1e-3 / state.seconds["measured"]
    return 100.0 * abs(found / float(load.p().sum()) - 1.0)


def measure_accuracy(report: Report, seconds: float) -> None:
    """State the largest errors."""
    for bits, reach in ((12, "<= 0.1"), (16, "<= 0.01")):
        for rate in (3200.0, 6400.0):
            for factor in FACTORS:
                worst = max(
                    error(
                        Load((share * CURRENT,) * 3, angle=math.acos(factor)),
                        Converter(bits, rate, offset=OFFSET, seed=seed),
                        seconds,
                    )
                    for share in SHARES
                    for seed in (1, 2, 3)
                )
                name = f"{bits} bit, {rate / 1000:g} kHz, 5-100 % current, PF {factor:g}"
                report.figure(name, worst, "%", reach)
    board = Converter(16, offset=OFFSET)
    harmonics = ((3, 0.02, 0.2, 0.5), (5, 0.04, 0.3, 2.0), (7, 0.02, 0.1, 1.0), (11, 0.01, 0.05, 0.3))
    others = {
        "45 to 55 Hz": [(Load(angle=1.0, frequency=f / 10), 50.0) for f in range(450, 551, 13)],
        "60 Hz, 57 to 63": [(Load(angle=1.0, frequency=f), 60.0) for f in (57.0, 59.97, 60.0, 63.0)],
        "harmonics, current THD 37 %": [
            (Load(angle=0.5, harmonics=harmonics, frequency=f), 50.0) for f in (49.6, 50.0, 50.0349)
        ],
        "unbalance, one voltage missing": [(Load((5.0, 1.0, 0.25), voltages=(VOLTAGE, 200.0, 0.0)), 50.0)],
        "reverse power": [(Load(angle=math.pi - 0.4), 50.0)],
    }
    for name, cases in others.items():
        worst = max(error(load, board, seconds, nominal) for load, nominal in cases)
        report.figure(f"16 bit, 6.4 kHz: {name}", worst, "%", "<= 0.01")


def measure_processor(report: Report, seconds: float) -> None:
    """State the share of a core."""
    converter = Converter(12)
    times = np.arange(round(seconds * converter.sample_rate)) / converter.sample_rate
    wander = 0.05 * np.sin(2 * np.pi * times / 20.0)
    turned = times + np.cumsum(wander) / 50.0 / converter.sample_rate
    load = Load(angle=0.5, harmonics=((5, 0.03, 0.15, 2.0),))
    for name, clock, reach in (("steady grid", times, "<= 2"), ("frequency wandering by 50 mHz", turned, "")):
        values = converter.convert(
            np.array([load.channel(k, clock + c.skew) for k, c in enumerate(converter.channels)])
        )
        blocks = converter.blocks(values, size=128)
        algorithm = meter(converter)
        fed(algorithm, blocks[:100])
        begin = time.process_time()
        fed(algorithm, blocks[100:])
        used = time.process_time() - begin
        report.figure(f"processor, 6 x 6.4 kHz, {name}", 100 * used / (len(blocks[100:]) * 0.02), "% of core", reach)


def measure_card(report: Report, count: int) -> None:
    """State what keeping the registers costs, and what a power cut takes."""
    converter = Converter(12, facts={"gain_uncertainty": 1e-3, "phase_uncertainty": 1e-3})
    algorithm = meter(converter)
    fed(algorithm, converter.blocks(converter.sample(Load(angle=0.5), 30.0)))
    folder = Path(tempfile.mkdtemp(prefix="registers-"))
    try:
        state = folder / "state"
        state.write_bytes(algorithm.checkpoint())
        command = [sys.executable, "-c", KEEPER, str(folder / "store"), str(state), str(count)]
        subprocess.run(
            [*strace(folder / "trace"), *command], check=True, timeout=120, cwd=Path(__file__).resolve().parents[2]
        )
        inside = [call for call in calls(folder / "trace") if "/store/checkpoints" in call.path]
    finally:
        shutil.rmtree(folder)
    syncs = sum(call.name == "sync" for call in inside) / count
    written = sum(len(call.data) for call in inside if call.name == "write") / count
    interval = Energy.info.checkpoint_interval
    report.figure("checkpoint", written, "bytes")
    report.figure("card: fsyncs", syncs * DAY / interval, "1/day")
    report.figure("card: written (content)", written * DAY / interval / 1e6, "MB/day")
    report.figure("card: blocks of 4 KiB of content", math.ceil(written / 4096) * DAY / interval * 4096 / 1e6, "MB/day")
    waiting = Stretches(1, 128, 10)
    report.figure("lost at a power cut, at most", interval + waiting.length / converter.sample_rate, "s", "<= 10")


def measure_peer(report: Report, seconds: float) -> None:
    """State error and cost of pqopen-lib beside ours."""
    from daqopen.channelbuffer import AcqBuffer
    from pqopen.powersystem import PowerSystem

    def peer(values: NDArray[np.float64], rate: float) -> tuple[float, float]:
        buffers = [AcqBuffer(size=round(4 * rate)) for _ in range(6)]
        system = PowerSystem(zcd_channel=buffers[0], input_samplerate=rate, zcd_threshold=0.1)
        for phase in range(3):
            system.add_phase(u_channel=buffers[phase], i_channel=buffers[phase + 3])
        size = round(0.2 * rate)
        begin = time.process_time()
        found: list[float] = []
        for at in range(0, values.shape[1], size):
            for row, buffer in enumerate(buffers):
                buffer.put_data(values[row, at : at + size])
            system.process()
        used = time.process_time() - begin
        data, _ = system.output_channels["P"].read_data_by_acq_sidx(0, values.shape[1])
        found.extend(float(value) for value in data)
        return float(np.mean(found)), used

    load = Load((0.2 * CURRENT,) * 3, angle=math.acos(0.5), frequency=50.02, phase=-1.0)
    true = float(load.p().sum())
    for skewed in (False, True):
        converter = Converter(16, offset=OFFSET, skewed=skewed)
        values = converter.sample(load, seconds)
        power, used = peer(values, converter.sample_rate)
        algorithm = meter(converter)
        blocks = converter.blocks(values, size=1280)
        begin = time.process_time()
        state = fed(algorithm, blocks)
        ours_used = time.process_time() - begin
        ours = state.registers.whole[3][0] * 1e-3 / state.seconds["measured"]
        name = "skewed channels" if skewed else "simultaneous channels"
        report.figure(f"20 % current, PF 0.5, 16 bit, {name}: ours", 100 * abs(ours / true - 1), "%")
        report.figure(f"20 % current, PF 0.5, 16 bit, {name}: pqopen-lib", 100 * abs(power / true - 1), "%")
    report.figure("processor, ours / pqopen-lib (its one-period values included)", ours_used / used, "1", "<= 1")


def main() -> None:
    """Measure and print."""
    options = arguments(__doc__.splitlines()[1]).parse_args()
    seconds = 3.0 if options.quick else 10.0
    report = Report("energy: accuracy and cost", {"seconds per point": seconds})
    measure_accuracy(report, seconds)
    measure_processor(report, 20.0 if options.quick else 60.0)
    measure_card(report, 20 if options.quick else 100)
    if importlib.util.find_spec("pqopen") is not None:
        measure_peer(report, 10.0 if options.quick else 30.0)
    report.finish(as_json=options.json)


if __name__ == "__main__":
    main()
