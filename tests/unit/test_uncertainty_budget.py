"""
Whether what a meter says of its own uncertainty is true, from the calibration to every published value.

Monte Carlo (JCGM 101:2008): hundreds of meters are drawn. Each one's transducers and converter differ from its
calibration as far as that calibration's uncertainty and three years of drift allow; its converter multiplexes, adds
noise and rounds; its time stamp is off as its uncertainty says. Volts go the way they go in a meter: calibration
document, settings, scaling, blocks, phasors. Judged is the share of errors within one and two stated uncertainties, for
every kind of value.

With 600 meters a coverage of 68.3 % has a standard error of 1.9 % (one value for each meter) or 0.8 % (six values). A
value whose uncertainty is mostly drift, which is even between its bounds, lies within one standard uncertainty in
57.7 % of all cases and always within two.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.calibration import calibrated
from agent.processes.sampling import source_request
from algorithms.api.algorithm import Context
from algorithms.api.records import MeasurementFrame
from algorithms.api.samples import Channel, Phase, Quantity, SampleBlock
from algorithms.builtin.phasors import Phasors
from device_catalog.contract.calibration import Calibration, ChannelCalibration
from device_catalog.contract.documents import Acquisition, ChannelSetting
from hardware.scaling import described, scaling_of
from tests.support.three_phase import EPOCH_NS

RATE, NOMINAL, METERS = 3200.0, 50.0, 600
NOW = datetime(2026, 11, 1, tzinfo=UTC)
YEARS = 3.0
GAIN, PHASE = 1.0e-3, 1.0e-3
"""Standard uncertainties at the calibration."""
GAIN_DRIFT, PHASE_DRIFT = 1.5e-3, 0.5e-3
"""Bounds of the drift in a year."""
LATE = 2e-5
"""Standard uncertainty of the time stamp [s]."""
RATIOS = np.array([100.0, 100.0, 100.0, 10.0, 10.0, 10.0])
SIZES = np.array([230.0, 228.0, 233.0, 14.0, 9.0, 20.0])
"""RMS; the currents are unequal [V], [A]."""
NAMES = ("ua", "ub", "uc", "ia", "ib", "ic")


@dataclass(frozen=True)
class Converter:
    """Steps over a range of plus and minus some volts, with noise [steps RMS], taking one channel after the other."""

    bits: int
    range: float
    noise: float = 0.5

    @property
    def step(self) -> float:
        return 2.0 * self.range / 2**self.bits


def acquisition() -> Acquisition:
    channels = tuple(
        ChannelSetting(name, "voltage" if name[0] == "u" else "current", name[1].upper(), k, ratio=float(RATIOS[k]))
        for k, name in enumerate(NAMES)
    )
    return Acquisition("board", RATE, channels=channels)


def calibration_of(gains: NDArray[np.float64], phases: NDArray[np.float64]) -> Calibration:
    channels = tuple(
        ChannelCalibration(
            *(name, k, float(RATIOS[k])),
            gain=float(gains[k]),
            phase_correction=float(phases[k]),
            gain_uncertainty=GAIN,
            phase_uncertainty=PHASE,
            gain_drift=GAIN_DRIFT,
            phase_drift=PHASE_DRIFT,
        )
        for k, name in enumerate(NAMES)
    )
    return Calibration("m-1", NOW - timedelta(days=365.25 * YEARS), "A. Installer", channels=channels)


@dataclass(frozen=True)
class Truth:
    """What a meter should have shown."""

    frequency: float
    lag: NDArray[np.float64]
    """Of each current, behind its voltage [rad]."""
    angles: NDArray[np.float64]
    """Of all channels at the stamps' zero [rad]."""


def drawn_meters(converter: Converter, seed: int) -> Iterator[tuple[MeasurementFrame, Truth]]:
    rng = np.random.default_rng(seed)
    for _ in range(METERS):
        truth = _truth(rng)
        yield _frame_of(converter, truth, rng), truth


def _truth(rng: np.random.Generator) -> Truth:
    lag = rng.uniform(0.3, 1.0, 3)
    voltages = rng.uniform(-np.pi, np.pi) - 2.0 * np.pi / 3.0 * np.arange(3) + rng.normal(0.0, 0.01, 3)
    return Truth(rng.uniform(49.5, 50.5), lag, np.concatenate([voltages, voltages - lag]))


def _frame_of(converter: Converter, truth: Truth, rng: np.random.Generator) -> MeasurementFrame:
    gains, phases = rng.uniform(0.95, 1.05, 6), rng.uniform(-0.05, 0.05, 6)
    settings, used, _ = calibrated(acquisition(), calibration_of(gains, phases), NOW)
    assert len(used) == 6
    requests = source_request(settings).channels
    skews = np.arange(6) / 6.0 / RATE
    channels = tuple(
        described(
            request,
            nominal_frequency=NOMINAL,
            skew=float(skews[k]),
            step=converter.step,
            low=-converter.range,
            high=converter.range,
        )
        for k, request in enumerate(requests)
    )
    true_gains = gains * (1.0 + GAIN * rng.standard_normal(6) + GAIN_DRIFT * YEARS * rng.uniform(-1.0, 1.0, 6))
    true_phases = phases + PHASE * rng.standard_normal(6) + PHASE_DRIFT * YEARS * rng.uniform(-1.0, 1.0, 6)
    times = np.arange(320) / RATE + LATE * rng.standard_normal()
    shifts = (skews + true_phases / (2.0 * np.pi * NOMINAL))[:, None]
    line = (
        np.sqrt(2.0) * SIZES[:, None] * np.cos(2.0 * np.pi * truth.frequency * (times + shifts) + truth.angles[:, None])
    )
    volts = line / (RATIOS * true_gains)[:, None] + rng.uniform(-0.01, 0.01, (6, 1))
    volts += converter.noise * converter.step * rng.standard_normal(volts.shape)
    volts = np.round(volts / converter.step) * converter.step
    block = SampleBlock(scaling_of(requests).apply(volts), channels, RATE, 0, EPOCH_NS, LATE)
    return _measured(block, channels)


def _measured(block: SampleBlock, channels: tuple[Channel, ...]) -> MeasurementFrame:
    algorithm = Phasors({"window": 4, "report_rate": 50})
    algorithm.start(Context("m-1", "m-1", channels=channels, sample_rate=RATE, synchronised=True), None)
    frame = algorithm.process(block)[0]
    assert isinstance(frame, MeasurementFrame)
    return frame


def scores(meters: Iterator[tuple[MeasurementFrame, Truth]]) -> dict[str, NDArray[np.float64]]:
    """Return every error in units of the uncertainty stated with it, by kind of value."""
    found: dict[str, list[float]] = defaultdict(list)
    third = np.exp(2j * np.pi / 3.0 * np.arange(3))
    for frame, truth in meters:
        seconds = (frame.time_ns - EPOCH_NS) * 1e-9
        turned = 2.0 * np.pi * (truth.frequency - NOMINAL) * seconds
        true = SIZES * np.exp(1j * (truth.angles + turned))
        readings = [*(frame.voltage[p] for p in "ABC"), *(frame.current[p] for p in "ABC")]
        for k, reading in enumerate(readings):
            found["magnitude"].append((reading.magnitude - SIZES[k]) / reading.u_magnitude)
            found["angle"].append(float(np.angle(reading.phasor / true[k])) / reading.u_angle)
            found["rms"].append((reading.rms - SIZES[k]) / reading.u_rms)
        apparent = SIZES[:3] * SIZES[3:]
        active, reactive = apparent * np.cos(truth.lag), apparent * np.sin(truth.lag)
        for k, name in enumerate(("A", "B", "C", "total")):
            of = slice(None) if name == "total" else slice(k, k + 1)
            p, q, s = active[of].sum(), reactive[of].sum(), apparent[of].sum()
            power, prefix = frame.power[name], "total " if name == "total" else ""
            found[f"{prefix}p"].append((power.p - p) / power.u_p)
            found[f"{prefix}q"].append((power.q - q) / power.u_q)
            found[f"{prefix}s"].append((power.s - s) / power.u_s)
            found[f"{prefix}pf"].append((power.pf - p / s) / power.u_pf)
        for name, sequence, phasors in (
            ("voltage", frame.voltage_sequence, true[:3]),
            ("current", frame.current_sequence, true[3:]),
        ):
            positive = phasors @ third / 3.0
            found[f"{name} positive magnitude"].append(
                (sequence.positive.magnitude - abs(positive)) / sequence.positive.u_magnitude
            )
            found[f"{name} positive angle"].append(
                float(np.angle(sequence.positive.phasor / positive)) / sequence.positive.u_angle
            )
        negative = true[3:] @ third.conj() / 3.0
        found["current negative magnitude"].append(
            (frame.current_sequence.negative.magnitude - abs(negative)) / frame.current_sequence.negative.u_magnitude
        )
        found["frequency"].append((frame.frequency.value - truth.frequency) / frame.frequency.uncertainty)
        found["rocof"].append(frame.rocof.value / frame.rocof.uncertainty)
    return {name: np.array(values) for name, values in found.items()}


def coverage(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return which share of the errors lies within one and within two stated uncertainties."""
    one, two = np.mean(np.abs(values) < 1.0), np.mean(np.abs(values) < 2.0)
    return round(float(one), 3), round(float(two), 3)


@pytest.mark.parametrize(
    "converter",
    [Converter(12, 10.0), Converter(12, 10.0, noise=0.1), Converter(16, 5.0), Converter(18, 10.0, noise=2.0)],
    ids=str,
)
def test_stated_uncertainties_cover_what_a_calibration_three_years_old_leaves(converter: Converter) -> None:
    judged = scores(drawn_meters(converter, seed=20))
    told = {name: coverage(values) for name, values in judged.items()}
    wrong = {name: shares for name, shares in told.items() if not (0.59 < shares[0] < 0.75 and shares[1] > 0.93)}
    assert not wrong, wrong
    assert all(abs(values.mean()) < 0.15 for values in judged.values()), "no value is off to one side"


def test_currents_of_a_few_steps_are_as_uncertain_as_they_are_told_to_be(monkeypatch) -> None:
    """A twelve-bit converter's step is 49 mA here; noise then counts as much as all else."""
    monkeypatch.setattr(f"{__name__}.SIZES", np.array([230.0, 230.0, 230.0, 1.0, 0.2, 0.5]))
    judged = scores(drawn_meters(Converter(12, 10.0), seed=21))
    kinds = (
        "magnitude",
        "angle",
        "rms",
        "p",
        "q",
        "s",
        "pf",
        "total p",
        "total q",
        "total pf",
        "current positive magnitude",
        "frequency",
    )
    told = {name: coverage(judged[name]) for name in kinds}
    assert all(one > 0.59 and two > 0.92 for one, two in told.values()), told


def test_every_source_of_uncertainty_shows_where_it_should() -> None:
    """Age, a coarser converter and a worse stamp each raise what they touch, and nothing else."""
    rng = np.random.default_rng(1)
    truth = _truth(rng)
    plain = _frame_of(Converter(16, 5.0), truth, np.random.default_rng(2))
    coarse = _frame_of(Converter(10, 10.0), truth, np.random.default_rng(2))
    assert coarse.frequency is not None
    assert plain.frequency is not None
    assert coarse.frequency.uncertainty > 20.0 * plain.frequency.uncertainty
    u_gain = np.hypot(GAIN, GAIN_DRIFT * YEARS / np.sqrt(3.0))
    u_angle = np.hypot(np.hypot(PHASE, PHASE_DRIFT * YEARS / np.sqrt(3.0)), 2.0 * np.pi * NOMINAL * LATE)
    reading = plain.voltage["A"]
    assert reading.u_magnitude / reading.magnitude == pytest.approx(u_gain, rel=0.01)
    assert reading.u_rms / reading.rms == pytest.approx(u_gain, rel=0.01)
    assert reading.u_angle == pytest.approx(u_angle, rel=0.01)


def test_a_request_of_the_catalog_is_the_sources_own() -> None:
    requests = source_request(acquisition()).channels
    assert [(one.quantity, one.phase) for one in requests[::3]] == [
        (Quantity.VOLTAGE, Phase.A),
        (Quantity.CURRENT, Phase.A),
    ]
