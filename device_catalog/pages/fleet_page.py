"""
What the page of all meters shows: the list's own answers put into words (pure).

A line is made of what the catalog knows (presence, revision, what it should run) and of what the device reports (what
runs, clock, isolation, problems); what it did not report is said as such.
"""

from collections.abc import Mapping
from typing import NamedTuple

from device_catalog.contract.documents import Desired
from device_catalog.contract.register import DeviceDetail, DeviceSummary
from device_catalog.contract.reports import AlgorithmReport, Reported
from device_catalog.contract.troubles import problems_of
from device_catalog.pages.image_view import image_of
from device_catalog.pages.words import Said, ago, duration

NOT_SAID = Said("not reported", "soft")


class FleetRow(NamedTuple):
    """One line of the list."""

    name: str
    about: str
    presence: Said
    seen: str
    revision: Said
    algorithms: tuple[Said, ...]
    image: Said | None
    time: Said
    isolation: Said
    problems: tuple[str, ...]


def row_of(detail: DeviceDetail, now_s: float) -> FleetRow:
    """
    Put a device into words.

    Parameters
    ----------
    detail : DeviceDetail
    now_s : float
        [s UTC]
    """
    summary, reported = detail.summary, detail.reported
    return FleetRow(
        summary.device,
        about(summary),
        presence_of(summary),
        "" if summary.last_seen is None else ago(now_s - summary.last_seen.timestamp()),
        revision_of(summary),
        algorithms_of(detail.desired, reported),
        image_of(detail),
        NOT_SAID if reported is None else time_of(reported),
        NOT_SAID if reported is None else isolation_of(reported.isolation),
        tuple(problems_of(detail)),
    )


def about(summary: DeviceSummary) -> str:
    """Say in a few words what and where a device is."""
    place = "/".join(part for part in (summary.network, summary.area, summary.terminal) if part)
    kind = "" if summary.kind.value == "meter" else summary.kind.value
    return ", ".join(part for part in (kind, summary.description[:80], place) if part)


def presence_of(summary: DeviceSummary) -> Said:
    """Say whether a device is there."""
    if summary.available is None:
        return Said("not judged yet", "warn") if summary.last_seen else Said("never seen", "warn")
    return Said("available", "good") if summary.available else Said("silent", "bad")


def revision_of(summary: DeviceSummary) -> Said:
    """Say which settings are applied, of which."""
    if summary.applied_revision == summary.revision:
        return Said(f"revision {summary.revision}", "good")
    return Said(f"{summary.applied_revision or 'none'} of revision {summary.revision}", "warn")


def algorithms_of(desired: Desired, reported: Reported | None) -> tuple[Said, ...]:
    """Say of every algorithm that should run or runs which version does."""
    wanted = {one.algorithm: one.version for one in desired.configuration.algorithms}
    running: Mapping[str, AlgorithmReport] = {} if reported is None else reported.algorithms
    said = []
    for name in [*wanted, *(name for name in running if name not in wanted)]:
        report = running.get(name)
        if report is None:
            said.append(Said(f"{name} {wanted[name]} not running".replace("  ", " "), "warn"))
            continue
        text, tone = f"{name} {report.version}", "" if report.state == "running" else "bad"
        if wanted.get(name) and wanted[name] != report.version:
            text, tone = f"{text} → {wanted[name]}", tone or "warn"
        if report.state != "running":
            text = f"{text} ({report.state})"
        if name not in wanted:
            text, tone = f"{text} (not wanted)", "warn"
        if report.update is not None and report.update.step not in ("active", ""):
            text = f"{text}, {report.update.step} {report.update.version}"
            tone = "bad" if report.update.step == "failed" else tone or "warn"
        if report.shadow is not None:
            text = f"{text}, shadow {report.shadow.version}"
        said.append(Said(text, tone))
    return tuple(said)


def time_of(reported: Reported) -> Said:
    """Say how good a device's clock is."""
    time = reported.time
    if time is None:
        return NOT_SAID
    if not time.synchronised:
        return Said("not UTC", "bad")
    return Said("UTC" if time.uncertainty is None else f"UTC ± {duration(time.uncertainty)}", "good")


def isolation_of(layers: Mapping[str, bool]) -> Said:
    """Say how many of the layers that confine algorithms are in force."""
    if not layers:
        return NOT_SAID
    missing = [name for name, in_force in layers.items() if not in_force]
    if not missing:
        return Said(f"all {len(layers)} layers", "good")
    return Said(f"{len(layers) - len(missing)} of {len(layers)}; not {', '.join(missing)}", "warn")
