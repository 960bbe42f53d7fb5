"""
From intervals and voltage events to the records of them: `Result` of schema ``quality/1`` and `Event`.

Last room of `power_quality`. All values are SI and named by their quantity; distortion and unbalance are shares [1].
Lists of harmonics begin with order 1, those of interharmonics with what lies between orders 0 and 1. What was not
measured is None, or named under ``not_measured`` where the installation cannot measure it at all.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from algorithms.api.algorithm import Context
from algorithms.api.records import Event, Result, Severity
from algorithms.api.samples import Channel, Phase, Quantity
from algorithms.builtin.quality.quality_intervals import Interval, rounded
from algorithms.builtin.quality.rapid_changes import RapidChange
from algorithms.builtin.quality.voltage_events import Thresholds, VoltageEvent

CONTENT = "quality/1"
DISTORTION_ORDER = 40
"""Distortion is told only where harmonics to this order are measured (EN 50160)."""


class ResultMaker:
    """
    Writes the records of one terminal.

    Parameters
    ----------
    context : Context
    channels : sequence of Channel
        Of several channels of the same quantity and phase the first counts.
    reach : tuple
        Sampling rate [Hz], and the highest harmonic measured.
    thresholds : Thresholds
    lamp : str
        Lamp of the flickermeter; empty where the sampling rate is too low for one.
    """

    def __init__(
        self, context: Context, channels: Sequence[Channel], reach: tuple[float, int], thresholds: Thresholds, lamp: str
    ) -> None:
        rate, highest = reach
        self._channels = tuple(channels)
        self._cycle = rate / context.nominal_frequency  # [samples]
        self._rate = rate
        self._terminal = context.terminal
        self._highest = highest
        self._rows: dict[str, dict[str, int]] = {"voltage": {}, "current": {}}
        for row, channel in enumerate(channels):
            kind = "voltage" if channel.quantity is Quantity.VOLTAGE else "current"
            self._rows[kind].setdefault(channel.phase.value, row)
        self._thresholds = thresholds
        self._facts: dict[str, Any] = {
            "declared_voltage": thresholds.declared,
            "nominal_frequency": context.nominal_frequency,
            "lamp": lamp or None,
        }
        self._not_measured = []
        if highest < 50:
            self._not_measured.append(f"harmonics {highest + 1} to 50: the sampling rate is too low")
        if highest < DISTORTION_ORDER:
            self._not_measured.append(f"distortion to order {DISTORTION_ORDER}: the sampling rate is too low")
        if not lamp:
            self._not_measured.append("flicker: the sampling rate is too low")
        if not {"A", "B", "C"} <= set(self._rows["voltage"]):
            self._not_measured.append("unbalance: three voltages are not there")

    def result(
        self,
        interval: Interval,
        name: str,
        *,
        end_ns: int | None = None,
        frequencies: Sequence[float | None] | None = None,
        flicker: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> Result:
        """
        Write one interval.

        Parameters
        ----------
        interval : Interval
        name : str
            ``10-cycle`` (``12-cycle``), ``150-cycle`` (``180-cycle``), ``10-min`` or ``2-h``.
        end_ns : int, optional
            Of the last window where an interval has no end of its own; that of the interval otherwise.
        frequencies : sequence, optional
            Ten-second values [Hz].
        flicker : mapping, optional
            Further values by phase, such as ``pst``.
        """
        values = interval.rms()
        payload: dict[str, Any] = {"interval": name, "duration": round(interval.duration, 6)}
        payload |= self._facts
        payload["windows"] = interval.windows
        payload["not_counted"] = interval.not_counted
        payload["flagged"] = dict(interval.flagged)
        payload["missing"] = round(interval.missing, 3) if end_ns is None else 0.0
        payload["time_uncertainty"] = interval.time_uncertainty
        payload["frequency"] = None if interval.frequency is None else round(interval.frequency, 5)
        if frequencies is not None:
            payload["frequency_10s"] = [None if value is None else round(value, 5) for value in frequencies]
        for kind, rows in self._rows.items():
            payload[kind] = {
                phase: self._channel(interval, values[row], row, flicker if kind == "voltage" else None, phase)
                for phase, row in rows.items()
            }
        if interval.unbalance[2]:
            negative, zero, count = interval.unbalance.tolist()
            payload["unbalance"] = {"u2": round((negative / count) ** 0.5, 6), "u0": round((zero / count) ** 0.5, 6)}
        else:
            payload["unbalance"] = None
        payload["phase_order"] = interval.phase_order or None
        payload["not_measured"] = list(self._not_measured)
        lasting = name in ("10-min", "2-h")
        return Result(CONTENT, self._terminal, interval.end_ns if end_ns is None else end_ns, payload, urgent=lasting)

    def _channel(
        self,
        interval: Interval,
        values: Any,
        row: int,
        flicker: Mapping[str, Mapping[str, Any]] | None,
        phase: str,
    ) -> dict[str, Any] | None:
        extra = dict(flicker.get(phase, {})) if flicker else {}
        if not interval.counts[row]:
            return {"rms": None, **extra} if extra else None
        highest = self._highest
        low, high = float(interval.low[row]) ** 0.5, float(interval.high[row]) ** 0.5
        rms = float(values[0])
        samples = interval.measured * self._rate
        told: dict[str, Any] = {"rms": round(rms, 4), "u_rms": self._uncertainty(self._channels[row], rms, samples)}
        if interval.windows > 1:
            told["lowest"], told["highest"] = round(low, 4), round(high, 4)
        told["distortion"] = round(float(values[1]), 6) if highest >= DISTORTION_ORDER else None
        told["harmonics"] = rounded(values[2 : 2 + highest], 4)
        told["interharmonics"] = rounded(values[2 + highest :], 4)
        return told | extra

    @staticmethod
    def _uncertainty(channel: Channel, rms: float, samples: float) -> float:
        """
        Return the standard uncertainty of an RMS: gain, and the steps of the converter as noise [V or A].

        Noise of variance s^2 adds s^2 to the square of the RMS, which is not taken out, and scatters by s / sqrt(n).
        """
        noise = channel.resolution**2 / 12.0
        bias = noise / (2.0 * rms) if rms > 0 else 0.0
        return float(f"{((channel.gain_uncertainty * rms) ** 2 + bias**2 + noise / max(samples, 1.0)) ** 0.5:.3g}")

    def event(self, event: VoltageEvent) -> Event:
        """Write a dip, swell or interruption, under way or over."""
        swell = event.kind == "voltage-swell"
        name = "highest_voltage" if swell else "residual_voltage"
        concerned = [
            self._channels[row] for phase, row in self._rows["voltage"].items() if phase in event.phases
        ] or self._channels[:1]
        evidence: dict[str, Any] = {
            name: round(event.extreme, 3),
            f"u_{name}": max(self._uncertainty(channel, event.extreme, self._cycle) for channel in concerned),
            "declared_voltage": self._thresholds.declared,
        }
        if event.end_ns is not None:
            evidence["duration"] = round((event.end_ns - event.start_ns) * 1e-9, 4)
        if event.interrupted:
            evidence["interrupted"] = True
        if event.cut:
            evidence["cut_by_gap"] = True
        severity = Severity.CRITICAL if event.kind == "interruption" else Severity.WARNING
        order = [phase.value for phase in Phase if phase.value in event.phases]
        return Event(event.kind, self._terminal, event.start_ns, event.end_ns, severity, tuple(order), evidence)

    def rapid_change(self, change: RapidChange) -> Event:
        """Write a rapid voltage change."""
        evidence = {
            "largest_change": round(change.largest, 3),
            "lasting_change": round(change.lasting, 3),
            "declared_voltage": self._thresholds.declared,
            "duration": round((change.end_ns - change.start_ns) * 1e-9, 4),
        }
        return Event(
            "rapid-voltage-change",
            self._terminal,
            change.start_ns,
            change.end_ns,
            Severity.NOTICE,
            change.phases,
            evidence,
        )
