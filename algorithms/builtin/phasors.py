"""
The phasor estimator, first of the algorithms: blocks of samples in, one `MeasurementFrame` per reporting instant out.

It only assembles. `sample_windows` cuts the stream at UTC instants, `waveform.tracking` fits the phasor model at the
frequency the signal has, `frames` writes the record; `phasor_settings` judges the settings. Its own is the verdict
whether a window holds a steady enough signal (`Steadiness`). A frame is delivered half a window after the instant it is
valid for.

A performance class is a property of the settings and stays there; every device reports those it runs. A frame says how
long its window was and how certain its time is, and carries no promise.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from algorithms.api.algorithm import Algorithm, Context
from algorithms.api.errors import SettingsError
from algorithms.api.manifest import AlgorithmInfo
from algorithms.api.records import Kind, MeasurementFrame, Record
from algorithms.api.samples import Channel, Quantity, SampleBlock
from algorithms.api.settings import problems_of, read_settings
from algorithms.builtin.frames import USABLE_VOLTAGE, FrameMaker
from algorithms.builtin.phasor_settings import (
    LEAST_SAMPLES_PER_CYCLE,
    SETTINGS,
    complete,
    problems_of_context,
    problems_together,
)
from algorithms.builtin.sample_windows import SampleWindows
from algorithms.waveform.phasor import TaylorFourierFit
from algorithms.waveform.tracking import MOVING, FrequencyTrackingEstimator

FEW_WINDOWS = 10
"""With fewer windows per second, making a table for each costs next to nothing [Hz]."""
MARGIN = 2.0
"""Frequencies this far outside the range are still followed, and flagged [Hz]."""
EDGE = 0.01
"""Frequencies no further outside the range are not flagged: at its very end noise must not decide [Hz]."""
VOLTAGE_RESIDUAL, CURRENT_RESIDUAL = 0.005, 0.02
"""Share of a channel that the model may leave over in a steady signal [1]; loads change more than voltages."""


class Phasors(Algorithm):
    """
    Synchrophasors, frequency, powers and symmetrical components of one terminal.

    Short windows follow changes (3 cycles: protection class), long ones reject interference (10 cycles: measurement
    class of IEC/IEEE 60255-118-1). P holds at every reporting rate of the standard. M holds at one frame per cycle:
    slower reporting would have to reject interference nearer to nominal than ten cycles can.
    """

    info: ClassVar[AlgorithmInfo] = AlgorithmInfo(
        name="phasors",
        version="1.1.0",
        summary="Phasors, frequency, powers and symmetrical components, with uncertainties, at fixed UTC instants.",
        consumes=(Kind.SAMPLES,),
        produces=(Kind.FRAME,),
        settings=SETTINGS,
        time_budget=0.05,
    )

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__(settings)
        self._context: Context | None = None
        self._cycles = 0
        self._report_rate = 0
        self._range = 0.0
        self._channels: tuple[Channel, ...] | None = None
        self._nominal_rate = 0.0
        self._parts: tuple[SampleWindows, FrequencyTrackingEstimator, FrameMaker, Steadiness] | None = None

    def start(self, context: Context, restored: bytes | None) -> None:  # noqa: ARG002 - nothing outlives a window
        """Read the settings and make ready; see `Algorithm.start`."""
        problems = problems_of(self.info.settings, self.settings)
        problems += problems_of_context(context)
        if problems:
            raise SettingsError(problems)
        values = complete(read_settings(self.info.settings, self.settings), self.settings)
        problems = problems_together(values, context)
        if problems:
            raise SettingsError(problems)
        self._context = context
        self._cycles = values["window"]
        self._report_rate = values["report_rate"]
        self._range = values["frequency_range"]
        self._channels = None
        self._parts = None
        if context.channels and context.sample_rate:
            self._arrange(context, context.channels, context.sample_rate)

    def process(self, record: SampleBlock | Record) -> Sequence[MeasurementFrame]:
        """Take a block of samples; return the frames it completes."""
        if self._context is None:
            raise RuntimeError("start comes before process")
        if not isinstance(record, SampleBlock):
            raise ValueError(f"a SampleBlock expected, found {type(record).__name__}")  # noqa: TRY004 - wrong use
        rate_differs = abs(record.sample_rate - self._nominal_rate) > 0.01 * self._nominal_rate
        if record.channels != self._channels or rate_differs:
            self._arrange(self._context, record.channels, record.sample_rate)
        if self._parts is None:
            return ()
        windows, estimator, maker, steadiness = self._parts
        frames = []
        for window in windows.push(record):
            if window.after_gap:
                estimator.forget()
            tracked = estimator.estimate(window.values, steadiness.frequency_rows, steadiness.least)
            frames.append(maker.frame(window, tracked, transient=steadiness.changed(tracked.fit)))
        return frames

    def _arrange(self, context: Context, channels: tuple[Channel, ...], sample_rate: float) -> None:
        """Make ready for other channels or another sampling rate; for none at all where no frames can be made."""
        self._channels, self._nominal_rate = channels, sample_rate
        self._parts = None
        nominal = context.nominal_frequency
        maker = FrameMaker(context, channels, (nominal - self._range - EDGE, nominal + self._range + EDGE))
        if sample_rate < LEAST_SAMPLES_PER_CYCLE * nominal or not (maker.voltage_rows or maker.current_rows):
            return
        half = round(0.5 * self._cycles * sample_rate / nominal)
        lowest = max(nominal - self._range - MARGIN, 0.5 * nominal)
        estimator = FrequencyTrackingEstimator(
            half,
            nominal / sample_rate,
            lowest / sample_rate,
            (nominal + self._range + MARGIN) / sample_rate,
            MOVING if self._report_rate >= FEW_WINDOWS else 1,
        )
        windows = SampleWindows(len(channels), half, self._report_rate)
        self._parts = windows, estimator, maker, Steadiness(context, channels, maker)


class Steadiness:
    """
    Tells whether the model fits: by what it leaves over, against the channel's own noise.

    Parameters
    ----------
    context : Context
    channels : sequence of Channel
    maker : FrameMaker
        Knows which rows are voltages and currents.

    Notes
    -----
    A window is unsteady when one channel's residual exceeds a share of its fundamental, two steps of its converter and
    three times its own quiet level. The quiet level follows the residual down at once and up by a tenth per frame,
    so a noisy input ceases to be a transient and a transient never becomes normal.
    """

    def __init__(self, context: Context, channels: Sequence[Channel], maker: FrameMaker) -> None:
        voltages = maker.voltage_rows
        self.frequency_rows = voltages or maker.current_rows
        self.least = USABLE_VOLTAGE * context.nominal_voltage * math.sqrt(2.0) if voltages else 0.0
        self._limits = []
        for channel in channels:
            is_voltage = channel.quantity is Quantity.VOLTAGE
            share = VOLTAGE_RESIDUAL if is_voltage else CURRENT_RESIDUAL
            least = VOLTAGE_RESIDUAL * 0.1 * context.nominal_voltage if is_voltage else 0.0
            self._limits.append((share * math.sqrt(0.5), max(2.0 * channel.resolution, least)))
        self._quiet: list[float] | None = None

    def changed(self, fit: TaylorFourierFit) -> bool:
        """Judge one window, and learn the quiet level from it."""
        residuals = [math.sqrt(variance) for variance in fit.noise]
        quiet = self._quiet
        if quiet is None:
            self._quiet = residuals
            quiet = [0.0] * len(residuals)
        else:
            self._quiet = [
                min(residual, max(1.1 * level, floor))
                for residual, level, (_, floor) in zip(residuals, quiet, self._limits, strict=True)
            ]
        return any(
            residual > max(share * abs(phasor[0]), floor, 3.0 * level)
            for residual, phasor, level, (share, floor) in zip(residuals, fit.phasors, quiet, self._limits, strict=True)
        )
