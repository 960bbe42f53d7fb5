"""
The settings of the phasor estimator, and what is wrong with them where it runs.

Each setting is judged by its declaration; here is what only holds together: a performance class of IEC/IEEE 60255-118-1
with window, reporting rate and range, the reporting rate with the network, the channels among themselves. Problems are
values, all told at once. Whoever needs a class names it; whoever does not chooses a window.
"""

from collections.abc import Mapping
from typing import Any

from algorithms.api.algorithm import Context
from algorithms.api.errors import Problem
from algorithms.api.samples import Phase
from algorithms.api.settings import Setting

CLASS_WINDOWS = {"P": 3, "M": 10}
"""Window of each performance class [nominal cycles]."""
CLASS_RANGES = {"P": 2.0, "M": 5.0}
"""How far from nominal a class measures frequency [Hz]."""
CLASS_RATES = {50.0: (10, 25, 50), 60.0: (10, 12, 15, 20, 30, 60)}
"""Reporting rates of the standard [Hz] by nominal frequency, as far as they do not exceed it."""
CLASS_SAMPLE_RATE = 3000.0
"""Below this sampling rate 12 bits have too few samples for the ROCOF that class P allows; none is promised [Hz]."""
LEAST_SAMPLES_PER_CYCLE = 10
"""Below this sampling rate the second harmonic's images crowd the fundamental; no frames are made."""

SETTINGS = (
    Setting(
        "performance_class",
        "text",
        "Class of IEC/IEEE 60255-118-1: P for protection (fast, 3 cycles), M for measurement (rejects "
        "interference, 10 cycles). It decides the window; leave it out to choose a window without a class.",
        default=None,
        choices=tuple(CLASS_WINDOWS),
    ),
    Setting(
        "window",
        "integer",
        "Length of the observation window in nominal cycles: 3 is fastest, 10 most accurate.",
        default=4,
        choices=(3, 4, 10),
    ),
    Setting(
        "report_rate",
        "integer",
        "Frames per second, evenly spaced from the beginning of each UTC second.",
        unit="Hz",
        default=50,
        minimum=1,
        maximum=60,
    ),
    Setting(
        "frequency_range",
        "number",
        "How far from nominal the frequency is followed; beyond it frames are flagged.",
        unit="Hz",
        default=5.0,
        minimum=0.5,
        maximum=10.0,
    ),
)


def complete(values: dict[str, Any], stated: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values read with the window that a class decides, where the document states none itself."""
    claimed = values["performance_class"]
    return values if claimed is None or "window" in stated else {**values, "window": CLASS_WINDOWS[claimed]}


def problems_together(values: Mapping[str, Any], context: Context) -> list[Problem]:
    """Find what is wrong with settings that are right one by one."""
    nominal, report_rate, claimed = context.nominal_frequency, values["report_rate"], values["performance_class"]
    if report_rate > max(nominal, 1.0):
        return [
            Problem(
                "settings.report_rate",
                f"at most the nominal frequency, {nominal:g} [Hz]",
                f"{report_rate}",
                "windows of several cycles hold nothing more to report",
            )
        ]
    if claimed is None:
        return []
    problems = []
    rates = CLASS_RATES.get(nominal, ())
    if not rates:
        expected = "no performance class, since the standard has none for this nominal frequency"
        return [Problem("settings.performance_class", expected, f"{claimed} at {nominal:g} [Hz]", "leave it out")]
    if claimed == "M":
        rates = rates[-1:]
    if report_rate not in rates:
        problems.append(
            Problem(
                "settings.report_rate",
                f"{' or '.join(map(str, rates))} [Hz] for class {claimed} at {nominal:g} Hz",
                f"{report_rate}",
                "report at such a rate, or leave performance_class out",
            )
        )
    if values["window"] != CLASS_WINDOWS[claimed]:
        problems.append(
            Problem(
                "settings.window",
                f"{CLASS_WINDOWS[claimed]}, which is class {claimed}",
                f"{values['window']}",
                "leave window out where performance_class is stated",
            )
        )
    if 0 < context.sample_rate < CLASS_SAMPLE_RATE:
        problems.append(
            Problem(
                "acquisition.sample_rate",
                f"at least {CLASS_SAMPLE_RATE:g} [Hz] for class {claimed}",
                f"{context.sample_rate:g}",
                "raise the rate asked for, or leave performance_class out",
            )
        )
    if values["frequency_range"] < CLASS_RANGES[claimed]:
        problems.append(
            Problem(
                "settings.frequency_range",
                f"at least {CLASS_RANGES[claimed]:g} [Hz] for class {claimed}",
                f"{values['frequency_range']:g}",
                "follow a wider range, or leave performance_class out",
            )
        )
    return problems


def problems_of_context(context: Context) -> list[Problem]:
    """Find why no frames could be made of these channels at this sampling rate."""
    problems = []
    least = LEAST_SAMPLES_PER_CYCLE * context.nominal_frequency
    if 0 < context.sample_rate < least:
        problems.append(
            Problem(
                "acquisition.sample_rate",
                f"at least {least:g} [Hz], {LEAST_SAMPLES_PER_CYCLE} samples per cycle",
                f"{context.sample_rate:g}",
                "raise the rate asked for, or use a faster board",
            )
        )
    if context.channels:
        seen = set()
        usable = 0
        for channel in context.channels:
            key = (channel.quantity, channel.phase)
            usable += channel.phase is not Phase.N
            if key in seen:
                problems.append(
                    Problem(
                        f"channels.{channel.name}",
                        "one channel for each quantity and phase",
                        f"another {channel.quantity} of phase {channel.phase}",
                        "correct the phase of one, or leave it out",
                    )
                )
            seen.add(key)
        if not usable:
            problems.append(
                Problem(
                    "channels", "a voltage or a current of phase A, B or C", "none", "say which phase each measures"
                )
            )
    return problems
