"""What the page of one meter shows, put into words: newest frame, algorithms, how it is and what it is (pure)."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from markupsafe import Markup

from algorithms.api.readings import ChannelReading, PowerReading
from algorithms.api.records import AngleReference, MeasurementFrame
from algorithms.api.wire import time_from_text
from device_catalog.contract.commissioning import Answer, CommissioningEntry
from device_catalog.contract.history import DeviceHistory, HistoryPage
from device_catalog.contract.recordings import RecordingEntry
from device_catalog.contract.register import DeviceDetail
from device_catalog.contract.reports import AlgorithmReport
from device_catalog.history.codec import Kept
from device_catalog.pages.charts import Line, Reading, Span, chart
from device_catalog.pages.fleet_page import isolation_of, time_of
from device_catalog.pages.phasor_diagram import phasor_diagram, relative_degrees
from device_catalog.pages.words import NANOSECONDS, NOTHING, Said, ago, clock, size, value

STALE = 60.0
"""Age from which on a frame is shown as old [s]."""
STEP = 60

_references = {
    AngleReference.UTC: "Angles are against phase A's voltage; the meter's own are against UTC.",
    AngleReference.OWN: "Angles are against phase A's voltage; the meter's clock does not follow UTC.",
}


class Cell(NamedTuple):
    """A figure and its standard uncertainty."""

    value: str
    spread: str


class PhaseRow(NamedTuple):
    """One phase of a frame."""

    name: str
    cells: tuple[Cell, ...]


class FrameView(NamedTuple):
    """A frame in words."""

    age: str
    tone: str
    diagram: Markup
    phases: tuple[PhaseRow, ...]
    line: str
    reference: str


class AlgorithmRow(NamedTuple):
    """One algorithm."""

    name: str
    version: str
    state: str
    tone: str
    wanted: str
    wanted_tone: str
    update: str
    update_tone: str
    log: str
    shadow: str
    core: str
    memory: str
    restarts: int
    error: str


class Chart(NamedTuple):
    """A picture under its title."""

    title: str
    picture: Markup


def frame_of(kept: Kept) -> MeasurementFrame | None:
    """Read a frame that the history keeps; None where it is none of this version."""
    try:
        return msgspec.convert({**kept.document, "time_ns": kept.time_ns}, MeasurementFrame)
    except msgspec.ValidationError:
        return None


def frame_view(frame: MeasurementFrame, now_ns: int) -> FrameView:
    """Put a frame into words."""
    age = (now_ns - frame.time_ns) / NANOSECONDS
    phases = [*dict.fromkeys((*frame.voltage, *frame.current, *frame.power))]
    frequency = NOTHING if frame.frequency is None else " ± ".join(value(*msgspec.structs.astuple(frame.frequency)))
    flags = ", ".join(flag.value for flag in frame.quality) or "nothing against it"
    return FrameView(
        f"{clock(frame.time_ns)} UTC, {ago(age)}",
        "soft" if age < STALE else "warn",
        phasor_diagram(frame),
        tuple(PhaseRow(phase, tuple(_cells(frame, phase))) for phase in phases),
        f"Frequency {frequency} Hz. Quality: {flags}.",
        _references[frame.reference],
    )


def _cells(frame: MeasurementFrame, phase: str) -> Iterable[Cell]:
    for readings in (frame.voltage, frame.current):
        reading: ChannelReading | None = readings.get(phase)
        if reading is None:
            yield from (Cell("", ""), Cell("", ""))
            continue
        yield Cell(*value(reading.magnitude, reading.u_magnitude))
        degrees = relative_degrees(reading, frame)
        yield Cell(NOTHING if degrees is None else f"{degrees:.1f}", "")
    power: PowerReading | None = frame.power.get(phase)
    if power is None:
        yield from (Cell("", ""), Cell("", ""), Cell("", ""))
        return
    yield Cell(*value(power.p, power.u_p))
    yield Cell(*value(power.q, power.u_q))
    yield Cell(*value(power.pf, power.u_pf))


def algorithm_rows(detail: DeviceDetail) -> list[AlgorithmRow]:
    """Put what should run and what runs side by side."""
    wanted = {one.algorithm: one for one in detail.desired.configuration.algorithms}
    running: Mapping[str, AlgorithmReport] = {} if detail.reported is None else detail.reported.algorithms
    rows = []
    for name in [*wanted, *(name for name in running if name not in wanted)]:
        asked, report = wanted.get(name), running.get(name)
        version = "none" if asked is None else asked.version or "any"
        if asked is not None and asked.shadow is not None and (report is None or report.shadow is None):
            version = f"{version}, shadow {asked.shadow.version}"
        if report is None:
            rows.append(AlgorithmRow(name, "", "not running", "warn", version, "warn", "", "", "", "", "", "", 0, ""))
            continue
        differs = asked is None or (asked.version and asked.version != report.version)
        update, update_tone, log = _update(report)
        rows.append(
            AlgorithmRow(
                name,
                report.version,
                report.state,
                "good" if report.state == "running" else "warn" if report.state == "starting" else "bad",
                version,
                "warn" if differs else "soft",
                update,
                update_tone,
                log,
                _shadow(report),
                f"{report.processor * 100:.1f} %",
                size(report.memory),
                report.restarts,
                report.last_error[:300],
            )
        )
    return rows


def _update(report: AlgorithmReport) -> tuple[str, str, str]:
    update = report.update
    if update is None:
        return "", "", ""
    tone = {"failed": "bad", "active": "soft"}.get(update.step, "warn")
    reason = f": {update.reason}" if update.reason else ""
    rollout = f" ({update.rollout})" if update.rollout else ""
    return f"{update.version} {update.step}{rollout}{reason}", tone, "\n".join(update.log)


def _shadow(report: AlgorithmReport) -> str:
    shadow = report.shadow
    if shadow is None:
        return ""
    odd = shadow.differing + shadow.missing + shadow.extra
    where = f", most in {shadow.where} ({shadow.largest:.2g})" if shadow.where else ""
    return f"{shadow.version} {shadow.state}: {odd} of {shadow.compared} differ{where}"


def facts_of(detail: DeviceDetail) -> list[tuple[str, str]]:
    """Say what a device is."""
    summary, desired, reported = detail.summary, detail.desired, detail.reported
    place = "/".join(part for part in (summary.network, summary.area) if part)
    acquisition, poll = desired.configuration.acquisition, desired.configuration.poll
    facts = [
        ("Kind", summary.kind.value),
        ("Tenant", summary.tenant),
        ("Terminal", summary.terminal),
        ("Network", place),
        ("Settings", f"revision {summary.revision}, applied {summary.applied_revision or 'none'}"),
        ("Polls", f"every {poll.interval:g} s, silent after {poll.lease:g} s"),
        ("Board", f"{acquisition.driver}, {acquisition.sample_rate:g} Hz" if acquisition else ""),
        ("Agent", reported.agent_version if reported else ""),
        ("Services", ", ".join(f"{name} {address}" for name, address in summary.services.items())),
    ]
    return [(name, text) for name, text in facts if text]


def states_of(detail: DeviceDetail, now_s: float) -> list[tuple[str, Said]]:
    """Say how a device is, by its own report."""
    reported = detail.reported
    seen = detail.summary.last_seen
    states = [("Heard", Said("never", "warn") if seen is None else Said(ago(now_s - seen.timestamp())))]
    if reported is None:
        return states
    states.append(("Clock", time_of(reported)))
    source = reported.source
    if source is not None:
        lost = f", {source.lost} samples lost" if source.lost else ""
        tone = "" if source.state in ("running", "starting", "ended") and not source.lost else "bad"
        states.append(("Samples", Said(f"{source.driver} {source.state}, {source.sample_rate:g} Hz{lost}", tone)))
    for name, link in reported.links.items():
        if link.connected:
            told = f"connected to {link.endpoint}, {link.pending} waiting"
            states.append((f"Broker {name}", Said(f"{told}, {link.dropped} dropped", "warn" if link.dropped else "")))
        else:
            states.append((f"Broker {name}", Said(f"not connected: {link.last_error}", "bad")))
    states.append(("Isolation", isolation_of(reported.isolation)))
    if reported.network is not None:
        network = reported.network
        of = f"{network.network}, revision {network.model_revision}, switches {network.topology_revision}"
        states.append(("Network", Said(of)))
    if reported.calibration is not None:
        made = reported.calibration
        states.append(("Calibrated", Said(f"{made.made:%Y-%m-%d} by {made.by}")))
    if reported.recordings is not None:
        kept = reported.recordings
        states.append(("Recorder", Said(f"{kept.state}, {kept.kept} kept, {size(kept.bytes)} of {size(kept.budget)}")))
    return states


def recording_rows(entries: Sequence[RecordingEntry]) -> list[dict[str, str]]:
    """Put recordings into words."""
    rows = []
    for entry in entries:
        info = entry.info
        kinds = ", ".join(dict.fromkeys((info.kind, *(event.kind for event in info.events))))
        start = clock(time_from_text(info.start))
        rows.append({"start": start, "what": kinds, "length": f"{info.duration:.2f}", "where": entry.state})
    return rows


def commissioning_rows(entries: Sequence[CommissioningEntry]) -> list[dict[str, str]]:
    """Put commissionings into words."""
    tones = {Answer.PASSED: "good", Answer.INCOMPLETE: "warn", Answer.FAILED: "bad"}
    return [
        {
            "number": str(entry.number),
            "made": entry.record.made[:16].replace("T", " "),
            "answer": entry.record.answer.value,
            "tone": tones[entry.record.answer],
            "place": entry.record.place,
            "installer": entry.record.installer,
            "address": f"/fleet/{entry.device}/commissionings/{entry.number}",
        }
        for entry in entries
    ]


def kept_rows(history: DeviceHistory) -> list[dict[str, str]]:
    """Say what is kept of a device."""
    return [
        {
            "name": f"{one.content} {one.name}".strip(),
            "first": clock(time_from_text(one.first)),
            "last": clock(time_from_text(one.last)),
            "records": f"{one.records}",
            "room": size(one.bytes + one.minutes_bytes),
        }
        for one in history.series
    ]


def charts_of(page: HistoryPage, first_ns: int, last_ns: int) -> list[Chart]:
    """Draw voltages and power of a time, where there are any."""
    charts = []
    wanted: tuple[tuple[str, str, tuple[tuple[str, str, str], ...]], ...] = (
        ("Voltage", "V", tuple((phase, phase, f"voltage.{phase}.rms") for phase in "ABC")),
        ("Active power", "W", (("N", "total", "power.total.p"),)),
    )
    for title, unit, names in wanted:
        lines = [Line(phase, label, _readings(page, name)) for phase, label, name in names]
        lines = [line for line in lines if line.readings]
        if lines:
            span = Span(first_ns / NANOSECONDS, last_ns / NANOSECONDS, STEP)
            charts.append(Chart(f"{title}, last hour (UTC)", chart(lines, span, unit, f"{title} of the last hour")))
    return charts


def _readings(page: HistoryPage, name: str) -> list[Reading]:
    found: list[Any] = [(step, step.values.get(name)) for step in page.steps]
    return [
        Reading(time_from_text(step.time) / NANOSECONDS, one.mean, one.minimum, one.maximum)
        for step, one in found
        if one is not None
    ]
