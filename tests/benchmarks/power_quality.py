"""
How close voltage quality comes to signals written down as equations, by IEC 61000-4-30, 4-7 and 4-15, and its cost.

Each figure is the worst of all windows, channels and signals of its kind. Board: inputs of +-10 V, 230 V as 4 V peak
and 10 A as 3 V peak, half a step of noise (rms), channels read one after the other. pqopen-lib (PyPI), where it is
installed and computes the same quantity, sees the same samples in the same run; processor times are taken in turns.
"""

import importlib.util
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # threads of their own only cost products this small

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[2]))

from algorithms.api.records import Event, Record, Result
from algorithms.builtin.quality.power_quality import PowerQuality
from algorithms.waveform.flicker import LAMPS, N_CLASSES, FlickerMeter, classify, short_term_severity
from tests.benchmarks.report import Report, arguments
from tests.support.flicker_table import CHANGES
from tests.support.three_phase import Board, six_channels

VOLTAGE, CURRENT = 230.0, 10.0
VOLTS, AMPERES = VOLTAGE * np.sqrt(2) / 4, CURRENT * np.sqrt(2) / 3
"""What a volt at the input stands for."""

Floats = NDArray[np.float64]
Wave = Callable[[Floats, int], Floats]


def board(sample_rate: float, bits: int, seed: int = 1) -> Board:
    steps = [20.0 / 2**bits * scale if bits else 0.0 for scale in (VOLTS,) * 3 + (AMPERES,) * 3]
    channels = tuple(
        replace(channel, skew=k / 6 / sample_rate, resolution=step)
        for k, (channel, step) in enumerate(zip(six_channels(), steps, strict=True))
    )
    return Board(sample_rate, channels, seed=seed, block=round(0.02 * sample_rate))


def sampled(sampling: Board, wave: Wave, duration: float) -> list[Any]:
    """Sample with noise and steps of each channel's own."""
    times = np.arange(round(duration * sampling.sample_rate)) / sampling.sample_rate
    values = np.array([wave(times + channel.skew, k) for k, channel in enumerate(sampling.channels)])
    steps = np.array([channel.resolution for channel in sampling.channels])[:, None]
    if steps.any():
        values += 0.5 * steps * np.random.default_rng(sampling.seed).standard_normal(values.shape)
        values = np.round(values / steps) * steps
    return sampling.cut(values)


def wave_of(
    frequency: float,
    share: float = 1.0,
    harmonics: Sequence[tuple[int, float]] = (),
    tones: Sequence[tuple[float, float]] = (),
    shape: Callable[[Floats, int], Floats] | None = None,
) -> Wave:
    """Three phases; harmonics as (order, share of the fundamental), tones as (Hz, share of nominal)."""

    def wave(times: Floats, k: int) -> Floats:
        peak = np.sqrt(2) * (VOLTAGE * share if k < 3 else CURRENT)
        angle = 2 * np.pi * frequency * times - 2 * np.pi / 3 * (k % 3) - (0.4 if k >= 3 else 0.0)
        values = np.cos(angle)
        for order, part in harmonics:
            values = values + part * np.cos(order * angle + 0.7 * order)
        for tone, part in tones:
            values = values + part / share * np.cos(2 * np.pi * tone * times + 0.3)
        if shape is not None:
            values = values * shape(times, k)
        return peak * values

    return wave


def measured(sampling: Board, blocks: Sequence[Any], **settings: Any) -> list[Record]:
    algorithm = PowerQuality({"shortest_interval": "10-cycle", **settings})
    algorithm.start(sampling.context(nominal_voltage=VOLTAGE), None)
    return [record for block in blocks for record in algorithm.process(block)]


def windows(records: Sequence[Record], *, unflagged: bool = True) -> list[dict[str, Any]]:
    payloads = [record.payload for record in records if isinstance(record, Result)]
    return [one for one in payloads if one["interval"] == "10-cycle" and not (unflagged and one["not_counted"])]


CONDITIONS = [(6400.0, 12), (6400.0, 16), (3200.0, 12), (3200.0, 16)]
FREQUENCIES = (42.51, 45.3, 49.5, 49.97, 50.0, 50.02, 52.3, 57.49)


def name_of(rate: float, bits: int) -> str:
    return f"{rate:.0f} Hz, {bits} bit"


def voltage(report: Report, *, quick: bool) -> None:
    mix = [(3, 0.05), (5, 0.04), (7, 0.03), (11, 0.02), (13, 0.01), (23, 0.01)]
    for rate, bits in CONDITIONS:
        worst = worst_frequency = worst_low = 0.0
        for frequency in FREQUENCIES[:: 3 if quick else 1]:
            for share in (0.1, 1.0, 1.5):
                sampling = board(rate, bits)
                low, high = {"dip": 0.5, "declared_voltage": VOLTAGE * share}, {}
                records = measured(
                    sampling,
                    sampled(sampling, wave_of(frequency, share, mix), 3.0),
                    **(low if share != 1.0 else high),
                )
                true = VOLTAGE * share * np.sqrt(1 + sum(part * part for _, part in mix))
                for one in windows(records):
                    errors = [abs(one["voltage"][phase]["rms"] - true) / VOLTAGE * 100 for phase in "ABC"]
                    if share == 1.0:
                        worst = max(worst, *errors)
                        worst_frequency = max(worst_frequency, 1e3 * abs(one["frequency"] - frequency))
                    else:
                        worst_low = max(worst_low, *errors)
        name = name_of(rate, bits)
        report.figure(f"U rms of 10 cycles, {name}", worst, "% Udin", "<= 0.02")
        report.figure(f"U rms of 10 cycles at 10 and 150 % Udin, {name}", worst_low, "% Udin", "<= 0.1")
        report.figure(f"frequency of 10 cycles, 42.5-57.5 Hz, {name}", worst_frequency, "mHz", "<= 10")


def dips(report: Report, *, quick: bool) -> None:
    depths = (0.85, 0.7, 0.4, 0.1, 1.2)
    for rate, bits in CONDITIONS:
        worst_value = worst_time = worst_start = 0.0
        missed = 0
        for frequency in (49.5, 50.0, 50.4) if quick else (47.5, 49.5, 50.0, 50.02, 50.4, 52.0):
            for number, depth in enumerate(depths):
                begin = 1.0 + 0.0037 * number
                length = 0.2 + 0.0013 * number
                shape = lambda t, k, b=begin, e=begin + length, d=depth: np.where((t >= b) & (t < e) & (k < 3), d, 1.0)  # noqa: E731
                sampling = board(rate, bits)
                records = measured(sampling, sampled(sampling, wave_of(frequency, shape=shape), 2.0))
                events = [one for one in records if isinstance(one, Event) and one.end_ns is not None]
                events = [one for one in events if one.kind in {"voltage-dip", "voltage-swell"}]
                if len(events) != 1:
                    missed += 1
                    continue
                found = events[0].evidence.get("residual_voltage", events[0].evidence.get("highest_voltage"))
                worst_value = max(worst_value, abs(found / VOLTAGE - depth) * 100)
                worst_time = max(worst_time, abs(events[0].evidence["duration"] - length) * frequency)
                start = (events[0].start_ns - 1_700_000_000_000_000_000) * 1e-9
                worst_start = max(worst_start, abs(start - begin) * frequency)
        name = name_of(rate, bits)
        report.figure(f"dips and swells, voltage, {name}", worst_value, "% Udin", "<= 0.15")
        report.figure(f"dips and swells, duration, {name}", worst_time, "cycles", "<= 1")
        report.figure(f"dips and swells, beginning, {name}", worst_start, "cycles", "<= 1")
        report.figure(f"dips and swells, missed or torn, {name}", missed, "1", "== 0")


def harmonic_errors(
    read: Callable[[int], float], orders: Sequence[int], shares: Sequence[float]
) -> tuple[float, float]:
    """Return the worst relative error of harmonics of 1 % or more [%], and absolute error of smaller ones [% U1]."""
    relative = absolute = 0.0
    for order, share in zip(orders, shares, strict=True):
        error = abs(read(order) - VOLTAGE * share) / VOLTAGE
        if share >= 0.01:
            relative = max(relative, 100 * error / share)
        else:
            absolute = max(absolute, 100 * error)
    return relative, absolute


def harmonics(report: Report, *, quick: bool) -> None:
    for rate, bits in CONDITIONS:
        highest = 50 if rate > 5000 else 26
        relative = absolute = distortion = between = balance = 0.0
        frequencies = FREQUENCIES[::3] if quick else FREQUENCIES
        for frequency in frequencies:
            for first in (2, 3, 4, 5):
                orders = list(range(first, highest + 1, 4))
                shares = [0.03 if order % 3 else 0.004 for order in orders]
                sampling = board(rate, bits)
                wave = wave_of(frequency, harmonics=list(zip(orders, shares, strict=True)))
                for one in windows(measured(sampling, sampled(sampling, wave, 2.0))):
                    for phase in "ABC":
                        told = one["voltage"][phase]
                        worst = harmonic_errors(lambda h, t=told: t["harmonics"][h - 1], orders, shares)
                        relative, absolute = max(relative, worst[0]), max(absolute, worst[1])
                        if told["distortion"] is not None:
                            true = np.sqrt(sum(s * s for h, s in zip(orders, shares, strict=True) if h <= 40))
                            distortion = max(distortion, 100 * abs(told["distortion"] - true))
            # An interharmonic in the middle of a bin of its own, and two phases that are weaker.
            sampling = board(rate, bits)
            uneven = lambda _, k: np.array((1.0, 0.94, 0.97)[k % 3])  # noqa: E731
            wave = wave_of(frequency, tones=[(2.5 * frequency, 0.02)], shape=uneven)
            factors = np.array((1.0, 0.94, 0.97)) * np.exp(-2j * np.pi / 3 * np.arange(3))
            turn = np.exp(2j * np.pi / 3)
            positive = abs(factors @ (1, turn, turn**2))
            negative = abs(factors @ (1, turn**2, turn)) / positive
            for one in windows(measured(sampling, sampled(sampling, wave, 2.0))):
                told = one["voltage"]["A"]["interharmonics"][2]
                between = max(between, 100 * abs(told / (0.02 * VOLTAGE) - 1))
                balance = max(balance, 100 * abs(one["unbalance"]["u2"] - negative))
        name = name_of(rate, bits)
        report.figure(f"harmonics of 1 % and more, to {highest}, {name}", relative, "%", "<= 1")
        report.figure(f"harmonics below 1 %, to {highest}, {name}", absolute, "% Un", "<= 0.05")
        if highest >= 40:
            report.figure(f"distortion, {name}", distortion, "pp", "<= 0.05")
        report.figure(f"an interharmonic of 2 %, {name}", between, "%", "<= 5")
        report.figure(f"unbalance u2, {name}", balance, "pp", "<= 0.15")


def severities(lamp: str, rate: float, bits: int, *, seconds: float, only: Sequence[int] = ()) -> dict[int, float]:
    """Return Pst of the standard's rectangular changes, all rows at once."""
    rows = {per_minute: change for per_minute, change in CHANGES[lamp].items() if not only or per_minute in only}
    frequency, nominal = (50.0, 230.0) if lamp == "230V" else (60.0, 120.0)
    meter = FlickerMeter(len(rows), rate, LAMPS[lamp])
    counts = np.zeros((len(rows), N_CLASSES))
    step = 20.0 / 2**bits * nominal * np.sqrt(2) / 4 if bits else 0.0
    noise = np.random.default_rng(1)
    per_minute = np.array(list(rows))[:, None]
    change = np.array(list(rows.values()))[:, None] / 200
    settling, first = 30.0, 0
    kept = np.empty((len(rows), 0))
    while first < (settling + seconds) * rate:
        times = np.arange(first + kept.shape[1], first + meter.needed) / rate
        side = 1 - 2 * (np.floor(times * per_minute / 60 + 1e-9) % 2)
        volts = nominal * np.sqrt(2) * np.sin(2 * np.pi * frequency * times) * (1 + change * side)
        if step:
            volts = np.round((volts + 0.5 * step * noise.standard_normal(volts.shape)) / step) * step
        kept = np.concatenate([kept, volts], axis=1)
        sensation = meter.sensation(kept)
        if first >= settling * rate:
            counts += classify(sensation)
        kept = kept[:, meter.advance :]
        first += meter.advance
    return {row: short_term_severity(counts[k]) for k, row in enumerate(rows)}


def flicker(report: Report, *, quick: bool) -> None:
    for rate, bits in CONDITIONS:
        for lamp in CHANGES:
            rows = (39, 110, 1620) if quick else ()
            found = severities(lamp, rate, bits, seconds=120.0 if quick else 600.0, only=rows)
            worst = max(100 * abs(value - 1.0) for value in found.values())
            report.figure(f"Pst of the table for {lamp} lamps, {name_of(rate, bits)}", worst, "%", "<= 2")


def cost(report: Report, *, quick: bool) -> None:
    mix = [(3, 0.05), (5, 0.04), (7, 0.03)]
    for rate in (6400.0, 3200.0):
        sampling = board(rate, 12)
        blocks = sampled(sampling, wave_of(50.02, harmonics=mix), 20.0)
        own, peers = [], []
        for _ in range(2 if quick else 5):
            algorithm = PowerQuality({})
            algorithm.start(sampling.context(nominal_voltage=VOLTAGE), None)
            peer = Peer(rate) if PEER else None
            spent = spent_there = 0.0
            for block in blocks:
                before = time.process_time()
                algorithm.process(block)
                between = time.process_time()
                if peer is not None:
                    peer.process(block.values)
                spent, spent_there = spent + between - before, spent_there + time.process_time() - between
            own.append(spent / 20.0)
            peers.append(spent_there / 20.0)
        report.figure(f"processor, 6 channels at {rate:.0f} Hz", 100 * min(own), "% of core", "<= 6")
        if PEER:
            report.figure(f"processor, 6 channels at {rate:.0f} Hz, pqopen-lib", 100 * min(peers), "% of core")


PEER = importlib.util.find_spec("pqopen") is not None


class Peer:
    """pqopen-lib measuring the same six channels: RMS, harmonics to 50, Urms(1/2), flicker, unbalance."""

    def __init__(self, rate: float) -> None:
        from daqopen.channelbuffer import AcqBuffer
        from pqopen.powersystem import PowerSystem

        self.buffers = [AcqBuffer(size=round(30 * rate), dtype=np.float64) for _ in range(6)]
        self.system = PowerSystem(zcd_channel=self.buffers[0], input_samplerate=rate, zcd_threshold=10.0)
        for phase in range(3):
            self.system.add_phase(u_channel=self.buffers[phase], i_channel=self.buffers[phase + 3], name="ABC"[phase])
        self.system.enable_harmonic_calculation(50 if rate > 5000 else 24)
        self.system.enable_fluctuation_calculation(nominal_voltage=VOLTAGE)
        self.system.enable_rms_trapz_rule()
        self.clock = AcqBuffer(size=round(30 * rate), dtype=np.int64)
        self.system.enable_nper_abs_time_sync(self.clock)
        self.rate = rate
        self.count = 0

    def process(self, values: Floats) -> None:
        for buffer, row in zip(self.buffers, values, strict=True):
            buffer.put_data(row)
        elapsed = 1e6 / self.rate * (self.count + np.arange(values.shape[1]))
        self.clock.put_data(1_700_000_000_000_000 + elapsed.astype(np.int64))
        self.count += values.shape[1]
        self.system.process()

    def read(self, name: str) -> Floats:
        found: Floats = np.array(self.system.output_channels[name].read_data_by_acq_sidx(0, self.count)[0])
        return found


def compare(report: Report, *, quick: bool) -> None:
    """Put the same samples through both."""
    rms = [0.0, 0.0]
    harmonic = [0.0, 0.0]
    dip = [0.0, 0.0]
    orders = (3, 5, 7, 11, 13, 25, 37, 49)
    mix = [(order, 0.02) for order in orders]
    true = VOLTAGE * np.sqrt(1 + 0.0004 * len(orders))
    for frequency in (49.5, 50.02) if quick else (47.5, 49.5, 49.97, 50.02, 50.4, 52.3):
        sampling = board(6400.0, 12)
        blocks = sampled(sampling, wave_of(frequency, harmonics=mix), 6.0)
        peer = Peer(6400.0)
        for block in blocks:
            peer.process(block.values)
        for one in windows(measured(sampling, blocks)):
            rms[0] = max(rms[0], *(100 * abs(one["voltage"][phase]["rms"] / true - 1) for phase in "ABC"))
            told = one["voltage"]["A"]["harmonics"]
            harmonic[0] = max(harmonic[0], *(100 * abs(told[order - 1] / (0.02 * VOLTAGE) - 1) for order in orders))
        for phase in "ABC":
            rms[1] = max(rms[1], 100 * float(np.abs(peer.read(f"U{phase}_rms")[3:] / true - 1).max()))
        told = peer.read("UA_H_rms")[3:][:, list(orders)]
        harmonic[1] = max(harmonic[1], 100 * float(np.abs(told / (0.02 * VOLTAGE) - 1).max()))
        shape = lambda t, k: np.where((t >= 3.0013) & (t < 3.25) & (k < 3), 0.6, 1.0)  # noqa: E731
        blocks = sampled(sampling, wave_of(frequency, shape=shape), 5.0)
        peer = Peer(6400.0)
        for block in blocks:
            peer.process(block.values)
        (event,) = (one for one in measured(sampling, blocks) if isinstance(one, Event) and one.kind == "voltage-dip")
        dip[0] = max(dip[0], abs(event.evidence["residual_voltage"] / VOLTAGE - 0.6) * 100)
        dip[1] = max(dip[1], abs(float(peer.read("UA_1p_hp_rms")[20:].min()) / VOLTAGE - 0.6) * 100)
    for name, (own, other), unit in (
        ("U rms of 10 cycles", rms, "%"),
        ("harmonics of 2 % to 49", harmonic, "%"),
        ("residual voltage of a dip", dip, "% Udin"),
    ):
        report.figure(f"side by side, 6400 Hz, 12 bit: {name}", own, unit)
        report.figure(f"side by side, 6400 Hz, 12 bit: {name}, pqopen-lib", other, unit)
        report.figure(f"side by side, 6400 Hz, 12 bit: {name}, as a share of pqopen-lib's", own / other, "1", "<= 1")


def compare_flicker(report: Report) -> None:
    """Put the same rectangular changes through both flickermeters: two minutes after half a minute of settling."""
    from pqopen.powerquality import VoltageFluctuation

    rate, settling, seconds = 6400.0, 30.0, 120.0
    times = np.arange(round((settling + seconds) * rate)) / rate
    step = 20.0 / 4096 * VOLTS
    worst = [0.0, 0.0]
    for per_minute in (39, 110, 1620):
        change = CHANGES["230V"][per_minute] / 200
        side = 1 - 2 * (np.floor(times * per_minute / 60 + 1e-9) % 2)
        volts = VOLTAGE * np.sqrt(2) * np.sin(2 * np.pi * 50.0 * times) * (1 + change * side)
        volts = np.round(volts / step + 0.5 * np.random.default_rng(1).standard_normal(times.size)) * step
        meter = FlickerMeter(1, rate, LAMPS["230V"])
        counts = np.zeros((1, N_CLASSES))
        for first in range(0, volts.size - meter.needed, meter.advance):
            sensation = meter.sensation(volts[None, first : first + meter.needed])
            if first >= settling * rate:
                counts += classify(sensation)
        peer = VoltageFluctuation(rate, VOLTAGE, 50.0)
        for first in range(0, volts.size, 1280):
            part = volts[first : first + 1280]
            peer.process(first, np.sqrt(np.mean(np.square(part.reshape(-1, 64)), axis=1)), part.copy())
        found = short_term_severity(counts[0]), float(peer.calc_pst(round(settling * rate), volts.size))
        worst = [max(before, 100 * abs(value - 1.0)) for before, value in zip(worst, found, strict=True)]
    name = "side by side, 6400 Hz, 12 bit: Pst at 39, 110 and 1620 changes a minute"
    report.figure(name, worst[0], "%")
    report.figure(f"{name}, pqopen-lib", worst[1], "%")


def main() -> None:
    """Measure everything."""
    options = arguments(__doc__ or "").parse_args()
    report = Report("power quality", {"numpy": np.__version__, "quick": options.quick, "pqopen-lib": PEER})
    cost(report, quick=options.quick)
    voltage(report, quick=options.quick)
    dips(report, quick=options.quick)
    harmonics(report, quick=options.quick)
    flicker(report, quick=options.quick)
    if PEER:
        compare(report, quick=options.quick)
        compare_flicker(report)
    report.finish(as_json=options.json)


if __name__ == "__main__":
    main()
