"""
How close phasors, frequency and its rate come to signals written down as equations, and what a frame costs.

Each figure is the worst of all frames and channels. The plain one-cycle DFT at nominal frequency sees the same samples
in the same run; its processor time is taken in turns with that of the estimator. Signals and limits are those of
IEC/IEEE 60255-118-1. Board: inputs of +-10 V, voltages 4 V and currents 3 V peak, half a step of noise (rms), channels
read one after the other.
"""

import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # threads of their own only cost products this small

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[2]))

from algorithms.api.records import MeasurementFrame, Quality
from algorithms.builtin.phasors import Phasors
from tests.benchmarks.report import Report, arguments
from tests.support.three_phase import Board, frames_of, seconds, six_channels

NOMINAL = 50.0
PEAKS = (4.0, 4.0, 4.0, 3.0, 3.0, 3.0)
BITS = {"ideal": 0, "16 bit": 16, "12 bit": 12}

Floats = NDArray[np.float64]
Phase = Callable[[Floats], Floats]


@dataclass(frozen=True)
class Truth:
    """Amplitude [1] and phase [rad] in time [s], the frequency [Hz] and its rate [Hz/s] that follow, and a nuisance."""

    phase: Phase
    frequency: Phase
    rocof: Phase
    amplitude: Phase = np.ones_like
    nuisance: Phase = np.zeros_like

    def sampled(self, times: Floats, k: int) -> Floats:
        shift = 2 * np.pi / 3 * (k % 3) + (0.5 if k >= 3 else 0.0)
        return PEAKS[k] * (
            self.amplitude(times) * np.cos(self.phase(times) - shift) + self.nuisance(times - shift / 314)
        )

    def phasors(self, times: Floats) -> NDArray[np.complex128]:
        turned = self.phase(times) - 2 * np.pi * NOMINAL * times
        shifts = np.array([2 * np.pi / 3 * (k % 3) + (0.5 if k >= 3 else 0.0) for k in range(6)])
        sizes = np.array(PEAKS) / np.sqrt(2)
        return sizes * (self.amplitude(times) * np.exp(1j * turned))[:, None] * np.exp(-1j * shifts)


def constant(frequency: float) -> Truth:
    return Truth(lambda t: 2 * np.pi * frequency * t + 0.3, lambda t: np.full_like(t, frequency), np.zeros_like)


def with_tone(frequency: float, tone: float, share: float) -> Truth:
    return replace(constant(frequency), nuisance=lambda t: share * np.cos(2 * np.pi * tone * t + 1.1))


def ramp(rate: float, start: float) -> Truth:
    return Truth(
        lambda t: 2 * np.pi * (start * t + 0.5 * rate * t * t),
        lambda t: start + rate * t,
        lambda t: np.full_like(t, rate),
    )


def modulated(rate: float) -> Truth:
    w = 2 * np.pi * rate
    return Truth(
        lambda t: 2 * np.pi * NOMINAL * t + 0.1 * np.cos(w * t - np.pi),
        lambda t: NOMINAL - 0.1 * rate * np.sin(w * t - np.pi),
        lambda t: -0.1 * rate * w * np.cos(w * t - np.pi),
        lambda t: 1.0 + 0.1 * np.cos(w * t),
    )


def stepped(when: float, size: float, turn: float) -> Truth:
    return Truth(
        lambda t: 2 * np.pi * NOMINAL * t + turn * (t >= when),
        lambda t: np.full_like(t, NOMINAL),
        np.zeros_like,
        lambda t: 1.0 + size * (t >= when),
    )


def board(sample_rate: float, bits: int) -> Board:
    step = 20.0 / 2**bits if bits else 0.0
    channels = tuple(
        replace(channel, skew=k / 6 / sample_rate, resolution=step) for k, channel in enumerate(six_channels())
    )
    return Board(sample_rate, channels, noise=step / 2, step=step, block=round(sample_rate / 10))


def settings(window: int) -> dict[str, int]:
    return {"window": window, "report_rate": 50}


def measured(truth: Truth, window: int, sampling: Board, duration: float) -> list[MeasurementFrame]:
    context = sampling.context(nominal_voltage=PEAKS[0] / np.sqrt(2))
    return frames_of(Phasors(settings(window)), context, sampling.blocks(truth.sampled, duration))


def errors(truth: Truth, frames: Sequence[MeasurementFrame]) -> tuple[Floats, Floats, Floats]:
    """Return TVE [%], FE [mHz] and RFE [Hz/s] of every frame; an absent frequency is an infinite error."""
    times = np.array([seconds(frame) for frame in frames])
    found = np.array([[r.phasor for r in (*frame.voltage.values(), *frame.current.values())] for frame in frames])
    true = truth.phasors(times)
    tve = 100 * (np.abs(found - true) / np.abs(true)).max(axis=1)
    frequency = np.array([frame.frequency.value if frame.frequency else np.inf for frame in frames])
    rocof = np.array([frame.rocof.value if frame.rocof else np.inf for frame in frames])
    return tve, 1e3 * np.abs(frequency - truth.frequency(times)), np.abs(rocof - truth.rocof(times))


def worst(truths: Iterable[Truth], window: int, sampling: Board, duration: float) -> tuple[float, float, float]:
    every = [
        errors(truth, measured(truth, window, replace(sampling, seed=seed), duration))
        for seed, truth in enumerate(truths)
    ]
    tve, fe, rfe = (max(float(e[k].max()) for e in every) for k in range(3))
    return tve, fe, rfe


def plain_dft(values: Floats, per_cycle: int, ends: Iterable[int]) -> list[NDArray[np.complex128]]:
    """One-cycle DFT at nominal frequency, a frame at a time: what every textbook starts with."""
    kernel = np.sqrt(2) / per_cycle * np.exp(-2j * np.pi * np.arange(per_cycle) / per_cycle)
    return [values[:, end - per_cycle : end] @ kernel for end in ends]


def dft_worst(truths: Iterable[Truth], sampling: Board, duration: float) -> tuple[float, float]:
    """Return the worst TVE [%] and FE [mHz] of the plain DFT, skew and group delay corrected at nominal frequency."""
    per_cycle = round(sampling.sample_rate / NOMINAL)
    tve, fe = 0.0, 0.0
    skew = np.array([channel.skew for channel in sampling.channels])
    for truth in truths:
        values = np.hstack([block.values for block in sampling.blocks(truth.sampled, duration)])
        ends = range(per_cycle, values.shape[1] + 1, per_cycle)
        middle = (np.array(ends) - 0.5 * (per_cycle + 1)) / sampling.sample_rate
        found = np.array(plain_dft(values, per_cycle, ends)) * np.exp(-2j * np.pi * NOMINAL * skew)
        found *= np.exp(-1j * np.pi * 2 * NOMINAL * (np.array(ends)[:, None] - per_cycle) / sampling.sample_rate)
        true = truth.phasors(middle)
        tve = max(tve, float((np.abs(found - true) / np.abs(true)).max()) * 100)
        positive = found[:, :3] @ np.exp(2j * np.pi / 3 * np.arange(3))
        turns = np.angle(positive[1:] / positive[:-1]) / (2 * np.pi) * NOMINAL + NOMINAL
        fe = max(fe, 1e3 * float(np.abs(turns - truth.frequency(0.5 * (middle[1:] + middle[:-1]))).max()))
    return tve, fe


def accuracy(report: Report, *, quick: bool) -> None:
    duration = 1.0 if quick else 4.0
    sweep = [constant(f) for f in np.arange(45.0, 54.99, 1.0 if quick else 0.5) + 0.0137]
    reach = {"ideal": ("<= 0.001", "<= 0.1"), "16 bit": ("<= 0.005", "<= 0.1"), "12 bit": ("<= 0.07", "<= 2")}
    for rate in (3200.0, 6400.0):
        for name, bits in BITS.items():
            for window in (3, 4, 10):
                tve, fe, rfe = worst(sweep, window, board(rate, bits), duration)
                title = f"static 45-55 Hz, {rate:.0f} Hz, {name}, {window} cycles"
                report.figure(f"{title}: TVE", tve, "%", reach[name][0])
                report.figure(f"{title}: FE", fe, "mHz", reach[name][1])
                report.figure(f"{title}: ROCOF error", rfe, "Hz/s")
        tve, fe = dft_worst(sweep, board(rate, 12), duration)
        report.figure(f"static 45-55 Hz, {rate:.0f} Hz, 12 bit, plain one-cycle DFT: TVE", tve, "%")
        report.figure(f"static 45-55 Hz, {rate:.0f} Hz, 12 bit, plain one-cycle DFT: FE", fe, "mHz")


def disturbances(report: Report, *, quick: bool) -> None:
    rate = 6400.0
    orders = (2, 3, 5, 7, 11, 13, 25, 26, 49, 50) if quick else range(2, 51)
    hulls: dict[str, tuple[list[Truth], str]] = {
        "harmonics 1 %": ([with_tone(50.03, 50.03 * h, 0.01) for h in orders], ""),
        "harmonics 10 %": ([with_tone(50.03, 50.03 * h, 0.1) for h in orders], ""),
        "modulation up to 2 Hz": ([modulated(m) for m in ((1.0, 2.0) if quick else (0.1, 0.5, 1.0, 1.5, 2.0))], "<= 3"),
        "modulation 5 Hz": ([modulated(5.0)], ""),
        "ramp 1 Hz/s": ([ramp(1.0, 48.0), ramp(-1.0, 52.0)], "<= 1"),
    }
    duration = 1.0 if quick else 4.0
    for name, (truths, reach) in hulls.items():
        for window in (3, 4, 10):
            for kind in ("ideal", "12 bit"):
                tve, fe, rfe = worst(truths, window, board(rate, BITS[kind]), duration)
                title = f"{name}, {kind}, {window} cycles"
                report.figure(f"{title}: TVE", tve, "%", "<= 1" if "harmonics" in name else reach)
                report.figure(f"{title}: FE", fe, "mHz")
                report.figure(f"{title}: ROCOF error", rfe, "Hz/s")
    tones = [with_tone(f, tone, 0.1) for f in (47.5, 50.0, 52.5) for tone in (10.0, 17.0, 25.0, 75.0, 85.0, 100.0)]
    tve, fe, _ = worst(tones, 10, board(rate, 12), 0.5 if quick else 2.0)
    report.figure("out of band 10 %, 12 bit, 10 cycles: TVE", tve, "%", "<= 1.3")
    report.figure("out of band 10 %, 12 bit, 10 cycles: FE", fe, "mHz", "<= 10")


def steps(report: Report, *, quick: bool) -> None:
    """Equivalent-time sampling: the step comes at many places between two frames."""
    shifts = np.arange(0.0, 0.02, 0.002 if quick else 0.001)
    limits = {3: (40.0, 90.0), 4: (40.0, 90.0), 10: (140.0, 280.0)}
    for window in (3, 4, 10):
        for name, size, turn in (("10 %", 0.1, 0.0), ("10 degrees", 0.0, np.radians(10.0))):
            places: list[tuple[float, float, float]] = []
            flagged = 0
            for shift in shifts:
                truth = stepped(0.5 + shift, size, turn)
                frames = measured(truth, window, board(6400.0, 0), 1.0)
                tve, fe, _ = errors(truth, frames)
                places += [(seconds(frame) - 0.5 - shift, a, b) for frame, a, b in zip(frames, tve, fe, strict=True)]
                flagged += any(Quality.TRANSIENT in frame.quality for frame in frames)
            for kind, column, limit, reach in (("TVE", 1, 1.0, 0), ("FE", 2, 5.0, 1)):
                outside = [place[0] for place in places if place[column] > limit]
                span = 1e3 * (max(outside) - min(outside)) if outside else 0.0
                report.figure(
                    f"step {name}, {window} cycles: response of {kind}", span, "ms", f"<= {limits[window][reach]:g}"
                )
            report.figure(f"step {name}, {window} cycles: flagged as transient", 100 * flagged / len(shifts), "%")


def cost(report: Report, *, quick: bool) -> None:
    """Take turns with the plain DFT, block for block, and keep the quietest of several rounds."""
    duration = 10.0
    for rate in (3200.0, 6400.0):
        sampling = board(rate, 12)
        blocks = sampling.blocks(constant(50.02).sampled, duration)
        per_cycle = round(rate / NOMINAL)
        for window, report_rate in ((3, 50), (4, 50), (10, 50), (4, 1)):
            best, best_dft, frames = np.inf, np.inf, 1
            for _ in range(3 if quick else 7):
                algorithm = Phasors({"window": window, "report_rate": report_rate})
                algorithm.start(sampling.context(nominal_voltage=2.8), None)
                spent, spent_dft, frames = 0.0, 0.0, 0
                for block in blocks:
                    began = time.process_time()
                    frames += len(algorithm.process(block))
                    between = time.process_time()
                    plain_dft(block.values, per_cycle, range(per_cycle, block.n_samples + 1, per_cycle))
                    spent, spent_dft = spent + between - began, spent_dft + time.process_time() - between
                best, best_dft = min(best, spent), min(best_dft, spent_dft)
            title = f"{rate:.0f} Hz, {window} cycles, {report_rate} frames/s"
            reach = "<= 250" if report_rate == 50 else ""
            report.figure(f"processor time per frame, {title}", 1e6 * best / frames, "us", reach)
            report.figure(f"processor time per second of data, {title}", 1e3 * best / duration, "ms")
            if report_rate == 50:
                report.figure(f"times the plain one-cycle DFT, {title}", best / best_dft, "1")


def cost_of_movement(report: Report, *, quick: bool) -> None:
    """Tables are made while frequency moves: what a frame costs then."""
    sampling = board(6400.0, 12)
    for name, truth in (("ramp of 1 Hz/s", ramp(1.0, 48.0)), ("modulation at 2 Hz", modulated(2.0))):
        blocks = sampling.blocks(truth.sampled, 2.0 if quick else 4.0)
        for window in (4, 10):
            best, frames = np.inf, 1
            for _ in range(3):
                algorithm = Phasors(settings(window))
                algorithm.start(sampling.context(nominal_voltage=2.8), None)
                began = time.process_time()
                frames = sum(len(algorithm.process(block)) for block in blocks)
                best = min(best, time.process_time() - began)
            report.figure(f"processor time per frame, 6400 Hz, {window} cycles, {name}", 1e6 * best / frames, "us")


def main() -> None:
    """Measure everything."""
    options = arguments(__doc__ or "").parse_args()
    report = Report("phasors", {"numpy": np.__version__, "quick": options.quick})
    cost(report, quick=options.quick)
    cost_of_movement(report, quick=options.quick)
    accuracy(report, quick=options.quick)
    disturbances(report, quick=options.quick)
    steps(report, quick=options.quick)
    report.finish(as_json=options.json)


if __name__ == "__main__":
    main()
