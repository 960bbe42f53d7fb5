"""What the shadows of all devices came to, against the limits that were stated for them. Pure."""

from collections.abc import Iterable

from device_catalog.contract.reports import ShadowReport
from device_catalog.contract.rollouts import Comparison, ShadowTest

LEAST_PROCESSOR = 0.001
"""Below this share of one core nobody can say how two versions compare [1]."""


def total(reports: Iterable[tuple[str, ShadowReport]], limits: ShadowTest) -> Comparison:
    """
    Add up what was compared, and judge it.

    Parameters
    ----------
    reports : iterable of tuple
        Device, and what it said last.
    limits : ShadowTest
    """
    devices = compared = differing = missing = extra = crashes = 0
    largest = processor = memory = 0.0
    where = ""
    for device, report in reports:
        devices += report.compared + report.missing + report.extra > 0
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
    sums = Comparison(devices, compared, differing, missing, extra, largest, where, processor, memory, crashes)
    return _judged(sums, limits)


def _judged(sums: Comparison, limits: ShadowTest) -> Comparison:
    reasons = []
    everything = max(1, sums.compared + sums.missing + sums.extra)
    within = bool(limits.largest) and sums.largest <= limits.largest
    for name, words in (
        ("differing", "records differ"),
        ("missing", "records the new version did not make"),
        ("extra", "records the new version alone made"),
    ):
        found, most = getattr(sums, name), getattr(limits, name)
        if found > most * everything and not (within and name == "differing"):
            reasons.append(f"{found} of {everything} {words}, allowed are {most:.4g} of them")
    if limits.largest and not within:
        reasons.append(f"the largest difference is {sums.largest:.3g} ({sums.where}), allowed is {limits.largest:.3g}")
    for name, word in (("processor_ratio", "processor time"), ("memory_ratio", "memory")):
        found, most = getattr(sums, name), getattr(limits, name)
        if found > most:
            reasons.append(f"it takes {found:.2f} times the {word}, allowed are {most:.4g} times")
    if sums.crashes > limits.crashes:
        reasons.append(f"it crashed {sums.crashes} times, allowed are {limits.crashes}")
    verdict = "different" if reasons else "equal"
    if not reasons and sums.compared < limits.compared:
        verdict = "open"
        reasons.append(f"{sums.compared} records were compared, at least {limits.compared} are wanted")
    values = {name: getattr(sums, name) for name in sums.__struct_fields__}
    return Comparison(**{**values, "verdict": verdict, "reasons": tuple(reasons)})
