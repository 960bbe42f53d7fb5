"""
What the shadows of all devices came to, against the limits that were stated for them.

Each device has one voice: of records the mean of the devices' own shares is judged, and towards the number that is
wanted none counts for more than twice its part. What a device says beyond sense is clipped. Pure.
"""

import math
from collections.abc import Iterable, Sequence

import msgspec

from device_catalog.contract.reports import ShadowReport
from device_catalog.contract.rollout_progress import Comparison
from device_catalog.contract.rollouts import ShadowTest

LEAST_PROCESSOR = 0.001
"""Below this share of one core nobody can say how two versions compare [1]."""
MOST_RECORDS = 10**9
"""No device compares more: thirty years of a record each second."""
LARGEST_PART = 2.0
"""So much of its equal part of the records that are wanted one device may count for [1]."""


def total(reports: Iterable[tuple[str, ShadowReport]], limits: ShadowTest) -> Comparison:
    """
    Add up what was compared, and judge it.

    Parameters
    ----------
    reports : iterable of tuple
        Device, and what it said last.
    limits : ShadowTest
    """
    compared = differing = missing = extra = crashes = 0
    largest = processor = memory = 0.0
    where = ""
    voices: list[ShadowReport] = []
    for device, said in reports:
        report = _clipped(said)
        if report.compared + report.missing + report.extra > 0:
            voices.append(report)
        compared += report.compared
        differing += report.differing
        missing += report.missing
        extra += report.extra
        crashes += report.restarts
        if report.largest > largest:
            largest, where = report.largest, f"{device}: {report.where}"
        if max(report.processor, report.processor_in_force) > LEAST_PROCESSOR:
            processor = max(processor, report.processor / max(report.processor_in_force, LEAST_PROCESSOR))
        if report.memory_in_force:
            memory = max(memory, report.memory / report.memory_in_force)
    sums = Comparison(len(voices), compared, differing, missing, extra, largest, where, processor, memory, crashes)
    return _judged(sums, voices, limits)


def _clipped(report: ShadowReport) -> ShadowReport:
    """Take a report for what it can mean at most."""
    compared, missing, extra, restarts = (
        max(0, min(value, MOST_RECORDS)) for value in (report.compared, report.missing, report.extra, report.restarts)
    )
    return msgspec.structs.replace(
        report,
        compared=compared,
        differing=max(0, min(report.differing, compared)),
        missing=missing,
        extra=extra,
        restarts=restarts,
        largest=max(0.0, report.largest),
        processor=max(0.0, report.processor),
        memory=max(0, report.memory),
        memory_in_force=max(0, report.memory_in_force),
    )


def _share(voices: Sequence[ShadowReport], name: str) -> float:
    """Give the mean of the devices' own shares of records [1]."""
    shares = [getattr(one, name) / (one.compared + one.missing + one.extra) for one in voices]
    return math.fsum(shares) / max(1, len(shares))


def _judged(sums: Comparison, voices: Sequence[ShadowReport], limits: ShadowTest) -> Comparison:
    reasons = []
    everything = max(1, sums.compared + sums.missing + sums.extra)
    within = bool(limits.largest) and sums.largest <= limits.largest
    for name, words in (
        ("differing", "records differ"),
        ("missing", "records the new version did not make"),
        ("extra", "records the new version alone made"),
    ):
        found, most = getattr(sums, name), getattr(limits, name)
        share = _share(voices, name)
        if share > most and not (within and name == "differing"):
            mean = f" ({share:.2g} in the mean of the devices)" if len(voices) > 1 else ""
            reasons.append(f"{found} of {everything} {words}, allowed are {most:.4g} of them{mean}")
    if limits.largest and not within:
        reasons.append(f"the largest difference is {sums.largest:.3g} ({sums.where}), allowed is {limits.largest:.3g}")
    for name, word in (("processor_ratio", "processor time"), ("memory_ratio", "memory")):
        found, most = getattr(sums, name), getattr(limits, name)
        if found > most:
            reasons.append(f"it takes {found:.2f} times the {word}, allowed are {most:.4g} times")
    if sums.crashes > limits.crashes:
        reasons.append(f"it crashed {sums.crashes} times, allowed are {limits.crashes}")
    verdict = "different" if reasons else "equal"
    part = math.ceil(LARGEST_PART * limits.compared / max(1, len(voices)))
    counted = sum(min(one.compared, part) for one in voices)
    if not reasons and counted < limits.compared:
        verdict = "open"
        most_of_one = f", of one device at most {part} count" if counted < sums.compared else ""
        reasons.append(f"{counted} records were compared, at least {limits.compared} are wanted{most_of_one}")
    values = {name: getattr(sums, name) for name in sums.__struct_fields__}
    return Comparison(**{**values, "verdict": verdict, "reasons": tuple(reasons)})
