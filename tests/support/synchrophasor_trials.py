"""
The test signals of IEC/IEEE 60255-118-1, written down as equations, and the points at which each test puts them.

A `Wave` is amplitude, phase and what disturbs them in closed form, so that samples are exact at their own instants,
skew included, and phasor, frequency and ROCOF are known without another estimator. A `Trial` is one wave for one
stretch of time; a step takes several, each with the step elsewhere between two frames (equivalent-time sampling).

Three phases are balanced and in positive sequence, and so is out-of-band interference. Harmonics come twice: as those
of a distorted but balanced grid, order h turned by h times 120 degrees, and in positive sequence, which is the harder
case for a frequency that all phases share.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from tests.support import synchrophasor_limits as tests
from tests.support.synchrophasor_limits import Service

PEAKS = (4.0, 4.0, 4.0, 3.0, 3.0, 3.0)
"""Rated voltages and currents at the converter's inputs of +-10 V [V]."""
LAG = 0.5
"""Of the currents behind their voltages [rad]."""
START = 0.37
"""Phase at the beginning [rad]: an angle of 0 is no better than any other."""

Floats = NDArray[np.float64]
InTime = Callable[[Floats], Floats]


class Density(Enum):
    """How many points of each test's range are taken."""

    FEW = 0
    """The ends and what lies between only where it matters: for a test suite."""
    SOME = 1
    ALL = 2


@dataclass(frozen=True)
class Wave:
    """
    A three-phase signal.

    Attributes
    ----------
    phase, frequency, rocof : callable
        Of the time [s]: [rad], [Hz], [Hz/s].
    amplitude : callable
        Of the time [s], relative to the rated values [1].
    disturbance : callable or None
        Of phase angle and time: what is added to a phase that lags by an angle [rad], relative to the rated value.
    voltage, current : float
        Share of the rated values [1].
    """

    phase: InTime
    frequency: InTime
    rocof: InTime
    amplitude: InTime = np.ones_like
    disturbance: Callable[[float, Floats], Floats] | None = None
    voltage: float = 1.0
    current: float = 1.0

    def size(self, k: int) -> float:
        return PEAKS[k] * (self.voltage if k < 3 else self.current)

    def sampled(self, times: Floats, k: int) -> Floats:
        """Channel k at its own instants [V]."""
        lag = lag_of(k)
        wave = self.amplitude(times) * np.cos(self.phase(times) - lag)
        if self.disturbance is not None:
            wave += self.disturbance(lag, times)
        return self.size(k) * wave

    def phasors(self, times: Floats, nominal: float) -> NDArray[np.complex128]:
        """RMS phasors of all channels (n_times, 6), referred to a cosine of nominal frequency [V]."""
        turned = self.amplitude(times) * np.exp(1j * (self.phase(times) - 2 * np.pi * nominal * times))
        sizes = np.array([self.size(k) * np.exp(-1j * lag_of(k)) for k in range(6)]) / np.sqrt(2)
        return turned[:, None] * sizes


@dataclass(frozen=True)
class Trial:
    """
    One signal for one stretch of time.

    Attributes
    ----------
    test, point : str
        The test it belongs to, and where in its range it is.
    wave : Wave
    duration : float
        [s]
    unjudged : sequence of float
        Instants around which the standard lets a unit settle [s].
    step_at : float or None
        When a step comes [s].
    step : complex
        Relative change of the phasor at the step, 1 where there is none.
    """

    test: str
    point: str
    wave: Wave
    duration: float
    unjudged: Sequence[float] = ()
    step_at: float | None = None
    step: complex = 1.0


def lag_of(k: int) -> float:
    return 2 * math.pi / 3 * (k % 3) + (LAG if k >= 3 else 0.0)


def constant(frequency: float, **facts: float) -> Wave:
    return Wave(
        lambda t: 2 * np.pi * frequency * t + START, lambda t: np.full_like(t, frequency), np.zeros_like, **facts
    )


def with_harmonic(frequency: float, order: int, share: float, *, balanced: bool) -> Wave:
    def harmonic(lag: float, times: Floats) -> Floats:
        turn = 2 * np.pi * frequency * times + START
        return share * np.cos(order * (turn - lag) + 0.7 if balanced else order * turn - lag + 0.7)

    return replace(constant(frequency), disturbance=harmonic)


def with_interference(frequency: float, tone: float, share: float) -> Wave:
    def interference(lag: float, times: Floats) -> Floats:
        return share * np.cos(2 * np.pi * tone * times - lag + 1.1)

    return replace(constant(frequency), disturbance=interference)


def modulated(nominal: float, rate: float, amplitude: float, phase: float) -> Wave:
    """x = (1 + k_x cos w t) cos(w_0 t + k_a cos(w t - pi))."""
    w = 2 * np.pi * rate
    return Wave(
        lambda t: 2 * np.pi * nominal * t + START + phase * np.cos(w * t - np.pi),
        lambda t: nominal - phase * rate * np.sin(w * t - np.pi),
        lambda t: -phase * rate * w * np.cos(w * t - np.pi),
        lambda t: 1.0 + amplitude * np.cos(w * t),
    )


def ramp(start: float, rate: float, begin: float, end: float) -> Wave:
    """Hold `start` [Hz] until `begin` [s], ramp with `rate` [Hz/s] until `end`, hold."""

    def ramped(times: Floats) -> Floats:
        return np.clip(times, begin, end) - begin

    def phase(times: Floats) -> Floats:
        r = ramped(times)
        return 2 * np.pi * (start * times + rate * (0.5 * r * r + r * np.maximum(times - end, 0.0))) + START

    return Wave(
        phase,
        lambda t: start + rate * ramped(t),
        lambda t: np.where((t > begin) & (t < end), rate, 0.0),
    )


def stepped(nominal: float, at: float, step: complex) -> Wave:
    size, turn = abs(step), float(np.angle(step))
    return Wave(
        lambda t: 2 * np.pi * nominal * t + START + turn * (t >= at),
        lambda t: np.full_like(t, nominal),
        np.zeros_like,
        lambda t: np.where(t >= at, size, 1.0),
    )


def trials(service: Service, sample_rate: float, density: Density) -> Iterator[Trial]:
    """Return the whole suite for a unit of this class; M alone is asked about out-of-band interference."""
    yield from _static(service, sample_rate, density)
    if not service.protects:
        yield from _interferences(service, density)
    yield from _modulations(service, density)
    yield from _ramps(service)
    yield from _steps(service, density)


def _static(service: Service, sample_rate: float, density: Density) -> Iterator[Trial]:
    f0, reach = service.nominal, service.frequency_range
    duration = (1.0, 1.0, 5.0)[density.value]
    for deviation in np.linspace(-reach, reach, (5, 9, 41)[density.value]):
        yield Trial(tests.FREQUENCY, f"{f0 + deviation:g} Hz", constant(f0 + deviation), duration)
    yield Trial(tests.FREQUENCY, f"{f0 + 0.2:g} Hz", constant(f0 + 0.2), 5.0)  # the angle takes every value
    for share in np.linspace(service.least_voltage, 1.2, (3, 4, 12)[density.value]):
        yield Trial(tests.VOLTAGE, f"{100 * share:.3g} %", constant(f0, voltage=share), duration)
    for share in np.linspace(0.1, 2.0, (3, 4, 20)[density.value]):
        yield Trial(tests.CURRENT, f"{100 * share:.3g} %", constant(f0, current=share), duration)
    orders = [h for h in range(2, 51) if h * f0 < 0.5 * sample_rate]  # no sample carries what lies above
    if density is not Density.ALL:
        telling = (2, 3, 5, 13, 22, 23, 25, 26, 31, 49, 50) + (4, 7, 11, 17, 27, 29) * (density is Density.SOME)
        orders = [h for h in orders if h in telling]
    for order in orders:
        for balanced in (True, False):
            point = f"order {order}{'' if balanced else ', positive sequence'}"
            wave = with_harmonic(f0, order, service.harmonic_share, balanced=balanced)
            yield Trial(tests.HARMONICS, point, wave, (0.4, 0.4, 1.0)[density.value])


def _interferences(service: Service, density: Density) -> Iterator[Trial]:
    """10 Hz to twice nominal, half the reporting rate away from it; the signal a tenth of that from nominal."""
    f0, half = service.nominal, 0.5 * service.report_rate
    below = np.linspace(10.0, f0 - half, (3, 4, 16)[density.value])
    above = np.linspace(f0 + half, 2 * f0, (3, 4, 26)[density.value])
    for frequency in (f0 - 0.1 * half, f0, f0 + 0.1 * half):
        for tone in (*below, *above):
            point = f"{tone:.4g} Hz beside {frequency:g} Hz"
            yield Trial(tests.INTERFERENCE, point, with_interference(frequency, tone, 0.1), 0.6)


def _modulations(service: Service, density: Density) -> Iterator[Trial]:
    f0, reach = service.nominal, service.modulation_range
    rates = np.arange(0.1, reach + 1e-9, 0.1 if service.protects else 0.2)
    rates = np.unique(np.append(rates, reach))
    if density is not Density.ALL:
        rates = np.array([0.5 * reach, reach]) if density is Density.FEW else np.linspace(0.2, 1.0, 4) * reach
    kinds = (
        (tests.AMPLITUDE_MODULATION, 0.1, 0.0),
        (tests.PHASE_MODULATION, 0.0, 0.1),
        (tests.BOTH_MODULATIONS, 0.1, 0.1),
    )
    for test, amplitude, phase in kinds:
        for rate in rates:
            duration = 0.4 + (2.0 if density is Density.ALL else 1.0) / rate
            yield Trial(test, f"{rate:.2g} Hz", modulated(f0, rate, amplitude, phase), duration)


def _ramps(service: Service) -> Iterator[Trial]:
    f0, reach, settled = service.nominal, service.frequency_range, 0.5
    for rate in (1.0, -1.0):
        end = settled + 2 * reach
        wave = ramp(f0 - rate * reach, rate, settled, end)
        yield Trial(tests.RAMP, f"{rate:+g} Hz/s", wave, end + settled, unjudged=(settled, end))


def _steps(service: Service, density: Density) -> Iterator[Trial]:
    places = (10, 10, 20)[density.value]
    settled = round(0.4 * service.report_rate) / service.report_rate
    steps = (
        (tests.AMPLITUDE_STEP, "+10 %", 1.1 + 0j),
        (tests.AMPLITUDE_STEP, "-10 %", 0.9 + 0j),
        (tests.PHASE_STEP, "+10 degrees", np.exp(1j * np.pi / 18)),
        (tests.PHASE_STEP, "-10 degrees", np.exp(-1j * np.pi / 18)),
    )
    for test, point, step in steps:
        for place in range(places):
            at = settled + place / places / service.report_rate
            yield Trial(test, point, stepped(service.nominal, at, step), 2 * settled + 0.05, step_at=at, step=step)
