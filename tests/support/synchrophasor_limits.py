"""
What IEC/IEEE 60255-118-1:2018 asks of a phasor measurement unit: ranges of its tests and limits of its errors.

Pure tables. The trials (`synchrophasor_trials`) take the ranges, the verdict (`synchrophasor`) the limits. A limit that
the standard does not set is None: what is measured there is told, not judged. Where it lets the reporting rate decide,
the figures here follow its formulas and hold for rates of 25 frames per second and more.
"""

import math
from dataclasses import dataclass

FREQUENCY = "signal frequency"
VOLTAGE = "voltage magnitude"
CURRENT = "current magnitude"
HARMONICS = "single harmonics"
INTERFERENCE = "out-of-band interference"
AMPLITUDE_MODULATION = "amplitude modulation"
PHASE_MODULATION = "phase modulation"
BOTH_MODULATIONS = "combined modulation"
RAMP = "frequency ramp"
AMPLITUDE_STEP = "amplitude step"
PHASE_STEP = "phase step"
LATENCY = "reporting latency"

STATIC = (FREQUENCY, VOLTAGE, CURRENT, HARMONICS)
"""Tests whose limits an instrument of 16 bits is expected to keep by a factor of ten."""


@dataclass(frozen=True)
class Limits:
    """Largest total vector error [%], frequency error [mHz] and ROCOF error [Hz/s] of a test."""

    tve: float | None = None
    fe: float | None = None
    rfe: float | None = None


@dataclass(frozen=True)
class StepLimits:
    """Response times [ms] of phasor, frequency and ROCOF, delay [ms] and overshoot [% of the step]."""

    tve_response: float
    fe_response: float
    rfe_response: float
    delay: float
    overshoot: float


@dataclass(frozen=True)
class Service:
    """
    What a unit claims to be.

    Attributes
    ----------
    performance_class : str
        ``P`` or ``M``.
    nominal : float
        [Hz]
    report_rate : int
        Frames per second.
    """

    performance_class: str
    nominal: float
    report_rate: int

    @property
    def protects(self) -> bool:
        return self.performance_class == "P"

    @property
    def frequency_range(self) -> float:
        """How far from nominal the signal frequency goes [Hz]."""
        return 2.0 if self.protects else min(5.0, self.report_rate / 5)

    @property
    def modulation_range(self) -> float:
        """Highest modulating frequency [Hz]."""
        return min(2.0, self.report_rate / 10) if self.protects else min(5.0, self.report_rate / 5)

    @property
    def least_voltage(self) -> float:
        """Share of the rated voltage [1]; the highest is 1.2, currents go from 0.1 to 2."""
        return 0.8 if self.protects else 0.1

    @property
    def harmonic_share(self) -> float:
        """Of the fundamental [1]."""
        return 0.01 if self.protects else 0.1

    @property
    def settling(self) -> float:
        """Time around the ends of a ramp that is not judged [s]."""
        return (2 if self.protects else 7) / self.report_rate

    @property
    def latency(self) -> float:
        """Longest time from the instant of a frame to its being reported [ms]."""
        return 1e3 * (2 if self.protects else 7) / self.report_rate

    @property
    def step_range(self) -> tuple[float, float, float]:
        """Errors outside of which a step is not over: TVE [%], FE [mHz], RFE [Hz/s]."""
        return (1.0, 5.0, 0.4) if self.protects else (1.0, 5.0, 0.1)

    def limits(self, test: str) -> Limits:
        """Return the limits of a test that is not a step; none where the class need not pass it."""
        return (_of_p if self.protects else _of_m)(self.modulation_range).get(test, Limits())

    def step_limits(self) -> StepLimits:
        """Return the limits of the steps."""
        delay = 250.0 / self.report_rate
        if self.protects:
            cycle = 1e3 / self.nominal
            return StepLimits(2 * cycle, 4.5 * cycle, 6 * cycle, delay, 5.0)
        frame = 1e3 / self.report_rate
        return StepLimits(7 * frame, 14 * frame, 14 * frame, delay, 10.0)


def _of_p(modulation: float) -> dict[str, Limits]:
    swing = Limits(3.0, 30.0 * modulation, _rounded(0.18 * math.pi * modulation**2))
    return {
        FREQUENCY: Limits(1.0, 5.0, 0.4),
        VOLTAGE: Limits(1.0),
        CURRENT: Limits(1.0),
        HARMONICS: Limits(1.0, 5.0, 0.4),
        AMPLITUDE_MODULATION: swing,
        PHASE_MODULATION: swing,
        BOTH_MODULATIONS: swing,
        RAMP: Limits(1.0, 10.0, 0.4),
    }


def _of_m(modulation: float) -> dict[str, Limits]:
    swing = Limits(3.0, 60.0 * modulation, _rounded(0.18 * math.pi * modulation**2))
    return {
        FREQUENCY: Limits(1.0, 5.0, 0.1),
        VOLTAGE: Limits(1.0),
        CURRENT: Limits(1.0),
        HARMONICS: Limits(1.0, 25.0),
        INTERFERENCE: Limits(1.3, 10.0),
        AMPLITUDE_MODULATION: swing,
        PHASE_MODULATION: swing,
        BOTH_MODULATIONS: swing,
        RAMP: Limits(1.0, 10.0, 0.2),
    }


def _rounded(value: float) -> float:
    """Two digits, as the standard's tables print them."""
    return float(f"{value:.2g}")
